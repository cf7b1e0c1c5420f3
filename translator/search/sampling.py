"""Sampling: translations drawn at random from the model's distribution."""

import torch
from torch import Tensor

from translator.config.schema import SearchConfig
from translator.search.beam import Models, SearchState, follow
from translator.search.hypothesis import Hypothesis
from translator.system.seeds import derive_seed
from translator.text.tokenizer import PAD


@torch.inference_mode()
def sample(
    models: Models,
    src: Tensor,
    config: SearchConfig,
    prefixes: Tensor | None = None,
) -> list[list[Hypothesis]]:
    """As `beam_search`, but draws `config.n_best` translations of each sentence at random.

    From the distribution at `config.temperature`, cut to its `top_k` likeliest pieces (Fan et al.
    2018) and to the likeliest that together reach the probability `top_p` (Holtzman et al. 2020).
    Log-probabilities are the model's own, without temperature and cuts.
    """
    state = SearchState(models, src, config, prefixes, n_start=config.n_best)
    randoms = _uniforms(src, state.limits, config)  # (B, steps, K)
    return follow(
        state, lambda scores: _draw(scores, randoms[state.sentences, state.length], config)
    )


def _uniforms(src: Tensor, limits: Tensor, config: SearchConfig) -> Tensor:
    """Numbers in [0, 1) `(B, steps, K)`, each sentence's a function of the seed and its ids."""
    numbers = torch.zeros(len(src), int(limits.max()) + 1, config.n_best)
    for row, (ids, limit) in enumerate(zip(src.tolist(), limits.tolist(), strict=True)):
        seed = derive_seed(config.seed, *(i for i in ids if i != PAD))
        generator = torch.Generator().manual_seed(seed)
        numbers[row, : limit + 1] = torch.rand(limit + 1, config.n_best, generator=generator)
    return numbers.to(src.device)


def _draw(scores: Tensor, randoms: Tensor, config: SearchConfig) -> Tensor:
    """A piece `(B, K)` for each row of `scores` `(B, K, V)`, by a number in [0, 1) `(B, K)`."""
    probabilities = (scores / config.temperature).softmax(dim=2)
    pieces = None
    if config.top_k or config.top_p < 1:
        width = scores.shape[2]
        values, pieces = probabilities.topk(min(config.top_k or _NUCLEUS, width))  # likeliest first
        if not config.top_k and (values.sum(dim=2) < config.top_p).any():
            values, pieces = probabilities.sort(dim=2, descending=True)
        elif config.top_k:
            values = values / values.sum(dim=2, keepdim=True)
        # Inside are those before whom the sum is below top_p, so the likeliest in any case.
        outside = values.cumsum(dim=2) - values >= config.top_p
        probabilities = values.masked_fill(outside, 0.0)
    cumulative = probabilities.cumsum(dim=2)
    place = torch.searchsorted(cumulative, randoms[:, :, None] * cumulative[:, :, -1:], right=True)
    # A product that rounding made as large as the whole sum belongs to the last that has a share.
    last = (cumulative < cumulative[:, :, -1:]).sum(dim=2, keepdim=True)
    place = place.minimum(last)
    return (place if pieces is None else pieces.gather(2, place))[:, :, 0]


_NUCLEUS = 256  # pieces that nearly always hold the probability top_p
