"""The command line's contract: what goes where, exit codes, and one line for every failure."""

import functools
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from commands import Run, assert_one_line, assert_usage
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import ANY_LINE
from typer.testing import Result

from translator.cli.main import app
from translator.config.schema import SearchConfig
from translator.model.transformer import Transformer
from translator.search.hypothesis import Hypothesis
from translator.storage.model_folder import Model, save_model
from translator.text.tokenizer import Tokenizer
from translator.translation import files
from translator.translation.decoding import UnitDecoder
from translator.translation.translator import Translator

REPOSITORY = Path(__file__).parents[3]


# --- help and usage ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    ["train", "doctor", "plot", "average", "translate", "score", "evaluate", "info"],
)
def test_every_option_has_a_help_text(command: str) -> None:
    import typer.main

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    options = [p for p in commands[command].params if p.name != "help"]
    assert options
    assert all(getattr(option, "help", None) for option in options)


def test_version(run: Run) -> None:
    import translator

    assert run("--version").stdout.strip() == translator.__version__


@pytest.mark.parametrize(
    "args",
    [
        ["translat"],
        ["translate", "--beam-size", "0", "x"],
        ["translate", "--beam-size", "many", "x"],
        ["translate", "--no-such-option"],
        ["translate", "x", "--input", "file"],
        ["translate", "x", "--attention", "picture.gif"],
        ["translate", "x", "--alignments", "--n-best", "2"],
        ["translate", "x", "--candidates", "0"],
        ["translate", "x", "--coverage-penalty", "-1"],
        ["translate", "x", "--diversity", "-0.5"],
        ["translate", "x", "--no-repeat-ngram", "-1"],
        ["score", "--source", "file"],
        ["score", "--target", "file"],
        ["evaluate", "--metrics", "bleurt"],
        ["evaluate", "--source", "file"],
        ["evaluate", "--reference", "file"],
        ["evaluate", "--bootstrap", "-1"],
        ["evaluate", "--compare", "file", "--bootstrap", "0"],
        ["evaluate", "--report", "report.pdf"],
        ["train", "--steps", "0"],
        ["plot"],
        ["plot", "a", "b"],
        ["average", "a"],
        ["average", "a", "--output", "b", "--last", "2", "--best", "2"],
        ["average", "a", "b", "--output", "c", "--last", "2"],
    ],
)
def test_wrong_usage_exits_with_2(run: Run, args: list[str]) -> None:
    assert run(*args).exit_code == 2


# --- translate --------------------------------------------------------------------------------


def test_n_lines_in_n_lines_out_with_white_space_kept(run: Run) -> None:
    lines = ["The dog runs here.", "", "  \t", "  The man eats now. \r", "a\u2028b\x85c\x0cd"]
    result = run("translate", stdin="\n".join(lines) + "\n")
    assert result.exit_code == 0
    out = result.stdout_bytes.decode().split("\n")
    assert len(out) == len(lines) + 1
    assert out[1:3] == ["", "  \t"]
    assert out[3].startswith("  ") and out[3].endswith(" \r")


def test_an_empty_text_gives_an_empty_line(run: Run) -> None:
    result = run("translate", "")
    assert (result.exit_code, result.stdout) == (0, "\n")


def test_texts_stdin_and_files_agree(run: Run, tmp_path: Path) -> None:
    text = "The dog runs here.\nThe man eats now.\n"
    (tmp_path / "in.txt").write_text(text, encoding="utf-8")
    expected = run("translate", stdin=text).stdout
    assert run("translate", *text.splitlines()).stdout == expected
    assert run("translate", text.rstrip()).stdout == expected
    assert run("translate", "--input", tmp_path / "in.txt").stdout == expected
    output = tmp_path / "out.txt"
    assert run("translate", "--input", tmp_path / "in.txt", "--output", output).stdout == ""
    assert output.read_text(encoding="utf-8") == expected
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.txt", "out.txt"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("options", [[], ["--output"]])
def test_an_input_that_can_be_read_only_once(run: Run, tmp_path: Path, options: list[str]) -> None:
    """As from a shell's `<(...)`."""
    text = "The dog runs.\nThe man eats.\n"
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=[text], daemon=True)
    writer.start()
    files = [*options, *(tmp_path / "out" for _ in options)]
    result = run("translate", "--no-guard", "--input", tmp_path / "pipe", *files)
    assert result.exit_code == 0
    found = (tmp_path / "out").read_text() if options else result.stdout
    assert found == run("translate", "--no-guard", stdin=text).stdout


def test_an_input_that_is_compressed_or_is_the_output_too(run: Run, tmp_path: Path) -> None:
    text = "The dog runs.\nThe man eats.\n"
    expected = run("translate", "--no-guard", stdin=text).stdout
    (tmp_path / "in.gz").write_bytes(gzip.compress(text.encode()))
    assert run("translate", "--no-guard", "--input", tmp_path / "in.gz").stdout == expected
    (tmp_path / "both").write_text(text)
    command = ["translate", "--no-guard", "--input", tmp_path / "both", "--output"]
    assert run(*command, tmp_path / "both").exit_code == 0
    assert (tmp_path / "both").read_text() == expected


