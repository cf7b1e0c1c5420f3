"""The page that holds a whole translator: its scripts do what our own code does.

They run in Node, and once in a browser (Debian's chromium) from a file, without a network.
"""

import json
import random
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Run

from translator.config.errors import TranslatorError
from translator.export.node import Node, find_node
from translator.export.page import TYPES, html, pack, restored
from translator.export.regex import javascript
from translator.export.verify import sample_lines
from translator.model.transformer import Transformer
from translator.storage.find import shipped_models
from translator.storage.model_folder import Model, load_model
from translator.text.codec import TextCodec, normalise
from translator.text.sentences import split_sentences
from translator.text.tokenizer import BOS, EOS, Tokenizer
from translator.translation.translator import Translator

REPOSITORY = Path(__file__).parents[3]
needs_node = pytest.mark.skipif(not find_node(), reason="needs Node: apt-get install nodejs")
ODD = [
    "Grüße ▁ 🎈 ok\u2028ﬁn “x” it’s – a…",
    "Ελλάδα is nice 🎈🎈 and 中文 x",
    "a\u00adb zero\u200bwidth e\u0301 👩\u200d👧",
    "See https://x.org/a?b=c, {name} and %s (v1.2.3) at a@b.de!",
    "mail 🎈x (🎈) \U0010fffe \ue000 <2de> <copy_0> </s>",
    "Dr. Smith met Mr. J. R. Jones at 3.30 p.m. He left. It is no. 5. Nos. 3 and 4 too! (Yes.) Ok?",
]


def random_texts(tokenizer: Tokenizer, n: int) -> list[str]:
    """Texts of pieces of the vocabulary, of letters and of any characters, from a fixed seed."""
    draw = random.Random(7)
    pieces = [piece.replace("▁", " ") for piece in tokenizer.text_pieces]
    odd = [*"abcäöüß  .,;!?()'\"<>&%$#@/_-0123456789", "🎈", "中", "é", "\u0301", "’", "\u00a0"]
    return [
        "".join(
            draw.choice(pieces if draw.random() < 0.7 else odd) for _ in range(draw.randint(1, 25))
        )
        for _ in range(n)
    ]


def handwritten() -> list[str]:
    return (REPOSITORY / "benchmarks" / "handwritten.en").read_text("utf-8").splitlines()


@pytest.fixture(scope="module")
def texts(tokenizer: Tokenizer) -> list[str]:
    files = ["benchmarks/handwritten.en", "README.md", "docs/documents.md"]
    real = [line for f in files for line in (REPOSITORY / f).read_text("utf-8").splitlines()]
    return [*ODD, *real, *sample_lines("de", 100), *random_texts(tokenizer, 300)]


@pytest.fixture(scope="module")
def node(random_model: Model) -> Node:
    return Node(pack(random_model, "float16"))


@needs_node
def test_text_becomes_the_same_ids(node: Node, tokenizer: Tokenizer, texts: list[str]) -> None:
    normal = [normalise(text) for text in texts]
    assert node.ask("t.codec.normalise(value)", texts) == normal
    filled = [text for text in normal if text]
    assert node.ask("t.tokenizer.encode(value)", filled) == [*map(tokenizer.encode, filled)]
    codec = TextCodec(tokenizer)
    sources = [codec.encode(text) for text in filled]
    assert node.ask("t.codec.encode(value).ids", filled) == [s.ids for s in sources]
    there_and_back = node.ask(
        "t.codec.decode(t.codec.encode(value).ids, t.codec.encode(value))", filled
    )
    assert there_and_back == [codec.decode(s.ids, s) for s in sources]


@needs_node
def test_sentences_end_at_the_same_places(
    node: Node, random_model: Model, texts: list[str]
) -> None:
    stripped = [text.strip() for text in texts if text.strip()]
    for language, other in (("en", "de"), ("de", "en")):
        data = replace(random_model.config.data, src=language, tgt=other)
        config = replace(random_model.config, data=data)
        there = Node(pack(replace(random_model, config=config), "float16"))
        ours = [[list(part) for part in split_sentences(text, language)] for text in stripped]
        assert there.ask("t.splitter.split(value)", stripped) == ours


LOGITS = """(() => {
  const source = t.network.encode(value[0]), cache = t.network.start();
  return value[1].map((id) => [...t.network.step(source, [id], [cache])]);
})()"""


