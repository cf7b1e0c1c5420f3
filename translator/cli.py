"""The command line: each command turns its options into settings and calls one function.

Only light imports stand at the top: `translator --help` must not wait for torch.
"""

import functools
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from translator import __version__
from translator.config import PRESETS, TranslatorError, from_dict, load_config, override

if TYPE_CHECKING:
    from translator.translate import Translation, Translator

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train, use and score a small English-German Transformer.",
)
F = TypeVar("F", bound=Callable[..., None])

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps; auto takes the best there is.")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0 = one per core.")]
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
Src = Annotated[str, typer.Option(metavar="LANG", help="Source language.")]
Tgt = Annotated[str, typer.Option(metavar="LANG", help="Target language.")]
BeamSize = Annotated[
    int | None, typer.Option(min=1, show_default="5", help="Hypotheses per sentence; 1 = greedy.")
]
LengthPenalty = Annotated[
    float | None,
    typer.Option(show_default="1.0", help="Alpha in score = log-probability / length^alpha."),
]
BatchTokens = Annotated[
    int | None, typer.Option(min=1, show_default="4096", help="Source pieces in a batch.")
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


def _command(function: F) -> F:
    """Registers a command whose failures are one line and an exit code."""

    @app.command()
    @functools.wraps(function)
    def wrapped(*args: Any, **options: Any) -> None:
        log = logging.getLogger("translator")
        log.handlers = [_Stderr()]
        log.propagate = False
        log.setLevel(logging.CRITICAL if options["quiet"] else logging.INFO)
        try:
            function(*args, **options)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader of our output has left
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except (KeyboardInterrupt, TranslatorError, OSError, MemoryError) as error:
            if options["debug"]:
                traceback.print_exc()
            print(f"Error: {_one_line(error)}", file=sys.stderr)
            raise typer.Exit(130 if isinstance(error, KeyboardInterrupt) else 1) from None

    return wrapped  # type: ignore[return-value]


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


def _set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads or os.cpu_count() or 1)


def _wants_bar(quiet: bool, progress: bool) -> bool:
    return progress or (sys.stderr.isatty() and not quiet)


def _load(
    model: str | None, src: str, tgt: str, device: str, threads: int, wanted: bool
) -> "Translator":
    """Loads a model; `wanted`: the languages were given and must be the model's."""
    from translator.translate import Translator

    _set_threads(threads)
    translator = Translator.load(model, src=src, tgt=tgt, device=device)
    data = translator.model.config.data
    if wanted and (src, tgt) != (data.src, data.tgt):
        raise TranslatorError(
            f"{translator.model.folder} translates {data.src}-{data.tgt}, not {src}-{tgt}."
        )
    if device == "auto" and translator.device.type != "cpu":
        logging.getLogger("translator").info("Using %s.", translator.device)
    return translator


def _given(context: typer.Context, *names: str) -> bool:
    """Whether one of these options stands on the command line."""
    return any(
        (source := context.get_parameter_source(name)) is not None and source.name == "COMMANDLINE"
        for name in names
    )


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


_METRIC_NAMES = {"bleu": "BLEU", "chrf": "chrF2", "ter": "TER"}  # as sacreBLEU writes them


def _print_scores(splits: dict[str, dict[str, Any]]) -> None:
    for split, result in splits.items():
        print(f"{split} ({result['sentences']} sentences)")
        for name, score in result["scores"].items():
            print(f"  {_METRIC_NAMES[name]:5} {score['score']:6.2f}  {score['signature']}")
        if "seconds" in result:
            print(f"  {result['sentences_per_second']:.1f} sentences/s")


