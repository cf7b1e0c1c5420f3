"""Libraries that only an extra of the package installs."""

import importlib
from typing import Any

from translator.config.errors import TranslatorError


def require(module: str, need: str, extra: str) -> Any:
    """A module of such a library.

    Args:
        module: its name.
        need: says what needs which library, for the error.
        extra: what installs it.

    Raises:
        TranslatorError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise TranslatorError(f"{need}: pip install 'small-nmt[{extra}]'.") from None
