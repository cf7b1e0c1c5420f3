"""The loss: projection to the vocabulary and label-smoothed cross-entropy in one."""

from collections.abc import Sequence

import torch
from torch import Tensor

from translator.data import Batch, IdPair, collate, token_batches
from translator.model import Transformer
from translator.tokenizer import PAD

CHUNK = 512  # positions whose logits exist at a time


class _ProjectedCrossEntropy(torch.autograd.Function):
    """Computes the gradients along with the loss, chunk by chunk, so no `(N, V)` matrix is kept."""

    @staticmethod
    def forward(ctx, states, weight, targets, smoothing):  # type: ignore[no-untyped-def]
        vocab_size = weight.shape[0]
        loss_sum = states.new_zeros(())
        nll_sum = states.new_zeros(())
        states_grad = torch.empty_like(states)
        weight_grad = torch.zeros_like(weight)
        for start in range(0, len(states), CHUNK):
            chunk = states[start : start + CHUNK]  # (N, D)
            target = targets[start : start + CHUNK, None]  # (N, 1)
            logits = chunk @ weight.T  # (N, V)
            log_total = logits.logsumexp(dim=1, keepdim=True)
            nll = (log_total - logits.gather(1, target)).sum()
            uniform = log_total.sum() - logits.mean(dim=1).sum()
            nll_sum += nll
            loss_sum += (1 - smoothing) * nll + smoothing * uniform
            # d loss / d logits = softmax - ((1 - eps) onehot + eps / V)
            grad = logits.sub_(log_total).exp_().sub_(smoothing / vocab_size)
            grad.scatter_add_(1, target, torch.full_like(target, smoothing - 1, dtype=grad.dtype))
            torch.mm(grad, weight, out=states_grad[start : start + CHUNK])
            weight_grad.addmm_(grad.T, chunk)
        ctx.save_for_backward(states_grad, weight_grad)
        ctx.mark_non_differentiable(nll_sum)
        return loss_sum, nll_sum

    @staticmethod
    def backward(ctx, upstream, _):  # type: ignore[no-untyped-def]
        states_grad, weight_grad = ctx.saved_tensors
        return states_grad * upstream, weight_grad * upstream, None, None


def projected_cross_entropy(
    states: Tensor, weight: Tensor, targets: Tensor, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Sums over N positions of the loss to minimise and of the plain `-log p(target)`.

    Label smoothing (Szegedy et al. 2016; Vaswani et al. 2017, section 5.4): the aim is
    `1 - smoothing` on the target plus `smoothing / V` on every piece. Equal to
    `F.cross_entropy(states @ weight.T, targets, reduction="sum", label_smoothing=smoothing)`.

    Args:
        states: `(N, D)`, decoder states of the real target positions.
        weight: `(V, D)`, the output embedding.
        targets: `(N,)`, the pieces to be predicted.
        smoothing: the mass that is spread over the vocabulary.

    Returns:
        `loss_sum`, which has gradients, and `nll_sum`, which has none.
    """
    return _ProjectedCrossEntropy.apply(states, weight, targets, smoothing)


def loss_sums(model: Transformer, batch: Batch, smoothing: float) -> tuple[Tensor, Tensor]:
    """Sums over the real target tokens of a batch: the smoothed loss, and `-log p`."""
    memory, src_mask = model.encode(batch.src)
    states, _ = model.decode_states(batch.tgt_in, memory, src_mask)  # (B, T, D)
    real = batch.tgt_out != PAD
    return projected_cross_entropy(
        states[real], model.embedding.weight, batch.tgt_out[real], smoothing
    )


@torch.inference_mode()
def validation_loss(model: Transformer, pairs: Sequence[IdPair], device: torch.device) -> float:
    """Mean of `-log p` per target token."""
    order = sorted(range(len(pairs)), key=lambda i: max(map(len, pairs[i])))
    lengths = [max(map(len, pairs[i])) + 1 for i in order]
    total, n_tokens = 0.0, 0
    for rows in token_batches(lengths, 8192):
        batch = collate([pairs[order[i]] for i in rows]).to(device)
        total += float(loss_sums(model, batch, 0.0)[1])
        n_tokens += batch.n_tokens
    return total / n_tokens
