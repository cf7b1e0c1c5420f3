"""What training and search cost on this GPU: measure.py [SHAPE...], of general, base and big.

First prints how many sentences of the longest packed split are translated in a second. Then for
each shape the cost of an update with packed batches of random sentences: milliseconds, target
tokens/s, and the model's matrix products as a share of the card's bf16 rate; for the first shape a
profile of ten updates too. Last, whether captured and eager updates learn the same. A part that
fails is reported, and the others go on.
"""

import itertools
import json
import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

START = time.monotonic()
WORK = Path(os.environ.get("GPU_WORK", Path.home() / "gpu-work"))
sys.path.insert(0, str(WORK / "program"))

import torch  # noqa: E402
from train import read_data, read_start  # noqa: E402

from translator.config.schema import ModelConfig, SearchConfig, TrainConfig  # noqa: E402
from translator.model.packing import PackedBatch, pack  # noqa: E402
from translator.model.transformer import Transformer  # noqa: E402
from translator.search.beam import beam_search  # noqa: E402
from translator.search.fixed import FixedSearch  # noqa: E402
from translator.search.hypothesis import Hypothesis  # noqa: E402
from translator.storage.model_folder import Model  # noqa: E402
from translator.text.codec import Source  # noqa: E402
from translator.training.update import Updater  # noqa: E402
from translator.translation.translator import Translator  # noqa: E402
from translator.translation.units import Unit  # noqa: E402

ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")
LENGTH = 192  # of a row
TOKENS = int(os.environ.get("GPU_TOKENS", "40960"))  # padded, of a batch
SHAPES = {
    "general": (ModelConfig(512, 2048, 8, 6, 2, 0.1, "pre", 12_000), "muon"),
    "base": (ModelConfig(512, 2048, 8, 6, 6, 0.1, "post", 32_000), "adam"),
    "big": (ModelConfig(1024, 4096, 16, 6, 6, 0.3, "post", 32_000), "adam"),
}


def say(text: str) -> None:
    """Prints a line with the time since the start."""
    print(f"[{time.monotonic() - START:6.1f} s] {text}", flush=True)


def wait() -> None:
    """Waits until the device has finished its work."""
    if ON_GPU:
        torch.cuda.synchronize()


