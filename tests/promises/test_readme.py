"""The README's commands are run as they stand; only `make` and long runs are left out."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """The environment's own `translator` comes first on the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path}


@pytest.mark.slow
def test_commands_run(environment: dict[str, str], tmp_path: Path) -> None:
    commands = [
        line
        for block in _blocks("bash")
        for line in block.splitlines()
        if not line.startswith("make ")
    ]
    assert len(commands) >= 8
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    assert (tmp_path / "attention.png").exists()


@pytest.mark.slow
def test_python_examples_run(environment: dict[str, str], tmp_path: Path) -> None:
    examples = _blocks("python")
    assert len(examples) == 2
    for example in examples:
        done = subprocess.run(
            [sys.executable, "-c", example],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{example}\n{done.stderr}"


def test_make_targets_exist() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"`?make ([a-z-]+)", README))
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_map_names_every_folder() -> None:
    (tree,) = re.findall(r"^## What is where\n.*?^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(tree.splitlines()) <= 20
    for package in ("translator", "data_prep"):
        for file in (REPOSITORY / package).rglob("__init__.py"):
            assert f"{file.parent.name}/" in tree


def test_the_results_are_those_of_the_shipped_models() -> None:
    from translator.storage.find import shipped_models
    from translator.storage.model_folder import read_description

    metrics = ("bleu", "chrf", "ter", "multi30k_bleu")
    for name, folder in shipped_models().items():
        if not name.startswith("multi30k"):
            continue
        for split, result in read_description(folder)["scores"].items():
            scores = [result["scores"][metric] for metric in metrics]
            row = " | ".join(f"{score['score']:.2f}" for score in scores)
            assert f"| {folder.name[-5:]} | {split} | {row} |" in README
            for score in scores:
                assert score["signature"].replace("|", r"\|") in README
