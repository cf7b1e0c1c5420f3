"""Which faults cleaning finds: each kind is put into 5 % of a corpus of sound pairs.

    python benchmarks/cleaning.py --data CORPUS --seeds 1 2 3

For each kind, over all seeds: the share of the faults that are found (or repaired, for broken
encodings), at worst and on average; the share of the untouched pairs that are dropped, of which
many have real faults; and by which rules the faults were found. The faults are those of
tests/support/faults.py.
"""

import argparse
import random
import statistics
import sys
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import torch

from data_prep.cleaning.clean import Cleaner, find_repeats, pair_keys, repair_pairs
from data_prep.sources.corpus import load_corpus
from translator.config.schema import CleanConfig

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from faults import KINDS, inject  # noqa: E402
from in_memory import learn_scorer  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="sample", help="a CORPUS")
    parser.add_argument("--share", type=float, default=0.05, help="of the pairs that get a fault")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = CleanConfig()
    sound = load_corpus(arguments.data, "en", "de").splits["train"]
    repaired_sound = repair_pairs(sound, config)
    print(f"{len(sound):,} pairs of {arguments.data}, {arguments.share:.0%} with a fault, seeds")
    print(f"{arguments.seeds}; ftfy is {'' if find_spec('ftfy') else 'not '}there\n")
    print("| fault | found, worst | mean | untouched pairs dropped, worst | found by |")
    print("|---|---|---|---|---|")
    seconds, judged = 0.0, 0
    for kind in arguments.kinds:
        found, lost = [], []
        rules: Counter[str] = Counter()
        for seed in arguments.seeds:
            pairs, places = inject(sound, kind, arguments.share, random.Random(seed))
            repaired = repair_pairs(pairs, config)
            keys = pair_keys(repaired, config)
            scorer = learn_scorer(repaired, keys)
            start = time.process_time()
            cleaner = Cleaner(config, ("en", "de"), scorer)
            faults = cleaner.judge(repair_pairs(pairs, config), find_repeats(keys))
            seconds, judged = seconds + time.process_time() - start, judged + len(pairs)
            chosen = set(places)
            for n in places:
                is_repaired = kind == "mojibake" and repaired[n] == repaired_sound[n]
                rules[faults[n] or ("repaired" if is_repaired else "-")] += 1
            missed = sum(
                faults[n] is None and not (kind == "mojibake" and repaired[n] == repaired_sound[n])
                for n in places
            )
            found.append(1 - missed / len(places))
            others = [fault for n, fault in enumerate(faults) if n not in chosen]
            lost.append(sum(fault is not None for fault in others) / len(others))
        by = ", ".join(f"{rule} {n}" for rule, n in rules.most_common(3))
        shares = f"{min(found):.1%} | {statistics.mean(found):.1%} | {max(lost):.2%}"
        print(f"| {kind} | {shares} | {by} |", flush=True)
    print(f"\nRepairing and judging: {judged / seconds:,.0f} pairs a second and core")


if __name__ == "__main__":
    main()
