"""How well translations hold prescribed terms, and what it does to the other words.

    python benchmarks/terms.py FOLDER [--src de] [--lines 1000]

FOLDER has `train.en`, `train.de` and `valid.*` (plain or `.gz`). A term is a word of a valid source
with a noun of its reference that often translates it in the training pairs, each without its
ending; so each sentence has a term of its own, and the reference says which form is right. What a
translation has by itself shows little: the figures are for the sentences that lack their term.
"""

import argparse
import random
import re
import time
from collections import Counter
from pathlib import Path

import sacrebleu

from translator import Terms, Translator
from translator.text.lines import read_lines
from translator.text.terms import lost_terms
from translator.translation.result import Translation

ENDINGS = {"en": ("s", "es"), "de": ("en", "es", "e", "n", "s", "er", "ern")}
LEAST = 5  # times that a form and a pair occur


def read(folder: Path, name: str) -> list[str]:
    """The lines of a split's side."""
    plain = folder / name
    return read_lines(plain if plain.exists() else folder / f"{name}.gz")


def words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text)


def lemma(word: str, language: str, known: Counter[str]) -> str:
    """The shortest form of a word that is known."""
    shorter = [word[: -len(e)] for e in ENDINGS[language] if word.endswith(e)]
    return min([w for w in shorter if len(w) > 3 and known[w] >= LEAST] or [word], key=len)


def mine(
    train: list[tuple[str, str]], valid: list[tuple[str, str]], src: str, tgt: str
) -> list[tuple[int, str, str, str]]:
    """(line of valid, term, its translation, the form of that in the reference)."""
    known = Counter(w for pair in train for text in pair for w in set(words(text)))
    wanted = {w.lower() for source, _ in valid for w in words(source)}
    counts: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    both: Counter[tuple[str, str]] = Counter()
    for source, target in train:
        ours = {w.lower() for w in words(source)} & wanted
        theirs = {w for w in words(target) if len(w) > 3}
        counts.update(ours)
        totals.update(theirs)
        both.update((a, b) for a in ours if len(a) > 3 for b in theirs)
    found = []
    for i, (source, target) in enumerate(valid):
        best = None
        for a in dict.fromkeys(words(source)):
            for b in dict.fromkeys(words(target)[1:]):
                noun = a[0].isupper() if src == "de" else b[0].isupper()
                together = both[a.lower(), b]
                if noun and together >= LEAST:
                    dice = 2 * together / (counts[a.lower()] + totals[b])
                    best = max(best or (0.0, "", ""), (dice, a, b))
        if best and best[0] >= 0.1:
            _, a, b = best
            found.append((i, lemma(a, src, known), lemma(b, tgt, known), b))
    return found


def without(text: str, numbers: set[int]) -> str:
    return " ".join(word for n, word in enumerate(text.split()) if n not in numbers)


def other_words(found: Translation, term: str, language: str) -> str:
    """A translation without the words that translate the term."""
    places = Terms.of({term: "-"}).find(found.source, language)
    first = [len(found.source[: place.start].split()) for place in places]
    own = {t for s, t in found.alignment or [] if any(s == f for f in first)}
    return without(found.text, own)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--src", default="en", choices=["en", "de"])
    parser.add_argument("--lines", type=int, default=1000, help="of valid, by chance")
    args = parser.parse_args()
    src, tgt = args.src, {"en": "de", "de": "en"}[args.src]
    train, valid = (
        list(zip(*(read(args.folder, f"{split}.{side}") for side in (src, tgt)), strict=True))
        for split in ("train", "valid")
    )
    valid = random.Random(1).sample(valid, min(args.lines, len(valid)))
    terms = mine(train, valid, src, tgt)
    translator = Translator.load(src=src, tgt=tgt, device="cpu")
    start = time.monotonic()
    plain = translator.translate_lines([valid[i][0] for i, *_ in terms], alignments=True)
    plain_seconds = time.monotonic() - start
    lacking = []
    for (i, term, form, right), found in zip(terms, plain, strict=True):
        glossary = Terms.of({term: form})
        matches = glossary.find(valid[i][0], src)
        if matches and lost_terms(matches, found.text, tgt):
            lacking.append((i, term, right, glossary, found))
    start = time.monotonic()
    results = [
        translator.translate_lines([valid[i][0]], alignments=True, terms=glossary)[0]
        for i, _, _, glossary, _ in lacking
    ]
    seconds = time.monotonic() - start
    n_used = sum(all(use.used for use in found.terms) for found in results)
    exact = sum(
        any(u.used == row[2] for u in f.terms) for row, f in zip(lacking, results, strict=True)
    )
    print(f"{len(terms)} sentences with a term; {len(lacking)} lack it without a glossary.")
    n = max(len(lacking), 1)
    share = (len(terms) - len(lacking) + n_used) / max(len(terms), 1)
    print(f"With it {n_used} of these have it, in all {share:.1%}.")
    print(f"In the reference's very form: {exact / n:.1%}")
    references = [valid[i][1] for i, *_ in lacking]
    before, after = [row[4] for row in lacking], results
    for name, side in (("without", before), ("with", after)):
        bleu = sacrebleu.corpus_bleu([found.text for found in side], [references])
        others = [other_words(f, row[1], src) for f, row in zip(side, lacking, strict=True)]
        refs = [
            " ".join(w for w in ref.split() if row[2] not in w)
            for ref, row in zip(references, lacking, strict=True)
        ]
        rest = sacrebleu.corpus_bleu(others, [refs])
        print(f"BLEU {name} terms: {bleu.score:.1f}, of the other words {rest.score:.1f}")
    together = plain_seconds / max(len(terms), 1)
    print(f"Seconds a sentence: {together:.2f} in batches, {seconds / n:.2f} alone with its term")
    for (_, term, right, glossary, found), result in list(zip(lacking, results, strict=True))[:12]:
        print(f"  {term} -> {glossary.entries[0].forms[0]} ({right})\n    {found.source}")
        print(f"    {found.text}\n    {result.text}")


if __name__ == "__main__":
    main()
