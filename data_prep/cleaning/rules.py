"""What can be wrong with one pair of lines: a table of rules, each a pure function.

`repair` comes first: it fixes what can be fixed for certain. The thresholds in `CleanConfig` were
chosen on the training parts of Multi30k and the WMT news.
"""

import hashlib
import html
import math
import re
from collections import Counter
from collections.abc import Callable
from functools import cache

from translator.config.schema import CleanConfig
from translator.text.codec import normalise
from translator.text.language import identify
from translator.text.numbers import lost_numbers

Languages = tuple[str, str]  # of source and target
Rule = Callable[[str, str, CleanConfig, Languages], bool]

# --- repair -----------------------------------------------------------------------------------

# Invisible and useless: byte order mark, zero-width space, soft hyphen, marks of direction.
_INVISIBLE = "\ufeff\u200b\u00ad\u2060\u200e\u200f" + "".join(
    map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)])
)
_REPLACEMENTS: dict[int, str | None] = dict.fromkeys(map(ord, _INVISIBLE))
_REPLACEMENTS |= dict.fromkeys(map(ord, "\r\n\v\f\u2028\u2029"), " ")  # a pair is one line
# Windows-1252 that was read as Latin-1, which HTML prescribes to read as Windows-1252.
_REPLACEMENTS |= {
    byte: bytes([byte]).decode("cp1252")
    for byte in range(0x80, 0xA0)
    if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}
MAX_REPAIRED = 20_000  # characters; a longer line is not a sentence, and may have megabytes
_ENTITY = re.compile(r"&(?:[a-zA-Z]{2,8}|#\d{1,6}|#x[0-9a-fA-F]{1,5});")
# The characters of normal Western European text. Only other lines are checked by ftfy, which is
# slow.
_USUAL = re.compile(r"[\t\x20-\x7eäöüÄÖÜßéèêëáàóòíúçñïôž\xa0„“”‚‘’–—…«»‹›´°§£€½²]*")
# UTF-8 that was read as Latin-1 or Windows-1252 and written as UTF-8 again: "Ã¼", "â€œ".
_GARBLED = re.compile(
    r"Ã[\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|â€[\x80-\xbf™œ“”˜¦ž]|Â[\xa0-\xbf]|\ufffd"
)


@cache
def _fix_encoding() -> Callable[[str], str]:
    try:
        from ftfy import fix_encoding
    except ImportError:
        return lambda line: line
    return fix_encoding


def repair(line: str) -> str:
    """Fixes what can be fixed for certain in a line; most lines do not change.

    That is HTML entities, invisible characters, line ends other than "\\n", Windows-1252 in Latin-1
    and, if ftfy is installed, wrongly decoded text. Lines above `MAX_REPAIRED` stay unchanged.
    """
    if len(line) > MAX_REPAIRED:
        return line
    if "&" in line and _ENTITY.search(line):
        line = html.unescape(line)
    if not (line.isascii() and line.isprintable()) and not _USUAL.fullmatch(line):
        line = (line if line.isascii() else _fix_encoding()(line)).translate(_REPLACEMENTS)
    return line.strip()


# --- rules ------------------------------------------------------------------------------------


def empty(src: str, tgt: str, config: CleanConfig, languages: Languages) -> bool:
    """A side without text."""
    return config.empty and not (src.strip() and tgt.strip())


def too_long(src: str, tgt: str, config: CleanConfig, languages: Languages) -> bool:
    """A side of more than `max_characters`, or `max_words`."""
    characters = max(len(src), len(tgt))
    if config.max_characters and characters > config.max_characters:
        return True
    if not config.max_words or characters < 2 * config.max_words:
        return False
    return max(len(src.split()), len(tgt.split())) > config.max_words


# Control characters, private use, and non-characters.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff"
    r"\U000f0000-\U0010ffff]"
)


def control_characters(src: str, tgt: str, config: CleanConfig, languages: Languages) -> bool:
    """`control` or more control characters: this is not text."""
    if not config.control or (src.isprintable() and tgt.isprintable()):
        return False
    return len(_CONTROL.findall(src)) + len(_CONTROL.findall(tgt)) >= config.control


def is_garbled(line: str) -> bool:
    """Whether a line was decoded with a wrong encoding once, or lost letters in it."""
    return not line.isascii() and _GARBLED.search(line) is not None


