"""Models for other programs: each export translates again before it counts, or is refused.

In: a loaded `Model`. Out: a file or folder that the other program reads by itself. Only engine.py
is needed for translating with this one, where another program does the searching. Read verify.py
first: it says what an export must prove.
"""
