"""Translations as lines of text or JSON, and whether a file can take them."""

import json
import logging
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from translator.config.errors import TranslatorError

if TYPE_CHECKING:
    from translator.translation.result import Translation


@dataclass
class Renderer:
    """Turns each translation into what is written, and counts those that were withheld.

    Two that would write the same are equal in `repr`.
    """

    json: bool = False
    scores: bool = False
    confidence: bool = False
    n_best: int = 1
    n_withheld: int = field(default=0, repr=False)

    def __call__(self, found: "Translation") -> str:
        """One line for each of the n best, or one JSON object."""
        self.n_withheld += any(text is not None for text in found.withheld)
        if self.json:
            return render_json(found, self.n_best)
        return render_text(found, self.scores, self.confidence)

    def warn_of_withheld(self, min_confidence: float) -> None:
        """Says how many lines are blank because they cannot be trusted."""
        n = self.n_withheld
        if n:
            logging.getLogger("translator").warning(
                "%s withheld, with a confidence below %g; to see %s, leave out --min-confidence, "
                'or look under "withheld" with --json.',
                "A line was" if n == 1 else f"{n:,} lines were",
                min_confidence,
                "it" if n == 1 else "them",
            )


def check_page(path: Path | None) -> None:
    """Complains about a report that is not to be an HTML file."""
    if path and path.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"--report writes a page: a name that ends in .html, not {path}")


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
    ending = "\r" if found.source.endswith("\r") else ""
    lines = []
    for rank, (text, score) in enumerate(found.n_best):
        numbers = f"{score:.4f}\t" if scores else ""
        if confidence and found.confidences:
            numbers += f"{found.confidences[rank]:.4f}\t"
        if found.withheld and found.withheld[rank] is not None:
            text = ""
        lines.append(f"{numbers}{text.removesuffix(ending)}{links}{ending}\n")
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
    if found.terms:
        value["terms"] = [{"source": use.source, "used": use.used} for use in found.terms]
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
