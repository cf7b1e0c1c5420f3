"""The command `score`: how likely given translations are."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from translator.cli.app import command
from translator.cli.options import Common, ModelChoice, Scoring, resolve_search
from translator.cli.results import print_json


@command("Translate", "translator score --source texts.en --target texts.de")
def score(
    source: Annotated[
        Path, typer.Option("--source", metavar="FILE", help="The texts, one a line.")
    ],
    target: Annotated[
        Path, typer.Option("--target", metavar="FILE", help="Their translations, line by line.")
    ],
    model: ModelChoice,
    search: Scoring,
    common: Common,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Also each piece and its log-probability.")
    ] = False,
) -> None:
    """Score given translations: how likely a model finds each, and all of them.

    Prints for each pair its score, log-probability and perplexity, with tabs between them. The
    last line is the total: pieces, log-probability, perplexity.
    """
    if len(model.model or ()) > 1:
        raise typer.BadParameter("score takes one --model")
    from data_prep.sources.formats import iterate_pairs
    from translator.search.forced import total

    pairs = list(iterate_pairs(source, target))
    translator = model.load(common)
    found = translator.score(pairs, resolve_search(translator, search))
    summary = total(found)
    if common.json:
        print_json({"pairs": [asdict(pair) for pair in found], "total": asdict(summary)})
        return
    for pair in found:
        row = [f"{pair.score:.4f}", f"{pair.log_prob:.4f}", f"{pair.perplexity:.4f}"]
        if tokens:
            pieces = zip(pair.pieces, pair.log_probs, strict=True)
            row += [f"{piece} {log_prob:.4f}" for piece, log_prob in pieces]
        print("\t".join(row))
    print(f"total\t{summary.n_tokens} pieces\t{summary.log_prob:.4f}\t{summary.perplexity:.4f}")
