"""Which pairs are worth training on, and a report on those that are not.

A corpus is cleaned in chunks, by any number of processes:

1. `pair_keys` of each chunk, from which `find_repeats` finds the pairs that repeat earlier ones.
2. A `PairScorer` is learnt from a sample: the pairs with the smallest keys.
3. A `Cleaner` judges chunk after chunk; the reports are merged.
"""

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from data_prep.cleaning.contamination import HeldOut
from data_prep.cleaning.pair_score import PairScorer
from data_prep.cleaning.rules import RULES, Languages, find_fault, pair_key, repair
from translator.config.schema import CleanConfig
from translator.text.lines import TextPair

# What a pair can be dropped for: the rules about one pair, then those that need the corpus.
DUPLICATE, CONTAMINATED, MISALIGNED = "duplicate", "contamination", "alignment"
FAULTS = (*RULES, DUPLICATE, CONTAMINATED, MISALIGNED)
REPAIRED = "repaired"
SAMPLES = 3  # pairs that the report shows for each fault
SHOWN = 300  # characters of each side of a sample


@dataclass
class CleanReport:
    """The outcome of cleaning, as plain data; the reports on parts of a corpus can be merged.

    `before` and `after` count "pairs", and the words and characters of both sides ("src_words",
    ...). A sample is [rank, source, target]; those of the lowest ranks are kept, and ranks are
    random, so they are the same however the corpus is divided.
    """

    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)  # by fault
    repaired: int = 0  # pairs
    samples: dict[str, list[list[Any]]] = field(default_factory=dict)  # by fault, and "repaired"
    notes: list[str] = field(default_factory=list)

    def merge(self, other: "CleanReport") -> "CleanReport":
        """Merges the reports on two parts of a corpus."""
        return CleanReport(
            dict(Counter(self.before) + Counter(other.before)),
            dict(Counter(self.after) + Counter(other.after)),
            dict(Counter(self.dropped) + Counter(other.dropped)),
            self.repaired + other.repaired,
            {
                name: sorted(self.samples.get(name, []) + other.samples.get(name, []))[:SAMPLES]
                for name in self.samples.keys() | other.samples.keys()
            },
            list(dict.fromkeys(self.notes + other.notes)),
        )

    def summary(self, src: str = "src", tgt: str = "tgt") -> dict[str, Any]:
        """The report as `--json` prints it: counts by rule in their order, samples, mean lengths.

        `src` and `tgt` are the names of the sides.
        """
        return {
            "before": _named(self.before, src, tgt),
            "after": _named(self.after, src, tgt),
            "repaired": self.repaired,
            "dropped": {name: self.dropped[name] for name in FAULTS if self.dropped.get(name)},
            "samples": {
                name: [{src: source, tgt: target} for _, source, target in self.samples[name]]
                for name in (REPAIRED, *FAULTS)
                if self.samples.get(name)
            },
            "notes": self.notes,
        }


def _measure(pairs: Sequence[TextPair]) -> dict[str, int]:
    counts = {"pairs": len(pairs)}
    for name, side in (("src", 0), ("tgt", 1)):
        # Between spaces; `split` would take as long as some rules do.
        counts[f"{name}_words"] = sum(pair[side].count(" ") + 1 for pair in pairs)
        counts[f"{name}_characters"] = sum(len(pair[side]) for pair in pairs)
    return counts


def _named(counts: dict[str, int], src: str, tgt: str) -> dict[str, float]:
    """Adds means, and names the sides."""
    n_pairs = counts.get("pairs", 0)
    named: dict[str, float] = {"pairs": n_pairs}
    for old, new in (("src", src), ("tgt", tgt)):
        for unit in ("words", "characters"):
            n = counts.get(f"{old}_{unit}", 0)
            named |= {f"{new}_{unit}": n, f"mean_{new}_{unit}": round(n / max(n_pairs, 1), 2)}
    return named


