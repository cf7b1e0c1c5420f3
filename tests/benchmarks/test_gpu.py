"""Packing, sending, training for a given time and fetching, rehearsed on the CPU."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from translator.config.loading import load_config
from translator.model.transformer import Transformer
from translator.storage.model_folder import load_model, read_description, save_model
from translator.storage.model_info import ModelInfo
from translator.training.setup import load_data

REPOSITORY = Path(__file__).parents[2]
TINY = [
    *("model.d_model=16", "model.d_ff=32", "model.n_heads=2"),
    *("model.n_encoder_layers=1", "model.n_decoder_layers=1", "train.max_tokens=512"),
    *("data.vocab_size=500", "train.workers=0", "train.log_every=1"),
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("xz") is None, reason="needs xz"),
]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a machine to which corpora and a model can be sent."""
    folder = tmp_path_factory.mktemp("machine")
    pack(folder, "--model", f"en-de={tiny_model(folder)}")
    return folder


def run(folder: Path, *command: str) -> str:
    work = {"GPU_WORK": str(folder / "work"), "OUT": str(folder / "out"), "GPU_PROBE": "2"}
    environment = {**os.environ, **work, "PYTHON": sys.executable, "GPU_TOKENS": "384"}
    options = {"capture_output": True, "text": True, "timeout": 300}
    done = subprocess.run(command, env=environment, cwd=folder, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pack(folder: Path, *options: str, data: str = "sample:0.5,sample:1") -> None:
    settings = [word for setting in TINY for word in ("--set", setting)]
    script = str(REPOSITORY / "benchmarks" / "gpu" / "pack.py")
    corpora = ("--data", data, "--preset", "tiny", "--out", str(folder / ".gpu"))
    run(folder, sys.executable, script, *corpora, *settings, *options)


def tiny_model(folder: Path) -> Path:
    """A MODEL that has learnt nothing yet."""
    config = load_config("tiny", None, ["data.corpus='sample'", *TINY])
    config, data = load_data(config, None)
    weights = Transformer(config.model).state_dict()
    save_model(folder / "model", weights, data.tokenizer, config, {"preset": "tiny"})
    return folder / "model"


def go(folder: Path, *words: str) -> str:
    return run(folder, "bash", str(folder / ".gpu" / "data" / "go.sh"), *words)


def test_a_model_is_sent_trained_and_returned_better(machine: Path) -> None:
    before = load_model(machine / "model")
    go(machine, "unpack", str(machine / ".gpu" / "data"))
    go(machine, "unpack", str(machine / ".gpu" / "en-de"))
    assert "starts from given weights" in go(machine, "train", "12", "en-de", "train.r_drop=1") + (
        machine / "out" / "en-de.log"
    ).read_text(encoding="utf-8")
    go(machine, "fetch", "en-de")
    parts = sorted((machine / "out").glob("model-en-de.xz.*"))
    assert parts and all(part.stat().st_size <= 16 << 20 for part in parts)
    command = f"cat {' '.join(map(str, parts))} | xz -dc | tar xf - -C {machine}"
    subprocess.run(command, shell=True, check=True)
    after = load_model(machine / "model-en-de")
    assert after.config.data.corpus == "sample:0.5,sample:1"
    assert after.tokenizer.model_bytes == before.tokenizer.model_bytes
    assert after.info["training"]["step"] > 3
    assert after.config.train.r_drop == 1
    description = read_description(machine / "model-en-de")  # as of any run, but not scored
    info = ModelInfo.from_dict({**description, "scores": {}})
    assert info.data.training_pairs > 50 and info.training.parameters > 1000
    weights = (m.transformer.embedding.weight for m in (before, after))
    assert not torch.allclose(*weights, atol=1e-3)


def test_synthetic_sources_stay_marked(machine: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "synthetic"
    corpus.mkdir()
    (corpus / "corpus.json").write_text(json.dumps({"tag": "<bt>"}))
    (corpus / "train.en").write_text("A black cat sleeps.\n")
    (corpus / "train.de").write_text("Eine schwarze Katze schläft.\n")
    data = f"sample:0.5,{corpus}:2"
    pack(tmp_path, "--vocabulary", str(machine / "model"), data=data)
    go(tmp_path, "unpack", str(tmp_path / ".gpu" / "data"))
    show = (
        "import sys; sys.path.insert(0, 'work/gpu'); from train import read_data\n"
        "for way in ('en-de', 'de-en'):\n"
        "    data = read_data(way)[1]\n"
        "    src, tgt = data.train[len(data.train) - 1]\n"
        "    marked = src[0] == data.tokenizer.bt_id\n"
        "    print(marked, data.tokenizer.decode(tgt), data.weights[-1].item())\n"
    )
    found = run(tmp_path, sys.executable, "-P", "-c", show).splitlines()
    assert found == ["True Eine schwarze Katze schläft. 2.0", "True A black cat sleeps. 0.0"]


def test_a_run_that_fails_ends_at_once(machine: Path) -> None:
    go(machine, "unpack", str(machine / ".gpu" / "data"))
    (machine / "work" / "ids" / "0-de.rows").write_bytes(b"")
    script = str(machine / "work" / "gpu" / "go.sh")
    with pytest.raises(AssertionError, match="Error.* is cut short"):
        run(machine, "bash", script, "train", "600", "en-de", "train.workers=1")


def test_both_directions_start_from_scratch(machine: Path) -> None:
    shutil.rmtree(machine / "work", ignore_errors=True)
    go(machine, "unpack", str(machine / ".gpu" / "data"))
    go(machine, "train", "34", "en-de", "de-en")
    for direction in ("en-de", "de-en"):
        assert "starts from random weights" in (machine / "out" / f"{direction}.log").read_text(
            encoding="utf-8"
        )
        config = load_model(machine / "work" / f"model-{direction}").config
        assert f"{config.data.src}-{config.data.tgt}" == direction


def test_the_measurement_runs(machine: Path) -> None:
    go(machine, "unpack", str(machine / ".gpu" / "data"))
    table = go(machine, "measure", "general")
    assert "target tokens/s" in table and "captured against eager" in table
    assert "test, beam 1:" in table and "test, beam 5:" in table
    assert "failed" not in table
    apart = [float(number) for number in re.findall(r"scores ([+-][\d.]+) on average", table)]
    assert len(apart) == 2 and max(map(abs, apart)) < 0.01


def test_recipes_are_trained_and_scored_side_by_side(machine: Path) -> None:
    go(machine, "unpack", str(machine / ".gpu" / "data"))
    few = ["train.steps=2", "train.max_tokens=512"]
    recipes: list[dict[str, object]] = [
        {"name": "there", "settings": few, "weights": {"0": 0, "1": 1}, "cuts": [3, 5]},
        {"name": "back", "settings": few, "direction": "de-en"},
        {"name": "wrong", "settings": ["train.stps=2"]},
    ]
    file = machine / "recipes.jsonl"
    file.write_text("\n\n".join(map(json.dumps, recipes)))
    with pytest.raises(
        AssertionError, match="Unknown setting"
    ):  # the others are scored all the same
        go(machine, "sweep", str(file), "2")
    lines = (machine / "out" / "sweep.jsonl").read_text().splitlines()
    found = {result["name"]: result for result in map(json.loads, lines)}
    assert found.keys() == {"there", "back", "wrong"}
    assert "Unknown setting train.stps" in found["wrong"]["error"]
    assert len(found["there"]["domains"]) == 3 and len(found["back"]["domains"]) == 1
    assert all(found[name]["updates"] == 2 for name in ("there", "back"))
