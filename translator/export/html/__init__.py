"""A model as one page that needs nothing else: weights, tokenizer and search, in plain JavaScript.

page.py packs it; the scripts, in the order of `SCRIPTS`, are what runs in the page's worker, and
engine.js is what talks to them.
"""
