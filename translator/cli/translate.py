"""The commands that turn text into text: `translate`, and `score` for given translations."""

import itertools
import logging
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from translator.cli.app import command, wants_bar
from translator.cli.options import (
    OWN,
    BatchTokens,
    BeamSize,
    Debug,
    Device,
    Json,
    LengthPenalty,
    LengthReward,
    LengthRule,
    ModelOption,
    Models,
    Precision,
    Progress,
    Quiet,
    Src,
    Tgt,
    Threads,
    given,
    languages,
    load,
)
from translator.cli.output import check_writable, print_json, render_json, render_text
from translator.config.errors import SettingError

if TYPE_CHECKING:
    from translator.config.schema import SearchConfig
    from translator.translation.result import Translation
    from translator.translation.translator import Translator


_SEARCH, _SAMPLE, _MBR, _OUTPUT = "Search", "Sampling", "Minimum Bayes risk", "Output"


@command
def translate(
    context: typer.Context,
    text: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]...", help="Without it: standard input.")
    ] = None,
    model: Models = None,
    input_: Annotated[
        Path | None, typer.Option("--input", metavar="FILE", help="Translate this file's lines.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write here; FILE.partial until whole, an interrupted job goes on."
        ),
    ] = None,
    src: Src = "en",
    tgt: Tgt = "de",
    no_split: Annotated[
        bool,
        typer.Option(
            "--no-split", help="Do not translate the sentences of a line one by one; default: do."
        ),
    ] = False,
    no_guard: Annotated[
        bool,
        typer.Option(
            "--no-guard",
            help="Do not search again, in safer ways, for loops, empty output, lost numbers "
            "or names, odd lengths, and what is in capitals; default: do.",
        ),
    ] = False,
    decode: Annotated[
        str | None,
        typer.Option(
            show_default=OWN,
            rich_help_panel=_SEARCH,
            help="beam; sample: at random; mbr: the candidate that is most like the others.",
        ),
    ] = None,
    beam_size: BeamSize = None,
    n_best: Annotated[
        int | None,
        typer.Option(
            min=1,
            show_default=OWN,
            rich_help_panel=_SEARCH,
            help="Translations per line, one a line; fewer where there are no more.",
        ),
    ] = None,
    length_penalty: LengthPenalty = None,
    length_reward: LengthReward = None,
    length_rule: LengthRule = None,
    coverage_penalty: Annotated[
        float | None,
        typer.Option(
            min=0,
            show_default=OWN,
            rich_help_panel=_SEARCH,
            help="Beta of GNMT's penalty for source pieces that were not attended to.",
        ),
    ] = None,
    stopping: Annotated[
        str | None,
        typer.Option(
            show_default=OWN,
            rich_help_panel=_SEARCH,
            help="exact: search until no hypothesis can still win; fast: until the best one, "
            "ended now, would not be among the best.",
        ),
    ] = None,
    diversity: Annotated[
        float | None,
        typer.Option(
            min=0,
            show_default=OWN,
            rich_help_panel=_SEARCH,
            help="What each further continuation of one hypothesis pays: a more varied n-best.",
        ),
    ] = None,
    no_repeat_ngram: Annotated[
        int | None,
        typer.Option(
            min=0,
            show_default=OWN,
            rich_help_panel=_SEARCH,
            help="No sequence of so many pieces twice in a translation.",
        ),
    ] = None,
    prefix: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            rich_help_panel=_SEARCH,
            help="What the translation of every line begins with.",
        ),
    ] = "",
    temperature: Annotated[
        float | None,
        typer.Option(
            show_default=OWN,
            rich_help_panel=_SAMPLE,
            help="Below 1 is more careful, above bolder.",
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            min=0,
            show_default=OWN,
            rich_help_panel=_SAMPLE,
            help="Draw from the likeliest K pieces.",
        ),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            show_default=OWN,
            rich_help_panel=_SAMPLE,
            help="Draw from the likeliest pieces that reach this probability together.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            show_default=OWN,
            rich_help_panel=_SAMPLE,
            help="The same seed and sentence give the same sample.",
        ),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            min=1, show_default=OWN, rich_help_panel=_MBR, help="Among how many mbr chooses."
        ),
    ] = None,
    candidates_from: Annotated[
        str | None,
        typer.Option(
            show_default=OWN,
            rich_help_panel=_MBR,
            help="beam: the n-best of a beam that wide; or sample.",
        ),
    ] = None,
    utility: Annotated[
        str | None,
        typer.Option(
            show_default=OWN, rich_help_panel=_MBR, help="chrf or bleu: what being alike means."
        ),
    ] = None,
    scores: Annotated[
        bool,
        typer.Option(
            "--scores",
            rich_help_panel=_OUTPUT,
            help="Put the score and a tab before each translation.",
        ),
    ] = False,
    confidence: Annotated[
        bool,
        typer.Option(
            "--confidence",
            rich_help_panel=_OUTPUT,
            help="Put how far it can be trusted, 0 to 1, and a tab before each translation.",
        ),
    ] = False,
    min_confidence: Annotated[
        float,
        typer.Option(
            metavar="P",
            rich_help_panel=_OUTPUT,
            help="Leave lines blank that can be trusted less than this; 0 = none.",
        ),
    ] = 0.0,
    alignments: Annotated[
        bool,
        typer.Option(
            "--alignments",
            rich_help_panel=_OUTPUT,
            help="Put a tab and the word alignment behind it: source word-target word, from 0.",
        ),
    ] = False,
    attention: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            rich_help_panel=_OUTPUT,
            help="Draw where the model looked (one picture a sentence).",
        ),
    ] = None,
    attention_view: Annotated[
        str,
        typer.Option(
            rich_help_panel=_OUTPUT, help="mean of layers and heads, or heads: one map for each."
        ),
    ] = "mean",
    batch_tokens: BatchTokens = None,
    precision: Precision = "fp32",
    device: Device = "auto",
    threads: Threads = 0,
    json_: Json = False,
    quiet: Quiet = False,
    progress: Progress = False,
    debug: Debug = False,
) -> None:
    """Translate TEXT, a file, or standard input: n lines in, n lines out."""
    if text and input_:
        raise typer.BadParameter("give TEXT or --input, not both")
    if attention and attention.suffix != ".png":
        raise typer.BadParameter(f"--attention writes a .png file, not {attention.name}")
    if alignments and (n_best or 1) > 1 and not json_:
        raise typer.BadParameter("--alignments goes with one translation per line, or with --json")
    if not 0 <= min_confidence <= 1:
        raise typer.BadParameter(f"--min-confidence lies between 0 and 1, not {min_confidence:g}")
    for path in (output, attention):
        check_writable(path)
    # For a few sentences several threads only get in each other's way.
    threads = threads or (1 if text else 0)
    src, tgt = languages(context, src, tgt)
    translator = load(model, src, tgt, device, threads, given(context, "src", "tgt"), precision)
    search = _search_config(
        translator,
        decode=decode,
        beam_size=beam_size,
        n_best=n_best,
        length_penalty=length_penalty,
        length_reward=length_reward,
        length_rule=length_rule,
        coverage_penalty=coverage_penalty,
        stopping=stopping,
        diversity=diversity,
        no_repeat_ngram=no_repeat_ngram,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        candidates=candidates,
        candidates_from=candidates_from,
        utility=utility,
        batch_tokens=batch_tokens,
    )
    options: dict[str, Any] = {
        "search": search,
        "split": "long" if no_split else "sentences",
        "prefix": prefix,
        "alignments": alignments,
        "guard": not no_guard,
        "confidence": confidence,
        "min_confidence": min_confidence,
    }
    n_withheld = 0

    def render(found: "Translation") -> str:
        nonlocal n_withheld
        n_withheld += any(text is not None for text in found.withheld)
        return (
            render_json(found, search.n_best) if json_ else render_text(found, scores, confidence)
        )

    lines = _Lines(text or None, input_)
    bar = wants_bar(quiet, progress)
    if attention:
        lines = _Lines([*lines])  # gone through twice
        chosen = {key: options[key] for key in ("search", "split", "prefix")}
        _draw(translator, lines, attention, attention_view, **chosen)
    if output:
        from translator.translation.files import translate_to_file

        translate_to_file(translator, lines.again(), output, render, bar, **options)
    else:
        translator.show_bar = bar and not lines.live
        for found in translator.translate_blocks(lines.blocks(), **options):
            sys.stdout.write(render(found))
            if lines.live:
                sys.stdout.flush()
    if n_withheld:
        logging.getLogger("translator").warning(
            "%s withheld, with a confidence below %g; without --min-confidence %s.",
            "A line was" if n_withheld == 1 else f"{n_withheld:,} lines were",
            min_confidence,
            'it is shown, and with --json it is under "withheld"'
            if n_withheld == 1
            else 'they are shown, and with --json they are under "withheld"',
        )


