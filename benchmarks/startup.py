"""How long a user waits for one sentence: `translator translate "text"` and `import torch`.

With CTranslate2 as the engine, which needs no PyTorch, once its copy of the model is made.

All are whole processes, run in turn, so that other work on the machine affects all alike. On a busy
machine the processor's time says more than the clock's.

    python benchmarks/startup.py [ROUNDS]
"""

import importlib.util
import resource
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "import torch": [sys.executable, "-c", "import torch"],
    "translator --help": [sys.executable, "-m", "translator", "--help"],
    "translator translate TEXT": [
        *(sys.executable, "-m", "translator", "translate"),
        "A dog runs along the beach.",
    ],
}
if importlib.util.find_spec("ctranslate2"):
    command = [*COMMANDS["translator translate TEXT"], "--engine", "ctranslate2"]
    COMMANDS["... --engine ctranslate2"] = command


def measure(command: list[str]) -> tuple[float, float]:
    """Seconds of a command: on the clock, and of the processor."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, used


def main() -> None:
    """Prints the median and the fastest time of each command."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for command in COMMANDS.values():
        measure(command)  # the first time, an engine makes its copy
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            times[name].append(measure(command))
    print(f"{rounds} rounds, seconds on the clock and of the processor: median (fastest)")
    medians: dict[str, list[float]] = {}
    for name, rows in times.items():
        columns = list(zip(*rows, strict=True))
        medians[name] = [statistics.median(column) for column in columns]
        parts = (
            f"{middle:6.2f} ({min(column):.2f})"
            for middle, column in zip(medians[name], columns, strict=True)
        )
        print(f"  {name:26}" + "  ".join(parts))
    pairs = zip(medians["translator translate TEXT"], medians["import torch"], strict=True)
    clock, processor = (whole - torch for whole, torch in pairs)
    print(f"  translate beyond import torch: {clock:.2f}, of the processor {processor:.2f}")


if __name__ == "__main__":
    main()
