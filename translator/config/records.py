"""Results as frozen dataclasses, and as the plain data that JSON holds."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from types import UnionType
from typing import Any, Self, Union, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Record:
    """A result with named fields. In its plain data, an optional field that is None is absent."""

    def to_dict(self) -> dict[str, Any]:
        """The record as plain data, for JSON."""
        values = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        return {
            name: _plain(value)
            for name, (value, default) in values.items()
            if value is not None or default is MISSING
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The record whose plain data these are; unknown keys are ignored.

        Raises:
            TypeError: a required field is missing.
        """
        kinds = _field_types(cls)  # type: ignore[arg-type]
        found = {
            name: _build(kinds[name], value) for name, value in values.items() if name in kinds
        }
        return cls(**found)


@cache
def _field_types(record: Any) -> dict[str, Any]:
    return get_type_hints(record)


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _build(kind: Any, value: Any) -> Any:
    """Plain data as a value of a type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if value is None:
        return None
    if isinstance(kind, type) and issubclass(kind, Record):
        return kind.from_dict(value)
    if origin in (Union, UnionType):  # only `... | None`
        return _build(arguments[0], value)
    if origin is list:
        return [_build(arguments[0], part) for part in value]
    if origin is tuple:
        return tuple(_build(arguments[0], part) for part in value)
    if origin is dict:
        return {key: _build(arguments[1], part) for key, part in value.items()}
    return value
