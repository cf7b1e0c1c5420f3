"""What has faults is searched for again in safer ways, and is never worse afterwards."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import LINE

from translator.search.hypothesis import Hypothesis
from translator.storage.model_folder import Model
from translator.translation import retry
from translator.translation.result import Repair, Segment, Translation
from translator.translation.retry import Retrier, find_faults, find_names
from translator.translation.translator import Translator


class Says:
    """Puts words into a model's mouth: for each text that is searched for, the next of a list."""

    def __init__(self, translator: Translator, patch: pytest.MonkeyPatch, **answers: list[str]):
        self.translator, self.answers = translator, answers
        self.asked: list[tuple[str, int, int]] = []  # text, beam size, n-gram block
        patch.setattr(translator.decoder, "search", self.search)

    def search(self, units, search) -> list[list[Hypothesis]]:
        tokenizer = self.translator.model.tokenizer
        found = []
        for unit in units:
            self.asked.append((unit.text, search.beam_size, search.no_repeat_ngram))
            texts = self.answers["safer" if search.no_repeat_ngram else "first"]
            if "parts" in self.answers and unit.text != self.line:
                texts = [self.answers["parts"].pop(0)]
            found.append(
                [
                    Hypothesis([*unit.prefix, *tokenizer.encode(text)], -1.0 - i, -1.0 - i)
                    for i, text in enumerate(texts)
                ]
            )
        return found

    def translate(self, line: str, **options: object) -> Translation:
        self.line = line.strip()
        (found,) = self.translator.translate_lines([line], **options)  # type: ignore[arg-type]
        return found


SOURCE = "The dog runs here and the man sleeps"
GOOD = "Der Hund läuft hier"
LOOP = "Hund Hund Hund Hund Hund Hund"


