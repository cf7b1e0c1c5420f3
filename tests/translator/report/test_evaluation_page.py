"""The page of an evaluation: it says what the results say, and nothing breaks it.

In a browser (Debian's chromium) each page is opened 360 and 1600 pixels wide, and used.
"""

import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invented import SEEN, make_results
from pages import Page

from translator.evaluation.testset import SEEN as KINDS
from translator.report.evaluation_page import render_evaluation
from translator.report.results import SplitResult
from translator.report.sections import FEW
from translator.storage.scores import METRIC_NAMES

Results = dict[str, Any]
HOSTILE = {
    0: ("</script><script>alert(1)</script>", "<!-- <script>", "]]> </script >"),
    1: ('He said "no" & left; it\'s &lt;b&gt;', "Er sagte \u201eNein\u201c & ging", "'\"&amp;"),
    2: ("line\u2028separator\u2029and\u0085next", "Zeile\u2028Trenner", "a\u2028b\x00c\x1bd\r\n"),
    3: ("\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f", "\U0001f600", "\U0001f468"),
    4: ("\u0645\u0631\u062d\u0628\u0627 \u0628\u0643", "\u05e9\u05dc\u05d5\u05dd", "\u202eabc def"),
    5: ("w" * 2000, "x" * 2000 + " y", "z" * 2000),
    6: ("The man waits.", "Der Mann wartet.", ""),
    7: ("", "Der Mann.", " "),
    8: ("__proto__ constructor", "${1} `x` {{y}}", "\\u003c \\ \\n"),
}


def several() -> Results:
    splits = {n: make_results(50, True, split=n, seed=k) for k, n in enumerate(("<b>&", "valid"))}
    return {"splits": splits}


def hostile() -> Results:
    results = make_results(45, compare=True, texts=HOSTILE, split="</title>" + "long" * 60)
    results["model"]["name"] = "/home/" + "folder/" * 40 + "</script>"
    results["analysis"]["lines"][10]["references"].append("Two & <more>")
    results["analysis"]["shown"]["random"].append(10)
    results["analysis"]["lines"][9]["log_prob"] = -math.inf
    results["analysis"]["lines"][9]["confidence"] = math.nan
    return results


PAGES: dict[str, Callable[[], Results]] = {
    "one": lambda: make_results(60),
    "two": lambda: make_results(3000, compare=True),
    "several": several,
    "hypotheses": lambda: make_results(60, model=False),
    "hostile": hostile,
    "scores": lambda: {"split": "test", "sentences": 3, "scores": make_results()["scores"]},
}


def page_of(results: Results) -> str:
    """The page of results as JSON has them."""
    found = results.get("splits") or {results["split"]: results}
    return render_evaluation({name: SplitResult.from_dict(one) for name, one in found.items()})


def splits_of(results: Results) -> list[Results]:
    return list(results.get("splits", {"": results}).values())


@pytest.fixture(scope="module", params=list(PAGES))
def case(request: pytest.FixtureRequest) -> tuple[Results, str]:
    results = PAGES[request.param]()
    return results, page_of(results)


# --- without a browser -------------------------------------------------------------------------


def test_without_a_script_scores_and_examples_are_there(case: tuple[Results, str]) -> None:
    results, source = case
    text = "".join(Page(source).text)
    for result in splits_of(results):
        for name, score in result["scores"].items():
            low, high = score["interval"]
            assert METRIC_NAMES[name] in text
            assert f"{score['score']:.2f}{low:.1f} to {high:.1f}" in text
            assert score["signature"] in text
        analysis = result.get("analysis", {})
        numbers = {n for shown in analysis.get("shown", {}).values() for n in shown}
        others = result.get("compare", {}).get("analysis", {}).get("lines", [])
        for lines in (analysis.get("lines", []), others):
            for line in (lines[n] for n in numbers if lines):
                for said in (line["source"], *line["references"], line["hypothesis"]):
                    assert said in text


def test_it_needs_nothing_from_elsewhere(case: tuple[Results, str]) -> None:
    page = Page(case[1])
    tags = {tag for tag, _ in page.seen}
    assert tags.isdisjoint({"link", "img", "iframe", "object", "embed", "base", "audio", "video"})
    for tag, attributes in page.seen:
        assert "src" not in attributes and "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        assert tag != "a" or (attributes["href"] or "").startswith("#")
    style = re.findall("<style>.*?</style>", case[1], re.DOTALL)
    assert len(style) == 1 and "url(" not in style[0] and "@import" not in style[0]


