"""Cleaning a whole corpus in memory: what cleaning in shards must be equal to."""

from collections.abc import Sequence

from data_prep.cleaning.clean import Cleaner, CleanReport, find_repeats, pair_keys, repair_pairs
from data_prep.cleaning.contamination import HeldOut
from data_prep.cleaning.pair_score import ENOUGH, SAMPLE, PairScorer
from translator.config.schema import CleanConfig
from translator.text.lines import TextPair


def learn_scorer(repaired: Sequence[TextPair], keys: Sequence[int]) -> PairScorer | None:
    """Learns from the pairs with the smallest keys, each once; None if there are too few."""
    sample = sorted(dict(zip(keys, repaired, strict=True)).items())[:SAMPLE]
    if len(sample) < ENOUGH:
        return None
    return PairScorer([pair for _, pair in sample], [key for key, _ in sample])


def clean_in_memory(
    pairs: Sequence[TextPair],
    config: CleanConfig,
    src: str,
    tgt: str,
    held_out: HeldOut | None = None,
    seed: int = 1,
) -> tuple[list[TextPair], CleanReport]:
    """The pairs worth training on, repaired, and the report."""
    config = config.resolve()
    repaired = repair_pairs(pairs, config)
    keys = pair_keys(repaired, config)
    scorer = learn_scorer(repaired, keys) if config.alignment else None
    kept, report = Cleaner(config, (src, tgt), scorer, held_out, seed)(pairs, find_repeats(keys))
    if config.alignment and not scorer:
        n = len(dict.fromkeys(keys))
        report.notes = [f"{n:,} pairs are too few to see whether the lines belong together."]
    return kept, report
