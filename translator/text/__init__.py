"""A line of text <-> ids, and what can be read off a line without a model.

Knows nothing of the network: it hands out lists of ids. Start with codec.py, which turns a line
into ids and back; tokenizer.py holds the vocabulary underneath it.
"""