def repair_pairs(pairs: Iterable[TextPair], config: CleanConfig) -> list[TextPair]:
    """Repairs both sides of each pair, see `repair`."""
    if not config.repair:
        return list(pairs)
    return [(repair(src), repair(tgt)) for src, tgt in pairs]


def pair_keys(pairs: Iterable[TextPair], config: CleanConfig) -> "array[int]":
    """An 8-byte key for each repaired pair, which only duplicates share (or others by chance)."""
    near = config.duplicates == "near"
    return array("q", (pair_key(src, tgt, near) for src, tgt in repair_pairs(pairs, config)))


def find_repeats(keys: "array[int]") -> list[bool]:
    """Which keys have occurred before, even if that earlier pair is dropped."""
    if not keys:
        return []
    values, order = torch.frombuffer(keys, dtype=torch.int64).sort(stable=True)
    again = torch.zeros(len(keys), dtype=torch.bool)
    again[order[1:]] = values.diff() == 0
    return [bool(value) for value in again.tolist()]


class Cleaner:
    """Judges chunks of a corpus.

    Args:
        config: the thresholds.
        languages: of source and target.
        scorer: without one, alignment is not judged.
        held_out: without it, contamination is not judged.
        seed: of the samples in the report.
    """

    def __init__(
        self,
        config: CleanConfig,
        languages: Languages,
        scorer: PairScorer | None = None,
        held_out: HeldOut | None = None,
        seed: int = 1,
    ):
        self.config, self.languages, self.seed = config, languages, seed
        self.scorer = scorer if config.alignment else None
        self.held_out = held_out if config.contamination else None

    def judge(self, pairs: Sequence[TextPair], again: Sequence[bool] = ()) -> list[str | None]:
        """The fault of each pair of a chunk, or None.

        Args:
            pairs: after repair, in the order of the corpus, because neighbours reveal a shift.
            again: which of them repeat an earlier pair, see `find_repeats`.
        """
        faults = [find_fault(pair, self.config, self.languages) for pair in pairs]
        for row, is_again in enumerate(again):
            if is_again and self.config.duplicates != "off":
                faults[row] = faults[row] or DUPLICATE
        if self.held_out:
            for row, pair in enumerate(pairs):
                if not faults[row] and self.held_out.holds(pair):
                    faults[row] = CONTAMINATED
        if self.scorer:
            near = self.config.duplicates == "near"
            keys = [pair_key(src, tgt, near) for src, tgt in pairs]
            bad = self.scorer.misaligned(pairs, keys, self.config.alignment)
            for row, is_bad in enumerate(bad):
                if is_bad:
                    faults[row] = faults[row] or MISALIGNED
        return faults

    def __call__(
        self, pairs: Sequence[TextPair], again: Sequence[bool] = ()
    ) -> tuple[list[TextPair], CleanReport]:
        """The pairs of a chunk that are kept, repaired, and the report on the chunk."""
        repaired = repair_pairs(pairs, self.config)
        faults = self.judge(repaired, again)
        kept = [pair for pair, fault in zip(repaired, faults, strict=True) if fault is None]
        report = CleanReport(_measure(pairs), _measure(kept))
        for old, new, fault in zip(pairs, repaired, faults, strict=True):
            if fault is not None:
                report.dropped[fault] = report.dropped.get(fault, 0) + 1
                self._show(report, fault, old)
            elif [line.strip() for line in old] != list(new):
                report.repaired += 1
                self._show(report, REPAIRED, old)
        return kept, report

    def _show(self, report: CleanReport, name: str, pair: TextPair) -> None:
        """Adds a pair to the samples if its rank is low enough."""
        text = f"{self.seed}\n{pair[0]}\n{pair[1]}".encode("utf-8", "replace")
        rank = hashlib.blake2b(text, digest_size=6).hexdigest()
        samples = report.samples.setdefault(name, [])
        samples.append([rank, pair[0][:SHOWN], pair[1][:SHOWN]])
        samples.sort()
        del samples[SAMPLES:]
