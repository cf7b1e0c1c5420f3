"""A wheel in an empty environment, somewhere else, translates with the shipped model."""

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_wheel_works_in_an_empty_environment(tmp_path: Path) -> None:
    def call(*command: object, **options: object) -> str:
        done = subprocess.run(
            [str(part) for part in command], cwd=tmp_path, capture_output=True, text=True, **options
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    call(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "dist", REPOSITORY)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert {"translator/py.typed", "data_prep/py.typed"} <= set(ZipFile(wheel).namelist())
    call(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    call(python, "-m", "pip", "install", "-q", "-c", REPOSITORY / "constraints.txt", wheel)
    translator = tmp_path / "venv" / "bin" / "translator"
    # No network: any name it asked for would be answered by nobody.
    offline = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "PYTHONPATH": ""}
    german = call(translator, "translate", "A dog runs along the beach.", env=offline)
    assert german.startswith("Ein Hund ") and "Strand" in german
    assert "BLEU" in call(translator, "info", env=offline)
    assert "20,000 train" in call(python, "-m", "data_prep.sample", env=offline)
    api = "from translator import Translator; print(Translator.load().translate(['A man.'])[0])"
    assert call(python, "-c", api, env=offline).strip()
    # The page of an evaluation needs files that are no Python.
    page = "from translator.report.evaluation_page import evaluation_html as page; "
    page += "from translator.report.results import SplitResult; "
    page += "print(page({'test': SplitResult(0, {})}))"
    assert call(python, "-c", page, env=offline).count("prefers-color-scheme") == 1
