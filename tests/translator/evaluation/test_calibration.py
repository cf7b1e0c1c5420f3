"""Fitting confidence to a model: what it is fitted to, where it is kept, and the commands."""

import functools
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from translator.cli.main import app
from translator.config.errors import TranslatorError
from translator.config.schema import ConfidenceConfig, Config
from translator.evaluation import calibration
from translator.evaluation.calibration import calibrate, calibrate_model, fit, read_validation_pairs
from translator.evaluation.reliability import (
    bin_confidences,
    compute_auc,
    compute_calibration_error,
)
from translator.storage.average import average_models
from translator.storage.model_folder import CONFIG, Model, load_model, read_description
from translator.system.disk import file_sha256
from translator.training.train import train
from translator.translation import files
from translator.translation.confidence import (
    FEATURES,
    Calibration,
    are_good,
    find_calibration,
    judge,
)
from translator.translation.evidence import Evidence
from translator.translation.result import Translation
from translator.translation.translator import Translator

Run = Callable[..., Result]
LINES = [f"The {noun} runs here." for noun in ("dog", "man", "boy", "bird", "friend", "father")]


@pytest.fixture(scope="module")
def calibrated(
    model_folder: Path, corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The random model with a calibration; it is sure of nothing, so thresholds are low."""
    import torch

    folder = tmp_path_factory.mktemp("calibrated") / "model"
    shutil.copytree(model_folder, folder)
    calibrate_model(folder, [str(corpus_folder)], torch.device("cpu"))
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, calibrated: Path) -> Run:
    """Runs a command in this process, with the calibrated model unless another is named."""
    monkeypatch.setenv("TRANSLATOR_MODEL", str(calibrated))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)

    def call(*args: object, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, [str(arg) for arg in args], input=stdin)

    return call


def threshold(run: Run) -> float:
    """A confidence that some of `LINES` have and some have not."""
    found = run("translate", *LINES, "--json").stdout.split("\n")[:-1]
    assert "confidence" not in json.loads(found[0])
    found = run("translate", *LINES, "--confidence", "--json").stdout.split("\n")[:-1]
    values = sorted(json.loads(line)["confidence"] for line in found)
    _, low, high = max((b - a, a, b) for a, b in pairwise(values))
    return (low + high) / 2  # so far from both that rounding does not matter


# --- what it is fitted to -----------------------------------------------------------------------


class Oracle(Translator):
    """Knows the translations of `known`, and says nonsense to all else."""

    known: dict[str, str]

    def translate_lines(self, lines: Sequence[str], *args, **options) -> list[Translation]:
        return [
            Translation(line, found, 0.0, [(found, 0.0)])
            for line in lines
            for found in [self.known.get(line, "Vogel " * 5)]
        ]


def test_good_and_bad_translations_are_distinguished(
    random_model: Model, text_pairs: list[tuple[str, str]]
) -> None:
    own, others = text_pairs[:120], [(f"{s} {s}", t) for s, t in text_pairs[120:160]]
    translator = Oracle(random_model)
    translator.known = dict(own)
    found = calibrate(translator, own, [others])
    measured = found.measured
    assert {kind: part["sentences"] for kind, part in measured.items()} == {
        "own": 120,
        "spoilt": 120,
        "exchanged": 30,
        "other": 40,
        "all": 310,
    }
    assert measured["own"]["base_rate"] == 1 and measured["own"]["auc"] is None
    assert measured["other"]["base_rate"] == 0
    assert measured["all"]["auc"] > 0.9 and measured["all"]["calibration_error"] < 0.15
    translator.model.info["confidence"] = {"en-de": found.to_dict()}
    new = text_pairs[200:240]
    right, wrong = (
        translator.confidences([(src, said or "Vogel " * 5) for src, said in pairs])
        for pairs in (new, [(src, "") for src, _ in new])
    )
    assert sum(right) / len(right) > sum(wrong) / len(wrong) + 0.5
    del translator.model.info["confidence"]


def test_it_is_deterministic_and_reuses_existing_translations(
    random_model: Model, text_pairs: list[tuple[str, str]]
) -> None:
    translator, own = Translator(random_model), text_pairs[:15]
    sources = [src for src, _ in own]
    lines = [t.text for t in translator.translate_lines(sources, split="never", guard=False)]
    first, second = calibrate(translator, own), calibrate(translator, own, translations=lines)
    evidence = translator.evidence(own)
    assert judge(first, evidence, own) == pytest.approx(judge(second, evidence, own), abs=1e-6)


def test_what_the_encoder_makes_of_a_sentence_says_how_hard_it_is() -> None:
    """Where nothing else tells; and it is not believed where it tells nothing."""
    import torch

    generator = torch.Generator().manual_seed(1)

    def draw(n: int, tells: float) -> tuple[Evidence, list[float]]:
        table, memory, luck = (
            torch.randn(n, k, dtype=torch.float64, generator=generator)
            for k in (len(FEATURES), 12, 1)
        )
        chrf = 60 + 15 * (tells * memory[:, 3] + (1 - tells) * luck[:, 0])
        return Evidence(table, memory, [-1.0] * n, [1] * n), chrf.tolist()

    for tells, least, most in ((0.7, 0.8, 1.0), (0.0, 0.4, 0.6)):
        evidence, chrf = draw(3000, tells)
        numbers = [i // 2 for i in range(3000)]
        found = calibration._fit_all(calibration._Sample(numbers, evidence, chrf, [1.0] * 3000))
        new, later = draw(3000, tells)
        confidences = found.probabilities(new)
        auc = compute_auc(confidences, are_good(later))
        assert auc is not None and least < auc < most
        if tells:
            assert compute_calibration_error(bin_confidences(confidences, are_good(later))) < 0.06


def drawn(n: int, tells: float, seed: int) -> "calibration._Sample":
    """Sentences of which the first feature tells something, or nothing."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    table, memory, luck = (
        torch.randn(n, k, dtype=torch.float64, generator=generator) for k in (len(FEATURES), 12, 1)
    )
    chrf = (60 + 10 * (tells * table[:, 0] + luck[:, 0])).tolist()
    evidence = Evidence(table, memory, [-1.0] * n, [1] * n)
    return calibration._Sample(list(range(n)), evidence, chrf, [1.0] * n)


