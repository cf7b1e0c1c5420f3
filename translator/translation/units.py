"""A line -> the units that a model translates one at a time."""

from dataclasses import dataclass

from translator.text.codec import Source


@dataclass(frozen=True)
class Unit:
    """A segment before it is translated."""

    line: int
    text: str  # normalised
    source: Source
    prefix: list[int]  # what its translation begins with
    space: str  # white space between this segment and the next
