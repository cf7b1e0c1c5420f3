"""Faults that can be seen in a translation without a reference.

Nothing here corrects a text: a fault is a reason to search again or to warn. Each rule also looks
at the source, since a translation may repeat what the source repeats. The thresholds are chosen so
that hardly any human translation is suspected.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from translator.text.numbers import lost_numbers, shifted_times

LENGTH_RATIO = 2.0  # neither side may have more than this many times the pieces of the other, ...
LENGTH_SLACK = 3  # ... after adding this many to the shorter one: short texts vary more
MAX_NGRAM = 8  # words of the longest phrase to check for repetition
LOOP_REPEATS = 3  # a phrase that is repeated so often in a row is a loop, ...
LONG_NGRAM = 3  # ... or twice in a row if it has at least this many words
SCATTERED_REPEATS = 4  # a phrase that occurs so often anywhere is a loop, ...
SCATTERED_SHARE = 0.4  # ... if it makes up this share of the words
CHARACTER_LOOP = 12  # length from which a repetition of one to eight characters is a loop
EXCUSE = 2  # a repetition in the source allows this many times as many in the translation

RARE_NAME = 0.4  # pieces per letter; common words need fewer
FIRST_NAME = 5  # pieces of the first word of a sentence, if it is a name
CAPITALS_SHARE = 0.5  # of the words; with more, the text is a headline and its capitals say nothing

_ENGLISH_LITTLE_WORDS = """
a an the of in on at to with and or for from by is are was were be it its his her their your our my
this that these as into over under up down out off
"""
_GERMAN_LITTLE_WORDS = """
der die das den dem des ein eine einen einem einer eines und oder mit von zu zum zur im in am an auf
aus bei für über unter vor nach ist sind war
"""
_LITTLE_WORDS = {
    "en": frozenset(_ENGLISH_LITTLE_WORDS.split()),
    "de": frozenset(_GERMAN_LITTLE_WORDS.split()),
}

WORD = re.compile(r"(?!0+\b)\w+")  # without zeros: "3 000 000 000" is no repetition
_LETTERS = re.compile(r"[^\W\d_]+")
_CHARACTER_RUN = re.compile(r"(\D{1,8}?)\1{3,}")


def list_faults(
    source: str,
    translation: str,
    src_pieces: int,
    tgt_pieces: int,
    names: Iterable[str] = (),
) -> list[str]:
    """The faults of a translation: only "empty", or any of "loop", "length", "numbers", "names".

    Args:
        source: the text that was translated.
        translation: the result.
        src_pieces: number of pieces of the source.
        tgt_pieces: number of pieces of the translation.
        names: words of the source that the translation must contain, see `find_rare_names`.
    """
    if is_empty(source, translation):
        return ["empty"]
    found = {
        "loop": is_loop(source, translation),
        "length": is_out_of_proportion(src_pieces, tgt_pieces),
        "numbers": bool(lost_numbers(source, translation) or shifted_times(source, translation)),
        "names": bool(find_lost_names(names, translation)),
    }
    return [name for name, is_there in found.items() if is_there]


def is_empty(source: str, translation: str) -> bool:
    """Whether words became nothing, or nothing but punctuation."""
    return any(map(str.isalnum, source)) and not any(map(str.isalnum, translation))


def is_out_of_proportion(src_pieces: int, tgt_pieces: int) -> bool:
    """Whether a translation is far longer or far shorter than its source."""
    shorter, longer = sorted((src_pieces, tgt_pieces))
    return longer > LENGTH_RATIO * (shorter + LENGTH_SLACK)


def is_loop(source: str, translation: str) -> bool:
    """Whether a translation repeats a phrase far more often than its source repeats one."""
    src_words, words = (WORD.findall(text.casefold()) for text in (source, translation))
    return (
        _is_loop_in_a_row(src_words, words)
        or _is_scattered_loop(src_words, words)
        or _longest_run(translation) >= max(CHARACTER_LOOP, EXCUSE * _longest_run(source) + 1)
    )


def _is_loop_in_a_row(src_words: Sequence[str], words: Sequence[str]) -> bool:
    excused = _most_in_a_row(src_words, 1, MAX_NGRAM)
    allowed = EXCUSE * excused if excused > 1 else 1
    return (
        _most_in_a_row(words, 1, LONG_NGRAM - 1) >= max(LOOP_REPEATS, allowed + 1)
        or _most_in_a_row(words, LONG_NGRAM, MAX_NGRAM) > allowed
    )


def _is_scattered_loop(src_words: Sequence[str], words: Sequence[str]) -> bool:
    for n in range(1, LONG_NGRAM + 1):
        count = _most_frequent(words, n)
        often = count >= SCATTERED_REPEATS and count * n >= SCATTERED_SHARE * len(words)
        if often and count > EXCUSE * _most_frequent(src_words, n):
            return True
    # A phrase of this length occurs twice only if the text is doubled, as the source may be.
    return _most_frequent(words, MAX_NGRAM) > 1 >= _most_frequent(src_words, MAX_NGRAM // 2)


def _most_in_a_row(words: Sequence[str], shortest: int, longest: int) -> int:
    """How often in a row a phrase of `shortest` to `longest` words occurs, at most."""
    most = 1
    for n in range(shortest, longest + 1):
        same = 0  # words in a row that equal the word n before
        for before, word in zip(words, words[n:], strict=False):
            same = same + 1 if word == before else 0
            most = max(most, same // n + 1)
    return most


def _most_frequent(words: Sequence[str], n: int) -> int:
    """How often the most frequent phrase of n words occurs."""
    phrases = Counter(zip(*(words[i:] for i in range(n)), strict=False))
    return max(phrases.values(), default=0)


def _longest_run(text: str) -> int:
    return max((len(match[0]) for match in _CHARACTER_RUN.finditer(text)), default=0)


def find_rare_names(text: str, n_pieces: Callable[[str], int]) -> list[tuple[int, int]]:
    """The spans of names in an English text that the vocabulary has hardly seen.

    Such a name is a capitalised word that takes many short pieces to spell, with its capital or
    without. The first word of a sentence is always capitalised, and three of four first words with
    three or four pieces are common words (Hello, Whose, Suddenly), so it must have more. (German
    capitalises all nouns, and spells rare ones like names.)

    Args:
        text: a sentence.
        n_pieces: counts the pieces of a word.
    """
    words = list(_LETTERS.finditer(text))
    capitals = [match[0][0].isupper() for match in words]
    if sum(capitals[1:]) > CAPITALS_SHARE * len(capitals[1:]):
        return []
    found = []
    for n, match in enumerate(words):
        word = match[0]
        if capitals[n] and len(word) > 2 and not word.isupper():
            pieces = min(n_pieces(word), n_pieces(word.lower()))
            if pieces >= max(RARE_NAME * len(word), 2 if n else FIRST_NAME):
                found.append(match.span())
    return found


def find_lost_names(names: Iterable[str], translation: str) -> list[str]:
    """The names that a translation lacks, whatever their case or ending."""
    return [name for name in names if name.casefold() not in translation.casefold()]


def is_in_capitals(text: str) -> bool:
    """Whether a text is all capitals and has two or more words: one may be an abbreviation."""
    words = (word for word in _LETTERS.findall(text) if len(word) > 1)
    # ß stays: hardly anyone writes its capital.
    return text.replace("ß", "").isupper() and sum(word.lower() != word for word in words) > 1


def lower_heading(text: str, language: str) -> str:
    """Lowers the meaningless capitals of a heading In Title Case; any other text stays as it is.

    A text is a heading if every word is capitalised, even little ones, which are never names. In
    English all its capitals then mean nothing; in German only little words are lowered, since
    nouns keep theirs.
    """
    little = _LITTLE_WORDS.get(language)
    words = [*_LETTERS.finditer(text)]
    if not little or len(words) < 3 or not all(word[0][0].isupper() for word in words):
        return text
    if not any(word[0].lower() in little for word in words[1:]):
        return text
    plain = list(text)
    for word in words[1:]:
        certain = language == "en" or word[0].lower() in little
        if certain and word[0] != "I" and not (len(word[0]) > 1 and word[0].isupper()):
            plain[word.start()] = word[0][0].lower()
    return "".join(plain)
