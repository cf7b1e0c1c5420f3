"""The training objective: label-smoothed cross-entropy, optionally with a consistency term."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translator.config.schema import TrainConfig
from translator.model.batch import CHUNK, Batch, collate
from translator.model.batching import token_batches
from translator.model.packing import PackedBatch
from translator.model.transformer import Transformer, cast_for_matmul
from translator.text.tokenizer import BOS, EOS, PAD, IdPair

GPU_CHUNK = 8192


class _ProjectedCrossEntropy(torch.autograd.Function):
    """Computes the gradients along with the loss, chunk by chunk, so no `(N, V)` matrix is kept.

    The gradient of the cross-entropy with respect to the logits is `softmax - aim`, where the aim
    is `1 - eps` on the target plus `eps / V` on every piece. Only the softmax is multiplied as a
    matrix; the products with the aim are written out, in the precision of the weights.

    On a CPU the rows are filled up with zeros to a multiple of a quarter of a chunk, so that
    products have one of four shapes: oneDNN makes code for each new one.
    """

    @staticmethod
    def forward(ctx, states, weight, targets, smoothing):  # type: ignore[no-untyped-def]
        on_cpu = states.device.type == "cpu"
        size = CHUNK if on_cpu else GPU_CHUNK
        n_rows = len(targets)
        if on_cpu and (fill := -n_rows % max(size // 4, 1)):
            states, targets = F.pad(states, (0, 0, 0, fill)), F.pad(targets, (0, fill), value=PAD)
        matrix = weight.to(states.dtype)
        states_grad = torch.empty_like(states)
        weight_grad = torch.zeros_like(weight)
        nll_sum, log_totals = weight.new_zeros(2).unbind()
        for start in range(0, len(targets), size):
            target = targets[start : start + size, None]  # (N, 1)
            row = slice(start, start + len(target))
            logits = states[row] @ matrix.T  # (N, V)
            probs = logits.softmax(dim=1)
            # Clamped to the smallest normal number: an impossible target costs 87 nats.
            nll = -probs.gather(1, target).to(weight.dtype).clamp_min_(1e-38).log_()
            log_total = nll + logits.gather(1, target)
            nll_sum += nll.masked_fill_(target == PAD, 0.0).sum()
            log_totals += log_total.masked_fill_(target == PAD, 0.0).sum()
            torch.mm(probs, matrix, out=states_grad[row])
            weight_grad += probs.T @ states[row]
        # Subtract the aim's part of the gradients.
        mean = weight.mean(dim=0)
        exact_states = states.to(weight.dtype)
        total = exact_states.sum(dim=0)
        states_grad -= torch.lerp(weight[targets], mean, smoothing)
        states_grad.masked_fill_((targets == PAD)[:, None], 0.0)
        weight_grad.index_add_(0, targets, exact_states, alpha=smoothing - 1)
        weight_grad -= smoothing / len(weight) * total
        uniform_sum = log_totals - total @ mean
        loss_sum = (1 - smoothing) * nll_sum + smoothing * uniform_sum
        ctx.save_for_backward(states_grad[:n_rows], weight_grad)
        ctx.mark_non_differentiable(nll_sum)
        return loss_sum, nll_sum

    @staticmethod
    def backward(ctx, upstream, _):  # type: ignore[no-untyped-def]
        states_grad, weight_grad = ctx.saved_tensors
        return states_grad * upstream, weight_grad * upstream, None, None


def projected_cross_entropy(
    states: Tensor, weight: Tensor, targets: Tensor, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Sums the loss to minimise and the plain `-log p(target)` over N positions.

    Label smoothing (Szegedy et al. 2016; Vaswani et al. 2017, section 5.4): the aim is
    `1 - smoothing` on the target plus `smoothing / V` on every piece. Equal to
    `F.cross_entropy(states @ weight.T, targets, reduction="sum", label_smoothing=smoothing)`.

    Args:
        states: `(N, D)`, decoder states. Products are computed in their precision, sums in that
            of `weight`.
        weight: `(V, D)`, the output embedding.
        targets: `(N,)`, the pieces to predict. Positions with PAD do not count; their states must
            be zero.
        smoothing: the probability mass that is spread over the vocabulary.

    Returns:
        `loss_sum`, which has a gradient, and `nll_sum`, which has none.
    """
    return _ProjectedCrossEntropy.apply(states, weight, targets, smoothing)


