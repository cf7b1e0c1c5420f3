"""Pairs of ids -> weights.

Knows nothing of the command line. Start with train.py, the function that a program calls, then
run.py, the loop; update.py is a single update.
"""
