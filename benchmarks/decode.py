"""How fast we translate, compared with Hugging Face's `MarianMTModel.generate` and CTranslate2.

    python benchmarks/decode.py            # tiny and small on one thread: some minutes
    python benchmarks/decode.py --full     # every preset, batch and thread count: hours
    python benchmarks/decode.py --check    # only check that all give the same translations
    pip install 'small-nmt[bench]'         # the peers

All have the same random weights, in the sizes of the presets, and post-norm because Marian supports
nothing else. All translate the same batches of random ids with the same beam and length penalty, in
16 decoder steps: 16 pieces of each sentence, or for ours, which always ends with EOS and includes
its probability in the ranking, 15 and EOS.

First, outputs of 16 pieces are compared (ours takes one more step, to EOS). "Without EOS" compares
with what ours would have chosen without that last probability; any remaining difference must be a
near tie, and the table shows the largest distance in log-probability. Then the shipped model, which
is pre-norm, translates real text until it ends by itself. Beams may differ there: CTranslate2 stops
once K hypotheses are finished, ours only when the best live one, if it ended now at no cost, would
not be among the best K. (With its `patience=2` CTranslate2 finds all of ours.)

Each setting runs in a process of its own, new for each preset and thread count, which loads the
model once. Settings take turns, so that other work on the machine affects all alike; but on a busy
machine several threads wait for each other, and their numbers mean nothing. Speeds are medians over
the rounds, ratios are medians of ratios within rounds; the fastest setting of a peer counts, case
by case. One thread's time is the processor's, to which other work adds little. Peak memory is the
maximum resident size (VmHWM), including Python and libraries. A case with batch 1 has a sixteenth
of the sentences.

What was tried for ours, on the same machine (`tiny`, batch 32, beam 5, unless stated otherwise;
profile_decode.py times the parts of a step):

- kept: self-attention slots that are written once and never reordered, with a mask (0.34 against
  0.5 ms a layer for reordering and appending), and a compaction of those slots; oneDNN's own layout
  of big matrices (vocabulary product 4.2 -> 3.3 ms, at 32 rows 1.4 -> 0.8); the best continuations
  from the largest of every 128 columns (2.0 -> 0.4 ms); cross-attention joined with its projections
  for single sentences (22 -> 13 us a layer); freed memory
  kept by the process (page faults were up to a quarter of the time); a lean encoder without module
  calls (batch 1: 2.0 -> 1.5 ms a sentence).
- no gain: PyTorch's fused attention instead of plain products (as fast); heads as one
  block-diagonal product (slower); all of `tiny` in bf16 (only the vocabulary's matrix is large
  enough); logsumexp instead of log_softmax (slower); smaller batches to fit the cache (slower).
- not done: a vocabulary shortlist, which would make a translation depend on its batch. int8 and
  bf16 products of fp32 numbers gained nothing, see docs/speed.md.

Which settings of the peers were tried (Zen 4 with AVX-512):

- transformers 5.23: always inference mode, and no logits processors (peers.py). sdpa against eager
  attention: equal in fp32, either may win in bf16, so `--full` has both. Dynamic int8 is the
  fastest with few rows or a wide model, bf16 with many rows. A static cache, alone or compiled (a
  minute more for each case), gained nothing over int8.
- CTranslate2 4.8: all batches are submitted at once. On AMD it chooses AVX2 by itself; AVX-512
  (CT2_FORCE_CPU_ISA) is faster with int8, and sometimes with float32: both are run. MKL
  (CT2_USE_MKL=1) was slower than its default there, in int8 ten times, and with packed matrices
  too. Two threads: one batch at a time on both (1x2), or two batches on one each (2x1).
"""

import argparse
import contextlib
import dataclasses
import datetime
import importlib.util
import itertools
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import peers
import torch
from peers import Batches, Result, Sentences

from translator import __version__
from translator.config.presets import PRESETS
from translator.model.batch import pad_right
from translator.model.transformer import Transformer
from translator.search.beam import beam_search
from translator.storage.model_folder import load_model
from translator.text.tokenizer import BOS, EOS, PAD, UNK

Case = tuple[int, int]  # batch size, beam size
Seconds = dict[Case, list[list[float]]]  # of each worker, in each round

