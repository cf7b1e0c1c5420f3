"""Scores equal sacreBLEU's own, from its library and from its command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sacrebleu.metrics import BLEU, CHRF, TER

from translator.config.errors import TranslatorError
from translator.evaluation import evaluate
from translator.evaluation.evaluate import evaluate_pairs, score_lines
from translator.evaluation.multi30k_bleu import tokenize_for_papers
from translator.evaluation.scores import compare, score
from translator.evaluation.testset import read_test_sets, read_training_text
from translator.report.results import Delta
from translator.storage.scores import Score, SplitScores
from translator.text.lines import read_lines
from translator.translation.translator import Translator

USUAL_METRICS = ("bleu", "chrf", "ter")


@pytest.fixture(scope="module")
def references(text_pairs) -> list[str]:
    extra = ["Übrigens: 3,5 % von „allem“ – sagt sie.", "Ende!", "  Rand  ", "a\tb c d e"]
    return [tgt for _, tgt in text_pairs[:60]] + extra


@pytest.fixture(scope="module")
def hypotheses(text_pairs, references: list[str]) -> list[str]:
    """The references with other cases, words that are left out, and words of the next line."""
    changed = []
    for i, line in enumerate(references):
        words = line.split()
        if i % 3 == 0:
            words = words[:-1]
        if i % 4 == 0:
            words[0] = words[0].upper()
        if i % 5 == 0:
            words += references[(i + 1) % len(references)].split()[1:]
        changed.append(" ".join(words))
    return changed


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("n_references", [1, 2])
def test_equals_the_library(hypotheses, references, lowercase: bool, n_references: int) -> None:
    all_references = [references, hypotheses[::-1]][:n_references]
    ours = score(hypotheses, all_references, USUAL_METRICS, lowercase)
    assert tuple(ours) == USUAL_METRICS
    for name, metric in (
        ("bleu", BLEU(lowercase=lowercase)),
        ("chrf", CHRF(lowercase=lowercase)),
        ("ter", TER()),  # which compares without case, unless told otherwise
    ):
        theirs = metric.corpus_score(hypotheses, all_references)
        assert ours[name] == Score(theirs.score, str(metric.get_signature()))
        assert 0 < theirs.score < 100


def command(arguments: list[str]) -> list[dict]:
    result = subprocess.run(
        [sys.executable, "-m", "sacrebleu", *arguments, "-w", "12", "-f", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(result.stdout)
    return found if isinstance(found, list) else [found]


@pytest.mark.parametrize("lowercase", [False, True])
def test_equals_the_command(hypotheses, references, tmp_path: Path, lowercase: bool) -> None:
    files = {"hyp": hypotheses, "ref": references, "ref2": hypotheses[::-1]}
    for name, lines in files.items():
        (tmp_path / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    lower = ["--lowercase", "--chrf-lowercase"] if lowercase else []  # TER has it by itself
    arguments = [str(tmp_path / "ref"), str(tmp_path / "ref2"), "-i", str(tmp_path / "hyp")]
    theirs = command([*arguments, "-m", *USUAL_METRICS, *lower])
    ours = score(hypotheses, [references, hypotheses[::-1]], USUAL_METRICS, lowercase)
    for ours_one, theirs_one in zip(ours.values(), theirs, strict=True):
        assert ours_one.score == pytest.approx(theirs_one["score"], abs=1e-10)
        assert ours_one.signature == theirs_one["signature"]


def test_intervals_and_p_values_equal_the_command(hypotheses, references, tmp_path: Path) -> None:
    """For BLEU; the command fails to write those of the others as JSON."""
    name = "bleu"
    better = references[:40] + hypotheses[40:]
    for file, lines in {"other": hypotheses, "ours": better, "ref": references}.items():
        (tmp_path / file).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    ref, other, ours = (str(tmp_path / file) for file in ("ref", "other", "ours"))
    paired = ["-m", name, "--paired-bs", "--paired-bs-n", "300"]
    rows = command([ref, "-i", other, ours, *paired])
    theirs = [value for row in rows for value in row.values() if isinstance(value, dict)]
    compared = compare(better, hypotheses, [references], [name], n_bootstrap=300)
    found = [compared.scores[name], score(better, [references], [name], n_bootstrap=300)[name]]
    for ours_one, theirs_one in zip(found, theirs, strict=True):
        low, high = ours_one.interval
        assert ours_one.score == pytest.approx(theirs_one["score"], abs=1e-9)
        assert (low + high) / 2 == pytest.approx(theirs_one["mean"], abs=1e-4)
        assert (high - low) / 2 == pytest.approx(theirs_one["ci"], abs=1e-4)
    assert compared.delta[name].p == pytest.approx(theirs[1]["p_value"])
    assert compared.delta[name].delta == found[1].score - found[0].score != 0

    (alone,) = command([ref, "-i", ours, "-m", name, "--confidence", "--confidence-n", "300"])
    assert found[0].signature == found[1].signature == alone["signature"]
    assert found[1].score == score(better, [references], [name])[name].score


def test_a_system_is_no_better_than_itself(hypotheses, references) -> None:
    found = compare(hypotheses, hypotheses, [references], USUAL_METRICS, n_bootstrap=50)
    assert set(found.delta) == set(USUAL_METRICS)
    assert all(delta == Delta(0, 1) for delta in found.delta.values())


def test_the_papers_metric_reproduces_their_references(real_corpus: Path) -> None:
    for split in ("test_2016_flickr", "test_2017_flickr"):
        raw = read_lines(real_corpus / f"{split}.de.gz")
        published = read_lines(real_corpus / "tok" / f"{split}.lc.norm.tok.de")
        assert tokenize_for_papers(raw, "de") == published
        assert len(published) == 1000


def test_the_papers_metric_is_bleu_of_such_tokens(hypotheses, references) -> None:
    tokens = [tokenize_for_papers(lines, "de") for lines in (hypotheses, references)]
    theirs = BLEU(tokenize="none", force=True).corpus_score(tokens[0], [tokens[1]])
    (found,) = score(hypotheses, [references], ["multi30k_bleu"]).values()
    assert found.score == pytest.approx(theirs.score)
    shouted = [line.upper().replace("ß", "ẞ") for line in references]
    assert score(shouted, [references], ["multi30k_bleu"])["multi30k_bleu"].score > 99
    assert "lc.norm.tok.de" in found.signature and "tok:none" in found.signature


def test_the_papers_metric_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    with pytest.raises(TranslatorError, match=r"pip install 'small-nmt\[moses\]'"):
        score(["a"], [["a"]], ["multi30k_bleu"])


def test_a_perfect_translation_scores_full_marks(references) -> None:
    scores = score(references, [references], USUAL_METRICS)
    assert scores["bleu"].score == pytest.approx(100)
    assert scores["chrf"].score == pytest.approx(100)
    assert scores["ter"].score == 0


def test_text_is_scored_as_it_is() -> None:
    """No normalisation behind one's back: a no-break space and a decomposed umlaut count."""
    composed, decomposed = ["über alle Berge hin"], ["u\u0308ber alle Berge hin"]
    assert score(decomposed, [composed])["chrf"].score < 100


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(TranslatorError, match="no lines"):
        score([], [[]])


