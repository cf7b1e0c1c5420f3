"""Faults that can be seen in a translation, or in many of them, without a second opinion.

Nothing here corrects a text: a fault is a reason to search again or to warn. Each rule looks at
the source too, since what is repeated or short there may be so in the translation. Thresholds were
chosen so that next to no human translation is suspected.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from translator.text.numbers import lost_afternoons, lost_numbers

LENGTH_RATIO = 2.0  # of pieces: no side is longer than the other by more, ...
LENGTH_SLACK = 3  # ... not counting this many, so that short texts are free
MAX_NGRAM = 8  # words of the longest phrase whose repetition is looked for
LOOP_REPEATS = 3  # times in a row that make a phrase a loop, ...
LONG_NGRAM = 3  # ... but twice if it has so many words
SCATTERED_REPEATS = 4  # a phrase that often, not in a row, is a loop, ...
SCATTERED_SHARE = 0.4  # ... if this share of the words is in it
CHARACTER_LOOP = 12  # characters that one to eight characters, over and over, make a loop
EXCUSE = 2  # what the source repeats may be repeated this many times as often

RARE_NAME = 0.4  # pieces per letter: so strangely is a word spelt that no common word is
FIRST_NAME = 5  # pieces of the first word of a sentence, if it is a name
CAPITALS_SHARE = 0.5  # of the words: a headline, whose capitals mean nothing

_ENGLISH_LITTLE_WORDS = (
    "a an the of in on at to with and or for from by is are was were be it its his her their your "
    "our my this that these as into over under up down out off"
)
_GERMAN_LITTLE_WORDS = (
    "der die das den dem des ein eine einen einem einer eines und oder mit von zu zum zur im in am "
    "an auf aus bei für über unter vor nach ist sind war"
)
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

WORD = re.compile(r"(?!0+\b)\w+")  # 3 000 000 000 repeats nothing
_LETTERS = re.compile(r"[^\W\d_]+")
_CHARACTER_RUN = re.compile(r"(\D{1,8}?)\1{3,}")


def faults(
    source: str,
    translation: str,
    src_pieces: int,
    tgt_pieces: int,
    names: Iterable[str] = (),
) -> list[str]:
    """What is wrong with a translation: "empty" alone, or "loop", "length", "numbers", "names".

    Args:
        source: the text that was translated.
        translation: the result.
        src_pieces: how many pieces the source has.
        tgt_pieces: how many pieces the translation has.
        names: words of the source that a translation has too, see `rare_names`.
    """
    if is_empty(source, translation):
        return ["empty"]
    found = {
        "loop": is_loop(source, translation),
        "length": is_out_of_proportion(src_pieces, tgt_pieces),
        "numbers": bool(lost_numbers(source, translation) or lost_afternoons(source, translation)),
        "names": bool(lost_names(names, translation)),
    }
    return [name for name, is_there in found.items() if is_there]


def is_empty(source: str, translation: str) -> bool:
    """Did words become nothing, or nothing but punctuation?"""
    return any(map(str.isalnum, source)) and not any(map(str.isalnum, translation))


def is_out_of_proportion(src_pieces: int, tgt_pieces: int) -> bool:
    """Is a translation far longer or far shorter than its source?"""
    shorter, longer = sorted((src_pieces, tgt_pieces))
    return longer > LENGTH_RATIO * (shorter + LENGTH_SLACK)


def is_loop(source: str, translation: str) -> bool:
    """Does a translation repeat a phrase far more often than its source repeats one?"""
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
    # So long a phrase twice is a text said twice, but perhaps the source says half of it twice.
    return _most_frequent(words, MAX_NGRAM) > 1 >= _most_frequent(src_words, MAX_NGRAM // 2)


def _most_in_a_row(words: Sequence[str], shortest: int, longest: int) -> int:
    """How many times in a row a phrase of so many words is said."""
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


def rare_names(text: str, n_pieces: Callable[[str], int]) -> list[tuple[int, int]]:
    """Where an English text has names that a vocabulary has hardly seen.

    That is a word with a capital that is spelt in short pieces, whether with its capital or
    without. The first word has a capital anyway, and three of four that are spelt in three or four
    pieces are common words (Hello, Whose, Suddenly): it must have more. (In German all nouns have
    capitals, and rare ones are spelt as names are.)

    Args:
        text: a sentence.
        n_pieces: how many pieces spell a word.
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


def lost_names(names: Iterable[str], translation: str) -> list[str]:
    """The names that a translation does not have, in any case or with any ending."""
    return [name for name in names if name.casefold() not in translation.casefold()]


def is_in_capitals(text: str) -> bool:
    """Whether all of it is, and it has two words at least, for one may be an abbreviation."""
    words = (word for word in _LETTERS.findall(text) if len(word) > 1)
    # ß has a capital that few write.
    return text.replace("ß", "").isupper() and sum(word.lower() != word for word in words) > 1


def plain_heading(text: str, language: str) -> str:
    """A heading In Title Case without the capitals that mean nothing; any other text as it is.

    Only little words are certain, which no name is; where the first of them have capitals and so
    has every word, all words of an English heading have them for no reason. A German noun keeps
    its own.
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
