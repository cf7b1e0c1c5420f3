"""Faults put into sound corpora are found and named; sound corpora are left in peace."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from data_prep.cleaning.corpus_checks import (
    MIN_PAIRS,
    Finding,
    check_corpus,
    count_overlap,
    find_copies,
    find_duplicates,
    find_mojibake,
    find_overlap,
    find_swapped_languages,
)
from data_prep.cleaning.ibm_model1 import Lexicon, number_words
from data_prep.cleaning.line_alignment import check_alignment, sampled_lines
from data_prep.sources.corpus import load_corpus
from translator.config.schema import CleanConfig
from translator.text.lines import TextPair

Pairs = list[TextPair]


@pytest.fixture(scope="module", params=["en-de", "de-en"])
def direction(request: pytest.FixtureRequest) -> tuple[str, str]:
    src, tgt = request.param.split("-")
    return src, tgt


@pytest.fixture(scope="module")
def pairs(direction: tuple[str, str]) -> Pairs:
    return load_corpus("sample", *direction).splits["train"][1000:1600]


def findings(pairs: Pairs, src: str = "en", tgt: str = "de") -> dict[str, Finding]:
    """All findings that are no mere notes, by name."""
    found = check_corpus({"train": pairs}, src, tgt)
    return {finding.name: finding for finding in found if finding.severity != "note"}


def shift(pairs: Pairs, by: int, start: int = 0) -> Pairs:
    """The target side from line `start` on comes `by` lines late, or early if `by` < 0."""
    tgt = [tgt for _, tgt in pairs]
    if by > 0:
        late = tgt[:start] + tgt[:by] + tgt[start:-by]
    else:
        late = tgt[:start] + tgt[start - by :] + tgt[:-by]
    return [(src, line) for (src, _), line in zip(pairs, late, strict=True)]


def exchange(pairs: Pairs, lines: list[int]) -> Pairs:
    """The targets of these lines, each at the place of the one before it."""
    targets = [pairs[line][1] for line in lines]
    changed = list(pairs)
    for line, tgt in zip(lines, [*targets[1:], targets[0]], strict=True):
        changed[line] = (pairs[line][0], tgt)
    return changed


# --- sound corpora ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def english() -> Pairs:
    """For what is the same in both directions."""
    return load_corpus("sample", "en", "de").splits["train"][1000:1600]


def test_a_sound_corpus_has_no_findings(pairs: Pairs, direction: tuple[str, str]) -> None:
    assert findings(pairs, *direction) == {}
    assert findings(pairs[:300], *direction) == {}


def test_repeated_templates_are_not_a_fault(text_pairs: Pairs) -> None:
    assert findings(text_pairs) == {}


def test_too_few_pairs_are_not_judged(english: Pairs) -> None:
    few = shift(english[: MIN_PAIRS - 1], 1)
    assert [f.severity for f in check_corpus({"train": few}, "xx", "yy")] == ["note"]


@pytest.mark.parametrize(
    "pairs",
    [
        [("", "")] * 500,
        [("", "")] + [("a b", "c d")] * 500,
        [("...", "???")] * 300,
        [("word", "Wort")],
        [("x" * 10_000, "y " * 10_000)] * 250,
        [("\u2028 \ue000", "\U0010fffe")] * 250,
        [],
    ],
)
def test_no_text_is_too_strange(pairs: Pairs) -> None:
    for finding in check_corpus({"train": pairs, "valid": [("a", "b")]}, "en", "de"):
        assert finding.text and "\n" not in finding.text


# --- lines that do not belong together --------------------------------------------------------


@pytest.mark.parametrize("by", [1, -1, 2, -3, 25])
def test_a_shifted_side_is_found(english: Pairs, by: int) -> None:
    stretches = check_alignment(shift(english, by)).stretches
    assert [(s.first, s.end, s.offset) for s in stretches] == [(0, len(english), by)]
    finding = findings(shift(english, by))["shifted"]
    assert finding.severity == "broken"
    src, tgt = 1 + max(0, -by), 1 + max(0, by)
    assert f"source line {src} belongs to target line {tgt}." in finding.text


@pytest.mark.parametrize("by", [1, -1, 2])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_shift_in_mid_file_is_found_and_placed(english: Pairs, by: int, share: float) -> None:
    start = int(share * len(english))
    first, second = check_alignment(shift(english, by, start)).stretches
    assert (first.offset, second.offset) == (0, by)
    assert second.first == pytest.approx(start, abs=5)
    assert findings(shift(english, by, start)).keys() == {"shifted"}


def test_a_line_too_many_here_and_one_there_are_found(english: Pairs) -> None:
    stretches = check_alignment(
        shift(english[:200], 1) + english[200:400] + shift(english[400:], -1)
    )
    assert [stretch.offset for stretch in stretches.stretches] == [1, 0, -1]


@pytest.mark.parametrize("neighbours", [True, False])
def test_one_percent_of_exchanged_lines_is_found(english: Pairs, neighbours: bool) -> None:
    for seed in range(2):
        rng = random.Random(seed)
        if neighbours:
            changed, moved = list(english), set()
            for line in rng.sample(range(0, len(english) - 1, 2), 3):
                changed = exchange(changed, [line, line + 1])
                moved |= {line, line + 1}
        else:
            lines = rng.sample(range(len(english)), 6)
            changed, moved = exchange(english, lines), set(lines)
        found = check_alignment(changed).exchanged
        assert len(found) >= len(moved) / 2
        assert all(english[line][1] == changed[to][1] for line, to in found.items())
        finding = findings(changed)
        assert finding.keys() == {"exchanged"}
        assert finding["exchanged"].severity == "warning"


def test_sides_of_different_corpora_are_broken(english: Pairs) -> None:
    targets = [tgt for _, tgt in english]
    random.Random(3).shuffle(targets)
    mixed = [(src, tgt) for (src, _), tgt in zip(english, targets, strict=True)]
    found = findings(mixed)
    assert found.keys() == {"unrelated"}
    assert found["unrelated"].severity == "broken"


def test_a_pair_has_no_vote_about_itself(english: Pairs) -> None:
    """Learnt from wrong english, the lexicon thinks no better of them than of other wrong ones."""
    changed = exchange(english, list(range(0, len(english), 20)))
    src, tgt, numbers = number_words(changed)
    every = torch.arange(len(english))
    score = Lexicon(src, tgt, len(numbers), every, every).score(src, tgt, own=True)[0]
    assert float(score[::20].mean()) < 1 < 10 < float(score[1::20].mean())


def test_scoring_all_with_all_is_scoring_one_by_one(english: Pairs) -> None:
    src, tgt, numbers = number_words(english)
    every = torch.arange(len(english))
    lexicon = Lexicon(src, tgt, len(numbers), every, every)
    i, j = torch.tensor([3, 7, 9]), torch.tensor([7, 3, 100, 4])
    pairs = src.select(i.repeat_interleave(4)), tgt.select(j.repeat(3))
    one_by_one = lexicon.score(*pairs)[0].view(3, 4)
    every_pair = lexicon.score_all(src.select(i), tgt.select(j))
    torch.testing.assert_close(every_pair, one_by_one, rtol=1e-4, atol=1e-4)


def test_of_a_large_corpus_blocks_from_all_over_are_looked_at() -> None:
    lines = sampled_lines(1_000_000)
    assert len(lines) <= 31_000 and len(set(lines)) == len(lines)
    assert lines == sorted(lines)
    for part in range(0, 1_000_000, 100_000):
        assert any(part <= line < part + 100_000 for line in lines)
    assert sampled_lines(500) == list(range(500))


def test_faults_in_a_large_corpus_are_found_from_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with 100,000 pairs, of which 30,000 are looked at."""
    monkeypatch.setattr("data_prep.cleaning.line_alignment.LIMIT", 3000)
    monkeypatch.setattr("data_prep.cleaning.line_alignment.BLOCK", 100)
    pairs = load_corpus("sample", "en", "de").splits["train"][:10_000]
    assert findings(pairs) == {}
    lines = random.Random(1).sample(range(len(pairs)), 100)
    assert findings(exchange(pairs, lines)).keys() == {"exchanged"}
    found = check_alignment(exchange(pairs, lines))
    assert 0.004 < found.exchanged_share < 0.02
    assert set(found.exchanged) <= set(lines)
    first, second = check_alignment(shift(pairs, 1, 7000)).stretches
    assert (first.offset, second.offset) == (0, 1)
    assert second.first == pytest.approx(7000, abs=300)  # between two blocks


