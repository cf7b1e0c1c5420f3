"""A corpus cleaned once and encoded once, on disk, in parallel and resumable.

Knows nothing about models. Start with prepare.py; cleaned.py and encoded.py are its two steps, done
in numbered shards (shards.py).
"""
