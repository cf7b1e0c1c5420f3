"""Spans of a text that no translation may change, and numbers that are written in another way.

Placeholders, code, paths, addresses and keys mean what they mean letter by letter: a model that
spells them again can only spoil them. They travel as copy placeholders (translator/text/codec.py).
"""

import re
from dataclasses import dataclass

# An address ends before the mark that ends its sentence.
_ADDRESS = r"(?:https?://|ftp://|www\.)[^\s<>\"`]*[^\s<>\"`.,;:!?)\]'*_|]"
_MAIL = r"[\w.+-]+@[\w-]+\.[\w.-]*\w"
_KEYCAP = r"[0-9#*]\ufe0f?\u20e3"
_CODE = r"(?<!`)(?P<ticks>`{1,3})(?!`)(?:.|\n)+?(?<!`)(?P=ticks)(?!`)"
_TEMPLATE = (
    r"<%(?:[^%]|%(?!>)){0,400}%>|<\?(?:[^?]|\?(?!>)){0,400}\?>"  # <%= x %>, <?= $x ?>
    r"|\{%(?=[-+\s\w])[^{}]{1,400}?%\}|\[%(?=[-+\s\w])[^\[\]]{1,400}?%\]"  # {% if x %}, [% x %]
)
_EMOJI = r"[\u231a-\u23ff\u25b6\u25c0\u2600-\u27bf\u2b05-\u2b55\U0001f000-\U0001faff]"
_EMOJIS = rf"{_EMOJI}(?:{_EMOJI}|[\u200d\ufe0e\ufe0f\U000e0020-\U000e007f])*"
_INNER_BRACES = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"
_BRACES = (
    r"\$?\{\{\{?[^{}]+\}?\}\}"  # {{x.y}}
    r"|[$#%]\{[^{}\s]+\}"  # ${VAR}
    rf"|\{{\s*[\w.$\[\]-]*\s*(?:,(?:[^{{}}]|{_INNER_BRACES})*|[:!][^{{}}\s]*)?\}}"  # {n}, ICU
)
_PRINTF = (
    r"(?<![\w%])%(?:"
    r"\(\w+\)[-+#0]*\d*(?:\.\d+)?[a-zA-Z]"  # %(name)s
    r"|(?:\d+\$)?[-+#0]*\d*(?:\.\d+)?(?:hh?|ll?|z)?[sdiufFeEgGxXcn@]"  # %s, %1$s, %.2f
    r"|[A-Za-z_]\w*%|\d{1,2}"  # %name%, %1
    r")(?!\w)"
)
_VARIABLE = (
    r"\$[A-Za-z_]\w*|(?<![\w$])\$\d(?![\w%]|[.,]\d|\s[mbt]r?illion)|(?<![\w:/]):[a-z_]\w+:?(?!\w)"
)
_ENTITY = (
    r"\w*&[A-Za-z]{1,2}(?:acute|grave|uml|circ|tilde|cedil|ring|slash|lig);(?:\w|&\w+;)*"
    r"|&(?:amp;)*(?:[A-Za-z][A-Za-z0-9]{1,30}|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});"
)
_NAMED = r"(?<![\w@.])@[A-Za-z_](?:[\w.-]*\w)?|(?<![\w&#])#\w+"
_FILE_TYPES = (
    "pdf docx? xlsx? pptx? txt csv tsv json ya?ml xml html? css js ts py rb rs go java cpp sh md "
    "png jpe?g gif svg webp mp[34] wav zip gz tar exe dll log ini cfg toml po srt vtt"
)
_PATH = (
    r"(?<![\w/])(?:~|\.{1,2})?/(?:[\w.@+-]+/)+[\w.@+-]*\w/?"  # /usr/bin/env, ./run/it
    r"|(?<![\w/])(?:~|\.{1,2})/[\w.@+-]*\w"
    r"|(?<!\w)[A-Za-z]:\\(?:[^\\/:*?\"<>|\s]+(?: [^\\/:*?\"<>|\s]+){0,3}\\)*[^\\/:*?\"<>|\s]*[\w~]"
    rf"|(?<![\w./-])(?:[\w-]+/)*[\w-]+(?:\.[\w-]+)*\.(?:{'|'.join(_FILE_TYPES.split())})(?![\w-])"
    r"|(?<!\S)--[a-z][\w-]+(?:=[^\s.,;]+)?"
)
_DOMAIN = (
    r"(?<![\w.@-])(?:[a-z0-9-]+\.)+(?:com|org|net|de|at|ch|eu|io|edu|gov|info)(?:/\S*\w)?(?!\w)"
)
_IDENTIFIER = (
    r"(?<![\w.])[A-Za-z_][\w.]*\(\)"  # call()
    r"|(?<!\w)[A-Za-z]\w*_\w+(?!\w)"  # snake_case
    r"|(?<!\w)__(?:all|call|class|dict|doc|enter|exit|file|init|iter|len|main|name|new|str)__(?!\w)"
    r"|(?<!\w)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?!\w)"
    r"|(?<!\w)(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{7,64}(?!\w)"  # a hash
    r"|(?<![\w-])(?=[A-Z0-9-]*[0-9])(?=[A-Z0-9-]*[A-Z])[A-Z0-9]+(?:-[A-Z0-9]+)+(?!\w)"  # AB-12-X
    r"|(?<!\w)[A-Za-z]+[0-9][A-Za-z0-9]*(?!\w)"  # q7, CO2
    r"|(?<!\w)[0-9]+[A-Za-z]+[0-9][A-Za-z0-9]*(?!\w)"  # 2x4, 9f2K
    r"|(?<![\w-])[A-Za-z]\w*(?:-\w+)*-(?=[a-zA-Z]*\d)(?=\d*[a-zA-Z])\w{8,}(?!\w)"  # sk-a1b2c3d4
    r"|(?<!\w)(?!https?(?!\w))[b-df-hj-np-tv-xz]{5,}(?!\w)"  # sdfghjkl
    r"|(?<!\w)(?P<letter>[^\W\d_])(?P=letter){2,}(?!\w)"  # zzzzzz
)
_FIGURES = (
    r"(?<![\w.,])\+\d{1,3}[ /-]?(?:\(0\)[ ]?)?\d[\d /-]{4,}\d(?!\w)"  # +49 30 1234567
    r"|(?<![\w.,-])\d+(?:[.,:]\d+)*(?:[-–—/]\d+(?:[.,:]\d+)*)+(?![\w.,]*\d)"  # 10-20, 1/2, ISBN
    r"|(?<![^\s(\[\"'„“])[-+−±]\d+(?![\w.,]*\d)"  # -5
    r"|(?:(?<=\b[Aa]m )|(?<=\b(?:[Vv]om|[Bb]is|[Zz]um) ))"  # the date in "am 3.4."
    r"\d{1,2}\.\d{1,2}(?:\.(?=\s+[a-zäöü(\d]))?(?![\d,]|\.\d)"
    r"|(?<![\w.,])(?!\d{1,3}(?:\.\d{3})+(?!\w|\.\w))"  # no German thousands, ...
    r"v?\d+(?:\.\d+){2,}(?:-?[a-z]+\.?\d*)?(?!\w)"  # ... but a version, or a date
)