@pytest.mark.parametrize("tells", [0.0, 2.0])
@pytest.mark.parametrize("n", [20, 60])
def test_few_sentences_do_not_turn_it_upside_down(n: int, tells: float) -> None:
    for seed in range(6):
        sample = drawn(n, tells, seed)
        found = calibration._fit_all(sample)
        features_alone = fit(sample.evidence.table, sample.chrf, sample.weights)
        for name in ("weight", "product"):
            pairs = zip(getattr(found, name), getattr(features_alone, name), strict=True)
            assert all(one * other >= 0 for one, other in pairs)  # scaled by no negative number
        mean = sum(found.probabilities(sample.evidence)) / n
        assert mean == pytest.approx(sum(are_good(sample.chrf)) / n, abs=0.05)


@pytest.mark.parametrize("good", [False, True])
@pytest.mark.parametrize("n", [1, 2, 40])
def test_a_single_outcome_is_not_certain(n: int, good: bool) -> None:
    sample = replace(drawn(n, 0.0, 1), chrf=[100.0 * good] * n)
    for found in calibration._fit_all(sample).probabilities(sample.evidence):
        assert 0.5 / (n + 2) < (1 - found if good else found) < 0.5


def test_a_fit_survives_json() -> None:
    found = calibration._fit_all(drawn(60, 2.0, 1))
    assert any(found.readout)
    assert Calibration.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_the_calibrations_that_ship_are_read() -> None:
    shipped = sorted((Path(__file__).parents[3] / "checkpoints").glob("*-*-*/config.json"))
    assert len(shipped) == 4
    for file in shipped:
        src, tgt = file.parent.name.split("-")[1:]
        assert find_calibration(json.loads(file.read_text(encoding="utf-8")), src, tgt)