def test_any_text_comes_back_line_by_line(run: Run) -> None:
    @settings(max_examples=12)
    @given(st.lists(ANY_LINE, max_size=5))
    def check(lines: list[str]) -> None:
        stdin = "".join(line + "\n" for line in lines).encode()
        result = run("translate", "--no-guard", "--quiet", stdin=stdin)
        assert result.exit_code == 0, result.stderr
        out = result.stdout_bytes.decode().split("\n")
        assert len(out) == len(lines) + 1
        for line, text in zip(lines, out, strict=False):
            assert bool(line.strip()) or text == line
            assert text.endswith(line[len(line.rstrip()) :])
        objects = run("translate", "--no-guard", "--quiet", "--json", stdin=stdin)
        found = [json.loads(line) for line in objects.stdout_bytes.decode().split("\n")[:-1]]
        assert [value["source"] for value in found] == lines
        assert [value["translation"] for value in found] == out[:-1]

    check()


def test_thousands_of_blank_lines(run: Run, tmp_path: Path) -> None:
    blank = "\n \n\r\n\u2028\n" * 1250
    (tmp_path / "in.txt").write_bytes(blank.encode())
    assert run("translate", stdin=blank).stdout_bytes == blank.encode()
    assert run("translate", "--input", tmp_path / "in.txt").stdout_bytes == blank.encode()
    run("translate", "--input", tmp_path / "in.txt", "--output", tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_bytes() == blank.encode()


def objects(result: Result) -> list[dict]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.split("\n")[:-1]]


def test_json_is_one_object_a_line(run: Run) -> None:
    first, blank = objects(run("translate", "The dog runs.", "", "--json", "--n-best", "3"))
    assert first["source"] == "The dog runs."
    assert first["n_best"][0] == {"translation": first["translation"], "score": first["score"]}
    assert len(first["n_best"]) == 3
    assert (blank["source"], blank["translation"], blank["segments"]) == ("", "", [])


def test_sentences_of_a_line_are_its_segments(run: Run) -> None:
    line = "The dog runs.  The man eats.\tThe boy sings. "
    (found,) = objects(run("translate", line, "--json"))
    sentences = ["The dog runs.", "The man eats.", "The boy sings."]
    single = objects(run("translate", *sentences, "--json"))
    assert [segment["source"] for segment in found["segments"]] == sentences
    texts = [segment["translation"] for segment in found["segments"]]
    assert texts == [value["translation"] for value in single]
    assert found["translation"] == "{}  {}\t{} ".format(*texts)
    for values in (found["segments"], single):
        assert found["score"] == pytest.approx(sum(value["score"] for value in values), abs=1e-4)
    for text, parts in ((" ".join(sentences), [" ".join(sentences)]), (line, sentences)):
        # Wide blanks and tabs are columns, which part segments all the same.
        (whole,) = objects(run("translate", text, "--json", "--no-split"))
        assert [s["source"] for s in whole["segments"]] == parts


def test_n_best_and_scores(run: Run) -> None:
    lines = run("translate", "The dog runs.", "--n-best", "3", "--scores").stdout.split("\n")[:-1]
    scores = [float(line.split("\t")[0]) for line in lines]
    assert len(lines) == 3
    assert scores == sorted(scores, reverse=True)


def test_n_best_wider_than_the_beam_is_an_error(run: Run) -> None:
    result = run("translate", "x", "--beam-size", "2", "--n-best", "3")
    assert_usage(result, "--n-best", "beam")


def test_a_prefix_begins_the_first_sentence_of_each_line(run: Run) -> None:
    lines = ["The dog runs. The man eats.", "", "The boy sings."]
    free = objects(run("translate", *lines, "--json"))
    found = objects(run("translate", *lines, "--json", "--prefix", " Der Hund"))
    assert found[0]["translation"].startswith("Der Hund")
    assert found[1]["translation"] == ""
    assert found[2]["translation"].startswith("Der Hund")
    assert found[0]["segments"][1] == free[0]["segments"][1]


def test_alignments_as_text_and_in_json(run: Run) -> None:
    lines = ["The 👍 dog runs. A man λόγος eats.", "", "  The boy sings."]
    texts = run("translate", *lines, "--alignments").stdout.split("\n")
    found = objects(run("translate", *lines, "--alignments", "--json"))
    for text, value in zip(texts, found, strict=False):
        if not value["source"]:
            assert text == ""
            continue
        translation, _, links = text.rpartition("\t")
        assert translation == value["translation"]
        assert [[int(i) for i in link.split("-")] for link in links.split()] == value["alignments"]
        src, tgt = value["source"].split(), value["translation"].split()
        assert all(i < len(src) and j < len(tgt) for i, j in value["alignments"])
    for span, word in (("👍", 1), ("λόγος", 6)):
        place = next(j for j, w in enumerate(found[0]["translation"].split()) if span in w)
        assert [word, place] in found[0]["alignments"]
    assert "alignments" not in objects(run("translate", "The dog.", "--json"))[0]


def test_samples_have_a_seed(run: Run) -> None:
    command = ["translate", "The dog runs.", "The man eats.", "--decode", "sample", "--top-k", "20"]
    outputs = [run(*command, *seed).stdout for seed in ([], ["--seed", "1"], ["--seed", "2"])]
    assert outputs[0] == outputs[1] != outputs[2]
    several = objects(run(*command, "--n-best", "8", "--json", "--temperature", "1.5"))
    assert all(len(value["n_best"]) == 8 for value in several)


