"""How long a user waits for one sentence: `translator translate "text"` and `import torch`.

Both are whole processes, run in turn, so that other work on the machine affects both alike.

    python benchmarks/startup.py [ROUNDS]
"""

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


def main() -> None:
    """Prints the median and the fastest wall time of each command."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - start)
    print(f"{rounds} rounds, seconds: median (fastest)")
    for name, values in seconds.items():
        print(f"  {name:26} {statistics.median(values):6.2f} ({min(values):.2f})")
    beyond = statistics.median(seconds["translator translate TEXT"]) - statistics.median(
        seconds["import torch"]
    )
    print(f"  translate beyond import torch: {beyond:.2f}")


if __name__ == "__main__":
    main()
