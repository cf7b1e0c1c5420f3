"""Beam search over any model that has `encode`, `decode` and a cache.

All hypotheses of all sentences advance together. A sentence is done, and leaves the batch when K
of its hypotheses are finished and the best live one, ended now and for nothing, would not be among
the best K. (Longer still, a length penalty could lift it: this is a rule, not a proof. Stopping as
soon as K are finished, the common rule, favours short ones.) Greedy search is a beam of one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from translator.config import SearchConfig
from translator.model import DecoderCache, Transformer
from translator.tokenizer import BOS, EOS, PAD, UNK


@dataclass(frozen=True)
class Hypothesis:
    """A finished translation: ids without BOS and EOS."""

    ids: list[int]
    log_prob: float  # natural logarithm, EOS included
    score: float  # log_prob / length ** alpha, with EOS counted in the length


class _Finished:
    """The best K finished hypotheses of each sentence, best first."""

    def __init__(self, n_sentences: int, beam_size: int, alpha: float):
        self.beam_size = beam_size
        self.alpha = alpha
        self.lists: list[list[Hypothesis]] = [[] for _ in range(n_sentences)]

    def score(self, log_prob: float, length: int) -> float:
        """`log_prob / length ** alpha`; the length counts EOS."""
        return log_prob / length**self.alpha

    def add(self, sentence: int, ids: list[int], log_prob: float) -> None:
        found = self.lists[sentence]
        found.append(Hypothesis(ids, log_prob, self.score(log_prob, len(ids) + 1)))
        found.sort(key=lambda hypothesis: -hypothesis.score)
        del found[self.beam_size :]

    def beats(self, sentence: int, log_prob: float, length: int) -> bool:
        """Whether K are finished and all better than a live one would be if it ended there."""
        found = self.lists[sentence]
        return len(found) >= self.beam_size and found[-1].score >= self.score(log_prob, length)


@torch.inference_mode()
def beam_search(model: Transformer, src: Tensor, config: SearchConfig) -> list[list[Hypothesis]]:
    """Translates a batch.

    At each step a live hypothesis offers its continuations; the best 2K of a sentence are looked
    at, of which those that end with EOS and stand among the first K are finished, and the best K
    others live on. At the length limit only EOS may follow.

    Args:
        model: in evaluation mode.
        src: `(B, S)` ids, closed with EOS, padded right.
        config: beam size K, length penalty, limits, and how many hypotheses to return.

    Returns:
        For each sentence `config.n_best` hypotheses, the best score first.
    """
    n_sentences, device = src.shape[0], src.device
    beam_size = config.beam_size
    memory, src_mask = model.encode(src)
    lengths = (src != PAD).sum(dim=1)
    limits = (lengths * config.max_ratio + config.max_extra).long()  # of pieces before EOS
    finished = _Finished(n_sentences, beam_size, config.length_penalty)
    cache = DecoderCache()

    sentences = torch.arange(n_sentences, device=device)  # which sentence each group of K rows is
    tokens = torch.full((n_sentences, 1, 1), BOS, device=device)  # (B, K, length so far)
    log_probs = torch.zeros(n_sentences, 1, device=device)  # (B, K); one hypothesis at the start
    for length in range(int(limits.max()) + 1):
        live = tokens.shape[1]
        last = tokens[:, :, -1].reshape(-1, 1)
        logits = model.decode(last, memory, src_mask, cache)[:, -1].float()  # (B*K, V)
        logits[:, [PAD, UNK, BOS]] = float("-inf")
        scores = logits.log_softmax(dim=-1).view(len(sentences), live, -1)
        at_limit = length >= limits[sentences]
        if at_limit.any():
            ending = scores[at_limit, :, EOS].clone()
            scores[at_limit] = float("-inf")
            scores[at_limit, :, EOS] = ending
        scores = scores + log_probs[:, :, None]

        vocab_size = scores.shape[-1]
        n_candidates = min(2 * beam_size, live * vocab_size)
        top, flat = scores.view(len(sentences), -1).topk(n_candidates)  # (B, 2K), best first
        parents, pieces = flat // vocab_size, flat % vocab_size
        ends = (pieces == EOS) & (top > float("-inf"))

        rows, ranks = ends[:, :beam_size].nonzero(as_tuple=True)
        for row, rank in zip(rows.tolist(), ranks.tolist(), strict=True):
            ids = tokens[row, parents[row, rank], 1:].tolist()
            finished.add(int(sentences[row]), ids, float(top[row, rank]))

        # The best K that do not end, in order: a stable sort moves the ended ones to the back.
        alive = (~ends & (top > float("-inf"))).long()
        keep = alive.argsort(dim=1, descending=True, stable=True)[:, :beam_size]
        log_probs = torch.where(alive.gather(1, keep).bool(), top.gather(1, keep), float("-inf"))
        parents, pieces = parents.gather(1, keep), pieces.gather(1, keep)

        best_live = zip(sentences.tolist(), log_probs[:, 0].tolist(), strict=True)
        done = torch.tensor(
            [finished.beats(s, log_prob, length + 2) for s, log_prob in best_live], device=device
        )
        stay = (~(done | at_limit | (log_probs[:, 0] == float("-inf")))).nonzero()[:, 0]
        if not len(stay):
            break
        parents, pieces, log_probs = parents[stay], pieces[stay], log_probs[stay]
        tokens = tokens[stay[:, None], parents]
        tokens = torch.cat([tokens, pieces[:, :, None]], dim=2)
        left = len(stay) < len(sentences)
        cache.reorder((stay[:, None] * live + parents).reshape(-1), stay if left else None)
        if left:
            memory, src_mask, sentences = memory[stay], src_mask[stay], sentences[stay]
    return [found[: config.n_best] for found in finished.lists]
