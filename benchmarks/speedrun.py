"""From nothing to a BLEU of 38.0 on Multi30k's validation split, and how long that takes.

    python benchmarks/speedrun.py                       # the corpus comes from the hub
    python benchmarks/speedrun.py --data FOLDER --seed 2

The rules and the records are in docs/speedrun.md. Everything counts: preparing the corpus, learning
the vocabulary, training, validation, and choosing the weights. An interrupted run goes on where it
stopped, and its minutes add up.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

AIM = 38.0  # BLEU on valid, beam 5, cased
RECIPE = {
    "data.copy_rate": 0,
    "data.max_length": 60,  # so that packed rows have 64 positions
    "model.n_encoder_layers": 2,
    "model.n_decoder_layers": 2,
    "model.n_heads": 2,
    "model.dropout": 0,
    "train.max_tokens": 4096,
    "train.pack": "true",
    "train.peak_lr": 8e-3,
    "train.weight_decay": 0.3,
    "train.word_dropout": 0.1,
    "train.schedule": "constant",
    "train.warmup_steps": 150,
    "train.cooldown": 0.7,
    "train.validate_every": 2000,
    "train.checkpoint_every": 50,
    "train.keep_checkpoints": 4,
    "train.metrics": "bleu",
    "train.score_tests": "false",
    "confidence.enabled": "false",
    "search.length_penalty": 1.2,
}
STEPS = 1150


def parse() -> argparse.Namespace:
    """Parses the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="multi30k", help="the corpus, or a folder that holds it")
    parser.add_argument("--run", type=Path, help="default: checkpoints/speedrun-SEED")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2, help="with one thread each")
    parser.add_argument("--steps", type=int, default=STEPS, help="fewer only to try the way")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    arguments = parser.parse_args()
    arguments.run = arguments.run or Path(f"checkpoints/speedrun-{arguments.seed}")
    return arguments


def command(arguments: argparse.Namespace) -> list[str]:
    """The training run, in one process or several."""
    launch = ["-m", "torch.distributed.run", "--standalone"]
    launch += ["--nproc-per-node", str(arguments.processes)]
    options = ["--data", arguments.data, "--preset", "tiny", "--run-dir", str(arguments.run)]
    options += ["--threads", "1", "--device", "cpu", "--seed", str(arguments.seed)]
    options += ["--steps", str(arguments.steps)]
    settings = [*(f"{key}={value}" for key, value in RECIPE.items()), *arguments.set]
    options += [word for setting in settings for word in ("--set", setting)]
    launch = launch if arguments.processes > 1 else []
    return [sys.executable, *launch, "-m", "translator", "train", *options]


def children_seconds() -> float:
    """Seconds of the processor that processes started here have used, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(arguments: argparse.Namespace) -> tuple[int, dict[str, float]]:
    """Trains; returns the exit code, and the minutes of this run so far."""
    arguments.run.mkdir(parents=True, exist_ok=True)
    record = arguments.run / "speedrun.json"
    total = {"minutes": 0.0, "core_minutes": 0.0}
    if record.exists():
        total = json.loads(record.read_text())
    start, start_cpu = time.monotonic(), children_seconds()
    # A cache of its own, so that what another run has prepared does not help.
    environment = {**os.environ, "TRANSLATOR_CACHE": str(arguments.run.absolute() / "cache")}
    process = subprocess.Popen(command(arguments), env={**environment, "OMP_NUM_THREADS": "1"})
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:  # the run has received it too, saves, and ends
            continue
    total["minutes"] += (time.monotonic() - start) / 60
    total["core_minutes"] += (children_seconds() - start_cpu) / 60
    record.write_text(json.dumps(total))
    return code, total


def describe(model: Path, total: dict[str, float]) -> str:
    """The finished run in one line."""
    info: dict[str, Any] = json.loads((model / "config.json").read_text())
    valid = info["scores"]["valid"]
    bleu, training = valid["scores"]["bleu"], info["training"]
    reached = "reached" if bleu["score"] >= AIM else "MISSED"
    return (
        f"BLEU {bleu['score']:.2f} on valid ({AIM} {reached}) after {total['minutes']:.1f} "
        f"minutes, {total['core_minutes']:.1f} core-minutes; beam {valid['search']['beam_size']}, "
        f"length penalty {valid['search']['length_penalty']}, "
        f"{bleu['signature']}; {training['step']:,} updates, {training['n_tokens']:,} target tokens"
    )


def main() -> None:
    """Runs or continues a speedrun and prints its result."""
    arguments = parse()
    code, total = run(arguments)
    if code:
        print(f"Not finished after {total['core_minutes']:.1f} core-minutes.", file=sys.stderr)
        sys.exit(code)
    print(describe(arguments.run, total))


if __name__ == "__main__":
    main()