@_command
def train(
    data: Annotated[
        str | None,
        typer.Option(
            metavar="CORPUS",
            show_default="multi30k",
            help="sample, multi30k, wmt14, hf:OWNER/NAME[:CONFIG], or a folder with train.SRC, "
            "train.TGT, valid.* and test*.*.",
        ),
    ] = None,
    src: Annotated[
        str | None, typer.Option(metavar="LANG", show_default="en", help="Source language.")
    ] = None,
    tgt: Annotated[
        str | None, typer.Option(metavar="LANG", show_default="de", help="Target language.")
    ] = None,
    preset: Annotated[str, typer.Option(help=f"One of {', '.join(PRESETS)}.")] = "tiny",
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Settings over the preset's.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="One setting; repeatable."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", show_default="checkpoints/CORPUS-SRC-TGT-PRESET", help="The run folder."
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, show_default="the preset's", help="Updates in all.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, show_default="no limit", help="Stop training after this.")
    ] = None,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(min=1, metavar="STEPS", show_default="250", help="Steps between checkpoints."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(show_default="1", help="Of all randomness in the run.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Move an earlier run aside to DIR.1 and start anew.")
    ] = False,
    device: Device = "auto",
    threads: Threads = 0,
    json_: Json = False,
    quiet: Quiet = False,
    progress: Progress = False,
    debug: Debug = False,
) -> None:
    """Train a model. The same command again resumes the run where it stopped."""
    given: dict[str, dict[str, Any]] = {
        "data": {"corpus": data, "src": src, "tgt": tgt},
        "train": {"steps": steps, "checkpoint_every": checkpoint_every, "seed": seed},
    }
    options = {
        section: {key: value for key, value in values.items() if value is not None}
        for section, values in given.items()
    }
    settings = from_dict(options, load_config(preset, config))
    settings = override(settings, set_ or ())

    from translator.train import run_folder
    from translator.train import train as train_model

    _set_threads(threads)
    folder = run or run_folder(settings)
    info = train_model(
        settings,
        folder,
        minutes=minutes,
        fresh=fresh,
        device=device,
        show_bar=_wants_bar(quiet, progress),
    )
    if json_:
        _print_json({"run": str(folder), **info})
        return
    print(f"{folder}: {info['training']['weights']}, {info['training']['step']} steps")
    _print_scores(info["scores"])
    print(f'\nTranslate with it:  translator translate --model {folder} "TEXT"')
    print(f"Score it:           translator evaluate --model {folder} --data {settings.data.corpus}")


@_command
def translate(
    context: typer.Context,
    text: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]...", help="Without it: standard input.")
    ] = None,
    model: ModelOption = None,
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
    beam_size: BeamSize = None,
    length_penalty: LengthPenalty = None,
    n_best: Annotated[int, typer.Option(min=1, help="Translations per line, one a line.")] = 1,
    scores: Annotated[
        bool, typer.Option("--scores", help="Put the score and a tab before each translation.")
    ] = False,
    attention: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw where the model looked (one picture a line)."),
    ] = None,
    attention_view: Annotated[
        str, typer.Option(help="mean of layers and heads, or heads: one map for each.")
    ] = "mean",
    batch_tokens: BatchTokens = None,
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
    for path in (output, attention):
        _check_writable(path)
    lines = _input_lines(text, input_)
    translator = _load(model, src, tgt, device, threads, _given(context, "src", "tgt"))
    search = translator.search_config(beam_size, length_penalty, n_best, batch_tokens)

    def render(found: "Translation") -> str:
        return _render(found, n_best, scores, json_)

    if attention:
        lines = list(lines)
        _draw(translator, [line for line in lines if line.strip()], attention, attention_view)
    if output:
        from translator.translate import translate_to_file

        bar = _wants_bar(quiet, progress)
        translate_to_file(translator, list(lines), output, search, render, bar)
        return
    # A terminal wants each answer at once; anything else is faster in blocks.
    size = 1 if not text and not input_ and sys.stdin.isatty() else 1024
    translator.show_bar = size > 1 and _wants_bar(quiet, progress)
    for found in translator.translate_blocks(lines, search, size):
        sys.stdout.write(render(found))
        if size == 1:
            sys.stdout.flush()


def _render(found: "Translation", n_best: int, scores: bool, as_json: bool) -> str:
    if as_json:
        value: dict[str, Any] = {
            "source": found.source,
            "translation": found.text,
            "score": found.score,
        }
        if n_best > 1:
            value["n_best"] = [{"translation": t, "score": s} for t, s in found.n_best]
        return json.dumps(value, ensure_ascii=False) + "\n"
    return "".join((f"{s:.4f}\t{t}\n" if scores else f"{t}\n") for t, s in found.n_best)


def _draw(translator: "Translator", lines: list[str], path: Path, view: str) -> None:
    from translator.visualize import draw_attention

    for i, line in enumerate(lines, start=1):
        target = path if len(lines) == 1 else path.with_suffix(f".{i}{path.suffix}")
        draw_attention(translator.attention(line), target, view)


def _check_writable(path: Path | None) -> None:
    """Complains before the work, not after it, about a file that cannot be written."""
    if path is None:
        return
    if path.is_dir():
        raise TranslatorError(f"{path} is a folder: name a file.")
    if not path.parent.is_dir():
        raise TranslatorError(f"There is no folder {path.parent}: create it first.")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise TranslatorError(f"{path} cannot be written: no permission.")


def _input_lines(text: list[str] | None, file: Path | None) -> Iterable[str]:
    if text:
        return [line for argument in text for line in argument.split("\n")]
    if file:
        from data_prep.corpora import read_lines

        return read_lines(file)
    return _stdin_lines()