def test_all_that_comes_of_a_sentence_is_on_one_side() -> None:
    import torch

    sources = [i % 40 for i in range(100)]
    nothing = Evidence(torch.zeros(100, 1), torch.zeros(100, 1), [0.0] * 100, [1] * 100)
    folds = calibration._Sample(sources, nothing, [0.0] * 100, [1.0] * 100).folds()
    assert sorted(i for _, new in folds for i in new) == list(range(100))
    for seen, new in folds:
        assert len(seen) + len(new) == 100
        assert not {sources[i] for i in seen} & {sources[i] for i in new}


def test_no_more_sentences_than_the_limit(
    random_model: Model, text_pairs: list[tuple[str, str]]
) -> None:
    found = calibrate(Translator(random_model), text_pairs[:30], [text_pairs[30:60]] * 2, limit=7)
    assert {kind: part["sentences"] for kind, part in found.measured.items()} == {
        "own": 7,
        "spoilt": 7,
        "exchanged": 2,
        "other": 14,
        "all": 30,
    }


def test_validation_pairs_of_a_corpus(corpus_folder: Path, tmp_path: Path, text_pairs) -> None:
    assert read_validation_pairs(str(corpus_folder), "en", "de") == text_pairs[200:220]
    for side, language in enumerate(("en", "de")):
        lines = "".join(pair[side] + "\n" for pair in text_pairs[:200])
        (tmp_path / f"train.{language}").write_text(lines)
    assert len(read_validation_pairs(str(tmp_path), "en", "de")) == 2  # held out
    for language in ("en", "de"):
        (tmp_path / f"train.{language}").rename(tmp_path / f"test.{language}")
    with pytest.raises(TranslatorError, match="validation pairs"):
        read_validation_pairs(str(tmp_path), "en", "de")


# --- where it is kept ---------------------------------------------------------------------------


def test_the_rest_of_a_model_stays_as_it_was(calibrated: Path, model_folder: Path) -> None:
    before, after = read_description(model_folder), read_description(calibrated)
    assert {k: v for k, v in after.items() if k != "confidence"} == before
    for name in ("model.safetensors", "tokenizer.model"):
        assert file_sha256(calibrated / name) == file_sha256(model_folder / name)
    assert sorted(p.name for p in calibrated.iterdir()) == sorted(
        p.name for p in model_folder.iterdir()
    )
    model = load_model(calibrated)  # verifies the digests
    assert isinstance(find_calibration(model.info, "en", "de"), Calibration)


def test_an_average_has_none(calibrated: Path, model_folder: Path, tmp_path: Path) -> None:
    """It belongs to the exact weights."""
    average_models([calibrated, model_folder], tmp_path / "mean")
    assert "confidence" not in read_description(tmp_path / "mean")


