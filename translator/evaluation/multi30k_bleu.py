"""Text in the form that the papers on Multi30k score, made by sacremoses.

They publish their references in lower case, with normalised punctuation and split into Moses tokens
(`test_*.lc.norm.tok.de`), and compute BLEU on the tokens. The result is one or two points above
sacreBLEU's, and can be compared only with others of its kind.
"""

from collections.abc import Sequence
from importlib.metadata import version

from translator.system.optional import require


def tokenize_for_papers(lines: Sequence[str], language: str) -> list[str]:
    """Lower-cases each line, normalises its punctuation and puts spaces between its tokens.

    Raises:
        TranslatorError: sacremoses is not installed.
    """
    moses = require("sacremoses", "The metric multi30k_bleu needs sacremoses", "moses")
    normaliser = moses.MosesPunctNormalizer(lang=language)
    tokeniser = moses.MosesTokenizer(lang=language)
    return [
        tokeniser.tokenize(normaliser.normalize(line.lower()), return_str=True) for line in lines
    ]


def sign_for_papers(signature: str, language: str) -> str:
    """sacreBLEU's signature for such tokens, extended by how they were made."""
    return f"{signature}|text:lc.norm.tok.{language}|sacremoses:{version('sacremoses')}"
