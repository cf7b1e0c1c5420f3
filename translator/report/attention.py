"""Attention as a file: a picture, a page, or the numbers.

Each row of a map shows where the model looked while it computed the state of that piece, and sums
to one (Vaswani et al. 2017, equation 1).
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translator.config.errors import TranslatorError
from translator.report.pages import render
from translator.report.plots import require_matplotlib
from translator.system.disk import write_file

if TYPE_CHECKING:
    from torch import Tensor

KINDS = {
    "cross": "Cross-attention",
    "encoder": "Self-attention of the encoder",
    "decoder": "Self-attention of the decoder",
}


def write_attention(
    columns: Sequence[str],
    rows: Sequence[str],
    weights: "Tensor",
    path: Path,
    view: str = "mean",
    kind: str = "cross",
) -> None:
    """Writes attention as a heat map (.png, .svg, .html) or as numbers (.json, .tsv).

    Args:
        columns: S pieces that are looked at.
        rows: T pieces from which the model looks.
        weights: `(layers, H, T, S)`.
        path: ends in .png, .svg, .html, .json or .tsv.
        view: `mean` over layers and heads, or `heads`: one map for each.
        kind: one of `KINDS`, for the title.

    Raises:
        TranslatorError: matplotlib is required for a picture and not installed, or the file cannot
            be written.
    """
    if path.suffix in (".png", ".svg"):
        _draw(_labels(columns), _labels(rows), weights, path, view, KINDS[kind])
        return
    if path.suffix == ".json":
        shown = weights if view == "heads" else weights.mean(dim=(0, 1))
        content = {"kind": kind, "view": view, "columns": columns, "rows": rows}
        text = json.dumps(content | {"weights": shown.tolist()}, ensure_ascii=False) + "\n"
    elif path.suffix == ".tsv":
        text = "".join("\t".join(cells) + "\n" for cells in _table(columns, rows, weights, view))
    else:
        text = render(
            "attention.html",
            title=f"{KINDS[kind]}{', mean of all layers and heads' if view == 'mean' else ''}",
            columns=_labels(columns),
            rows=_labels(rows),
            top=max(table.max().item() for _, table in _maps(weights, view)),
            maps=[(name, table.tolist()) for name, table in _maps(weights, view)],
        )
    try:
        write_file(path, text.encode())
    except OSError as error:
        raise TranslatorError(f"{path} cannot be written: {error.strerror}.") from None


def _maps(weights: "Tensor", view: str) -> "Iterator[tuple[str, Tensor]]":
    """Names and maps `(T, S)`, each with a sum of one in every row."""
    if view == "mean":
        yield "", weights.mean(dim=(0, 1))
        return
    for layer, heads in enumerate(weights, start=1):
        for head, table in enumerate(heads, start=1):
            yield f"layer {layer}, head {head}", table


def _table(
    columns: Sequence[str], rows: Sequence[str], weights: "Tensor", view: str
) -> Iterator[list[str]]:
    """Lines of cells: a header, then a line for each row of each map."""
    yield [*(["layer", "head"] if view == "heads" else []), "", *columns]
    for n, (_, table) in enumerate(_maps(weights, view)):
        layer, head = divmod(n, weights.shape[1])
        place = [str(layer + 1), str(head + 1)] if view == "heads" else []
        for piece, row in zip(rows, table.tolist(), strict=True):
            yield [*place, piece, *(f"{weight:.6f}" for weight in row)]


def _draw(
    columns: Sequence[str],
    rows: Sequence[str],
    weights: "Tensor",
    path: Path,
    view: str,
    title: str,
) -> None:
    require_matplotlib().use("Agg")  # draws into a file, with or without a screen
    import matplotlib.pyplot as plt

    n_layers, n_heads, n_rows, n_columns = weights.shape
    if view == "mean":
        # 0.4 inches a piece keeps its label and its number readable, whatever the length.
        figure, axes = plt.subplots(
            figsize=(2.2 + 0.42 * n_columns, 1.8 + 0.36 * n_rows), layout="constrained"
        )
        image = _heat_map(axes, weights.mean(dim=(0, 1)), columns, rows, font_size=10)
        axes.set_title(f"{title}, mean of all layers and heads", fontsize=11, pad=12)
        figure.colorbar(image, ax=axes, label="weight (each row sums to 1)", shrink=0.8)
    else:
        figure, grid = plt.subplots(
            n_layers,
            n_heads,
            figsize=(n_heads * (1.4 + 0.2 * n_columns), n_layers * (1.3 + 0.2 * n_rows)),
            layout="constrained",
            squeeze=False,
        )
        for axes, (name, table) in zip(grid.flat, _maps(weights, view), strict=True):
            image = _heat_map(axes, table, columns, rows, font_size=7, top=float(weights.max()))
            axes.set_title(name, fontsize=9)
        figure.suptitle(title, fontsize=11)
        figure.colorbar(image, ax=grid, label="weight (each row sums to 1)", shrink=0.5)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise TranslatorError(f"{path} cannot be written: {error.strerror}.") from None
    finally:
        plt.close(figure)


def _labels(pieces: Sequence[str]) -> list[str]:
    """Pieces as shown: SentencePiece's mark of a word's start is easier to read as a low line."""
    shown = {"<s>": "START", "</s>": "END"}
    return [shown.get(piece, piece.replace("\u2581", "_")) for piece in pieces]


def _heat_map(
    axes: Any,
    table: "Tensor",
    columns: Sequence[str],
    rows: Sequence[str],
    font_size: int,
    top: float | None = None,
) -> Any:
    """Draws a map; `top` is the weight of the brightest colour, by default the greatest."""
    image = axes.imshow(table.numpy(), cmap="viridis", vmin=0, vmax=top, aspect="auto")
    # "$" would start a formula.
    across, down = ([label.replace("$", r"\$") for label in labels] for labels in (columns, rows))
    axes.set_xticks(range(len(across)), across, rotation=90, fontsize=font_size)
    axes.set_yticks(range(len(down)), down, fontsize=font_size)
    axes.xaxis.tick_top()
    return image
