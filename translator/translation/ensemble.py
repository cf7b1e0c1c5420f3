"""Which models can work together."""

from collections.abc import Sequence

from translator.config.errors import TranslatorError
from translator.storage.model_folder import Model


def check_ensemble(models: Sequence[Model], src: str, tgt: str) -> None:
    """Complains about models that do not translate from `src` to `tgt` as one.

    Raises:
        TranslatorError: one does not know the direction, or their vocabularies differ.
    """
    first = models[0]
    for other in models:
        if (src, tgt) not in other.directions:
            known = ", ".join("-".join(d) for d in other.directions)
            raise TranslatorError(f"{other.folder} translates {known}, not {src}-{tgt}.")
        apart = f"{other.folder} and {first.folder} cannot work together"
        if other.tokenizer.model_bytes != first.tokenizer.model_bytes:
            raise TranslatorError(f"{apart}: their tokenizers differ.")
        if other.config.data.bidirectional != first.config.data.bidirectional:
            raise TranslatorError(f"{apart}: only one of them knows both directions.")
