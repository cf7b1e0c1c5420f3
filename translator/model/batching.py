"""Which rows stand in a batch: as many as fit into a number of padded tokens."""

from collections.abc import Sequence
from itertools import pairwise


def token_batches(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Splits 0..n-1, in the given order, into groups of at most `max_tokens` padded tokens.

    A single item that is longer gets a group of its own.
    """
    edges = batch_edges(lengths, max_tokens)
    return [list(range(first, end)) for first, end in pairwise(edges)]


def batch_edges(lengths: Sequence[int], max_tokens: int) -> list[int]:
    """Where the groups of `token_batches` begin, and where the last one ends."""
    edges = [0]
    longest = 0
    for index, length in enumerate(lengths):
        if length > longest:
            longest = length
        if longest * (index + 1 - edges[-1]) > max_tokens and index > edges[-1]:
            edges.append(index)
            longest = length
    return [*edges, len(lengths)] if lengths else edges
