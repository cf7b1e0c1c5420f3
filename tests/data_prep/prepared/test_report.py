"""What `prepare` says: figures that can be counted again, text and a page that show all of it."""

import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import Page

from data_prep.prepared.prepare import TrainingData, prepare_data
from data_prep.prepared.report import (
    PrepareReport,
    describe_pieces,
    prepare_report,
    report_html,
    report_lines,
)
from translator.config.schema import Config
from translator.text.tokenizer import Tokenizer

Pairs = list[tuple[str, str]]
Make = Callable[[Pairs], Config]
# A rule, and a pair that breaks it and is dangerous where it is shown.
BAD = {
    "control characters": (
        "The man \x1b[31msleeps\x07 now.",
        "Der Mann \u202eschläft\ue001 jetzt.",
    ),
    "unbalanced markup": ("<script>alert('&amp;')", "Der Mann schläft jetzt."),
    "too long": ("The " + "man " * 300, "Der " + "Mann " * 300),
    "number mismatch": ("The 7 men sleep.", "Die 8 Männer schlafen."),
}


@pytest.fixture
def make(tiny_config: Config, text_pairs: Pairs, tmp_path: Path) -> Make:
    """Settings for a corpus with these training pairs, in a folder with a difficult name."""

    def write(pairs: Pairs) -> Config:
        folder = tmp_path / "a <b> & 'c'"
        folder.mkdir(exist_ok=True)
        for split, part in (("train", pairs), ("valid", text_pairs[-20:])):
            for side, language in enumerate(("en", "de")):
                text = "".join(pair[side] + "\n" for pair in part)
                (folder / f"{split}.{language}").write_text(text, encoding="utf-8", newline="")
        return replace(tiny_config, data=replace(tiny_config.data, corpus=str(folder)))

    return write


def prepared(config: Config, tokenizer: Tokenizer | None = None) -> TrainingData:
    data = prepare_data(config, tokenizer, workers=1)
    assert data is not None
    return data


@pytest.fixture
def report(make: Make, text_pairs: Pairs) -> PrepareReport:
    pairs = [*text_pairs[:150], *BAD.values(), ("  The man\u200b sleeps.", "Der Mann schläft. ")]
    return prepare_report(prepared(make(pairs)), "translator train --data 'x'")


# --- figures ------------------------------------------------------------------------------------


def test_pieces_are_counted_as_the_text_shows(
    make: Make, text_pairs: Pairs, tokenizer: Tokenizer
) -> None:
    """Words between spaces; characters that no piece has, of two, three and four bytes each."""
    strange = [(f"{src} ж漢 🎈🎈", f"{tgt} Ω") for src, tgt in text_pairs[50:60]]
    data = prepared(make([*text_pairs[:50], *strange]), tokenizer)
    found = describe_pieces(data).to_dict()
    rows = [data.corpora[0].train[place] for place in data.train.parts[0].places]
    for side, language in enumerate(("en", "de")):
        lines = [row[side] for row in rows]
        assert len(lines) == 60
        strangers = [c for line in lines for c in line if c not in tokenizer.alphabet]
        assert len(strangers) == (40, 10)[side]
        n_pieces = sum(len(tokenizer.encode(line)) for line in lines)
        words, characters = sum(len(x.split()) for x in lines), sum(map(len, lines))
        expected = {
            "pieces_per_word": n_pieces / words,
            "unknown_rate": sum(len(c.encode()) for c in strangers) / n_pieces,
            "coverage": 1 - len(strangers) / characters,
        }
        for name, value in expected.items():
            assert found[name][language] == pytest.approx(value, abs=1e-3), name
        assert found["coverage"][language] == pytest.approx(expected["coverage"], abs=1e-6)


def test_a_tag_is_not_counted_as_a_piece(make: Make, text_pairs: Pairs) -> None:
    config = make(text_pairs[:100])
    plain = prepared(config)
    (Path(config.data.corpus) / "corpus.json").write_text('{"tag": "<bt>"}')
    tagged = prepared(config, plain.tokenizer)
    assert tagged.train[0][0] == [plain.tokenizer.bt_id, *plain.train[0][0]]
    assert describe_pieces(tagged) == describe_pieces(plain)


def test_every_pair_is_accounted_for(report: PrepareReport, text_pairs: Pairs) -> None:
    (part,) = report.corpora
    assert part.dropped == dict.fromkeys(BAD, 1)
    assert part.repaired == 1
    assert (part.before["pairs"], part.after["pairs"]) == (155, 151)
    assert part.encoded + sum(part.dropped_encoding.values()) == 151
    words = sum(len(src.split()) for src, _ in text_pairs[:150]) + 3
    assert part.after["en_words"] == words
    assert part.after["mean_en_words"] == pytest.approx(words / 151, abs=0.01)
    assert part.held_out == {"valid": 20}
    assert PrepareReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report


