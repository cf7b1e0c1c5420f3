"""What the commands share: options, logs, and how a failure becomes one line.

Only light imports stand at the top: `translator --help` must not wait for torch.
"""

import functools
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from translator import __version__
from translator.config import TranslatorError

if TYPE_CHECKING:
    from translator.translate import Translator

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train, use and score a small English-German Transformer.",
)
F = TypeVar("F", bound=Callable[..., None])

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps; auto takes the best there is.")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0 = one per core, for TEXT one.")]
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable results.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No logs, warnings or progress.")]
Progress = Annotated[
    bool, typer.Option("--progress", help="Progress bars even where there is no terminal.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="A model's folder; default $TRANSLATOR_MODEL, else the shipped model.",
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="A model's folder; several are an ensemble; default $TRANSLATOR_MODEL, else the "
        "shipped model.",
    ),
]
Src = Annotated[
    str,
    typer.Option(metavar="LANG", help="Source language; `--src de` alone is German to English."),
]
Tgt = Annotated[str, typer.Option(metavar="LANG", help="Target language.")]
BeamSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        show_default="5",
        rich_help_panel="Search",
        help="Hypotheses per sentence; 1 = greedy.",
    ),
]
LengthPenalty = Annotated[
    float | None,
    typer.Option(
        show_default="1.0",
        rich_help_panel="Search",
        help="Alpha in score = (log-probability + reward * length) / length ^ alpha.",
    ),
]
LengthReward = Annotated[
    float | None,
    typer.Option(
        show_default="0",
        rich_help_panel="Search",
        help="The reward of each piece there; for longer translations, with --length-penalty 0.",
    ),
]
LengthRule = Annotated[
    str | None,
    typer.Option(
        show_default="plain",
        rich_help_panel="Search",
        help="plain: length ^ alpha; gnmt: ((5 + length) / 6) ^ alpha.",
    ),
]
BatchTokens = Annotated[
    int | None, typer.Option(min=1, show_default="2048", help="Source pieces in a batch.")
]
Precision = Annotated[
    str, typer.Option(help="fp32, or bf16: matrix products in bfloat16, faster and less exact.")
]


class _Stderr(logging.Handler):
    """Log lines to whatever stderr is now, above a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if record.levelno >= logging.WARNING:
            text = f"Warning: {text}"
        if "tqdm" in sys.modules:
            sys.modules["tqdm"].tqdm.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr)


def command(function: F) -> F:
    """Registers a command whose failures are one line and an exit code."""
    return app.command()(one_line_errors(function))


def one_line_errors(function: F) -> F:
    """Lets a command, which takes `quiet` and `debug`, fail with one line and an exit code."""

    @functools.wraps(function)
    def wrapped(*args: Any, **options: Any) -> None:
        log = logging.getLogger("translator")
        log.handlers = [_Stderr()]
        log.propagate = False
        rank = os.environ.get("RANK", "0")  # set by torchrun; only its first process speaks
        log.setLevel(logging.CRITICAL if options["quiet"] or rank != "0" else logging.INFO)
        try:
            function(*args, **options)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader of our output has left
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except (KeyboardInterrupt, TranslatorError, OSError, MemoryError) as error:
            if options["debug"]:
                traceback.print_exc()
            process = f" in process {rank}" if rank != "0" else ""
            print(f"Error{process}: {_one_line(error)}", file=sys.stderr)
            if "TORCHELASTIC_ERROR_FILE" in os.environ:
                _tell_torchrun(error)
            raise typer.Exit(130 if isinstance(error, KeyboardInterrupt) else 1) from None

    return wrapped  # type: ignore[return-value]


def _tell_torchrun(error: BaseException) -> None:
    """Leaves the error for torchrun, which shows that of the process that failed first."""
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    handler = get_error_handler()
    handler.initialize()
    handler.record_exception(error)


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror}."
    if isinstance(error, MemoryError):
        return "Out of memory. Use smaller batches (--batch-tokens, --set train.max_tokens=...)."
    return " ".join(str(error).split()) or "interrupted."


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def set_up_cpu(threads: int) -> None:
    """Sets the number of threads, 0 = one per core, and lets the process keep freed memory.

    PyTorch frees and takes anew megabytes with every operation. By default glibc returns them to
    the system each time, and the page faults cost up to a quarter of a search.
    """
    import ctypes

    import torch

    torch.set_num_threads(threads or os.cpu_count() or 1)
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)  # the most that there may be
        libc.mallopt(_M_TRIM_THRESHOLD, 2**30)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h


def wants_bar(quiet: bool, progress: bool) -> bool:
    return progress or (sys.stderr.isatty() and not quiet)


def load(
    models: list[str] | None,
    src: str,
    tgt: str,
    device: str,
    threads: int,
    wanted: bool,
    precision: str = "fp32",
) -> "Translator":
    """Loads a model or an ensemble; `wanted`: the languages were given and must be the model's."""
    from translator.incremental import PRECISIONS
    from translator.translate import Translator

    if precision not in PRECISIONS:
        raise typer.BadParameter(f"--precision is one of {', '.join(PRECISIONS)}, not {precision}")
    set_up_cpu(threads)
    translator = Translator.load(
        models or None, src=src, tgt=tgt, device=device, precision=precision
    )
    if wanted and (src, tgt) != (translator.src, translator.tgt):
        known = ", ".join("-".join(direction) for direction in translator.model.directions)
        raise TranslatorError(f"{translator.model.folder} translates {known}, not {src}-{tgt}.")
    if device == "auto" and translator.device.type != "cpu":
        logging.getLogger("translator").info("Using %s.", translator.device)
    return translator


