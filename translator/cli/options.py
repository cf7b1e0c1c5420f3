"""Options that several commands share, and what they mean: a direction, a loaded model."""

import dataclasses
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from translator.cli.groups import Settings, usage_error
from translator.cli.help import RUNNING
from translator.config.errors import SettingError, TranslatorError
from translator.config.loading import override
from translator.config.schema import ENGINES, PRECISIONS, Config, SearchConfig

if TYPE_CHECKING:
    from translator.translation.translator import Translator


_running = partial(typer.Option, rich_help_panel=RUNNING)
Quiet = Annotated[bool, _running("--quiet", "-q", help="No logs, warnings or progress bars.")]
Debug = Annotated[bool, _running("--debug", help="Show the traceback of an error.")]
Json = Annotated[bool, _running("--json", help="Print machine-readable results.")]
Progress = Annotated[bool, _running("--progress", help="Progress bars even without a terminal.")]
Device = Annotated[str, _running(metavar="auto|cpu|cuda|mps", help="auto is the best there is.")]
Threads = Annotated[int, _running(min=0, show_default="those idle", help="CPU threads.")]
Precision = Annotated[
    Literal[PRECISIONS],  # type: ignore[valid-type]
    typer.Option(help="bf16 is faster and less exact."),
]
Engine = Annotated[
    Literal[ENGINES],  # type: ignore[valid-type]
    typer.Option(metavar="NAME", help=f"{', '.join(ENGINES)}."),
]
Src = Annotated[
    str | None, typer.Option(metavar="LANG", show_default="en", help="Source language.")
]
Tgt = Annotated[
    str | None, typer.Option(metavar="LANG", show_default="de", help="Target language.")
]
SearchSettings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="search.KEY=VALUE", help="A search setting; repeatable."),
]


@dataclass(frozen=True)
class Talk:
    """How much a quick command says."""

    quiet: Quiet = False
    debug: Debug = False


@dataclass(frozen=True)
class Common:
    """Where a command runs, and how it reports."""

    device: Device = "auto"
    threads: Threads = 0
    json: Json = False
    quiet: Quiet = False
    progress: Progress = False
    debug: Debug = False

    @property
    def bar(self) -> bool:
        """Whether to show progress bars."""
        return show_bar(self.quiet, self.progress)


def show_bar(quiet: bool, progress: bool) -> bool:
    """Whether to show progress bars: on a terminal, unless told otherwise."""
    return progress or (sys.stderr.isatty() and not quiet)


@dataclass(frozen=True)
class ModelChoice:
    """Which model translates, in which direction."""

    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            show_default="$TRANSLATOR_MODEL, or a shipped one",
            help="Folder or name; several are an ensemble.",
        ),
    ] = None
    src: Src = None
    tgt: Tgt = None
    precision: Precision = "fp32"

    @property
    def direction(self) -> tuple[str, str]:
        """Source and target; `--src de` alone is German to English."""
        from translator.storage.find import complete_direction
        from translator.text.language import language_code

        return complete_direction(*(code and language_code(code) for code in (self.src, self.tgt)))

    def load(self, common: Common, small: bool = False, lazy: bool = False) -> "Translator":
        """Loads the model or ensemble.

        Args:
            common: where it runs.
            small: the job is too small for several threads.
            lazy: without its weights, and so without PyTorch.

        Raises:
            TranslatorError: it does not translate in the direction that was asked for.
        """
        from translator.translation.translator import Translator

        if not lazy:
            from translator.system.machine import set_up_cpu

            set_up_cpu(common.threads or int(small))
        src, tgt = self.direction
        direction = {"src": src, "tgt": tgt} if self.src or self.tgt else {}
        translator = Translator.load(
            self.model or None,
            **direction,
            device=common.device,
            precision=self.precision,
            lazy=lazy,
        )
        if common.device == "auto" and not translator.on_cpu:
            logging.getLogger("translator").info("Using %s.", translator.device)
        return translator


def resolve_search(translator: "Translator", given: dict[str, Any]) -> SearchConfig:
    """The model's own search settings, with those that options gave put in."""
    try:
        return translator.search_config(**given)
    except SettingError as error:
        raise usage_error(error) from None


def with_settings(config: Config, settings: Sequence[str] | None) -> Config:
    """`config` with the settings that `--set` gives."""
    try:
        return override(config, settings or ())
    except TranslatorError as error:
        raise typer.BadParameter(str(error)) from None


_SEARCH = tuple(
    each.name
    for each in dataclasses.fields(SearchConfig)
    if each.name not in ("min_length", "max_ratio", "max_extra", "max_pieces")
)


def search_settings(*names: str, **options: Any) -> Settings:
    """The options of some search settings."""
    panel = "Search (default: the model's own settings)"
    return Settings(SearchConfig, names, panel, **options)


Search = Annotated[dict[str, Any], search_settings(*_SEARCH, short=(("n_best", ("-n",)),))]
Scoring = Annotated[
    dict[str, Any],
    search_settings("length_penalty", "length_rule", "length_reward", "batch_tokens"),
]