def garbled(src: str, tgt: str, config: CleanConfig, languages: Languages) -> bool:
    """Text in a broken encoding that `repair` could not fix."""
    return config.garbled and (is_garbled(src) or is_garbled(tgt))


_NO_LETTERS = bytes(byte for byte in range(256) if not chr(byte).isalpha() or byte > 127)


def _few_letters(line: str, least: float) -> bool:
    least *= len(line) - line.count(" ")
    if len(line.encode("utf-8", "replace").translate(None, _NO_LETTERS)) >= least:
        return False
    return sum(map(str.isalpha, line)) < least


def too_few_letters(src: str, tgt: str, config: CleanConfig, languages: Languages) -> bool:
    """Letters are less than `min_letters` of the visible characters of a side."""
    return _few_letters(src, config.min_letters) or _few_letters(tgt, config.min_letters)


def copied(src: str, tgt: str, config: CleanConfig, languages: Languages) -> bool:
    """The same text on both sides, of `copied_words` or more: fewer may be a name."""
    if not config.copied_words or abs(len(src) - len(tgt)) > 0.1 * len(src) + 10:
        return False
    return near_key(src) == near_key(tgt) and len(src.split()) >= config.copied_words


_ADDRESS = re.compile(r"(?:https?://|www\.)[^\s<>\"]+|[\w.+-]+@[\w-]+\.[\w.-]+")


def _addresses(line: str) -> set[str]:
    if "@" not in line and "//" not in line and "www." not in line:
        return set()
    found = (match.casefold().rstrip(".,;:!?)]'/") for match in _ADDRESS.findall(line))
    return {re.sub(r"^(?:https?://)?(?:www\.)?", "", address) for address in found}


def url_mismatch(src: str, tgt: str, config: CleanConfig, languages: Languages) -> bool:
    """`urls` or more web or mail addresses occur on one side only."""
    return config.urls > 0 and len(_addresses(src) ^ _addresses(tgt)) >= config.urls


_NUMBER = re.compile(r"[0-9]+(?:[.,:/' \xa0-][0-9]+)*")
# Units that translators convert.
_MEASURES = re.compile(r"\b(?:foot|feet|miles?|mph|acres?|inch|yards?|degrees?)\b|[0-9]mph")


def number_mismatch(src: str, tgt: str, config: CleanConfig, languages: Languages) -> bool:
    """`numbers` or more numbers on each side are missing on the other, however written."""
    if not config.numbers or not (numbers := _NUMBER.findall(src)):
        return False
    others = _NUMBER.findall(tgt)
    if not others or sorted(numbers) == sorted(others):
        return False
    if any(_MEASURES.search(line.casefold()) for line in (src, tgt)):
        return False
    lost = lost_numbers(src, tgt), lost_numbers(tgt, src)
    return min(map(len, lost)) >= config.numbers


_TAG = re.compile(r"<(/?)([a-zA-Z][\w:-]*)([^<>]*)>")
_CUT_TAG = re.compile(r"</?[a-zA-Z][\w:-]*(?:\s[^<>]*=[^<>]*)?(?:$|<)|<[a-zA-Z][\w:-]*\s*/?$")
_NEVER_CLOSED = {"br", "hr", "img", "input", "link", "meta", "wbr", "bpt", "ept", "ph", "it", "x"}


def _tags(line: str) -> tuple[Counter[str], int]:
    """The names of the tags of a line, and how many of them are unpaired."""
    names: Counter[str] = Counter()
    open_now: Counter[str] = Counter()
    for slash, name, rest in _TAG.findall(line) if "<" in line else ():
        names[slash + name] += 1
        if name not in _NEVER_CLOSED and not rest.endswith("/"):
            open_now[name] += -1 if slash else 1
    return names, sum(map(abs, open_now.values()))


def unbalanced_markup(src: str, tgt: str, config: CleanConfig, languages: Languages) -> bool:
    """`markup` or more tags that are on one side only, unpaired or cut off, or brackets that one
    side does not close."""
    if not config.markup:
        return False
    faults = sum(
        abs((src.count(a) - src.count(b)) - (tgt.count(a) - tgt.count(b)))
        for a, b in ("()", "[]", "{}")
    )
    if "<" in src or "<" in tgt:
        (src_names, src_open), (tgt_names, tgt_open) = _tags(src), _tags(tgt)
        faults += (src_names - tgt_names).total() + (tgt_names - src_names).total()
        faults += src_open + tgt_open + len(_CUT_TAG.findall(src)) + len(_CUT_TAG.findall(tgt))
    return faults >= config.markup


