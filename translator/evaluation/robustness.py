"""How much scores drop when sources are written as users write: capitals, typos, emoji ..."""

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


def _add_emoji(src: str, tgt: str, rng: random.Random) -> tuple[str, str]:
    """Inserts an emoji between two words of the source, or at either end."""
    words = src.split(" ")
    words.insert(rng.randint(0, len(words)), rng.choice(noise.EMOJI))
    return " ".join(words), tgt


def _remove_emoji(text: str) -> str:
    return " ".join(_EMOJI.sub(" ", text).split())


_EMOJI = re.compile("|".join(re.escape(e) for e in sorted(noise.EMOJI, key=len, reverse=True)))


@dataclass(frozen=True)
class Slice:
    """A change to sources, and the part of a translation that is scored before and after it."""

    name: str
    what: str
    change: Callable[[str, str, random.Random], tuple[str, str]]
    scored: Callable[[str], str] = str


SLICES = (
    Slice("capitals", "sources in capitals; scored without case", noise.capitals, str.lower),
    Slice("title case", "a capital at each word; scored without case", noise.title_case, str.lower),
    Slice("lower case", "sources without capitals; scored with case", noise.lower_case),
    Slice(
        "no final stop",
        "sources without the mark at their end; scored without it",
        noise.no_final_stop,
        lambda text: text.rstrip(".!? "),
    ),
    Slice("typos", "one to three slips of the finger in a source", noise.typos),
    Slice(
        "emoji", "an emoji at a random place of a source; scored without it", _add_emoji,
        _remove_emoji,
    ),
)  # fmt: skip


def measure_robustness(
    translator: Translator,
    test_set: TestSet,
    hypotheses: Sequence[str],
    search: SearchConfig | None = None,
) -> list[SliceScores]:
    """How much scores drop when sources are changed, for each of `SLICES`.

    A slice contains the lines that its change affects. They are scored in the same way before and
    after it, so only the effect on the words counts.
    """
    search = search or translator.model.config.search
    found = []
    for kind in SLICES:
        rng = random.Random(f"1 {kind.name}")
        first = test_set.references[0]
        pairs = zip(test_set.sources, first, strict=True)
        changed = [kind.change(src, tgt, rng)[0] for src, tgt in pairs]
        some = [n for n, source in enumerate(test_set.sources) if changed[n] != source]
        if not some:
            continue
        sources = [changed[n] for n in some]
        translations = translator.translate_lines(sources, search, split="never", guard=False)
        before, after = [hypotheses[n] for n in some], [one.text for one in translations]
        references = [[kind.scored(lines[n]) for n in some] for lines in test_set.references]
        clean, changed_scores = (
            corpus_scores([kind.scored(line) for line in lines], references)
            for lines in (before, after)
        )
        kept = _share_kept(sources, after) if kind.name == "emoji" else None
        found.append(SliceScores(kind.name, kind.what, len(some), clean, changed_scores, kept))
    return found


def _share_kept(sources: Sequence[str], translations: Sequence[str]) -> float:
    """The share of emoji in the sources that also occur in their translations."""
    pairs = [
        (emoji, translation)
        for source, translation in zip(sources, translations, strict=True)
        for emoji in _EMOJI.findall(source)
    ]
    return sum(emoji in translation for emoji, translation in pairs) / len(pairs)
