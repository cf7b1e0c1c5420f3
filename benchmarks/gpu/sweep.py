"""Trains many short recipes, some of them at a time, and scores each: sweep.py FILE [PARALLEL].

Each line of FILE is a recipe in JSON, of which only the name is required:

    {"name": "noisy", "settings": ["train.steps=500"], "work": "~/m30k", "direction": "de-en",
     "start": true, "weights": {"3": 0.5}, "cuts": [1300, 1800]}

`work` is another folder into which a pack was unpacked, `start` says whether the weights that were
sent are trained further (with a schedule for that in the settings), `weights` how often a part of
the packed corpora is read (by its number), and `cuts` where the validation pairs are divided into
domains that are scored too. What came of each recipe is appended to `$OUT/sweep.jsonl` as it ends.
"""

import json
import os
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

START = time.monotonic()
OUT = Path(os.environ.get("OUT", "."))


def train(recipe: dict[str, Any]) -> dict[str, Any]:
    """Trains one recipe and scores its last weights on the validation pairs (beam 5)."""
    start = time.monotonic()
    import torch
    from train import WORK, read_data, read_start  # which makes the program importable

    from translator.config.loading import override
    from translator.evaluation.evaluate import evaluate_set, score_lines
    from translator.evaluation.testset import TestSet
    from translator.storage.model_folder import Model
    from translator.training.run import Run
    from translator.training.setup import build_batches
    from translator.translation.translator import Translator

    direction = recipe.get("direction", "en-de")
    config, data = read_data(direction)
    config = override(config, recipe.get("settings", []))
    for part, weight in recipe.get("weights", {}).items():
        end, size = data.train.ends[int(part)], len(data.train.parts[int(part)])
        cast(torch.Tensor, data.weights)[end - size : end] = weight
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    folder = WORK / f"sweep-{recipe['name']}"
    folder.mkdir(exist_ok=True)
    weights = read_start(direction) if recipe.get("start") else None
    if recipe.get("start") and weights is None:
        raise FileNotFoundError(f"no weights were sent for {direction}")
    meta = json.loads((WORK / "meta.json").read_text())
    turn = 1 if config.data.src == meta["config"]["data"]["src"] else -1
    sources, references = zip(*(pair[::turn] for pair in meta["valid_text"]), strict=True)
    run = Run(config, data, build_batches(config, data, device), folder, device, start=weights)
    batches = run.training_batches()
    while run.state.step < config.train.steps:
        run.step(batches)
    model = Model(run.updater.eval_model.eval(), data.tokenizer, config)
    translator = Translator(model, device, "bf16" if on_gpu else "fp32")
    if on_gpu:
        torch.cuda.synchronize()
    trained = time.monotonic()
    pairs = TestSet(list(sources), [list(references)])
    scores, found = evaluate_set(translator, pairs)
    edges = pairwise([0, *recipe.get("cuts", []), len(found)])
    domains = [score_lines(pairs, found, range(*edge)).bleu.score for edge in edges]
    return {
        "name": recipe["name"],
        "bleu": round(scores.bleu.score, 2),
        "chrf": round(scores.chrf.score, 2),
        "domains": [round(score, 2) for score in domains],
        "updates": run.state.step,
        "tokens": run.state.n_tokens,
        "seconds": round(trained - start, 1),
        "scoring": round(time.monotonic() - trained, 1),
    }


def work_on(line: str) -> bool:
    """Trains the recipe of one line in a process of its own; whether that went well."""
    recipe = json.loads(line)
    environment = dict(os.environ)
    if "work" in recipe:
        environment["GPU_WORK"] = os.path.expanduser(recipe["work"])
    command = [sys.executable, __file__, "--one", line]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    good = done.returncode == 0
    if good:
        result = done.stdout.splitlines()[-1]
    else:
        error = (done.stderr.strip() or "?").splitlines()[-1]
        result = json.dumps({"name": recipe["name"], "error": error})
    with (OUT / "sweep.jsonl").open("a") as file:
        file.write(result + "\n")
    print(f"[{time.monotonic() - START:6.1f} s] {result}", flush=True)
    return good


def main(file: str, parallel: int = 4) -> None:
    """See the top of the file."""
    lines = [line for line in Path(file).read_text().splitlines() if line.strip()]
    with ThreadPoolExecutor(parallel) as pool:
        sys.exit(not all(list(pool.map(work_on, lines))))


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        try:
            print(json.dumps(train(json.loads(sys.argv[2]))), flush=True)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)  # without waiting for the processes that prepare batches
    main(sys.argv[1], *map(int, sys.argv[2:]))
