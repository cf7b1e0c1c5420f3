"""How fast we train, compared with Hugging Face's `MarianMTModel` and PyTorch's `nn.Transformer`.

    python benchmarks/train.py             # tiny, small and base on one thread: about an hour
    python benchmarks/train.py --full      # every setting of the peers: hours
    python benchmarks/train.py --check     # only check that all compute the same
    python benchmarks/train.py --presets tiny small --data multi30k --loss 1000 \
        --only-loss --bf16-weights         # the ends of the loss curves
    pip install 'small-nmt[bench]'         # the peer

All start from the same weights, post-norm because Marian supports nothing else, and take the same
steps on the same batches in the same order: about 4,000 target tokens in pairs of similar length,
so that there is little padding. All drop a tenth of embeddings and of the outputs of sub-layers
(ours 26/256) and nothing else, smooth labels by 0.1, clip gradients to 1 and use fused Adam with
our schedule; the loss of a step is the mean over its real target tokens. `--check` compares the
losses of some steps without dropout, in fp32, and our count of FLOP with PyTorch's.

Each setting runs in a process of its own. First each is tried alone for some batches, and the
fastest of each family is chosen. The chosen ones take turns, so that other work on the machine
affects all alike. Speeds are real target tokens, EOS included, per second: medians over the rounds;
ratios are medians of ratios within rounds. Batches are ready before the clock starts. With one
thread the table shows how much of the time the process had a CPU: below 100% other work got in the
way. (Settings are then compared by CPU time.) Peak memory is the maximum resident size (VmHWM),
including Python and libraries. For GPUs see `gpu/measure.py`.

Which settings of the peers were tried (Zen 4 with AVX-512 and its bf16, one thread, torch 2.13,
transformers 5.23, 4,300 padded tokens; the speeds on a busy machine, in CPU seconds for `small`
and `base`):

- `torch.autocast` to bfloat16 with plain products for attention (Marian's "eager", for
  nn.Transformer `SDPBackend.MATH`) is the fastest throughout: Marian 3.8 to 4.1 k tokens/s for
  `tiny` and 1.8 to 2.1 k for `small`, against 3.0 k and 1.4 k in fp32; nn.Transformer 3.6 k and
  2.1 k against 3.0 k and 1.4 k. With PyTorch's fused attention, whose backward pass is slow in
  bfloat16 on a CPU, autocast is slower than fp32 for `tiny`, and about 1.7 k for `small`.
- the attention of fp32 (sdpa, eager, math): no difference.
- freed memory kept by the process ("keep"): gains a little or nothing, so both are tried.
- weights in bfloat16 (`--bf16-weights`): a quarter faster than autocast for `tiny`, a tenth for
  `base`. But an update that is smaller than 1/256 of a weight is lost, see the loss: inexact, so a
  family of its own.
- a compiled nn.Transformer (autocast, one fixed shape of batch): 140 s to compile, then 2.1 k
  tokens/s for `tiny`, slower than without.
"""

import argparse
import contextlib
import dataclasses
import datetime
import importlib
import importlib.util
import itertools
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, cast

import torch
import train_peers
from decode import KEEP_MEMORY, VOCAB_SIZES, Setting, print_table

from translator import __version__
from translator.config.loading import load_config
from translator.config.presets import PRESETS
from translator.config.schema import Config, ModelConfig, TrainConfig
from translator.model.batch import Batch, collate
from translator.model.transformer import Transformer, count_parameters
from translator.text.tokenizer import PAD, IdPair
from translator.training.loader import BatchSampler, Loader, pair_lengths

Pairs = Sequence[IdPair]

VOCAB_SIZE = 8000
DROPOUT = 0.1
TRIAL = 2  # batches on which the settings of a family are compared
PEERS = {  # family, and the implementations of attention
    "marian": ("HF Marian", "sdpa", "eager"),
    "plain": ("nn.Transformer", "default", "math"),
}
# The settings that are tried without --full: the fastest of a family, or nearly so, in some preset.
FAST = {  # (engine, precision, attention)
    ("marian", "fp32", "sdpa"),
    ("marian", "autocast", "eager"),
    ("marian", "bf16", "eager"),
    ("plain", "fp32", "default"),
    ("plain", "autocast", "math"),
    ("plain", "bf16", "math"),
}


