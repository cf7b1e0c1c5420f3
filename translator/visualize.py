"""Pictures of attention (matplotlib, from the extra `plot`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translator.config import TranslatorError

if TYPE_CHECKING:
    from translator.translate import AttentionMap

VIEWS = ("mean", "heads")


def draw_attention(attention: "AttentionMap", path: Path, view: str = "mean") -> None:
    """Writes cross-attention as a heat map: source pieces across, target pieces down.

    Each row shows where the decoder looked while it wrote that piece, and sums to one.

    Args:
        attention: the weights `(layers, H, T, S)` and the pieces.
        path: a `.png` file.
        view: `mean` over layers and heads, or `heads`: one map for each.

    Raises:
        TranslatorError: matplotlib is not installed, or the view is unknown.
    """
    if view not in VIEWS:
        raise TranslatorError(f'Unknown attention view "{view}"; there are: {", ".join(VIEWS)}.')
    try:
        import matplotlib
    except ImportError:
        raise TranslatorError("Pictures need matplotlib: pip install 'small-nmt[plot]'.") from None
    matplotlib.use("Agg")  # draws into a file, with or without a screen
    import matplotlib.pyplot as plt

    weights = attention.weights
    n_layers, n_heads, n_tgt, n_src = weights.shape
    src, tgt = _labels(attention.src_pieces), _labels(attention.tgt_pieces)
    if view == "mean":
        # 0.4 inches a piece keeps its label and its number readable, whatever the length.
        figure, axes = plt.subplots(
            figsize=(2.2 + 0.42 * n_src, 1.8 + 0.36 * n_tgt), layout="constrained"
        )
        image = _heat_map(axes, weights.mean(dim=(0, 1)).numpy(), src, tgt, font_size=10)
        axes.set_title("Cross-attention, mean of all layers and heads", fontsize=11, pad=12)
        figure.colorbar(image, ax=axes, label="weight (each row sums to 1)", shrink=0.8)
    else:
        figure, grid = plt.subplots(
            n_layers,
            n_heads,
            figsize=(n_heads * (1.4 + 0.2 * n_src), n_layers * (1.3 + 0.2 * n_tgt)),
            layout="constrained",
            squeeze=False,
        )
        for layer in range(n_layers):
            for head in range(n_heads):
                axes = grid[layer][head]
                image = _heat_map(axes, weights[layer, head].numpy(), src, tgt, font_size=7)
                axes.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=9)
        figure.colorbar(image, ax=grid, label="weight (each row sums to 1)", shrink=0.5)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise TranslatorError(f"{path} cannot be written: {error.strerror}.") from None
    finally:
        plt.close(figure)


def _labels(pieces: Sequence[str]) -> list[str]:
    """Pieces as shown: SentencePiece's mark of a word's start is easier to read as a low line."""
    return [piece.replace("\u2581", "_").replace("</s>", "END") for piece in pieces]


def _heat_map(
    axes: Any, weights: Any, src: Sequence[str], tgt: Sequence[str], font_size: int
) -> Any:
    image = axes.imshow(weights, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    # "$" would start a formula.
    axes.set_xticks(
        range(len(src)), [s.replace("$", r"\$") for s in src], rotation=90, fontsize=font_size
    )
    axes.set_yticks(range(len(tgt)), [t.replace("$", r"\$") for t in tgt], fontsize=font_size)
    axes.xaxis.tick_top()
    return image
