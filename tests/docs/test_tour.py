"""docs/tour.md as a reader pastes it: its blocks run in order and print what stands below them."""

import contextlib
import io
import os
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
TOUR = (REPOSITORY / "docs" / "tour.md").read_text(encoding="utf-8")
PICTURES = "## 10. The same layer reads pictures"
# A block of Python, then the block of what it prints, unless it prints nothing.
_BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n```text(?P<kind>.*?)\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
_NUMBER = re.compile(r"-?\d+\.\d+")


def run_blocks(text: str, folder: Path) -> list[tuple[re.Match[str], str]]:
    """Runs the blocks in one namespace, as in one session; gives what each printed."""
    names: dict[str, object] = {}
    (folder / "checkpoints").symlink_to(REPOSITORY / "checkpoints")
    results = []
    before = Path.cwd()
    os.chdir(folder)
    try:
        for block in _BLOCK.finditer(text):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(block["code"], "tour.md", "exec"), names)
            results.append((block, printed.getvalue()))
    finally:
        os.chdir(before)
    return results


def check(block: re.Match[str], printed: str) -> None:
    """Words are equal, and numbers but for their last digit, which a processor may round."""
    if block["kind"] == " example":  # learnt in this very run, so another one on another machine
        assert printed
        return
    expected = block["output"] or ""
    assert _NUMBER.sub("0", printed).split() == _NUMBER.sub("0", expected).split(), printed
    for found, there in zip(_NUMBER.findall(printed), _NUMBER.findall(expected), strict=True):
        assert float(found) == pytest.approx(float(there), abs=0.0201)


def test_the_tour_prints_what_it_says(tmp_path: Path) -> None:
    text, _, pictures = TOUR.partition(PICTURES)
    assert pictures
    results = run_blocks(text, tmp_path)
    assert len(results) >= 10
    for block, printed in results:
        check(block, printed)
    assert (tmp_path / "attention.png").exists()


@pytest.mark.slow
def test_the_vision_transformer_learns(tmp_path: Path) -> None:
    for block, printed in run_blocks(TOUR, tmp_path):
        check(block, printed)


def test_quoted_lines_are_in_the_code() -> None:
    lines = {
        line.strip()
        for line in (REPOSITORY / "translator/model/transformer.py").read_text().splitlines()
    }
    quoted = re.findall(r"^In the code: `(.*)`$", TOUR, re.MULTILINE)
    assert len(quoted) >= 9
    assert set(quoted) <= lines
