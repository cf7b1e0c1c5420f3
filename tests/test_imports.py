"""The layering: imports point down only, in both packages."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
FLOORS = {
    "translator.config": 0,
    "translator.tokenizer": 0,
    "translator.distributed": 0,
    "translator.model": 1,
    "translator.data": 1,
    "translator.optim": 1,
    "translator.losses": 1,
    "translator.metrics": 1,
    "translator.signals": 1,
    "translator.update": 2,
    "translator.probe": 3,
    "translator.finish": 7,
    "translator.text": 1,
    "data_prep.formats": 1,
    "data_prep.downloads": 1,
    "data_prep.corpora": 1,
    "data_prep.sample": 1,
    "data_prep.affinity": 1,
    "data_prep.rules": 1,
    "data_prep.contamination": 1,
    "data_prep.clean": 1,
    "data_prep.segment": 1,
    "data_prep.alignment": 1,
    "data_prep.language": 1,
    "data_prep.sniff": 1,
    "data_prep.store": 1,
    "data_prep.shards": 1,
    "data_prep.prepared": 1,
    "data_prep.encoded": 1,
    "data_prep.page": 1,
    "data_prep.report": 1,
    "data_prep.prepare": 1,
    "data_prep.noise": 1,
    "data_prep.spoil": 1,
    "translator.reliability": 1,
    "translator.confidence": 4,
    "translator.calibrate": 6,
    "data_prep.augment": 5,
    "translator.sentences": 1,
    "translator.guards": 1,
    "translator.mbr": 1,
    "translator.incremental": 2,
    "translator.align": 2,
    "translator.checkpoint": 2,
    "translator.runs": 3,
    "translator.average": 4,
    "translator.search": 3,
    "translator.models": 3,
    "translator.scoring": 4,
    "translator.segments": 5,
    "translator.mend": 5,
    "translator.translate": 5,
    "translator.stream": 6,
    "translator.card": 6,
    "translator.moses": 1,
    "translator.evaluate": 6,
    "translator.robustness": 7,
    "translator.analysis": 8,
    "translator.visualize": 6,
    "translator.charts": 6,
    "translator.figures": 6,
    "translator.marked": 6,
    "translator.listing": 6,
    "translator.report": 7,
    "translator.export": 6,
    "data_prep.back_translate": 6,
    "translator.progress": 7,
    "translator.train": 8,
    "translator.doctor": 8,
    "translator.console": 8,
    "translator.cli_translate": 9,
    "translator.cli_runs": 9,
    "translator.cli_evaluate": 9,
    "translator.cli_data": 9,
    "translator.cli": 10,
    "translator.__main__": 11,
    # Give out the public names of the others, when they are first used.
    "translator.__init__": 11,
    "data_prep.__init__": 11,
}
FILES = sorted([*REPOSITORY.glob("translator/*.py"), *REPOSITORY.glob("data_prep/*.py")])
MODULES = {f"{file.parent.name}.{file.stem}": file for file in FILES}


def imported_modules(source: str, known: set[str]) -> Iterator[str]:
    """The modules of both packages that a source imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module or ""]
        else:
            continue
        yield from (name for name in names if name in known)


def test_every_module_has_a_floor() -> None:
    assert MODULES.keys() <= FLOORS.keys()


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    source = MODULES[module].read_text(encoding="utf-8")
    for imported in imported_modules(source, set(MODULES)):
        # Modules of one floor may lean on each other; cycles are excluded below.
        assert FLOORS[imported] <= FLOORS[module], f"{module} imports {imported}"


def test_imports_have_no_cycles() -> None:
    below = {
        module: set(imported_modules(file.read_text(encoding="utf-8"), set(MODULES)))
        for module, file in MODULES.items()
    }
    while below:
        free = {module for module, imported in below.items() if not imported & below.keys()}
        assert free, f"these import each other: {', '.join(below)}"
        below = {module: imported for module, imported in below.items() if module not in free}


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "base", "constants", "common", "misc"}
    assert not {file.stem for file in FILES} & drawers


def test_the_import_reader_sees_all_forms() -> None:
    source = "import a.x\nfrom a import y\ndef f():\n    from a.z import name\nimport os"
    assert sorted(imported_modules(source, {"a.x", "a.y", "a.z"})) == ["a.x", "a.y", "a.z"]