def repeated(src: str, tgt: str, config: CleanConfig, languages: Languages) -> bool:
    """One side repeats its `repeated_words` or more words, the other does not."""
    return config.repeated_words > 0 and (
        _words_twice(src) >= config.repeated_words > _words_twice(tgt)
        or _words_twice(tgt) >= config.repeated_words > _words_twice(src)
    )


def _words_twice(line: str) -> int:
    half = len(line) // 2
    if line[:half] != line[len(line) - half :]:
        return 0
    return len(line[:half].split())


# How long text is in a language, compared with English, in characters: WMT news 1.11, Multi30k 1.14
_LENGTHS = {"de": 1.12}
# Short lines vary more, as if by this many characters.
_SPREAD = 50


def badly_proportioned(src: str, tgt: str, config: CleanConfig, languages: Languages) -> bool:
    """One side is much longer than the other one.

    The log ratio of the lengths has a spread of `v * sqrt(1 + _SPREAD / length)` (compare Gale and
    Church 1993); `max_ratio` is the limit for very long lines.
    """
    if not config.max_ratio or not src or not tgt:
        return False
    n_src = len(src) / _LENGTHS.get(languages[0], 1.0)
    n_tgt = len(tgt) / _LENGTHS.get(languages[1], 1.0)
    limit = math.log(config.max_ratio) * math.sqrt(1 + _SPREAD / min(n_src, n_tgt))
    return abs(math.log(n_tgt / n_src)) > limit


_IDENTIFIED = ("en", "de")


def wrong_language(src: str, tgt: str, config: CleanConfig, languages: Languages) -> bool:
    """A side of `language_words` or more words is in a wrong language, or both sides are."""
    if not config.language_words:
        return False
    wrong = [
        language in _IDENTIFIED and identify(line) not in (language, None)
        for line, language in zip((src, tgt), languages, strict=True)
    ]
    return all(wrong) or any(
        is_wrong and len(line.split()) >= config.language_words
        for is_wrong, line in zip(wrong, (src, tgt), strict=True)
    )


# In the order of application: cheap and most specific ones first.
RULES: dict[str, Rule] = {
    "empty": empty,
    "too long": too_long,
    "control characters": control_characters,
    "broken encoding": garbled,
    "too few letters": too_few_letters,
    "copied source": copied,
    "repeated text": repeated,
    "unbalanced markup": unbalanced_markup,
    "URL mismatch": url_mismatch,
    "wrong language": wrong_language,
    "length ratio": badly_proportioned,
    "number mismatch": number_mismatch,
}


def find_fault(
    pair: tuple[str, str], config: CleanConfig, languages: Languages = ("en", "de")
) -> str | None:
    """The name of the first rule that a pair breaks, or None; the pair should be repaired first."""
    src, tgt = pair
    for name, rule in RULES.items():
        if rule(src, tgt, config, languages):
            return name
    return None


# --- what makes a duplicate -------------------------------------------------------------------

_PLAIN = bytes(ord("0") if chr(byte).isdigit() and byte < 128 else byte for byte in range(256))
_MARKS = bytes(byte for byte in range(128) if not chr(byte).isalnum())
_MORE_MARKS = re.compile(rb"\xc2[\x80-\xbf]|\xe2[\x80\x81][\x80-\xbf]")


def near_key(line: str) -> bytes:
    """The letters of a line without case, and each digit as 0, which near duplicates share."""
    folded = line.casefold().encode("utf-8", "replace").translate(_PLAIN, _MARKS)
    return folded if folded.isascii() else _MORE_MARKS.sub(b"", folded)


def pair_key(src: str, tgt: str, near: bool = True) -> int:
    """A signed 64-bit key that equal pairs share; with `near` also pairs that differ only in case,
    punctuation or digits."""
    sides = (
        (near_key(src), near_key(tgt))
        if near
        else (normalise(src).encode(), normalise(tgt).encode())
    )
    digest = hashlib.blake2b(b"\n".join(sides), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