def random_batch(vocab_size: int, tokens: int, seed: int) -> PackedBatch:
    """Sentences of 2 to 128 pieces, 18 on average, in rows that are 95 % full."""
    rng = random.Random(seed)
    pairs, used = [], 0
    while used < 0.95 * tokens:
        src = max(1, min(127, int(rng.lognormvariate(2.7, 0.7))))
        tgt = max(1, min(127, int(src * rng.uniform(0.9, 1.3))))
        ids = [[rng.randrange(4, vocab_size) for _ in range(n)] for n in (src, tgt)]
        pairs.append((ids[0], ids[1]))
        used += max(src, tgt) + 1
    batch = pack(pairs, tokens // LENGTH, LENGTH, slice(None))
    return batch.pin_memory() if ON_GPU else batch


def product_rate() -> float:
    """FLOP/s of bf16 products of 8,192 x 8,192 matrices."""
    size = 8192 if ON_GPU else 512
    left, right = (torch.randn(size, size, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        left @ right
    wait()
    start = time.monotonic()
    for _ in range(20):
        left @ right
    wait()
    return 2 * size**3 * 20 / (time.monotonic() - start)


def product_flops(c: ModelConfig, tokens: int) -> int:
    """FLOP of the model's weight products in an update; attention's own are not counted."""
    encoder = c.n_encoder_layers * (4 * c.d_model**2 + 2 * c.d_model * c.d_ff)
    decoder = c.n_decoder_layers * (8 * c.d_model**2 + 2 * c.d_model * c.d_ff)
    return 6 * tokens * (encoder + decoder + c.vocab_size * c.d_model)


def make_updater(config: ModelConfig, optimizer: str) -> Updater:
    """Builds a new model on the device and its updater."""
    torch.manual_seed(1)
    train = TrainConfig(optimizer=optimizer, precision="bf16", warmup_steps=100, steps=100_000)
    return Updater(Transformer(config).to(DEVICE), train)


def measure(name: str, rate: float, count: int, profiled: bool) -> None:
    """Measures a shape and prints a line about it, and a profile if asked to."""
    config, optimizer = SHAPES[name]
    if ON_GPU:
        torch.cuda.reset_peak_memory_stats()
    updater = make_updater(config, optimizer)
    batches = [random_batch(config.vocab_size, TOKENS, seed) for seed in range(4)]
    start = time.monotonic()
    updater.update(batches[:1], 1)
    wait()
    first = time.monotonic() - start
    for step in range(2, 5):
        updater.update([batches[step % 4]], step)
    wait()
    start = time.monotonic()
    for step in range(5, 5 + count):
        updater.update([batches[step % 4]], step)
    wait()
    each = (time.monotonic() - start) / count
    tokens = sum(batch.n_tokens for batch in batches) / len(batches)
    share = product_flops(config, TOKENS) / each / rate
    memory = torch.cuda.max_memory_allocated() / 2**30 if ON_GPU else 0.0
    say(
        f"{name:8} {each * 1000:7.1f} ms an update, {tokens / each:10,.0f} target tokens/s, "
        f"{share:.1%} of the product rate, first update {first:.1f} s, {memory:.1f} GiB"
    )

    def more() -> None:
        for step in range(10):
            updater.update([batches[step % 4]], 100 + step)

    if profiled:
        profile("updates", more, 10)


def profile(what: str, run: Callable[[], object], count: int) -> None:
    """Prints where the time goes while `run` makes `count` of something."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as record

    wait()
    start = time.monotonic()
    with record(activities=[ProfilerActivity.CUDA]) as found:
        run()
        wait()
    seconds = time.monotonic() - start
    rows = sorted(found.key_averages(), key=lambda row: -row.self_device_time_total)
    total = sum(row.self_device_time_total for row in rows) / 1e6
    products = sum(
        row.self_device_time_total
        for row in rows
        if any(word in row.key for word in ("nvjet", "gemm", "cutlass"))
    )
    share = products / 1e6 / total
    say(
        f"profile of {count} {what}: kernels {total / seconds:.0%} of {seconds:.2f} s, products "
        f"{share:.0%} of that, {sum(row.count for row in rows) / count:.0f} kernels each"
    )
    for row in rows[:12]:
        print(f"    {row.self_device_time_total / count / 1000:7.3f} ms  {row.key[:100]}")


def compare(count: int = 8 if ON_GPU else 2) -> None:
    """Compares the losses of captured and eager updates, without dropout."""
    shape = replace(SHAPES["general"][0], dropout=0.0)
    tokens = max(TOKENS // 4, LENGTH)
    batches = [random_batch(shape.vocab_size, tokens, seed) for seed in range(3)]
    losses = []
    for captured in (True, False):
        updater = make_updater(shape, "muon")
        if not captured:
            updater.captured = None
        for step in range(1, count + 1):  # every other update has two micro-batches
            updater.update(batches[:2] if step % 2 else batches[2:], step)
        losses.append([result.nll_sum / result.n_tokens for result in updater.take_outcomes()])
    worst = max(abs(one - other) for one, other in zip(*losses, strict=True))
    say(f"captured against eager updates: losses of {losses[0][0]:.1f} differ by {worst:.4f}")


def search(count: int = 3000 if ON_GPU else 10, direction: str = "en-de") -> None:
    """Measures greedy and beam search, with the weights that were sent or else random ones.

    Random weights never end a sentence, so translations are then made as long as their sources.
    The second time counts; the first one records the steps.
    """
    torch.manual_seed(1)
    config, data = read_data(direction)
    searched = json.loads((WORK / "meta.json").read_text())["searched"]
    model = Model(Transformer(config.model), data.tokenizer, config)
    limits = SearchConfig(max_ratio=1.0, max_extra=1)
    if start := read_start(direction):
        model.transformer.load_state_dict(start)
        limits = SearchConfig()
    decoder = Translator(model, DEVICE, "bf16" if ON_GPU else "fp32").decoder
    decoder.fixed, decoder.network.search = True, FixedSearch().beam_search  # on a CPU too
    sources = itertools.islice(itertools.cycle(src for src, _ in searched["pairs"]), count)
    units = [Unit(0, "", Source(list(ids), []), [], "") for ids in sources]

    def timed(units: list[Unit], beam_size: int) -> tuple[list[Hypothesis], float]:
        begin = time.monotonic()
        found = decoder.search(units, replace(limits, beam_size=beam_size))
        return [hypotheses[0] for hypotheses in found], time.monotonic() - begin

    for beam_size in (1, 5):
        first = timed(units, beam_size)[1]
        found, seconds = timed(units, beam_size)
        say(
            f"search of {searched['split']}, beam {beam_size}: {count / seconds:,.0f} sentences/s, "
            f"{seconds:.1f} s; {first:.1f} s the first time"
        )
        if ON_GPU:
            profile("sentences", partial(timed, units, beam_size), count)
        replayed, decoder.network.search = decoder.network.search, beam_search
        plain, seconds = timed(units[:256], beam_size)
        decoder.network.search = replayed
        same = sum(one.ids == other.ids for one, other in zip(plain, found, strict=False))
        apart = sum(one.score - other.score for one, other in zip(plain, found, strict=False))
        say(
            f"    the plain search: {len(plain) / seconds:,.0f} sentences/s, {same} of {len(plain)}"
            f" translations are the same, its scores {apart / len(plain):+.5f} on average"
        )


def attempt(part: Callable[..., None], *arguments: object) -> bool:
    """Makes one part of the measurement; the next one follows even if it fails."""
    try:
        part(*arguments)
    except Exception:
        say(f"{part.__name__} failed")
        traceback.print_exc()
        return False
    return True


def main(shapes: list[str]) -> None:
    """See the top of the file."""
    rate = product_rate()
    card = torch.cuda.get_device_name() if ON_GPU else "CPU"
    say(f"{card}, torch {torch.__version__}, bf16 products {rate / 1e12:.1f} TFLOP/s")
    made = [attempt(search)]
    shapes = shapes or list(SHAPES)
    for name in shapes:
        profiled = ON_GPU and name == shapes[0]
        made.append(attempt(measure, name, rate, 20 if ON_GPU else 1, profiled))
    made.append(attempt(compare))
    os._exit(not all(made))


if __name__ == "__main__":
    main(sys.argv[1:])