def test_the_parts_of_a_mixture_each_have_their_own(
    make: Make, text_pairs: Pairs, corpus_folder: Path
) -> None:
    config = make([*text_pairs[250:268], *BAD.values()])
    name = f"{corpus_folder}:1,{config.data.corpus}:2.5"
    config = replace(config, data=replace(config.data, corpus=name))
    report = prepare_report(prepared(config), "t")
    assert report.corpus == name
    first, second = report.corpora
    assert (first.weight, second.weight) == (1, 2.5)
    assert (first.encoded, second.encoded) == (200, 18)
    assert (sum(first.dropped.values()), sum(second.dropped.values())) == (0, 4)
    text = "\n".join(report_lines(report))
    assert "200 of 200 pairs" in text and "(weight 2.5): 18 of 22 pairs" in text


# --- text ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 100, 300])
def test_the_text_shows_all_of_it(report: PrepareReport, width: int) -> None:
    lines = report_lines(report, width)
    text = "\n".join(lines)
    assert "151 of 155 pairs are worth training on (97.42%)" in lines[0]
    for rule in (*BAD, "repaired"):
        assert len(re.findall(rf"^  {rule} +1 +0\.65%$", text, re.MULTILINE)) == 1
    samples = [line for line in lines if line.startswith("    ")]
    assert len([line for line in samples if line.startswith(("    en: ", "    de: "))]) == 10
    assert all(len(line) <= width for line in samples if ": " in line)
    # Nothing steers the terminal.
    assert not {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Co")} - {"\n"}
    assert r"\x1b[31msleeps" in text
    assert text.endswith("\n\nTrain with it:  translator train --data 'x'")


def test_much_that_is_dropped_is_pointed_at(make: Make, text_pairs: Pairs) -> None:
    def hints(n_bad: int) -> int:
        bad = [(f"{src} {k}", f"{tgt} {k + 1}") for k, (src, tgt) in enumerate(text_pairs[:n_bad])]
        data = prepared(make([*text_pairs[100:180], *bad]))
        return "\n".join(report_lines(prepare_report(data, "t"))).count("translator doctor")

    assert (hints(19), hints(21)) == (0, 1)


# --- page ---------------------------------------------------------------------------------------


def test_the_page_shows_what_the_text_shows(report: PrepareReport) -> None:
    page = Page(report_html(report))
    shown = " ".join(" ".join(page.text).split())
    for line in report_lines(report, width=10_000):
        for word in line.removeprefix("  Note: ").split():
            if word not in ("en:", "de:", "it:"):  # followed by a colon only there
                assert word in shown, line


def test_the_page_needs_nothing_else_and_runs_nothing(report: PrepareReport) -> None:
    page = Page(report_html(report))
    assert {tag for tag, _ in page.seen}.isdisjoint({"script", "link", "img", "iframe", "object"})
    names = {name for _, attributes in page.seen for name in attributes}
    assert names == {"lang", "charset", "name", "content", "class"}
    assert "url(" not in report_html(report) and "@import" not in report_html(report)


@given(st.text(), st.text())
def test_no_text_breaks_the_page(src: str, tgt: str) -> None:
    counts = {
        key: 1.0 for key in ("pairs", "en_words", "de_words", "mean_en_words", "mean_de_words")
    }
    part = {
        **{"corpus": src, "weight": 1.0, "before": counts, "after": counts, "repaired": 1},
        **{"samples": {"repaired": [{"de": tgt, "en": src}]}, "dropped": {}, "notes": [tgt]},
        **{"held_out": {}, "encoded": 1, "dropped_encoding": {}, "folder": src, "fingerprint": ""},
    }
    figures = {"en": 1.0, "de": 1.0}
    names = ("pieces_per_word", "unknown_rate", "coverage")
    vocabulary = {"size": 9, "type": "bpe", **dict.fromkeys(names, figures)}
    values = {"corpus": src, "languages": ["en", "de"], "corpora": [part], "train": tgt}
    report = PrepareReport.from_dict({**values, "vocabulary": vocabulary})
    page = Page(report_html(report))
    spans = [attributes.get("lang") for tag, attributes in page.seen if tag == "span"]
    assert spans == ["en", "de"]
    assert len(page.seen) == len(Page(report_html(_with(report, "x"))).seen)


def _with(report: PrepareReport, text: str) -> PrepareReport:
    """The same report with another text in all places."""
    (part,) = report.corpora
    samples = {"repaired": [{"de": text, "en": text}]}
    part = replace(part, corpus=text, notes=[text], folder=text, samples=samples)
    return replace(report, corpus=text, corpora=[part], train=text)