def test_texts_say_their_language_and_charts_what_they_show(case: tuple[Results, str]) -> None:
    results, source = case
    page = Page(source)
    languages = {a["lang"] for tag, a in page.seen if tag == "dd" and "lang" in a}
    is_known = all(result.get("model") for result in splits_of(results))
    has_lines = any(result.get("analysis") for result in splits_of(results))
    assert languages == ({"en", "de"} if is_known else {""} if has_lines else set())
    for tag, attributes in page.seen:
        assert tag != "svg" or attributes.get("aria-label") or attributes.get("aria-hidden")


def test_the_data_are_the_sentences(case: tuple[Results, str]) -> None:
    """All of them, whatever they hold, and no number that JSON does not have."""
    results, source = case
    *data, _ = Page(source).scripts

    def refuse(name: str) -> None:
        raise AssertionError(name)

    expected = [result for result in splits_of(results) if result.get("analysis")]
    assert len(data) == len(expected)
    for text, result in zip(data, expected, strict=True):
        lines = json.loads(text, parse_constant=refuse)["lines"]
        for line, found in zip(lines, result["analysis"]["lines"], strict=True):
            assert line["source"] == found["source"]
            assert ["".join(parts) for parts in line["references"]] == found["references"]
            assert "".join(line["hypotheses"][0]) == found["hypothesis"]


@settings(max_examples=40)
@given(st.text(), st.text(), st.text())
def test_no_text_breaks_the_page(source: str, reference: str, hypothesis: str) -> None:
    tags = []
    for texts in ((source, reference, hypothesis), ("x", "x", "x")):
        results = make_results(4, texts={0: texts}, split=texts[0], model=False)
        page = Page(page_of(results))
        tags.append([tag for tag, _ in page.seen if tag not in ("ins", "del", "dt", "dd")])
    assert tags[0] == tags[1]


@pytest.mark.parametrize(
    ("metric", "delta", "p", "said"),
    [
        ("bleu", 0.8, 0.012, "A is better by 0.80 BLEU (p = 0.012)."),
        ("bleu", -0.8, 0.0001, "B is better by 0.80 BLEU (p < 0.001)."),
        ("ter", -1.5, 0.049, "A is better by 1.50 TER (p = 0.049)."),
        (
            "chrf",
            0.2,
            0.31,
            "No difference in chrF2 that this test set can show (A is ahead by 0.20",
        ),
        ("ter", 0.2, 0.31, "No difference in TER that this test set can show (B is ahead by 0.20"),
        ("bleu", 0.0, 1.0, "No difference in BLEU that this test set can show (both are equal"),
        ("bleu", 0.5, None, "A is ahead by 0.50 BLEU; whether by chance was not tested."),
    ],
)
def test_a_comparison_is_said_in_words(metric: str, delta: float, p: Any, said: str) -> None:
    results = make_results(5, compare=True)
    results["compare"]["delta"] = {metric: {"delta": delta, "p": p}}
    text = "".join(Page(page_of(results)).text).replace("\u00a0", " ")
    assert text.count(said) == 1


def test_groups_of_few_sentences_are_marked() -> None:
    results = make_results(60)
    group = {"group": "the group", "scores": {"bleu": 30.0}}
    for sentences, few in ((FEW - 1, True), (FEW, False)):
        results["analysis"]["breakdown"] = [
            {"by": "kind", "groups": [{**group, "sentences": n} for n in (sentences, 2 * FEW)]}
        ]
        page = Page(page_of(results))
        assert (f"the group \u00b7 {sentences} sentences (few)" in page.text) == few
        bars = [
            a["class"] for tag, a in page.seen if tag == "rect" and "faint" in (a["class"] or "")
        ]
        slices = sum(part["sentences"] < FEW for part in results["analysis"]["robustness"])
        assert len(bars) == few + slices


