"""Which pairs are worth training on, and why the others are not.

Knows nothing about files or vocabularies: pairs of lines in, verdicts out. Start with rules.py, the
table of faults of a single pair; clean.py applies it to a corpus.
"""
