"""Synthetic pairs: what is kept, that nothing is lost, and that training sees their tag."""

import gzip
import itertools
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from data_prep import back_translate
from data_prep.augmentation.augment import build_augmentation
from data_prep.back_translate import BLANK, add_noise, synthesise
from data_prep.prepared.prepare import prepare_data
from data_prep.sources.corpus import open_corpus, read_tag
from translator.cli.main import app
from translator.config.errors import TranslatorError
from translator.config.schema import CleanConfig, Config, SearchConfig
from translator.storage.model_folder import Model, save_model
from translator.text.lines import TextPair, blocks, read_lines
from translator.text.tokenizer import Tokenizer
from translator.training.loader import BatchSampler
from translator.translation import files
from translator.translation.result import Translation
from translator.translation.translator import Translator

REPOSITORY = Path(__file__).parents[2]
SHIPPED = REPOSITORY / "checkpoints" / "multi30k-en-de"


class Dictionary(Translator):
    """Translates word by word, remembers what it was asked, and may be interrupted."""

    def __init__(self, model: Model, lexicon: dict[str, str]):
        super().__init__(model)
        self.lexicon = {"The": "Der", **lexicon}
        self.asked: list[str] = []
        self.stop_after: int | None = None

    def translate_lines(self, lines, *args: Any, **options: Any) -> list[Translation]:
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked += lines
        return [Translation(line, self.say(line), 0.0) for line in lines]

    def say(self, line: str) -> str:
        return " ".join(self.lexicon.get(w.strip("."), w.strip(".")) for w in line.split()) + "."


@pytest.fixture
def dictionary(random_model: Model, lexicon: dict[str, str], monkeypatch) -> Dictionary:
    """In blocks of four lines."""
    monkeypatch.setattr(files, "blocks", partial(blocks, size=4))
    return Dictionary(random_model, lexicon)


@pytest.fixture(scope="module")
def english(text_pairs: list[tuple[str, str]]) -> list[str]:
    return [src for src, _ in text_pairs[240:260]]


def read_splits(folder: Path, src: str, tgt: str) -> dict[str, list[TextPair]]:
    return {split: list(pairs()) for split, pairs in open_corpus(str(folder), src, tgt).items()}


def write(path: Path, lines: list[str]) -> Path:
    data = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- pairs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("back, languages", [(True, ("de", "en")), (False, ("en", "de"))])
@pytest.mark.parametrize("name", ["mono.en", "mono.en.gz"])
def test_the_folder_is_a_corpus(
    dictionary: Dictionary, english, tmp_path: Path, back: bool, languages, name: str
) -> None:
    """Human text is the target of a back-translation and the source of a forward translation."""
    report = synthesise(dictionary, write(tmp_path / name, english), tmp_path / "out", back=back)
    pairs = [(dictionary.say(line), line) for line in english]
    assert read_splits(tmp_path / "out", *languages) == {
        "train": pairs if back else [(en, de) for de, en in pairs]
    }
    assert read_tag(tmp_path / "out") == ("<bt>" if back else None)
    assert (report["lines"], report["kept"], report["dropped"]) == (20, 20, {})
    assert report["translated"] == 20 and report["lines_per_second"] > 0
    src, tgt = languages
    assert report["train"].endswith(f"--data CORPUS:1,{tmp_path / 'out'}:1 --src {src} --tgt {tgt}")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"corpus.json", "train.en", "train.de"}


@pytest.mark.parametrize("tag", [True, False])
def test_the_tag_can_be_chosen(dictionary: Dictionary, english, tmp_path: Path, tag: bool) -> None:
    synthesise(dictionary, write(tmp_path / "m", english), tmp_path / "out", tag=tag)
    assert read_tag(tmp_path / "out") == ("<bt>" if tag else None)


