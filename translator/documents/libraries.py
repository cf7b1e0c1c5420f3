"""Libraries that only some formats need."""

import importlib
from typing import Any

from translator.config.errors import TranslatorError

_PACKAGES = {"markdown_it": "markdown-it-py", "yaml": "PyYAML"}


def require(module: str) -> Any:
    """The module.

    Raises:
        TranslatorError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise TranslatorError(
            f"This format needs {_PACKAGES[module]}: pip install 'small-nmt[documents]'"
        ) from None