def test_a_single_group_has_no_chart() -> None:
    """It would say what the scores say."""
    results = make_results(60)
    kinds = {table["by"] for table in results["analysis"]["breakdown"]}
    for table in results["analysis"]["breakdown"][:-1]:
        del table["groups"][1:]
    text = "".join(Page(page_of(results)).text).lower()
    assert [kind for kind in sorted(kinds) if f"{kind}: bleu" in text] == [
        table["by"] for table in results["analysis"]["breakdown"][-1:]
    ]
    del results["analysis"]["breakdown"][-1]["groups"][1:]
    assert "By kind of sentence" not in "".join(Page(page_of(results)).text)


def test_each_fault_is_explained_and_counted() -> None:
    results = make_results(10)
    names = ["empty", "loop", "length", "numbers", "names"]
    rates = {name: {"sentences": n, "share": n / 10} for n, name in enumerate(names)}
    page = page_of({**results, "analysis": {**results["analysis"], "guards": rates}})
    for n, name in enumerate(names):
        counted = f'</small></th><td class="n">{n}</td><td class="n">{n * 10:.2f}%</td>'
        assert re.search(f"<th>{name}<small>[^<]+{counted}", page)


def test_a_fault_looked_for_in_one_system_only_has_no_rate_in_the_other() -> None:
    results = make_results(10, compare=True)
    rates = results["analysis"]["guards"] | {"names": {"sentences": 3, "share": 0.3}}
    results["analysis"] = {**results["analysis"], "guards": rates}
    assert "names" not in results["compare"]["analysis"]["guards"]
    page = page_of(results)
    cells = "".join(f'<td class="n">{cell}</td>' for cell in ("3", "30.00%", "\u2013", "\u2013"))
    assert re.search(f"<th>names<small>[^<]+</small></th>{cells}", page)


def test_sentences_can_be_chosen_by_all_that_training_data_hold() -> None:
    page = Page(page_of(make_results(60)))
    values = [attributes.get("value") for tag, attributes in page.seen if tag == "option"]
    kinds = set(KINDS)
    assert kinds == set(SEEN) <= set(values) and "near" not in values
    assert any("the reference is in the training data" in text for text in page.text)


@pytest.mark.parametrize("asked", ["ab", "a", "b"])
def test_two_systems_are_shown_side_by_side(asked: str) -> None:
    """What could be asked of one of them only is drawn as its own."""
    results = make_results(60, compare=True)
    for kind, system in zip("ab", (results, results["compare"]), strict=True):
        if kind not in asked:
            for key in ("confidence", "robustness"):
                system["analysis"].pop(key)
    page = Page(page_of(results))
    text = "".join(page.text)
    for kind in "ab":
        letter = kind.upper()
        assert f"sentences {letter}" in text and f"share {letter}" in text
        assert (f"{letter}: Of all sentences," in text) == (kind in asked)
        curves = [a for tag, a in page.seen if tag == "polyline" and a["class"] == f"curve {kind}"]
        assert len(curves) == 2 * (kind in asked)


def test_where_two_systems_differ_most_comes_with_the_examples() -> None:
    results = make_results(60, compare=True)
    ours, theirs = results["analysis"]["lines"], results["compare"]["analysis"]["lines"]
    delta = [a["chrf"] - b["chrf"] for a, b in zip(ours, theirs, strict=True)]
    results["analysis"]["shown"] = {}
    text = "\n".join(Page(page_of(results)).text)
    for n in (delta.index(max(delta)), delta.index(min(delta))):
        assert f"\nline {n + 1}\n" in text


def test_pieces_that_are_not_of_the_text_follow_it() -> None:
    results = make_results(5)
    (n, *_) = results["analysis"]["shown"]["worst"]
    results["analysis"]["shown"] = {"worst": [n]}
    strange = results["analysis"]["attention"][str(n)]
    strange["tgt"] = [f"<{k}>" for k in range(len(strange["tgt"]))]
    page = Page(page_of(results))
    assert results["analysis"]["lines"][n]["hypothesis"] in "".join(page.text)
    assert [text for text in page.text if text in strange["tgt"]] == strange["tgt"]


# --- in a browser ------------------------------------------------------------------------------