def test_a_faulty_translation_is_searched_again_by_a_wider_beam(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Says(translator, monkeypatch, first=[LOOP], safer=[LOOP, GOOD])
    found = model.translate(SOURCE)
    (segment,) = found.segments
    assert found.text == segment.text == GOOD
    assert segment.repair is not None
    assert segment.repair.faults == ["loop"]
    assert (segment.repair.by, segment.repair.left) == ("wider beam", [])
    assert model.asked[0][1:] == (translator.model.config.search.beam_size, 0)
    assert model.asked[1][1] > model.asked[0][1] and model.asked[1][2] > 0


def test_a_faulty_translation_is_searched_in_two_parts(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Says(translator, monkeypatch, first=[LOOP], safer=[LOOP, LOOP], parts=[GOOD, "Mann"])
    found = model.translate(SOURCE)
    assert found.text == f"{GOOD} Mann"
    (segment,) = found.segments
    assert segment.source == SOURCE
    assert segment.score == found.score == -2.0
    assert segment.repair is not None
    assert (segment.repair.faults, segment.repair.by) == (["loop"], "split")
    assert " ".join(text for text, *_ in model.asked[2:]) == SOURCE


def test_parts_of_a_repaired_sentence_keep_their_links(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Says(
        translator, monkeypatch, first=[LOOP], safer=[""], parts=["Hund läuft", "Mann schläft"]
    )
    found = model.translate(f"  {SOURCE}", alignments=True)
    assert found.segments[0].repair is not None and found.segments[0].repair.by == "split"
    assert found.text == "  Hund läuft Mann schläft"
    assert found.alignment
    assert all(i < len(SOURCE.split()) and j < 4 for i, j in found.alignment)
    assert {j for _, j in found.alignment} & {2, 3}  # of the second part


def test_a_name_that_is_lost_is_carried_over(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "The dog sees Lolowolo."
    assert not translator.codec.encode(line).copies  # the vocabulary can spell it

    def search(units, search) -> list[list[Hypothesis]]:
        """Says its source again where that has placeholders."""
        good = translator.model.tokenizer.encode(GOOD)
        return [[Hypothesis(u.source.ids if u.source.copies else good, -1.0, -1.0)] for u in units]

    monkeypatch.setattr(translator.decoder, "search", search)
    (found,) = translator.translate_lines([line])
    assert found.text == line
    assert found.segments[0].repair == Repair(["names"], "copied", [])
    (with_prefix,) = translator.translate_lines([line], prefix="Der")  # has its own placeholders
    assert with_prefix.segments[0].repair == Repair(["names"], "nothing", ["names"])
    (as_it_is,) = translator.translate_lines([line], guard=False)
    assert as_it_is.text == GOOD


def test_names_are_not_looked_for_in_german(
    random_model: Model, translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, line = random_model.tokenizer, "The dog sees Lolowolo."
    assert find_names(tokenizer, "en", line) == [(13, 21)]
    assert find_names(tokenizer, "de", line) == []
    data = replace(random_model.config.data, src="de", tgt="en")
    german = Translator(replace(random_model, config=replace(random_model.config, data=data)))
    for model, is_mended in ((translator, True), (german, False)):
        (segment,) = Says(model, monkeypatch, first=[GOOD], safer=[GOOD]).translate(line).segments
        assert (segment.repair is not None) == is_mended


def test_capitals_are_read_in_small_letters(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Says(translator, monkeypatch, first=[GOOD, LOOP], safer=[GOOD])
    found = model.translate(f" {SOURCE.upper()} ", search=translator.search_config(n_best=2))
    assert [text for text, *_ in model.asked] == [SOURCE.upper(), SOURCE.capitalize()]
    assert [text for text, _ in found.n_best] == [f" {GOOD.upper()} ", f" {LOOP.upper()} "]
    assert found.segments[0].source == SOURCE.upper()
    repair = found.segments[0].repair
    assert repair is not None and (repair.faults[0], repair.by) == ("capitals", "small letters")
    loud = SOURCE.upper()
    kept = [("NASA", {}), ("A TV", {}), (SOURCE, {}), (loud, {"guard": False})]
    for line, options in (*kept, (loud, {"prefix": "Der"})):
        found = model.translate(line, **options)
        repair = found.segments[0].repair
        assert found.text.endswith(GOOD) and (not repair or repair.by != "small letters")


def test_a_loop_in_capitals_is_repaired(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Says(translator, monkeypatch, first=[LOOP], safer=[GOOD])
    found = model.translate(SOURCE.upper())
    assert found.text == GOOD.upper()
    repair = found.segments[0].repair
    assert repair is not None and "loop" in repair.faults and "loop" not in repair.left


def test_where_no_way_is_better_the_translation_stays(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Says(translator, monkeypatch, first=[LOOP], safer=[LOOP + " Hund"])
    (segment,) = model.translate(SOURCE).segments
    assert segment.text == LOOP
    assert segment.repair is not None
    assert (segment.repair.by, segment.repair.left) == ("nothing", ["loop"])


def test_clean_text_is_searched_for_once(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Says(translator, monkeypatch, first=[GOOD], safer=["something else"])
    found = model.translate(SOURCE)
    assert found.text == GOOD and found.segments[0].repair is None
    assert len(model.asked) == 1


@pytest.mark.parametrize("options", [{"guard": False}, {"decode": "sample"}])
def test_without_a_guard_and_for_samples_faults_stay(
    translator: Translator, monkeypatch: pytest.MonkeyPatch, options: dict
) -> None:
    model = Says(translator, monkeypatch, first=[LOOP], safer=[GOOD])
    if "decode" in options:
        options = {"search": translator.search_config(**options)}
    found = model.translate(SOURCE, **options)
    assert found.text == LOOP and found.segments[0].repair is None
    assert len(model.asked) == 1


@pytest.mark.parametrize("n_best", [1, 2, 3, 4])
def test_a_repaired_sentence_has_as_many_translations(
    translator: Translator, monkeypatch: pytest.MonkeyPatch, n_best: int
) -> None:
    """The good one first."""
    texts = [LOOP, f"{LOOP} Hund", GOOD, "Mann"]
    model = Says(translator, monkeypatch, first=texts[:n_best], safer=texts)
    search = translator.search_config(beam_size=4, n_best=n_best)
    found = model.translate(SOURCE, search=search)
    assert found.text == GOOD
    assert len(found.n_best) == n_best
    assert found.n_best[0] == (found.text, found.score)
    assert len({text for text, _ in found.n_best}) == n_best


def test_a_repaired_sentence_keeps_its_prefix(translator: Translator) -> None:
    lines = ["The dog runs here.", "The man sleeps today and 12 dogs run."]
    for found in translator.translate_lines(lines, prefix="Hund Hund Hund Hund"):
        assert found.text.startswith("Hund Hund Hund Hund")
        assert found.segments[0].repair is not None
        assert "loop" in found.segments[0].repair.left


@settings(max_examples=30)
@given(line=LINE, seed=st.integers(0, 5))
def test_a_guard_never_makes_a_sentence_worse(
    small_translator: Callable[[int], Translator], line: str, seed: int
) -> None:
    """These models say nothing sensible, so there is much to retry."""
    translator = small_translator(seed)
    (with_guard,) = translator.translate_lines([line])
    (without,) = translator.translate_lines([line], guard=False)
    assert len(with_guard.segments) == len(without.segments)

    def faults_of(segment: Segment) -> list[str]:
        source = translator.codec.encode(segment.source)
        return find_faults(translator.codec, "en", segment.source, source, segment.text)

    for repaired, raw in zip(with_guard.segments, without.segments, strict=True):
        assert raw.repair is None
        if repaired.repair is None:
            assert repaired.text == raw.text and not faults_of(raw)
        else:
            in_capitals = ["capitals"] if repaired.repair.by == "small letters" else []
            assert repaired.repair.faults == [*in_capitals, *faults_of(raw)]
            assert repaired.repair.left == faults_of(repaired)
            assert len(repaired.repair.left) <= len(faults_of(raw))
            assert not in_capitals or repaired.text == repaired.text.upper()
            assert in_capitals or (repaired.repair.by == "nothing") == (repaired.text == raw.text)


def test_a_safer_way_without_fault_ends_the_search(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, tried = "The dog runs here.", []
    faulty = iter([["loop"], ["loop"], []])  # of the translation, and of the first two ways
    ways = Retrier._safer_ways

    def counted(*args: object) -> object:
        for way in ways(*args):  # type: ignore[arg-type]
            tried.append(way[0])
            yield way

    monkeypatch.setattr(retry, "find_faults", lambda *_: next(faulty))
    monkeypatch.setattr(Retrier, "_safer_ways", counted)
    ((segment,),) = [found.segments for found in translator.translate_lines([line])]
    assert tried == ["wider beam"] * 2
    assert segment.repair is not None and segment.repair.left == []