VOCAB_SIZES = {"base": 32000, "general": 12000}  # of the presets; the others have 8000
LENGTH = 16
PRECISIONS = "of ours; bf16:0.7 computes with 70 percent of the vocabulary"
PAUSE = 0.25  # seconds: several threads may spin for as long after their work
ROOT = Path(__file__).parents[1]
# Freed memory stays with the process, which helps all who use PyTorch.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_MMAP_THRESHOLD_": str(2**25)}
PACKAGES = {"marian": "transformers", "ctranslate2": "ctranslate2"}


@dataclass(frozen=True)
class Setting:
    """One way to run an engine. Those of one family are alternatives, the fastest counts."""

    family: str
    name: str
    engine: str
    options: Mapping[str, Any]
    environment: dict[str, str] = field(default_factory=dict)


def settings(threads: int, precisions: Sequence[str], full: bool) -> list[Setting]:
    """All settings whose packages are there."""
    found = [Setting(f"ours {p}", "", "ours", {"precision": p}) for p in precisions]
    for precision in ("fp32", "bf16", "int8"):
        for attention in ("sdpa", "eager") if full else ("sdpa",):
            family = "HF fp32" if precision == "fp32" else "HF bf16/int8"
            options = {"precision": precision, "attention": attention}
            found.append(Setting(family, f"{precision} {attention}", "marian", options))
    avx512 = "avx512f" in _read("/proc/cpuinfo")
    for quantization in ("float32", "int8"):
        for isa in ("auto", "AVX512") if avx512 else ("auto",):
            environment = {"CT2_FORCE_CPU_ISA": isa} if isa != "auto" else {}
            for n_parallel in sorted({1, threads}):
                name = f"{isa} {n_parallel}x{threads // n_parallel}"
                choice = {"quantization": quantization, "n_parallel": n_parallel}
                family = f"CT2 {quantization}"
                found.append(Setting(family, name, "ctranslate2", choice, environment))
    return [s for s in found if importlib.util.find_spec(PACKAGES.get(s.engine, "torch"))]


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""


