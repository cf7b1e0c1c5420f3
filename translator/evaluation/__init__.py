"""Hypotheses and references -> scores with signatures, and the reasons behind them.

Knows nothing about training. Start with evaluate.py, which scores a test set; systems.py builds
everything that `translator evaluate` prints.
"""
