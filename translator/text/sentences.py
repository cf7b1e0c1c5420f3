"""Where one sentence ends and the next begins, in English and German.

A model reads one sentence at a time, as it was trained; a text of several is cut here. A cut that
is missing costs little, a wrong one tears a sentence apart: what is doubtful stays whole.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

_EMOJI = "\u2600-\u27bf\u200d\ufe0f\U0001f000-\U0001faff"
# A mark at the end of a word, with the quotes, brackets and emoji that close after it.
_END = re.compile(rf"([.!?…‽。！？؟।]+)([\"'”“’‘»«›‹)\]}}]*)[{_EMOJI}]*$")
# What stands alone and belongs to the sentence before it: emoji, emoticons, closing marks.
_TAIL = re.compile(rf"[{_EMOJI}]+|[:;]-?[()DP]|[”’)\]}}]+")
# The first letters or digits of a sentence, after marks that may open it.
_OPENING = re.compile(r"[^\w,;:!?%&/+=|)\]}”’]*+([^\W_]+)")
# What precedes a full stop: the last part of a compound, but the whole of a number.
_STEM = re.compile(r"(?:[^-/(\[\"“”„‚‘«»›‹]|(?<=\d)-(?=\d))*$")
_WINDOW = 30  # characters at an end of a word that are looked at: bounds the cost of odd input
_NO_BREAK_SPACES = {"\u00a0", "\u202f"}

_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")  # "J", "U.S", "z.B", "a.m"
_LIST_MARK = re.compile(r"\d{1,3}|[^\W\d_]|[IVX]+")
_ORDINAL = re.compile(r"\d{1,3}|\d{1,2}\.(?:0?[1-9]|1[0-2])|[IVX]+")  # or a day and month
_NUMBER = re.compile(r"\d\w*|[IVX]{2,}|[VX]")
# Words that look clipped: German streets, and those without a vowel (but units and cars).
_CLIPPED = re.compile(
    r"\w+str|(?!(?:[ckm]m|kg|ft|hp|[LP]kw)$)[B-DF-HJ-NP-TV-XZb-df-hj-np-tv-xz][b-df-hj-np-tv-xz]+"
)


# Where a text too long may be cut, best first: sentence ends, clause marks, any white space.
_CUTS = (
    re.compile(r"(?<=[.!?…])(?:[\"'”“)]*)(\s+)"),
    re.compile(r"(?<=[,;:–—])(\s+)"),
    re.compile(r"(?<=\S)(\s+)"),
)


@dataclass(frozen=True)
class _Rules:
    """What a full stop means in a language."""

    never_last: frozenset[str]  # abbreviations that something must follow
    seldom_last: frozenset[str]  # abbreviations that end a sentence if a starter follows
    before_number: frozenset[str]  # words that are abbreviations before a number only
    starters: frozenset[str]  # words that begin a sentence far more often than they are a name
    ordinals: bool  # is "3." the third?

    def __or__(self, other: "_Rules") -> "_Rules":
        """The rules for an unknown language."""
        return _Rules(
            self.never_last | other.never_last,
            self.seldom_last | other.seldom_last,
            self.before_number | other.before_number,
            self.starters | other.starters,
            self.ordinals or other.ordinals,
        )


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ENGLISH = _Rules(
    never_last=_set(
        "Mr Mrs Ms Messrs Dr Drs Prof Hon Rev Fr Sen Sens Rep Reps Gov Gen Brig Col Capt Cpt Cmdr "
        "Lt Sgt Cpl Maj Adm Pres Supt Insp Pvt Pfc Mt Ft St Ste e.g i.e cf viz vs approx ca incl "
        "esp resp"
    ),
    seldom_last=_set(
        "al Inc Corp Co Bros Esq Ph.D Ave Dept Univ Assn Dist Est min max "
        "Jan Feb Mar Apr Aug Sept Sep Oct Nov Dec Mon Tue Tues Wed Thu Thurs Fri "
        "Ariz Calif Colo Conn Fla Ill Mass Mich Minn Okla Ore Pa Tenn Tex Va Wash Wis"
    ),
    before_number=_set("No Nos no nos pp Vol vol Fig Figs fig Art Sec Ch Eq Ref Tab Jun Jul"),
    starters=_set(
        "The This That These Those There Then Thus It Its He His She Her They Their We Our You "
        "Your I In On At For From With By As If When While Where What Who Why How After Before "
        "Since And But Or So Yet Although Though However Not All Some Many Most Both Each One Two "
        "Another Is Are Was Were Do Does Did Have Has Can Now Here Today Also Even Only Please"
    ),
    ordinals=False,
)
_GERMAN = _Rules(
    never_last=_set(
        "Hr Hrn Fr Frl Dr Prof Dipl Ing St Hl hl Mr Mrs Ms z.B d.h d.i i.e e.g m.a.W s.o s.u u.U "
        "z.T z.Z v.a m.E i.A i.V i.d.R o.g u.g sog ca bzw vgl evtl ggf ggfs inkl incl exkl einschl "
        "zzgl abzgl bspw insb insbes resp geb gest verh gem lt betr allg bes urspr versch ehem "
        "mind max min rd dt engl franz lat griech ital amerik staatl sen jun vs Abs Bd Bde"
    ),
    seldom_last=_set(
        "u.a u.ä o.ä o.Ä u.v.m u.dgl u.s.w Mio Mill Mia Tel Sek Min Inc Corp Co Ges "
        "Aufl Anm Verf Red Ph.D Jan Febr Feb Apr Aug Sept Sep Okt Nov Dez Mo Di Mi Do"
    ),
    before_number=_set("Nr Nrn No Art Kap Abb Tab Ziff Ziffer Par Lit Pos Vol Fig Jun Jul"),
    starters=_set(
        "Der Die Das Den Dem Des Ein Eine Einen Einem Einer Er Sie Es Wir Ich Ihr Ihre Sein Seine "
        "Dies Diese Dieser Dieses Diesem Jene Man In Im Am An Auf Aus Bei Beim Mit Nach Von Vor Zu "
        "Zum Zur Für Über Unter Um Durch Ohne Gegen Seit Während Wegen Trotz Und Aber Oder Denn "
        "Doch Sondern Wenn Als Da Dann Dabei Damit Danach Daher Darum Dazu Dort Hier Heute Jetzt "
        "Nun So Auch Noch Nur Schon Nicht Kein Keine Alle Viele Einige Was Wer Wie Wo Warum Ist "
        "Sind War Hat Haben Bis Ob Weil Obwohl Jedoch Deshalb Außerdem Allerdings Zudem"
    ),
    ordinals=True,
)
_GERMAN_MONTHS = _set(
    "Januar Jänner Februar März April Mai Juni Juli August September Oktober November Dezember"
)
_RULES = {"en": _ENGLISH, "de": _GERMAN}
_OTHER = _ENGLISH | _GERMAN


def split_sentences(text: str, language: str) -> list[tuple[str, str]]:
    """Cuts a text, which neither begins nor ends with white space, into sentences.

    Cuts are at white space only. The cost is linear in the length of the text.

    Args:
        text: one line, of any kind.
        language: "en" or "de"; any other gets the abbreviations of both.

    Returns:
        The sentences, each with the white space that follows it.
    """
    rules = _RULES.get(language, _OTHER)
    spans = [match.span() for match in re.finditer(r"\S+", text)]
    words = [text[start:end] for start, end in spans]
    parts = []
    first = last = 0  # words of the sentence: its first, and the last that is not a tail
    for i in range(1, len(words)):
        if _TAIL.fullmatch(words[i]):
            continue
        end = spans[i - 1][1]
        space = text[end : spans[i][0]]
        if space not in _NO_BREAK_SPACES and _is_boundary(words, first, last, i, rules):
            parts.append((text[spans[first][0] : end], space))
            first = i
        last = i
    return [*parts, (text[spans[first][0] :], "")] if words else []


def _is_boundary(words: list[str], first: int, last: int, after: int, rules: _Rules) -> bool:
    """Does `words[last]` end the sentence from `first` on, so that `after` begins the next?"""
    ending = words[last][-_WINDOW:]
    end = _END.search(ending)
    if not end:
        return False
    opening = _OPENING.match(" ".join(word[:_WINDOW] for word in words[after : after + 2]))
    if not opening or opening[1][0].islower():
        return False
    if not {")", "]"}.isdisjoint(end[2]) and words[first][0] not in "([":
        return False  # the mark belongs to what the brackets hold, not to the sentence around
    if end[1] != ".":
        # "Well... I think": the pronoun is no sign of a new sentence.
        return not (end[1][0] in ".…" and opening[1] == "I")
    matched = _STEM.search(ending, 0, end.start())
    stem = matched[0].lstrip("'’.") if matched else ""
    begin = last
    # "z. B.", "J. R. R.": letters with blanks between them are one abbreviation.
    for word in reversed(words[max(first, last - 4) : last]):
        letter = word.strip("(\"'“”„‚‘«»")
        if len(letter) != 2 or letter[1] != "." or not _INITIALS.fullmatch(stem):
            break
        stem = letter + stem
        begin -= 1
    if begin == first:
        if _LIST_MARK.fullmatch(stem):
            return False
        small = stem[:1].lower() + stem[1:]
        stem = small if small in rules.never_last else stem
    if stem in rules.never_last:
        return False
    if stem in rules.before_number:
        return not _NUMBER.fullmatch(opening[1])
    may_go_on = (
        stem in rules.seldom_last
        or _INITIALS.fullmatch(stem)
        or _CLIPPED.fullmatch(stem)
        or (
            rules.ordinals
            and _is_ordinal(stem, words[max(last - 1, first) : last + 1], opening[1], rules)
        )
    )
    return not may_go_on or opening[1] in rules.starters


def _is_ordinal(stem: str, words: list[str], after: str, rules: _Rules) -> bool:
    """Is "3." the third? Not in "Platz 3." or "Nr. 3.": the first of `words` says what it is."""
    if not _ORDINAL.fullmatch(stem):
        return False
    before, number = words if len(words) == 2 else ("", *words)
    named = number[0].isdigit() and before.rstrip(".").isalpha() and before[0].isupper()
    return not named or before in rules.starters or after in _GERMAN_MONTHS


def split_long(text: str, fits: Callable[[str], bool]) -> list[tuple[str, str]]:
    """Cuts `text`, which neither begins nor ends with white space, until every part fits.

    Of the best kind of place that the middle half holds, the one nearest the middle is taken; then
    any white space; a word is cut only where there is none.

    Returns:
        The parts, each with the white space that follows it.
    """
    if len(text) < 2 or fits(text):
        return [(text, "")]
    middle, quarter = len(text) // 2, len(text) // 4
    kinds = [[match.span(1) for match in pattern.finditer(text)] for pattern in _CUTS]
    central = [[s for s in spaces if quarter <= s[0] <= len(text) - quarter] for spaces in kinds]
    spaces = next(filter(None, [*central, kinds[-1]]), [(middle, middle)])
    start, end = min(spaces, key=lambda space: abs(space[0] - middle))
    head, tail = split_long(text[:start], fits), split_long(text[end:], fits)
    return [*head[:-1], (head[-1][0], text[start:end]), *tail]