def test_a_checkpoint_of_an_unfinished_run_is_not_changed(
    save_step: Callable[..., Path], run: Run, corpus_folder: Path
) -> None:
    step = save_step(3, best=3)
    before = (step / CONFIG).read_bytes()
    for model in (step, step.parents[1]):  # itself, and the unfinished run
        result = run("calibrate", model, "--data", corpus_folder)
        assert result.exit_code == 1 and "checkpoint of a run" in result.stderr
        assert result.stdout == "" and len(result.stderr.splitlines()) == 1
    assert (step / CONFIG).read_bytes() == before


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_finished_run_has_one(
    tiny_config: Config, corpus_folder: Path, tmp_path: Path, bidirectional: bool
) -> None:
    config = replace(
        tiny_config,
        data=replace(tiny_config.data, bidirectional=bidirectional),
        confidence=ConfidenceConfig(corpora=f"{corpus_folder}, sample", sentences=6),
    )
    folder = tmp_path / "run"
    info = train(config, folder)
    expected = ["en-de", "de-en"][: 1 + bidirectional]
    assert list(info.confidence) == expected
    for values in info.confidence.values():
        counts = {kind: part["sentences"] for kind, part in values["measured"].items()}
        assert counts == {"own": 6, "spoilt": 6, "exchanged": 2, "other": 12, "all": 26}
    translator = Translator.load(folder, device="cpu")
    (found,) = translator.translate_lines(["The dog runs here."], confidence=True)
    assert 0 <= found.confidences[0] <= 1
    # None of it is a setting that a run could not be resumed with; other weights start without.
    off = replace(config, confidence=ConfidenceConfig(enabled=False))
    more = replace(off, train=replace(config.train, steps=7))
    assert train(more, folder).confidence is None
    later = replace(off, train=replace(config.train, init_from=str(folder)))
    assert train(later, tmp_path / "later").confidence is None


