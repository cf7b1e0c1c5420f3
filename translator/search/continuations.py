"""Which pieces continue hypotheses best, and which would repeat what they say already."""

import torch
from torch import Tensor

from translator.model.incremental import GROUP
from translator.text.tokenizer import PAD


def best_continuations(scores: Tensor, log_probs: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The n best sums of `scores` `(B, K, V)` and `log_probs` `(B, K)` of each sentence.

    A `topk` over all columns is slow. But the n best lie in the n groups of columns whose best are
    best, and the best of every group are found fast.

    Returns:
        The sums `(B, n)`, best first, and their places `k * V + v`.
    """
    batch, n_live, width = scores.shape
    n_each = width // GROUP  # groups of a hypothesis
    if batch * n_live == 1 or n_live * n_each <= 2 * n or width % GROUP:
        sums = (scores + log_probs[:, :, None]).flatten(1)
        return sums.topk(min(n, sums.shape[1]))
    groups = scores.view(-1, GROUP)
    sums = groups.amax(dim=1).view(batch, n_live, n_each) + log_probs[:, :, None]
    best = sums.flatten(1).topk(n).indices  # (B, n)
    firsts = torch.arange(0, len(groups), n_live * n_each, device=scores.device)
    found = groups.index_select(0, (best + firsts[:, None]).flatten()).view(batch, n, GROUP)
    before = log_probs.gather(1, best // n_each)  # (B, n)
    sums, places = (found + before[:, :, None]).flatten(1).topk(n)
    return sums, best.gather(1, places // GROUP) * GROUP + places % GROUP


def diverse_continuations(
    scores: Tensor, log_probs: Tensor, n: int, diversity: float
) -> tuple[Tensor, Tensor]:
    """As `best_continuations`, but a hypothesis' children compete with it first.

    Its second best child pays `diversity`, the third twice that (Li et al. 2016); the sums are
    without what was paid.
    """
    n_each = min(n, scores.shape[2])
    values, columns = scores.topk(n_each)  # (B, K, n)
    sums = values + log_probs[:, :, None]
    ranks = torch.arange(n_each, device=scores.device)
    order = (sums - diversity * ranks).flatten(1).topk(min(n, sums[0].numel())).indices
    places = columns + scores.shape[2] * torch.arange(sums.shape[1], device=sums.device)[:, None]
    return sums.flatten(1).gather(1, order), places.flatten(1).gather(1, order)


def repeated(tokens: Tensor, n: int) -> Tensor:
    """Pieces that would repeat an n-gram of `tokens` `(B, K, T)`: `(B, K, T - n + 1)`, or PAD."""
    if tokens.shape[2] < n:
        return tokens[:, :, :0]
    windows = tokens.unfold(2, n, 1)  # (B, K, T - n + 1, n)
    newest = tokens[:, :, None, tokens.shape[2] - n + 1 :]
    same = (windows[..., :-1] == newest).all(dim=3)
    return torch.where(same, windows[..., -1], PAD)
