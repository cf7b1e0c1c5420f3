"""Corpora: finding, cleaning, augmenting and encoding them, and the bundled one.

Takes only config, system, text and report from `translator`: it knows nothing about models. Only
back_translate.py may translate. Start with prepared/prepare.py, the whole way from a name to
training data.
"""
