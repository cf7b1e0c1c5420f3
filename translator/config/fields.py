"""One setting: its default, what it means, and which values are allowed, written once.

The command line makes its options and their help from the same words.
"""

from collections.abc import Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any

from translator.config.errors import SettingError

_MOST = 10**12  # a setting that has no limit of its own still has this one


@dataclass(frozen=True)
class Interval:
    """The numbers from `low` to `high`, in mathematical spelling: `[0, 1)` is without 1."""

    low: float
    high: float
    low_open: bool = False
    high_open: bool = False

    @classmethod
    def parse(cls, text: str) -> "Interval":
        low, high = text[1:-1].split(",")
        return cls(float(low), float(high), text[0] == "(", text[-1] == ")")

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.low_open else value >= self.low
        return above and (value < self.high if self.high_open else value <= self.high)

    def __str__(self) -> str:
        low = f"{'above' if self.low_open else 'at least'} {self.low:,g}"
        return f"{low} and {'below' if self.high_open else 'at most'} {self.high:,g}"


def setting(default: Any, help: str, allowed: str | Sequence[str] | None = None) -> Any:
    """A dataclass field that `check` and the command line understand.

    Args:
        default: its value where nothing else is said.
        help: what it means, in a few words.
        allowed: the choices; or for numbers an interval such as `(0, 1]`.
    """
    limits = Interval.parse(allowed) if isinstance(allowed, str) else allowed
    if limits is None and type(default) in (int, float):
        limits = Interval(-_MOST, _MOST)
    return field(default=default, metadata={"help": help, "allowed": limits})


def check(section: str, settings: Any) -> None:
    """Checks every field of a dataclass against what its `setting` allows.

    Raises:
        SettingError: a value is not one of the choices, or outside the interval: NaN always is.
    """
    for each in fields(settings):
        check_value(section, each, getattr(settings, each.name))


def check_value(section: str, field: "Field[Any]", value: Any) -> None:
    """Checks the value of one field.

    Raises:
        SettingError: as for `check`.
    """
    allowed = field.metadata.get("allowed")
    if allowed is None or value in allowed:
        return
    if isinstance(allowed, Interval):
        huge = isinstance(value, int) and abs(value) > _MOST
        shown = "a number of that size" if huge else f"{value:,}"
        raise SettingError(section, field.name, f"must be {allowed}, not {shown}")
    known = ", ".join(allowed)
    raise SettingError(section, field.name, f'must be one of {known}, not "{value}"')
