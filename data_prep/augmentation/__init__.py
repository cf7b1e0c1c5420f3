"""Training pairs -> pairs that teach more: noise, placeholders, other segmentations.

Everything is a pure function of pair, epoch and seed. Start with augment.py, which puts the kinds
together; corrupt.py makes bad inputs for calibrating confidence.
"""
