"""Quotation marks of translations."""

import pytest

from translator.text.quotes import match_quotes


@pytest.mark.parametrize(
    ("source", "translation", "language", "expected"),
    [
        # Closed with others than they were opened with.
        ('"No," he said, "go."', '"Nein\', sagte er, "geh."', "de", '"Nein", sagte er, "geh."'),
        (
            "„Warum?“, fragte sie. „Weil es spät ist“, sagte er.",
            "'Why?' she asked. \"Because it's late,\" he said.",
            "en",
            "“Why?” she asked. “Because it's late,” he said.",
        ),
        # Of another kind than the source's.
        ('"Why?" she asked.', "„Warum?“ fragte sie.", "de", '"Warum?" fragte sie.'),
        ("“Why?” she asked.", '"Warum?" fragte sie.', "de", "„Warum?“ fragte sie."),
        ("»Warum?«, fragte sie.", "„Why?“ she asked.", "en", "“Why?” she asked."),
        ("(“Why?”)", '("Warum?")', "de", "(„Warum?“)"),
        ('He said *"no"*.', "Er sagte *„nein“*.", "de", 'Er sagte *"nein"*.'),
        (
            "“I thought—” he began.",
            '"Ich dachte –", begann er.',
            "de",
            "„Ich dachte –“, begann er.",
        ),
        (
            'The 15" screen is "big".',
            'Der 15"-Bildschirm ist „groß“.',
            "de",
            'Der 15"-Bildschirm ist "groß".',
        ),
        # A half of a quotation, whose other half is in another sentence.
        ('He said: "I go.', "Er sagte: „Ich gehe.", "de", 'Er sagte: "Ich gehe.'),
        ("I come.”", 'Ich komme."', "de", "Ich komme.“"),
    ],
)
def test_marks_follow_the_source(
    source: str, translation: str, language: str, expected: str
) -> None:
    assert match_quotes(source, translation, language) == expected
    assert match_quotes(source, expected, language) == expected


@pytest.mark.parametrize(
    ("source", "translation"),
    [
        ("The dogs' food.", "Das Futter der Hunde'."),  # no double marks
        ('He said "no".', "Er sagte nein."),  # none to replace
        ('He said "no".', "Er „sagte“ „nein“."),  # more than the source has
        ('"The dogs\' food," he said.', "\"Das Futter der Hunde', sagte er."),  # which is which?
        ("He's 6'2\" tall.", "Er ist 6'2\" groß."),
        ("Das ist das Haus der Hunde.“", "That's the dogs' house."),  # an apostrophe
        ("„Komm, weil es spät ist.", "Come on, 'cause it's late."),
        ("„Die Eltern der Jungen und Mädchen“", "The boys' and girls' parents"),
        ("“I thought—” he began.", "„Ich dachte –“, begann er."),
        ("‘“Go” is a word,’ he said.", "‚„Geh“ ist ein Wort‘, sagte er."),
        ('The 15" screen is “big”.', 'Der 15"-Bildschirm ist „groß“.'),
        ("\"It's Anna's,\" he said.", '"Es ist Annas", sagte er.'),
    ],
)
def test_what_is_unclear_stays(source: str, translation: str) -> None:
    assert match_quotes(source, translation, "de") == translation


def test_places_stay() -> None:
    source, translation = "“A” or “B”?", "\"A' oder 'B\"?"
    found = match_quotes(source, translation, "de")
    assert found == "„A“ oder „B“?" and len(found) == len(translation)
