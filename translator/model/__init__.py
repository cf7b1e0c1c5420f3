"""Ids -> logits.

Knows nothing of text, files or training. Start with transformer.py, the whole architecture from the
bottom up; incremental.py is the same network as a search runs it, one token at a time.
"""
