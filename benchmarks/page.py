"""What rounded weights cost: BLEU of a page's translations, and of our own beside it.

    python benchmarks/page.py SOURCE REFERENCE [--model MODEL] [--weights int8] [--lines N]

SOURCE and REFERENCE are files of lines. The scripts of the page run in Node; both sides translate
without retries, which a page does not do, and ours once more with them.
"""

import argparse
from pathlib import Path

import sacrebleu

from translator import Translator
from translator.export.node import Node
from translator.export.page import TYPES, pack
from translator.system.machine import set_up_cpu


def main() -> None:
    parser = argparse.ArgumentParser(description="BLEU of a page")
    parser.add_argument("source", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--model", default="multi30k-en-de")
    parser.add_argument("--weights", choices=TYPES, default="int8")
    parser.add_argument("--lines", type=int)
    options = parser.parse_args()
    lines, references = (
        path.read_text(encoding="utf-8").splitlines()[: options.lines]
        for path in (options.source, options.reference)
    )
    set_up_cpu(1)
    translator = Translator.load(options.model)
    answers = Node(pack(translator.model, options.weights)).ask("t.translate(value)", lines)
    page = ["".join(s["before"] + s["translation"] + s["after"] for s in part) for part in answers]
    ours = {
        f"page, {options.weights}": page,
        "library without retries": [t.text for t in translator.translate_lines(lines, guard=False)],
        "library": translator.translate(lines),
    }
    bleu = sacrebleu.BLEU()
    for name, texts in ours.items():
        same = sum(a == b for a, b in zip(texts, page, strict=True))
        score = bleu.corpus_score(texts, [references]).score
        print(f"{name}: BLEU {score:.2f}, {same} of {len(lines)} lines as on the page")
    print(bleu.get_signature())


if __name__ == "__main__":
    main()
