"""Which pairs are worth training on."""

from collections import Counter
from collections.abc import Sequence

from data_prep.corpora import TextPair
from translator.config import DataConfig
from translator.data import IdPair
from translator.text import normalise
from translator.tokenizer import Tokenizer


def encode_pairs(
    pairs: Sequence[TextPair], tokenizer: Tokenizer, config: DataConfig
) -> tuple[list[IdPair], dict[str, int]]:
    """Normalises and tokenises pairs and drops the unusable ones.

    Returns:
        The pairs kept, and how many were dropped by reason: "empty", "overlong" (more than
        `config.max_length` pieces), "badly proportioned" (one side more than `config.max_ratio`
        times as long as the other, of which a difference below ten pieces never speaks).
    """
    kept: list[IdPair] = []
    dropped: Counter[str] = Counter()
    for src_text, tgt_text in pairs:
        src = tokenizer.encode(normalise(src_text))
        tgt = tokenizer.encode(normalise(tgt_text))
        shorter, longer = sorted((len(src), len(tgt)))
        if not shorter:
            dropped["empty"] += 1
        elif longer > config.max_length:
            dropped["overlong"] += 1
        elif longer > config.max_ratio * shorter and longer - shorter >= 10:
            dropped["badly proportioned"] += 1
        else:
            kept.append((src, tgt))
    return kept, dict(dropped)
