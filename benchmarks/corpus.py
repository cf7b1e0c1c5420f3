"""The cost of a big corpus: preparing it, starting to train on it, and reading rows from its store.

    python benchmarks/corpus.py                   # 0.1, 1 and 4.5 million pairs
    python benchmarks/corpus.py --pairs 100000 --folder ~/corpora

The corpora are generated once and reused from the folder: English and German lines of 22 words on
average, made from templates with function words of both languages and invented words distributed by
Zipf's law, each English word with one German translation; names and numbers. Of 200 pairs two are
duplicates, one is copied from its source and one has another pair's target. The largest corpus
temporarily needs about 6 GB of disk.

Each measurement runs in a process of its own. Every 20 ms the anonymous memory (RssAnon) of it and
of all its descendants is added up; a page that a process shares with the one it was forked from
counts in both, so the sum is an upper bound. Pairs per second and core are pairs divided by the CPU
seconds, user and system, of the whole tree. A training start is timed from the start of the process
to the end of the first step of `translator train` on the prepared corpus, and once more in a run
that resumes at nine tenths of its fourth epoch. The data settings are those of the preset; the
model is small (see MODEL) and a step one batch, so that the model's memory and time do not hide
those of the data.
"""

import argparse
import contextlib
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import wraps
from itertools import accumulate
from pathlib import Path
from typing import Any

SRC, TGT = "en", "de"
N_VALID = 2000
MODEL = [
    *("model.d_model=64", "model.d_ff=128", "model.n_heads=2"),
    *("model.n_encoder_layers=1", "model.n_decoder_layers=1", "train.accum_steps=1"),
]
EVERY = 0.02  # seconds between two looks at the memory

# --- the corpora ------------------------------------------------------------------------------

# English, then German. Placeholders are nouns {n}, other words {w}, names {p} and numbers {d}; the
# digit after the letter is the index among the English ones. No three function words are adjacent,
# or every line would look a little like all held-out lines, as no real one does.
CLAUSES = """
the {n0} of the {n1} was {w2} by {w3} {n4}
der {n0} der {n1} wurde von {w3} {n4} {w2}
{p0} said that {n1} would not {w2} more {n3}
{p0} sagte, dass {n1} nicht mehr {n3} {w2} würde
there are {d0} {n1} in the {w2} {n3}
es gibt {d0} {n1} in dem {w2} {n3}
we {w0} this {n1} with our {n2}
wir {w0} diese {n1} mit unserem {n2}
they {w0} more {n1} and {w2} {n3} for us
sie {w0} mehr {n1} und {w2} {n3} für uns
in {d0} {p1} was the {w2} {n3} from {p4}
im Jahr {d0} war {p1} der {w2} {n3} aus {p4}
{n0} is not {w1} but {w2} {n3}
{n0} ist nicht {w1}, sondern {w2} {n3}
he {w0} his {n1} about {n2} and {n3}
er {w0} sein {n1} über {n2} und {n3}
if the {n0} is {w1} then {n2} should {w3}
wenn das {n0} {w1} ist, sollten {n2} {w3}
{w0} {n1} of {p2} were {w3} at {n4}
{w0} {n1} von {p2} waren bei {n4} {w3}
which {n0} do you {w1} when {n2} are {w3}
welche {n0} {w1} Sie, wenn {n2} {w3} sind
the {w0} {n1} has been {w2} since {d3}
die {w0} {n1} ist seit {d3} {w2} worden
"""
N_LEMMAS, N_NAMES = 30_000, 5000  # a lemma has two forms
N_CLAUSES = (1, 2, 2, 3, 3, 3, 3, 4)  # of a line, equally often
BLOCK = 20_000


def invent(rng: random.Random, n: int, onsets: str, vowels: str, codas: str) -> list[str]:
    """Different words of two or three syllables."""
    starts, middles, ends = onsets.split(), vowels.split(), ["", *codas.split()]
    words: dict[str, None] = {}
    while len(words) < n:
        words["".join(
            rng.choice(part)
            for _ in range(rng.choice((2, 2, 2, 3)))
            for part in (starts, middles, ends)
        )] = None  # fmt: skip
    return list(words)


