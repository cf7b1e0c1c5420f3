"""Renders self-contained pages from the templates beside this file.

All text is escaped as it enters a page; only charts are HTML already.
"""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from translator.report.charts import format_p, format_signed
from translator.storage.scores import METRIC_NAMES


def render(template: str, **values: Any) -> str:
    """Renders one of the templates as a page."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("translator.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals["zip"] = zip
    environment.filters["signed"] = format_signed
    environment.filters["chance"] = format_p
    environment.filters["metric"] = lambda name: METRIC_NAMES.get(name, name)
    return environment
