"""More than one number: what is said of kinds of sentences, of changed sources, of single lines."""

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import invented
import pytest

from translator.evaluation import analysis
from translator.evaluation.analysis import (
    PERFECT,
    SHOWN,
    _count_faults,
    break_down,
    choose_lines,
    describe_lines,
)
from translator.evaluation.scores import score
from translator.evaluation.systems import evaluate_systems
from translator.evaluation.testset import System, TrainingText, find_training_text
from translator.evaluation.testset import TestSet as Set
from translator.report.results import FaultRate, SplitResult
from translator.search.hypothesis import Hypothesis
from translator.translation.confidence import FEATURES, Calibration
from translator.translation.translator import Translator


@pytest.fixture(scope="module")
def test_set(text_pairs) -> Set:
    pairs = text_pairs[:40]
    return Set([src for src, _ in pairs], [[tgt for _, tgt in pairs]])


@pytest.fixture(scope="module")
def hypotheses(test_set: Set) -> list[str]:
    """Some right, some without their last words, one empty, one a loop."""
    lines = [
        line if n % 3 else line.rsplit(" ", 2)[0] for n, line in enumerate(test_set.references[0])
    ]
    return [*lines[:-2], "", "Hund " * 12]


# --- lines --------------------------------------------------------------------------------------


def test_lines_are_described_one_by_one(test_set, hypotheses) -> None:
    lines = describe_lines(None, test_set, hypotheses)
    assert [line.n for line in lines] == list(range(40))
    for line in lines:
        (reference,) = line.references
        alone = score([line.hypothesis], [[reference]], ["chrf"])["chrf"].score
        assert line.chrf == pytest.approx(alone, abs=0.005)
        assert (line.chrf == 100) == (line.hypothesis == reference)
    assert lines[-2].faults == ["empty"] and "loop" in lines[-1].faults
    rates = _count_faults(None, lines)
    assert rates["empty"] == FaultRate(1, 1 / 40)
    assert rates["loop"].sentences == sum("loop" in line.faults for line in lines) >= 1


def test_lost_names_are_counted_if_there_is_a_vocabulary(random_model) -> None:
    """That is a model that reads English; a file of translations has no vocabulary."""
    references = ["Der Hund sieht Lolowolo.", "Der Hund läuft hier."]
    test_set = Set(["The dog sees Lolowolo.", "The dog runs here."], [references])
    data = replace(random_model.config.data, src="de", tgt="en")
    german = replace(random_model, config=replace(random_model.config, data=data))
    for model in (random_model, german, None):
        knows = model is random_model
        system = System("system", Translator(model) if model else None)
        found = analysis.analyse(system, test_set, ["Der Hund sieht hier.", references[1]])
        assert [line.faults for line in found.lines] == [["names"] if knows else [], []]
        assert found.guards.get("names") == (FaultRate(1, 0.5) if knows else None)


