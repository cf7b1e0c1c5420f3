"""The name of a corpus -> its pairs of lines, read one by one.

Knows nothing about the quality of pairs. Start with corpus.py; catalogue.py lists the corpora known
by name, formats.py reads files, hub.py downloads, mapped.py reads prepared corpora from disk.
"""