# Copies of the page in two widths, each with a script that uses it and tells the frame about it.
FRAME = """<body>%s<script>
const said = [];
addEventListener("message", event => {
  said.push(event.data);
  document.title = JSON.stringify(said);
});
</script>"""
USE = """<script>
(async () => {
  const said = {width: innerWidth, overflow: document.documentElement.scrollWidth - innerWidth};
  const wait = () => new Promise(done => setTimeout(done, 300));
  const at = (query, from = document) => from.querySelector(query);
  const wide = [...document.querySelectorAll("main *")].filter(e => !e.closest(".scroll, svg")
    && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 200));
  said.wide = wide.slice(0, 3);
  said.copies = document.querySelectorAll(".signatures button").length;
  at(".signatures button")?.click();
  await wait();
  said.copied = at(".signatures button")?.textContent;
  said.selected = getSelection().toString();

  const card = [...document.querySelectorAll("article[data-line]")].find(e =>
    ["src", "tgt"].every(side => e.querySelectorAll(`[data-side=${side}] .piece`).length > 2));
  if (card) {
    const shades = side => [...card.querySelectorAll(`[data-side=${side}] .piece`)]
      .filter(e => e.classList.contains("shaded"))
      .map(e => [Number(e.dataset.piece), Number(e.style.getPropertyValue("--weight"))]);
    const over = (side, n) => at(`[data-side=${side}] [data-piece="${n}"]`, card)
      .dispatchEvent(new PointerEvent("pointerover", {bubbles: true}));
    said.line = card.dataset.line;
    over("tgt", 1);
    said.source = shades("src");
    said.words = at(".looked", card).textContent;
    over("src", 2);
    said.target = shades("tgt");
    card.dispatchEvent(new PointerEvent("pointerleave"));
    said.after = card.querySelectorAll(".shaded, .chosen").length;
    const stops = card.querySelectorAll("[data-side=tgt] [tabindex='0']");
    said.stops = stops.length;
    stops[0].focus();
    said.focused = shades("src");
    stops[0].dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true}));
    said.next = document.activeElement.dataset.piece;
    document.activeElement.blur();
    said.left = card.querySelectorAll(".shaded, .chosen").length;
  }

  const table = at("#table");
  if (table) {
    const form = at("form", table);
    const rows = () => [...table.querySelectorAll("tbody tr")];
    const first = () => rows().slice(0, 5).map(row => Number(at("td", row).textContent));
    const count = () => at(".count", table).textContent;
    said.all = count();
    said.drawn = rows().length;
    said.sorted = {chrf: first()};
    for (const button of table.querySelectorAll("th button")) {
      const key = button.dataset.key;
      if (key !== "chrf") { button.click(); said.sorted[key] = first(); }
      if (key === "length") { button.click(); said.sorted.down = first(); }
    }
    const set = (name, value) => {
      form.elements[name].value = value;
      form.dispatchEvent(new Event("input", {bubbles: true}));
    };
    set("text", "TEACHER RUNS");
    said.found = count();
    set("text", "");
    set("low", "50");
    said.good = count();
    said.scores = rows().map(row => Number(row.querySelectorAll("td.n")[2].textContent));
    set("low", "0");
    if (form.elements.fault) { set("fault", "loop"); said.loops = count(); set("fault", ""); }
    if (form.elements.seen) { set("seen", "target"); said.held = count(); set("seen", ""); }
    if (form.elements.split) { set("split", "1"); said.second = count(); set("split", ""); }
    said.again = count();
    let most = 0;
    while (rows().length > most && most < 200) {
      most = rows().length;
      rows().at(-1).scrollIntoView();
      await wait();
    }
    said.more = rows().length;
    said.overflow = Math.max(said.overflow, document.documentElement.scrollWidth - innerWidth);
  }
  parent.postMessage(said, "*");
})();
</script>"""


