"""Sentences on the page of an evaluation: examples to read, and the data of all for the script."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from translator.report.charts import signed
from translator.report.elements import Html, element, joined
from translator.report.word_diff import END, closest, common_words, cut, marked, piece, piece_spans

MOST_DIFFERENT = 5  # of each kind are shown where two systems are compared
_LISTS = {
    "worst": "Worst, by chrF",
    "best": "Best, by chrF",
    "random": "Chosen at random",
    "first": "Where A is better than B by most chrF",
    "second": "Where B is better than A by most chrF",
}
_SEEN = {
    "both sides": "source and reference are in the training data, or nearly",
    "source": "the source is in the training data, or nearly",
    "target": "the reference is in the training data, or nearly",
    "no": "not in the training data",
}
_LEGEND = (
    ("ins", "in the hypothesis, not in the reference"),
    ("del", "in the reference, in no hypothesis"),
)

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """A sentence with its texts cut where they differ (see `marked.cut`)."""

    found: Mapping[str, Any]  # of the first system, as in the results
    other: Mapping[str, Any] | None  # of the second
    hypotheses: list[list[str]]
    references: list[list[str]]

    @property
    def delta(self) -> float | None:
        """By how much the first system has more chrF."""
        return None if self.other is None else self.found["chrf"] - self.other["chrf"]


def read_lines(result: Result) -> list[Line]:
    """The sentences of a split, each hypothesis compared with the reference closest to it."""
    compare = (result.get("compare") or {}).get("analysis") or {}
    others = {line["n"]: line for line in compare.get("lines") or ()}
    lines = (result.get("analysis") or {}).get("lines") or ()
    return [_line(found, others.get(found["n"])) for found in lines]


def _line(found: Result, other: Result | None) -> Line:
    references = list(found["references"])
    said: list[set[int]] = [set() for _ in references]  # words that a hypothesis has
    hypotheses = []
    for system in filter(None, (found, other)):
        text = system["hypothesis"]
        near = closest(text, references) if len(references) > 1 else 0
        ours, theirs = common_words(text, references[near]) if references else (set(), set())
        hypotheses.append(cut(text, ours))
        if references:
            said[near] |= theirs
    # A reference that no hypothesis was compared with has no marks.
    parts = [
        cut(text, common) if common or len(references) == 1 else [text]
        for text, common in zip(references, said, strict=True)
    ]
    return Line(found, other, hypotheses, parts)


def _languages(result: Result) -> tuple[str, str]:
    """Of source and target; empty means that they are not known."""
    source, target = (result.get("model") or {}).get("direction") or ("", "")
    return source, target


# --- examples ------------------------------------------------------------------------------------


def examples(number: int, result: Result, lines: Sequence[Line]) -> Html:
    """Some sentences of split `number`, to be read without a script."""
    analysis = result["analysis"]
    by_number = {line.found["n"]: line for line in lines}
    chosen = {name: list(numbers) for name, numbers in (analysis.get("shown") or {}).items()}
    different = sorted((x.delta, n) for n, x in by_number.items() if x.delta is not None)
    chosen["first"] = [n for d, n in different[::-1][:MOST_DIFFERENT] if d > 0]
    chosen["second"] = [n for d, n in different[:MOST_DIFFERENT] if d < 0]

    @cache
    def card(n: int) -> Html:
        attention = (analysis.get("attention") or {}).get(str(n))
        return _card(number, by_number[n], _languages(result), attention)

    keys = [element("li", element(mark, "like this"), " ", text) for mark, text in _LEGEND]
    parts = [element("ul", *keys, class_="marks")]
    if analysis.get("attention"):
        hint = (
            "Point at a piece of a source or of a translation, or tap it, to see where the model "
        )
        hint += "looked; with the keyboard: Tab, then the arrows."
        parts.append(element("p", hint, class_="note scripted"))
    for name, numbers in chosen.items():
        cards = [card(n) for n in numbers if n in by_number]
        if cards:
            heading = element("summary", _LISTS.get(name, name))
            cards_in = element("div", *cards, class_="cards")
            parts.append(element("details", heading, cards_in, open=""))
    return joined(*parts)


def _card(
    number: int, line: Line, languages: tuple[str, str], attention: Mapping[str, Any] | None
) -> Html:
    """A sentence: its source, references and hypotheses, and what is known about them."""
    found, pieces = line.found, attention or {"src": [], "tgt": []}
    rows = []
    if found["source"]:
        source = _pieces([found["source"]], "ins", pieces["src"], "src")
        rows.append(("source", languages[0], source))
    for parts in line.references:
        rows.append(("reference", languages[1], marked(parts, "del")))
    letters = ["hypothesis"] if line.other is None else ["A", "B"]
    for n, (letter, parts) in enumerate(zip(letters, line.hypotheses, strict=True)):
        hypothesis = _pieces(parts, "ins", [] if n else pieces["tgt"], "tgt")
        rows.append((letter, languages[1], hypothesis))
    texts = [
        joined(
            element("dt", _label(name)),
            element("dd", text or "\u00a0", lang=language, dir="auto"),
        )
        for name, language, text in rows
    ]
    said = element("p", class_="looked", aria_live="polite") if attention else ""
    about = [element("span", text) for text in _about(line)]
    return element(
        "article",
        element("p", *about, class_="about"),
        element("dl", *texts, class_="texts"),
        said,
        data_split=number if attention else None,
        data_line=found["n"] if attention else None,
    )


def _label(name: str) -> str:
    return element("span", name, class_=f"key {name.lower()}") if name in "AB" else name


def _pieces(parts: Sequence[str], mark: str, pieces: Sequence[str], side: str) -> Html:
    """A text whose pieces can be pointed at; pieces that are not those of the text follow it."""
    if not pieces:
        return marked(parts, mark)
    spans = piece_spans("".join(parts), pieces)
    if spans is None:
        shown = [piece(p.replace("\u2581", " "), n) for n, p in enumerate(pieces)]
        return joined(marked(parts, mark), element("div", *shown, class_="pieces", data_side=side))
    end = element("small", piece("END", len(pieces) - 1)) if pieces[-1] == END else ""
    return element("span", marked(parts, mark, spans), end, class_="pieces", data_side=side)


def _about(line: Line) -> Iterator[str]:
    found, other = line.found, line.other
    yield f"line {found['n'] + 1:,}"
    if other is None or line.delta is None:
        yield f"chrF {found['chrf']:.1f}"
        yield f"BLEU {found['bleu']:.1f}"
    else:
        yield f"chrF {found['chrf']:.1f} and {other['chrf']:.1f} ({signed(line.delta)})"
        yield f"BLEU {found['bleu']:.1f} and {other['bleu']:.1f}"
    sure = [one.get("confidence") for one in (found, other or {})]
    if any(one is not None for one in sure):
        said = ["\u2013" if one is None else f"{one:.2f}" for one in sure[: 2 if other else 1]]
        yield f"confidence {' and '.join(said)}"
    for system, of in ((found, " of A" if other else ""), (other or {}, " of B")):
        if system.get("faults"):
            yield f"faults{of}: {', '.join(system['faults'])}"
    if found.get("seen") in _SEEN and found["seen"] != "no":
        yield _SEEN[found["seen"]]


# --- all of them ---------------------------------------------------------------------------------


def sentence_data(name: str, result: Result, lines: Sequence[Line]) -> Html:
    """All sentences of a split, and what attention there is, as the script reads them."""
    found = (result.get("analysis") or {}).get("attention") or {}
    source, target = _languages(result)
    data = {
        "name": name,
        "src": source,
        "tgt": target,
        "lines": [_data(line) for line in lines],
        "attention": {n: one["weights"] for n, one in found.items()},
    }
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))  # ASCII, so also no U+2028
    text = text.replace("<", r"\u003c")  # nothing ends the element
    return element("script", Html(text), type="application/json", class_="data")


def _data(line: Line) -> dict[str, Any]:
    found = line.found
    data = {
        "n": found["n"] + 1,
        "source": found["source"],
        "references": line.references,
        "hypotheses": line.hypotheses,
        "length": len((found["source"] or found["hypothesis"]).split()),
        "chrf": found["chrf"],
        "confidence": found.get("confidence"),
        "delta": line.delta,
        "faults": found.get("faults") or [],
        "seen": found.get("seen"),
    }
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in data.items()}


def all_sentences(splits: Mapping[str, Result]) -> Html:
    """The frame of the table of all sentences, which the script fills."""
    lines = [
        line
        for result in splits.values()
        for line in (result.get("analysis") or {}).get("lines") or ()
    ]
    columns = [("n", "line"), ("", "sentence"), ("length", "words"), ("chrf", "chrF")]
    if any(line.get("confidence") is not None for line in lines):
        columns.append(("confidence", "confidence"))
    if any(result.get("compare") for result in splits.values()):
        columns.append(("delta", "A \u2212 B"))
    heads = [
        element("th", element("button", text, type="button", data_key=key), scope="col", class_="n")
        if key
        else element("th", text, scope="col")
        for key, text in columns
    ]
    body = element("table", element("thead", element("tr", *heads)), element("tbody"))
    parts = [element("form", *_filters(splits, lines), role="search"), body]
    shown = element("p", class_="count", role="status")
    without = element("p", "The table of all sentences needs JavaScript.", class_="unscripted")
    return joined(without, element("div", parts[0], shown, parts[1], id="table", class_="scripted"))


def _filters(splits: Mapping[str, Result], lines: Sequence[Result]) -> Iterator[Html]:
    def choice(name: str, label: str, options: Mapping[str, str]) -> Html:
        made = [element("option", text, value=value) for value, text in options.items()]
        return element("label", label, element("select", *made, name=name))

    def number(name: str, label: str, value: int) -> Html:
        field = element("input", type="number", name=name, value=value, min=0, max=100, step="any")
        return element("label", label, field)

    yield element("label", "text", element("input", type="search", name="text"))
    if len(splits) > 1:
        sets = {str(n): name for n, name in enumerate(splits)}
        yield choice("split", "test set", {"": "all", **sets})
    faults = sorted({fault for line in lines for fault in line.get("faults") or ()})
    if faults:
        named = {fault: fault for fault in faults}
        yield choice("fault", "fault", {"": "any or none", "any": "any", **named})
    if any(line.get("seen") for line in lines):
        yield choice("seen", "training data", {"": "all", **_SEEN})
    yield number("low", "chrF from", 0)
    yield number("high", "to", 100)
