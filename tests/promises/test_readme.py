"""README and the user's pages: their commands run, their links and figures are right."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from translator.storage.find import shipped_models
from translator.storage.model_folder import read_description

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")])
WITH_COMMANDS = [page for page in PAGES if "```bash" in page.read_text(encoding="utf-8")]
NAMES = [str(page.relative_to(REPOSITORY)) for page in PAGES]
# A block of commands, and the block of what they print, if there is one.
_COMMANDS = re.compile(
    r"^```bash\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL
)


def _blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def _run(command: list[str], folder: Path) -> str:
    """Runs a command; the environment's own `translator` comes first on the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command[-1]}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands run: a page that trains as one before it did finds the run finished."""
    return tmp_path_factory.mktemp("pages")


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_commands_run_and_print_what_is_shown(page: Path, folder: Path) -> None:
    for block, shown in _COMMANDS.findall(page.read_text(encoding="utf-8")):
        printed = "".join(_run(["bash", "-c", line], folder) for line in block.splitlines())
        # What is shown is the default model's.
        if shown and "general-en-de" in shipped_models():
            assert printed == shown
    for number, block in enumerate(_blocks(page, "python")):
        example = folder / f"example{number}.py"
        example.write_text(block, encoding="utf-8")
        _run([sys.executable, str(example)], folder)


def test_the_pages_have_commands() -> None:
    names = {page.name for page in WITH_COMMANDS}
    assert {"README.md", "guide.md"} <= names


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 160


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'<img src="([^"]+)"', text)
    for link in links:
        if link.startswith("http"):
            continue
        path, _, place = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        if place:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert place in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_make_targets_exist(page: Path) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_nothing_depends_on_a_folder_that_a_clone_lacks(page: Path) -> None:
    assert not re.search(r"\.\./shared|/work/", page.read_text(encoding="utf-8"))


def test_the_map_names_every_folder() -> None:
    (tree,) = re.findall(r"^## What is where\n.*?^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(tree.splitlines()) <= 20
    for package in ("translator", "data_prep"):
        for file in (REPOSITORY / package).rglob("__init__.py"):
            assert f"{file.parent.name}/" in tree, file.parent.name


def test_the_results_are_those_of_the_shipped_models() -> None:
    results = (REPOSITORY / "docs" / "results.md").read_text(encoding="utf-8")
    metrics = ("bleu", "chrf", "ter", "multi30k_bleu")
    for folder in shipped_models().values():
        if not folder.name.startswith("multi30k"):
            continue
        for split, result in read_description(folder)["scores"].items():
            scores = [result["scores"][metric] for metric in metrics]
            row = " | ".join(f"{score['score']:.2f}" for score in scores)
            assert f"| {folder.name[-5:]} | {split} | {row} |" in results
            for score in scores:
                assert score["signature"].replace("|", r"\|") in results
