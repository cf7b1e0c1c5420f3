"""Corpora: finding, cleaning, augmenting and encoding them, and the bundled one.

Takes from `translator` only config, system, text and report: it knows no model. back_translate.py
alone may translate. Start with prepared/prepare.py, the whole way from a name to training data.
"""