class Worker:
    """A process that runs one setting, see `peers.serve`."""

    def __init__(self, setting: Setting, folder: Path, threads: int):
        self.setting, self.threads = setting, threads
        request = {"engine": setting.engine, "folder": str(folder), "threads": threads}
        variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CT2_")}
        environment |= dict.fromkeys(variables, str(threads)) | setting.environment
        environment |= KEEP_MEMORY
        command = [sys.executable, peers.__file__, json.dumps(request | {**setting.options})]
        self.process = subprocess.Popen(
            command,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.loaded: float = self._reply()["loaded"]  # MB, with the model
        self.peak = self.loaded

    def _reply(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        reply = json.loads(line) if line else {"error": "the process ended"}
        if "error" in reply:
            self.process.kill()
            raise RuntimeError(f"{self.setting.family} {self.setting.name}: {reply['error']}")
        return reply

    def translate(self, batches: Batches, beam: int, length: int | None = LENGTH) -> Result:
        """Seconds, and the ids of all outputs."""
        assert self.process.stdin is not None
        time.sleep(PAUSE if self.threads > 1 else 0)
        print(json.dumps([batches, beam, length]), file=self.process.stdin, flush=True)
        reply = self._reply()
        self.peak = reply["peak"]
        return reply["seconds"], reply["ids"]


@contextlib.contextmanager
def running(chosen: Iterable[Setting], folder: Path, threads: int) -> Iterator[list[Worker]]:
    """A worker for each setting; one that cannot start is reported and skipped."""
    workers = []
    try:
        for setting in chosen:
            try:
                workers.append(Worker(setting, folder, threads))
            except RuntimeError as error:
                print(f"Left out: {error}\n")
        yield workers
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.communicate()


def random_model(preset: str, seed: int = 1) -> Transformer:
    """A post-norm model whose outputs vary with the source and from piece to piece.

    As initialised it would repeat one piece, which hides mistakes; so would biases of zero.
    """
    torch.manual_seed(seed)
    vocab_size = VOCAB_SIZES.get(preset, 8000)
    config = dataclasses.replace(PRESETS[preset].model, norm="post", vocab_size=vocab_size)
    model = Transformer(config).eval().requires_grad_(False)
    factors = {"query": 4.0, "output": 0.3, "feed_forward": 4.0}  # sharp attention, loud FFN
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            parameter.add_(0.05 * torch.randn_like(parameter))
        for part, factor in factors.items():
            if f"{part}." in name and parameter.dim() == 2:
                parameter.mul_(factor)
    return model


def random_sentences(number: int, mean: int = LENGTH, spread: int = 6, seed: int = 1) -> Sentences:
    """Ids of sources of `mean` pieces on average, EOS included."""
    generator = random.Random(seed)
    return [
        [*(generator.randrange(4, 8000) for _ in range(length - 1)), EOS]
        for length in (mean + generator.randint(-spread, spread) for _ in range(number))
    ]


def cut(sentences: Sentences, size: int) -> list[Sentences]:
    """Batches in the given order."""
    return [sentences[i : i + size] for i in range(0, len(sentences), size)]


def save_all(model: Transformer, folder: Path, chosen: Iterable[Setting]) -> None:
    """Writes `model` for each engine that is run."""
    engines = {setting.engine for setting in chosen}
    peers.save_ours(model, folder / "ours")
    if "marian" in engines:
        peers.save_marian(model, folder / "marian")
    if "ctranslate2" in engines:
        for quantization in ("float32", "int8"):
            peers.save_ctranslate2(model, folder / quantization, quantization)


def log_prob(model: Transformer, src: list[int], output: list[int], never: list[int]) -> float:
    """What the model gives `output` if the pieces `never` may not come."""
    with torch.inference_mode():
        logits = model(torch.tensor([src]), torch.tensor([[BOS, *output[:-1]]]))[0]
        logits[:, never] = float("-inf")
        return float(logits.log_softmax(dim=-1).gather(1, torch.tensor(output)[:, None]).sum())


def check_forced(model: Transformer, workers: list[Worker], beams: list[int]) -> None:
    """Counts the outputs of a forced length that peers and we have in common."""

    def score(src: list[int], ids: list[int]) -> float:
        return log_prob(model, src, ids, [PAD, UNK, BOS, EOS])

    sentences, rows = random_sentences(100), []
    for beam in beams:
        config = peers.search_config(beam, LENGTH, n_best=beam)
        hypotheses = beam_search(model, pad_right(sentences), config)
        beams_of_ids = [[h.ids for h in found] for found in hypotheses]
        pairs = zip(sentences, beams_of_ids, strict=True)
        best = [max((score(src, ids), ids) for ids in found)[1] for src, found in pairs]
        for worker in workers:
            theirs = worker.translate([sentences], beam)[1]
            same = sum(f[0] == ids for f, ids in zip(beams_of_ids, theirs, strict=True))
            triples = zip(sentences, best, theirs, strict=True)
            gaps = [abs(score(src, a) - score(src, b)) for src, a, b in triples if a != b]
            n, gap = len(sentences), f"{max(gaps, default=0):.0e}"
            rows.append([beam, worker.setting.family, n, same, n - len(gaps), gap])
    header = ["beam", "peer", "sentences", "identical", "without EOS", "farthest apart"]
    print_table(header, rows)


def check_shipped(folder: Path, chosen: Iterable[Setting]) -> None:
    """Compares with CTranslate2 on real text, with the shipped model."""
    shipped = load_model(ROOT / "checkpoints" / "multi30k-en-de")
    model, encode = shipped.transformer, shipped.tokenizer.encode
    lines = (ROOT / "benchmarks" / "handwritten.en").read_text(encoding="utf-8").splitlines()
    sentences = [[*encode(line), EOS] for line in lines]

    def score(src: list[int], ids: list[int]) -> float:
        return log_prob(model, src, [*ids, EOS], [PAD, UNK, BOS]) / (len(ids) + 1)

    peers.save_ctranslate2(model, folder / "float32", "float32")
    rows = []
    with running(chosen, folder, 1) as workers:
        for worker, beam in itertools.product(workers, (1, 5)):
            found = beam_search(model, pad_right(sentences), peers.search_config(beam, None))
            theirs = worker.translate([sentences], beam, None)[1]
            triples = zip(sentences, (h[0].ids for h in found), theirs, strict=True)
            gains = [score(src, a) - score(src, b) for src, a, b in triples if a != b]
            higher = sum(gain > 0 for gain in gains)
            counts = [len(lines) - len(gains), higher, len(gains) - higher]
            smallest = f"{min(map(abs, gains), default=0):.0e}"
            rows.append([beam, worker.setting.family, len(lines), *counts, smallest])
    print("\n## The shipped model, natural endings\n")
    header = ["identical", "else: ours scores higher", "lower", "by at least"]
    print_table(["beam", "peer", "lines", *header], rows)


def measure(workers: list[Worker], cases: dict[Case, Batches], rounds: int) -> Seconds:
    """Lets the workers translate in turn, after one batch of each case that does not count."""

    def length(worker: Worker) -> int:
        return LENGTH - (worker.setting.engine == "ours")  # and EOS

    for case in sorted(cases):  # memory grows to its peak
        for worker in workers:
            worker.translate(cases[case][:1], case[1], length(worker))
    seconds: Seconds = {case: [[] for _ in workers] for case in cases}
    for round_number in range(rounds):
        for case, batches in cases.items():
            for k in range(len(workers)):
                i = (k + round_number) % len(workers)
                seconds[case][i].append(
                    workers[i].translate(batches, case[1], length(workers[i]))[0]
                )
    return seconds


def best_settings(workers: list[Worker], seconds: list[list[float]]) -> dict[str, int]:
    """The fastest setting of each family, as its place among the workers."""
    best: dict[str, int] = {}
    for i, worker in enumerate(workers):
        other = best.setdefault(worker.setting.family, i)
        if median(seconds[i]) < median(seconds[other]):
            best[worker.setting.family] = i
    return best


def print_table(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> None:
    """Markdown, with columns of equal width."""
    cells = [[str(value) for value in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    for row in cells:
        padded = (value.ljust(width) for value, width in zip(row, widths, strict=True))
        print(f"| {' | '.join(padded)} |", flush=True)


def report(workers: list[Worker], cases: dict[Case, Batches], times: Seconds) -> None:
    """Speeds, ratios and memory."""
    speeds: list[list[Any]] = []
    ratios: list[list[Any]] = []
    for case, seconds in times.items():
        best, n_sentences = best_settings(workers, seconds), sum(map(len, cases[case]))
        theirs = {name: i for name, i in best.items() if not name.startswith("ours")}
        speeds.append([*case])
        for i in best.values():
            rate = n_sentences / median(seconds[i])
            name = workers[i].setting.name
            speeds[-1].append(f"{rate * LENGTH:,.0f} ({rate:,.1f}) {name}".strip())
        for ours in [name for name in best if name not in theirs]:
            ratios.append([*case, ours])
            for i in theirs.values():
                pairs = zip(seconds[i], seconds[best[ours]], strict=True)
                ratios[-1].append(f"{median(peer / own for peer, own in pairs):.2f}")
    print("Target tokens/s (sentences/s) with the fastest setting:\n")
    print_table(["batch", "beam", *best], speeds)
    if theirs:
        print("\nHow many times as fast as the peer:\n")
        print_table(["batch", "beam", "", *theirs], ratios)
    print("\nMemory in MB, with the model loaded and at the peak:\n")
    sizes = [[w.setting.family, w.setting.name, round(w.loaded), round(w.peak)] for w in workers]
    print_table(["", "setting", "loaded", "peak"], sizes)


def linearity(worker: Worker, rounds: int) -> None:
    """How the cost of ours grows with the length and with the number of sentences."""
    cases = [(32, 10), (32, 20), (32, 40), (32, 80), (64, LENGTH), (128, LENGTH), (256, LENGTH)]
    seconds: dict[tuple[int, int], list[float]] = {case: [] for case in cases}
    worker.translate([random_sentences(32)], 5)
    for _ in range(rounds):
        for number, length in cases:
            batches = cut(random_sentences(number, length, spread=0), 32)
            seconds[number, length].append(worker.translate(batches, 5, length)[0])
    rows = []
    for (number, length), times in seconds.items():
        each = median(times) / number
        rows.append([number, length, f"{each * 1e3:.2f}", f"{each / length * 1e6:.0f}"])
    print(f"\n### {worker.setting.family}, batch 32, beam 5: lengths, numbers of sentences\n")
    print_table(["sentences", "pieces (source, target)", "ms/sentence", "µs/piece"], rows)


def quality(corpus: str, precisions: Sequence[str]) -> None:
    """What the precisions of ours cost: BLEU of the shipped model on validation data."""
    from data_prep.sources.corpus import load_corpus
    from translator.evaluation.evaluate import evaluate_pairs
    from translator.system.machine import set_up_cpu
    from translator.translation.translator import Translator

    set_up_cpu(threads=1)
    pairs = load_corpus(corpus, "en", "de").splits["valid"]
    rows = []
    for precision in precisions:
        translator = Translator.load(device="cpu", precision=precision)
        result, _ = evaluate_pairs(translator, pairs, metrics=["bleu"])
        bleu = result.bleu
        row = [precision, f"{bleu.score:.2f}", result.sentences_per_second, bleu.signature]
        rows.append(row)
    print(f"\n## The shipped model on {len(pairs)} validation pairs, one thread\n")
    print_table(["precision", "BLEU", "sentences/s", "signature"], rows)


def describe(arguments: argparse.Namespace) -> None:
    """Describes what was run, where and when."""
    names = [line for line in _read("/proc/cpuinfo").splitlines() if line.startswith("model name")]
    cpu = names[0].split(":")[1].strip() if names else platform.processor()
    versions = [f"small-nmt {__version__}", f"torch {torch.__version__}"]
    for package in PACKAGES.values():
        if importlib.util.find_spec(package):
            versions.append(f"{package} {importlib.import_module(package).__version__}")
        else:
            print(f"{package} is missing, so it is skipped: pip install 'small-nmt[bench]'\n")
    print(f"- {datetime.datetime.now():%Y-%m-%d %H:%M}, {' '.join(sys.argv)}")
    print(f"- {cpu}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"- Python {platform.python_version()}, {', '.join(versions)}")
    print(f"- {arguments.sentences} sentences, {LENGTH} pieces each, {arguments.rounds} rounds")


def parse() -> argparse.Namespace:
    """Parses the options; `--full` changes the defaults of others."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="every preset, case and setting")
    parser.add_argument("--check", action="store_true", help="no timing")
    parser.add_argument("--presets", nargs="+", help="default: tiny small, with --full base")
    parser.add_argument("--threads", nargs="+", type=int, help="default: 1, with --full 1 2")
    parser.add_argument("--batches", nargs="+", type=int, help="default: 1 32, with --full 128")
    parser.add_argument("--beams", nargs="+", type=int, default=[1, 5])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], help=PRECISIONS)
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--rounds", type=int, help="default: 3, with --full 5")
    parser.add_argument("--bleu", metavar="CORPUS", help="of ours, on its validation data")
    arguments = parser.parse_args()
    full = arguments.full
    arguments.presets = arguments.presets or ["tiny", "small", "base"][: 3 if full else 2]
    arguments.threads = arguments.threads or [1, 2][: 2 if full else 1]
    arguments.batches = arguments.batches or [1, 32, 128][: 3 if full else 2]
    arguments.rounds = arguments.rounds or (5 if full else 3)
    return arguments


def run_preset(preset: str, arguments: argparse.Namespace, folder: Path) -> None:
    """Checks, then times, one model."""
    model, sentences = random_model(preset), random_sentences(arguments.sentences)
    chosen = settings(1, arguments.precisions, arguments.full)
    save_all(model, folder, chosen)
    fp32 = {s.family: s for s in chosen if s.family in ("HF fp32", "CT2 float32")}
    if fp32:
        print(f"\n## {preset}: identical outputs\n")
        with running(fp32.values(), folder, 1) as workers:
            check_forced(model, workers, arguments.beams)
    few = sentences[: len(sentences) // 16 + 1]
    cases = {
        (batch, beam): cut(few if batch == 1 else sentences, batch)
        for batch, beam in itertools.product(arguments.batches, arguments.beams)
    }
    for threads in [] if arguments.check else arguments.threads:
        chosen = settings(threads, arguments.precisions, arguments.full)
        print(f"\n## {preset}, {threads} thread{'s' * (threads > 1)}\n")
        with running(chosen, folder, threads) as workers:
            report(workers, cases, measure(workers, cases, arguments.rounds))
            if (preset, threads) == (arguments.presets[0], arguments.threads[0]):
                for worker in (w for w in workers if w.setting.engine == "ours"):
                    linearity(worker, arguments.rounds)


def main() -> None:
    """Runs the requested benchmarks and prints Markdown."""
    torch.set_num_threads(1)  # for the checks; workers do the timing
    arguments = parse()
    print("# Decoding\n")
    describe(arguments)
    fp32 = [s for s in settings(1, [], False) if s.family == "CT2 float32"]
    with tempfile.TemporaryDirectory() as folder:
        if fp32:
            check_shipped(Path(folder) / "shipped", fp32[:1])
        if arguments.bleu:
            quality(arguments.bleu, arguments.precisions)
        for preset in arguments.presets:
            run_preset(preset, arguments, Path(folder) / preset)
    print(f"\nLoad of the machine at the end: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
