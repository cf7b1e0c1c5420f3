"""docs/architecture.md names functions that are there, and in the order of the wings."""

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
WAYS = re.findall(r"^## One (\w+),.*?\n(.*?)^Who calls", PAGE, re.MULTILINE | re.DOTALL)
STEP = re.compile(r"^\d+\. `([\w/]+\.py)`, `([\w.]+)`: ", re.MULTILINE)


def defined_names(file: Path) -> set[str]:
    names = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{m.name}" for m in node.body if isinstance(m, ast.FunctionDef)}
    return names


def test_both_ways_are_described() -> None:
    assert [what for what, _ in WAYS] == ["sentence", "pair"]


@pytest.mark.parametrize(("what", "text"), WAYS)
def test_a_way_is_ten_functions_down_the_wings(what: str, text: str) -> None:
    steps = STEP.findall(text)
    assert len(steps) == 10
    for file, name in steps:
        assert name in defined_names(REPOSITORY / file), f"{file} has no {name}"
    order = re.findall(r"`([\w.]+)`", PAGE.partition("The docstring of")[0])
    places = [order.index(Path(file).parent.name) for file, _ in steps]
    assert places == sorted(places), what


def test_every_named_file_exists() -> None:
    for file in re.findall(r"`((?:translator|data_prep)/[\w/]+(?:\.py)?)`", PAGE):
        assert (REPOSITORY / file).exists(), file
