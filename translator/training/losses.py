"""What training minimises: label-smoothed cross-entropy, alone or with a consistency term."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from translator.config.schema import TrainConfig
from translator.model.batch import CHUNK, Batch, collate, token_batches
from translator.model.transformer import Transformer
from translator.text.tokenizer import BOS, EOS, PAD, IdPair

GPU_CHUNK = 8192


class _ProjectedCrossEntropy(torch.autograd.Function):
    """Computes the gradients along with the loss, chunk by chunk, so no `(N, V)` matrix is kept.

    The gradient of the cross-entropy with respect to the logits is `softmax - aim`. Only the
    softmax is multiplied as a matrix; the aim, `1 - eps` on the target and `eps / V` everywhere,
    goes through the products by hand, in the precision of the weights.
    """

    @staticmethod
    def forward(ctx, states, weight, targets, smoothing, consistency, symmetric):  # type: ignore[no-untyped-def]
        n = len(targets)
        views = len(states) // max(n, 1)
        vocab_size = len(weight)
        size = CHUNK if states.device.type == "cpu" else GPU_CHUNK
        matrix = weight.to(states.dtype)
        states_grad = torch.empty_like(states)
        weight_grad = torch.zeros_like(weight)
        nll_sum, log_totals, divergence = weight.new_zeros(3).unbind()
        # The views that the cross-entropy is taken of: both in R-Drop, the first one in SimCut.
        learnt = views if symmetric else 1
        for start in range(0, n, size):
            target = targets[start : start + size, None]  # (N, 1)
            rows = [slice(v * n + start, v * n + start + len(target)) for v in range(views)]
            grads, logs = [], []
            for view, row in enumerate(rows):
                logits = states[row] @ matrix.T  # (N, V)
                probs = logits.softmax(dim=1)
                # No smaller than the least normal number: an impossible target costs 87 nats.
                nll = -probs.gather(1, target).to(weight.dtype).clamp_min_(1e-38).log_()
                log_total = nll + logits.gather(1, target)
                if view < learnt:
                    nll_sum += nll.sum() / learnt
                    log_totals += log_total.sum() / learnt
                grads.append(probs)
                if views == 2:
                    logs.append(logits.to(weight.dtype).sub_(log_total))
            if views == 2:
                value, grads = _consistency(grads, logs, consistency, symmetric)
                divergence += value
            for row, grad in zip(rows, grads, strict=True):
                torch.mm(grad, matrix, out=states_grad[row])
                weight_grad += grad.T @ states[row]
        # What is aimed at: taken off the gradients.
        mean = weight.mean(dim=0)
        learnt_states = states[: learnt * n].to(weight.dtype)
        total = learnt_states.sum(dim=0)
        repeated = targets.repeat(learnt)
        aim = torch.lerp(weight[repeated], mean, smoothing) / learnt
        states_grad[: learnt * n] -= aim
        weight_grad.index_add_(0, repeated, learnt_states, alpha=(smoothing - 1) / learnt)
        weight_grad -= smoothing / vocab_size / learnt * total
        uniform_sum = log_totals - total @ mean / learnt
        loss_sum = (1 - smoothing) * nll_sum + smoothing * uniform_sum + divergence
        ctx.save_for_backward(states_grad, weight_grad)
        ctx.mark_non_differentiable(nll_sum)
        return loss_sum, nll_sum

    @staticmethod
    def backward(ctx, upstream, _):  # type: ignore[no-untyped-def]
        states_grad, weight_grad = ctx.saved_tensors
        return states_grad * upstream, weight_grad * upstream, None, None, None, None


def _consistency(
    probs: list[Tensor], log_probs: list[Tensor], weight: float, symmetric: bool
) -> tuple[Tensor, list[Tensor]]:
    """How far two predictions `p` and `q`, each `(N, V)`, are from each other.

    Symmetric, as in R-Drop: half the mean of both KL divergences, beside the mean of both
    cross-entropies. Else `KL(p || q)`, beside the cross-entropy of p. Gradients flow to both.

    Returns:
        The divergence times `weight`, and the gradients of it plus the cross-entropies (without
        the aim) with respect to the logits.
    """
    p, q = (prob.to(log_probs[0].dtype) for prob in probs)
    ratio = log_probs[0] - log_probs[1]
    forward = (p * ratio).sum(dim=1, keepdim=True)  # KL(p || q)
    p_grad, q_grad = p * (ratio - forward), q - p
    if not symmetric:
        grads = [p + weight * p_grad, weight * q_grad]
        return weight * forward.sum(), [g.to(probs[0].dtype) for g in grads]
    backward = -(q * ratio).sum(dim=1, keepdim=True)  # KL(q || p)
    share = weight / 4
    grads = [
        p / 2 + share * (p_grad - q_grad),
        q / 2 + share * (q_grad - q * (ratio + backward)),
    ]
    return share * (forward + backward).sum(), [g.to(probs[0].dtype) for g in grads]


def projected_cross_entropy(
    states: Tensor,
    weight: Tensor,
    targets: Tensor,
    smoothing: float = 0.0,
    consistency: float = 0.0,
    symmetric: bool = False,
) -> tuple[Tensor, Tensor]:
    """Sums over N positions of the loss to minimise and of the plain `-log p(target)`.

    Label smoothing (Szegedy et al. 2016; Vaswani et al. 2017, section 5.4): the aim is
    `1 - smoothing` on the target plus `smoothing / V` on every piece. Equal to
    `F.cross_entropy(states @ weight.T, targets, reduction="sum", label_smoothing=smoothing)`.

    With twice as many states as targets these are two views of the same positions, first all of
    one, then all of the other, and a consistency term is added, see `Objective`.

    Args:
        states: `(N, D)` or `(2N, D)`, decoder states of the real target positions. The products
            are computed in their precision, sums in that of `weight`.
        weight: `(V, D)`, the output embedding.
        targets: `(N,)`, the pieces to be predicted.
        smoothing: the mass that is spread over the vocabulary.
        consistency: the weight of the divergence between two views.
        symmetric: both views are learnt from, and the divergence is taken both ways.

    Returns:
        `loss_sum`, which has gradients, and `nll_sum`, which has none.
    """
    return _ProjectedCrossEntropy.apply(states, weight, targets, smoothing, consistency, symmetric)


def drop_tokens(ids: Tensor, rate: float) -> Tensor:
    """`ids` with a share `rate` of them replaced by PAD, whose embedding is zero.

    Word dropout (Gal & Ghahramani 2016, section 4.1) and the token cut-off of Shen et al. (2020):
    what is dropped keeps its position, and attention still goes to it. BOS and EOS stay.
    """
    dropped = torch.rand(ids.shape, device=ids.device) < rate
    return ids.masked_fill(dropped & (ids != BOS) & (ids != EOS), PAD)


class Objective(nn.Module):
    """The loss of a batch: `objective(batch) -> (loss_sum, nll_sum)`, sums over target tokens.

    Label-smoothed cross-entropy; with word dropout (`word_dropout`) on both sides; and one of

    - `r_drop`, alpha of R-Drop (Liang et al. 2021, equations 3 and 4): the batch goes through
      twice with other dropout. The loss is half the paper's, so that one token counts as one:
      `mean(CE_1, CE_2) + alpha / 4 (KL(1 || 2) + KL(2 || 1))`.
    - `simcut`, alpha of SimCut (Gao et al. 2022, equation 5): beside the batch goes one with
      tokens cut off (`simcut_rate` of both sides), `CE + alpha KL(batch || cut)`, with gradients
      through both.
    """

    def __init__(self, model: Transformer, config: TrainConfig):
        super().__init__()
        self.model = model
        self.config = config

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        c = self.config
        src, tgt_in = batch.src, batch.tgt_in
        src_mask = (src != PAD)[:, None, None, :]
        if c.word_dropout > 0 and self.training:
            src, tgt_in = drop_tokens(src, c.word_dropout), drop_tokens(tgt_in, c.word_dropout)
        consistency = max(c.r_drop, c.simcut) if self.training else 0.0
        if consistency > 0:
            rate = c.simcut_rate if c.simcut > 0 else 0.0
            src = torch.cat([src, drop_tokens(src, rate)])
            tgt_in = torch.cat([tgt_in, drop_tokens(tgt_in, rate)])
            src_mask = torch.cat([src_mask, src_mask])
        device = src.device.type
        memory, _ = self.model.encode(src, src_mask)
        states, _ = self.model.decode_states(tgt_in, memory, src_mask)  # (B, T, D)
        # (views, B * T, D) -> (views * N, D), the real target positions.
        views = states.flatten(0, 1).unflatten(0, (-1, batch.tgt_out.numel()))
        flat = views.index_select(1, batch.positions).flatten(0, 1)
        with torch.autocast(device, enabled=False):
            return projected_cross_entropy(
                flat,
                self.model.embedding.weight,
                batch.tgt_out.flatten()[batch.positions],
                c.label_smoothing,
                consistency,
                symmetric=c.r_drop > 0,
            )


@torch.inference_mode()
def validation_loss(model: Transformer, pairs: Sequence[IdPair], device: torch.device) -> float:
    """Mean of `-log p` per target token."""
    objective = Objective(model, TrainConfig(label_smoothing=0.0)).eval()
    order = sorted(range(len(pairs)), key=lambda i: max(map(len, pairs[i])))
    lengths = [max(map(len, pairs[i])) + 1 for i in order]
    total, n_tokens = 0.0, 0
    for rows in token_batches(lengths, 8192):
        batch = collate([pairs[order[i]] for i in rows]).to(device)
        total += float(objective(batch)[1])
        n_tokens += batch.n_tokens
    return total / n_tokens