def consistent_cross_entropy(
    states: Tensor, weight: Tensor, targets: Tensor, config: TrainConfig
) -> tuple[Tensor, Tensor]:
    """Like `projected_cross_entropy`, plus the divergence of two views; see `Objective`.

    `states` `(2N, D)` are those of the first view followed by those of the second.
    """
    log_probs = (states @ weight.to(states.dtype).T).to(weight.dtype).log_softmax(dim=1)  # (2N, V)
    log_probs = log_probs.masked_fill((targets.repeat(2) == PAD)[:, None], 0.0)
    views = log_probs.chunk(2)
    trained = views if config.r_drop > 0 else views[:1]
    nlls = [F.nll_loss(v, targets, reduction="sum", ignore_index=PAD) for v in trained]
    nll = torch.stack(nlls).mean()
    uniform = torch.stack([-view.mean(dim=1).sum() for view in trained]).mean()
    loss_sum, nll_sum = torch.lerp(nll, uniform, config.label_smoothing), nll.detach()
    forward = F.kl_div(views[1], views[0], log_target=True, reduction="sum")  # KL(1 || 2)
    if config.simcut > 0:
        return loss_sum + config.simcut * forward, nll_sum
    backward = F.kl_div(views[0], views[1], log_target=True, reduction="sum")
    return loss_sum + config.r_drop / 4 * (forward + backward), nll_sum


def drop_tokens(ids: Tensor, rate: float) -> Tensor:
    """Replaces a share `rate` of `ids` by PAD, whose embedding is zero.

    Word dropout (Gal & Ghahramani 2016, section 4.1) and the token cutoff of Shen et al. (2020):
    a dropped token keeps its position and can still be attended to. BOS and EOS are never dropped.
    """
    dropped = torch.rand(ids.shape, device=ids.device) < rate
    return ids.masked_fill(dropped & (ids != BOS) & (ids != EOS), PAD)


class Objective(nn.Module):
    """The loss of a batch: `objective(batch) -> (loss_sum, nll_sum)`, sums over target tokens.

    Label-smoothed cross-entropy, with word dropout (`word_dropout`) on both sides, and optionally
    one of:

    - `r_drop`, alpha of R-Drop (Liang et al. 2021, equations 3 and 4): the batch is computed twice
      with different dropout. The loss is half the paper's, so that each token counts once:
      `mean(CE_1, CE_2) + alpha / 4 (KL(1 || 2) + KL(2 || 1))`.
    - `simcut`, alpha of SimCut (Gao et al. 2022, equation 5): the batch is also computed with
      tokens cut off (`simcut_rate` of both sides), `CE + alpha KL(batch || cut)`, with gradients
      through both.
    """

    def __init__(self, model: Transformer, config: TrainConfig):
        super().__init__()
        self.model = model
        self.config = config
        self.consistency = consistent_cross_entropy

    def forward(self, batch: Batch | PackedBatch) -> tuple[Tensor, Tensor]:
        c = self.config
        weight = self.model.embedding.weight
        two_views = self.training and max(c.r_drop, c.simcut) > 0
        inputs = batch.duplicate() if two_views else batch
        src, tgt_in = inputs.src, inputs.tgt_in
        if c.word_dropout > 0 and self.training:
            src, tgt_in = drop_tokens(src, c.word_dropout), drop_tokens(tgt_in, c.word_dropout)
        if two_views and c.simcut > 0:
            src, tgt_in = (
                torch.cat([ids[: len(ids) // 2], drop_tokens(ids[len(ids) // 2 :], c.simcut_rate)])
                for ids in (src, tgt_in)
            )
        # Masks are added to scores in the precision of the products.
        src_mask, tgt_mask, cross_mask = inputs.masks(cast_for_matmul(weight[:0]).dtype)
        memory, _ = self.model.encode(src, src_mask, inputs.src_positions)
        states, _ = self.model.decode_states(
            tgt_in, memory, cross_mask, tgt_mask=tgt_mask, positions=inputs.tgt_positions
        )  # (B, T, D)
        states, targets = batch.select_targets(states)  # (N, D) or (2N, D), (N,)
        with torch.autocast(src.device.type, enabled=False):
            if two_views:
                return self.consistency(states, weight, targets, c)
            return projected_cross_entropy(states, weight, targets, c.label_smoothing)


@torch.inference_mode()
def validation_loss(model: Transformer, pairs: Sequence[IdPair], device: torch.device) -> float:
    """Computes the mean `-log p` per target token."""
    objective = Objective(model, TrainConfig(label_smoothing=0.0)).eval()
    order = sorted(range(len(pairs)), key=lambda i: max(map(len, pairs[i])))
    lengths = [max(map(len, pairs[i])) + 1 for i in order]
    total, n_tokens = 0.0, 0
    for rows in token_batches(lengths, 8192):
        batch = collate([pairs[order[i]] for i in rows]).to(device)
        total += float(objective(batch)[1])
        n_tokens += batch.n_tokens
    return total / n_tokens
