"""The recipe of the shipped models goes through from its first command to its last."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from translator.storage.model_folder import load_model

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_recipe_makes_both_models(
    text_pairs: list[tuple[str, str]], tiny_options: list[str], tmp_path: Path
) -> None:
    """On a small corpus, with small nets: the commands are those of the shipped ones."""

    def write(name: str, pairs: list[tuple[str, str]]) -> None:
        for side, language in enumerate(("en", "de")):
            file = tmp_path / "data" / f"{name}.{language}.gz"
            file.parent.mkdir(parents=True, exist_ok=True)
            text = "".join(f"{pair[side]}\n" for pair in pairs)
            file.write_bytes(gzip.compress(text.encode()))

    for split, start in (("val", 200), ("test_2016_flickr", 215), ("test_2017_flickr", 230)):
        write(f"multi30k/{split}", text_pairs[start : start + 15])
    write("multi30k/train", text_pairs[:200])
    for i in range(1, 6):
        write(f"multi30k/task2/train.{i}", text_pairs[245 + 8 * i : 253 + 8 * i] + text_pairs[:9])
    write("wmt_news/train", text_pairs[:50])
    write("wmt_news/valid", text_pairs[200:215])
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    few = ["--steps", "300", "--set", "train.peak_lr=1e-2", "--set", "train.validate_every=300"]
    done = subprocess.run(
        [
            *("bash", REPOSITORY / "checkpoints" / "reproduce.sh", tmp_path / "data"),
            *(tmp_path / "out", *tiny_options, *few, "--set", "noise.scale=0"),
        ],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for direction in ("en-de", "de-en"):
        model = load_model(tmp_path / "out" / direction)
        assert ["-".join(pair) for pair in model.directions] == [direction]
        assert set(model.info["scores"]) == {"valid", "test_2016_flickr", "test_2017_flickr"}
        for result in model.info["scores"].values():
            assert set(result["scores"]) == {"bleu", "chrf", "ter", "multi30k_bleu"}
        assert "other" in model.info["confidence"][direction]["measured"]
    for side, language in enumerate(("en", "de")):
        mono = (tmp_path / "out" / f"mono.{language}").read_text().splitlines()
        assert mono and not set(mono) & {pair[side] for pair in text_pairs[:200]}
    tags = {
        name: json.loads((tmp_path / "out" / name / "corpus.json").read_text())["tag"]
        for name in ("forward", "back", "second", "back-german", "third", "fourth", "back-fifth")
    }
    assert tags == {name: "<bt>" if "back" in name else None for name in tags}
