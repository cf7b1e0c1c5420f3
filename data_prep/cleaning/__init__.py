"""Which pairs are worth training on, and why the others are not.

Knows nothing of files or vocabularies: pairs of lines in, verdicts out. Start with rules.py, the
table of what can be wrong with one pair; clean.py applies it to a corpus.
"""