def test_a_second_model_is_judged_as_the_first_is(
    random_model, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator = Translator(random_model)
    said = Hypothesis(random_model.tokenizer.encode("Der Hund sieht hier."), -1.0, -1.0)
    monkeypatch.setattr(translator.decoder, "search", lambda units, search: [[said] for _ in units])
    test_set = Set(["The dog sees Lolowolo."], [["Der Hund sieht Lolowolo."]])
    system = System("model", translator)
    results, _ = evaluate_systems(system, {"test": test_set}, system, deep=True, n_bootstrap=20)
    found = results["test"]
    for analysed in (found.analysis, found.compare.analysis):
        assert analysed.guards["names"].sentences == 1


@pytest.mark.parametrize("n_lines", [0, 1, 2, 7, 100])
def test_the_lines_that_are_shown(n_lines: int) -> None:
    rng = random.Random(3)
    chrf = [float(rng.randint(0, 20)) for _ in range(n_lines)]
    shown = choose_lines(chrf)
    chosen = [n for numbers in shown.values() for n in numbers]
    assert len(set(chosen)) == len(chosen) == min(n_lines, 3 * SHOWN)
    worst, best = ([chrf[n] for n in shown[name]] for name in ("worst", "best"))
    assert worst == sorted(chrf)[: len(worst)] and best == sorted(chrf, reverse=True)[: len(best)]
    assert shown == choose_lines(chrf)


def test_the_best_are_more_than_perfect_ones() -> None:
    """Where half of the lines equal their reference, the best that do not are shown too."""
    chrf = [100.0] * 50 + [float(n) for n in range(50, 99)]
    best = [chrf[n] for n in choose_lines(chrf)["best"]]
    assert best == [100.0] * PERFECT + [float(n) for n in range(98, 98 - SHOWN + PERFECT, -1)]
    assert len(choose_lines([100.0] * 99)["best"]) == SHOWN


# --- kinds of sentences -------------------------------------------------------------------------


def test_each_line_is_in_one_group_of_each_kind(test_set, hypotheses) -> None:
    words = [word for src in test_set.sources for word in analysis.split_words(src)]
    words = [word for word in words if word != "dog"]
    training = TrainingText(Counter(words * 5), {"test": ({1, 2}, {2, 3})})
    kinds = ["no", "source", "both sides", "target", *["no"] * 36]
    assert kinds == [training.find_sides("test", n) for n in range(40)]
    lines = describe_lines(None, test_set, hypotheses, kinds)
    tables = break_down(test_set, hypotheses, lines, training)
    assert len(tables) == 3
    for table in tables:
        assert sum(group.sentences for group in table.groups) == 40
    by_kind = {group.group: group for group in tables[2].groups}
    assert {name: group.sentences for name, group in by_kind.items()} == {
        **{"no": 37, "source": 1, "target": 1, "both sides": 1}
    }
    some = [0, *range(4, 40)]
    references = [test_set.references[0][n] for n in some]
    alone = score([hypotheses[n] for n in some], [references])
    assert by_kind["no"].scores == {name: alone[name].score for name in ("bleu", "chrf")}
    rare = {group.group: group.sentences for group in tables[1].groups}
    never = sum(
        any(training.frequency[word] == 0 for word in analysis.split_words(src))
        for src in test_set.sources
    )
    assert rare.get("never", 0) == never > 0


@pytest.mark.parametrize("lengths", [[5], [5, 5, 5, 5], [1, 2], [*range(1, 40)], [3] * 30 + [9]])
def test_groups_of_lengths_have_no_gap(lengths: list[int]) -> None:
    groups = analysis._group_lengths(lengths)
    for length in lengths:
        assert sum(low <= length <= high for low, high, _ in groups) == 1
    assert 1 <= len(groups) <= 4
    assert all(any(low <= n <= high for n in lengths) for low, high, _ in groups)


# --- all of it ----------------------------------------------------------------------------------


def test_a_model_and_its_translations_say_the_same(
    random_model, corpus_folder: Path, text_pairs
) -> None:
    """What can be known of a file of translations is what is said of the model that made them."""
    translator = Translator(random_model)
    pairs = text_pairs[:9]
    of_model = Set([src for src, _ in pairs], [[tgt for _, tgt in pairs]])
    search = translator.search_config(beam_size=1)
    training = find_training_text({"test": of_model}, None, str(corpus_folder), "en", "de", True)
    system = System("model", translator, search)
    options = {"deep": True, "n_bootstrap": 20, "metrics": ["bleu"]}
    found, lines = evaluate_systems(system, {"test": of_model}, None, training, **options)
    of_file = Set(of_model.sources, of_model.references, lines["test"])
    other = System("other", hypotheses=[tgt for _, tgt in pairs])
    again, same = evaluate_systems(System("file"), {"test": of_file}, other, training, **options)
    assert same == lines
    model, file = found["test"].to_dict(), again["test"].to_dict()
    assert model["scores"] == file["scores"] and model["clean_part"] == file["clean_part"]
    assert model["analysis"]["breakdown"] == file["analysis"]["breakdown"]
    assert {"robustness", "attention", "confidence"} == (
        set(model["analysis"]) - set(file["analysis"])
    )
    assert model["analysis"]["confidence"] is None  # it has no calibration
    scored = translator.score(list(zip(of_model.sources, lines["test"], strict=True)))
    for line, pair in zip(model["analysis"]["lines"], scored, strict=True):
        assert line["log_prob"] == pytest.approx(pair.log_prob / len(pair.pieces), abs=1e-5)
    shown = {str(n) for numbers in model["analysis"]["shown"].values() for n in numbers}
    assert set(model["analysis"]["attention"]) == shown
    for attention in model["analysis"]["attention"].values():
        assert len(attention["weights"]) == len(attention["tgt"])
        for row in attention["weights"]:
            assert len(row) == len(attention["src"]) and sum(row) == pytest.approx(1, abs=0.05)
    assert file["compare"]["scores"]["bleu"]["score"] == pytest.approx(100)
    assert file["compare"]["delta"]["bleu"]["delta"] < 0
    assert len(file["compare"]["analysis"]["lines"]) == 9
    json.dumps([model, file], allow_nan=False)


def test_pages_are_tested_with_what_is_really_found(
    random_model, corpus_folder: Path, tmp_path: Path, text_pairs
) -> None:
    """All that the results have that tests/invented.py invents stands in real ones too."""
    width = len(FEATURES)
    products = (0.0,) * (width * (width + 1) // 2)
    calibration = Calibration((0.0,) * width, (1.0,) * width, (0.1,) * width, products, 0.2)
    training = {"step": 9, "n_tokens": 8, "seconds": 7.0}
    info = {"confidence": {"en-de": calibration.to_dict()}, "training": training}
    translator = Translator(replace(random_model, info=info, folder=tmp_path))
    system = System("model", translator, translator.search_config(beam_size=1))
    pairs = text_pairs[220:225]  # the training data have none of them
    sets = {"test": Set([src for src, _ in pairs], [[tgt for _, tgt in pairs]])}
    seen = find_training_text(sets, None, str(corpus_folder), "en", "de", True)
    options = {"deep": True, "n_bootstrap": 20, "metrics": list(invented.METRICS)}
    found, _ = evaluate_systems(system, sets, system, seen, **options)

    def places(value: object, at: str = "") -> set[str]:
        if isinstance(value, list):
            return set().union(*(places(part, f"{at}[]") for part in value))
        if isinstance(value, dict):
            named = ((name if not name.isdigit() else "n", part) for name, part in value.items())
            return set().union(*(places(part, f"{at}.{name}") for name, part in named))
        return {at}

    real = json.loads(json.dumps(found["test"].to_dict(), allow_nan=False))
    assert SplitResult.from_dict(real) == found["test"]
    assert places(invented.make_results(compare=True)) <= places(real)
    kinds = {part["by"] for part in real["analysis"]["breakdown"]}
    assert kinds == set(invented.GROUPS)
    assert real["compare"]["analysis"] == {
        key: real["analysis"][key] for key in real["compare"]["analysis"]
    }


def test_confidence_is_that_of_the_translator(random_model, text_pairs) -> None:
    """Line by line, and with its measures; the model's own calibration, whatever it says."""
    width = len(FEATURES)
    products = (0.0,) * (width * (width + 1) // 2)
    calibration = Calibration((0.0,) * width, (1.0,) * width, (0.1,) * width, products, 0.2)
    info = {"confidence": {"en-de": calibration.to_dict()}}
    translator = Translator(replace(random_model, info=info))
    pairs = text_pairs[:12]
    test_set = Set([src for src, _ in pairs], [[tgt for _, tgt in pairs]])
    hypotheses = [tgt if n % 3 else "Hund" for n, (_, tgt) in enumerate(pairs)]
    found = analysis.analyse(System("model", translator), test_set, hypotheses)
    said = [line.confidence for line in found.lines]
    assert said == translator.confidences(list(zip(test_set.sources, hypotheses, strict=True)))
    assert found.confidence.base_rate == 8 / 12
    bins = found.confidence.bins
    assert sum(part.sentences for part in bins) == 12
