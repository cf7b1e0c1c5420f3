"""How groups of options become parameters of a command.

A command takes a group of options as one parameter: a dataclass whose fields are options, or a
dict with those settings of a config section that were given. `expand` turns the groups into single
options for typer.
"""

import copy
import dataclasses
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from translator.config.errors import SettingError
from translator.config.fields import check_value


@dataclass(frozen=True)
class Settings:
    """Marks a `dict` parameter that holds the settings which were given, of a config section."""

    config: type
    names: tuple[str, ...]
    panel: str | None = None
    default: str | bool = False  # what help says of it
    short: tuple[tuple[str, str], ...] = ()

    def options(self) -> dict[str, Any]:
        """The annotation of each option; all are None if they are not given."""
        hints, options = get_type_hints(self.config), {}
        for each in dataclasses.fields(self.config):
            if each.name in self.names:
                allowed = each.metadata["allowed"]
                kind = Literal[allowed] if isinstance(allowed, tuple) else hints[each.name]
                flags = [f"--{each.name.replace('_', '-')}", *dict(self.short).get(each.name, ())]
                text = each.metadata["help"]
                option = typer.Option(
                    *flags,
                    rich_help_panel=self.panel,
                    show_default=self.default,
                    help=f"{text if ':' in text.split()[0] else text[0].upper() + text[1:]}.",
                )
                options[each.name] = Annotated[kind | None, option]
        return options


def usage_error(error: SettingError) -> typer.BadParameter:
    """A setting that an option gave, as wrong usage of that option."""
    return typer.BadParameter(f"--{error.key.replace('_', '-')} {error.problem}.")


def expand(function: Callable[..., None]) -> Any:
    """`function` with each group of options replaced with the options in it."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Callable[[dict[str, Any]], Any]] = {}
    parameters: list[inspect.Parameter] = []

    def add(name: str, annotation: Any, default: Any) -> None:
        kind = inspect.Parameter.KEYWORD_ONLY
        annotation = _with_metavar(annotation)
        parameters.append(inspect.Parameter(name, kind, default=default, annotation=annotation))

    for name, parameter in inspect.signature(function).parameters.items():
        hint = hints[name]
        settings = [part for part in get_args(hint) if isinstance(part, Settings)]
        if settings:
            options = settings[0].options()
            for option, annotation in options.items():
                add(option, annotation, None)
            groups[name] = functools.partial(_given, settings[0].config, list(options))
        elif isinstance(hint, type) and dataclasses.is_dataclass(hint):
            for option, annotation in get_type_hints(hint, include_extras=True).items():
                default = hint.__dataclass_fields__[option].default
                required = default is dataclasses.MISSING
                add(option, annotation, inspect.Parameter.empty if required else default)
            groups[name] = functools.partial(_build, hint)
        else:
            add(name, hint, parameter.default)

    def wrapped(**values: Any) -> None:
        built = {name: build(values) for name, build in groups.items()}
        function(**values, **built)

    wrapped.__name__, wrapped.__doc__ = function.__name__, function.__doc__
    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
    return wrapped


def _given(config: type, names: list[str], values: dict[str, Any]) -> dict[str, Any]:
    """Takes the settings out of `values`, and keeps those that were given."""
    found = {name: values.pop(name) for name in names}
    found = {name: value for name, value in found.items() if value is not None}
    try:
        for each in dataclasses.fields(config):
            if each.name in found:
                check_value("", each, found[each.name])
    except SettingError as error:
        raise usage_error(error) from None
    return found


def _build(group: type, values: dict[str, Any]) -> Any:
    return group(**{each.name: values.pop(each.name) for each in dataclasses.fields(group)})


def _with_metavar(annotation: Any) -> Any:
    """An option's annotation, with what stands for its value in help."""
    if get_origin(annotation) is not Annotated:
        return annotation
    kind, option = get_args(annotation)[:2]
    option = copy.copy(option)
    kinds = [part for part in get_args(kind) if part is not type(None)] or [kind]
    part = kinds[0]
    if option.metavar is None:
        if isinstance(part, str) or get_origin(part) is Literal:
            option.metavar = "|".join(get_args(part) or kinds)
        else:
            option.metavar = {int: "N", float: "X", Path: "FILE"}.get(part, "TEXT")
    return Annotated[kind, option]
