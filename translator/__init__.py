"""A small English-German Transformer: train it, translate with it, score it.

>>> from translator import Translator
>>> Translator.load().translate(["A dog runs along the beach."])
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Config",
    "Terms",
    "Translator",
    "TranslatorError",
    "load_config",
    "train",
    "translate_document",
]

if TYPE_CHECKING:
    from translator.config.errors import TranslatorError
    from translator.config.loading import load_config
    from translator.config.schema import Config
    from translator.documents.translate import translate_document
    from translator.text.terms import Terms
    from translator.training.train import train
    from translator.translation.translator import Translator

_HOMES = {
    "Config": "translator.config.schema",
    "Terms": "translator.text.terms",
    "Translator": "translator.translation.translator",
    "TranslatorError": "translator.config.errors",
    "load_config": "translator.config.loading",
    "train": "translator.training.train",
    "translate_document": "translator.documents.translate",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that `translator --help` needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