def given(context: typer.Context, *names: str) -> bool:
    """Whether one of these options stands on the command line."""
    return any(
        (source := context.get_parameter_source(name)) is not None and source.name == "COMMANDLINE"
        for name in names
    )


def languages(context: typer.Context, src: str, tgt: str) -> tuple[str, str]:
    """`--src` and `--tgt`; one of them alone, if it is the other's default, turns both round."""
    if src == tgt and given(context, "src") != given(context, "tgt"):
        return "de", "en"
    return src, tgt


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


# As sacreBLEU writes them, and the papers' own.
_METRIC_NAMES = {"bleu": "BLEU", "chrf": "chrF2", "ter": "TER", "multi30k_bleu": "BLEU, Multi30k"}


def print_scores(splits: dict[str, dict[str, Any]]) -> None:
    """Scores by split, each with its signature."""
    for split, result in splits.items():
        print(f"{split} ({result['sentences']} sentences)")
        width = max((len(_METRIC_NAMES[name]) for name in result["scores"]), default=0)
        for name, score in result["scores"].items():
            shown = f"  {_METRIC_NAMES[name]:{max(width, 5)}} {score['score']:6.2f}"
            if "interval" in score:
                low, high = score["interval"]
                shown += f" ({low:.2f} to {high:.2f})"
            print(f"{shown}  {score['signature']}")
        if "seconds" in result:
            print(f"  {result['sentences_per_second']:.1f} sentences/s")
        if clean := result.get("clean_part"):
            if clean["sentences"] < result["sentences"]:
                print_scores({f"{split}, what the training data have not": clean})
            else:
                print("  The training data have none of these lines, nor nearly.")
        if "compare" in result:
            _print_comparison(result["compare"])
        if "analysis" in result:
            _print_analysis(result["analysis"])


def _print_comparison(compared: dict[str, Any]) -> None:
    print(f"  against {compared['name']}")
    for name, found in compared["delta"].items():
        other = compared["scores"][name]["score"]
        print(
            f"    {_METRIC_NAMES[name]:15} {found['delta']:+6.2f} (it has {other:.2f}), "
            f"p = {found['p']:.3f}"
        )


def _print_analysis(analysis: dict[str, Any]) -> None:
    for table in analysis["breakdown"]:
        print(f"  by {table['by']}")
        for group in table["groups"]:
            print(f"    {group['group']:18}{group['sentences']:7} lines{_figures(group['scores'])}")
    if analysis.get("robustness"):
        print("  on changed sources")
    for row in analysis.get("robustness", ()):
        change = {name: row["changed"][name] - row["clean"][name] for name in row["clean"]}
        kept = f"  kept {row['kept']:.1%}" if "kept" in row else ""
        print(f"    {row['slice']:18}{row['sentences']:7} lines{_figures(change, '+')}{kept}")
    if trust := analysis.get("confidence"):
        figures = f"calibration error {trust['calibration_error']:.3f}"
        if trust["auc"] is not None:
            areas = (trust["auc"], trust["auc_log_prob"])
            figures += ", AUC {:.3f} (of log-probability {:.3f})".format(*areas)
        print(f"  confidence: {figures}; {trust['base_rate']:.1%} have a {trust['event']}")
    if analysis["guards"]:
        rates = (f"{name} {rate['share']:.1%}" for name, rate in analysis["guards"].items())
        print(f"  faults: {', '.join(rates)}")


def _figures(scores: dict[str, float], sign: str = "") -> str:
    return "".join(f"  {_METRIC_NAMES[name]} {scores[name]:{sign}6.2f}" for name in scores)


_KINDS = {
    "own": "its own corpus",
    "spoilt": "spoilt inputs",
    "exchanged": "exchanged",
    "other": "other corpora",
    "all": "all of them",
}


def print_calibration(measured: dict[str, Any]) -> None:
    """How good a model's confidence was on sentences that it was not fitted to."""
    for kind, found in measured.items():
        auc, raw = (
            "-" if found[key] is None else f"{found[key]:.3f}" for key in ("auc", "auc_log_prob")
        )
        print(
            f"  {_KINDS[kind]:<15}{found['sentences']:6,} sentences, {found['base_rate']:6.1%} "
            f"good; AUC {auc} (log-probability: {raw}), calibration error "
            f"{found['calibration_error']:.3f}"
        )


def check_writable(path: Path | None) -> None:
    """Complains before the work, not after it, about a file that cannot be written."""
    if path is None:
        return
    if path.is_dir():
        raise TranslatorError(f"{path} is a folder: name a file.")
    if path.exists() and not path.is_file():  # a file would take the place of /dev/null
        raise TranslatorError(f"{path} is no ordinary file: name another, or use standard output.")
    if not path.parent.is_dir():
        raise TranslatorError(f"There is no folder {path.parent}: create it first.")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise TranslatorError(f"{path} cannot be written: no permission.")