def browse(page: str, folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """What `USE` says of a page in each width, and what the browser complained about."""
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("needs a browser: apt-get install chromium")
    (folder / "page.html").write_text(page.replace("</body>", USE + "</body>"), encoding="utf-8")
    frames = [
        f'<iframe src="page.html" style="width:{width}px;height:900px"></iframe>'
        for width in (360, 1600)
    ]
    (folder / "frame.html").write_text(FRAME % "".join(frames), encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --enable-logging=stderr --v=0"
    options = ["--window-size=1700,2000", "--virtual-time-budget=60000", "--dump-dom"]
    done = subprocess.run(
        [chromium, *flags.split(), f"--user-data-dir={folder / 'profile'}", *options]
        + [(folder / "frame.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=300,
    )
    title = "".join(Page(done.stdout.replace("<br>", "")).text[:1])
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return sorted(json.loads(title or "[]"), key=lambda said: said["width"]), complaints


def test_complaints_of_the_browser_are_seen(tmp_path: Path) -> None:
    found, complaints = browse(
        "<p style='width: 500px'>x<script>undefined.x</script></body>", tmp_path
    )
    assert [said["width"] for said in found] == [360, 1600]
    assert [said["overflow"] > 0 for said in found] == [True, False]
    assert any("TypeError" in line for line in complaints)


@pytest.mark.slow
def test_a_page_works_in_a_browser(case: tuple[Results, str], tmp_path: Path) -> None:
    results, source = case
    found, complaints = browse(source, tmp_path)
    assert not complaints
    assert [said["width"] for said in found] == [360, 1600]
    for said in found:
        assert said["overflow"] <= 0 and not said["wide"]
        assert said["copies"] == sum(len(result["scores"]) for result in splits_of(results))
        first = splits_of(results)[0]
        assert said["copied"] in ("copied", "selected")
        assert said["selected"] == next(iter(first["scores"].values()))["signature"]
        attention = first.get("analysis", {}).get("attention", {})
        assert ("line" in said) == bool(attention)
        if attention:
            check_attention(said, attention[said["line"]]["weights"])
        assert ("all" in said) == ("analysis" in first)
        if "analysis" in first:
            check_table(said, results)


def check_attention(said: dict[str, Any], weights: list[list[float]]) -> None:
    """The shade is the weight, as a share of the greatest one."""
    column = [row[2] for row in weights]
    for shades, expected in (
        (said["source"], weights[1]),
        (said["target"], column),
        (said["focused"], weights[0]),
    ):
        assert {n for n, _ in shades} == set(range(len(expected)))
        for n, shade in shades:
            assert shade == pytest.approx(expected[n] / max(expected), abs=0.006)
    assert said["words"].startswith("looked at: ") and f"{max(weights[1]):.2f}" in said["words"]
    assert (said["stops"], said["next"]) == (1, "1")
    assert said["after"] == said["left"] == 0


def check_table(said: dict[str, Any], results: Results) -> None:
    """The table holds what was asked for, in the order that was asked for."""
    lines = []
    for number, result in enumerate(splits_of(results)):
        others = result.get("compare", {}).get("analysis", {}).get("lines")
        for line in result["analysis"]["lines"]:
            said_by = [line["hypothesis"], *([others[line["n"]]["hypothesis"]] if others else [])]
            delta = line["chrf"] - others[line["n"]]["chrf"] if others else None
            words = len((line["source"] or line["hypothesis"]).split())
            text = " ".join([line["source"], *line["references"], *said_by]).lower()
            lines.append({**line, "split": number, "delta": delta, "length": words, "text": text})

    def count(chosen: Callable[[dict[str, Any]], bool]) -> str:
        return f"{sum(map(chosen, lines)):,} of {len(lines):,} sentences"

    def order(key: str, sign: int = 1) -> list[int]:
        def rank(line: dict[str, Any]) -> tuple[Any, ...]:
            value = line[key]
            unknown = value is None or math.isnan(value)
            value = 0 if unknown else sign * round(value, 4)
            return unknown, value, line["split"], line["n"]

        return [line["n"] + 1 for line in sorted(lines, key=rank)][:5]

    everything = count(lambda line: True)
    assert said["all"] == said["again"] == everything
    assert said["drawn"] < 200 and said["more"] > min(said["drawn"], len(lines) - 1)
    down = said["sorted"].pop("down")
    assert down == order("length", -1)
    assert said["sorted"] == {key: order(key) for key in said["sorted"]}
    assert {"n", "length", "chrf"} <= said["sorted"].keys()
    assert said["found"] == count(lambda line: "teacher runs" in line["text"])
    assert said["good"] == count(lambda line: line["chrf"] >= 50)
    assert said["scores"] and min(said["scores"]) >= 50
    assert said.get("loops") in (None, count(lambda line: "loop" in line["faults"]))
    assert said.get("held") in (None, count(lambda line: line.get("seen") == "target"))
    assert ("second" in said) == ("splits" in results)
    assert said.get("second") in (None, count(lambda line: line["split"] == 1))
