"""What is wrong with a parallel corpus, found before a model is trained on it.

One function per kind of fault. Each returns findings: none for a corpus that is in order. The
thresholds lie between what clean corpora showed (Multi30k, WMT news, the bundled sample, whole and
in random parts of 500 pairs or more, in both directions) and what injected faults showed.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from data_prep.cleaning.contamination import contaminated_lines
from data_prep.cleaning.line_alignment import check_alignment
from data_prep.cleaning.rules import is_garbled
from translator.config.schema import CleanConfig
from translator.text.codec import normalise
from translator.text.language import identify
from translator.text.lines import TextPair

Severity = Literal["broken", "warning", "note"]

ALIGNMENT = {"alignment", "shifted", "exchanged", "unrelated"}  # names of findings about lines
# Fewer pairs say too little about which words translate each other.
MIN_PAIRS = 200
# Lines in the wrong place: clean corpora show up to 0.05 %. If 1 % are exchanged, nine in ten of
# them are found, in a corpus of 500 pairs at least half.
EXCHANGED, EXCHANGED_BROKEN = 0.003, 0.1
# Pairs whose sides share nothing: clean corpora show up to 4 %, shuffled ones 39 % and more.
UNRELATED, UNRELATED_BROKEN = 0.07, 0.3
# Lines in the language of the other side: clean corpora show none, on either side.
SWAPPED, SWAPPED_BROKEN = 0.001, 0.2
DUPLICATES = 0.005  # clean corpora: up to 0.2 %
COPIES, COPIES_BROKEN = 0.02, 0.3  # clean corpora: up to 0.6 %, names and headlines
OVERLAP = 0.01  # of a validation or test split


@dataclass(frozen=True)
class Finding:
    """Something the user should know about a corpus, in one line."""

    name: str
    severity: Severity  # "broken": a model trained on this will not translate
    text: str


def check_corpus(
    splits: Mapping[str, Sequence[TextPair]],
    src: str,
    tgt: str,
    clean: CleanConfig = CleanConfig(),  # noqa: B008 - frozen
) -> list[Finding]:
    """All findings about the training data, and about its overlap with other splits."""
    train = splits["train"]
    return [
        *find_misalignment(train),
        *find_swapped_languages(train, src, tgt),
        *find_copies(train),
        *find_duplicates(train),
        *find_mojibake(train),
        *find_overlap(splits, clean),
    ]


def _examples(lines: Iterable[int]) -> str:
    """Line numbers from 0, as people write them: "lines 3, 17, 40"."""
    some = sorted({line + 1 for line in lines})
    shown = ", ".join(str(line) for line in some[:5])
    return f"line{'s' if len(some) > 1 else ''} {shown}{', ...' if len(some) > 5 else ''}"


def _share(count: int, total: int) -> str:
    return f"{count:,} of {total:,} ({count / total:.1%})"


def find_misalignment(pairs: Sequence[TextPair]) -> list[Finding]:
    """Finds a side shifted by some lines, exchanged lines, and unrelated sides."""
    if len(pairs) < MIN_PAIRS:
        text = f"{len(pairs)} pairs are too few to see whether the lines belong together."
        return [Finding("alignment", "note", text)]
    found = check_alignment(pairs)
    unrelated, exchanged = found.unrelated, found.exchanged
    bad = len({*unrelated, *exchanged})
    if bad >= UNRELATED_BROKEN * found.checked:
        text = (
            f"About {bad / found.checked:.0%} of the pairs do not translate each other, such as "
            f"{_examples(unrelated)}. Are these two sides of one corpus, in one order?"
        )
        return [Finding("unrelated", "broken", text)]
    findings = []
    shifted = [stretch for stretch in found.stretches if stretch.offset]
    for stretch in shifted[:3]:
        side = "target" if stretch.offset > 0 else "source"
        count = abs(stretch.offset)
        where = (
            "All of the"
            if len(found.stretches) == 1
            else f"From about line {stretch.first + 1:,} to line {stretch.end:,} the"
        )
        text = (
            f"{where} {side} side is {count} line{'s' * (count > 1)} late: source line "
            f"{stretch.first + 1 + max(0, -stretch.offset):,} belongs to target line "
            f"{stretch.first + 1 + max(0, stretch.offset):,}. Look "
            "there for an extra or a missing line."
        )
        findings.append(Finding("shifted", "broken", text))
    if len(exchanged) >= 2 and found.exchanged_share >= EXCHANGED:
        first = min(exchanged)
        text = (
            f"About {found.exchanged_share:.1%} of the lines are in the wrong place, such as "
            f"source {_examples(exchanged)}: line {first + 1:,} belongs to target line "
            f"{exchanged[first] + 1:,}. Put them in order or drop them."
        )
        broken = found.exchanged_share >= EXCHANGED_BROKEN
        findings.append(Finding("exchanged", "broken" if broken else "warning", text))
    if len(unrelated) >= UNRELATED * found.checked:
        text = (
            f"About {_share(len(unrelated), found.checked)} pairs do not translate each other: "
            f"{_examples(unrelated)}. Drop them."
        )
        findings.append(Finding("unrelated", "warning", text))
    return findings


def find_swapped_languages(pairs: Sequence[TextPair], src: str, tgt: str) -> list[Finding]:
    """Finds source lines in the target language and vice versa, for English and German."""
    if {src, tgt} != {"en", "de"}:
        return []
    swapped, wrong, clear = [], [], 0
    for number, (src_line, tgt_line) in enumerate(pairs):
        is_src, is_tgt = identify(src_line), identify(tgt_line)
        clear += is_src is not None or is_tgt is not None
        if (is_src, is_tgt) in ((tgt, src), (tgt, None), (None, src)):
            swapped.append(number)
        elif is_src == tgt or is_tgt == src:
            wrong.append(number)
    findings = []
    if len(swapped) >= max(2, SWAPPED * clear):
        how_many = _share(len(swapped), clear)
        text = f"The languages are swapped in {how_many} pairs whose language is clear"
        if len(swapped) >= 0.8 * clear:
            text += ". Exchange the two files, or --src and --tgt."
        else:
            text += f": {_examples(swapped)}. Put each language on its side."
        broken = len(swapped) >= SWAPPED_BROKEN * clear
        findings.append(Finding("languages", "broken" if broken else "warning", text))
    if len(wrong) >= max(3, COPIES * clear):
        broken = len(wrong) >= COPIES_BROKEN * clear
        text = (
            f"Both sides are in one language in {_share(len(wrong), clear)} pairs: "
            f"{_examples(wrong)}. Drop what is not {src} to {tgt}."
        )
        findings.append(Finding("one language", "broken" if broken else "warning", text))
    return findings


def find_copies(pairs: Sequence[TextPair]) -> list[Finding]:
    """Finds pairs whose sides are the same text."""
    copies = [
        n
        for n, (src, tgt) in enumerate(pairs)
        if _key(src) == _key(tgt) and any(map(str.isalpha, src))
    ]
    if len(copies) < max(3, COPIES * len(pairs)):
        return []
    broken = len(copies) >= COPIES_BROKEN * len(pairs)
    text = (
        f"Source and target are the same in {_share(len(copies), len(pairs))} pairs: "
        f"{_examples(copies)}. " + ("Is one file a copy of the other?" if broken else "Drop them.")
    )
    return [Finding("copies", "broken" if broken else "warning", text)]


def find_duplicates(pairs: Sequence[TextPair]) -> list[Finding]:
    """Finds repeated pairs, and sources with more than one target."""
    first: dict[TextPair, int] = {}
    again: list[int] = []
    targets: defaultdict[str, set[str]] = defaultdict(set)
    for number, pair in enumerate(pairs):
        src, tgt = _key(pair[0]), _key(pair[1])
        if first.setdefault((src, tgt), number) != number:
            again.append(number)
        targets[src].add(tgt)
    findings = []
    if again:
        sample = again[0]
        origin = first[_key(pairs[sample][0]), _key(pairs[sample][1])]
        text = (
            f"{_share(len(again), len(pairs))} pairs repeat an earlier one: {_examples(again)}; "
            f"line {sample + 1} is line {origin + 1} again."
        )
        many = len(again) >= max(3, DUPLICATES * len(pairs))
        severity: Severity = "warning" if many else "note"
        findings.append(Finding("duplicates", severity, text + (" Drop them." if many else "")))
    several = sum(len(group) > 1 for group in targets.values())
    if several >= max(3, DUPLICATES * len(pairs)):
        text = f"{several:,} sources have more than one target; that may be intended."
        findings.append(Finding("several targets", "note", text))
    return findings


def find_mojibake(pairs: Sequence[TextPair]) -> list[Finding]:
    """Finds text that was once decoded with the wrong encoding."""
    bad = [n for n, pair in enumerate(pairs) if any(map(is_garbled, pair))]
    if len(bad) < max(3, 0.001 * len(pairs)):
        return []
    text = (
        f"{_share(len(bad), len(pairs))} pairs have garbled letters, as when an umlaut is read in "
        f"the wrong encoding: {_examples(bad)}. Convert the original again."
    )
    return [Finding("garbled", "warning", text)]


def count_overlap(splits: Mapping[str, Sequence[TextPair]]) -> dict[str, dict[str, int]]:
    """Counts, for every other split, the pairs with one or both sides in the training data.

    Only whole lines count, even inside longer ones; cleaning also drops near matches.
    """
    found = contaminated_lines(splits, splits["train"], CleanConfig(overlap_share=1.0))
    return {
        name: {
            "pairs": len(splits[name]),
            "source": len(src),
            "target": len(tgt),
            "either": len(src | tgt),
        }
        for name, (src, tgt) in found.items()
    }


def find_overlap(
    splits: Mapping[str, Sequence[TextPair]],
    clean: CleanConfig = CleanConfig(),  # noqa: B008 - frozen
) -> list[Finding]:
    """Finds test pairs that training has seen: scores on them are too good."""
    findings = []
    for name, count in count_overlap(splits).items():
        if count["either"] > max(2, OVERLAP * count["pairs"]):
            text = (
                f"{_share(count['either'], count['pairs'])} pairs of {name} have their source "
                f"({count['source']:,}) or target ({count['target']:,}) in the training data: "
            )
            if clean.contamination:
                text += "training skips those, and near matches."
            else:
                text += "scores on it will be too good (clean.contamination=true drops them)."
            severity: Severity = "note" if clean.contamination else "warning"
            findings.append(Finding("overlap", severity, text))
    return findings


def _key(line: str) -> str:
    return normalise(line).casefold()
