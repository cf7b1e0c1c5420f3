"""What an update costs on a CPU: the part that each target token adds, and the fixed part.

    python benchmarks/update.py                          # small and general, 8,192 target tokens
    torchrun --nproc-per-node 2 benchmarks/update.py     # and how much faster two processes are

The time of an update with N target tokens and with 2 N gives both parts, and the optimizer's part
is measured by itself. The sizes, and one process and several, take turns, so that other work on
the machine affects all alike; what counts is the processor's time (the clock's in brackets), the
median of the rounds. The fixed part is a difference of two measurements, so on a busy machine it is
less certain than the optimizer's.
"""

import argparse
import dataclasses
import os
import time
from collections.abc import Callable
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")  # as `translator train` does

import torch
from train import random_pairs

from translator.config.presets import PRESETS
from translator.model.batch import Batch, collate
from translator.model.transformer import Transformer
from translator.system.machine import set_up_cpu
from translator.system.processes import Ranks, process_group
from translator.training.update import Updater

VOCAB_SIZE = 8000  # of `random_pairs`
Seconds = tuple[float, float]  # of the processor, on the clock


def make_batch(n_tokens: int) -> Batch:
    """Pairs of usual lengths with about `n_tokens` target tokens and little padding."""
    pairs = sorted(random_pairs(n_tokens // 4, 14, 1), key=lambda pair: len(pair[1]))
    chosen, total = [], 0
    for pair in pairs[len(pairs) // 3 :]:
        if total >= n_tokens:
            break
        chosen.append(pair)
        total += len(pair[1]) + 1
    return collate(chosen)


def measure(work: Callable[[], object]) -> Seconds:
    """The seconds that `work` takes."""
    start = time.process_time(), time.monotonic()
    work()
    return time.process_time() - start[0], time.monotonic() - start[1]


def make_updater(preset: str, ranks: Ranks) -> Updater:
    """The preset's model and recipe, with the same random weights in all processes."""
    torch.manual_seed(1)
    config = PRESETS[preset]
    model = Transformer(dataclasses.replace(config.model, vocab_size=VOCAB_SIZE))
    return Updater(model, config.train, ranks)


def run(preset: str, n_tokens: int, rounds: int, ranks: Ranks) -> None:
    """Prints the parts of an update and, with several processes, how much faster they are."""
    once, twice = make_batch(n_tokens), make_batch(2 * n_tokens)
    alone = make_updater(preset, Ranks())
    together = make_updater(preset, ranks) if ranks.world_size > 1 else None
    times: dict[str, list[Seconds]] = {}

    def note(name: str, seconds: Seconds) -> None:
        if step > 1:  # the first round allocates
            times.setdefault(name, []).append(seconds)

    for step in range(1, rounds + 2):
        if ranks.first:
            note("once", measure(lambda: alone.update([once], step)))  # noqa: B023
            note("optimizer", measure(alone._apply))
            if not together:
                note("twice", measure(lambda: alone.update([twice], step)))  # noqa: B023
        if together:
            ranks.wait()
            share = once.split(ranks.world_size)[ranks.rank]
            note("together", measure(lambda: together.update([share], step)))  # noqa: B023
            ranks.wait()
    if not ranks.first:
        return
    cpu, clock = ({k: median(v[i] for v in rows) for k, rows in times.items()} for i in (0, 1))
    print(
        f"{preset}, {once.n_tokens:,} target tokens, {alone.precision}: an update takes "
        f"{cpu['once']:.2f} s ({clock['once']:.2f}); clipping and optimizer {cpu['optimizer']:.3f} "
        f"s, {cpu['optimizer'] / cpu['once']:.1%}"
    )
    if together:
        ratio = clock["once"] / clock["together"]
        print(
            f"  {ranks.world_size} processes: {cpu['together']:.2f} s in each "
            f"({clock['together']:.2f}), {cpu['once'] / cpu['together']:.2f} times as fast "
            f"({ratio:.2f})"
        )
        return
    per_token = (cpu["twice"] - cpu["once"]) / (twice.n_tokens - once.n_tokens)
    fixed = cpu["once"] - per_token * once.n_tokens
    print(
        f"  {per_token * 1e6:.0f} us a target token and {fixed:.3f} s beside them, "
        f"{fixed / cpu['once']:.1%} of the update"
    )


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--presets", nargs="+", default=["small", "general"])
    parser.add_argument("--tokens", type=int, default=8192, help="target tokens of an update")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    set_up_cpu(1)
    with process_group(torch.device("cpu")) as ranks:
        for preset in arguments.presets:
            run(preset, arguments.tokens, arguments.rounds, ranks)


if __name__ == "__main__":
    main()
