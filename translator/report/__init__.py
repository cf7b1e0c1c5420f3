"""Plain data -> pages and pictures.

Knows no model, no corpus and no torch: what is drawn arrives as numbers and text. Start with
evaluation_page.py; elements.py is the HTML underneath, plots.py draws with matplotlib.
"""
