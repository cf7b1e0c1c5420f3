"""The bundled English-German corpus, as data. README.md, beside this file, says what it is."""

from pathlib import Path

FOLDER = Path(__file__).parent  # a corpus folder like any other: train, valid, test
LANGUAGES = ("en", "de")
