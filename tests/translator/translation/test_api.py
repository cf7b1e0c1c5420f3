"""What a program may hand to a `Translator`, and where it may take one."""

import asyncio
import copy
import io
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from translator.config.errors import TranslatorError
from translator.storage.find import complete_direction, shipped_models
from translator.storage.model_folder import Model
from translator.translation.translator import Translator

LINES = ["The dog runs here.", "", "  The man sleeps today. The bird sings. ", "Δ 12"]


# What is handed over.


def test_a_string_gives_a_string(translator: Translator) -> None:
    found = translator.translate(LINES[0])
    assert isinstance(found, str)
    assert [found] == translator.translate([LINES[0]])
    assert translator("") == ""


@settings(max_examples=6)
@given(lines=st.lists(st.sampled_from([*LINES, "\r", "dog\r"]), min_size=1, max_size=4))
def test_a_string_keeps_its_lines(translator: Translator, lines: list[str]) -> None:
    assert translator("\n".join(lines)) == "\n".join(translator(lines))


@pytest.mark.parametrize(
    "form", [list, tuple, iter, lambda lines: (line for line in lines), dict.fromkeys]
)
def test_any_iterable_is_read_once(
    translator: Translator, form: Callable[[list[str]], Any]
) -> None:
    assert translator.translate(form(LINES)) == translator.translate(LINES)
    assert translator(form(LINES)) == translator.translate(LINES)


def test_an_open_file_is_its_lines(translator: Translator) -> None:
    file = io.StringIO("".join(line + "\n" for line in LINES))
    expected = [translation + "\n" for translation in translator.translate(LINES)]
    assert translator.translate(file) == expected


@pytest.mark.parametrize(
    "wrong, word",
    [(None, "NoneType"), (3, "int"), (b"A dog.", "bytes"), (Path("in.txt"), "Path")]
    + [([None], "number 1 is NoneType"), (["a", 2.5], "number 2 is float"), ([b"a"], "bytes")],
)
def test_anything_else_is_a_type_error_in_one_line(
    translator: Translator, wrong: Any, word: str
) -> None:
    for call in (translator, translator.translate, translator.translate_lines):
        with pytest.raises(TypeError, match=f"^Expected .*{word}.*$") as caught:
            call(wrong)
        assert "\n" not in str(caught.value)


def test_a_single_string_is_refused_as_lines(translator: Translator) -> None:
    with pytest.raises(TypeError, match="Expected a list of strings, not str"):
        translator.translate_lines("A dog runs.")


def test_an_unknown_setting_is_named_with_the_one_that_was_meant(translator: Translator) -> None:
    with pytest.raises(TypeError, match='no search setting "beam". Did you mean "beam_size"?'):
        translator.translate("A dog runs.", beam=3)
    with pytest.raises(TypeError, match='no search setting "xyz". The settings are: decode, '):
        translator("A dog runs.", xyz=None)


@pytest.mark.parametrize("wrong", ["folder", Path("folder"), [], ["folder"], {"a": 1}])
def test_folders_are_for_load(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"loaded models, not .* for Translator\.load\(\.\.\.\)"):
        Translator(wrong)


# Which model is loaded.


@pytest.mark.parametrize(
    "given_, direction",
    [
        ((None, None), ("en", "de")),
        (("de", None), ("de", "en")),
        ((None, "en"), ("de", "en")),
        (("en", None), ("en", "de")),
        (("fr", None), ("fr", "de")),
        (("de", "de"), ("de", "de")),
    ],
)
def test_one_language_alone_is_enough(
    given_: tuple[str | None, str | None], direction: tuple[str, str]
) -> None:
    assert complete_direction(*given_) == direction


@pytest.mark.skipif(not shipped_models(), reason="no model is shipped")
def test_one_language_alone_finds_the_shipped_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRANSLATOR_MODEL", raising=False)
    for options in ({"src": "de"}, {"tgt": "en"}):
        translator = Translator.load(**options, device="cpu")
        assert (translator.src, translator.tgt) == ("de", "en")


def test_a_model_of_another_direction_is_named(model_folder: Path) -> None:
    with pytest.raises(TranslatorError, match=f"{model_folder} translates en-de, not de-en"):
        Translator.load(model_folder, src="de")