def test_pairs_are_translated_and_scored(random_model, text_pairs) -> None:
    translator = Translator(random_model)
    search = translator.search_config(beam_size=1, length_penalty=0.5)
    sources, references = map(list, zip(*text_pairs[:7], strict=True))
    result, lines = evaluate_pairs(translator, text_pairs[:7], search, USUAL_METRICS)
    found = translator.translate_lines(sources, search, split="never", guard=False)
    assert lines == [translation.text for translation in found]
    assert result.sentences == 7
    assert result.scores == score(lines, [references], USUAL_METRICS)
    changed = {"beam_size": 1, "length_penalty": 0.5}
    assert result.search == changed | {"length_reward": 0.0, "no_repeat_ngram": 0}


def test_lines_are_not_split_and_nothing_is_repaired(random_model, text_pairs) -> None:
    """The score is the model's: it reads each line as it was trained to."""
    translator = Translator(random_model)
    sources = [" ".join(src for src, _ in text_pairs[:3]), "The dog " * 40, ""]
    _, lines = evaluate_pairs(translator, [(source, "ein Hund") for source in sources])
    for line, source in zip(lines, sources, strict=True):
        (found,) = translator.translate_lines([source], split="never", guard=False)
        assert line == found.text and len(found.segments) == bool(source)


def test_finished_hypotheses_need_no_model(hypotheses, references) -> None:
    test_set = evaluate.TestSet([], [references], hypotheses)
    result, lines = evaluate.evaluate_set(None, test_set)
    assert lines == hypotheses
    assert result == SplitScores(len(hypotheses), score(hypotheses, [references]))


def test_test_sets_of_a_corpus_and_of_files(corpus_folder: Path, text_pairs) -> None:
    (from_corpus,) = read_test_sets(str(corpus_folder), "test", "en", "de").values()
    source, reference = corpus_folder / "test.en", corpus_folder / "test.de"
    (from_files,) = read_test_sets("", "", "en", "de", source, [reference]).values()
    assert from_corpus == from_files
    assert from_files.sources == [src for src, _ in text_pairs[220:240]]
    assert from_files.references == [[tgt for _, tgt in text_pairs[220:240]]]


def test_files_of_unequal_length_are_named_with_their_counts(corpus_folder: Path) -> None:
    with pytest.raises(TranslatorError, match=r"train\.en has 200, .*test\.de has 20"):
        read_test_sets("", "", "en", "de", corpus_folder / "train.en", [corpus_folder / "test.de"])


def test_the_clean_part_excludes_training_data(text_pairs, tmp_path: Path) -> None:
    """Neither a line's source nor its target, nor nearly; scored like a test set of its own."""
    test = [("An old woman reads a long letter in the dark garden.", f"Zeile {i}") for i in "ab"]
    test += [(f"Source {n} stands here alone.", f"Ziel {n} steht hier allein.") for n in range(6)]
    train = [
        (test[0][0].replace("old", "young"), "x"),  # nearly
        ("y", test[3][1]),
        ("z", "u"),
    ]
    for split, pairs in (("train", train), ("test", test)):
        for side, language in enumerate(("en", "de")):
            text = "".join(f"{pair[side]}\n" for pair in pairs)
            (tmp_path / f"{split}.{language}").write_text(text, encoding="utf-8")
    sets = read_test_sets(str(tmp_path), "test", "en", "de")
    numbers = read_training_text(sets, f"{tmp_path}:1,{tmp_path}:1", "en", "de").list_unseen(
        "test", 8
    )
    assert numbers == [2, 4, 5, 6, 7]
    lines = [f"{tgt} heute" for _, tgt in test]
    found = score_lines(sets["test"], lines, numbers, ["bleu"])
    alone = score([lines[n] for n in numbers], [[test[n][1] for n in numbers]], ["bleu"])
    assert found == SplitScores(5, alone)
    assert score_lines(sets["test"], lines, [], ["bleu"]) == SplitScores(0, {})
    with pytest.raises(TranslatorError, match="no corpus"):
        (tmp_path / "empty").mkdir()
        read_training_text(sets, str(tmp_path / "empty"), "en", "de")