def _search_config(translator: "Translator", **given: Any) -> "SearchConfig":
    try:
        return translator.search_config(**given)
    except SettingError as error:
        raise typer.BadParameter(f"--{error.key.replace('_', '-')} {error.problem}") from None


class _Lines:
    """The lines of the arguments, of a file, or of standard input."""

    def __init__(self, text: list[str] | None, file: Path | None = None):
        self.text, self.file = text, file
        self.live = text is None and file is None  # someone may wait for each answer

    def __iter__(self) -> Iterator[str]:
        if self.text is not None:
            yield from (line for argument in self.text for line in argument.split("\n"))
        elif self.file:
            from translator.text.lines import iterate_lines

            yield from iterate_lines(self.file)
        else:
            yield from (line for block in self.blocks() for line in block)

    def blocks(self) -> Iterator[list[str]]:
        """In lists; from standard input, what has come so far."""
        from translator.text.lines import blocks, blocks_as_they_come

        if not self.live:
            return blocks(self)
        if sys.stdin.isatty():
            return ([line] for line in _prompted())
        return blocks_as_they_come(sys.stdin.buffer, "Standard input")

    def again(self) -> "Iterable[str]":
        """What can be gone through twice: a pipe is read to its end first."""
        pipe = self.live or (self.file and not self.file.is_file())
        return list(self) if pipe else self


