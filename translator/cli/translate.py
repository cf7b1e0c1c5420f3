"""The command `translate`."""

import logging
import os
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from translator.cli.app import command
from translator.cli.input import Lines
from translator.cli.options import Common, Engine, ModelChoice, Search, resolve_search
from translator.cli.render import Renderer, check_writable
from translator.cli.watch import Watch, report_tally
from translator.system.threads import choose_threads

if TYPE_CHECKING:
    from translator.text.terms import Terms
    from translator.translation.translator import Translator

_option = partial(typer.Option, rich_help_panel="Output")


@dataclass(frozen=True)
class Job:
    """What is translated, where the result goes, and how lines become sentences."""

    input: Annotated[
        Path | None, typer.Option("--input", "-i", help="Translate its lines; - is standard input.")
    ] = None
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write here; an interrupted job resumes.")
    ] = None
    format: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="NAME", help="Of the document; default: by its ending (docs)."
        ),
    ] = None
    columns: Annotated[
        str | None,
        typer.Option("--columns", metavar="NAMES", help="Translate only these of a table."),
    ] = None
    terms: Annotated[
        Path | None,
        typer.Option("--terms", metavar="FILE.tsv", help="Terms that it must say (docs/terms.md)."),
    ] = None
    check: Annotated[
        bool, typer.Option("--check", help="Fail if a placeholder, tag or number is lost.")
    ] = False
    prefix: Annotated[str, typer.Option(help="What every translation begins with.")] = ""
    engine: Engine = "torch"
    no_split: Annotated[
        bool, typer.Option("--no-split", help="Do not split lines into sentences.")
    ] = False
    no_guard: Annotated[
        bool, typer.Option("--no-guard", help="Do not retry loops or lost names and numbers.")
    ] = False


@dataclass(frozen=True)
class Shown:
    """What is written beside a translation."""

    scores: Annotated[bool, _option("--scores", help="Put the score and a tab first.")] = False
    confidence: Annotated[
        bool, _option("--confidence", help="Put the trust, 0 to 1, and a tab first.")
    ] = False
    min_confidence: Annotated[
        float | None, _option(metavar="P", help="Blank what is trusted less.")
    ] = None
    alignments: Annotated[
        bool, _option("--alignments", help="Put a tab and the word alignment last.")
    ] = False
    attention: Annotated[
        Path | None, _option(metavar="FILE", help="Where it looked: .png .svg .html .json .tsv.")
    ] = None
    attention_kind: Annotated[
        Literal["cross", "encoder", "decoder"],
        _option(metavar="KIND", help="cross, or within encoder or decoder."),
    ] = "cross"
    attention_view: Annotated[
        Literal["mean", "heads"], _option(help="One map, or one for each head.")
    ] = "mean"


@command(
    "Translate",
    'translator translate "A dog runs along the beach."',
    "translator translate --src de -i brief.txt -o letter.txt",
    "translator translate            # type texts, Ctrl-D ends",
)
def translate(
    job: Job,
    model: ModelChoice,
    search: Search,
    shown: Shown,
    common: Common,
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="Without it, standard input is translated."),
    ] = None,
) -> None:
    """Translate TEXT, a file, or standard input: n lines in, n lines out."""
    _check(text, job, search, shown, common)
    terms = _read_terms(job)
    output = None if str(job.output) == "-" else job.output
    lines = Lines(text or [], job.input)
    if lines.interactive and not output and not shown.attention:
        watch = Watch(job.check, bool(job.terms))
        _converse(job, model, search, shown, common, terms, watch)
        watch.report()
        return
    document = _is_document(job)
    if document:
        _check_document(job, search, shown, common)
    translator = _load(model, common, job.engine, lines.few, search)
    options = _options(translator, job, search, shown, terms)
    if document:
        _translate_document(translator, job, common.bar, options)
        return
    watch = Watch(job.check, bool(job.terms))
    render = Renderer(common.json, shown.scores, shown.confidence, options["search"].n_best)
    if shown.attention:
        _draw(translator, lines.repeatable(), shown, options)
    if output:
        _translate_to_file(translator, lines, output, render, common.bar, watch, options)
    else:
        translator.show_bar = common.bar and not lines.live
        for found in translator.translate_blocks(lines.blocks(), **options):
            watch(found)
            sys.stdout.write(render(found))
            if lines.live:
                sys.stdout.flush()
    render.warn_of_withheld(shown.min_confidence or 0)
    sys.stdout.flush()
    watch.report()


def _check(
    text: list[str] | None, job: Job, search: dict[str, Any], shown: Shown, common: Common
) -> None:
    """Complains before the work about options that do not go together."""
    if text and job.input:
        raise typer.BadParameter("give TEXT or --input, not both")
    if shown.attention and shown.attention.suffix not in (".png", ".svg", ".html", ".json", ".tsv"):
        raise typer.BadParameter(
            f"--attention writes .png, .svg, .html, .json or .tsv files, not {shown.attention.name}"
        )
    if shown.alignments and search.get("n_best", 1) > 1 and not common.json:
        raise typer.BadParameter("--alignments goes with one translation per line, or with --json")
    if not 0 <= (shown.min_confidence or 0) <= 1:
        raise typer.BadParameter(
            f"--min-confidence lies between 0 and 1, not {shown.min_confidence:g}"
        )
    if shown.attention and job.terms:
        raise typer.BadParameter("--attention shows a translation without terms: leave out --terms")
    for path in (job.output, shown.attention):
        if path and str(path) != "-":
            check_writable(path)


