"""Scores a general model, runs the everyday suite, and writes the figures into its card.

    python checkpoints/general_card.py MODEL CORPUS [PRECISION]

The scores on CORPUS' valid and tests go into the model's `config.json`. The card's text is that of
`checkpoints/general-SRC-TGT/README.md`, where what lies between `<!-- NAME -->` and
`<!-- /NAME -->` is replaced.
"""

import contextlib
import io
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "support"))

from everyday import print_results, read_suite  # noqa: E402

from data_prep.sources.corpus import load_corpus  # noqa: E402
from translator import Translator  # noqa: E402
from translator.evaluation.evaluate import evaluate_pairs  # noqa: E402
from translator.storage.model_card import card_header  # noqa: E402
from translator.storage.model_folder import (  # noqa: E402
    load_model,
    read_description,
    update_description,
)
from translator.storage.model_info import ModelInfo  # noqa: E402
from translator.system.disk import write_file  # noqa: E402

LICENCE = "cc-by-nc-sa-4.0"


def table(head: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def blocks(description: dict[str, Any], suite: str) -> dict[str, str]:
    """What the card says in figures, by the names of its blocks."""
    scores = [
        [split, result["sentences"], name, f"{score['score']:.2f}", _code(score["signature"])]
        for split, result in description["scores"].items()
        for name, score in result["scores"].items()
    ]
    confidence = [
        [kind, found["sentences"]]
        + [_number(found[key]) for key in ("auc", "auc_log_prob", "calibration_error")]
        for calibration in description.get("confidence", {}).values()
        for kind, found in calibration["measured"].items()
    ]
    training = description["training"]
    cost = f"{training['n_tokens']:,} target tokens in {training['step']:,} updates on "
    cost += f"{description['environment']['device']}, {training['seconds'] / 3600:.2f} hours."
    head = ["sentences", "number", "AUC", "AUC of the log-probability", "calibration error"]
    return {
        "scores": table(["split", "sentences", "metric", "score", "signature"], scores),
        "confidence": table(head, confidence),
        "everyday": f"```\n{suite.strip()}\n```",
        "cost": cost,
    }


def _code(text: str) -> str:
    return f"`{text}`".replace("|", r"\|")  # a bar would end the cell


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def fill(card: str, found: dict[str, str]) -> str:
    """The card with its blocks replaced."""
    for name, text in found.items():
        block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        template = text.replace("\\", r"\\")
        card = block.sub(rf"\g<1>{template}\n\g<2>", card)
    return card


def header(folder: Path) -> str:
    """The header for the hub, with all scores."""
    info = ModelInfo.from_dict(read_description(folder))
    info = replace(info, data=replace(info.data, corpus="general text"))
    config = load_model(folder).config
    return card_header(config, info, folder.name, LICENCE) + "\n"


def main(folder: Path, corpus: str, precision: str = "fp32") -> None:
    """Scores, then the suite, then the card."""
    translator = Translator.load(folder, precision=precision)
    src, tgt = translator.src, translator.tgt
    splits = load_corpus(corpus, src, tgt).splits
    names = ["valid", *sorted(name for name in splits if name.startswith("test"))]
    scores = {name: evaluate_pairs(translator, splits[name])[0].to_dict() for name in names}
    update_description(folder, {"scores": scores})
    sentences = read_suite(f"{src}-{tgt}")
    suite = io.StringIO()
    with contextlib.redirect_stdout(suite):
        print_results(sentences, translator.translate([s.source for s in sentences]))
    card = (HERE / f"general-{src}-{tgt}" / "README.md").read_text(encoding="utf-8")
    card = re.sub(r"\A---\n.*?\n---\n+", "", card, flags=re.DOTALL)
    text = header(folder) + fill(card, blocks(read_description(folder), suite.getvalue()))
    write_file(folder / "README.md", text.encode())
    print(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
