"""What is built from the repository is whole, and works in an empty environment somewhere else."""

import email
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import translator

REPOSITORY = Path(__file__).parents[2]


PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_each_licence_has_a_file_and_a_place() -> None:
    names = set(re.split(r" (?:AND|OR|WITH) ", PROJECT["license"]))
    assert names == {file.stem for file in (REPOSITORY / "LICENSES").iterdir()}
    assert (REPOSITORY / "LICENSE").read_text() == (REPOSITORY / "LICENSES/MIT.txt").read_text()
    places = tomllib.loads((REPOSITORY / "REUSE.toml").read_text(encoding="utf-8"))["annotations"]
    assert names == {place["SPDX-License-Identifier"] for place in places}
    for place in places:
        assert any(REPOSITORY.glob(place["path"])), place["path"]


def test_the_version_is_the_same_everywhere() -> None:
    version = translator.__version__
    citation = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {version}\n" in citation
    changes = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    released = [name for name in re.findall(r"^## (\S+)", changes, re.M) if name != "Unreleased"]
    assert released[0] == version


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(REPOSITORY)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_source_distribution_has_all_that_a_reader_needs(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for folder in ("docs", "benchmarks", "tests", "LICENSES"):
        files = [file for file in (REPOSITORY / folder).rglob("*") if file.is_file()]
        expected = {str(f.relative_to(REPOSITORY)) for f in files if "__pycache__" not in f.parts}
        assert expected <= names, expected - names
    assert {"CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "Dockerfile", "Makefile"} <= names


@pytest.mark.slow
def test_links_of_the_description_work_outside_the_repository(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        described = email.message_from_bytes(archive.read(name))
    assert described["License-Expression"] == PROJECT["license"]
    assert len(described.get_all("License-File", [])) == 3


def needed(requirements: Iterable[str]) -> set[str]:
    """The distributions that these requirements install, with all that those require."""
    found: set[str] = set()
    todo = [(Requirement(text), "") for text in requirements]
    while todo:
        requirement, extra = todo.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        for wanted in ("", *requirement.extras):
            if f"{name}[{wanted}]" not in found:
                found |= {name, f"{name}[{wanted}]"}
                todo += [(Requirement(text), wanted) for text in metadata.requires(name) or ()]
    return found


def make_environment(folder: Path, wheel: Path) -> Path:
    """A new environment with the wheel, which shares what it requires with this one; no more.

    To install PyTorch once more would take a minute.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", wheel]
    subprocess.run(pip, check=True)
    allowed = needed(PROJECT["dependencies"])
    hidden = [
        module
        for module, names in metadata.packages_distributions().items()
        if not allowed & set(map(canonicalize_name, names)) and "small-nmt" not in names
    ]
    (site_packages,) = (folder / "lib").glob("python*/site-packages")
    hide = f"import sys; sys.modules.update(dict.fromkeys({hidden}))"
    (site_packages / "shared.pth").write_text(f"{sysconfig.get_path('purelib')}\n{hide}\n")
    return python


@pytest.mark.slow
def test_a_wheel_works_with_nothing_but_what_it_requires(built: Path, tmp_path: Path) -> None:
    def call(*command: object, **options: object) -> str:
        done = subprocess.run(
            [str(part) for part in command], cwd=tmp_path, capture_output=True, text=True, **options
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    (wheel,) = built.glob("*.whl")
    assert wheel.stat().st_size <= 95 * 10**6  # with all the models that ship
    assert {"translator/py.typed", "data_prep/py.typed"} <= set(ZipFile(wheel).namelist())
    python = make_environment(tmp_path / "venv", wheel)
    command = python.with_name("translator")
    where = call(python, "-c", "import translator; print(translator.__file__)")
    assert Path(where.strip()).is_relative_to(tmp_path)
    extra = subprocess.run([python, "-c", "import matplotlib"], capture_output=True, text=True)
    assert "ModuleNotFoundError" in extra.stderr
    # No network: any name it asked for would be answered by nobody.
    offline = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "PYTHONPATH": ""}
    for options in ([], ["--model", "multi30k-en-de"]):
        german = call(command, "translate", *options, "A dog runs along the beach.", env=offline)
        assert german.startswith("Ein Hund ") and "Strand" in german
    assert "BLEU" in call(command, "info", env=offline)
    assert "20,000 train" in call(python, "-m", "data_prep.sample", env=offline)
    api = "from translator import Translator; print(Translator.load().translate(['A man.'])[0])"
    assert call(python, "-c", api, env=offline).strip()
    # The page of an evaluation needs files that are no Python.
    page = "from translator.report.evaluation_page import render_evaluation as page; "
    page += "from translator.report.results import SplitResult; "
    page += "print(page({'test': SplitResult(0, {})}))"
    assert call(python, "-c", page, env=offline).count("prefers-color-scheme") == 1
