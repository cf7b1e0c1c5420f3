"""Seeds that depend only on what they are for."""

import hashlib


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from numbers and words, so that no randomness depends on what ran before."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
