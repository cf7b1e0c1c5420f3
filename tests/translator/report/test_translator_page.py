"""The translator's page, used in a real browser with an engine that only pretends."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from browser import open_page

from translator.report.translator_page import server_page, translator_page

# An engine that turns words round: its sentences are lines, and the first is trusted.
ENGINE = """
const turned = (word) => [...word].reverse().join("");
function sentence(source, translation, trusted, more) {
  const words = source.split(" ");
  return {
    source, translation, before: "", after: more ? "\\n" : "", confidence: trusted ? 0.9 : 0.1,
    sourceWords: words,
    words: translation.split(" ").map((text, i) => ({text, from: words[i] ? [i] : []})),
  };
}
const asked = [];
startPage({
  directions: [["en", "de"], ["de", "en"]],
  features: {documents: true, terms: true, alternatives: true, detect: true},
  accept: ".txt", maxCharacters: 100,
  async translate(text, options) {
    asked.push([text, options.source, options.target, options.terms]);
    await new Promise((done) => setTimeout(done, 50));
    options.signal.throwIfAborted();
    if (text.includes("fail")) throw new Error("It is broken.");
    const lines = text.split("\\n");
    return {source: "en", target: "de", segments: lines.map((line, i) =>
      sentence(line, line.split(" ").map(turned).join(" "), !i, i + 1 < lines.length))};
  },
  async continuations(segment, prefix, {source, target}) {
    asked.push([prefix, source, target]);
    const start = prefix ? prefix + " " : "";
    return ["<b>other</b>", "more"].map((word) => ({
      word, segment: sentence(segment.source, `${start}${word} follows`, false, false)}));
  },
  async translateFile(file, {signal}) {
    if (file.name === "slow.txt") await new Promise((done) => setTimeout(done, 900));
    signal.throwIfAborted();
    return {name: `de-${file.name}`, blob: new Blob(["translated"])};
  },
});
"""
USE = """<script>
(async () => {
  const $ = (id) => document.getElementById(id);
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const type = async (text) => {
    $("text").value = text;
    $("text").dispatchEvent(new Event("input"));
    await wait(400);
  };
  const words = () => [...document.querySelectorAll("#translation .word")];
  const said = {width: innerWidth};
  localStorage.clear();
  $("text").value = "o"; $("text").dispatchEvent(new Event("input"));
  await type("one two\\nthree <i>four</i>");
  said.asked = asked.slice();
  said.text = $("translation").textContent;
  said.levels = [...document.querySelectorAll("#translation .segment")].map((s) => s.className);
  said.detected = $("detected").textContent;
  said.tabs = words().filter((word) => word.tabIndex === 0).length;
  words()[1].dispatchEvent(new MouseEvent("mouseover", {bubbles: true}));
  said.marked = $("sentence").querySelector("mark").textContent;
  said.trust = $("trust").textContent;
  words()[0].focus();
  const press = (key) => document.activeElement.dispatchEvent(
    new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
  press("ArrowRight");
  said.focused = document.activeElement.textContent;
  press("Enter");
  await wait(100);
  words()[3].dispatchEvent(new MouseEvent("mouseover", {bubbles: true}));
  said.others = [...$("others").children].map((child) => child.textContent);
  $("others").children[0].click();
  await wait(100);
  said.followed = $("translation").textContent;
  said.stays = document.activeElement.textContent;
  said.asked_then = asked.at(-1);
  await type("fail");
  said.error = $("status").textContent;
  await type("x".repeat(101));
  said.long = $("status").textContent;
  $("terms").value = "mouse = Maus\\nnothing\\n";
  await type("mouse");
  said.terms = asked.at(-1);
  $("source").value = "en"; $("source").dispatchEvent(new Event("change"));
  await wait(200);
  $("swap").click();
  await wait(200);
  said.swapped = [$("text").value, $("source").value, $("target").value, $("text").lang];
  const files = new DataTransfer();
  files.items.add(new File(["text"], "a.txt"));
  document.dispatchEvent(new DragEvent("drop", {dataTransfer: files, cancelable: true}));
  await wait(100);
  said.file = [$("download").download, await (await fetch($("download").href)).text()];
  said.history = [...$("history").children].map((item) => item.textContent);
  $("forget").click();
  said.forgotten = $("history").children.length;
  const slow = new DataTransfer();
  slow.items.add(new File(["text"], "slow.txt"));
  document.dispatchEvent(new DragEvent("drop", {dataTransfer: slow, cancelable: true}));
  await type("seven");
  said.meanwhile = [$("translation").textContent, $("status").textContent];
  words()[0].click();
  said.pressed = words().map((word) => word.getAttribute("aria-pressed"));
  await wait(900);
  said.slow = [$("download").download, $("status").textContent];
  const start = (text) => {
    $("text").value = text;
    $("source").dispatchEvent(new Event("change"));
  };
  start("eight");
  words()[0].click();
  await wait(200);
  said.kept = $("translation").textContent;
  start("nine");
  $("clear").click();
  await wait(100);
  said.cleared = [$("translation").textContent, $("status").textContent];
  start("x".repeat(50));
  start("x".repeat(101));
  await wait(100);
  said.longer = $("status").textContent;
  said.overflow = document.documentElement.scrollWidth - innerWidth;
  said.small = [...document.querySelectorAll("button, select")].filter((each) =>
    each.offsetParent && each.getBoundingClientRect().height < 40).length;
  said.unnamed = [...document.querySelectorAll("button, select, textarea, input")].filter((each) =>
    !(each.textContent.trim() || each.ariaLabel || each.labels?.length)).length;
  parent.postMessage(said, "*");
})();
</script>"""
FRAME = """<title></title><script>
const all = [];
addEventListener("message", ({data}) => { all.push(data); document.title = JSON.stringify(all); });
</script>"""


@pytest.mark.slow
def test_the_page_works_in_a_browser(tmp_path: Path) -> None:
    page = translator_page(ENGINE, title="Words", note="Turned round.", documents=True)
    (tmp_path / "page.html").write_text(page.replace("</body>", USE + "</body>"), encoding="utf-8")
    complaints, found = [], []
    for width in (360, 1280):
        frame = f'<iframe src="page.html" style="width:{width}px;height:900px"></iframe>'
        (tmp_path / "frame.html").write_text(FRAME + frame, encoding="utf-8")
        options = ("--window-size=1400,1000", "--allow-file-access-from-files")
        dom, complained = open_page(
            (tmp_path / "frame.html").as_uri(), tmp_path / str(width), *options
        )
        title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
        complaints += complained
        found += json.loads(_unescaped(title[1])) if title and title[1] else []
    assert not complaints
    assert [said["width"] for said in found] == [360, 1280]
    for said in found:
        check(said)


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def check(said: dict[str, Any]) -> None:
    """What a person sees and does; the first letter was overtaken by the rest of the text."""
    assert said["asked"] == [["one two\nthree <i>four</i>", "auto", "", []]]
    assert said["text"] == "eno owt\neerht >i/<ruof>i<"
    assert said["levels"] == ["segment high", "segment low"]
    assert said["detected"] == "English detected"
    assert said["tabs"] == 1
    assert said["marked"] == "two" and "9 are good" in said["trust"]
    assert said["focused"] == "owt"
    assert said["others"] == ["<b>other</b>", "more"]
    assert said["followed"] == "eno <b>other</b> follows\neerht >i/<ruof>i<"
    assert said["stays"] == "<b>other</b>" and said["asked_then"] == ["eno", "en", "de"]
    assert said["error"] == "It is broken." and "100 characters" in said["long"]
    assert said["terms"] == ["mouse", "auto", "", [["mouse", "Maus"]]]
    assert said["swapped"] == ["esuom", "de", "en", "de"]
    assert said["file"] == ["de-a.txt", "translated"]
    assert said["history"] == ["esuom", "mouse", "one two\nthree <i>four</i>"]
    assert said["forgotten"] == said["small"] == said["unnamed"] == 0
    assert said["overflow"] <= 0
    assert said["meanwhile"] == ["neves", "Translating slow.txt …"]
    assert said["pressed"] == ["true"]
    assert said["slow"] == ["de-slow.txt", "slow.txt is translated."]
    assert said["kept"] == "thgie"
    assert said["cleared"] == ["", ""]
    assert said["longer"] == said["long"]


def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    settings = {"directions": [["</script>", "x"]], "features": {"documents": False}}
    page = server_page(settings)
    assert page.count("</script>") == 3
    assert not re.search(r"<(?:link|img|iframe)|@import|url\(|\bimport\b.*from|src=", page)
    assert not re.search(r"https?://", page)