@needs_node
@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("simd", [True, False])
def test_logits_are_those_of_our_model(
    norm: str, kind: str, simd: bool, loud: Callable[..., Model]
) -> None:
    model = loud(norm)
    source, tgt_in = [40, 7, 99, 50, EOS], [BOS, 60, 61, 300]
    there = Node(pack(model, kind), simd).ask(LOGITS, [[source, tgt_in]])
    stored = Transformer(model.config.model).eval()
    stored.load_state_dict(restored(model.transformer.state_dict(), kind))
    with torch.inference_mode():
        ours = stored(torch.tensor([source]), torch.tensor([tgt_in]))[0]
    assert torch.tensor(there[0]) == pytest.approx(ours.numpy(), abs=2e-4)


@needs_node
@pytest.mark.parametrize("beam_size", [1, 4])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_beam_search_finds_the_same(norm: str, beam_size: int, loud: Callable[..., Model]) -> None:
    model = loud(norm)
    search = replace(model.config.search, beam_size=beam_size)
    stored = Transformer(model.config.model).eval()
    stored.load_state_dict(restored(model.transformer.state_dict(), "float16"))
    model = replace(model, transformer=stored, config=replace(model.config, search=search))
    lines = [*sample_lines("en", 40), *ODD[3:5]]
    there = Node(pack(model, "float16")).ask("t.translate(value)", lines)
    texts = ["".join(s["before"] + s["translation"] + s["after"] for s in part) for part in there]
    # Of what guards and marks around a text do, the page knows nothing.
    ours = [h.text for h in Translator(model).translate_lines(lines[:40], guard=False)]
    assert texts[:40] == ours
    assert "https://x.org/a?b=c" in texts[40] and texts[41].count("🎈") == 2


@needs_node
def test_a_text_is_kept_around_its_sentences(node: Node) -> None:
    texts = [
        "  The dog runs here.\n\n The man sleeps now.  It waits.\n",
        "\n",
        "",
        "12.5\n---\n",
        "a 🎈",
    ]
    for text, segments in zip(texts, node.ask("t.translate(value)", texts), strict=True):
        assert "".join(s["before"] + s["source"] + s["after"] for s in segments) == text
        for segment in segments:
            words = [word["text"] for word in segment["words"]]
            assert words == segment["translation"].split()
            seen = {place for word in segment["words"] for place in word["from"]}
            assert seen <= set(range(len(segment["sourceWords"])))


@needs_node
def test_a_cancelled_search_stops(node: Node) -> None:
    code = """(async () => {
      let left = value;
      const pause = async () => { if (left-- === 0) throw new Error("cancelled"); };
      return t.translate("The dog runs here.", () => {}, pause).catch((error) => error.message);
    })()"""
    assert node.ask(code, [0, 3]) == ["cancelled", "cancelled"]


def test_what_a_page_cannot_do_is_refused(random_model: Model, texts: list[str]) -> None:
    def changed(section: str, **values: Any) -> Model:
        part = replace(getattr(random_model.config, section), **values)
        return replace(random_model, config=replace(random_model.config, **{section: part}))

    with pytest.raises(TranslatorError, match="one direction"):
        pack(changed("data", bidirectional=True), "int8")
    with pytest.raises(TranslatorError, match="search.coverage_penalty=0.2"):
        pack(changed("search", coverage_penalty=0.2), "int8")
    bpe = Tokenizer.train(["the dog runs", "the man sleeps"], 330, "bpe")
    with pytest.raises(TranslatorError, match="BPE"):
        pack(replace(random_model, tokenizer=bpe), "int8")


def test_stored_weights_are_near(random_model: Model) -> None:
    weights = random_model.transformer.state_dict()
    error = {
        kind: max(float((restored(weights, kind)[n] - w).abs().max()) for n, w in weights.items())
        for kind in TYPES
    }
    assert error["float16"] < error["int8"] < error["int5"]


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        (r"(?P<a>x)(?P=a)", r"(?<a>x)\k<a>"),
        (r"[\w.-]*+\-", r"[\p{L}\p{N}_.-]*-"),
        (r"[^\W\d_]", r"[\p{L}\p{Nl}\p{No}]"),
        (r"[(\[|]", r"[\(\[\|]"),
    ],
)
def test_regular_expressions_are_written_for_javascript(pattern: str, written: str) -> None:
    assert javascript(pattern) == written


