"""Beam search on a GPU: the steps of `beam.py` in buffers of fixed shape, as CUDA graphs.

A step is recorded once for each shape of a batch, and replayed for all later batches of that shape.
Sentences that are done stay in the batch, where they change nothing; whether any is left is only
asked every few steps. So the GPU does not wait for Python, nor Python for the GPU.
"""

import copy
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from translator.config.schema import SearchConfig
from translator.model.cache import FixedState
from translator.search.beam import (
    Finished,
    Models,
    SearchState,
    beam_search,
    beam_step,
    pick,
)
from translator.search.hypothesis import Hypothesis
from translator.system.graphs import record, warm_up
from translator.text.tokenizer import BOS, EOS, PAD

FEWEST = 8  # sentences that are worth a batch of full size
_LENGTHS = 16  # sources are padded to multiples of so many pieces
_PAST = 32  # attention reads the past in multiples of so many steps
_LOOK_EVERY = 8  # steps, to see whether any sentence is left
_MOST_SHAPES = 8  # whose buffers are kept


def padded_length(length: int) -> int:
    """The length that a source of `length` pieces gets in its batch."""
    return -(-length // _LENGTHS) * _LENGTHS


def batch_pieces(config: SearchConfig, n_hypotheses: int) -> int:
    """How many padded source pieces a full batch has: a GPU has room for many."""
    return config.batch_tokens * 16 // max(n_hypotheses, 2)


class FixedSearch:
    """Searches in batches of few shapes; their buffers and graphs are kept for later ones."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[Any, ...], _Buffers] = {}  # the last used one is the last
        self.lock = threading.Lock()

    @torch.inference_mode()
    def beam_search(
        self,
        models: Models,
        src: Tensor,
        config: SearchConfig,
        prefixes: Tensor | None = None,
    ) -> list[list[Hypothesis]]:
        """As `translator.search.beam.beam_search`, which also does what this does not.

        That are prefixes, n-grams that may not repeat, least lengths, coverage, exact stopping and
        small batches.

        Args:
            models: of `IncrementalDecoder`, made ready beforehand.
            src, config, prefixes: as there.
        """
        asks = (config.no_repeat_ngram, config.min_length, config.coverage_penalty)
        if any(asks) or config.stopping == "exact" or prefixes is not None or len(src) < FEWEST:
            return beam_search(models, src, config, prefixes)
        try:
            return self._search(models, src, config)
        except torch.OutOfMemoryError:
            with self.lock:
                self.buffers.clear()
        return beam_search(models, src, config)

    def _search(self, models: Models, src: Tensor, config: SearchConfig) -> list[list[Hypothesis]]:
        length = padded_length(src.shape[1])
        n_sources = max(len(src), batch_pieces(config, config.beam_size) // length)
        src = F.pad(src, (0, length - src.shape[1]), value=PAD)
        started = SearchState(models, src, config, None, n_start=1)
        several = models if isinstance(models, Sequence) else [models]
        key = (*several, n_sources, length, config)
        with self.lock:
            buffers = self.buffers.pop(key, None) or _Buffers(started, n_sources)
            found = buffers.search(started)
            self.buffers[key] = buffers
            if len(self.buffers) > _MOST_SHAPES:
                del self.buffers[next(iter(self.buffers))]
        return found


class _Finished(Finished):
    """Stays where it is."""

    def add(self, scores: Tensor, log_probs: Tensor, tokens: Tensor) -> None:
        mine = dict(vars(self))
        super().add(scores, log_probs, tokens)
        for name, tensor in mine.items():
            setattr(self, name, tensor.copy_(getattr(self, name)))


class _Buffers(SearchState):
    """The state of a search for up to `n_sources` sentences, in tensors that stay where they are.

    Args:
        started: a search whose sources are as long as all will be.
        n_sources: of the buffers.
    """

    fixed = True

    def __init__(self, started: SearchState, n_sources: int):
        self.config = config = started.config
        self.src, self.prefixes, self.columns = started.src, started.prefixes, started.columns
        self.decoder = copy.copy(started.decoder)
        device, shape = started.src.device, (n_sources, config.beam_size)
        longest = int(started.src.shape[1] * config.max_ratio + config.max_extra)
        n_steps = (longest // _PAST + 1) * _PAST
        self.states = [
            FixedState(state, *shape, decoder.model.position(0, n_steps))
            for decoder, state in zip(self.decoder.decoders, self.decoder.states, strict=True)
        ]
        self.decoder.states = list(self.states)
        self.tokens = torch.full((*shape, n_steps + 1), EOS, device=device)
        self.log_probs = torch.zeros(shape, device=device)
        self.limits = started.limits.new_zeros(n_sources)
        self.n_pieces = started.limits.new_zeros(1)
        self.finished = _Finished(*shape, device, n_steps + 1)
        self.steps: dict[int, Callable[[], Any]] = {}  # by how much of the past they read
        self.pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None

    @property
    def length(self) -> Any:
        """Pieces so far `(1,)`."""
        return self.n_pieces

    def search(self, started: SearchState) -> list[list[Hypothesis]]:
        """The hypotheses of each sentence of `started`."""
        if not self.steps:
            self._load(started)
            warm_up(partial(self._step, _PAST), self.tokens.device)
        self._load(started)
        for n in range(int(started.limits.max()) + 1):
            self._recorded((n // _PAST + 1) * _PAST)()
            if (n + 1) % _LOOK_EVERY == 0 and not (self.log_probs > float("-inf")).any():
                break
        rows = torch.arange(len(started.src), device=self.tokens.device)
        return self.finished.hypotheses(rows, self.config.n_best)

    def _load(self, started: SearchState) -> None:
        for mine, new in zip(self.states, started.decoder.states, strict=True):
            mine.load(new)
        self.tokens.fill_(EOS)
        self.tokens[:, :, 0] = BOS
        self.n_pieces.zero_()
        for values in (self.log_probs, self.finished.scores, self.finished.log_probs):
            values.fill_(float("-inf"))
        rows = len(started.src)
        self.log_probs[:rows, 0] = 0.0
        self.limits[:rows] = started.limits

    def _recorded(self, past: int) -> Callable[[], Any]:
        """A step that reads the first `past` steps."""
        if past not in self.steps:
            step = partial(self._step, past)
            self.steps[past] = record(step, self.tokens.device, self.pool)
        return self.steps[past]

    def _step(self, past: int) -> None:
        for state in self.states:
            state.n_slots = past * self.config.beam_size
        done = beam_step(self)
        self.log_probs.masked_fill_(done[:, None], float("-inf"))

    def scores(self) -> Tensor:
        last = self.tokens.index_select(2, self.n_pieces).squeeze(2)
        scores = self.decoder.log_probs(last)
        self.end_at_limit(scores, scores[:, :, EOS].clone())
        return scores

    def advance(self, parents: Tensor | None, pieces: Tensor, log_probs: Tensor) -> None:
        assert parents is not None
        self.n_pieces += 1
        self.tokens.copy_(pick(self.tokens, parents))
        self.tokens.index_copy_(2, self.n_pieces, pieces[:, :, None])
        self.decoder.reorder(parents)
        self.log_probs.copy_(log_probs)
