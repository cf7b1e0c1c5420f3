"""A whole evaluation: scores of one system, compared with another, analysed and described."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from translator.evaluation.analysis import analyse
from translator.evaluation.evaluate import evaluate_set, score_lines
from translator.evaluation.scores import MOST_RESAMPLED, RESAMPLED, compare
from translator.evaluation.testset import System, TestSet, TrainingText
from translator.model.transformer import count_parameters
from translator.storage.run_log import METRICS, read_metrics, series

CURVE_POINTS = 500


def evaluate_systems(
    system: System,
    test_sets: Mapping[str, TestSet],
    other: System | None = None,
    training: TrainingText | None = None,
    deep: bool = False,
    n_bootstrap: int | None = None,
    **scoring: Any,
) -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
    """Everything that `translator evaluate` says.

    Args:
        system: what is evaluated.
        test_sets: by name; they have the hypotheses if the system has no translator.
        other: what it is compared with.
        training: what training data have of the test sets.
        deep: analyse the scores, see `analyse`.
        n_bootstrap: resamples; None = as many as are usual, fewer for a very long test set.
        **scoring: metrics and the rest, as for `score`.

    Returns:
        By split what `evaluate --json` prints, and the hypotheses.
    """
    results, hypotheses = {}, {}
    for name, test_set in test_sets.items():
        if n_bootstrap is None:
            n_lines = len(test_set.references[0])
            scoring["n_bootstrap"] = min(RESAMPLED, MOST_RESAMPLED * RESAMPLED // max(n_lines, 1))
        else:
            scoring["n_bootstrap"] = n_bootstrap
        result, lines = evaluate_set(system.translator, test_set, system.search, **scoring)
        seen = (training, name) if training else None
        if training:
            some = training.unseen(name, len(lines))
            result["clean_part"] = score_lines(test_set, lines, some, **scoring)
        if deep:
            result |= _describe(system)
            result["analysis"] = analyse(system, test_set, lines, seen)
        if other:
            of_other = TestSet(test_set.sources, test_set.references, other.hypotheses)
            found, its = evaluate_set(other.translator, of_other, other.search, metrics=())
            found |= compare(lines, its, test_set.references, **scoring)
            if deep:
                found |= _describe(other)
                found["analysis"] = analyse(other, test_set, its, seen, shown=False)
            result["compare"] = {"name": other.name, **found}
        results[name] = {"split": name, **result}
        hypotheses[name] = lines
    return results, hypotheses


def _describe(system: System) -> dict[str, Any]:
    folder = system.translator.model.folder if system.translator else None
    curve = learning_curve(folder) if folder else None
    return {"model": describe_system(system), "learning_curve": curve}


def describe_system(system: System) -> dict[str, Any]:
    """Name, and of a model its size, direction and training."""
    if not system.translator:
        return {"name": system.name}
    models = system.translator.models
    training = models[0].info.get("training", {})
    found = {
        "name": system.name,
        "parameters": sum(count_parameters(model.transformer) for model in models),
        "direction": [system.translator.src, system.translator.tgt],
    }
    if len(models) == 1 and "n_tokens" in training:
        found["training"] = {
            "steps": training["step"],
            "target_tokens": training["n_tokens"],
            "minutes": round(training["seconds"] / 60, 1),
        }
    return found


# --- how it was trained --------------------------------------------------------------------------


def learning_curve(folder: Path) -> dict[str, list[tuple[int, float]]] | None:
    """Losses and BLEU by step, as a run logged them, thinned; None if there is no such log.

    Args:
        folder: of a run, or of one of its steps.
    """
    if folder.parent.name == "steps":
        folder = folder.parent.parent
    if not (folder / METRICS).is_file():
        return None
    lines = read_metrics(folder)
    names = {"train": "loss", "valid": "valid_loss", "bleu": "valid_bleu"}
    return {name: _thinned(series(lines, key)) for name, key in names.items()}


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most `CURVE_POINTS` of the points, the last one among them."""
    every = -(-len(points) // CURVE_POINTS) or 1
    return list(points[::-1][::every][::-1])
