"""Notes in a MODEL's `config.json` which pieces its target language is written with.

    python checkpoints/pieces.py MODEL LINES.gz... [--at-least 1]

LINES are text of the target language, as much of what the model was trained on as there is. A
search with `--precision bf16` then computes with these pieces alone (docs/speed.md says what that
costs).
"""

import argparse
import gzip
from pathlib import Path

from translator.storage.model_folder import load_model, update_description
from translator.text.codec import normalise
from translator.translation.pieces import KEY, to_text, written_pieces


def main() -> None:
    """Writes the note."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("lines", type=Path, nargs="+")
    parser.add_argument("--at-least", type=int, default=1)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    language, tokenizer = model.config.data.tgt, model.tokenizer
    texts = (gzip.decompress(path.read_bytes()).decode() for path in arguments.lines)
    lines = (normalise(line) for text in texts for line in text.split("\n"))
    ids = written_pieces(tokenizer, lines, arguments.at_least)
    text = to_text(ids, tokenizer.vocab_size)
    update_description(arguments.model, {KEY: {language: text}})
    print(f"{arguments.model}: {len(ids)} of {tokenizer.vocab_size} pieces for {language}")


if __name__ == "__main__":
    main()