def settings(arguments: argparse.Namespace) -> list[Setting]:
    """All settings to be tried. Of a family the fastest counts."""
    found = []
    keeping: list[tuple[str, dict[str, str]]] = [(" keep", KEEP_MEMORY), ("", {})]
    for precision, (kept, environment) in itertools.product(arguments.precisions, keeping):
        options = {"precision": precision}
        found.append(Setting(f"ours {precision}", kept.strip(), "ours", options, environment))
    for engine, (family, *attentions) in PEERS.items():
        precisions = ("fp32", "autocast", "bf16")[: 3 if arguments.bf16_weights else 2]
        for precision, attention, (kept, environment) in itertools.product(
            precisions, attentions, keeping
        ):
            if arguments.full or (engine, precision, attention) in FAST:
                lower = ", bf16 weights" if precision == "bf16" else ""
                name = f"{precision} {attention}{kept}"
                options = {"precision": precision, "attention": attention}
                found.append(Setting(family + lower, name, engine, options, environment))
    packages = {"marian": "transformers"}
    return [s for s in found if importlib.util.find_spec(packages.get(s.engine, "torch"))]


class Worker:
    """A process that runs one setting, see `train_peers.serve`."""

    def __init__(self, setting: Setting, folder: Path, config: Config, threads: int):
        self.setting = setting
        request = {
            "engine": setting.engine,
            "folder": str(folder),
            "threads": threads,
            "model": dataclasses.asdict(config.model),
            "train": dataclasses.asdict(config.train),
            "options": dict(setting.options),
        }
        variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        environment = {k: v for k, v in os.environ.items() if k not in KEEP_MEMORY}
        environment |= dict.fromkeys(variables, str(threads)) | setting.environment
        self.process = subprocess.Popen(
            [sys.executable, train_peers.__file__, json.dumps(request)],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.peak: float = 0  # MB
        self._reply()

    def _reply(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        reply: dict[str, Any] = json.loads(line) if line else {"error": "the process ended"}
        if "error" in reply:
            self.close()
            raise RuntimeError(f"{self.setting.family} {self.setting.name}: {reply['error']}")
        self.peak = reply["peak"]
        return reply["result"]

    def ask(self, method: str, argument: int) -> Any:
        """Calls a method of the `train_peers.Server`."""
        assert self.process.stdin is not None
        print(json.dumps([method, argument]), file=self.process.stdin, flush=True)
        return self._reply()

    def close(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.communicate()


class Bench:
    """The trainers of one preset, and the batches that all of them get."""

    def __init__(self, preset: str, arguments: argparse.Namespace, data: tuple[Pairs, Pairs]):
        self.arguments = arguments
        self.config = config_of(preset, arguments)
        train, valid = data
        number = max(arguments.batches, arguments.loss)
        self.batches = make_batches(train, arguments.max_tokens, number)
        self.valid = make_batches(valid, arguments.max_tokens)
        self.timed = self.batches[: arguments.batches]
        self.n_tokens = sum(batch.n_tokens for batch in self.timed)
        self.one_thread = arguments.threads == 1

    def save(self, folder: Path) -> None:
        """Writes what the workers read: first weights, the same for all, and batches."""
        torch.manual_seed(1)
        model = Transformer(self.config.model)
        torch.save(model.state_dict(), folder / "weights.pt")
        parts = {"train": self.batches, "valid": self.valid}
        tensors = {
            name: [tuple(vars(batch).values()) for batch in batches]
            for name, batches in parts.items()
        }
        torch.save(tensors, folder / "batches.pt")
        padded = sum(batch.tgt_out.numel() for batch in self.timed)
        print(
            f"{count_parameters(model) / 1e6:.2f} M parameters, {len(self.timed)} batches of "
            f"{self.n_tokens / len(self.timed):,.0f} target tokens on average, "
            f"{1 - self.n_tokens / padded:.1%} of the padded ones being padding\n",
            flush=True,
        )

    @contextlib.contextmanager
    def running(self, chosen: Iterable[Setting], folder: Path) -> Iterator[list[Worker]]:
        """A worker for each setting; one that cannot start is reported and skipped."""
        workers: list[Worker] = []
        try:
            for setting in chosen:
                try:
                    workers.append(Worker(setting, folder, self.config, self.arguments.threads))
                except RuntimeError as error:
                    print(f"Left out: {error}\n", flush=True)
            yield workers
        finally:
            for worker in workers:
                worker.close()

    def trial(self, chosen: list[Setting], folder: Path) -> list[Setting]:
        """The fastest setting of each family, by some batches that each trains on alone."""
        if len({setting.family for setting in chosen}) == len(chosen):
            return chosen  # nothing to choose from
        best: dict[str, tuple[float, Setting]] = {}
        rows = []
        number = min(TRIAL, len(self.timed))
        n_tokens = sum(batch.n_tokens for batch in self.timed[:number])
        own_time = self.one_thread  # which others on the machine do not change much
        for setting in chosen:
            with self.running([setting], folder) as workers:
                for worker in workers:
                    worker.ask("seconds", 1)  # allocates memory
                    runs = [worker.ask("seconds", number) for _ in range(2)]
                    rate = n_tokens / min(run[own_time] for run in runs)
                    if rate > best.get(setting.family, (0.0, setting))[0]:
                        best[setting.family] = rate, setting
                    rows.append([setting.family, setting.name, f"{rate:,.0f}", round(worker.peak)])
        print(f"Each setting alone, {number} batches, the faster of two runs:\n")
        unit = "second" if not own_time else "CPU second"
        print_table(["", "setting", f"target tokens/{unit}", "peak MB"], rows)
        return [setting for _, setting in best.values()]

    def measure(self, workers: list[Worker]) -> list[list[tuple[float, float]]]:
        """Seconds of each worker in each round; all train on the same batches in turn.

        Two each: on the clock, and of the process.
        """
        for worker in workers:
            worker.ask("seconds", 2)
        seconds: list[list[tuple[float, float]]] = [[] for _ in workers]
        for round_number in range(self.arguments.rounds):
            for k in range(len(workers)):
                i = (k + round_number) % len(workers)
                seconds[i].append(workers[i].ask("seconds", len(self.timed)))
        return seconds

    def report(self, workers: list[Worker], seconds: list[list[tuple[float, float]]]) -> None:
        """Speeds, memory and ratios."""
        ours = [i for i, worker in enumerate(workers) if worker.setting.engine == "ours"]
        header = ["", "setting", "target tokens/s", "slowest to fastest round", "peak MB"]
        header += [f"{workers[i].setting.family} is this many times as fast" for i in ours]
        if self.one_thread:
            header.append("of its time on the CPU")
        rows: list[list[Any]] = []
        clocks = [[clock for clock, _ in times] for times in seconds]
        for worker, times, both in zip(workers, clocks, seconds, strict=True):
            rates = [self.n_tokens / each for each in times]
            row: list[Any] = [worker.setting.family, worker.setting.name, f"{median(rates):,.0f}"]
            row += [f"{min(rates):,.0f} to {max(rates):,.0f}", f"{worker.peak:,.0f}"]
            for i in ours:
                pairs = zip(times, clocks[i], strict=True)
                row.append(f"{median(other / own for other, own in pairs):.2f}")
            if self.one_thread:
                row.append(f"{sum(own for _, own in both) / sum(times):.0%}")
            rows.append(row)
        rounds, batches = self.arguments.rounds, len(self.timed)
        print(f"\nIn turn, {rounds} rounds of {batches} batches, medians:\n")
        print_table(header, rows)

    def losses(self, chosen: Iterable[Setting], folder: Path) -> None:
        """The ends of the loss curves after equal steps on equal batches."""
        steps = self.arguments.loss
        rows = []
        for setting in chosen:
            with self.running([setting], folder) as workers:
                for worker in workers:
                    train, valid = worker.ask("losses", steps)
                    rows.append([setting.family, setting.name, f"{train:.4f}", f"{valid:.4f}"])
        print(f"\nMean -log p of a piece after {steps} steps, without dropout:\n")
        print_table(
            ["", "setting", f"the last {min(steps, train_peers.LAST)} batches", "validation"], rows
        )


def config_of(preset: str, arguments: argparse.Namespace) -> Config:
    """The preset's sizes with what all share: dropout, vocabulary, schedule."""
    config = PRESETS[preset]
    model = dataclasses.replace(
        config.model,
        norm=arguments.norm,
        dropout=DROPOUT,
        vocab_size=VOCAB_SIZES.get(preset, VOCAB_SIZE),
    )
    train = TrainConfig(
        steps=max(arguments.loss, 10_000),
        max_tokens=arguments.max_tokens,
        peak_lr=arguments.peak_lr,
        warmup_steps=arguments.warmup,
        cooldown=0.0,
    )
    return dataclasses.replace(config, model=model, train=train)


def make_batches(pairs: Pairs, max_tokens: int, number: int | None = None) -> list[Batch]:
    """The first `number` batches of as many epochs as it takes; without a number, of one epoch."""
    sampler = BatchSampler(pair_lengths(pairs), max_tokens, seed=1)
    endless = Loader(pairs, sampler).batches(0, 0)
    number = number or len(sampler.epoch(0))
    return [cast(Batch, batch) for batch, _ in itertools.islice(endless, number)]


def random_pairs(number: int, length: float, seed: int) -> list[IdPair]:
    """Pairs of ids whose lengths spread as those of captions; targets have `length` pieces.

    With a mean of 14 the standard deviations are 5 and 4, and the correlation is 0.83; Multi30k
    in 8,000 pieces has 15.3 and 14.7, 5.7 and 5.0, and 0.85.
    """
    generator = random.Random(seed)

    def ids(mean: float, spread: float) -> list[int]:
        n_pieces = round(mean * generator.lognormvariate(0, spread))
        return generator.choices(range(4, VOCAB_SIZE), k=min(max(n_pieces, 2), 250))

    sources = [ids(0.88 * length, 0.31) for _ in range(number)]
    return [(src, ids(1.06 * len(src), 0.2)) for src in sources]


def load_pairs(arguments: argparse.Namespace) -> tuple[Pairs, Pairs]:
    """Training and validation pairs, of a corpus or random."""
    if not arguments.data:
        number = 200 * arguments.max_tokens // round(arguments.length)
        return random_pairs(number, arguments.length, 1), random_pairs(500, arguments.length, 2)
    from data_prep.prepared.prepare import prepare_data

    overrides = [f"data.corpus={arguments.data}", f"data.vocab_size={VOCAB_SIZE}"]
    found = prepare_data(load_config("tiny", overrides=overrides))
    assert found is not None
    return found.train[:], found.valid


def training_flops(config: ModelConfig, batch: Batch) -> int:
    """Floating-point operations in the matrix products of a step.

    `6 x parameters x tokens plus attention`. A matrix of P numbers costs P multiplications and P
    additions a token in the forward pass, and twice that in the backward pass, for the gradients
    of its input and of itself: 6 P. The tokens of a matrix are those that it multiplies:

    - source tokens: all of the encoder, and the keys and values of cross-attention;
    - target tokens: the rest of the decoder, and the projection to the vocabulary. The embedding
      looked up is no product, and counts only as that projection.

    Attention adds `12 D x (query length) x (key length)` for each layer and sentence: two products
    (scores, and the weighted sum) of 2 D for each pair, times three as above. Pairs that the causal
    mask hides count, as is usual (Chowdhery et al. 2022, appendix B). Tokens are real ones, EOS or
    BOS included: work on padding is not counted, nor are biases, norms, softmax, or what is
    computed twice.
    """
    d_model, feed_forward = config.d_model, 2 * config.d_model * config.d_ff
    square = d_model**2
    tgt_lengths = (batch.tgt_out != PAD).sum(1)
    src_lengths = (batch.src != PAD).sum(1) * (tgt_lengths > 0)  # a row may be there as a filler
    n_src, n_tgt = int(src_lengths.sum()), int(tgt_lengths.sum())
    encoder = config.n_encoder_layers * (4 * square + feed_forward) * n_src
    keys_and_values = config.n_decoder_layers * 2 * square * n_src
    decoder = config.n_decoder_layers * (6 * square + feed_forward) * n_tgt
    projection = config.vocab_size * d_model * n_tgt
    attended = config.n_encoder_layers * int((src_lengths**2).sum())
    attended += config.n_decoder_layers * int((tgt_lengths**2 + tgt_lengths * src_lengths).sum())
    return 6 * (encoder + keys_and_values + decoder + projection) + 12 * d_model * attended


def check_flops() -> None:
    """Compares `training_flops` with what PyTorch counts, on batches without and with padding."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    short, long = ([5] * 4, [6] * 7), ([7] * 8, [8] * 10)
    rows = []
    for preset in ("tiny", "small", "base"):
        config = dataclasses.replace(PRESETS[preset].model, vocab_size=VOCAB_SIZE)
        model = Transformer(config)
        full, other = collate([short] * 3), collate([long])
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            model(full.src, full.tgt_in).sum().backward()
        counted, ours = counter.get_total_flops(), training_flops(config, full)
        assert ours == counted, f"{preset}: {ours} FLOP, PyTorch counts {counted}"
        padded = training_flops(config, collate([short, short, short, long]))
        assert padded == ours + training_flops(config, other), "padding counts"
        six = 6 * count_parameters(model) * full.n_tokens
        rows.append([preset, f"{ours:,}", f"{counted:,}", f"{ours / six:.3f}"])
    print("## FLOP of a step, as counted here and by PyTorch\n")
    header = ["", "training_flops", "FlopCounterMode", "of 6 x all parameters x target tokens"]
    print_table(header, rows)


def check_trainers() -> None:
    """Trains all on the same batches in fp32 without dropout: they must compute the same."""
    batches = make_batches(random_pairs(100, 14, 1), 700, 6)
    train = TrainConfig(peak_lr=1e-3, warmup_steps=4, cooldown=0.0)
    rows = []
    for norm in ("post", "pre"):
        model = dataclasses.replace(
            PRESETS["tiny"].model, norm=norm, dropout=0.0, vocab_size=VOCAB_SIZE
        )
        options = [("ours", ()), ("plain", ("default",)), ("plain", ("math",))]
        if norm == "post" and importlib.util.find_spec("transformers"):
            options += [("marian", ("sdpa",)), ("marian", ("eager",))]
        reference: list[float] = []
        for engine, rest in options:
            torch.manual_seed(1)
            trainer = train_peers.ENGINES[engine](Transformer(model), train, "fp32", *rest)
            curve = []
            for step, batch in enumerate(batches, 1):
                curve.append(trainer.nll([batch]))
                trainer.update(batch, step)
            reference = reference or curve
            far = max(abs(a - b) for a, b in zip(curve, reference, strict=True))
            assert far < 1e-3, f"{engine}, {norm}-norm: the loss differs by {far}"
            rows.append([norm, " ".join((engine, *rest)), f"{curve[0]:.5f}", f"{curve[-1]:.5f}"])
            rows[-1].append(f"{far:.0e}")
    print(f"\n## Loss in {len(batches)} steps without dropout\n")
    print_table(["norm", "", "first", "last", "farthest from ours"], rows)


def describe(arguments: argparse.Namespace) -> None:
    """Describes what was run, where and when."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if os.name == "posix" else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    versions = [f"small-nmt {__version__}", f"torch {torch.__version__}"]
    if importlib.util.find_spec("transformers"):
        versions.append(f"transformers {importlib.import_module('transformers').__version__}")
    else:
        print("transformers is missing, so it is skipped: pip install 'small-nmt[bench]'\n")
    processor = names[0] if names else platform.processor()
    print(f"- {datetime.datetime.now():%Y-%m-%d %H:%M}, {' '.join(sys.argv)}")
    print(f"- {processor}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"- Python {platform.python_version()}, {', '.join(versions)}")
    data = arguments.data or f"random pairs, targets of {arguments.length:g} pieces on average"
    print(f"- {data}; {arguments.norm}-norm, dropout {DROPOUT}, {arguments.threads} threads")


def parse() -> argparse.Namespace:
    """Parses the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="every setting of the peers")
    parser.add_argument("--bf16-weights", action="store_true", help="and such peers, inexact ones")
    parser.add_argument("--check", action="store_true", help="no timing")
    parser.add_argument("--presets", nargs="+", default=["tiny", "small", "base"])
    parser.add_argument("--data", help="a corpus, see `translator train --help`; default random")
    parser.add_argument("--length", type=float, default=14, help="mean of random targets, pieces")
    parser.add_argument("--max-tokens", type=int, default=4300, help="in a batch, padded")
    parser.add_argument("--batches", type=int, default=8, help="in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loss", type=int, default=0, metavar="STEPS", help="compare curves")
    parser.add_argument("--only-loss", action="store_true", help="no rounds before --loss")
    parser.add_argument("--norm", default="post", help="or pre, which Marian does not know")
    parser.add_argument("--peak-lr", type=float, default=1e-3)
    parser.add_argument("--warmup", type=int, default=400, help="steps")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], help="of ours")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    """Runs the requested benchmarks and prints Markdown."""
    torch.set_num_threads(1)  # for the checks; workers do the timing
    arguments = parse()
    print("# Training\n")
    describe(arguments)
    if arguments.check:
        print()
        check_flops()
        check_trainers()
        return
    data = load_pairs(arguments)
    chosen = settings(arguments)
    for preset in arguments.presets:
        print(f"\n## {preset}\n")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            bench = Bench(preset, arguments, data)
            bench.save(folder)
            fastest = bench.trial(chosen, folder)
            if not arguments.only_loss:
                with bench.running(fastest, folder) as workers:
                    bench.report(workers, bench.measure(workers))
            if arguments.loss:
                bench.losses(fastest, folder)
    print(f"\nLoad of the machine at the end: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