# Where it may be taken.


@pytest.mark.parametrize(
    "make",
    [lambda t: pickle.loads(pickle.dumps(t)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deepcopy"],
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_copies_translate_alike(
    random_model: Model, make: Callable[[Translator], Translator], precision: str
) -> None:
    original = Translator(random_model, precision=precision)
    before = original.translate_lines(LINES)
    twin = make(original)
    assert twin.translate_lines(LINES) == before
    assert (twin.src, twin.tgt, twin.precision) == ("en", "de", precision)
    assert original.translate_lines(LINES) == before


def test_a_loaded_one_reads_its_weights_again_when_they_are_needed(
    random_model: Model, model_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(model_folder, tmp_path / "model")
    kept, loaded = Translator(random_model), Translator.load(folder, device="cpu")
    assert loaded.translate(LINES) == kept.translate(LINES)
    assert "transformer" not in vars(loaded.model)
    (one,), (other,) = (t.translate_lines(LINES[:1], alignments=True) for t in (kept, loaded))
    assert other == one
    for name, weight in random_model.transformer.state_dict().items():
        assert torch.equal(loaded.model.transformer.state_dict()[name], weight), name
    sent = pickle.dumps(Translator.load(folder, device="cpu"))
    shutil.rmtree(folder)
    assert pickle.loads(sent).translate_lines(LINES[:1], alignments=True) == [one]


def test_weights_that_are_gone_are_said_to_be(model_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder, tmp_path / "model")
    loaded = Translator.load(folder, device="cpu")
    shutil.rmtree(folder)
    assert loaded(LINES[0])
    with pytest.raises(TranslatorError, match="cannot be read"):
        loaded.translate_lines(LINES[:1], alignments=True)


def test_threads_share_one(translator: Translator) -> None:
    texts = [f"The dog runs {i}. The man sleeps." for i in range(24)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(translator, texts)) == translator(texts)


def test_an_event_loop_is_not_blocked(translator: Translator) -> None:
    async def main() -> list[str]:
        return await asyncio.gather(*(asyncio.to_thread(translator, line) for line in LINES))

    assert asyncio.run(main()) == translator(LINES)


@pytest.fixture
def used(random_model: Model) -> Iterator[Translator]:
    """A translator whose process has started threads for its matrix products."""
    torch.set_num_threads(2)
    big = torch.ones(1024, 1024)
    (big @ big).sum()
    translator = Translator(random_model)
    translator.translate(LINES)
    yield translator
    torch.set_num_threads(1)


BIG = "The dog runs here and there. " * 40


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_get_one(used: Translator, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    with multiprocessing.get_context(method).Pool(2) as pool:
        texts = [*LINES, BIG]
        found = pool.map_async(used.translate, texts).get(timeout=600)
    assert found == used.translate(texts)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_used_one_answers_after_a_fork(
    model_folder: Path, subprocess_environment: dict[str, str]
) -> None:
    """The threads of its matrix products are gone in the child, which must not wait for them."""
    script = """if True:
        import os, sys, torch
        from translator import Translator

        torch.set_num_threads(2)
        big = torch.ones(1024, 1024)
        translator = Translator.load(sys.argv[1], device="cpu")
        texts = ["The dog runs here."] * 100
        before = translator(texts)
        (big @ big).sum()
        child = os.fork()
        if child == 0:
            (big @ big).sum()
            os._exit(0 if translator(texts) == before else 1)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    environment = {**subprocess_environment, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", script, str(model_folder)]
    assert subprocess.run(command, env=environment, timeout=600).returncode == 0


def test_using_a_gpu_after_a_fork_is_an_error(
    random_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator = Translator(random_model)
    translator._device = torch.device("cuda")
    monkeypatch.setattr(os, "getpid", lambda: -1)
    for call in (translator.translate, translator.attention):
        with pytest.raises(TranslatorError, match="cannot be used after a fork.*spawn"):
            call("The dog runs.")
    for judge in (translator.score, translator.evidence):
        with pytest.raises(TranslatorError, match="cannot be used after a fork.*spawn"):
            judge([("The dog runs.", "Der Hund rennt.")])
