"""An export translates as we do, or is refused: CTranslate2 and Hugging Face's transformers."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Run, assert_one_line, assert_usage

from translator.config.errors import TranslatorError
from translator.config.schema import SearchConfig
from translator.export import huggingface
from translator.export.engine import check_search, use
from translator.export.targets import PACKAGES, export_model
from translator.export.verify import N_LINES, encode, gaps, sample_lines, verify
from translator.export.weights import Weights
from translator.model.batch import pad_right
from translator.model.transformer import Transformer
from translator.search.beam import beam_search
from translator.serve.translators import Task, Translators
from translator.storage.model_folder import Model, load_model, save_model
from translator.text.tokenizer import EOS
from translator.translation.translator import Translator

TARGETS = sorted(PACKAGES)
Loud = Callable[..., Model]


def need(target: str) -> None:
    for package in PACKAGES[target]:
        pytest.importorskip(package, reason=f"needs {package}: the extra `export`")


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("target", TARGETS)
def test_an_export_translates_as_we_do(
    target: str, norm: str, both: bool, loud: Loud, tmp_path: Path
) -> None:
    need(target)
    found = export_model(loud(norm, both), target, tmp_path / "out")
    assert found.proof.lines == N_LINES * (1 + both)
    assert found.proof.pieces > 2 * found.proof.lines
    assert found.bytes == sum(file.stat().st_size for file in (tmp_path / "out").iterdir())
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_a_refused_export_prints_both_translations_and_leaves_nothing(
    loud: Loud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("huggingface")
    model = loud()

    def wrong(transformer: Transformer, *args: Any) -> dict[str, torch.Tensor]:
        state = right(transformer, *args)
        state["model.decoder.layers.0.fc1.weight"].mul_(-1)
        return state

    right = huggingface.state
    monkeypatch.setattr(huggingface, "state", wrong)
    with pytest.raises(TranslatorError, match='refused.* becomes ".*" there, and ".*" here') as it:
        export_model(model, "huggingface", tmp_path / "out")
    assert "\n" not in str(it.value)
    assert not list(tmp_path.iterdir())


def test_verification_accepts_greedy_search_and_nothing_worse(loud: Loud) -> None:
    model = loud()
    lines = sample_lines("en", 8)
    config = SearchConfig(beam_size=1, max_ratio=0.0, max_extra=12)

    def greedy(sources: Any, limit: int) -> list[list[int]]:
        found = beam_search(model.transformer, pad_right(sources), config)
        return [[*h[0].ids, EOS][:12] for h in found]

    def mistaken(sources: Any, limit: int) -> list[list[int]]:
        outputs = greedy(sources, limit)
        outputs[3][-1] = 100 if outputs[3][-1] != 100 else 101
        return outputs

    assert verify(model, greedy, 1e-3, lines).largest <= 1e-3
    with pytest.raises(TranslatorError, match="refused"):
        verify(model, mistaken, 1e-3, lines)
    with pytest.raises(TranslatorError, match="refused"):
        verify(model, lambda sources, limit: [[] for _ in sources], 1e-3, lines)


def test_gaps_do_not_depend_on_the_batch(loud: Loud) -> None:
    model = loud()
    sources = encode(model, "en", "de", sample_lines("en", 5))
    outputs = [[5 + i, 40, 41 + 7 * i][: 1 + i % 3] for i in range(5)]
    alone = [gaps(model, [s], [o])[0] for s, o in zip(sources, outputs, strict=True)]
    assert gaps(model, sources, outputs) == pytest.approx(alone, abs=1e-4)


def test_a_weight_without_a_place_and_a_place_without_a_weight_are_errors(loud: Loud) -> None:
    model = loud()
    weights = Weights(model.transformer)
    weights.take("embedding.weight")
    with pytest.raises(TranslatorError, match="no weight embedding.weight"):
        weights.take("embedding.weight")
    with pytest.raises(TranslatorError, match="no place for encoder.0.self_attention.query.weight"):
        weights.finish()


def test_the_tokenizer_there_reads_tags_and_writes_text(loud: Loud, tmp_path: Path) -> None:
    need("huggingface")
    model = loud(bidirectional=True)
    huggingface.write_model(model.transformer, tmp_path / "out")
    huggingface.write_tokenizer(model.tokenizer, tmp_path / "out", "en", "de")
    tokenizer = huggingface.Engine(tmp_path / "out").tokenizer
    for text in ("The dog runs here.", "Grüße, 42 <3 ½", "  two  spaces "):
        ids = [model.tokenizer.tag("de"), *model.tokenizer.encode(text), EOS]
        assert tokenizer(">>de<<" + text).input_ids == ids
        assert tokenizer.decode(ids[1:], skip_special_tokens=True) == text.strip()


def test_the_command_says_what_it_wrote_and_what_it_cannot(
    run: Run, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("ctranslate2")
    out = tmp_path / "out"
    options = ("export", model_folder, "--to", "ctranslate2", out)
    result = run(*options, "--weights", "int8", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["lines"] == N_LINES
    assert_one_line(run(*options), "is there already")
    assert_one_line(run(*options[:-1], tmp_path / "a" / "b"), "There is no folder")
    assert_one_line(
        run("export", model_folder, "--to", "huggingface", tmp_path / "b", "--weights", "int8"),
        "stores weights as float32",
    )
    assert_usage(run("export", model_folder, "--to", "word", out))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert_one_line(run(*options[:-1], tmp_path / "c"), "pip install 'small-nmt[export]'")


def test_ctranslate2_searches_for_a_translator(
    loud: Loud, tmp_path: Path, text_pairs: list[tuple[str, str]]
) -> None:
    need("ctranslate2")
    made, copies = loud(), tmp_path / "copies"
    save_model(tmp_path / "m", made.transformer.state_dict(), made.tokenizer, made.config, {})
    model = load_model(tmp_path / "m")
    ours, theirs = Translator(model), Translator(model)
    use(theirs, folder=copies)
    (copy,) = copies.iterdir()
    written = copy.stat().st_mtime_ns
    use(theirs, folder=copies)  # the copy that is there
    assert [*copies.iterdir()] == [copy] and copy.stat().st_mtime_ns == written
    lines = [src for src, _ in text_pairs[:20]] + ["A 🎈 here, https://x.org."]
    rows = encode(model, "en", "de", lines)
    for options in ({"beam_size": 1}, {"beam_size": 1, "no_repeat_ngram": 2}):
        search = ours.search_config(**options)
        expected = beam_search(model.transformer, pad_right(rows), search)
        found = theirs.decoder.engine.beam_search(rows, search)
        for one, other in zip(expected, found, strict=True):
            assert other[0].ids == one[0].ids
    with pytest.raises(TranslatorError, match="at most 512 pieces"):
        theirs.decoder.engine.beam_search([[9] * 600], ours.search_config())
    with pytest.raises(TranslatorError, match="leave --precision out"):
        use(Translator(model, precision="bf16"), folder=copies)
    n_best = theirs.translate_lines(lines[:2], theirs.search_config(beam_size=4, n_best=3))
    for translation in n_best:
        scores = [score for _, score in translation.n_best]
        assert len(scores) == 3 and scores == sorted(scores, reverse=True)
    begun = theirs.translate(lines[:3], prefix="Der")
    assert all(text.startswith("Der") for text in begun)


@pytest.mark.parametrize(
    "setting", [{"decode": "sample"}, {"stopping": "exact"}, {"length_rule": "gnmt"}]
)
def test_what_ctranslate2_lacks_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(TranslatorError, match="leave the engine out"):
        check_search(SearchConfig(**setting))


def test_translate_with_an_engine(
    run: Run, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("ctranslate2")
    monkeypatch.setenv("TRANSLATOR_CACHE", str(tmp_path))
    options = ("translate", "--model", model_folder, "--device", "cpu", "--engine", "ctranslate2")
    result = run(*options, "The dog runs here.")
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout.splitlines()) == 1 and (tmp_path / "ctranslate2").is_dir()
    assert_one_line(run(*options, "--decode", "sample", "The dog."), "leave the engine out")
    two = run(*options, "--model", model_folder, "The dog.")
    assert_one_line(two, "takes one model")
    int8 = (*options[:-1], "ctranslate2-int8")
    assert_one_line(run(*int8, "--precision", "bf16", "The dog."), "leave --precision out")
    assert run(*int8, "The dog runs here.").exit_code == 0
    assert len(list((tmp_path / "ctranslate2").glob("*-int8/model.bin"))) == 1
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert_one_line(run(*options, "The dog."), "pip install 'small-nmt[export]'")


def test_an_engine_starts_without_pytorch(
    run: Run, model_folder: Path, tmp_path: Path, subprocess_environment: dict[str, str]
) -> None:
    need("ctranslate2")
    environment = {**subprocess_environment, "TRANSLATOR_CACHE": str(tmp_path)}
    script = (
        "import sys\nfrom translator.cli.main import main\n"
        "try: main()\nfinally: print('torch' in sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", script, "translate", "--model", str(model_folder), "-q"]
    command += ["--engine", "ctranslate2"]

    def call(*more: str) -> tuple[str, str]:
        done = subprocess.run(
            [*command, *more], capture_output=True, text=True, env=environment, check=True
        )
        return done.stdout, done.stderr.split()[-1]

    text = "The dog runs here. The man sleeps."
    first, needed = call(text)  # makes the copy
    assert needed == "True"
    assert call(text) == (first, "False")
    (tmp_path / "in").write_text(f"{text}\n" * 3)
    assert call("-i", str(tmp_path / "in"), "-o", str(tmp_path / "out")) == ("", "False")
    assert (tmp_path / "out").read_text() == first * 3
    aligned, needed = call("--alignments", text)  # which only PyTorch can find
    assert aligned.split("\t")[0] == first.strip() and needed == "True"


def test_a_lazy_translator_is_as_careful(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("ctranslate2")
    folder = shutil.copytree(model_folder, tmp_path / "model")
    translator = Translator.load(folder, device="auto", lazy=True)
    assert translator.on_cpu
    use(translator, folder=tmp_path / "copies")
    text = "The dog runs here."
    found = translator.translate(text)
    # While others look at the models themselves, these stay as they are.
    pairs = [(text, found)] * 40
    expected = Translator.load(folder, device="cpu").score(pairs)
    with ThreadPoolExecutor() as pool:
        scored = [pool.submit(translator.score, pairs) for _ in range(4)]
        aligned = [
            pool.submit(translator.translate_lines, [text], alignments=True) for _ in range(4)
        ]
        assert all(done.result()[0].alignment is not None for done in aligned)
        assert all(done.result() == expected for done in scored)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(TranslatorError, match="with ctranslate2 float32 cannot be used after a"):
        translator.translate(text)
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(TranslatorError, match="damaged"):
        Translator.load(folder, lazy=True)


def test_a_server_searches_with_an_engine(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("ctranslate2")
    monkeypatch.setenv("TRANSLATOR_CACHE", str(tmp_path))
    way = ("en", "de")
    translators = Translators.find([str(model_folder)], "cpu", engine="ctranslate2")
    assert (tmp_path / "ctranslate2").is_dir()  # before anybody asks
    assert translators.get(way).decoder.engine
    (found,) = translators.work(Task(way, n_best=2, alignments=True), ["The dog runs here."])
    assert found.text and len(found.n_best) == 2 and found.alignment is not None
    with pytest.raises(TranslatorError, match="leave --precision out"):
        Translators.find([str(model_folder)], "cpu", "bf16", engine="ctranslate2")