class Generator:
    """Writes pairs; the same for the same seed."""

    def __init__(self, seed: int):
        import torch

        rng = random.Random(1)  # the words are those of the language, not of a split
        consonants = "b d f g h k l m n p r s t v w"
        english = invent(rng, N_LEMMAS, f"{consonants} th c", "a e i o u ea ou", "n r s t ck ll")
        german = invent(rng, N_LEMMAS, f"{consonants} sch z", "a e i o u ei ü ä", "n r s t ch ll")
        names = invent(rng, N_NAMES, f"{consonants} j", "a e i o", "n r s")
        forms = [e + ending for e in english for ending in ("", "s")]
        plain = [g + ending for g in german for ending in ("t", "en")]
        capital = [word.capitalize() for word in plain]
        rank = list(range(len(forms)))
        rng.shuffle(rank)
        numbers = [*range(2, 100), *range(1900, 2030), *range(1000, 90_000, 500)]
        self.tables = {
            "w": ([forms[k] for k in rank], [plain[k] for k in rank]),
            "n": ([forms[k] for k in rank], [capital[k] for k in rank]),
            "p": ([name.capitalize() for name in names],) * 2,
            "d": (
                [str(n) if n < 2030 else f"{n:,}" for n in numbers],
                [str(n) if n < 2030 else f"{n:,}".replace(",", ".") for n in numbers],
            ),
        }
        # Mandelbrot's form of the law, without the function words that are more frequent still.
        weights = 1 / (torch.arange(len(forms), dtype=torch.float64) + 50)
        self.cumulated = (weights / weights.sum()).cumsum(0)
        self.random = torch.Generator().manual_seed(seed)
        # Of each clause: the text to be filled, and what fills it.
        self.clauses = []
        clauses = iter(CLAUSES.strip().splitlines())
        for en, de in zip(clauses, clauses, strict=True):
            kinds = [en[k + 1] for k in range(len(en)) if en[k] == "{"]
            for kind in "nwpd":
                en, de = en.replace("{" + kind, "{"), de.replace("{" + kind, "{")
            self.clauses.append((en.format, de.format, [self.tables[kind] for kind in kinds]))

    def _choose(self, low: int, high: int, n: int) -> list[int]:
        import torch

        return torch.randint(low, high, (n,), generator=self.random).tolist()

    def block(self, n: int) -> list[tuple[str, str]]:
        """The next `n` pairs."""
        import torch

        counts = [N_CLAUSES[k] for k in self._choose(0, len(N_CLAUSES), n)]
        kinds = self._choose(0, len(self.clauses), sum(counts))
        slots = [0, *accumulate(len(self.clauses[kind][2]) for kind in kinds)]
        draws = torch.rand(slots[-1], generator=self.random, dtype=torch.float64)
        ranks = (
            torch.searchsorted(self.cumulated, draws).clamp(max=len(self.cumulated) - 1).tolist()
        )
        sides: tuple[list[str], list[str]] = ([], [])
        for kind, first in zip(kinds, slots, strict=False):
            en, de, tables = self.clauses[kind]
            chosen = ranks[first : first + len(tables)]
            for side, fill in enumerate((en, de)):
                words = [t[side][k % len(t[side])] for t, k in zip(tables, chosen, strict=True)]
                sides[side].append(fill(*words))
        ends = [0, *accumulate(counts)]
        lines = [
            [
                f"{text[0].upper()}{text[1:]}."
                for text in (", ".join(side[a:b]) for a, b in zip(ends, ends[1:], strict=False))
            ]
            for side in sides
        ]
        return self._spoil(list(zip(*lines, strict=True)))

    def _spoil(self, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Duplicates, copies, and targets of others."""
        n = len(pairs)
        for place, other, fault in zip(
            *(self._choose(0, n, n // 50) for _ in range(2)), range(n // 50), strict=True
        ):
            pairs[place] = (
                pairs[other],
                pairs[other],
                (pairs[place][0],) * 2,
                (pairs[place][0], pairs[other][1]),
            )[fault % 4]
        return pairs


def generate(folder: Path, n: int) -> None:
    """Writes train and valid of a corpus, unless they are there."""
    if (folder / "done").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    start, n_words, n_done = time.perf_counter(), [0, 0], 0
    for split, size, seed in (("valid", N_VALID, 2), ("train", n, 1)):
        generator = Generator(seed)
        with (
            open(folder / f"{split}.{SRC}", "w", encoding="utf-8") as src_file,
            open(folder / f"{split}.{TGT}", "w", encoding="utf-8") as tgt_file,
        ):
            for first in range(0, size, BLOCK):
                pairs = generator.block(min(BLOCK, size - first))
                for side, file in enumerate((src_file, tgt_file)):
                    text = "".join(f"{pair[side]}\n" for pair in pairs)
                    file.write(text)
                    n_words[side] += text.count(" ") + len(pairs)
                n_done += len(pairs)
    words = " and ".join(f"{count / n_done:.1f}" for count in n_words)
    (folder / "done").write_text(words)
    seconds = time.perf_counter() - start
    print(f"{n:,} pairs written in {seconds:.0f} s, {words} words a line", file=sys.stderr)


# --- children ---------------------------------------------------------------------------------


class Stages:
    """What a child tells: (name, wall clock at its end, CPU seconds of it and its children)."""

    def __init__(self) -> None:
        self.marks: list[tuple[str, float, float]] = []
        self.figures: dict[str, Any] = {}

    def mark(self, name: str) -> None:
        """A stage has ended."""
        self.marks.append((name, time.monotonic(), sum(os.times()[:4])))

    def timed(self, owner: Any, function: str, name: str) -> None:
        """Makes a function of a module or class count its calls' seconds, all together."""
        original = getattr(owner, function)

        @wraps(original)
        def wrapper(*arguments: Any, **options: Any) -> Any:
            start = time.monotonic()
            result = original(*arguments, **options)
            seconds = self.figures.get(name, 0.0) + time.monotonic() - start
            self.figures[name] = seconds
            return result

        setattr(owner, function, wrapper)


def configuration(request: dict[str, Any], corpus: Path) -> Any:
    """The settings of all children."""
    from translator.config.loading import load_config

    settings = [*MODEL, f"data.vocab_size={request['vocab_size']}", *request["set"]]
    config = load_config(request["preset"], overrides=settings)
    return replace(config, data=replace(config.data, corpus=str(corpus), src=SRC, tgt=TGT))


def prepare_child(request: dict[str, Any], stages: Stages) -> None:
    """Cleans, learns the vocabulary, and encodes."""
    from data_prep.prepared.cleaned import prepare_corpus
    from data_prep.prepared.encoded import encode_corpus
    from data_prep.prepared.prepare import learn_tokenizer

    corpus, prepared, workers = (
        Path(request["corpus"]),
        Path(request["prepared"]),
        request["workers"],
    )
    config = configuration(request, corpus)
    stages.mark("import")
    found = prepare_corpus(
        str(corpus), SRC, TGT, config.clean, prepared, seed=config.train.seed, workers=workers
    )
    stages.mark("clean")
    tokenizer = learn_tokenizer([found], config)
    stages.mark("vocabulary")
    ids = encode_corpus(found, tokenizer, config.data, workers)
    stages.mark("encode")
    stages.figures |= {
        "pairs": len(ids),
        "dropped": found.manifest["report"]["dropped"],
        "pieces": tokenizer.vocab_size,
        "pieces_per_line": ids.lengths.float().mean().item(),
    }


def start_child(request: dict[str, Any], stages: Stages) -> None:
    """Everything up to the end of a first step."""
    import torch

    from translator.system.machine import set_up_cpu
    from translator.training import setup
    from translator.training.loader import BatchSampler

    stages.mark("import")
    stages.timed(setup, "prepare_data", "open")
    stages.timed(setup, "build_augmentation", "augmentation")
    stages.timed(BatchSampler, "epoch", "order")
    set_up_cpu(torch.get_num_threads())
    with tempfile.TemporaryDirectory() as folder:
        config = configuration(request, Path(request["prepared"]))
        run = setup.open_run(config, Path(folder), torch.device("cpu"))
        stages.mark("data and model")
        if request["late"]:
            spent = stages.figures.get("order", 0.0)
            n_batches = len(run.batches.sampler.epoch(0))
            run.state.epoch, run.state.batch = 3, n_batches * 9 // 10
            stages.figures["order"] = spent
            stages.mark("not counted")
        run.step(run.training_batches())
        stages.mark("step")


def store_child(request: dict[str, Any], stages: Stages) -> None:
    """Random rows of ids from our store and, through `datasets`, from Arrow, in turn."""
    import datasets
    import torch

    from data_prep.prepared.encoded import Ids

    prepared, arrow = Path(request["prepared"]), Path(request["arrow"])
    ids = Ids(next(prepared.glob("ids-*")), (SRC, TGT))
    n = min(len(ids), request["rows"])
    if not arrow.exists():
        features = datasets.Features(
            {side: datasets.Sequence(datasets.Value("uint16")) for side in (SRC, TGT)}
        )

        def rows() -> Iterator[dict[str, list[int]]]:
            for i in range(n):
                src, tgt = ids[i]
                yield {SRC: src, TGT: tgt}

        with tempfile.TemporaryDirectory(dir=arrow.parent) as cache:
            datasets.disable_progress_bars()
            made = datasets.Dataset.from_generator(rows, features, cache_dir=cache)
            made.save_to_disk(arrow)
    table = datasets.load_from_disk(arrow)
    generator = torch.Generator().manual_seed(1)

    def ours(indices: list[int]) -> list[tuple[list[int], list[int]]]:
        return [ids[i] for i in indices]

    def single(indices: list[int]) -> list[tuple[list[int], list[int]]]:
        return [(row[SRC], row[TGT]) for row in map(table.__getitem__, indices)]

    def together(indices: list[int]) -> list[tuple[list[int], list[int]]]:
        columns = table[indices]
        return list(zip(columns[SRC], columns[TGT], strict=True))

    ways: dict[str, Callable[[list[int]], Any]] = {
        "ours": ours,
        "Arrow": single,
        "Arrow, 64": together,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(request["rounds"]):
        batches = torch.randint(0, n, (20, 64), generator=generator).tolist()
        results = []
        for name, way in ways.items():
            start = time.perf_counter()
            results.append([way(batch) for batch in batches])
            seconds[name].append((time.perf_counter() - start) / (20 * 64))
        assert results[0] == results[1] == results[2]
    stages.figures = {
        "rows": n,
        **{name: statistics.median(values[1:]) * 1e6 for name, values in seconds.items()},
        "bytes": size_of(next(prepared.glob("ids-*"))) * n // len(ids),
        "arrow_bytes": size_of(arrow),
    }


CHILDREN = {"prepare": prepare_child, "start": start_child, "store": store_child}


# --- watching them ----------------------------------------------------------------------------


def anonymous(process: int) -> int:
    """Bytes of anonymous memory of a process and its descendants."""
    total = 0
    try:
        with open(f"/proc/{process}/status") as file:
            total = sum(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))
        for thread in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{thread}/children") as file:
                total += sum(anonymous(int(child)) for child in file.read().split())
    except OSError:  # it has ended
        pass
    return total


def watch(kind: str, request: dict[str, Any]) -> dict[str, Any]:
    """Runs a child; returns its figures, and of each stage the seconds and the peak in MiB."""
    began = time.monotonic()
    command = [sys.executable, __file__, "--child", kind, json.dumps(request), str(began)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    looks = []
    disk = 0
    while process.poll() is None:
        looks.append((time.monotonic(), anonymous(process.pid)))
        if len(looks) % 100 == 0:
            disk = max(disk, size_of(Path(request["prepared"])))
        time.sleep(EVERY)
    assert process.stdout is not None
    output = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{kind} failed: {request}")
    found = json.loads(output.splitlines()[-1])
    stages, before, cpu_before = {}, began, 0.0
    for name, end, cpu in found["marks"]:
        peak = max([size for at, size in looks if before <= at <= end], default=0.0)
        stages[name] = {"s": end - before, "cpu": cpu - cpu_before, "mib": peak / 2**20}
        before, cpu_before = end, cpu
    peak = max([size for _, size in looks], default=0) / 2**20
    return {
        **{"stages": stages, "mib": peak, "disk": disk / 2**20, "s": before - began},
        **found["figures"],
    }


def size_of(folder: Path) -> int:
    """Bytes of the files under a folder, of which some may just go."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(place, name)).st_size
    return total


def measure(n: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures of one size."""
    corpus, prepared = (arguments.folder / f"{kind}-{n}" for kind in ("corpus", "prepared"))
    generate(corpus, n)
    request = {
        "corpus": str(corpus),
        "prepared": str(prepared),
        "arrow": str(arguments.folder / f"arrow-{n}"),
        "workers": arguments.workers,
        "preset": arguments.preset,
        "vocab_size": arguments.vocab_size,
        "set": arguments.set,
        "rows": arguments.rows,
        "rounds": 30,
    }
    found: dict[str, Any] = {"words": (corpus / "done").read_text()}
    if "prepare" in arguments.measure:
        shutil.rmtree(prepared, ignore_errors=True)
        found["prepare"] = watch("prepare", request)
    found["disk"] = size_of(prepared) / 2**20
    if "start" in arguments.measure:
        for name, late in (("start", False), ("late", True)):
            found[name] = watch("start", request | {"late": late})
    if "store" in arguments.measure:
        found["store"] = watch("store", request)
    print(json.dumps({n: found}), file=sys.stderr, flush=True)
    return found


def rows_of(n: int, found: dict[str, Any]) -> dict[str, str]:
    """The column of one size: what was measured, by the name of its row."""
    rows = {"words a line": found["words"]}
    if "prepare" in found:
        all_of = found["prepare"]
        stages = all_of["stages"]
        dropped = sum(all_of["dropped"].values())
        rows["dropped"] = f"{dropped / n:.2%}"
        for name, stage in stages.items():
            rate = (
                f", {n / stage['cpu']:,.0f} pairs/s per core" if name in ("clean", "encode") else ""
            )
            rows[name] = (
                f"{stage['s']:.1f} s ({stage['cpu']:.1f} CPU s{rate}), {stage['mib']:,.0f} MiB"
            )
        rows["pieces a line"] = f"{all_of['pieces_per_line']:.1f} of {all_of['pieces']:,}"
        rows["preparing, peak"] = f"{all_of['mib']:,.0f} MiB, {all_of['disk']:,.0f} MiB on disk"
    rows["prepared, on disk"] = f"{found['disk']:,.0f} MiB"
    for kind, title in (("start", "training start"), ("late", "start late in epoch 4")):
        if kind in found:
            one = found[kind]
            spent = one["s"] - one["stages"].get("not counted", {"s": 0.0})["s"]
            parts = {"import": one["stages"]["import"]["s"]} | {
                name: one.get(name, 0.0) for name in ("open", "augmentation", "order")
            }
            parts["model, probe, step"] = spent - sum(parts.values())
            rows[title] = f"{spent:.1f} s, {one['mib']:,.0f} MiB"
            rows[f"{title}: seconds"] = ", ".join(f"{k} {v:.1f}" for k, v in parts.items())
    if "store" in found:
        store = found["store"]
        rows["a random row, ours"] = f"{store['ours']:.1f} µs, {store['bytes'] / 2**20:,.0f} MiB"
        rows["a random row, Arrow"] = (
            f"{store['Arrow']:.1f} µs, in batches of 64 {store['Arrow, 64']:.1f}, "
            f"{store['arrow_bytes'] / 2**20:,.0f} MiB ({store['rows']:,} rows)"
        )
    return rows


def main() -> None:
    """Generates, measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, nargs="+", default=[100_000, 1_000_000, 4_500_000])
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "corpora")
    parser.add_argument("--vocab-size", type=int, default=32_000)
    parser.add_argument("--preset", default="base")
    parser.add_argument("--set", nargs="*", default=[], help="settings, after those of MODEL")
    parser.add_argument("--measure", nargs="+", default=list(CHILDREN), choices=list(CHILDREN))
    parser.add_argument("--rows", type=int, default=1_000_000, help="in Arrow, at most")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        kind, request, _ = arguments.child
        stages = Stages()
        CHILDREN[kind](json.loads(request), stages)
        print(json.dumps({"marks": stages.marks, "figures": stages.figures}))
        return
    columns = [rows_of(n, measure(n, arguments)) for n in arguments.pairs]
    import torch
    from decode import print_table

    print(
        f"{arguments.workers} workers on {os.cpu_count()} cores ({platform.machine()}), Python "
        f"{platform.python_version()}, torch {torch.__version__}; preset {arguments.preset} with "
        f"{' '.join([*MODEL, *arguments.set])}\n"
    )
    print_table(
        ["", *(f"{n:,} pairs" for n in arguments.pairs)],
        [[name, *(column[name] for column in columns)] for name in columns[0]],
    )


if __name__ == "__main__":
    main()
