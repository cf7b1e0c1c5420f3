"""Plain data -> pages and pictures.

Knows nothing about models, corpora or torch: everything arrives as numbers and text. Start with
evaluation_page.py; pages.py fills the templates; attention.py and plots.py draw with matplotlib.
"""
