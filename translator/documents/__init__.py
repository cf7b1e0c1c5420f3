"""A file in, the same file out in the other language: all that is no text stays byte for byte.

A reader finds the texts of a document and where they stand; what they become is written there, and
nothing else is touched. Knows nothing of models: `translate_document` takes a `Translator`.
Read `document.py` first, then `formats.py`.
"""
