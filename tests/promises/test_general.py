"""The recipe of the general models goes through from its first command to its last."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from translator.storage.model_folder import load_model

REPOSITORY = Path(__file__).parents[2]
CORPORA = ("wmt", "wmt_machine", "stories", "manuals", "microsoft", "messages", "phrases")


@pytest.mark.slow
def test_the_recipe_makes_both_general_models_and_resumes(
    text_pairs: list[tuple[str, str]], tiny_options: list[str], tmp_path: Path
) -> None:
    """On a small corpus, with small nets: the commands are those of the shipped ones."""

    def write(name: str, pairs: list[tuple[str, str]]) -> None:
        for side, language in enumerate(("en", "de")):
            file = tmp_path / "data" / f"{name}.{language}.gz"
            file.parent.mkdir(parents=True, exist_ok=True)
            text = "".join(f"{pair[side]}\n" for pair in pairs)
            file.write_bytes(gzip.compress(text.encode()))

    def make() -> "subprocess.CompletedProcess[str]":
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return subprocess.run(
            [
                *("bash", REPOSITORY / "checkpoints" / "general.sh", tmp_path / "data"),
                *(tmp_path / "out", *tiny_options, "--set", "noise.scale=0"),
                *(
                    "--steps",
                    "300",
                    "--set",
                    "train.peak_lr=1e-2",
                    "--set",
                    "train.validate_every=300",
                ),
            ],
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
        )

    write("general/everyday/train", text_pairs[:100])
    write("general/everyday/valid", text_pairs[200:215])
    write("general/everyday/test_everyday", text_pairs[215:225])
    write("general/flores/valid", text_pairs[225:235])
    for i, name in enumerate(CORPORA):
        write(f"general/{name}/train", text_pairs[100 + 10 * i : 110 + 10 * i])
    incomplete = make()
    assert incomplete.returncode == 1 and "needs the corpus" in incomplete.stderr
    write("multi30k/train", text_pairs[170:200])
    done = make()
    assert done.returncode == 0, done.stderr
    models = [load_model(tmp_path / "out" / f"general-{d}") for d in ("en-de", "de-en")]
    for model, direction in zip(models, ("en-de", "de-en"), strict=True):
        assert model.folder is not None
        assert model.info["format_version"] == 2
        assert ["-".join(pair) for pair in model.directions] == [direction]
        assert set(model.info["scores"]) == {"valid", "test_everyday"}
        assert direction[-2:] in model.info["pieces"]
        assert "other" in model.info["confidence"][direction]["measured"]
        card = (model.folder / "README.md").read_text()
        for result in model.info["scores"].values():
            assert f"{result['scores']['chrf']['score']:.2f}" in card
        assert "accepted" in card
    assert models[0].tokenizer.model_bytes == models[1].tokenizer.model_bytes
    files = [f for f in (tmp_path / "out").glob("general-*/*") if f.is_file()]
    before = {file: file.stat().st_mtime_ns for file in files}
    assert make().returncode == 0  # nothing that is finished is made again
    assert {file: file.stat().st_mtime_ns for file in files} == before