def _read_terms(job: Job) -> "Terms | None":
    if job.terms is None:
        return None
    from translator.text.terms import Terms

    return Terms.load(job.terms)


def _options(
    translator: "Translator",
    job: Job,
    search: dict[str, Any],
    shown: Shown,
    terms: "Terms | None",
) -> dict[str, Any]:
    """The options of `Translator.translate_lines`."""
    return {
        "search": resolve_search(translator, search),
        "split": "long" if job.no_split else "sentences",
        "prefix": job.prefix,
        "alignments": shown.alignments,
        "guard": not job.no_guard,
        "confidence": shown.confidence,
        "min_confidence": shown.min_confidence or 0.0,
        "terms": terms,
    }


def _load(
    model: ModelChoice, common: Common, engine: str, small: bool, search: dict[str, Any]
) -> "Translator":
    """The model, and the engine that searches."""
    translator = model.load(common, small, lazy=engine != "torch")
    if engine != "torch":
        from translator.export.engine import use

        threads = common.threads or int(small) or choose_threads()
        os.environ["OMP_NUM_THREADS"] = str(threads)  # PyTorch's, should it be needed later
        use(translator, engine, threads=threads, search=resolve_search(translator, search))
    return translator


def _is_document(job: Job) -> bool:
    """Whether a file is translated as what its format says, and not line by line."""
    from translator.documents.formats import FORMATS, format_of

    files = all(path and str(path) != "-" for path in (job.input, job.output))
    if job.format and not files:
        raise typer.BadParameter("--format goes with --input FILE and --output FILE")
    if job.format and job.format not in FORMATS:
        raise typer.BadParameter(f'no format "{job.format}"; there are: {", ".join(FORMATS)}')
    named = job.format or (format_of(job.input) if job.input else None)
    if job.columns and (named not in ("csv", "tsv") or not files):
        raise typer.BadParameter("--columns goes with a table: --input FILE.csv --output FILE.csv")
    if named in (None, "text") and not job.format:
        return False
    if not files:
        log = logging.getLogger("translator")
        log.warning("%s is translated line by line; --output FILE keeps its format.", job.input)
    return files


def _check_document(job: Job, search: dict[str, Any], shown: Shown, common: Common) -> None:
    beside = shown != Shown() or common.json or job.prefix or search.get("n_best", 1) > 1
    if beside:
        raise typer.BadParameter(
            f"{job.input} is translated as a document, which holds nothing beside the text: leave "
            "out --json, --n-best, --prefix, --scores and their like"
        )


def _translate_document(
    translator: "Translator", job: Job, bar: bool, options: dict[str, Any]
) -> None:
    from translator.documents.translate import translate_document

    assert job.input and job.output
    columns = [name.strip() for name in (job.columns or "").split(",") if name.strip()]
    result = translate_document(
        translator, job.input, job.output, job.format, columns=columns, show_bar=bar, **options
    )
    log = logging.getLogger("translator")
    for warned in result.warnings:
        faults = ", ".join(warned.faults)
        log.warning('%s, line %d: look at "%s" (%s).', job.input, warned.line, warned.text, faults)
    log.info(
        "%s: %s segments, %s words, %.1f s, %d warning%s.",
        *(job.output, f"{result.segments:,}", f"{result.words:,}", result.seconds),
        *(len(result.warnings), "s"[: len(result.warnings) != 1]),
    )
    for wrong in result.wrong if job.check else ():
        log.warning("%s, line %d: %s.", job.input, wrong.line, "; ".join(wrong.faults))
    report_tally(result.tally, job.check, bool(job.terms))


def _translate_to_file(
    translator: "Translator",
    lines: Lines,
    output: Path,
    render: Renderer,
    bar: bool,
    watch: Watch,
    options: dict[str, Any],
) -> None:
    from translator.translation.files import translate_to_file

    start = time.monotonic()
    n_lines = translate_to_file(
        translator, lines.repeatable(), output, render, bar, watch, **options
    )
    seconds = time.monotonic() - start
    logging.getLogger("translator").info(
        "%s: %s line%s translated in %.1f s.", output, f"{n_lines:,}", "s"[: n_lines != 1], seconds
    )


def _converse(
    job: Job,
    model: ModelChoice,
    search: dict[str, Any],
    shown: Shown,
    common: Common,
    terms: "Terms | None",
    watch: Watch,
) -> None:
    from translator.cli.interactive import converse

    translator: Translator
    options: dict[str, Any]

    def start(target: str | None) -> tuple[str, str]:
        nonlocal translator, options
        chosen = model
        if target:
            chosen = replace(model, src="en" if target == "de" else "de", tgt=target)
        translator = _load(chosen, common, job.engine, True, search)
        options = _options(translator, job, search, shown, terms)
        return translator.src, translator.tgt

    def answer(line: str) -> str:
        render = Renderer(common.json, shown.scores, shown.confidence, options["search"].n_best)
        (found,) = translator.translate_lines([line], **options)
        watch(found)
        return render(found)

    converse(start, answer, common.quiet)


def _draw(translator: "Translator", lines: Lines, shown: Shown, options: dict[str, Any]) -> None:
    from translator.report.attention import write_attention

    path = shown.attention
    assert path
    chosen = {key: options[key] for key in ("search", "split", "prefix")}
    kind = shown.attention_kind
    maps = [found for line in lines for found in translator.attention(line, **chosen, kind=kind)]
    for i, found in enumerate(maps, start=1):
        target = path if len(maps) == 1 else path.with_suffix(f".{i}{path.suffix}")
        view = shown.attention_view
        write_attention(found.src_pieces, found.tgt_pieces, found.weights, target, view, kind)
