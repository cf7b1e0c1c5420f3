"""Whether the number of threads and their waiting are chosen well, on an idle and a busy machine.

Each job is a whole process, once as `translator` chooses and once for each setting that a user
could choose; "busy" is beside as many other processes as there are processors. All settings of a
round run in turn, so that whatever else the machine does affects all alike; the fastest of the
rounds counts.

    python benchmarks/threads.py [--rounds 3] [--lines 200] [--jobs translate train]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from data_prep.sources.corpus import load_corpus

SPIN = "while True: pass"
PASSIVE, ACTIVE = {"OMP_WAIT_POLICY": "PASSIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}


def settings(cores: int) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Options and environment by name."""
    found: dict[str, tuple[list[str], dict[str, str]]] = {"chosen": ([], {})}
    for threads in sorted({1, 2, cores}):
        if threads <= cores:
            for name, environment in (("passive", PASSIVE), ("active", ACTIVE)):
                if threads > 1 or name == "passive":
                    found[f"{threads} {name}"] = (["--threads", str(threads)], environment)
    return found


def seconds(command: list[str], environment: dict[str, str]) -> float:
    """Wall time of one process."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    start = time.perf_counter()
    subprocess.run(command, check=True, env={**clean, **environment}, capture_output=True)
    return time.perf_counter() - start


def measure(job: list[str], busy: bool, rounds: int) -> dict[str, float]:
    """The fastest time of each setting."""
    cores = len(os.sched_getaffinity(0))
    best: dict[str, float] = {}
    others = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(cores * busy)]
    try:
        for _ in range(rounds):
            for name, (options, environment) in settings(cores).items():
                with tempfile.TemporaryDirectory() as folder:
                    command = [part.replace("FOLDER", folder) for part in [*job, *options]]
                    taken = seconds(command, environment)
                best[name] = min(best.get(name, taken), taken)
    finally:
        for other in others:
            other.kill()
    return best


def main() -> None:
    """Prints a table for each job."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--jobs", nargs="+", default=["translate", "train"])
    arguments = parser.parse_args()
    program = [sys.executable, "-m", "translator"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lines"
        pairs = load_corpus("sample", "en", "de").splits["train"][: arguments.lines]
        file.write_text("".join(f"{pair[0]}\n" for pair in pairs), encoding="utf-8")
        jobs = {
            "translate": [*program, "translate", "--input", str(file)],
            "train": [
                *(*program, "train", "--data", "sample", "--steps", "20", "--run", "FOLDER/run"),
                *("--set", "train.score_tests=false", "--set", "confidence.enabled=false"),
            ],
        }
        for name in arguments.jobs:
            for busy in (False, True):
                times = measure(jobs[name], busy, arguments.rounds)
                best = min(times.values())
                print(f"{name}, {'busy' if busy else 'idle'} machine: seconds (times the best)")
                for setting, taken in times.items():
                    print(f"  {setting:12} {taken:6.2f} ({taken / best:.2f})", flush=True)


if __name__ == "__main__":
    main()
