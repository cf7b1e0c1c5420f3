"""Writes docs/settings.md from the settings themselves: `python docs/make_settings.py`."""

from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from translator.config.fields import Interval
from translator.config.presets import PRESETS
from translator.config.schema import USUAL_NOISE, Config

UNLIMITED = 60_000  # limits beyond this are there to catch slips of the pen
PAGE = Path(__file__).with_name("settings.md")
HEAD = """# Settings

Made by `make docs` from [schema.py](../translator/config/schema.py); a test keeps it in step.

A run takes its settings from a preset (`--preset`), then from a TOML file (`--config`), then from
single options (`--set train.peak_lr=0.001`). Those of `search` are also options of `translate` and
`evaluate`, with hyphens: `--beam-size`. A file has a section for each heading below:

```toml
[train]
peak_lr = 0.001
```

"Not given" below is what a setting is where neither preset nor you say otherwise.
"""


def settings_page() -> str:
    """The whole page: presets, then every section with default, limits and meaning."""
    sections = [(f.name, getattr(Config(), f.name)) for f in fields(Config) if f.name != "preset"]
    return "\n".join([HEAD, _presets(), *(_section(name, values) for name, values in sections)])


def _presets() -> str:
    lines = [
        "## Presets\n",
        "Only what differs from the tables below.\n",
        "| preset | settings |",
        "|---|---|",
    ]
    for name, config in PRESETS.items():
        changed = [
            f"`{section.name}.{each.name}={_value(value)}`"
            for section in fields(Config)
            if section.name != "preset"
            for each in fields(getattr(config, section.name))
            if (value := getattr(getattr(config, section.name), each.name)) != each.default
        ]
        lines.append(f"| `{name}` | {', '.join(changed)} |")
    return "\n".join(lines) + "\n"


def _section(name: str, values: Any) -> str:
    first = (type(values).__doc__ or "").partition("\n")[0]
    lines = [f"## {name}\n", f"{first}\n", "| setting | not given | may be | meaning |"]
    lines.append("|---|---|---|---|")
    for each in fields(values):
        default, allowed = f"`{_value(each.default)}`", _allowed(each)
        if name == "noise" and each.default == -1:
            default, allowed = f"{USUAL_NOISE[each.name]} x `noise.scale`", "0 to 1"
        meaning = each.metadata["help"]
        lines.append(f"| `{name}.{each.name}` | {default} | {allowed} | {meaning} |")
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _allowed(each: Field[Any]) -> str:
    allowed = each.metadata["allowed"]
    if isinstance(each.default, bool):
        return "true, false"
    if allowed is None:
        return "text"
    if isinstance(allowed, Interval):
        return _range(allowed)
    return ", ".join(f"`{choice}`" for choice in allowed)


def _range(numbers: Interval) -> str:
    if numbers.low <= -UNLIMITED:
        return "any number"
    low = f"above {numbers.low:g}" if numbers.low_open else f"{numbers.low:g}"
    if numbers.high >= UNLIMITED:
        return low if numbers.low_open else f"{low} or more"
    return f"{low} to {'below ' if numbers.high_open else ''}{numbers.high:g}"


if __name__ == "__main__":
    PAGE.write_text(settings_page(), encoding="utf-8")
