"""The text of `--help`: one line an option, in panels, within 80 columns where that can be.

Rich, which typer would use, takes longer to import than all else that `--help` needs.
"""

import shutil
import textwrap
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

Panels = dict[str, list[tuple[str, str]]]  # by title: what is typed, and what it means
RUNNING = "Common options"  # the last panel
_NAME_WIDTH = 31  # a longer name gets a line of its own


class Command(TyperCommand):
    """A command whose help shows its options in panels."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help text."""
        formatter.write(_help(self, ctx, _option_panels(self, ctx)))


class Group(TyperGroup):
    """A group of commands whose help shows them in panels."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help text."""
        panels: Panels = {}
        for name, command in self.commands.items():
            if not command.hidden:
                panel = getattr(command, "rich_help_panel", None)
                summary = (command.help or "").split("\n\n")[0].replace("\n", " ")
                panels.setdefault(_text(panel) or "Commands", []).append((name, summary))
        formatter.write(_help(self, ctx, {**panels, **_option_panels(self, ctx)}))


def _help(command: Any, ctx: Any, panels: Panels) -> str:
    width = min(shutil.get_terminal_size((80, 24)).columns, 100)
    lines = [ctx.get_usage(), ""]
    for paragraph in (command.help or "").split("\n\n"):
        lines += textwrap.wrap(paragraph, width)
    if command.epilog:
        lines += [_heading("Examples"), *(f"  {line}" for line in command.epilog.split("\n"))]
    names = [name for rows in panels.values() for name, _ in rows]
    column = 4 + max(len(name) for name in names if len(name) <= _NAME_WIDTH)
    for title, rows in panels.items():
        lines += [_heading(title), *(line for row in rows for line in _row(*row, column, width))]
    return "\n".join(lines) + "\n"


def _heading(text: str) -> str:
    return typer.style(f"{text}:", bold=True)


def _row(name: str, text: str, column: int, width: int) -> list[str]:
    first, *rest = textwrap.wrap(text, width - column) or [""]
    lines = [f"  {name:{column - 2}}{first}".rstrip()]
    if len(name) > column - 4:
        lines = [f"  {name}", " " * column + first]
    return lines + [" " * column + line for line in rest]


def _option_panels(command: Any, ctx: Any) -> Panels:
    panels: Panels = {"Arguments": [], "Options": []}
    last: list[tuple[str, str]] = []
    for param in command.get_params(ctx):
        if getattr(param, "hidden", False):
            continue
        panel = getattr(param, "rich_help_panel", None)
        title = "Arguments" if param.param_type_name == "argument" else _text(panel) or "Options"
        rows = last if title == RUNNING or param.name == "help" else panels.setdefault(title, [])
        rows.append((_name(param), _meaning(param)))
    panels[RUNNING] = last
    return {title: rows for title, rows in panels.items() if rows}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""  # typer has a placeholder for "not given"


def _name(param: Any) -> str:
    if param.param_type_name == "argument":
        return param.metavar or param.name.upper()
    names = ", ".join(sorted(param.opts, key=len))
    if param.secondary_opts:
        names += f"/{param.secondary_opts[0]}"
    return names if getattr(param, "is_flag", False) else f"{names} {param.metavar}"


def _meaning(param: Any) -> str:
    text, default = param.help or "", None
    if isinstance(param.show_default, str):
        default = param.show_default
    elif param.default is not None and not isinstance(param.default, bool | list | tuple):
        default = str(param.default)
    return f"{text} [{default}]" if default else text
