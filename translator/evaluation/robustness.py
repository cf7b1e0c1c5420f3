"""What scores lose when sources are changed as users change them: capitals, typos, emoji ..."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data_prep.augmentation import noise
from translator.config.schema import SearchConfig
from translator.evaluation.scores import corpus_scores
from translator.evaluation.testset import TestSet
from translator.report.results import SliceScores
from translator.translation.translator import Translator


def _with_emoji(src: str, tgt: str, rng: random.Random) -> tuple[str, str]:
    """An emoji behind a word of the source, or before the first."""
    words = src.split(" ")
    words.insert(rng.randint(0, len(words)), rng.choice(noise.EMOJI))
    return " ".join(words), tgt


def _without_emoji(text: str) -> str:
    return " ".join(_EMOJI.sub(" ", text).split())


def _without_stop(text: str) -> str:
    return text.rstrip(".!? ")


def _same(text: str) -> str:
    return text


_EMOJI = re.compile("|".join(re.escape(e) for e in sorted(noise.EMOJI, key=len, reverse=True)))


@dataclass(frozen=True)
class Slice:
    """A way to change sources, and what of a text counts then, before and after."""

    name: str
    what: str
    change: Callable[[str, str, random.Random], tuple[str, str]]
    counts: Callable[[str], str]


SLICES = (
    Slice("capitals", "sources in capitals; scored without case", noise.capitals, str.lower),
    Slice("title case", "a capital at each word; scored without case", noise.title_case, str.lower),
    Slice("lower case", "sources without capitals; scored with case", noise.lower_case, _same),
    Slice(
        "no final stop",
        "sources without the mark at their end; scored without it",
        noise.no_final_stop,
        _without_stop,
    ),
    Slice("typos", "one to three slips of the finger in a source", noise.typos, _same),
    Slice(
        "emoji", "an emoji at a random place of a source; scored without it", _with_emoji,
        _without_emoji,
    ),
)  # fmt: skip


def robustness(
    translator: Translator,
    test_set: TestSet,
    hypotheses: Sequence[str],
    search: SearchConfig | None = None,
    seed: int = 1,
) -> list[SliceScores]:
    """What scores lose when sources are changed as users change them.

    Each slice has the lines that its change has something to do in, the same ones before and after,
    and scores both in the same way, so that only what the change did to the words counts.
    """
    search = search or translator.model.config.search
    found = []
    for kind in SLICES:
        rng = random.Random(f"{seed} {kind.name}")
        first = test_set.references[0]
        pairs = zip(test_set.sources, first, strict=True)
        changed = [kind.change(src, tgt, rng)[0] for src, tgt in pairs]
        some = [n for n, source in enumerate(test_set.sources) if changed[n] != source]
        if not some:
            continue
        sources = [changed[n] for n in some]
        translations = translator.translate_lines(sources, search, split="never", guard=False)
        before, after = [hypotheses[n] for n in some], [one.text for one in translations]
        references = [[kind.counts(lines[n]) for n in some] for lines in test_set.references]
        clean, changed_scores = (
            corpus_scores([kind.counts(line) for line in lines], references)
            for lines in (before, after)
        )
        kept = _kept(sources, after) if kind.name == "emoji" else None
        found.append(SliceScores(kind.name, kind.what, len(some), clean, changed_scores, kept))
    return found


def _kept(sources: Sequence[str], translations: Sequence[str]) -> float:
    """The share of the emoji of the sources that their translations have."""
    pairs = [
        (emoji, translation)
        for source, translation in zip(sources, translations, strict=True)
        for emoji in _EMOJI.findall(source)
    ]
    return sum(emoji in translation for emoji, translation in pairs) / len(pairs)
