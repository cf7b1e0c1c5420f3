"""Settings from presets, TOML files and `section.key=value`, and to and from plain data."""

import dataclasses
import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from translator.config.errors import TranslatorError, did_you_mean
from translator.config.presets import PRESETS
from translator.config.schema import Config, SearchConfig

# Settings that were removed, as "section.key". What was saved with them still loads.
RETIRED = frozenset({"data.bpe_dropout"})


def to_dict(config: Config) -> dict[str, Any]:
    """The config as nested plain data, for JSON."""
    return dataclasses.asdict(config)


def from_dict(values: Mapping[str, Any], base: Config | None = None) -> Config:
    """`base` (default: all defaults) with `values` put in.

    Raises:
        TranslatorError: an unknown key, or a value of the wrong type.
    """
    return _merge(base or Config(), values, "")


def from_saved(values: Mapping[str, Any]) -> Config:
    """A config as any version of this program saved it: settings in `RETIRED` are ignored.

    Raises:
        TranslatorError: an unknown key, or a value of the wrong type.
    """
    kept = {
        section: {k: v for k, v in keys.items() if f"{section}.{k}" not in RETIRED}
        if isinstance(keys, Mapping)
        else keys
        for section, keys in values.items()
    }
    return from_dict(kept)


def _merge(section: Any, values: Mapping[str, Any], path: str) -> Any:
    types = get_type_hints(type(section))
    changes = {}
    for key, value in values.items():
        name = f"{path}{key}"
        if key not in types:
            hint = did_you_mean(name, _setting_names() if path else types)
            raise TranslatorError(f"Unknown setting {name}.{hint} Known here: {', '.join(types)}.")
        if dataclasses.is_dataclass(types[key]):
            if not isinstance(value, Mapping):
                raise TranslatorError(f"{name} is a section: set {name}.KEY.")
            changes[key] = _merge(getattr(section, key), value, f"{name}.")
        else:
            changes[key] = _typed(name, value, types[key])
    return dataclasses.replace(section, **changes)


def _setting_names() -> list[str]:
    sections = to_dict(Config())
    return [f"{name}.{key}" for name in sections if name != "preset" for key in sections[name]]


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def _typed(name: str, value: Any, kind: type) -> Any:
    if kind is float and type(value) is int:
        return float(value) if abs(value) < 1e300 else math.inf
    if type(value) is not kind:
        raise TranslatorError(f"{name} takes {_KINDS[kind]}, not {value!r}.")
    return value


def load_config(
    preset: str = "tiny",
    file: Path | None = None,
    overrides: Iterable[str] = (),
    base: Config | None = None,
) -> Config:
    """A preset, then a TOML file over it, then `section.key=value` overrides over both.

    `base` replaces the preset if it is given.

    Raises:
        TranslatorError: unknown preset or key, wrong type, unreadable file.
    """
    if preset not in PRESETS:
        raise TranslatorError(
            f'Unknown preset "{preset}".{did_you_mean(preset, PRESETS)} There are: '
            f"{', '.join(PRESETS)}."
        )
    config = base or PRESETS[preset]
    if file is not None:
        try:
            config = from_dict(tomllib.loads(file.read_text(encoding="utf-8")), config)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise TranslatorError(f"{file} is not a TOML file: {error}.") from None
        except OSError as error:
            raise TranslatorError(f"{file} cannot be read: {error.strerror}.") from None
    return override(config, overrides)


def override(config: Config, overrides: Iterable[str]) -> Config:
    """`config` with each `section.key=value` put in.

    Raises:
        TranslatorError: unknown key, wrong type, or not of that form.
    """
    values: dict[str, dict[str, Any]] = {}
    for text in overrides:
        section, key, value = _parse_override(text)
        values.setdefault(section, {})[key] = value
    return from_dict(values, config)  # at once: some settings are only right together


def _parse_override(text: str) -> tuple[str, str, Any]:
    path, equals, value_text = text.partition("=")
    section, dot, key = path.strip().partition(".")
    if not (equals and dot):
        raise TranslatorError(f'--set takes section.key=value, not "{text}".')
    try:
        value = tomllib.loads(f"value = {value_text}")["value"]
    except tomllib.TOMLDecodeError:
        value = value_text.strip()  # a word without quotes is a string
    return section, key, value


def change_search(config: SearchConfig, given: Mapping[str, Any]) -> SearchConfig:
    """Search settings with those given that are not None; a beam is wide enough for `n_best`.

    Raises:
        TypeError: there is no such setting.
        TranslatorError: a setting has a value that it cannot have.
    """
    known = [field.name for field in dataclasses.fields(SearchConfig)]
    for name in given:
        if name not in known:
            raise TypeError(
                f'There is no search setting "{name}".{did_you_mean(name, known)} '
                f"The settings are: {', '.join(known)}."
            )
    changes = {key: value for key, value in given.items() if value is not None}
    if "beam_size" not in changes:
        changes["beam_size"] = max(config.beam_size, changes.get("n_best", config.n_best))
    return dataclasses.replace(config, **changes)


def differences(old: Config, new: Config, ignore: Iterable[str] = ()) -> list[str]:
    """The settings in which two configs differ, as `section.key: old -> new`."""
    lines = []
    for section, values in to_dict(old).items():
        other = to_dict(new)[section]
        for key, value in values.items() if isinstance(values, dict) else ():
            name = f"{section}.{key}"
            if value != other[key] and name not in ignore:
                lines.append(f"{name}: {value} -> {other[key]}")
    return lines
