"""Text as the papers on Multi30k score it, by sacremoses.

They publish their references lower-cased, with plain punctuation and in Moses' tokens
(`test_*.lc.norm.tok.de`), and compute BLEU on those tokens. Such a BLEU is one or two points above
that of sacreBLEU, and compares with nothing but itself.
"""

from collections.abc import Sequence
from importlib.metadata import version

from translator.config.errors import TranslatorError


def paper_tokens(lines: Sequence[str], language: str) -> list[str]:
    """Each line lower-cased, then its punctuation normalised, then in tokens with spaces between.

    Raises:
        TranslatorError: sacremoses is not installed.
    """
    try:
        from sacremoses import MosesPunctNormalizer, MosesTokenizer
    except ImportError:
        raise TranslatorError(
            "The metric multi30k_bleu needs sacremoses: pip install 'small-nmt[moses]'."
        ) from None
    normaliser, tokeniser = MosesPunctNormalizer(lang=language), MosesTokenizer(lang=language)
    return [
        tokeniser.tokenize(normaliser.normalize(line.lower()), return_str=True) for line in lines
    ]


def paper_signature(signature: str, language: str) -> str:
    """sacreBLEU's signature for such tokens, with how they were made."""
    return f"{signature}|text:lc.norm.tok.{language}|sacremoses:{version('sacremoses')}"