@pytest.mark.parametrize("options", [[], ["--candidates-from", "sample"], ["--utility", "bleu"]])
def test_minimum_bayes_risk(run: Run, options: list[str]) -> None:
    command = ["translate", "The dog runs.", "--json", "--no-guard", *options]
    (found,) = objects(run(*command, "--decode", "mbr", "--candidates", "4"))
    decode = "sample" if "sample" in options else "beam"
    (all_found,) = objects(run(*command, "--decode", decode, "--beam-size", "4", "--n-best", "4"))
    assert found["translation"] in [value["translation"] for value in all_found["n_best"]]
    assert 0 <= found["score"] <= 100


def test_bfloat16(run: Run) -> None:
    exact, rough = (
        objects(run("translate", "The dog runs.", "--json", "--precision", precision))[0]
        for precision in ("fp32", "bf16")
    )
    assert rough["score"] != exact["score"]
    assert rough["score"] == pytest.approx(exact["score"], rel=0.05)


@pytest.fixture
def own_search(run: Run, random_model: Model, tmp_path: Path, monkeypatch) -> SearchConfig:
    """A model that comes with a search of its own becomes the default."""
    search = SearchConfig(decode="sample", n_best=2, seed=3, top_k=50, length_penalty=0.3)
    config = replace(random_model.config, search=search)
    folder = tmp_path / "own"
    save_model(folder, random_model.transformer.state_dict(), random_model.tokenizer, config, {})
    monkeypatch.setenv("TRANSLATOR_MODEL", str(folder))
    return search


def test_options_that_are_not_given_leave_the_model_its_own_search(
    run: Run, own_search: SearchConfig
) -> None:
    def spell(search: SearchConfig, names: list[str]) -> list[str]:
        return [f"--{name.replace('_', '-')}={getattr(search, name)}" for name in names]

    names = ["decode", "n_best", "seed", "top_k", "length_penalty"]
    texts = ["translate", "The dog runs here.", "The man eats now.", "--scores"]
    own = run(*texts)
    assert own.stdout.count("\n") == 2 * own_search.n_best
    assert own.stdout == run(*texts, *spell(own_search, names)).stdout
    assert own.stdout != run(*texts, *spell(SearchConfig(), names)).stdout
    assert run(*texts, "--seed", "9").stdout == run(*texts, "--seed=9", "--decode=sample").stdout
    assert len(objects(run(*texts, "--json"))[0]["n_best"]) == own_search.n_best


@pytest.mark.parametrize("command", ["translate", "score", "evaluate"])
def test_help_promises_no_default_that_a_model_may_have_otherwise(run: Run, command: str) -> None:
    import typer.main

    options = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
    searching = [p for p in options if p.name in SearchConfig.__dataclass_fields__]
    assert searching
    assert [p.default for p in searching] == [None] * len(searching)
    assert "the model's own" in " ".join(run(command, "--help").stdout.split())


def test_several_models_are_an_ensemble(run: Run, model_folder: Path, tmp_path: Path) -> None:
    once = run("translate", "The dog runs.", "--scores")
    twice = run(
        *("translate", "The dog runs.", "--scores", "--model", model_folder, "--model"),
        model_folder,
    )
    assert once.exit_code == 0 and twice.stdout == once.stdout


def test_models_with_other_tokenizers_are_one_line(
    run: Run, model_folder: Path, random_model: Model, tmp_path: Path
) -> None:
    tokenizer = Tokenizer.train(["something quite different"] * 20, 330)
    config = random_model.config
    sizes = replace(config.model, vocab_size=tokenizer.vocab_size)
    save_model(
        *(tmp_path, Transformer(sizes).state_dict(), tokenizer, replace(config, model=sizes), {})
    )
    result = run("translate", "x", "--model", model_folder, "--model", tmp_path)
    assert_one_line(result, model_folder, tmp_path, "tokenizers")


