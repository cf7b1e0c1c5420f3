"""Beam search and sampling over any models that have `encode`, `decode` and a cache.

All hypotheses of all sentences advance together, one piece a step, without a loop over them in
Python. Greedy search is a beam of one. A sentence's result depends on nothing but the sentence:
not on its batch, and a sample not on chance (its random numbers come from the seed and its ids).
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from translator.config.schema import SearchConfig
from translator.model.incremental import IncrementalDecoder
from translator.model.transformer import Transformer
from translator.search.continuations import best_continuations, diverse_continuations, repeated
from translator.search.hypothesis import Hypothesis, normalised
from translator.text.tokenizer import BOS, EOS, PAD

_COMPACT = 0.75  # finished sentences leave once the batch is at most this full

Models = Transformer | IncrementalDecoder | Sequence[Transformer | IncrementalDecoder]


class _Ensemble:
    """One or several models in step; several average their probabilities."""

    def __init__(self, models: Models, src: Tensor, need_coverage: bool):
        several = models if isinstance(models, Sequence) else [models]
        self.decoders = [
            model if isinstance(model, IncrementalDecoder) else IncrementalDecoder(model)
            for model in several
        ]
        self.pieces = self.decoders[0].pieces
        each = [None if d.pieces is None else d.pieces.tolist() for d in self.decoders]
        if any(pieces != each[0] for pieces in each):
            raise ValueError("the models of an ensemble must write the same pieces")
        self.states = [decoder.start(src) for decoder in self.decoders]
        # (B, K, S): the attention each source piece got so far, mean of layers and heads
        self.coverage = src.new_zeros(len(src), 1, src.shape[1], dtype=torch.float32)
        self.need_coverage = need_coverage

    def log_probs(self, last: Tensor) -> Tensor:
        """Of the piece after `last` `(B, K)`, and all before it: `(B, K, V)`."""
        each = []
        for decoder, state in zip(self.decoders, self.states, strict=True):
            logits, weights = decoder.step(last, state)
            each.append(logits.log_softmax(dim=-1, dtype=torch.float32))
            if self.need_coverage:
                mean = torch.stack(weights).mean(dim=(0, 3))  # of (layers, B, K, H, S)
                self.coverage = self.coverage + mean / len(self.decoders)
        if len(each) == 1:
            return each[0]
        return torch.stack(each).logsumexp(dim=0) - math.log(len(each))

    def reorder(self, parents: Tensor) -> None:
        """Hypothesis k of sentence b is from now on the continuation of `parents[b, k]`."""
        for state in self.states:
            state.reorder(parents)
        if self.need_coverage:
            self.coverage = pick(self.coverage, parents)

    def keep(self, sentences: Tensor) -> None:
        """Keeps only these sentences `(new B,)`."""
        self.coverage = self.coverage[sentences]
        for state in self.states:
            state.keep(sentences)


def pick(values: Tensor, parents: Tensor) -> Tensor:
    """Rows `parents` `(B, K)` of `values` `(B, K, N)`."""
    return values.gather(1, parents[:, :, None].expand(-1, -1, values.shape[2]))


class Finished:
    """The best K finished hypotheses of each sentence, best first."""

    def __init__(self, n_sentences: int, beam_size: int, device: torch.device, length: int = 1):
        shape = (n_sentences, beam_size)
        self.scores = torch.full(shape, float("-inf"), device=device)
        self.log_probs = torch.full(shape, float("-inf"), device=device)
        # (B, K, length), BOS and pieces, then EOS
        self.tokens = torch.full((*shape, length), EOS, device=device)

    def add(self, scores: Tensor, log_probs: Tensor, tokens: Tensor) -> None:
        """Hypotheses `tokens` `(B, N, T)` with their scores `(B, N)`, -inf where there is none."""
        grow = tokens.shape[2] - self.tokens.shape[2]
        known = torch.nn.functional.pad(self.tokens, (0, grow), value=EOS)
        beam_size = self.scores.shape[1]
        # A stable sort: of equal scores the earlier stays first.
        order = torch.cat([self.scores, scores], dim=1).argsort(dim=1, descending=True, stable=True)
        order = order[:, :beam_size]
        self.scores = torch.cat([self.scores, scores], dim=1).gather(1, order)
        self.log_probs = torch.cat([self.log_probs, log_probs], dim=1).gather(1, order)
        self.tokens = pick(torch.cat([known, tokens], dim=1), order)

    def keep(self, sentences: Tensor) -> None:
        self.scores, self.log_probs = self.scores[sentences], self.log_probs[sentences]
        self.tokens = self.tokens[sentences]

    def hypotheses(self, sentences: Tensor, n_best: int) -> list[list[Hypothesis]]:
        """The first `n_best` of each of some sentences `(new B,)`."""
        each = (self.tokens, self.log_probs, self.scores)
        rows = (values[sentences, :n_best].tolist() for values in each)
        return [
            [
                Hypothesis([i for i in ids[1:] if i != EOS], log_prob, score)
                for ids, log_prob, score in zip(*row, strict=True)
                if score > float("-inf")
            ]
            for row in zip(*rows, strict=True)
        ]


class SearchState:
    """What beam search and sampling share: the state of a batch, from BOS to the last EOS."""

    fixed = False  # whether a step may neither ask the device for anything nor replace a tensor

    def __init__(
        self,
        models: Models,
        src: Tensor,
        config: SearchConfig,
        prefixes: Tensor | None,
        n_start: int,
    ):
        self.config = config
        self.decoder = _Ensemble(models, src, config.coverage_penalty != 0)
        # (ids,): the column of each piece that may be written, that of PAD for all others.
        self.columns: Tensor | None = None
        if (pieces := self.decoder.pieces) is not None:
            n_ids = self.decoder.decoders[0].model.config.vocab_size
            self.columns = pieces.new_full((n_ids,), PAD)
            self.columns[pieces] = torch.arange(len(pieces), device=pieces.device)
        self.src = src
        self.prefixes = src[:, :0] if prefixes is None else prefixes
        lengths, forced = (src != PAD).sum(dim=1), (self.prefixes != PAD).sum(dim=1)
        self.limits = (lengths * config.max_ratio + config.max_extra).long() + forced
        self.first_limit = int(self.limits.min())
        self.tokens = src.new_full((len(src), n_start, 1), BOS)  # (B, K, length so far)
        self.log_probs = torch.zeros(len(src), n_start, device=src.device)  # -inf: no hypothesis
        n_finished = config.n_best if config.decode == "sample" else config.beam_size
        self.finished = Finished(len(src), n_finished, src.device)
        self.sentences = list(range(len(src)))  # which sentence each row of the batch is
        self.results: list[list[Hypothesis]] = [[] for _ in self.sentences]

    @property
    def length(self) -> int:
        """Pieces so far."""
        return self.tokens.shape[2] - 1

    def scores(self) -> Tensor:
        """Log-probabilities `(B, K, V)` of the next piece, -inf where it may not follow."""
        scores = self.decoder.log_probs(self.tokens[:, :, -1])
        config, length = self.config, self.length
        end = scores[:, :, EOS].clone()
        forced = None
        if length < self.prefixes.shape[1]:
            forced = self.prefixes[:, length, None, None].expand(-1, scores.shape[1], 1)
            columns = self._columns_of(forced)
            chance = scores.gather(2, columns)
            if self.columns is not None:  # a piece that the model would not write itself is free
                chance = chance.masked_fill(columns == PAD, 0.0)
            kept = torch.full_like(scores, float("-inf")).scatter(2, columns, chance)
        if config.no_repeat_ngram:
            again = self._columns_of(repeated(self.tokens, config.no_repeat_ngram))
            scores.scatter_(2, again, float("-inf"))
        if length < config.min_length:
            scores[:, :, EOS] = float("-inf")
            stuck = scores.amax(dim=2) == float("-inf")  # every piece is blocked
            scores[:, :, EOS] = torch.where(stuck, end, scores[:, :, EOS])
        if length >= self.first_limit:
            self.end_at_limit(scores, end)
        return scores if forced is None else torch.where(forced == PAD, scores, kept)

    def end_at_limit(self, scores: Tensor, end: Tensor) -> None:
        """Leaves sentences at their limit only EOS, with the scores `end` `(B, K)`."""
        at_limit = (self.length >= self.limits)[:, None]
        scores.masked_fill_(at_limit[:, :, None], float("-inf"))
        scores[:, :, EOS] = torch.where(at_limit, end, scores[:, :, EOS])

    def _columns_of(self, ids: Tensor) -> Tensor:
        """The columns of the pieces `ids` in scores; that of PAD for pieces without one."""
        return ids if self.columns is None else self.columns[ids]

    def pieces_of(self, columns: Tensor) -> Tensor:
        """The pieces of columns `(B, N)` of scores; of a prefix, whatever it holds."""
        if self.decoder.pieces is None:
            return columns
        ids = self.decoder.pieces[columns.clamp(max=len(self.decoder.pieces) - 1)]
        if self.prefixes.shape[1] == 0:
            return ids
        forced = self.prefixes[:, self.length : self.length + 1]
        return torch.where(forced == PAD, ids, forced) if forced.shape[1] else ids

    def final_scores(self, log_probs: Tensor, parents: Tensor) -> Tensor:
        """By which hypotheses that end now, after `parents` `(B, N)`, are ranked."""
        scores = normalised(log_probs, self.length + 1, self.config)
        if self.config.coverage_penalty:  # Wu et al. 2016, equation 14
            seen = pick(self.decoder.coverage, parents).clamp(1e-9, 1.0)  # (B, N, S)
            missed = seen.log().masked_fill((self.src == PAD)[:, None], 0.0).sum(dim=2)
            scores = scores + self.config.coverage_penalty * missed
        return scores

    def advance(self, parents: Tensor | None, pieces: Tensor, log_probs: Tensor) -> None:
        """Hypothesis k becomes `parents[b, k]` and the piece `pieces[b, k]`."""
        if parents is not None:
            self.tokens = pick(self.tokens, parents)
            self.decoder.reorder(parents)
        self.tokens = torch.cat([self.tokens, pieces[:, :, None]], dim=2)
        self.log_probs = log_probs

    def leave(self, done: Tensor) -> bool:
        """Ends the search of sentences `done` `(B,)`. Returns whether any is left."""
        self.log_probs = self.log_probs.masked_fill(done[:, None], float("-inf"))
        left = int((~done).sum())
        if left > _COMPACT * len(done):
            return True
        rows = done.nonzero()[:, 0]
        found = self.finished.hypotheses(rows, self.config.n_best)
        for row, hypotheses in zip(rows.tolist(), found, strict=True):
            self.results[self.sentences[row]] = hypotheses
        if left:
            stay = (~done).nonzero()[:, 0]
            self.tokens, self.log_probs = self.tokens[stay], self.log_probs[stay]
            self.limits = self.limits[stay]
            self.src, self.prefixes = self.src[stay], self.prefixes[stay]
            self.sentences = [self.sentences[row] for row in stay.tolist()]
            self.decoder.keep(stay)
            self.finished.keep(stay)
        return left > 0


@torch.inference_mode()
def beam_search(
    models: Models,
    src: Tensor,
    config: SearchConfig,
    prefixes: Tensor | None = None,
) -> list[list[Hypothesis]]:
    """Translates a batch.

    At each step a live hypothesis offers its continuations; the best 2K of a sentence are looked
    at, of which those that end with EOS and are among the first K are finished, and the best K
    others live on. At the length limit only EOS may follow. When a sentence is done:

    With a beam of one, as soon as EOS is the likeliest piece: greedy search. Else, `stopping` says.

    `exact`: no live hypothesis can still come among the best `n_best`, were all its further pieces
    certain and its length the best there is. `fast`: K are finished, and the best live one, ended
    now and for nothing, would not be among the best K. (Stopping as soon as K are finished, the
    common rule, favours short ones.)

    Args:
        models: in evaluation mode; several, with the same vocabulary, are an ensemble.
        src: `(B, S)` ids, closed with EOS, padded right.
        config: beam size K, length penalty, limits, and how many hypotheses to return.
        prefixes: `(B, P)` pieces that each translation begins with, padded right.

    Returns:
        For each sentence at most `config.n_best` hypotheses, the best score first.
    """
    state = SearchState(models, src, config, prefixes, n_start=1)
    if config.beam_size == 1:
        return follow(state, lambda scores: best_continuations(scores, state.log_probs, 1)[1])
    while state.leave(beam_step(state)):
        pass
    return state.results


def beam_step(state: SearchState) -> Tensor:
    """Continues each hypothesis with a piece. Returns which sentences are done then `(B,)`."""
    beam_size, diversity = state.config.beam_size, state.config.diversity
    scores = state.scores()
    at_limit = state.length >= state.limits
    if diversity:
        log_probs, places = diverse_continuations(scores, state.log_probs, 2 * beam_size, diversity)
    else:
        log_probs, places = best_continuations(scores, state.log_probs, 2 * beam_size)
    parents = places // scores.shape[2]  # (B, 2K), best first
    pieces = state.pieces_of(places % scores.shape[2])

    ends = (pieces == EOS) & (log_probs > float("-inf"))
    if state.fixed or ends[:, :beam_size].any():
        ended = parents[:, :beam_size]
        final = state.final_scores(log_probs[:, :beam_size], ended)
        final = final.masked_fill(~ends[:, :beam_size], float("-inf"))
        state.finished.add(final, log_probs[:, :beam_size], pick(state.tokens, ended))

    # The best K that do not end, in order: a stable sort moves the others to the back.
    dead = ends | (log_probs == float("-inf"))
    order = dead.int().argsort(dim=1, stable=True)[:, :beam_size]
    dead = dead.gather(1, order)
    log_probs = log_probs.gather(1, order).masked_fill(dead, float("-inf"))
    pieces = pieces.gather(1, order).masked_fill(dead, PAD)
    state.advance(parents.gather(1, order), pieces, log_probs)
    return at_limit | _is_done(state)


def _is_done(state: SearchState) -> Tensor:
    """By the rule of `config.stopping`, for each sentence of the batch `(B,)`."""
    config = state.config
    best = state.log_probs.amax(dim=1)
    bound = normalised(best, state.length + 1, config)
    to_beat = state.finished.scores[:, -1]
    if config.beam_size == 1:  # one is found
        bound = to_beat
    if config.stopping == "exact":
        lengths = torch.arange(state.length + 1, int(state.limits.max()) + 3, device=best.device)
        bounds = normalised(best[:, None], lengths, config)  # (B, lengths)
        bound = bounds.masked_fill(lengths > state.limits[:, None] + 1, float("-inf")).amax(dim=1)
        to_beat = state.finished.scores[:, config.n_best - 1]
    return (best == float("-inf")) | ((to_beat >= bound) & (to_beat > float("-inf")))


def follow(state: SearchState, choose: Callable[[Tensor], Tensor]) -> list[list[Hypothesis]]:
    """Continues each hypothesis with the one column `(B, K)` that `choose` takes of its scores."""
    while True:
        scores = state.scores()  # (B, K, V)
        columns = choose(scores)
        log_probs = state.log_probs + scores.gather(2, columns[:, :, None])[:, :, 0]
        pieces = state.pieces_of(columns)
        ended = pieces == EOS
        if ended.any():
            new = ended & (log_probs > float("-inf"))
            own = torch.arange(pieces.shape[1], device=pieces.device).expand_as(pieces)
            final = state.final_scores(log_probs, own).masked_fill(~new, float("-inf"))
            state.finished.add(final, log_probs, state.tokens)
            log_probs = log_probs.masked_fill(ended, float("-inf"))
            done = (log_probs == float("-inf")).all(dim=1)
        else:
            done = None
        state.advance(None, pieces, log_probs)
        if done is not None and not state.leave(done):
            return state.results
