"""`--engine ctranslate2` beside CTranslate2 called directly, on the same lines.

    python benchmarks/engine.py [FILE] [--model MODEL] [--engine ctranslate2-int8] [--rounds 5]

Both translate all lines with the same search on one thread, in turn, text in and text out. Ours
does what `translator translate` does beside: it splits lines into sentences, carries over what the
vocabulary cannot spell, and with retries looks for faults. The ratio is the median over the rounds
of direct CPU time / our CPU time: above 1, ours is faster.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from translator import Translator
from translator.config.schema import ENGINES
from translator.export.engine import Engine, use
from translator.system.machine import set_up_cpu
from translator.text.codec import normalise
from translator.text.tokenizer import EOS

HANDWRITTEN = Path(__file__).with_name("handwritten.en")


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of the CTranslate2 engine")
    parser.add_argument("file", type=Path, nargs="?", default=HANDWRITTEN)
    parser.add_argument("--model", default="general-en-de")
    parser.add_argument("--engine", choices=ENGINES, default="ctranslate2")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    lines = options.file.read_text(encoding="utf-8").splitlines()
    set_up_cpu(1)
    translator = Translator.load(options.model, lazy=True)
    search, tokenizer = translator.search_config(), translator.model.tokenizer
    use(translator, options.engine)
    engine = translator.decoder.engine
    assert isinstance(engine, Engine)

    def direct() -> list[str]:
        inputs = [
            [engine.tokens[i] for i in (*tokenizer.encode(normalise(line)), EOS)] for line in lines
        ]
        found = engine.translator.translate_batch(
            inputs,
            **engine.options,
            beam_size=search.beam_size,
            length_penalty=search.length_penalty,
            patience=2.0,
            max_batch_size=32,
        )
        return [tokenizer.decode([engine.ids[t] for t in each.hypotheses[0]]) for each in found]

    ways: dict[str, Callable[[], object]] = {
        "direct": direct,
        "engine without retries": lambda: translator.translate_lines(lines, guard=False),
        "engine": lambda: translator.translate(lines),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(options.rounds + 1):
        for name, way in ways.items():
            start = time.process_time()
            way()
            if number:  # the first one warms up
                seconds[name].append(time.process_time() - start)
    for name, each in seconds.items():
        ratios = [a / b for a, b in zip(seconds["direct"], each, strict=True)]
        shown = (
            f"{statistics.median(each):.2f} s of CPU time, ratio {statistics.median(ratios):.2f}"
        )
        print(f"{name}: {shown} ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)


if __name__ == "__main__":
    main()
