"""Faults to put into sound pairs: what cleaning must find."""

import random
import re
from collections.abc import Callable

Pair = tuple[str, str]
# Changes a pair, or says that it cannot: None.
Fault = Callable[[Pair, random.Random], Pair | None]

_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)*")
FRENCH = (
    "Nous avons vu que les enfants ne sont pas dans la maison avec leurs parents",
    "Il est vrai que cette ville est très belle et que le temps y est bon",
    "Les deux hommes ont dit qu'ils ne sont pas contents de leur travail",
    "El gobierno ha dicho que no hay dinero para las escuelas de la ciudad",
    "Los niños están en la calle porque hace mucho calor en las casas",
    "Nie ma w tym domu nic, co by się nam mogło jeszcze bardzo podobać",
    "Non è vero che tutti gli uomini della città sono andati al mare",
)


def one_side(change: Callable[[str, random.Random], str | None]) -> Fault:
    """Changes the source or the target."""

    def fault(pair: Pair, rng: random.Random) -> Pair | None:
        src, tgt = pair
        side = rng.randrange(2)
        line = change(pair[side], rng)
        if line is None or line == pair[side]:
            return None
        return (src, line) if side else (line, tgt)

    return fault


def third(line: str, rng: random.Random) -> str:
    words = line.split()
    return " ".join(words[: max(1, len(words) // 3)])


def too_long(line: str, rng: random.Random) -> str:
    return " ".join([line] * (1 + 2500 // len(line)))


def symbols(line: str, rng: random.Random) -> str:
    return "".join(
        rng.choice("#*=~|%$_+") if c.isalpha() and rng.random() < 0.8 else c for c in line
    )


def mojibake(line: str, rng: random.Random) -> str | None:
    """UTF-8 read as Windows-1252, as Latin-1 where that has no letter, or with letters lost."""
    if line.isascii():
        return None
    raw = line.encode()
    return raw.decode(rng.choice(("cp1252", "latin-1")), "replace")


def control(line: str, rng: random.Random) -> str:
    at = rng.randrange(len(line) + 1)
    return line[:at] + rng.choice("\0\x01\x07\x08\x1b\x7f\x9d\ue123") + line[at:]


def number(pair: Pair, rng: random.Random) -> Pair | None:
    """Another number on one side, where both sides have it in digits."""
    side = rng.randrange(2)
    digits = [re.sub(r"\D", "", n) for n in _NUMBER.findall(pair[1 - side])]
    found = [m for m in _NUMBER.finditer(pair[side]) if re.sub(r"\D", "", m.group()) in digits]
    if not found:
        return None
    match = rng.choice(found)
    new = old = match.group()
    while new == old:
        new = "".join(rng.choice("123456789") if c.isdigit() else c for c in old)
    line = pair[side][: match.start()] + new + pair[side][match.end() :]
    return (pair[0], line) if side else (line, pair[1])


def url(pair: Pair, rng: random.Random) -> Pair:
    a, b = rng.sample(("shop", "news", "forum", "help", "photo"), 2)
    form = rng.choice(
        ("https://www.{}.example.org/a", "http://{}.example.com", "www.{}.de", "{}@x.de")
    )
    return f"{pair[0]} {form.format(a)}", f"{pair[1]} {form.format(b)}"


def markup(pair: Pair, rng: random.Random) -> Pair | None:
    """Tags or brackets around a word of both sides, of which one is lost or cut."""
    a, b = rng.choice(
        (("<b>", "</b>"), ("<a href='x'>", "</a>"), ("(", ")"), ("[", "]"), ("{", "}"))
    )
    sides = []
    for line in pair:
        words = line.split()
        if not words:
            return None
        at = rng.randrange(len(words))
        words[at] = f"{a}{words[at]}{b}"
        sides.append(" ".join(words))
    side = rng.randrange(2)
    lost = rng.choice((a, b))
    sides[side] = sides[side].replace(lost, lost[:-1] if rng.random() < 0.3 else "", 1)
    return sides[0], sides[1]


# Of single pairs; the name of the kind -> what makes it.
FAULTS: dict[str, Fault] = {
    "empty side": one_side(lambda line, rng: rng.choice(("", " ", "\t \u200b"))),
    "too long": one_side(too_long),
    "cut to a third": one_side(third),
    "said twice": one_side(lambda line, rng: f"{line} {line}"),
    "copied source": lambda pair, rng: (pair[0], pair[0]),
    "swapped": lambda pair, rng: (pair[1], pair[0]),
    "other language": one_side(lambda line, rng: rng.choice(FRENCH)),
    "changed number": number,
    "changed URL": url,
    "symbols": one_side(symbols),
    "mojibake": one_side(mojibake),
    "control characters": one_side(control),
    "broken markup": markup,
}


def near_copy(pair: Pair, rng: random.Random) -> Pair:
    """The same with other case, punctuation and digits."""
    change = rng.choice(
        (str.upper, str.lower, str.title, lambda s: s.rstrip(".") + " !", lambda s: f"„{s}“")
    )
    shift = str.maketrans("0123456789", "1234567890")
    return tuple(change(line.translate(shift)) for line in pair)  # type: ignore[return-value]


def inject(
    pairs: list[Pair], kind: str, share: float, rng: random.Random
) -> tuple[list[Pair], set[int]]:
    """Pairs with a share of faulty ones among them, and the places of those."""
    n = int(share * len(pairs))
    changed = list(pairs)
    if kind in FAULTS:
        places: set[int] = set()
        for place in rng.sample(range(len(pairs)), len(pairs)):
            if len(places) < n and (faulty := FAULTS[kind](pairs[place], rng)):
                changed[place] = faulty
                places.add(place)
        return changed, places
    if kind == "shuffled targets":
        chosen = rng.sample(range(len(pairs)), n)
        for place, other in zip(chosen, [*chosen[1:], chosen[0]], strict=True):
            changed[place] = (pairs[place][0], pairs[other][1])
        return changed, set(chosen)
    if kind == "shifted block":
        first, by = rng.randrange(len(pairs) - n - 3), rng.choice((1, 2, 3))
        for place in range(first, first + n):
            changed[place] = (pairs[place][0], pairs[place + by][1])
        return changed, set(range(first, first + n))
    assert kind in ("duplicate", "near duplicate")
    chosen = rng.sample(range(len(pairs)), n)
    copies = [pairs[c] if kind == "duplicate" else near_copy(pairs[c], rng) for c in chosen]
    return changed + copies, set(range(len(pairs), len(pairs) + n))


KINDS = (*FAULTS, "duplicate", "near duplicate", "shuffled targets", "shifted block")
