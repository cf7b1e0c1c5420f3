"""Where the time of a search goes: the parts of a step, each with a stopwatch around it.

    python benchmarks/profile_decode.py [PRESET] [PRECISION] [BATCH] [BEAM]     # tiny fp32 32 5

Random weights and sources, 16 steps, one thread; the fastest of eight rounds, in milliseconds a
step of the thread's own time, to which other work on the machine adds little. Parts that hold
others are given with and without them. A stopwatch costs about a microsecond.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from decode import LENGTH, cut, random_model, random_sentences
from peers import search_config

from translator.model import incremental
from translator.model.batch import pad_right
from translator.search import beam as search
from translator.system.machine import set_up_cpu

PARTS: list[tuple[Any, str, str]] = [  # inner ones last
    (search, "beam_search", "everything"),
    (incremental.IncrementalDecoder, "start", "- encoder, keys and values of the sources"),
    (search.SearchState, "scores", "- scores of all continuations"),
    (incremental.IncrementalDecoder, "step", "  - decoder, with the vocabulary"),
    (incremental.TargetLayer, "__call__", "    - decoder layers"),
    (incremental.TargetLayer, "_attend_past", "      - self-attention"),
    (incremental.TargetLayer, "_attend_source", "      - cross-attention"),
    (incremental._SelfAndFeedForward, "feed_forward", "      - feed-forward (encoder's too)"),
    (search, "best_continuations", "- the best continuations"),
    (search.SearchState, "advance", "- hypotheses change places"),
    (search.SearchState, "leave", "- finished sentences leave"),
    (incremental.Linear, "__call__", "all matrix products with weights"),
]


def main() -> None:
    """Prints the table."""
    given = dict(enumerate(sys.argv[1:]))
    preset, precision = given.get(0, "tiny"), given.get(1, "fp32")
    batch, beam = int(given.get(2, 32)), int(given.get(3, 5))
    set_up_cpu(threads=1)
    decoder = incremental.IncrementalDecoder(random_model(preset), precision)
    batches = [pad_right(rows) for rows in cut(random_sentences(2 * batch), batch)]
    config = search_config(beam, LENGTH - 1)
    seconds: dict[str, float] = defaultdict(float)

    def timed(function: Callable[..., Any], part: str) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            start = time.thread_time()
            result = function(*args, **options)
            seconds[part] += time.thread_time() - start
            return result

        return run

    for owner, name, part in PARTS:
        setattr(owner, name, timed(getattr(owner, name), part))
    rounds = []
    for _ in range(9):  # the first warms up
        seconds.clear()
        for src in batches:
            search.beam_search(decoder, src, config)
        rounds.append(dict(seconds))
    fastest = min(rounds[1:], key=lambda found: found["everything"])
    print(f"{preset}, {precision}, batch {batch}, beam {beam}: ms a step\n")
    for _, _, part in PARTS:
        each = fastest.get(part, 0.0) / len(batches) / LENGTH * 1e3
        print(f"| {part:46} | {each:6.2f} |")


if __name__ == "__main__":
    main()
