"""Hypotheses and references -> scores with signatures, and why they are what they are.

Knows nothing of training. Start with evaluate.py, which scores a test set; systems.py is everything
`translator evaluate` prints.
"""
