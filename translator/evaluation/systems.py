"""A whole evaluation: scores of one system, compared with another, analysed and described."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from translator.evaluation.analysis import analyse
from translator.evaluation.evaluate import evaluate_set, score_lines
from translator.evaluation.scores import MOST_RESAMPLED, RESAMPLED, compare
from translator.evaluation.testset import System, TestSet, TrainingText
from translator.model.transformer import count_parameters
from translator.report.results import (
    Comparison,
    SplitResult,
    SystemDescription,
    TrainingSummary,
)


def evaluate_systems(
    system: System,
    test_sets: Mapping[str, TestSet],
    other: System | None = None,
    training: TrainingText | None = None,
    deep: bool = False,
    n_bootstrap: int | None = None,
    **scoring: Any,
) -> tuple[dict[str, SplitResult], dict[str, list[str]]]:
    """Everything that `translator evaluate` prints.

    Args:
        system: the system to evaluate.
        test_sets: by name; with hypotheses if the system has no translator.
        other: a system to compare it with.
        training: how much of the test sets was trained on.
        deep: whether to analyse the scores, see `analyse`.
        n_bootstrap: resamples; None = the usual number, fewer for a very long test set.
        **scoring: further arguments of `score`.

    Returns:
        The results and the hypotheses, each by split.
    """
    results, hypotheses = {}, {}
    for name, test_set in test_sets.items():
        n_lines = len(test_set.references[0])
        usual = min(RESAMPLED, MOST_RESAMPLED * RESAMPLED // max(n_lines, 1))
        scoring["n_bootstrap"] = usual if n_bootstrap is None else n_bootstrap
        found, lines = evaluate_set(system.translator, test_set, system.search, **scoring)
        result = SplitResult(**vars(found), split=name)
        seen = (training, name) if training else None
        if training:
            some = training.list_unseen(name, len(lines))
            result = replace(result, clean_part=score_lines(test_set, lines, some, **scoring))
        if deep:
            analysis = analyse(system, test_set, lines, seen)
            result = replace(result, model=describe_system(system), analysis=analysis)
        if other:
            compared, theirs = _compare(test_set, lines, other, scoring)
            if deep:
                analysis = analyse(other, test_set, theirs, seen, shown=False)
                compared = replace(compared, model=describe_system(other), analysis=analysis)
            result = replace(result, compare=compared)
        results[name] = result
        hypotheses[name] = lines
    return results, hypotheses


def _compare(
    test_set: TestSet, lines: list[str], other: System, scoring: Mapping[str, Any]
) -> tuple[Comparison, list[str]]:
    """Scores the other system on the same lines; also returns its hypotheses."""
    their_set = TestSet(test_set.sources, test_set.references, other.hypotheses)
    found, theirs = evaluate_set(other.translator, their_set, other.search, metrics=())
    compared = compare(lines, theirs, test_set.references, **scoring)
    facts = {key: value for key, value in vars(found).items() if key != "scores"}
    return replace(compared, name=other.name, **facts), theirs


def describe_system(system: System) -> SystemDescription:
    """The system's name and, for a model, its size, direction and training."""
    if not system.translator:
        return SystemDescription(system.name)
    models = system.translator.models
    training, summary = models[0].info.get("training", {}), None
    if len(models) == 1 and "n_tokens" in training:
        minutes = round(training["seconds"] / 60, 1)
        summary = TrainingSummary(training["step"], training["n_tokens"], minutes)
    return SystemDescription(
        name=system.name,
        parameters=sum(count_parameters(model.transformer) for model in models),
        direction=[system.translator.src, system.translator.tgt],
        training=summary,
    )