def test_every_line_is_accounted_for(
    dictionary: Dictionary, english, corpus_folder: Path, tmp_path: Path
) -> None:
    """By the rule that it breaks, before or after it is translated."""
    known = read_splits(corpus_folder, "en", "de")
    dictionary.lexicon |= {
        "secret": known["test"][1][1][:-1],
        **{"mute": "", "bell": "\x07", "nothing": "\0", "7": "8"},
        **{"again": "noch noch noch", "far": " ".join(dictionary.lexicon.values())},
    }
    before = {
        "empty": ["", " \t ", "\u00a0"],
        "duplicate": [f"  {english[0].upper()} ", english[1] + "\r", english[2][:-1] + "!"],
        "too long": ["dog " * 200],
        "contamination": [known["valid"][0][0], known["test"][0][0].replace(" ", "  ").lower()],
    }
    after = {
        "contamination": ["A secret"],
        "too few letters": ["A mute."],
        "control characters": ["The bell rings.", "Say nothing."],
        "number mismatch": ["The 7 dogs."],
        "loop": ["The dog runs here again."],
        "length ratio": ["How far."],
    }
    dictionary.lexicon |= {"A": ""}
    # What makes a line a duplicate stands before it.
    lines = [
        *english,
        *(line for group in (before, after) for bad in group.values() for line in bad),
    ]
    report = synthesise(
        dictionary,
        write(tmp_path / "mono.en", lines),
        tmp_path / "out",
        held_out=[str(corpus_folder)],
    )
    expected = Counter({rule: len(bad) for rule, bad in before.items()})
    expected.update({rule: len(bad) for rule, bad in after.items()})
    assert report["dropped"] == expected
    assert report["lines"] == len(lines) == report["kept"] + sum(report["dropped"].values())
    assert read_lines(tmp_path / "out" / "train.en") == english
    assert dictionary.asked == [*english, *(line for bad in after.values() for line in bad)]


def test_rules_can_be_changed(dictionary: Dictionary, english, tmp_path: Path) -> None:
    lines = [english[0], "&amp; " + english[1], english[0][:-1], english[0]]
    mono = write(tmp_path / "mono.en", lines)
    for name, clean, kept in [
        ("usual", CleanConfig(), [english[0], "& " + english[1]]),
        ("exact", CleanConfig(duplicates="exact", repair=False), lines[:3]),
        ("off", CleanConfig(duplicates="off", repair=False), lines),
    ]:
        synthesise(dictionary, mono, tmp_path / name, clean=clean)
        assert read_lines(tmp_path / name / "train.en") == kept
    with pytest.raises(TranslatorError, match=r"another job .*\bclean\b"):
        synthesise(dictionary, mono, tmp_path / "off", clean=CleanConfig(duplicates="off"))


def test_white_space_around_lines_is_removed(dictionary: Dictionary, tmp_path) -> None:
    mono = tmp_path / "mono.en"
    text = "\ufeff  The dog runs here. \r\nThe man &#10;sleeps\u2028today."
    mono.write_bytes(text.encode())
    synthesise(dictionary, mono, tmp_path / "out")
    human = read_lines(tmp_path / "out" / "train.en")
    assert [" ".join(line.split()) for line in human] == [
        "The dog runs here.",
        "The man sleeps today.",
    ]
    assert len(read_splits(tmp_path / "out", "de", "en")["train"]) == 2


@pytest.mark.parametrize(
    "lines, words",
    [([], "it is empty"), (["", " "], "2 empty"), (["7 dogs."], "1 number mismatch")],
)
def test_no_pair_at_all_is_an_error(dictionary: Dictionary, tmp_path, lines, words: str) -> None:
    dictionary.lexicon |= {"7": "8"}
    mono = write(tmp_path / "mono.en", lines)
    with pytest.raises(TranslatorError, match=f"No line of .*mono.en yields a pair .*{words}"):
        synthesise(dictionary, mono, tmp_path / "out")
    if "number" not in words:
        assert not (tmp_path / "out").exists()


