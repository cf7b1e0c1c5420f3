"""Pairs of ids -> weights.

Knows nothing of the command line. Start with train.py, the function that programs call, then
run.py, the training loop; update.py is a single update.
"""
