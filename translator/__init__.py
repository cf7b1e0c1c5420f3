"""A small English-German Transformer: train it, translate with it, score it.

Training is `translator.train.train(config, folder)`.

>>> from translator import Translator
>>> Translator.load().translate(["A dog runs along the beach."])
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Config", "Translator", "TranslatorError", "load_config"]

if TYPE_CHECKING:
    from translator.config import Config, TranslatorError, load_config
    from translator.translate import Translator

_HOMES = {
    "Config": "translator.config",
    "TranslatorError": "translator.config",
    "load_config": "translator.config",
    "Translator": "translator.translate",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that `translator --help` needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