# --- jobs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["beam", "sample", "noisy"])
def test_an_interruption_leaves_no_trace(
    dictionary: Dictionary, english, tmp_path: Path, method: str
) -> None:
    mono = write(tmp_path / "mono.en", [*english[:7], "", *english])
    synthesise(dictionary, mono, tmp_path / "whole", method=method)
    dictionary.asked = []
    for stop_after in (0, 4, 12):
        dictionary.stop_after = stop_after
        with pytest.raises(KeyboardInterrupt, match=f"{stop_after} of 20 lines are done"):
            synthesise(dictionary, mono, tmp_path / "parts", method=method)
        assert not list((tmp_path / "parts").glob("train*"))  # nothing half done to train on
    dictionary.stop_after = None
    report = synthesise(dictionary, mono, tmp_path / "parts", method=method)
    assert dictionary.asked == english  # nothing twice
    assert report["translated"] == 8
    assert (report["kept"], report["dropped"]) == (20, {"empty": 1, "duplicate": 7})
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_what_is_translated_is_not_translated_again(
    dictionary: Dictionary, english, tmp_path: Path, monkeypatch
) -> None:
    """Not if the writing of the pairs fails, and not if all is done."""
    mono = write(tmp_path / "mono.en", english)
    with monkeypatch.context() as patch:
        patch.setattr(back_translate, "_fault", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            synthesise(dictionary, mono, tmp_path / "out")
    assert len(dictionary.asked) == 20
    reports = [synthesise(dictionary, mono, tmp_path / "out") for _ in range(2)]
    assert len(dictionary.asked) == 20
    assert reports[0] == reports[1] and reports[0]["kept"] == 20
    assert reports[0]["translated"] == 0 and reports[0]["lines_per_second"] is None
    assert read_splits(tmp_path / "out", "de", "en")["train"]


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize(
    "change, named",
    [
        ({"method": "sample"}, "method"),
        ({"back": False}, "made_by"),
        ({"tag": False}, "tag"),
        ({"search": SearchConfig(beam_size=2, seed=2)}, "search"),
        ({"held_out": "CORPUS"}, "held_out"),
        ({"mono": "other.en"}, "mono"),
    ],
)
def test_the_folder_of_another_job_is_not_touched(
    dictionary: Dictionary, english, corpus_folder, tmp_path: Path, change: dict, named, done: bool
) -> None:
    mono = write(tmp_path / "mono.en", english)
    write(tmp_path / "other.en", english[:-1])
    search = SearchConfig(beam_size=2)
    job: dict[str, Any] = {"mono": mono, "search": search, "output": tmp_path / "out"}
    dictionary.stop_after = None if done else 8
    if done:
        synthesise(dictionary, **job)
    else:
        with pytest.raises(KeyboardInterrupt):
            synthesise(dictionary, **job)
    before = contents(tmp_path / "out")
    if "held_out" in change:
        change = {"held_out": [str(corpus_folder)]}
    if "mono" in change:
        change = {"mono": tmp_path / change["mono"]}
    with pytest.raises(TranslatorError, match=rf"out holds another job .*\b{named}\b"):
        synthesise(dictionary, **job | change)
    assert contents(tmp_path / "out") == before


def test_a_folder_with_other_content_is_not_touched(
    dictionary: Dictionary, english, tmp_path: Path
) -> None:
    mono = write(tmp_path / "mono.en", english)
    with pytest.raises(TranslatorError, match="holds something else"):
        synthesise(dictionary, mono, tmp_path)
    assert contents(tmp_path) == {"mono.en": mono.read_bytes()}
    for text in ("{", "[]", "[1]", "null", "{}"):
        (tmp_path / "corpus.json").write_text(text)
        with pytest.raises(TranslatorError, match="holds another job"):
            synthesise(dictionary, mono, tmp_path)
    (tmp_path / "empty").mkdir()
    assert synthesise(dictionary, mono, tmp_path / "empty")["kept"] == 20


# --- methods -------------------------------------------------------------------------------------


def pairs_of(folder: Path) -> dict[str, str]:
    """What became of each human line, here English."""
    return dict(zip(*(read_lines(folder / f"train.{side}") for side in ("en", "de")), strict=True))


@pytest.fixture
def keep_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a model says that has learnt nothing is without fault."""
    monkeypatch.setattr(back_translate, "_fault", lambda *_: None)


@pytest.mark.parametrize("method", ["sample", "noisy"])
def test_chance_is_a_function_of_seed_and_line(
    random_model: Model, lexicon, english, tmp_path: Path, keep_all, method: str
) -> None:
    translator = Translator(random_model)
    if method == "noisy":  # which needs words
        translator = Dictionary(random_model, lexicon)

    def make(name: str, lines: list[str], seed: int) -> dict[str, str]:
        mono = write(tmp_path / f"{name}.txt", lines)
        search = translator.search_config(seed=seed)
        synthesise(translator, mono, tmp_path / name, method=method, search=search)
        return pairs_of(tmp_path / name)

    found = make("a", english, 1)
    assert list(found) == english
    assert make("b", ["", *english[::-2]], 1) == {line: found[line] for line in english[::-2]}
    other = make("c", english, 2)
    assert sum(other[line] != found[line] for line in english) > len(english) / 2


def test_methods_are_those_of_the_search(
    random_model: Model, english, tmp_path: Path, keep_all
) -> None:
    translator = Translator(random_model)
    english = english[:8]
    mono = write(tmp_path / "mono.en", english)
    methods = ("beam", "sample", "noisy")
    for method in methods:
        synthesise(translator, mono, tmp_path / method, method=method)
    beam, drawn, noisy = (pairs_of(tmp_path / method) for method in methods)
    for found, decode in ((beam, "beam"), (drawn, "sample")):
        assert found == dict(
            zip(english, translator.translate(english, decode=decode), strict=True)
        )
    assert beam != drawn
    for line, damaged in noisy.items():
        assert not Counter(damaged.split()) - Counter([*beam[line].split(), *[BLANK] * 99])


@given(st.integers(1, 60), st.integers(0, 2**32))
def test_noise_moves_no_word_far(n_words: int, seed: int) -> None:
    words = [f"w{i}" for i in range(n_words)]
    found = add_noise(" ".join(words), random.Random(seed)).split()
    assert 1 <= len(found) <= n_words
    left = [word for word in found if word != BLANK]
    assert len(set(left)) == len(left) and set(left) <= set(words)
    # Blanks hide where words were dropped, so the places are those among all that is left.
    if BLANK not in found:
        order = sorted(range(len(found)), key=lambda place: int(found[place][1:]))
        assert all(abs(old - new) <= 3 for old, new in enumerate(order))


def test_noise_has_its_rates() -> None:
    n, rng = 20_000, random.Random(1)
    words = [f"w{i}" for i in range(n)]
    found = add_noise(" ".join(words), rng).split()
    sigma = (n * 0.1 * 0.9) ** 0.5
    assert abs(n - len(found) - 0.1 * n) < 4 * sigma
    assert abs(found.count(BLANK) - 0.1 * len(found)) < 4 * sigma
    places = [int(word[1:]) for word in found if word != BLANK]
    swapped = [a - b for a, b in itertools.pairwise(places) if a > b]
    assert len(swapped) > n / 10 and max(swapped) >= 3
    assert add_noise("", rng) == ""


# --- training ------------------------------------------------------------------------------------


@pytest.fixture
def mixture(
    random_model: Model,
    lexicon,
    corpus_folder: Path,
    text_pairs,
    tiny_config: Config,
    tmp_path: Path,
) -> Callable[..., Config]:
    """`corpus_folder` and twice 30 synthetic pairs, tagged or not, as settings."""

    def make(tag: bool = True, **changes: Any) -> Config:
        mono = write(tmp_path / "mono.en", [src for src, _ in text_pairs[240:270]])
        folder = tmp_path / f"bt-{tag}"
        synthesise(Dictionary(random_model, lexicon), mono, folder, tag=tag)
        data = replace(
            tiny_config.data, corpus=f"{corpus_folder}:1,{folder}:2", src="de", tgt="en", **changes
        )
        return replace(tiny_config, data=data)

    return make


def test_exactly_the_synthetic_sources_are_tagged(mixture) -> None:
    tagged = prepare_data(mixture())
    plain = prepare_data(mixture(tag=False), tagged.tokenizer)
    assert len(plain.train) == 230  # none is held out: validation is the first part's
    bt = tagged.tokenizer.bt_id
    assert tagged.tokenizer.pieces([bt]) == ["<bt>"]
    assert tagged.train[:200] == plain.train[:200]
    assert tagged.train[200:] == [([bt, *src], tgt) for src, tgt in plain.train[200:]]
    assert tagged.valid == plain.valid and tagged.weights.tolist() == plain.weights.tolist()
    ids = [i for pairs in (tagged.train, tagged.valid) for pair in pairs for s in pair for i in s]
    assert ids.count(bt) == 30
    assert tagged.fingerprint != plain.fingerprint  # a run does not go on with the other one


@pytest.mark.parametrize("changes", [{"copy_rate": 1.0}, {"copy_rate": 0.0, "unigram_alpha": 0.2}])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_tag_survives_augmentation(mixture, bidirectional: bool, changes) -> None:
    config = mixture(bidirectional=bidirectional, **changes)
    data = prepare_data(config)
    tokenizer = data.tokenizer
    augment = build_augmentation(config.data, data.train, tokenizer)
    lead = [tokenizer.tag("en")] if bidirectional else []
    changed = 0
    for i, pair in enumerate(data.train[:230]):
        for epoch in range(3):
            src, tgt = augment(pair, i, epoch, 1)
            expected = [*lead, tokenizer.bt_id] if i >= 200 else lead
            assert src[: len(expected)] == expected
            body = src[len(expected) :]
            assert tokenizer.bt_id not in [*body, *tgt]
            changed += i >= 200 and [tokenizer.bt_id, *body] != pair[0]
    assert changed > 30  # and the sources behind the tag are augmented


def test_synthetic_pairs_do_not_come_the_other_way_round(mixture) -> None:
    data = prepare_data(mixture(bidirectional=True))
    sampler = BatchSampler(data.train.lengths, 300, 1, data.weights)
    drawn = Counter(i for epoch in range(3) for batch in sampler.epoch(epoch) for i in batch)
    assert {i for i in range(460) if drawn[i]} == set(range(430))
    assert {drawn[i] for i in range(200, 230)} == {6}
    plain = prepare_data(mixture(tag=False, bidirectional=True))
    assert plain.weights.tolist() == [*[1.0] * 200, *[2.0] * 30] * 2


@pytest.mark.parametrize("text", ["{", "[]", '{"tag": "<2de>"}', '{"tag": 1}'])
def test_a_damaged_description_is_one_line(corpus_folder: Path, tmp_path, text: str) -> None:
    for path in corpus_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "corpus.json").write_text(text)
    with pytest.raises(TranslatorError, match="corpus.json"):
        read_tag(tmp_path)
    (tmp_path / "corpus.json").write_text("{}")
    assert read_tag(tmp_path) is None


# --- the commands --------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep_all) -> Callable[..., Result]:
    """Runs `translator prepare ...` in `tmp_path`, with `mono.en` there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    (tmp_path / "mono.en").write_text("The dog runs here.\nThe man sleeps today.\n\n")
    return lambda *args: CliRunner().invoke(app, ["prepare", *map(str, args)])


def assert_one_line(result: Result, *words: str) -> None:
    assert result.exit_code == 1, result.output
    assert result.stdout == "" and len(result.stderr.splitlines()) == 1
    assert all(word in result.stderr for word in ("Error: ", *words)), result.stderr


def test_the_commands_report(run, model_folder, corpus_folder: Path, tmp_path: Path) -> None:
    result = run("back-translate", "--mono", "mono.en", "--model", model_folder, "--quiet")
    assert result.exit_code == 0, result.output
    first, _, last = result.stdout.splitlines()
    assert first.startswith("mono.en-back-beam: 2 of 3 lines kept (dropped: 1 empty), ")
    assert last.endswith("translator train --data CORPUS:1,mono.en-back-beam:1 --src de --tgt en")
    again = run("back-translate", "--mono", "mono.en", "--model", model_folder)
    assert "all done before" in again.stdout
    args = ("--mono", "mono.en", "--model", model_folder, "--json", "--held-out", corpus_folder)
    more = ("--method", "sample", "--top-p", "0.9", "--seed", "3", "--set", "clean.max_words=9")
    result = run("forward-translate", *args, *more)
    report = json.loads(result.stdout)
    assert (report["folder"], report["kept"]) == ("mono.en-forward-sample", 2)
    data = f"{corpus_folder}:1,mono.en-forward-sample:1"
    assert report["train"] == f"translator train --data {data} --src en --tgt de"
    job = json.loads((tmp_path / report["folder"] / "corpus.json").read_text())
    search = job["search"]
    assert job["clean"]["max_words"] == 9
    assert (search["decode"], search["top_p"], search["seed"]) == ("sample", 0.9, 3)


def test_without_a_name_the_default_model_of_the_direction_translates(
    run, model_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRANSLATOR_MODEL", str(model_folder))  # English to German
    assert run("back-translate", "--mono", "mono.en").exit_code == 0
    (tmp_path / "mono.de").write_text("Der Hund läuft hier.\n")
    result = run("back-translate", "--mono", "mono.de")
    assert_one_line(result, "translates en-de, not de-en")


def test_wrong_languages_are_one_line(run, model_folder: Path, tmp_path: Path) -> None:
    args = ("back-translate", "--model", model_folder)
    given = ("--src", "de", "--tgt", "en")
    assert_one_line(run(*args, "--mono", "mono.en", *given), "translates en-de, not de-en")
    (tmp_path / "mono.en").rename(tmp_path / "mono.de")
    assert_one_line(run(*args, "--mono", "mono.de"), "mono.de is de by its name", "en-de")
    assert list(tmp_path.iterdir()) == [tmp_path / "mono.de"]


def test_a_name_tells_the_direction_of_a_model_that_knows_both(
    run, random_model: Model, tmp_path: Path, english
) -> None:
    config = random_model.config
    config = replace(config, data=replace(config.data, bidirectional=True))
    weights = random_model.transformer.state_dict()
    save_model(tmp_path / "both", weights, random_model.tokenizer, config, {})
    (tmp_path / "mono.de").write_text("Der Hund läuft hier.\n")
    for mono, direction in (("mono.en", "--src de --tgt en"), ("mono.de", "--src en --tgt de")):
        result = run("back-translate", "--mono", mono, "--model", "both")
        assert result.stdout.strip().endswith(direction), result.output
    given = ("--src", "de", "--tgt", "en", "--output", "other")
    result = run("forward-translate", "--mono", "mono.de", "--model", "both", *given)
    assert result.stdout.strip().endswith("other:1 --src de --tgt en"), result.output


@pytest.mark.parametrize(
    "name, data, words",
    [
        ("no.en", None, ["There is no file no.en"]),
        ("latin.en", b"The dog.\nThe caf\xe9.\n", ["latin.en, line 2: not UTF-8"]),
        ("cut.en.gz", gzip.compress(b"The dog.\n")[:-4], ["cut.en.gz is cut short"]),
        ("empty.en", b"", ["empty.en", "it is empty"]),
    ],
    ids=["none", "latin", "cut", "empty"],
)
def test_a_file_that_cannot_be_read_is_one_line(
    run, model_folder: Path, tmp_path: Path, name: str, data: bytes | None, words: list[str]
) -> None:
    """And leaves nothing that a later, right one would stumble over."""
    if data is not None:
        (tmp_path / name).write_bytes(data)
    before = set(tmp_path.iterdir())
    assert_one_line(run("back-translate", "--mono", name, "--model", model_folder), *words)
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "args",
    [
        ["back-translate"],
        ["back-translate", "--model", "MODEL"],
        ["back-translate", "--mono", "mono.en", "--model", "MODEL", "--method", "magic"],
        ["forward-translate", "--mono", "mono.en", "--model", "MODEL", "--method", "noisy"],
        ["back-translate", "--mono", "mono.en", "--model", "MODEL", "--top-p", "7"],
        ["magic"],
    ],
)
def test_wrong_usage(run, model_folder: Path, args: list[str]) -> None:
    result = run(*(str(model_folder) if arg == "MODEL" else arg for arg in args))
    assert result.exit_code == 2 and result.stdout == ""


@pytest.mark.parametrize("command", ["back-translate", "forward-translate"])
def test_every_option_has_a_help_text(command: str) -> None:
    import typer.main

    group = typer.main.get_command(app).commands["prepare"]  # type: ignore[attr-defined]
    options = [p for p in group.commands[command].params if p.name != "help"]
    assert options and all(getattr(option, "help", None) for option in options)


def test_the_shipped_model_makes_pairs(tmp_path: Path) -> None:
    """English text back to German sources: what the rules keep reads as German."""
    if not (SHIPPED / "model.safetensors").exists():
        pytest.skip("needs the shipped model")
    translator = Translator.load(SHIPPED, device="cpu")
    lines = ["Two dogs play in the snow.", "A woman sells 3 red apples.", "", "Two dogs play."]
    mono = write(tmp_path / "mono.en", lines)
    search = translator.search_config(beam_size=2)
    report = synthesise(translator, mono, tmp_path / "out", search=search)
    assert report["lines"] == 4 and report["dropped"]["empty"] == 1
    pairs = pairs_of(tmp_path / "out")
    expected = translator.translate(lines, beam_size=2)
    assert pairs.items() <= dict(zip(lines, expected, strict=True)).items()
    assert "Hunde" in pairs[lines[0]]


def test_a_tokenizer_has_the_tag(tokenizer: Tokenizer) -> None:
    assert tokenizer.bt_id not in tokenizer.encode("<bt> The dog <bt>")
