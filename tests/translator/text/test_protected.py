"""Tests of the parts of a text that no translation may change."""

import pytest

from translator.text.protected import protected_spans, rewritten_numbers


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("{% if x %} yes {% endif %} [% y %]", ["{% if x %}", "{% endif %}", "[% y %]"]),
        ("Is <%= a > b %> or <?= $x ?> here?", ["<%= a > b %>", "<?= $x ?>"]),
        ("The growth [%] in the north and the share [%] of all.", []),
        ("One {%} and another {%}.", []),
        ("Now ⏰ or ⭐⭐ later ▶️.", ["⏰", "⭐⭐", "▶️"]),
    ],
)
def test_templates_and_emoji_stay(text: str, stays: list[str]) -> None:
    assert [text[a:b] for a, b in protected_spans(text)] == stays


def test_letters_in_no_word_stay() -> None:
    text = "My cat typed sdfghjkl here."
    assert [text[a:b] for a, b in protected_spans(text)] == ["sdfghjkl"]
    assert not protected_spans("Angstschweiß, rhythm, Deutschland")


def test_what_templates_fill_in_stays() -> None:
    for span in (
        *["{% if user.name %}", "{%- end -%}", "<?= $x ?>", "<?php echo 1; ?>", "[% name %]"],
        *["<%= link_to x, 50 % y %>", "${{ a.b }}", "`` a `b` c ``", "```x``y```"],
    ):
        text = f"The dog {span} sleeps."
        assert [text[a:b] for a, b in protected_spans(text)] == [span]


def test_emoji_stay_however_often_they_are_repeated() -> None:
    for span in ("🐶", "🎉🎉🎉", "❤️❤️", "👍🏽👍🏽", "👨‍👩‍👧‍👦", "🇩🇪🇦🇹", "☆☆☆"):
        text = f"The dog {span} sleeps."
        assert [text[a:b] for a, b in protected_spans(text)] == [span]


def test_thousands_before_a_full_stop_are_no_version() -> None:
    assert rewritten_numbers("Es sind 1.234.567.", "de", "en")[0].written == "1,234,567"
    assert not protected_spans("Es sind 1.234.567.")
    assert protected_spans("Version 1.234.567.8.")
