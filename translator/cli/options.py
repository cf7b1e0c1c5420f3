"""Options that several commands share, and what they mean: a loaded model, a pair of languages.

Only light imports at the top: `translator --help` must not wait for torch.
"""

import logging
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from translator.translation.translator import Translator

OWN = "the model's own"
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
        show_default=OWN,
        rich_help_panel="Search",
        help="Hypotheses per sentence; 1 = greedy.",
    ),
]
LengthPenalty = Annotated[
    float | None,
    typer.Option(
        show_default=OWN,
        rich_help_panel="Search",
        help="Alpha in score = (log-probability + reward * length) / length ^ alpha.",
    ),
]
LengthReward = Annotated[
    float | None,
    typer.Option(
        show_default=OWN,
        rich_help_panel="Search",
        help="The reward of each piece there; for longer translations, with --length-penalty 0.",
    ),
]
LengthRule = Annotated[
    str | None,
    typer.Option(
        show_default=OWN,
        rich_help_panel="Search",
        help="plain: length ^ alpha; gnmt: ((5 + length) / 6) ^ alpha.",
    ),
]
BatchTokens = Annotated[
    int | None, typer.Option(min=1, show_default=OWN, help="Source pieces in a batch.")
]
Precision = Annotated[
    str, typer.Option(help="fp32, or bf16: matrix products in bfloat16, faster and less exact.")
]


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
    from translator.model.incremental import PRECISIONS
    from translator.system.machine import set_up_cpu
    from translator.translation.translator import Translator

    if precision not in PRECISIONS:
        raise typer.BadParameter(f"--precision is one of {', '.join(PRECISIONS)}, not {precision}")
    set_up_cpu(threads)
    languages = {"src": src, "tgt": tgt} if wanted else {}
    translator = Translator.load(models or None, **languages, device=device, precision=precision)
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
