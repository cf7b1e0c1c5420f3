"""The examples of docs/python.md run, and a user's types are checked against the package."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from translator.storage.find import shipped_models

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "python.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.skipif(not shipped_models(), reason="no model is shipped")
@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_runs(
    example: str, subprocess_environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "example.py"  # a spawned process imports it again
    file.write_text(example, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, file],
        cwd=tmp_path,
        env=subprocess_environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "print(" not in example or done.stdout


def test_every_field_and_method_is_named() -> None:
    from dataclasses import fields

    import translator
    from translator.translation.result import AttentionMap, Segment, Translation

    names = [field.name for kind in (Translation, Segment, AttentionMap) for field in fields(kind)]
    methods = [name for name in vars(translator.Translator) if name in ("score", "attention")]
    for name in [*names, *methods, *translator.__all__]:
        assert re.search(rf"\b{name}\b", PAGE), name


GOOD = """
import sys
from pathlib import Path

from translator import Config, Translator, TranslatorError, load_config, train

translator: Translator = Translator.load(src="de", device="cpu")
one: str = translator.translate("Ein Hund.")
again: str = translator("Ein Hund.", beam_size=1)
several: list[str] = translator(["Ein Hund."])
lazy: list[str] = translator(line for line in ["Ein Hund."])
with open(sys.argv[1], encoding="utf-8") as file:
    lines: list[str] = translator(file)
for found in translator.translate_lines(["Ein Hund."], translator.search_config(n_best=2)):
    text: str = found.text
    trust: float | None = found.confidence
    scored: list[tuple[str, float]] = found.n_best
    links: list[list[tuple[int, int]]] = [s.alignment for s in found.segments if s.alignment]
config: Config = load_config("tiny", overrides=["train.steps=20"])
steps: int = config.train.steps
try:
    info = train(config, Path("run"))
    bleu: float = info.scores["valid"].bleu.score if info else 0.0
except TranslatorError as error:
    print(error)
"""
BAD = """
from translator import Translator

translator = Translator.load()
number: int = translator("A dog.")
translator(3)
translator.translate(None)
Translator("folder")
"""


@pytest.mark.slow
def test_a_users_script_is_checked_strictly(
    tmp_path: Path, subprocess_environment: dict[str, str]
) -> None:
    """As against an installed package: the user has no settings of ours."""
    pytest.importorskip("mypy")

    def check(script: str) -> "subprocess.CompletedProcess[str]":
        (tmp_path / "script.py").write_text(script)
        command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"]
        return subprocess.run(
            [*command, "script.py"],
            cwd=tmp_path,
            env={**subprocess_environment, "MYPYPATH": os.fspath(REPOSITORY)},
            capture_output=True,
            text=True,
        )

    good = check(GOOD)
    assert good.returncode == 0, good.stdout
    bad = check(BAD).stdout
    assert [int(line.split(":")[1]) for line in bad.splitlines() if ": error:" in line] == [
        5,
        6,
        7,
        8,
    ]
