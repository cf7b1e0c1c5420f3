"""Corpora: getting, cleaning, augmenting, and the bundled one."""
