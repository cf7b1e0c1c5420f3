"""What must hold is counted, and what does not hold is found."""

import pytest

from translator.text.terms import TermUse
from translator.translation.result import Segment, Translation
from translator.translation.tally import Tally


def tally_of(source: str, text: str) -> Tally:
    tally = Tally()
    tally.add(Translation(source, text, -1.0))
    return tally


@pytest.mark.parametrize(
    ("source", "good", "kind"),
    [
        ("Hello {name}, it is %s.", "Hallo {name}, es ist %s.", "placeholders"),
        ("The <b>dog</b> runs.", "Der <b>Hund</b> rennt.", "tags"),
        ("• one\ttwo!!!", "• eins\tzwei!!!", "marks"),
        ("12 dogs and 3.5 kg", "12 Hunde und 3,5 kg", "numbers"),
    ],
)
def test_each_kind_is_seen(source: str, good: str, kind: str) -> None:
    tally = tally_of(source, good)
    assert not tally.n_wrong
    assert tally.held[kind] == 2 + (kind == "marks")
    assert tally_of(source, "Etwas anderes.").lost[kind] == tally.held[kind]


def test_once_means_once() -> None:
    assert tally_of("Hello {name}", "Hallo {name} {name}").extra["placeholders"] == 1
    assert tally_of("<b>A dog</b>", "</b>Ein Hund<b>").n_wrong == 1
    assert not tally_of("10 to 20 dogs", "10-20 Hunde").n_wrong


def test_the_last_line_says_what_was_not_used() -> None:
    tally = Tally()
    uses = [TermUse("dog", ("Köter",), None), TermUse("pump", ("Pumpe",), "Pumpen")]
    for _ in range(2):
        tally.add(Translation("a", "b", 0.0, segments=[Segment("a", "b", 0.0, [], terms=uses)]))
    assert tally.said_terms == "2 of 4 terms used; not: dog (2)."
    assert tally.said_kinds.startswith("2 lines; kept: 0 of 0 placeholders")