def test_a_missing_corpus_is_an_error_before_training(tiny_config: Config, tmp_path: Path) -> None:
    config = replace(tiny_config, confidence=ConfidenceConfig(corpora="no-such-corpus"))
    with pytest.raises(TranslatorError, match="no-such-corpus"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run" / "steps").exists()


# --- the command calibrate ----------------------------------------------------------------------


def test_calibrate_says_what_it_measured(
    run: Run, model_folder: Path, corpus_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    options = ["--data", corpus_folder, "--data", "sample", "--sentences", 8]
    result = run("calibrate", folder, *options)
    assert result.exit_code == 0, result.output
    for word in ("en-de", "chrF of at least 60", "AUC", "log-probability", "calibration error"):
        assert word in result.stdout
    kept = read_description(folder)["confidence"]
    value = json.loads(run("calibrate", folder, *options, "--json").stdout)
    assert value == {"model": str(folder), "confidence": kept}
    assert value["confidence"]["en-de"]["measured"]["other"]["sentences"] == 8


def test_info_shows_it(run: Run) -> None:
    result = run("info")
    assert result.exit_code == 0, result.output
    assert "confidence en-de: chrF of at least 60" in result.stdout and "AUC" in result.stdout


def test_calibrate_fails_in_one_line(
    run: Run, calibrated: Path, corpus_folder: Path, tmp_path: Path
) -> None:
    assert run("calibrate", calibrated).exit_code == 2  # no --data
    before = (calibrated / CONFIG).read_bytes()
    for args in ((tmp_path / "none", corpus_folder), (calibrated, "no-such-corpus")):
        result = run("calibrate", args[0], "--data", args[1])
        assert result.exit_code == 1 and result.stdout == ""
        assert len(result.stderr.splitlines()) == 1
    assert (calibrated / CONFIG).read_bytes() == before


# --- translate --confidence ---------------------------------------------------------------------


def test_confidence_is_printed_before_the_translation(run: Run) -> None:
    plain = run("translate", *LINES, "").stdout.split("\n")[:-1]
    found = run("translate", *LINES, "", "--confidence").stdout.split("\n")[:-1]
    rows = [line.split("\t") for line in found]
    assert [text for _, text in rows] == plain
    assert all(0 <= float(number) <= 1 for number, _ in rows) and rows[-1] == ["1.0000", ""]
    both = run("translate", *LINES, "", "--confidence", "--scores", "--n-best", "2").stdout
    assert all(len(line.split("\t")) == 3 for line in both.split("\n")[:-1])


def test_confidence_in_json(run: Run) -> None:
    line = "The dog runs here. The man sleeps."
    found = json.loads(run("translate", line, "--confidence", "--n-best", "2", "--json").stdout)
    parts = [segment["confidence"] for segment in found["segments"]]
    assert len(parts) == 2 and found["confidence"] == min(parts)
    assert found["n_best"][0]["confidence"] == found["confidence"]
    assert "withheld" not in found


@pytest.mark.parametrize("number", ["-0.1", "1.1", "nan", "inf", "much"])
def test_a_threshold_is_between_0_and_1(run: Run, number: str) -> None:
    result = run("translate", "x", "--min-confidence", number)
    assert result.exit_code == 2 and result.stdout == ""


@pytest.mark.parametrize("option", [["--confidence"], ["--min-confidence", "0.5"]])
def test_without_calibration_one_line_says_what_to_do(
    run: Run, model_folder: Path, option: list[str], tmp_path: Path
) -> None:
    for more in ([], ["--output", tmp_path / "out.txt"]):
        result = run("translate", "x", "--model", model_folder, *option, *more)
        assert result.exit_code == 1 and result.stdout == ""
        (line,) = result.stderr.splitlines()
        assert f"translator calibrate {model_folder} --data" in line


def test_uncertain_translations_are_left_blank(run: Run) -> None:
    least = threshold(run)
    plain = run("translate", *LINES, "--confidence").stdout.split("\n")[:-1]
    result = run("translate", *LINES, "", "--min-confidence", least, "--confidence")
    rows = [line.split("\t") for line in result.stdout.split("\n")[:-1]]
    assert [number for number, _ in rows[:-1]] == [line.split("\t")[0] for line in plain]
    blank = [text == "" for _, text in rows[:-1]]
    assert 0 < sum(blank) < len(LINES)
    assert result.stderr.count("withheld, ") == 1 and f"{sum(blank)} line" in result.stderr
    values = run("translate", *LINES, "--min-confidence", least, "--json").stdout.split("\n")[:-1]
    for line, away, before in zip(map(json.loads, values), blank, plain, strict=True):
        text = before.split("\t")[1]
        assert (line["confidence"] < least) == away
        assert (line["translation"], line.get("withheld")) == (("", text) if away else (text, None))


def test_lines_end_as_they_did(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_bytes(b"The dog runs here.\r\n\r\nThe man sleeps.\r\n")
    result = run("translate", "--input", source, "--min-confidence", "1", "--quiet")
    assert result.stdout_bytes == b"\r\n\r\n\r\n"
    assert result.stderr == ""
    assert run("translate", stdin="The dog.\n\n").stdout.count("\n") == 2
    stdin = run("translate", "--min-confidence", "1", stdin="The dog.\n\nA man.")
    assert stdin.stdout == "\n\n\n" and "2 lines were withheld" in stdin.stderr


def test_a_job_with_another_threshold_starts_over(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    least = threshold(run)
    source, output = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("".join(f"{line}\n" for line in LINES))
    expected = run("translate", "--input", source, "--min-confidence", least).stdout
    monkeypatch.setattr(files, "blocks", functools.partial(files.blocks, size=2))
    translate_lines = Translator.translate_lines
    seen: list[int] = []

    def interrupted(self: Translator, lines: list[str], **options) -> list[Translation]:
        seen.append(len(lines))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return translate_lines(self, lines, **options)

    monkeypatch.setattr(Translator, "translate_lines", interrupted)
    command = ["translate", "--input", source, "--output", output, "--min-confidence"]
    assert run(*command, least).exit_code == 130
    monkeypatch.setattr(Translator, "translate_lines", translate_lines)
    partial = {p.name: p.read_bytes() for p in tmp_path.glob("out.txt.*")}
    resumed = run(*command, least)
    assert "Continuing after the 2 lines" in resumed.stderr and output.read_text() == expected
    for name, content in partial.items():
        (tmp_path / name).write_bytes(content)
    assert "Going on" not in run(*command, "0").stderr
    assert all(output.read_text().splitlines())


def test_small_batches_change_nothing(run: Run) -> None:
    args = ["translate", *LINES, "--confidence"]
    assert run(*args).stdout == run(*args, "--batch-tokens", "7").stdout
