"""Models for other programs: each export translates again before it counts, or is refused.

In: a loaded `Model`. Out: a file or folder that the other program reads by itself. Nothing here is
needed for translating with this one. Read verify.py first: it says what an export must prove.
"""