# --- languages, copies, duplicates, letters ---------------------------------------------------


def test_swapped_languages_are_found(direction: tuple[str, str], pairs: Pairs) -> None:
    src, tgt = direction
    swapped = findings([(b, a) for a, b in pairs], src, tgt)
    assert swapped.keys() == {"languages"}
    assert swapped["languages"].severity == "broken"
    assert find_swapped_languages(pairs, src, tgt) == []
    assert find_swapped_languages(pairs, "fr", "it") == []  # not in the table


def test_some_swapped_lines_are_found(direction: tuple[str, str], pairs: Pairs) -> None:
    lines = set(random.Random(1).sample(range(len(pairs)), len(pairs) // 50))
    changed = [(b, a) if n in lines else (a, b) for n, (a, b) in enumerate(pairs)]
    (finding,) = find_swapped_languages(changed, *direction)
    assert finding.severity == "warning"
    named = finding.text.split("lines ")[1].split(", ...")[0].split(", ")
    assert {int(line) - 1 for line in named} <= lines


def test_duplicates_are_found(english: Pairs) -> None:
    changed = english + [(src.upper(), f"  {tgt}") for src, tgt in english[:6]]
    (finding,) = find_duplicates(changed)
    assert finding.severity == "warning"
    assert "6 of 606" in finding.text
    assert f"line {len(english) + 1} is line 1 again" in finding.text
    assert [f.severity for f in find_duplicates([*english, english[0]])] == ["note"]
    assert find_duplicates(english) == []


def test_sources_with_several_targets_are_noted(english: Pairs) -> None:
    changed = english + [(src, f"{tgt} {tgt}") for src, tgt in english[:20]]
    assert [(f.name, f.severity) for f in find_duplicates(changed)] == [("several targets", "note")]


@pytest.mark.parametrize(("share", "severity"), [(1.0, "broken"), (0.05, "warning")])
def test_copied_sides_are_found(english: Pairs, share: float, severity: str) -> None:
    n = int(share * len(english))
    changed = [(src, src) for src, _ in english[:n]] + english[n:]
    (finding,) = find_copies(changed)
    assert finding.severity == severity
    assert f"{n:,} of 600" in finding.text
    assert check_corpus({"train": changed}, "en", "de")


def test_numbers_and_marks_are_not_copies() -> None:
    assert find_copies([("12:30", "12:30"), ("...", "...")] * 100) == []


def test_garbled_umlauts_are_found(english: Pairs) -> None:
    garbled = [(src, tgt.encode().decode("cp1252", "replace")) for src, tgt in english]
    (finding,) = find_mojibake(garbled)
    assert finding.severity == "warning"
    assert find_mojibake(english) == []
    assert find_mojibake([("São Paulo “x” – Ägypten â", "Ça va, Àé")] * 100) == []


def test_overlap_is_counted_by_split(english: Pairs) -> None:
    src, tgt = english[5]
    splits = {
        "train": english,
        "valid": [(src.upper(), "x"), ("y", tgt), ("y", "x"), (src, tgt)],
        "test": [("y", "x")] * 10,
    }
    assert count_overlap(splits) == {
        "valid": {"pairs": 4, "source": 2, "target": 2, "either": 3},
        "test": {"pairs": 10, "source": 0, "target": 0, "either": 0},
    }
    (finding,) = find_overlap(splits)
    assert finding.severity == "note" and "valid" in finding.text  # cleaning drops them
    (finding,) = find_overlap(splits, CleanConfig(contamination=False))
    assert finding.severity == "warning" and "valid" in finding.text


# --- real text --------------------------------------------------------------------------------


@pytest.fixture(params=["multi30k", "wmt_news"])
def real_pairs(request: pytest.FixtureRequest, real_corpus: Path) -> Pairs:
    folder = real_corpus.parent / request.param
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    return load_corpus(str(folder), "en", "de").splits["train"]


def test_real_text_has_no_findings(real_pairs: Pairs) -> None:
    for start, size in ((0, 500), (4000, 1000)):
        part = real_pairs[start : start + size]
        assert findings(part) == {}
        assert findings([(b, a) for a, b in part], "de", "en") == {}


def _exchanged(pairs: Pairs) -> Pairs:
    return exchange(pairs, random.Random(1).sample(range(len(pairs)), len(pairs) // 100))


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (lambda pairs: shift(pairs, 1), "shifted"),
        (lambda pairs: shift(pairs, -2), "shifted"),
        (lambda pairs: shift(pairs, 1, len(pairs) // 3), "shifted"),
        (_exchanged, "exchanged"),
        (lambda pairs: [(b, a) for a, b in pairs], "languages"),
        (lambda pairs: pairs + pairs[:20], "duplicates"),
    ],
)
def test_faults_in_real_text_are_found(
    real_pairs: Pairs, fault: Callable[[Pairs], Pairs], name: str
) -> None:
    assert findings(fault(real_pairs[3000:4000])).keys() == {name}


@pytest.mark.slow
def test_whole_real_corpora_have_no_findings(real_pairs: Pairs) -> None:
    assert findings(real_pairs) == {}
