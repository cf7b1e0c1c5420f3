"""Plain data -> pages and pictures.

Knows no model, no corpus and no torch: what is drawn arrives as numbers and text. Start with
evaluation_page.py; pages.py fills the templates; attention.py and plots.py draw with matplotlib.
"""
