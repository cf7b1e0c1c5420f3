"""Changed sources: only what the change did to the words counts."""

import pytest

from data_prep.augmentation.noise import EMOJI
from translator.evaluation import robustness as module
from translator.evaluation.robustness import SLICES, measure_robustness
from translator.evaluation.testset import TestSet as Set


@pytest.fixture(scope="module")
def test_set(text_pairs) -> Set:
    pairs = text_pairs[:40]
    return Set([src for src, _ in pairs], [[tgt for _, tgt in pairs]])


class Echo:
    """Says its source again, which makes a changed source a changed translation."""

    class model:  # noqa: N801
        class config:  # noqa: N801
            search = None

    def translate_lines(self, sources, *_, **__):
        return [type("Found", (), {"text": source}) for source in sources]


def test_an_uncounted_change_costs_nothing(test_set) -> None:
    """Who repeats capitals, a missing stop and emoji has lost nothing; who repeats typos has."""
    same = Set(test_set.sources, [test_set.sources])
    found = {row.slice: row for row in measure_robustness(Echo(), same, test_set.sources)}
    # Words that a translation shares get no typos.
    almost = [[f"{word}x" for word in source.split()] for source in test_set.sources]
    almost_same = Set(test_set.sources, [[" ".join(words) for words in almost]])
    for row in measure_robustness(Echo(), almost_same, test_set.sources):
        if row.slice == "typos":
            found["typos"] = row
    assert set(found) == {kind.name for kind in SLICES}
    for name in ("capitals", "title case", "no final stop", "emoji"):
        assert found[name].changed == found[name].clean, name
        assert found[name].clean["bleu"] == pytest.approx(100), name
    for name in ("typos", "lower case"):
        assert found[name].changed["chrf"] < found[name].clean["chrf"], name
    assert found["emoji"].kept == 1


def test_a_slice_has_only_lines_that_it_changes() -> None:
    sources = ["One dog runs", "One dog runs.", "12 34 5."]
    found = measure_robustness(Echo(), Set(sources, [sources]), sources)
    counts = {row.slice: row.sentences for row in found}
    assert counts == {
        "capitals": 2,
        "title case": 2,
        "lower case": 2,
        "no final stop": 2,
        "emoji": 3,
    }


def test_emoji_that_are_lost_are_counted(test_set) -> None:
    class Deaf(Echo):
        def translate_lines(self, sources, *_, **__):
            lines = ["".join(c for c in source if c.isascii()) for source in sources]
            return super().translate_lines(lines)

    same = Set(test_set.sources, [test_set.sources])
    found = {row.slice: row for row in measure_robustness(Deaf(), same, test_set.sources)}
    assert found["emoji"].kept == 0
    assert found["emoji"].changed == found["emoji"].clean


def test_an_emoji_of_several_characters_goes_as_a_whole() -> None:
    for emoji in EMOJI:
        assert module._remove_emoji(f"a {emoji} b{emoji}") == "a b"