def test_an_interrupted_file_continues_where_it_stopped(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("".join(f"The dog runs {i}.\n" for i in range(10)))
    command = ["translate", "--input", source, "--no-guard"]
    expected = run(*command).stdout
    monkeypatch.setattr(files, "blocks", functools.partial(files.blocks, size=4))
    translate_lines = Translator.translate_lines
    seen: list[int] = []

    def interrupted(self: Translator, lines: list[str], **options: object) -> object:
        seen.append(len(lines))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return translate_lines(self, lines, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Translator, "translate_lines", interrupted)
    stopped = run(*command, "--output", output, "--quiet")
    assert_one_line(stopped, "4 of 10 lines are done", code=130)
    assert not output.exists()
    with open(tmp_path / "out.txt.partial", "ab") as file:
        file.write(b"half a li")  # as if killed while writing
    finished = run(*command, "--output", output)
    assert finished.exit_code == 0
    assert "4 lines" in finished.stderr
    assert output.read_text() == expected
    assert seen == [4, 4, 4, 2]  # the first four lines were not translated again
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.txt", "out.txt"]


def test_another_job_does_not_continue_a_partial_file(run: Run, tmp_path: Path) -> None:
    output = tmp_path / "out.txt"
    (tmp_path / "out.txt.partial").write_text("from another job\n")
    note = {"job": "another", "lines": 1, "bytes": 17}
    (tmp_path / "out.txt.partial.json").write_text(json.dumps(note))
    assert run("translate", "The dog runs.", "--output", output).exit_code == 0
    assert "another" not in output.read_text()


@pytest.mark.parametrize("kind", ["cross", "encoder", "decoder"])
def test_attention_as_numbers(run: Run, tmp_path: Path, kind: str) -> None:
    """All formats hold the same: rows that sum to one, of a piece each."""
    stem, options = tmp_path / "a", ["--attention-kind", kind]
    for ending in ("json", "tsv", "html"):
        result = run("translate", "The dog runs.", "--attention", f"{stem}.{ending}", *options)
        assert result.exit_code == 0, result.stderr
    found = json.loads(stem.with_suffix(".json").read_text())
    header, *rows = (line.split("\t") for line in stem.with_suffix(".tsv").read_text().splitlines())
    assert header == ["", *found["columns"]] and [row[0] for row in rows] == found["rows"]
    for row, weights in zip(rows, found["weights"], strict=True):
        assert sum(weights) == pytest.approx(1, abs=1e-4)
        assert [float(cell) for cell in row[1:]] == pytest.approx(weights, abs=1e-6)
    page = stem.with_suffix(".html").read_text()
    assert page.count("<td ") == len(found["rows"]) * len(found["columns"])
    run("translate", "The dog runs.", "--attention", f"{stem}.tsv", "--attention-view", "heads")
    assert stem.with_suffix(".tsv").read_text().startswith("layer\thead\t\t")


def test_attention_picture(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run("translate", "The dog.", "--attention", tmp_path / "a.svg").exit_code == 0
    assert "</svg>" in (tmp_path / "a.svg").read_text()
    for view in ("mean", "heads"):
        picture = tmp_path / f"{view}.png"
        result = run("translate", "The dog runs.", "--attention", picture, "--attention-view", view)
        assert result.exit_code == 0, result.stderr
        assert picture.read_bytes().startswith(b"\x89PNG")
    two = tmp_path / "two.png"
    lines = ["The dog.", "", "The man eats. The boy sings."]
    result = run("translate", *lines, "--attention", two)
    assert len(result.stdout.split("\n")[:-1]) == 3
    assert sorted(p.name for p in tmp_path.glob("two*")) == ["two.1.png", "two.2.png", "two.3.png"]


def test_an_unknown_attention_view_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    command = ["translate", "The dog.", "--attention", tmp_path / "a.png"]
    assert_usage(run(*command, "--attention-view", "rows"), "rows", "mean", "heads")


def test_without_matplotlib_one_line_names_the_extra(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("translate", "The dog runs.", "--attention", tmp_path / "a.png")
    assert_one_line(result, "small-nmt[plot]")


def test_quiet_silences_warnings_and_long_text_is_complete(run: Run) -> None:
    text = "The dog runs here today, " * 40
    loud, quiet = (run("translate", text, "--no-guard", *more) for more in ([], ["--quiet"]))
    assert loud.exit_code == quiet.exit_code == 0
    assert loud.stderr.count("Warning:") == 1
    assert quiet.stderr == ""
    assert loud.stdout == quiet.stdout
    many = run("translate", "The dog runs here today. " * 40, "--no-guard")
    assert many.stderr == ""  # no sentence is too long


def test_bars_go_to_stderr(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("The dog runs.\nThe man eats.\n")
    command = ["translate", "--input", tmp_path / "in.txt", "--no-guard"]
    plain, bar = run(*command), run(*command, "--progress", "--batch-tokens", "1")
    assert plain.stderr == "" and "batch" in bar.stderr
    assert bar.stdout == plain.stdout
    assert "line" in run(*command, "--progress", "--output", tmp_path / "out.txt").stderr


# --- guards -----------------------------------------------------------------------------------


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model says one word over and over, unless n-grams are blocked."""

    def search(self: UnitDecoder, units: list, search: SearchConfig) -> list[list[Hypothesis]]:
        text = "Der Hund läuft." if search.no_repeat_ngram else "Hund " * 8
        ids = self.codec.tokenizer.encode(text.strip())
        return [[Hypothesis(ids, -1.0, -1.0)] * search.n_best for _ in units]

    monkeypatch.setattr(UnitDecoder, "search", search)


def test_a_repair_is_reported_in_json(run: Run, loops: None) -> None:
    (found,) = objects(run("translate", "The dog runs.", "--json"))
    (segment,) = found["segments"]
    assert found["translation"] == segment["translation"] == "Der Hund läuft."
    assert segment["repair"] == {"faults": ["loop", "length"], "by": "wider beam", "left": []}


def test_without_a_guard_a_loop_stays(run: Run, loops: None) -> None:
    (found,) = objects(run("translate", "The dog runs.", "--json", "--no-guard"))
    assert found["translation"] == "Hund " * 7 + "Hund"
    assert "repair" not in found["segments"][0]


def test_evaluate_repairs_nothing(
    run: Run, loops: None, corpus_folder: Path, tmp_path: Path
) -> None:
    """A score is the model's."""
    command = ["evaluate", "--data", corpus_folder, "--split", "test", "--output", tmp_path / "out"]
    assert run(*command).exit_code == 0
    assert set((tmp_path / "out").read_text().splitlines()) == {"Hund " * 7 + "Hund"}


# --- standard input ---------------------------------------------------------------------------


@pytest.fixture
def process(
    model_folder: Path, subprocess_environment: dict[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """A translator that waits for lines."""
    command = [sys.executable, "-m", "translator", "translate", "--model", str(model_folder)]
    with subprocess.Popen(
        [*command, "--no-guard", "--threads", "1"],
        env=subprocess_environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as started:
        yield started
        started.kill()


def test_a_line_is_answered_before_the_next_is_written(process, run: Run) -> None:
    lines = ["The dog runs here.", "", "The man eats now."]
    expected = run("translate", *lines, "--no-guard").stdout_bytes.splitlines(keepends=True)
    for line, answer in zip(lines, expected, strict=True):
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == answer
    process.stdin.close()
    assert process.stdout.read() == b""
    assert process.wait() == 0
    assert process.stderr.read() == b""


def test_ctrl_c_while_waiting_for_a_line(process) -> None:
    process.stdin.write(b"The dog runs here.\n")
    process.stdin.flush()
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert process.stderr.read() == b"Stopped\n"


def test_lines_before_one_that_is_not_utf8_are_translated(run: Run) -> None:
    good = b"The dog runs.\n\nThe man eats.\n"
    result = run("translate", "--no-guard", stdin=good + b"M\xe4dchen\nThe boy sings.\n")
    assert result.exit_code == 1
    assert result.stdout == run("translate", "--no-guard", stdin=good).stdout
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ") and "line 4" in line and "UTF-8" in line


# --- score ------------------------------------------------------------------------------------


@pytest.fixture
def scored_files(text_pairs, tmp_path: Path) -> list[object]:
    """Options that name a source and its translations."""
    for i, name in enumerate(("source", "target")):
        lines = "".join(pair[i] + "\n" for pair in text_pairs[:4])
        (tmp_path / name).write_text(lines, encoding="utf-8")
    return ["score", "--source", tmp_path / "source", "--target", tmp_path / "target"]


def test_score_has_a_line_for_each_pair_and_a_total(run: Run, scored_files) -> None:
    result = run(*scored_files)
    assert result.exit_code == 0, result.stderr
    *rows, total = (line.split("\t") for line in result.stdout.splitlines())
    assert len(rows) == 4
    value = json.loads(run(*scored_files, "--json").stdout)
    for row, pair in zip(rows, value["pairs"], strict=True):
        numbers = [pair["score"], pair["log_prob"], pair["perplexity"]]
        assert row == [f"{number:.4f}" for number in numbers]
        assert pair["log_prob"] == pytest.approx(sum(pair["log_probs"]))
        assert pair["score"] == pytest.approx(pair["log_prob"] / len(pair["pieces"]))
    n_tokens = sum(len(pair["pieces"]) for pair in value["pairs"])
    assert total[:2] == ["total", f"{n_tokens} pieces"]
    assert float(total[2]) == pytest.approx(sum(p["log_prob"] for p in value["pairs"]), abs=1e-3)
    assert value["total"]["n_tokens"] == n_tokens


def test_score_shows_each_piece(run: Run, scored_files, text_pairs) -> None:
    *rows, _ = (line.split("\t") for line in run(*scored_files, "--tokens").stdout.splitlines())
    for row, (_, german) in zip(rows, text_pairs, strict=False):
        pieces = [field.rpartition(" ") for field in row[3:]]
        assert "".join(piece for piece, _, _ in pieces).replace("▁", " ").strip() == f"{german}</s>"
        log_prob = sum(float(number) for _, _, number in pieces)
        assert float(row[1]) == pytest.approx(log_prob, abs=1e-3)


def test_score_knows_the_length_rules(run: Run, scored_files) -> None:
    for options, base in (
        ([], lambda n: n),
        (["--length-penalty", "0.5"], lambda n: n**0.5),
        (["--length-rule", "gnmt", "--length-penalty", "2"], lambda n: ((5 + n) / 6) ** 2),
        (["--length-reward", "0.5", "--length-penalty", "0"], lambda n: 1),
    ):
        reward = 0.5 if "--length-reward" in options else 0
        for pair in json.loads(run(*scored_files, *options, "--json").stdout)["pairs"]:
            length = len(pair["pieces"])
            expected = (pair["log_prob"] + reward * length) / base(length)
            assert pair["score"] == pytest.approx(expected)


def test_score_says_what_the_search_said(run: Run, tmp_path: Path) -> None:
    """By the shipped model, for a translation must survive being written and read."""
    model = ["--model", REPOSITORY / "checkpoints" / "multi30k-en-de"]
    sources = ["A dog runs along the beach.", "Two men are talking.", "A girl in a red dress."]
    found = objects(run("translate", *sources, *model, "--json"))
    (tmp_path / "source").write_text("".join(line + "\n" for line in sources))
    (tmp_path / "target").write_text("".join(value["translation"] + "\n" for value in found))
    files = ["--source", tmp_path / "source", "--target", tmp_path / "target"]
    pairs = json.loads(run("score", *files, *model, "--json").stdout)["pairs"]
    for pair, value in zip(pairs, found, strict=True):
        assert pair["score"] == pytest.approx(value["score"], abs=1e-4)


def test_score_failures(run: Run, scored_files, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("ein\n")
    assert_one_line(run(*scored_files), "source has 4", "target has 1")
    assert_one_line(run("score", "--source", "no", "--target", tmp_path / "target"), "no file no")
    for name in ("source", "target"):
        (tmp_path / name).write_text("")
    assert_one_line(run(*scored_files), "no lines")


# --- failures ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--decode", "guess"], ["decode", "guess", "sample", "mbr"]),
        (["--length-rule", "long"], ["--length-rule", "long", "gnmt"]),
        (["--stopping", "never"], ["stopping", "never", "exact"]),
        (["--candidates-from", "air"], ["--candidates-from", "air", "beam"]),
        (["--utility", "comet"], ["utility", "comet", "chrf"]),
        (["--temperature", "0"], ["--temperature"]),
        (["--temperature", "nan"], ["temperature"]),
        (["--top-p", "0"], ["top-p"]),
        (["--top-p", "1.5"], ["top-p"]),
        (["--precision", "fp16"], ["fp16", "fp32", "bf16"]),
    ],
)
def test_wrong_values_are_wrong_usage(run: Run, args: list[str], words: list[str]) -> None:
    assert_usage(run("translate", "x", *args), *words)


@pytest.mark.parametrize(
    "args",
    [
        ["--length-penalty", "nan"],
        ["--length-penalty", "1000"],
        ["--length-penalty", "-1000"],
        ["--length-reward", "nan"],
        ["--coverage-penalty", "inf"],
        ["--temperature", "inf", "--decode", "sample"],  # greedy, which it should not be
    ],
)
def test_numbers_beyond_reason_are_wrong_usage(run: Run, args: list[str]) -> None:
    assert_usage(run("translate", "x", *args), "must", "be")


def test_a_missing_input_file(run: Run, tmp_path: Path) -> None:
    assert_one_line(run("translate", "--input", tmp_path), tmp_path)
    output = ["--output", tmp_path / "out"]
    assert_one_line(run("translate", "--input", tmp_path / "no.txt", *output), "no.txt")
    assert_one_line(run("translate", "--input", tmp_path / "no.txt"), "no.txt")


def test_input_that_is_not_utf8_names_file_and_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"fine\nM\xe4dchen\n")
    assert_one_line(run("translate", "--input", tmp_path / "latin.txt"), "latin.txt", "line 2")
    result = run("translate", stdin=b"M\xe4dchen\n")
    assert_one_line(result, "line 1", "UTF-8")


def test_an_output_that_is_a_folder_or_has_none(run: Run, tmp_path: Path) -> None:
    assert_one_line(run("translate", "x", "--output", tmp_path), "is a folder")
    assert_one_line(run("translate", "x", "--output", tmp_path / "no" / "out"), "no folder")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_an_output_that_is_not_an_ordinary_file_is_not_replaced(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert_one_line(run("translate", "x", "--output", tmp_path / "pipe"), "pipe", "ordinary file")
    assert (tmp_path / "pipe").is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_without_permission(run: Run, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert_one_line(run("translate", "x", "--output", tmp_path / "out"), "permission")


def test_broken_models_are_one_line(run: Run, model_folder: Path, tmp_path: Path) -> None:
    assert_one_line(run("translate", "x", "--model", tmp_path / "none"), "none")
    assert_one_line(run("translate", "x", "--model", tmp_path), "config.json")

    copy = tmp_path / "copy"
    weights = copy / "model.safetensors"
    shutil.copytree(model_folder, copy)
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    assert_one_line(run("translate", "x", "--model", copy), "model.safetensors", "damaged")
    weights.write_bytes(data[:100])
    assert_one_line(run("translate", "x", "--model", copy), "model.safetensors", "damaged")
    (copy / "tokenizer.model").unlink()
    assert_one_line(run("translate", "x", "--model", copy), "tokenizer.model")


def test_a_direction_without_a_model(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_one_line(run("translate", "x", "--src", "de", "--tgt", "en"), "en-de")
    monkeypatch.delenv("TRANSLATOR_MODEL")
    assert_one_line(run("translate", "x", "--tgt", "fr"), "en-fr")


def test_an_unknown_device(run: Run) -> None:
    assert_one_line(run("translate", "x", "--device", "abacus"), "abacus", "cpu")


def test_debug_shows_the_traceback(run: Run, tmp_path: Path) -> None:
    result = run("translate", "x", "--model", tmp_path / "none", "--debug")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr and "find_model" in result.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--preset", "huge"], ["huge", "tiny"]),
        (["--preset", "smal"], ['Did you mean "small"?']),
        (["--set", "train.pace=3"], ["train.pace"]),
        (["--set", "train.paek_lr=3"], ['Did you mean "train.peak_lr"?']),
        (["--set", "train.peak_lr=inf"], ["train.peak_lr", "inf"]),
        (["--set", "train.steps=soon"], ["train.steps", "whole number"]),
        (["--set", "steps=3"], ["section.key=value"]),
        (["--precision", "fp8"], ["--precision", "bf16"]),
        (["--steps", "0"], ["--steps", "at least 1"]),
        (["--set", "train.r_drop=5", "--set", "train.simcut=3"], ["exclude each other"]),
        (["--set", "train.ema_decay=1"], ["train.ema_decay", "below 1"]),
        (["--set", "train.optimizer=adam", "--set", "train.weight_decay=0.1"], ["adamw"]),
    ],
)
def test_train_with_wrong_settings_is_wrong_usage(
    run: Run, args: list[str], words: list[str]
) -> None:
    assert_usage(run("train", *args), *words)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--data", "no-such-corpus"], ["no-such-corpus", "sample"]),
        (["--config", "no.toml"], ["no.toml"]),
        (["--init-from", "no-such-model"], ["no-such-model"]),
        (["--bidirectional", "--data", "sample", "--tgt", "fr"], ["fr"]),
    ],
)
def test_train_without_what_it_needs(run: Run, args: list[str], words: list[str]) -> None:
    assert_one_line(run("train", *args), *words)


def test_train_with_a_broken_corpus(run: Run, tmp_path: Path) -> None:
    assert_one_line(run("train", "--data", tmp_path), "train.en")
    for name in ("train", "valid"):
        (tmp_path / f"{name}.en").write_text("a\nb\n")
        (tmp_path / f"{name}.de").write_text("a\n")
    assert_one_line(run("train", "--data", tmp_path), "train.en has 2", "train.de has 1")
    for path in tmp_path.iterdir():
        path.write_text("")
    assert_one_line(run("train", "--data", tmp_path), "no training pairs")


# --- train, evaluate, info --------------------------------------------------------------------


def test_train_then_use_the_run(
    run: Run, corpus_folder: Path, tiny_options: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    command = ["train", "--data", corpus_folder, "--run", folder, "--steps", "4", *tiny_options]
    first = run(*command)
    assert first.exit_code == 0, first.stderr
    assert "BLEU" in first.stdout and "translator translate --model" in first.stdout
    assert "valid (20 sentences)" in first.stdout and "test (20 sentences)" in first.stdout
    assert "finished" in run(*command).stderr  # nothing is trained again
    different = run(*command, "--seed", "7")
    assert_one_line(different, "train.seed: 1 -> 7", "--fresh")
    longer = run(*command, "--steps", "6", "--json")
    assert json.loads(longer.stdout)["training"]["step"] == 6
    assert run(*command, "--seed", "7", "--fresh").exit_code == 0
    assert (tmp_path / "run.1" / "model.safetensors").exists()

    shown = run("info", folder)
    assert "en -> de" in shown.stdout and "BLEU" in shown.stdout
    assert json.loads(run("info", folder, "--json").stdout)["direction"] == {
        "src": "en",
        "tgt": "de",
    }
    assert run("translate", "The dog runs.", "--model", folder).exit_code == 0


def test_evaluate_forms_agree(run: Run, corpus_folder: Path, tmp_path: Path) -> None:
    hypotheses = tmp_path / "hyp.de"
    by_split = run(
        "evaluate", "--data", corpus_folder, "--split", "test", "--output", hypotheses, "--json"
    )
    assert by_split.exit_code == 0, by_split.stderr
    result = json.loads(by_split.stdout)
    assert (result["split"], result["sentences"]) == ("test", 20)
    assert set(result) == {
        *("split", "sentences", "scores", "search", "seconds", "sentences_per_second")
    }
    source, reference = corpus_folder / "test.en", corpus_folder / "test.de"
    by_file = run("evaluate", "--source", source, "--reference", reference, "--json")
    scored = run("evaluate", "--hypotheses", hypotheses, "--reference", reference, "--json")
    split_scored = run(
        "evaluate", "--hypotheses", hypotheses, "--data", corpus_folder, "--split", "test", "--json"
    )
    for other in (by_file, scored, split_scored):
        assert json.loads(other.stdout)["scores"] == result["scores"]
    assert set(result["scores"]) == {"bleu", "chrf", "ter"}
    assert all(len(score["interval"]) == 2 for score in result["scores"].values())
    several = run("evaluate", "--data", corpus_folder, "--split", "t", "--json")
    assert set(json.loads(several.stdout)["splits"]) == {"train", "test"}
    perfect = run(
        "evaluate", "--hypotheses", reference, "--reference", reference, "--metrics", "bleu,ter"
    )
    assert "100.00" in perfect.stdout and "TER     0.00" in perfect.stdout


@pytest.mark.parametrize("options", [["--src", "de"], ["--tgt", "en"]])
def test_one_language_turns_the_direction_of_a_corpus_round(
    options: list[str], run: Run, corpus_folder: Path
) -> None:
    english = ["--hypotheses", corpus_folder / "test.en", "--bootstrap", 0, "--json"]
    found = run("evaluate", "--data", corpus_folder, *english, *options)
    assert found.exit_code == 0, found.stderr
    assert json.loads(found.stdout)["scores"]["bleu"]["score"] == pytest.approx(100)


@pytest.mark.parametrize("options", [["--src", "de"], ["--tgt", "en"]])
def test_one_language_turns_the_direction_of_a_run_round(
    options: list[str], run: Run, corpus_folder: Path, tiny_options: list[str], tmp_path: Path
) -> None:
    small = [*tiny_options, "--set", "confidence.enabled=false", "--steps", 2]
    done = run("train", "--data", corpus_folder, "--run", tmp_path / "run", *options, *small)
    assert done.exit_code == 0, done.stderr
    direction = json.loads((tmp_path / "run" / "config.json").read_bytes())["direction"]
    assert direction == {"src": "de", "tgt": "en"}


def test_evaluate_takes_any_setting_of_the_search(
    run: Run, corpus_folder: Path, tmp_path: Path
) -> None:
    sources = (corpus_folder / "test.en").read_text().splitlines()
    for given_settings, options in (
        ([], []),
        (["beam_size=1", "no_repeat_ngram=2"], ["--beam-size", "1", "--no-repeat-ngram", "2"]),
        (["decode=sample", "seed=7"], ["--decode", "sample", "--seed", "7"]),
        (['length_rule="gnmt"', "diversity=1"], ["--length-rule", "gnmt", "--diversity", "1"]),
    ):
        chosen = [part for setting in given_settings for part in ("--set", f"search.{setting}")]
        command = ["evaluate", "--data", corpus_folder, "--split", "test", "--precision", "bf16"]
        result = run(*command, "--output", tmp_path / "out", *chosen)
        assert result.exit_code == 0, result.stderr
        same = run("translate", *sources, "--no-guard", "--precision", "bf16", *options)
        assert (tmp_path / "out").read_bytes() == same.stdout_bytes
    wrong = ["evaluate", "--data", corpus_folder, "--split", "test"]
    assert_usage(run(*wrong, "--set", "search.pace=3"), "search.pace")
    assert_usage(run(*wrong, "--set", "search.decode=guess"), "decode", "guess")
    assert_usage(run(*wrong, "--precision", "int8"), "int8", "bf16")


def test_evaluate_compares_with_a_model_and_with_a_file(
    run: Run, corpus_folder: Path, model_folder: Path, tmp_path: Path
) -> None:
    reference = corpus_folder / "test.de"
    command = ["evaluate", "--data", corpus_folder, "--split", "test", "--metrics", "bleu"]
    with_itself = json.loads(run(*command, "--compare", model_folder, "--json").stdout)
    assert with_itself["compare"]["scores"] == with_itself["scores"]
    assert with_itself["compare"]["delta"] == {"bleu": {"delta": 0.0, "p": 1.0}}
    shown = run(*command, "--compare", reference)
    assert f"against {reference}" in shown.stdout and "it has 100.00" in shown.stdout
    two_files = run(*command, "--hypotheses", reference, "--compare", reference)
    assert "+0.00 (it has 100.00), p = 1.000" in two_files.stdout
    assert_one_line(run(*command, "--compare", "nowhere"), "neither a file", "model", "nowhere")
    short = tmp_path / "short"
    short.write_text("ein\n")
    for option in ("--compare", "--hypotheses"):
        assert_one_line(run(*command, option, short), f"{short} has 1", "test has 20")
    several = ["evaluate", "--data", corpus_folder, "--split", "t"]
    assert_one_line(run(*several, "--compare", reference), "--compare FILE", "one split")
    no_sources = ["evaluate", "--hypotheses", reference, "--reference", reference]
    assert_usage(run(*no_sources, "--compare", model_folder), "needs sources")
    assert_usage(run(*no_sources, "--model", model_folder), "--model", "--compare")


def test_evaluate_analyses(run: Run, corpus_folder: Path, tmp_path: Path) -> None:
    """For people and for programs; with the training data of the corpus itself."""
    command = ["evaluate", "--data", corpus_folder, "--split", "test", "--bootstrap", "0"]
    found = json.loads(run(*command, "--analyse", "--json").stdout)
    assert {"analysis", "model", "clean_part"} < set(found)
    assert [len(found["analysis"][name]) for name in ("lines", "breakdown")] == [20, 3]
    shown = run(*command, "--analyse").stdout
    for table in found["analysis"]["breakdown"]:
        assert f"by {table['by']}" in shown
    for row in found["analysis"]["robustness"]:
        assert row["slice"] in shown
    rates = found["analysis"]["guards"]
    assert rates.keys() == {"empty", "loop", "length", "numbers", "names"}
    said = ", ".join(f"{name} {rate['share']:.1%}" for name, rate in rates.items())
    assert f"faults: {said}\n" in shown
    assert "interval" not in found["scores"]["bleu"]


def test_evaluate_failures(run: Run, corpus_folder: Path, tmp_path: Path) -> None:
    assert_one_line(
        run("evaluate", "--data", corpus_folder, "--split", "dev2"), "dev2", "train, valid, test"
    )
    (tmp_path / "short.de").write_text("ein\n")
    result = run(
        *("evaluate", "--source", corpus_folder / "test.en", "--reference", tmp_path / "short.de")
    )
    assert_one_line(result, "test.en has 20", "short.de has 1")
    assert_one_line(
        run("evaluate", "--data", corpus_folder, "--split", "t", "--output", tmp_path / "o"),
        "one split",
    )


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="needs pipes that break")
def test_a_closed_pipe_has_no_traceback(
    model_folder: Path, subprocess_environment: dict[str, str]
) -> None:
    command = f"{sys.executable} -m translator translate --model {model_folder} x y z | true"
    done = subprocess.run(
        ["bash", "-c", command], env=subprocess_environment, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_windows_line_ends_stay_at_the_end(run: Run) -> None:
    """Whatever is written behind or before a translation, and for each of the n best."""
    text = "The dog runs here.\r\n\r\nThe man sleeps. \r\n"
    for options in (["--alignments"], ["--n-best", "3"], ["--n-best", "2", "--scores"], []):
        out = run("translate", *options, stdin=text).stdout_bytes.decode()
        assert out.count("\r\n") == out.count("\r") == out.count("\n") >= 3, options
        if options == ["--alignments"]:
            assert "\t" in out.split("\r\n")[0]
        plain = run("translate", *options, stdin=text.replace("\r", "")).stdout_bytes.decode()
        assert out == plain.replace("\n", "\r\n")
