"""Logits -> hypotheses, and the likelihood of hypotheses that are given.

Knows ids, never text. Start with beam.py; sampling.py draws instead, mbr.py chooses among many
hypotheses, forced.py scores given ones.
"""
