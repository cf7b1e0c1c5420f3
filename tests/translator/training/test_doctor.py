"""The report matches what the run then does; broken data end with exit code 1."""

import itertools
import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from data_prep.prepared.prepare import prepare_data
from translator.cli.main import app
from translator.config.loading import to_dict
from translator.config.schema import Config, ModelConfig
from translator.model.batch import collate
from translator.model.packing import PackedBatch, pack
from translator.model.transformer import Transformer, count_parameters
from translator.storage.model_folder import FORMAT_VERSION
from translator.system.disk import write_json
from translator.system.machine import MemoryPeak, process_status
from translator.system.processes import Ranks
from translator.text.tokenizer import Tokenizer
from translator.training import measure
from translator.training.doctor import Report, describe_batches, describe_data, examine
from translator.training.loader import Batches, BatchSampler, Loader, pair_lengths
from translator.training.measure import Memory, largest_batch, measure_speed, probe_memory
from translator.training.setup import build_batches

CPU = torch.device("cpu")


def changed(config: Config, **settings: Any) -> Config:
    """A config with some settings of its sections replaced: `train_steps=5`."""
    for name, value in settings.items():
        section, _, key = name.partition("_")
        config = replace(config, **{section: replace(getattr(config, section), **{key: value})})
    return config


@pytest.fixture(scope="module")
def report(tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return examine(tiny_config, tmp_path_factory.mktemp("none") / "run", CPU)


@pytest.fixture(scope="module")
def look(tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Report]:
    """A report on changed settings, without measurements."""
    folder = tmp_path_factory.mktemp("runs") / "run"

    def call(**settings: Any) -> Report:
        return examine(changed(tiny_config, **settings), folder, CPU, measure=False)

    return call


def names(report: Report, severity: str = "warning") -> set[str]:
    return {finding.name for finding in report.findings if finding.severity == severity}


# --- figures ----------------------------------------------------------------------------------


def test_figures_are_those_of_the_batches(report: Report, tiny_config: Config) -> None:
    data = prepare_data(tiny_config)
    sampler = BatchSampler(data.train.lengths, tiny_config.train.max_tokens, tiny_config.train.seed)
    loader = Loader(data.train, sampler)
    epoch = [batch for batch, (n, i) in _first_epoch(loader, len(sampler.epoch(0)))]
    assert report.run["batches"] == len(epoch)
    for side, tensors in (
        ("source", [b.src for b in epoch]),
        ("target", [b.tgt_out for b in epoch]),
    ):
        padded = sum(t.numel() for t in tensors)
        real = sum(int((t != 0).sum()) for t in tensors)
        assert report.run["padding"][side] == pytest.approx(1 - real / padded, abs=1e-4)
    tokens = sum(batch.n_tokens for batch in epoch)
    assert report.data["tokens"]["de"] == tokens
    assert report.run["tokens_per_update"] == pytest.approx(tokens / len(epoch), abs=0.1)
    assert report.run["epochs"] == pytest.approx(tiny_config.train.steps / len(epoch), abs=0.01)


def _first_epoch(loader: Loader, n: int) -> list[Any]:
    batches = loader.batches(0, 0)
    return [next(batches) for _ in range(n)]


def test_pieces_per_word_and_unknown_rate(report: Report, tiny_config: Config) -> None:
    data = prepare_data(tiny_config)
    words = sum(len(src.split()) for src, _ in data.corpora[0].train)
    pieces = sum(len(src) for src, _ in data.train)
    assert report.data["pieces_per_word"]["en"] == pytest.approx(pieces / words, abs=1e-3)
    assert report.data["unknown_rate"] == {"en": 0.0, "de": 0.0}


def test_rare_letters_count_as_unknown(
    tmp_path: Path, tiny_config: Config, tokenizer: Tokenizer
) -> None:
    for split in ("train", "valid"):
        (tmp_path / f"{split}.en").write_text("The dog 漢 runs.\n" * 9, encoding="utf-8")
        (tmp_path / f"{split}.de").write_text("Der Hund läuft.\n" * 9, encoding="utf-8")
    config = changed(tiny_config, data_corpus=str(tmp_path), clean_contamination=False)
    found = describe_data(prepare_data(config, tokenizer), config)
    n_pieces = len(tokenizer.encode("The dog 漢 runs."))
    assert found["unknown_rate"]["en"] == pytest.approx(3 / n_pieces, abs=1e-5)  # three bytes
    assert found["unknown_rate"]["de"] == 0


def test_parameters_and_disk_are_those_of_the_model(report: Report, tiny_config: Config) -> None:
    vocab_size = report.data["vocab_size"]
    n = count_parameters(Transformer(replace(tiny_config.model, vocab_size=vocab_size)))
    assert report.run["parameters"] == n
    # Two checkpoints in six steps, the best and the one being written; three with two moments.
    assert report.run["disk"]["need"] == 4 * 4 * n + 3 * 8 * n + 2 * n


def test_the_padding_of_packed_batches_is_what_their_rows_leave(tiny_config: Config) -> None:
    config = changed(tiny_config, train_pack=True, train_max_tokens=1024)
    data = prepare_data(config)
    loader = build_batches(config, data, CPU)
    batches = loader.sampler.epoch(0)
    packed = [loader.load(indices) for indices in batches]
    assert all(isinstance(batch, PackedBatch) and len(batch.src) == 8 for batch in packed)
    assert not isinstance(build_batches(tiny_config, data, CPU).load(batches[0]), PackedBatch)
    found = describe_batches(loader.sampler, batches, config)
    room = sum(batch.src.numel() for batch in packed)
    assert found["padding"]["target"] == pytest.approx(
        1 - sum(batch.n_tokens for batch in packed) / room, abs=0.01
    )


def test_time_follows_from_speed(report: Report) -> None:
    run = report.run
    tokens = run["steps"] * run["tokens_per_update"]
    assert run["tokens_per_second"] > 0
    assert run["seconds"] == pytest.approx(tokens / run["tokens_per_second"], abs=1)


def test_nothing_is_written_and_no_randomness_used(tiny_config: Config, tmp_path: Path) -> None:
    state = torch.get_rng_state()
    examine(tiny_config, tmp_path / "run", CPU)
    assert list(tmp_path.iterdir()) == []
    assert torch.equal(torch.get_rng_state(), state)


def test_the_report_is_short_aligned_and_json(report: Report) -> None:
    lines = report.lines()
    assert not report.broken
    rows = [line for line in lines if line.startswith("  ")]
    assert len(rows) > 12 and len(lines) < 40
    assert all(line[16] == " " and line[17] != " " for line in rows)  # one column of values
    assert all("\n" not in line and line == line.rstrip() for line in lines)
    assert json.loads(json.dumps(report.to_dict()))["broken"] is False


# --- memory -----------------------------------------------------------------------------------


def square_batch(rows: int, length: int, vocab_size: int = 200) -> Any:
    generator = torch.Generator().manual_seed(rows)

    def ids() -> list[int]:
        return torch.randint(50, vocab_size, (length - 1,), generator=generator).tolist()

    return collate([(ids(), ids()) for _ in range(rows)])


@pytest.fixture(scope="module")
def probed(tiny_config: Config) -> Config:
    model = ModelConfig(64, 128, 2, 2, 2, dropout=0.1, vocab_size=200)
    train = replace(tiny_config.train, precision="fp32")
    return replace(tiny_config, model=model, train=train)


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is measured in /proc")


@on_linux
def test_the_probe_predicts_the_memory_of_the_whole_batch(probed: Config) -> None:
    batch = square_batch(400, 40)
    foretold = probe_memory(probed, batch, CPU)
    assert foretold is not None
    peak = MemoryPeak(CPU)
    peak.start()
    base = process_status("VmRSS")
    updater = measure._build_throwaway(probed, CPU)
    for _ in range(2):
        updater.update([batch], 1)
    used = peak.read()
    assert used is not None and base is not None
    assert 0.7 < foretold.update / (used - base) < 2
    assert foretold.need > used - base


def packed_batch(rows: int) -> PackedBatch:
    part = square_batch(2, 30)
    pairs = [
        (s.tolist()[:-1], t.tolist()[:-1]) for s, t in zip(part.src, part.tgt_out, strict=True)
    ]
    row = pack(pairs, 1, 64, slice(None))
    return PackedBatch(row.table.repeat(1, rows, 1), rows * row.n_tokens)


@on_linux
@pytest.mark.parametrize("batch", [square_batch(2000, 40), packed_batch(1200)])
def test_the_probe_counts_all_processes_each_with_its_share(probed: Config, batch) -> None:
    two = probe_memory(probed, batch, CPU, Ranks(0, 2, 0, 2))
    half = probe_memory(probed, batch.split(2)[0], CPU)
    assert two is not None and half is not None
    assert two.need == pytest.approx(2 * half.need, rel=0.2)


@on_linux
def test_the_probe_computes_only_a_part(probed: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    update = measure.Updater.update

    def spy(self: measure.Updater, batches: Any, step: int) -> int:
        sizes.append(max(batch.src.numel() for batch in batches))
        return update(self, batches, step)

    monkeypatch.setattr(measure.Updater, "update", spy)
    many = packed_batch(20_000)
    measure_speed(probed, [many], CPU)
    assert max(sizes) < many.src.numel()
    sizes.clear()
    probe_memory(probed, many, CPU)
    found = probe_memory(probed, square_batch(20_000, 8), CPU)
    assert found is not None and max(sizes) <= max(measure.PROBES)
    small = probe_memory(probed, square_batch(1000, 8), CPU)
    assert small is not None and found.update > 4 * small.update > 0
    assert found.batch == "20000 x 8 and 8 pieces"


@on_linux
def test_the_probe_sees_a_slope_however_long_rows_are(
    probed: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = set()
    update = measure.Updater.update

    def spy(self: measure.Updater, batches: Any, step: int) -> int:
        rows.update(len(batch.src) for batch in batches)
        return update(self, batches, step)

    monkeypatch.setattr(measure.Updater, "update", spy)
    probe_memory(probed, square_batch(8, max(measure.PROBES) + 1), CPU)
    assert rows == {1, 2}


def test_too_little_memory_is_warned_about_before_step_1(
    tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if probe_memory(changed(tiny_config, model_vocab_size=200), square_batch(2, 4), CPU) is None:
        pytest.skip("memory cannot be measured here")
    monkeypatch.setattr(measure, "available_memory", lambda device: 2**20)
    found = examine(tiny_config, tmp_path / "run", CPU)
    assert "memory" in names(found) and not found.broken
    assert any("max_tokens" in line for line in found.lines())


def test_memory_is_warned_about_when_it_nearly_runs_out() -> None:
    assert Memory(100, 100, None, "").warning() is None
    assert Memory(100, 100, 1000, "").warning() is None
    assert Memory(100, 100, 100, "").warning() is not None


def test_the_largest_batch_is_the_one_that_needs_most() -> None:
    pairs = [([5] * n, [5] * m) for n, m in ((3, 3), (3, 3), (3, 3), (40, 2), (2, 40), (90, 90))]
    sampler = BatchSampler(pair_lengths(pairs), 100, 1)
    model = ModelConfig()

    def largest(*batches: list[int]) -> list[int]:
        edges = [0, *itertools.accumulate(map(len, batches))]
        indices = torch.tensor([i for batch in batches for i in batch])
        order = torch.arange(len(batches)).flip(0)
        return largest_batch(sampler, Batches(indices, edges, order), model)

    assert largest([0, 1], [0, 1, 2]) == [0, 1, 2]
    assert largest([0, 1, 2], [5]) == [5]
    assert largest([3], [4]) == [4]  # the decoder stores more


def test_speed_is_of_real_updates(probed: Config) -> None:
    speed, updater = measure_speed(probed, [square_batch(8, 10)] * 3, CPU)
    assert speed > 0 and math.isfinite(speed)
    assert updater.precision == "fp32"


# --- settings ---------------------------------------------------------------------------------


def test_sound_settings_give_no_warnings(look: Callable[..., Report]) -> None:
    found = look(train_warmup_steps=2, train_peak_lr=2e-3)
    assert names(found) <= {"vocabulary"}  # 200 pairs are few for 100 pieces


@pytest.mark.parametrize(
    ("settings", "name", "severity"),
    [
        ({"train_warmup_steps": 60}, "warm-up", "warning"),
        ({"train_warmup_steps": 40, "train_cooldown": 0.5}, "warm-up", "warning"),
        ({"train_validate_every": 90}, "validation", "warning"),
        ({"train_patience": 1, "train_validate_every": 2}, "patience", "warning"),
        ({"train_max_tokens": 3}, "batch size", "warning"),
        ({"train_peak_lr": 0.1}, "learning rate", "warning"),
        ({"train_peak_lr": 1e-7}, "learning rate", "warning"),
        ({"model_dropout": 0.7}, "regularisation", "warning"),
        ({"data_max_length": 19}, "dropped", "warning"),
        ({"data_vocab_size": 100_000}, "vocabulary", "note"),
        ({"train_checkpoint_every": 100}, "checkpoints", "note"),
        ({"train_keep_checkpoints": 30}, "averaging", "note"),
        ({"train_steps": 1}, "epochs", "note"),
    ],
)
def test_questionable_settings_are_named(
    look: Callable[..., Report], settings: dict[str, Any], name: str, severity: str
) -> None:
    sound = {"train_steps": 60, "train_warmup_steps": 6, "train_peak_lr": 2e-3}
    sound |= {"train_keep_checkpoints": 1, "data_vocab_size": 340}
    assert name not in names(look(**sound), severity)
    assert name in names(look(**{**sound, **settings}), severity)


def test_a_full_disk_is_warned_about(
    look: Callable[..., Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "translator.training.doctor.shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})
    )
    assert "disk" in names(look())


def test_minutes_that_cut_a_run_off_are_named(tiny_config: Config, tmp_path: Path) -> None:
    config = changed(tiny_config, train_steps=10_000_000, train_warmup_steps=10)
    assert "minutes" in names(examine(config, tmp_path / "run", CPU, minutes=0.1))


def test_a_run_with_other_settings_is_named(tiny_config: Config, tmp_path: Path) -> None:
    data = prepare_data(tiny_config)
    (tmp_path / "tokenizer.model").write_bytes(data.tokenizer.model_bytes)
    description = {
        "format_version": FORMAT_VERSION,
        "data": {"fingerprint": data.fingerprint},
        "config": to_dict(changed(tiny_config, model_vocab_size=data.tokenizer.vocab_size)),
    }
    write_json(tmp_path / "config.json", description)
    assert "run" not in names(examine(tiny_config, tmp_path, CPU, measure=False))
    other = changed(tiny_config, train_peak_lr=1e-3)
    assert "run" in names(examine(other, tmp_path, CPU, measure=False))
    assert "run" not in names(examine(other, tmp_path, CPU, fresh=True, measure=False))


# --- the command ------------------------------------------------------------------------------


@pytest.fixture
def doctor(tiny_options: list[str], tmp_path: Path) -> Callable[..., Result]:
    def call(folder: Path, *options: str) -> Result:
        common = ["--data", str(folder), "--run", str(tmp_path / "run"), "--threads", "1"]
        return CliRunner().invoke(app, ["doctor", *common, *tiny_options, *options])

    return call


def write_corpus(folder: Path, pairs: list[tuple[str, str]], shift: int = 0) -> Path:
    folder.mkdir()
    for split, part in (("train", pairs[:-20]), ("valid", pairs[-20:])):
        for side, language in enumerate(("en", "de")):
            lines = [pair[side] for pair in part]
            if split == "train" and side:
                lines = lines[shift:] + lines[:shift]
            text = "".join(line + "\n" for line in lines)
            (folder / f"{split}.{language}").write_text(text, encoding="utf-8")
    return folder


def test_a_sound_corpus_ends_with_0(
    doctor: Callable[..., Result], corpus_folder: Path, tmp_path: Path
) -> None:
    result = doctor(corpus_folder)
    assert result.exit_code == 0, result.output
    assert "Broken" not in result.stdout and "200 train, 20 valid, 20 test" in result.stdout
    assert not (tmp_path / "run").exists()


def test_broken_data_end_with_1_after_the_report(
    doctor: Callable[..., Result], text_pairs: list[tuple[str, str]], tmp_path: Path
) -> None:
    folder = write_corpus(tmp_path / "shifted", text_pairs, shift=1)
    result = doctor(folder, "--json", "--quiet")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["broken"] is True
    assert [f["name"] for f in found["findings"] if f["severity"] == "broken"] == ["shifted"]
    assert result.stderr == ""


def _drop_a_file(folder: Path) -> None:
    (folder / "train.de").unlink()


def _drop_a_line(folder: Path) -> None:
    text = (folder / "train.de").read_text(encoding="utf-8")
    (folder / "train.de").write_text(text.partition("\n")[2], encoding="utf-8")


def _as_latin_1(folder: Path) -> None:
    text = (folder / "train.de").read_text(encoding="utf-8")
    (folder / "train.de").write_bytes(text.replace("a", "ä").encode("latin-1"))


def _empty_side(folder: Path) -> None:
    n_lines = (folder / "train.de").read_text(encoding="utf-8").count("\n")
    (folder / "train.de").write_text("\n" * n_lines, encoding="utf-8")


def _no_lines(folder: Path) -> None:
    for language in ("en", "de"):
        (folder / f"train.{language}").write_bytes(b"")


def _binary(folder: Path) -> None:
    (folder / "train.en.gz").write_bytes(b"no gzip")
    (folder / "train.en").unlink()


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (_drop_a_file, "train.de"),
        (_drop_a_line, "lines"),
        (_as_latin_1, "UTF-8"),
        (_empty_side, "is empty"),
        (_no_lines, "no training pairs"),
        (_binary, "no gz"),
    ],
)
def test_unreadable_data_are_one_line(
    doctor: Callable[..., Result],
    text_pairs: list[tuple[str, str]],
    tmp_path: Path,
    damage: Callable[[Path], None],
    word: str,
) -> None:
    folder = write_corpus(tmp_path / "corpus", text_pairs)
    damage(folder)
    result = doctor(folder)
    assert result.exit_code == 1 and result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith("Warning:")]
    assert line.startswith("Error: ") and word in line


def test_wrong_settings_are_one_line(doctor: Callable[..., Result], corpus_folder: Path) -> None:
    result = doctor(corpus_folder, "--set", "train.nothing=1")
    assert result.exit_code == 2 and result.stdout == ""
    assert "train.nothing" in result.stderr.splitlines()[-1]  # below the usage