_SPANS = re.compile(
    "|".join(
        [
            *[_ADDRESS, _MAIL, _KEYCAP, _CODE, _TEMPLATE, _BRACES, _PRINTF, _ENTITY, _PATH],
            *[_DOMAIN, _NAMED, _VARIABLE, _IDENTIFIER, _FIGURES, _EMOJIS, r"\.{4,}"],
        ]
    )
)
_MAY_HOLD = re.compile(
    rf"[0-9@#`{{}}%$&/\\_]|[.:]\w|\(\)|<\?|\.{{4}}|--|([^\W\d_])\1\1|[b-df-hj-np-tv-xz]{{5}}|{_EMOJI}"
)

_SIGN = r"(?P<sign>(?<![^\s(\[\"'„“])[-+−±])?"
_CURRENCY = r"[$€£¥]"
_CURRENCY_WORDS = {
    "$": "USD\\b|dollar",
    "€": "EUR\\b|euros?\\b",
    "£": "GBP\\b|pounds?\\b|pfund",
    "¥": "JPY\\b|CNY\\b|yen\\b|yuan\\b",
}
_CURRENCIES = {
    sign: re.compile(rf"{re.escape(sign)}|\b(?:{words})", re.IGNORECASE)
    for sign, words in _CURRENCY_WORDS.items()
}
_MENTIONS = {  # also in other words: "Eurozone", "5-lb"
    sign: re.compile(rf"{re.escape(sign)}|\b(?:{words})", re.IGNORECASE)
    for sign, words in (
        _CURRENCY_WORDS
        | {"€": r"EUR\b|euro(?!p)", "£": r"GBP\b|pound|pfund|lbs?\b", "¥": r"JPY\b|CNY\b|yen|yuan"}
    ).items()
}
_ANY_CURRENCY = f"[$€£¥]|\\b(?:{'|'.join(_CURRENCY_WORDS.values())})"
_UNIT = (
    r"(?:%|‰|°|[$€£¥]|(?:[kcm]?m²?|[km]?g|[mc]?l|k[Wm]h?|[kMGT]B|[GM]?Hz|EUR|USD|GBP|CHF|"
    r"[Mm]illi(?:on|ard)\w*|[Bb]illion\w*|Mio|Mrd|percent|Prozent|euros?|Euro|dollars?|Dollar|"
    r"kilometers?|Kilometer|meters?|Meter|kilos?|Kilo|degrees|Grad|hours?|Stunden?)\b)"
)
_NUMBER = {
    # Thousands are certain, and so are decimals where something is measured.
    "en": (r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+|\d+", ",", "."),
    "de": (r"\d{1,3}(?:\.\d{3})+(?:,\d+)?|\d+,\d+|\d+", ".", ","),
}
_FIGURE = {
    language: re.compile(
        rf"(?<![\w.,:/]){_SIGN}(?P<before>{_CURRENCY}\s?)?(?P<number>{number})"
        rf"(?![\d\w]|[.,:/-]\d){even}(?P<unit>(?=\s?{_UNIT}))?"
        rf"(?P<after>\s?{_CURRENCY}|(?P<code>\s?(?:USD|EUR|GBP|CHF)\b))?"
    )
    for language, (number, _, _) in _NUMBER.items()
    for even in [r"(?P<even>[.,](?:--?|[–—])(?!\w))?" if language == "de" else "(?P<even>(?!))?"]
}


@dataclass(frozen=True)
class Span:
    """A part of a text that is carried over; `written` is what stands for it in the translation."""

    start: int
    end: int
    text: str
    written: str


def protected_spans(text: str) -> list[tuple[int, int]]:
    """Where the spans stand that must come out as they are; in order, apart."""
    if not _MAY_HOLD.search(text):  # most sentences
        return []
    return [match.span() for match in _SPANS.finditer(text)]


def rewritten_numbers(text: str, src: str, tgt: str) -> list[Span]:
    """The numbers whose form in the language `tgt` is certain, and differs: 1,234.5 is 1.234,5.

    A decimal alone (3.5) may be a version or a time: it is certain only beside a sign, a currency
    or a unit. A currency mark goes to the other side of its number, of a whole one too. The dash in
    the German 99,- is left out.
    """
    if {src, tgt} != {"en", "de"} or not re.search(
        r"\d[.,](?:\d|[-–—])|[$€£¥]\s?\d|\d\s?[$€£¥]", text
    ):
        return []
    _, thousands, decimal = _NUMBER[src]
    found = []
    for match in _FIGURE[src].finditer(text):
        number, before, after = match["number"], match["before"], match["after"]
        measured = any(match[name] is not None for name in ("sign", "before", "unit", "after"))
        even = measured and match["even"]
        if number.isdigit() and before is None and not (after or "").strip() and not even:
            continue
        if thousands not in number and not measured and src == "en":
            continue
        swapped = number.translate(str.maketrans(thousands + decimal, decimal + thousands))
        written, start, end = (
            swapped,
            match.start("number"),
            match.end("even" if even else "number"),
        )
        if before and tgt == "de":
            written, start = f"{swapped} {before.strip()}", match.start("before")
        elif match["code"]:
            written, end = swapped + after, match.end("after")
        elif after and tgt == "en":
            written, end = f"{after.strip()}{swapped}", match.end("after")
        if match["sign"]:
            written, start = match["sign"] + written, match.start("sign")
        found.append(Span(start, end, text[start:end], written))
    return found


def has_number(text: str, span: Span, tgt: str) -> bool:
    """Whether a translation has the new form of a number, and its currency.

    Thousands may be grouped in any way, and the currency be a sign, a code or a word. A whole
    number may be in words, but not beside another currency. The dash in the German 99,- is no part
    of the new form.
    """
    own = [pattern for sign, pattern in _CURRENCIES.items() if pattern.search(span.text)]
    if not all(pattern.search(text) for pattern in own):
        return False
    number = re.search(r"\d(?:[\d.,]*\d)?", span.written)
    assert number
    dash = rf"[-–—]|\s[-–—]+\s?(?:{_ANY_CURRENCY})"
    kept = rf"(?<![\d.,]){re.escape(number[0])}[.,](?:{dash})"
    if re.search(r"[.,][-–—]", span.text) and re.search(kept, text, re.IGNORECASE):
        return False
    marks = re.escape(_NUMBER[tgt][1]) + r"'’ \u00a0\u202f"
    grouped = re.compile(rf"(?<=\d)[{marks}](?=\d{{3}}(?!\d))")
    plain = re.escape(grouped.sub("", number[0]))
    places = [
        *re.finditer(
            rf"(?P<before>(?:{_ANY_CURRENCY})\s?)?(?<![\d.,]){plain}(?![.,]?\d)"
            rf"(?P<after>\s?(?:US-)?(?:{_ANY_CURRENCY}))?",
            grouped.sub("", text),
            re.IGNORECASE,
        )
    ]
    if not places:
        return number[0].isdigit()
    return not own or any(
        not (match["before"] and match["after"])  # one currency is enough
        and (
            not (beside := match["before"] or match["after"])
            or any(pattern.search(beside) for pattern in own)
        )
        for match in places
    )


def changed_currency(source: str, translation: str) -> bool:
    """Whether a text with currencies is translated with one that it does not hold."""
    if not re.search(_ANY_CURRENCY, source, re.IGNORECASE):  # most sentences
        return False
    held = {sign for sign, pattern in _MENTIONS.items() if pattern.search(source)}
    said = {sign for sign, pattern in _CURRENCIES.items() if pattern.search(translation)}
    return not said <= held
