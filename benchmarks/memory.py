"""How much memory a long file takes: `translator translate --input FILE --output FILE`, monitored.

The model is a tiny one with random weights and the vocabulary of the bundled corpus, the lines are
that corpus' own, drawn at random; what matters is whether the curve keeps rising.

    python benchmarks/memory.py [LINES]        # 1,000,000 by default
"""

import contextlib
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from data_prep.sources.corpus import load_corpus
from translator.config.presets import PRESETS
from translator.config.schema import ModelConfig
from translator.model.transformer import Transformer
from translator.storage.model_folder import save_model
from translator.text.tokenizer import Tokenizer

POINTS = 20


def make_model(folder: Path, lines: list[str]) -> None:
    """Writes a MODEL of 1+1 layers with random weights."""
    tokenizer = Tokenizer.train(lines, 500)
    sizes = ModelConfig(32, 64, 2, 1, 1, 0.0, vocab_size=tokenizer.vocab_size)
    weights = Transformer(sizes).state_dict()
    save_model(folder, weights, tokenizer, replace(PRESETS["demo"], model=sizes), {})


def resident(process: subprocess.Popen[bytes]) -> float:
    """The current resident memory of the process in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    sizes = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(sizes[0]) / 1024 if sizes else 0.0


def main() -> None:
    """Prints lines done, seconds and memory about twenty times."""
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    lines = [src for src, _ in load_corpus("sample", "en", "de").splits["train"]]
    generator = random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder / "model", lines)
        with (folder / "in.en").open("w", encoding="utf-8") as file:
            file.writelines(f"{generator.choice(lines)}\n" for _ in range(total))
        output = folder / "out.de"
        command = [sys.executable, "-m", "translator", "translate", "--model", folder / "model"]
        command += ["--beam-size", "1", "--input", folder / "in.en", "--output", output]
        start = time.perf_counter()
        process = subprocess.Popen([*map(str, command), "--no-guard", "--threads", "1"])
        print(f"{total:,} lines\n     lines   seconds   resident MB")
        partial, done, shown = folder / "out.de.partial", 0, 0
        with contextlib.ExitStack() as stack:
            reader = None
            while process.poll() is None:
                time.sleep(1)
                if reader is None and partial.exists():
                    reader = stack.enter_context(partial.open("rb"))
                done += (
                    sum(chunk.count(b"\n") for chunk in iter(reader.read1, b"")) if reader else 0
                )
                if done >= shown:
                    shown = done + total // POINTS
                    seconds = time.perf_counter() - start
                    print(f"{done:10,} {seconds:9.0f} {resident(process):13.0f}", flush=True)
        with output.open("rb") as file:
            print(f"lines written: {sum(1 for _ in file):,}, exit code {process.returncode}")


if __name__ == "__main__":
    main()
