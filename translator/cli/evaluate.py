"""The command `evaluate`: its options turned into settings."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from translator.cli.app import command
from translator.cli.options import (
    Common,
    ModelChoice,
    Search,
    SearchSettings,
    resolve_search,
    with_settings,
)
from translator.cli.render import check_page, check_writable
from translator.cli.results import print_json
from translator.config.errors import TranslatorError
from translator.config.schema import METRICS, Config
from translator.system.disk import write_file

if TYPE_CHECKING:
    from translator.evaluation.testset import System

_option = partial(typer.Option, rich_help_panel="Scores")


@dataclass(frozen=True)
class Lines:
    """What is scored."""

    data: Annotated[str, typer.Option(metavar="CORPUS", help="As for `translator train`.")] = (
        "multi30k"
    )
    split: Annotated[str, typer.Option(help="A split, or a beginning of several.")] = "test"
    source: Annotated[Path | None, typer.Option(help="Translate this file instead of --data.")] = (
        None
    )
    reference: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A reference translation of it; repeatable."),
    ] = None
    hypotheses: Annotated[
        Path | None, typer.Option(help="Score these lines; nothing is translated.")
    ] = None


@dataclass(frozen=True)
class Scores:
    """How it is scored, and what else is found out."""

    metrics: Annotated[
        str,
        _option(help="Some of bleu, chrf, ter, and multi30k_bleu: as papers on Multi30k score it."),
    ] = "bleu,chrf,ter"
    lowercase: Annotated[bool, _option("--lowercase", help="Ignore case.")] = False
    bootstrap: Annotated[
        int | None,
        _option(
            min=0,
            show_default="1000",
            help="Resamples for the 95 % intervals and for --compare; 0 = none.",
        ),
    ] = None
    compare: Annotated[
        str | None,
        _option(metavar="MODEL|FILE", help="Another system, or its translations."),
    ] = None
    training_data: Annotated[
        str | None,
        _option(
            metavar="CORPUS",
            help="Also score only lines unlike those of it.",
        ),
    ] = None
    analyse: Annotated[
        bool,
        _option(
            "--analyse",
            help="Scores by kind of sentence and on changed sources, faults, confidence.",
        ),
    ] = False
    report: Annotated[
        Path | None,
        _option(metavar="FILE.html", help="A page of all that --analyse finds."),
    ] = None
    output: Annotated[
        Path | None, _option("--output", "-o", help="Write the translations here.")
    ] = None

    @property
    def names(self) -> list[str]:
        """The metrics."""
        return [name.strip() for name in self.metrics.split(",") if name.strip()]


@command(
    "Translate",
    "translator evaluate --data multi30k --split test",
    "translator evaluate --source in.en --reference ref.de --compare other.de",
)
def evaluate(
    lines: Lines,
    model: ModelChoice,
    scores: Scores,
    search: Search,
    common: Common,
    set_: SearchSettings = None,
) -> None:
    """Score a model, or a file of translations, with sacreBLEU.

    Lines are translated whole and once, without the splitting, layout and retries of `translate`.
    """
    _check(lines, model, scores)
    from translator.evaluation.systems import evaluate_systems
    from translator.evaluation.testset import System, find_training_text, read_test_sets

    def load(name: str | None = None) -> System:
        return _load_system(model, name, common, search, set_)

    src, tgt = model.direction
    if lines.hypotheses:
        system = System(str(lines.hypotheses))
    else:
        system = load()
        assert system.translator
        src, tgt = system.translator.src, system.translator.tgt
    reference = lines.reference or []
    test_sets = read_test_sets(
        *(lines.data, lines.split, src, tgt, lines.source, reference, lines.hypotheses)
    )
    other = _other_system(scores, test_sets, load)
    deep = scores.analyse or scores.report is not None
    data = None if reference else lines.data
    training = find_training_text(test_sets, scores.training_data, data, src, tgt, deep)
    results, translations = evaluate_systems(
        *(system, test_sets, other, training),
        deep=deep,
        metrics=scores.names,
        lowercase=scores.lowercase,
        language=tgt,
        n_bootstrap=scores.bootstrap,
    )
    if scores.output:
        (text,) = ("".join(line + "\n" for line in some) for some in translations.values())
        write_file(scores.output, text.encode())
    _show(results, scores.report, common.json)


def _check(lines: Lines, model: ModelChoice, scores: Scores) -> None:
    """Complains before the work about options that do not go together."""
    if not scores.names or set(scores.names) - set(METRICS):
        known = ", ".join(METRICS)
        raise typer.BadParameter(f"--metrics takes some of {known}, not {scores.metrics!r}")
    if lines.source and not lines.reference:
        raise typer.BadParameter("--source needs --reference")
    if lines.reference and not (lines.source or lines.hypotheses):
        raise typer.BadParameter("--reference needs --source or --hypotheses")
    if model.model and lines.hypotheses:
        raise typer.BadParameter("--hypotheses replaces --model: give the other one to --compare")
    if scores.output and lines.hypotheses:
        raise typer.BadParameter("--output goes with translating, not with --hypotheses")
    if scores.compare and scores.bootstrap == 0:
        raise typer.BadParameter("--compare needs resamples: not --bootstrap 0")
    if scores.compare and not Path(scores.compare).exists():
        from translator.storage.find import shipped_models

        if scores.compare not in shipped_models():
            raise TranslatorError(
                f"{scores.compare} is neither a file of translations nor a model."
            )
    check_page(scores.report)
    for file in (scores.output, scores.report):
        check_writable(file)


def _load_system(
    choice: ModelChoice,
    name: str | None,
    common: Common,
    search: dict[str, Any],
    settings: list[str] | None,
) -> "System":
    """The model of the options, or the one that is compared with it."""
    from dataclasses import replace

    from translator.evaluation.testset import System

    if name:
        src, tgt = choice.direction
        choice = replace(choice, model=[name], src=src, tgt=tgt)
    translator = choice.load(common)
    translator.show_bar = common.bar
    config = Config(search=resolve_search(translator, search))
    names = choice.model or [m.folder.name for m in translator.models if m.folder]
    return System(" + ".join(names), translator, with_settings(config, settings).search)


def _other_system(scores: Scores, test_sets: dict[str, Any], load: Any) -> "System | None":
    from translator.evaluation.testset import System, check_line_counts
    from translator.text.lines import read_lines

    file = Path(scores.compare) if scores.compare and Path(scores.compare).is_file() else None
    if len(test_sets) > 1 and (scores.output or file):
        option = "--output" if scores.output else "--compare FILE"
        raise TranslatorError(f"{option} needs one split, not {', '.join(test_sets)}: use --split.")
    if file:
        other = System(str(file), hypotheses=read_lines(file))
        check_line_counts(test_sets, other.hypotheses or [], str(file))
        return other
    if not scores.compare:
        return None
    if not all(test_set.sources for test_set in test_sets.values()):
        raise typer.BadParameter("--compare MODEL needs sources: --source, or --data")
    found: System = load(scores.compare)
    return found


def _show(results: dict[str, Any], report: Path | None, as_json: bool) -> None:
    if report:
        from translator.report.evaluation_page import render_evaluation

        write_file(report, render_evaluation(results).encode())
    if as_json:
        found = {name: result.to_dict() for name, result in results.items()}
        print_json({"splits": found} if len(found) > 1 else next(iter(found.values())))
        return
    print(*results.values(), sep="\n")
    if report:
        print(f"\nThe report: {report}")
