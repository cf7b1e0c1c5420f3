"""Pages that need nothing else, from the templates beside this file.

All text is escaped where it enters a page; only charts are HTML already.
"""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from translator.report.charts import chance, signed
from translator.storage.scores import METRIC_NAMES


def render(template: str, **values: Any) -> str:
    """A page from one of the templates."""
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
    environment.filters["signed"] = signed
    environment.filters["chance"] = chance
    environment.filters["metric"] = lambda name: METRIC_NAMES.get(name, name)
    return environment
