"""What the commands print: scores, analyses, translations as text or JSON.

Only light imports at the top: `translator --help` must not wait for torch.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translator.config.errors import TranslatorError

if TYPE_CHECKING:
    from translator.storage.scores import SplitScores
    from translator.translation.result import Translation


_KINDS = {
    "own": "its own corpus",
    "spoilt": "spoilt inputs",
    "exchanged": "exchanged",
    "other": "other corpora",
    "all": "all of them",
}


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_scores(splits: Mapping[str, "SplitScores"]) -> None:
    """Scores by split, each with its signature."""
    for name, scores in splits.items():
        print(f"{name} ({scores.sentences} sentences)\n{scores}")


def print_calibration(measured: Mapping[str, Any]) -> None:
    """How good a model's confidence was on sentences that it was not fitted to."""
    from translator.storage.scores import ConfidenceQuality

    for kind, found in measured.items():
        print(f"  {_KINDS[kind]:<15}{ConfidenceQuality.from_dict(found)}")


def check_writable(path: Path | None) -> None:
    """Complains before the work, not after it, about a file that cannot be written."""
    if path is None:
        return
    if path.is_dir():
        raise TranslatorError(f"{path} is a folder: name a file.")
    if path.exists() and not path.is_file():  # a file would take the place of /dev/null
        raise TranslatorError(f"{path} is no ordinary file: name another, or use standard output.")
    if not path.parent.is_dir():
        raise TranslatorError(f"There is no folder {path.parent}: create it first.")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise TranslatorError(f"{path} cannot be written: no permission.")


def render_text(found: "Translation", scores: bool, confidence: bool) -> str:
    from translator.translation.word_alignment import format_pharaoh

    links = "" if found.alignment is None else f"\t{format_pharaoh(found.alignment)}"
    lines = []
    for rank, (text, score) in enumerate(found.n_best):
        numbers = f"{score:.4f}\t" if scores else ""
        if confidence and found.confidences:
            numbers += f"{found.confidences[rank]:.4f}\t"
        if found.withheld and found.withheld[rank] is not None:
            text = found.source[len(found.source.removesuffix("\r")) :]  # the line ends as it did
        lines.append(f"{numbers}{text}{links}\n")
    return "".join(lines)


def render_json(found: "Translation", n_best: int) -> str:
    value: dict[str, Any] = {
        "source": found.source,
        "translation": found.text,
        "score": found.score,
    }
    value |= _trust(found, 0)
    if n_best > 1:
        value["n_best"] = [
            {"translation": t, "score": s, **_trust(found, rank)}
            for rank, (t, s) in enumerate(found.n_best)
        ]
    if found.alignment is not None:
        value["alignments"] = found.alignment
    value["segments"] = []
    for segment in found.segments:
        part: dict[str, Any] = {
            "source": segment.source,
            "translation": segment.text,
            "score": segment.score,
        }
        if segment.confidence is not None:
            part["confidence"] = segment.confidence
        if segment.repair:
            part["repair"] = asdict(segment.repair)
        if segment.numbers:
            part["numbers"] = [{"source": s, "written": w} for s, w in segment.numbers]
        value["segments"].append(part)
    return json.dumps(value, ensure_ascii=False) + "\n"


def _trust(found: "Translation", rank: int) -> dict[str, Any]:
    """What is said of how far one of the n best can be trusted."""
    value: dict[str, Any] = {}
    if found.confidences:
        value["confidence"] = found.confidences[rank]
    if found.withheld and found.withheld[rank] is not None:
        value["withheld"] = found.withheld[rank]
    return value
