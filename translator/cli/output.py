"""What the commands print: scores, analyses, translations as text or JSON.

Only light imports at the top: `translator --help` must not wait for torch.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translator.config.errors import TranslatorError

if TYPE_CHECKING:
    from translator.translation.result import Translation


# As sacreBLEU writes them, and the papers' own.
_METRIC_NAMES = {"bleu": "BLEU", "chrf": "chrF2", "ter": "TER", "multi30k_bleu": "BLEU, Multi30k"}


_KINDS = {
    "own": "its own corpus",
    "spoilt": "spoilt inputs",
    "exchanged": "exchanged",
    "other": "other corpora",
    "all": "all of them",
}


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_scores(splits: dict[str, dict[str, Any]]) -> None:
    """Scores by split, each with its signature."""
    for split, result in splits.items():
        print(f"{split} ({result['sentences']} sentences)")
        width = max((len(_METRIC_NAMES[name]) for name in result["scores"]), default=0)
        for name, score in result["scores"].items():
            shown = f"  {_METRIC_NAMES[name]:{max(width, 5)}} {score['score']:6.2f}"
            if "interval" in score:
                low, high = score["interval"]
                shown += f" ({low:.2f} to {high:.2f})"
            print(f"{shown}  {score['signature']}")
        if "seconds" in result:
            print(f"  {result['sentences_per_second']:.1f} sentences/s")
        if clean := result.get("clean_part"):
            if clean["sentences"] < result["sentences"]:
                print_scores({f"{split}, what the training data have not": clean})
            else:
                print("  The training data have none of these lines, nor nearly.")
        if "compare" in result:
            _print_comparison(result["compare"])
        if "analysis" in result:
            _print_analysis(result["analysis"])


def _print_comparison(compared: dict[str, Any]) -> None:
    print(f"  against {compared['name']}")
    for name, found in compared["delta"].items():
        other = compared["scores"][name]["score"]
        print(
            f"    {_METRIC_NAMES[name]:15} {found['delta']:+6.2f} (it has {other:.2f}), "
            f"p = {found['p']:.3f}"
        )


def _print_analysis(analysis: dict[str, Any]) -> None:
    for table in analysis["breakdown"]:
        print(f"  by {table['by']}")
        for group in table["groups"]:
            print(f"    {group['group']:18}{group['sentences']:7} lines{_figures(group['scores'])}")
    if analysis.get("robustness"):
        print("  on changed sources")
    for row in analysis.get("robustness", ()):
        change = {name: row["changed"][name] - row["clean"][name] for name in row["clean"]}
        kept = f"  kept {row['kept']:.1%}" if "kept" in row else ""
        print(f"    {row['slice']:18}{row['sentences']:7} lines{_figures(change, '+')}{kept}")
    if trust := analysis.get("confidence"):
        figures = f"calibration error {trust['calibration_error']:.3f}"
        if trust["auc"] is not None:
            areas = (trust["auc"], trust["auc_log_prob"])
            figures += ", AUC {:.3f} (of log-probability {:.3f})".format(*areas)
        print(f"  confidence: {figures}; {trust['base_rate']:.1%} have a {trust['event']}")
    if analysis["guards"]:
        rates = (f"{name} {rate['share']:.1%}" for name, rate in analysis["guards"].items())
        print(f"  faults: {', '.join(rates)}")


def _figures(scores: dict[str, float], sign: str = "") -> str:
    return "".join(f"  {_METRIC_NAMES[name]} {scores[name]:{sign}6.2f}" for name in scores)


def print_calibration(measured: dict[str, Any]) -> None:
    """How good a model's confidence was on sentences that it was not fitted to."""
    for kind, found in measured.items():
        auc, raw = (
            "-" if found[key] is None else f"{found[key]:.3f}" for key in ("auc", "auc_log_prob")
        )
        print(
            f"  {_KINDS[kind]:<15}{found['sentences']:6,} sentences, {found['base_rate']:6.1%} "
            f"good; AUC {auc} (log-probability: {raw}), calibration error "
            f"{found['calibration_error']:.3f}"
        )


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