def _stdin_lines() -> Iterator[str]:
    from data_prep.corpora import decode_lines

    prompt = sys.stdin.isatty()
    number = 0
    while True:
        if prompt:
            print("> ", end="", file=sys.stderr, flush=True)
        raw = sys.stdin.buffer.readline()  # ends at "\n" alone
        if not raw:
            return
        number += 1
        try:
            yield (decode_lines(raw, "standard input") or [""])[0]
        except TranslatorError:
            raise TranslatorError(f"Standard input, line {number}: not UTF-8.") from None


@_command
def evaluate(
    context: typer.Context,
    model: ModelOption = None,
    data: Annotated[
        str, typer.Option(metavar="CORPUS", help="As for `translator train`.")
    ] = "multi30k",
    split: Annotated[
        str, typer.Option(help="A split, or how the names of several begin.")
    ] = "test",
    source: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Translate this file instead of --data.")
    ] = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A reference translation of it; repeatable."),
    ] = None,
    hypotheses: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Score these lines; nothing is translated.")
    ] = None,
    metrics: Annotated[str, typer.Option(help="Of bleu, chrf, ter.")] = "bleu,chrf",
    lowercase: Annotated[
        bool, typer.Option("--lowercase", help="Compare without regard to case.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the translations here.")
    ] = None,
    src: Src = "en",
    tgt: Tgt = "de",
    beam_size: BeamSize = None,
    length_penalty: LengthPenalty = None,
    batch_tokens: BatchTokens = None,
    device: Device = "auto",
    threads: Threads = 0,
    json_: Json = False,
    quiet: Quiet = False,
    progress: Progress = False,
    debug: Debug = False,
) -> None:
    """Score a model, or a file of translations, with sacreBLEU."""
    from translator.evaluate import METRICS, evaluate_set, read_test_sets

    names = [name.strip() for name in metrics.split(",") if name.strip()]
    if not names or set(names) - set(METRICS):
        raise typer.BadParameter(f"--metrics takes some of {', '.join(METRICS)}, not {metrics!r}")
    if source and not reference:
        raise typer.BadParameter("--source needs --reference")
    if reference and not (source or hypotheses):
        raise typer.BadParameter("--reference needs --source or --hypotheses")
    if output and hypotheses:
        raise typer.BadParameter("--output goes with translating, not with --hypotheses")
    _check_writable(output)
    wanted = _given(context, "src", "tgt")
    translator = None
    if not hypotheses:
        translator = _load(model, src, tgt, device, threads, wanted)
        src, tgt = translator.model.config.data.src, translator.model.config.data.tgt
    test_sets = read_test_sets(data, split, src, tgt, source, reference or [], hypotheses)
    if output and len(test_sets) > 1:
        raise TranslatorError(f"--output needs one split, not {', '.join(test_sets)}: use --split.")
    search = None
    if translator:
        search = translator.search_config(beam_size, length_penalty, 1, batch_tokens)
        translator.show_bar = _wants_bar(quiet, progress)
    results = {}
    for name, test_set in test_sets.items():
        results[name], lines = evaluate_set(translator, test_set, search, names, lowercase)
    if output:
        output.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")
    if not json_:
        _print_scores(results)
    elif len(results) == 1:
        _print_json(next({"split": name, **result} for name, result in results.items()))
    else:
        _print_json({"splits": {n: {"split": n, **result} for n, result in results.items()}})


@_command
def info(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="A model's folder.", show_default="the shipped one"),
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show what a model is, how it was trained, and how it scores."""
    from translator.translate import describe_model, find_model

    folder = find_model(model)
    description = describe_model(folder)
    if json_:
        _print_json({"model": str(folder), **description})
        return
    config, training = description["config"], description.get("training", {})
    direction = description["direction"]
    print(f"{folder}\n{direction['src']} -> {direction['tgt']}, preset {config['preset']}")
    sizes = ", ".join(f"{key} {value}" for key, value in config["model"].items())
    print(
        f"{description['parameters']:,} parameters, {description['bytes'] / 2**20:.1f} MiB; {sizes}"
    )
    if training:
        print(
            f"trained {training['step']} steps in {training['seconds'] / 60:.0f} minutes on "
            f"{training['device']} ({training['threads']} threads); weights: {training['weights']}"
        )
    if "data" in description:
        print("data: " + ", ".join(f"{k} {v}" for k, v in description["data"].items() if v))
    _print_scores(description.get("scores", {}))


def main() -> None:
    """The entry point of the `translator` command."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    app(prog_name="translator")
