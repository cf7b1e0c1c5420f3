"""What a search finds, and how hypotheses of different lengths are compared."""

from dataclasses import dataclass
from typing import Any

from translator.config.schema import SearchConfig


@dataclass(frozen=True)
class Hypothesis:
    """A finished translation: ids without BOS and EOS."""

    ids: list[int]
    log_prob: float  # natural logarithm, EOS included
    score: float  # by which hypotheses are ranked: normalised by length


def length_divisor(length: Any, config: SearchConfig) -> Any:
    """What a log-probability is divided by; `length` counts EOS.

    `plain` is `length ** alpha`, `gnmt` is `((5 + length) / 6) ** alpha` (Wu et al. 2016, eq. 14).
    """
    base = (5 + length) / 6 if config.length_rule == "gnmt" else length
    return base**config.length_penalty


def normalised(log_prob: Any, length: Any, config: SearchConfig) -> Any:
    """The score of a translation: floats, or tensors; `length` counts EOS.

    Each piece adds `length_reward` before the division: the word reward of He et al. 2016, and of
    Murray and Chiang 2018 ("Correcting length bias in neural machine translation").
    """
    return (log_prob + config.length_reward * length) / length_divisor(length, config)