USE = """<script>
const found = [];
const wait = (ready) => new Promise((resolve) => {
  const look = () => (ready() ? resolve() : setTimeout(look, 20));
  look();
});
(async () => {
  const text = document.getElementById("text"), result = document.getElementById("translation");
  for (const line of TEXTS) {
    const before = result.textContent;
    text.value = line;
    text.dispatchEvent(new Event("input"));
    await wait(() => result.textContent !== before && !result.classList.contains("waiting"));
    found.push(result.textContent);
  }
  text.value = LONG;
  text.dispatchEvent(new Event("input"));
  let ticks = 0;
  const clock = setInterval(() => ticks++, 5);
  await wait(() => !document.getElementById("cancel").hidden);
  document.getElementById("cancel").click();
  await wait(() => document.getElementById("status").textContent === "Cancelled.");
  clearInterval(clock);
  found.push(ticks > 20);
  text.value = TEXTS[0];
  text.dispatchEvent(new Event("input"));
  await wait(() => result.textContent === found[0]);
  console.log(`FOUND ${JSON.stringify(found)}`);
})();
</script>"""


def browse(page: Path, folder: Path, seconds: int = 60) -> tuple[list[Any], list[str]]:
    """What `USE` found in a page, and what else the browser's console says; the network is off.

    The browser runs until then: its virtual time, which other pages are tested in, would not wait
    for a worker.
    """
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("needs a browser: apt-get install chromium")
    options = "--headless --no-sandbox --disable-gpu --enable-logging=stderr --v=0"
    options += " --remote-debugging-port=0 --proxy-server=127.0.0.1:9"
    command = [chromium, *options.split(), f"--user-data-dir={folder / 'profile'}", page.as_uri()]
    lines: list[str] = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as browser:
        clock = threading.Timer(seconds, browser.terminate)
        clock.start()
        assert browser.stderr
        for line in browser.stderr:
            if "CONSOLE" in line:
                lines.append(line)
            if "FOUND" in line:
                break
        clock.cancel()
        browser.terminate()
    found = [re.search(r'FOUND (\[.*\])", source', line) for line in lines]
    answers = [json.loads(match[1].replace('\\"', '"')) for match in found if match]
    others = [line for line, match in zip(lines, found, strict=True) if not match]
    return answers[0] if answers else [], others


@pytest.mark.slow
def test_the_page_works_from_a_file_in_a_browser(random_model: Model, tmp_path: Path) -> None:
    texts = ["The dog runs here.", "The man sleeps now. The boy sings."]
    packed = pack(random_model, "float16")
    source = html(random_model.directions, packed)
    assert not re.search(r"(?:src|href)=[\"']?https?:", source)
    long = "The dog runs. " * 2000
    use = USE.replace("TEXTS", json.dumps(texts)).replace("LONG", json.dumps(long))
    page = tmp_path / "page.html"
    page.write_text(source.replace("</body>", use + "</body>"), encoding="utf-8")
    found, complaints = browse(page, tmp_path)
    assert not complaints
    there = Node(packed).ask("t.translate(value)", texts) if find_node() else []
    ours = ["".join(s["before"] + s["translation"] + s["after"] for s in part) for part in there]
    assert len(found) == 3 and found[2] is True and found[0] and found[0] != found[1]
    assert not ours or found[:2] == ours


@needs_node
@pytest.mark.slow
@pytest.mark.skipif("multi30k-en-de" not in shipped_models(), reason="the model is not there")
def test_captions_are_the_same_and_fast_enough() -> None:
    """The captions model is stored in fp16, so a page with such weights computes with the same."""
    model = load_model(shipped_models()["multi30k-en-de"])
    lines = [*handwritten(), *sample_lines("en", 80)]
    code = """(async () => {
      const start = process.cpuUsage();
      const segments = await t.translate(value);
      const { user, system } = process.cpuUsage(start);
      const text = segments.map((s) => s.before + s.translation + s.after).join("");
      return [text, (user + system) / 1e6];
    })()"""
    answers = Node(pack(model, "float16")).ask(code, lines)
    texts = [text for text, _ in answers]
    translator = Translator(model)
    ours = [found.text for found in translator.translate_lines(lines, guard=False)]
    pairs = [each for each in zip(lines, texts, ours, strict=True) if each[1] != each[2]]
    there, here = (
        translator.score([(each[0], each[side]) for each in pairs]) if pairs else []
        for side in (1, 2)
    )
    for pair, one, other in zip(pairs, there, here, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-3), pair  # a tie
    assert len(lines) == 200 and len(pairs) <= 4
    assert len(lines) / sum(seconds for _, seconds in answers) >= 5


@needs_node
def test_the_command_writes_a_page(run: Run, model_folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    for _ in range(2):  # a page that is there is replaced
        result = run("export", model_folder, "--to", "html", page)
        assert result.exit_code == 0, result.stderr
    assert page.stat().st_size < 1e6 and page.read_text("utf-8").startswith("<!doctype html>")
    assert result.stdout.startswith(f"{page}: ")