def _prompted() -> Iterator[str]:
    from translator.text.lines import decode_line

    for number in itertools.count(1):
        print("> ", end="", file=sys.stderr, flush=True)
        raw = sys.stdin.buffer.readline()  # ends at "\n" alone
        if not raw:
            return
        yield decode_line(raw, "Standard input", number)


def _draw(
    translator: "Translator", lines: Iterable[str], path: Path, view: str, **options: Any
) -> None:
    from translator.report.plots import draw_attention

    maps = [found for line in lines for found in translator.attention(line, **options)]
    for i, found in enumerate(maps, start=1):
        target = path if len(maps) == 1 else path.with_suffix(f".{i}{path.suffix}")
        draw_attention(found.src_pieces, found.tgt_pieces, found.weights, target, view)


@command
def score(
    source: Annotated[
        Path, typer.Option("--source", metavar="FILE", help="The texts, one a line.")
    ],
    target: Annotated[
        Path, typer.Option("--target", metavar="FILE", help="Their translations, line by line.")
    ],
    context: typer.Context,
    model: ModelOption = None,
    src: Src = "en",
    tgt: Tgt = "de",
    tokens: Annotated[
        bool,
        typer.Option("--tokens", help="Also each piece and its log-probability, behind tabs."),
    ] = False,
    length_penalty: LengthPenalty = None,
    length_reward: LengthReward = None,
    length_rule: LengthRule = None,
    batch_tokens: BatchTokens = None,
    device: Device = "auto",
    threads: Threads = 0,
    json_: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Score given translations: how likely the model finds each, and all of them.

    One line each: score, log-probability, perplexity, tab between them. The last line is the
    total: pieces, log-probability, perplexity.
    """
    from data_prep.sources.formats import read_pairs
    from translator.search.forced import total

    pairs = read_pairs(source, target)
    src, tgt = languages(context, src, tgt)
    translator = load(
        [model] if model else None, src, tgt, device, threads, given(context, "src", "tgt")
    )
    search = _search_config(
        translator,
        length_penalty=length_penalty,
        length_reward=length_reward,
        length_rule=length_rule,
        batch_tokens=batch_tokens,
    )
    found = translator.score(pairs, search)
    summary = total(found)
    if json_:
        print_json({"pairs": [asdict(pair) for pair in found], "total": asdict(summary)})
        return
    for pair in found:
        row = [f"{pair.score:.4f}", f"{pair.log_prob:.4f}", f"{pair.perplexity:.4f}"]
        if tokens:
            pieces = zip(pair.pieces, pair.log_probs, strict=True)
            row += [f"{piece} {log_prob:.4f}" for piece, log_prob in pieces]
        print("\t".join(row))
    print(f"total\t{summary.n_tokens} pieces\t{summary.log_prob:.4f}\t{summary.perplexity:.4f}")
