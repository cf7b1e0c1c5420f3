"""Trains one direction for a given time: train.py DIRECTION SECONDS [SECTION.KEY=VALUE...].

Starts from `start-DIRECTION.safetensors` if it exists. How many updates fit into the
time is measured again and again, so that the learning rate reaches zero when the time is up.
Writes `model-DIRECTION` (fp16).
"""

import itertools
import json
import os
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import cast

START = time.monotonic()
WORK = Path(os.environ.get("GPU_WORK", Path.home() / "gpu-work"))
sys.path.insert(0, str(WORK / "program"))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from data_prep.prepared.encoded import Ids  # noqa: E402
from data_prep.prepared.prepare import Mixture, TrainingData  # noqa: E402
from data_prep.sources.mapped import Pairs, id_rows  # noqa: E402
from translator.config.loading import from_dict, override  # noqa: E402
from translator.config.schema import Config  # noqa: E402
from translator.storage.model_folder import save_model  # noqa: E402
from translator.text.tokenizer import Tokenizer  # noqa: E402
from translator.training.losses import Objective, validation_loss  # noqa: E402
from translator.training.run import Run, describe_environment  # noqa: E402
from translator.training.setup import build_batches  # noqa: E402

PROBE = int(os.environ.get("GPU_PROBE", "150"))  # updates after which their speed is measured
RESTART = [  # settings for weights that were trained before
    *("train.schedule=constant", "train.warmup_steps=150", "train.cooldown=0.6"),
    *("train.muon_lr=0.012", "train.peak_lr=1.2e-3"),
]
SAVING = 4  # seconds reserved for saving the model


def read_data(direction: str) -> tuple[Config, TrainingData]:
    """Reads the packed corpora in one direction."""
    src, tgt = direction.split("-")
    meta = json.loads((WORK / "meta.json").read_text())
    config = from_dict(meta["config"])
    valid = meta["valid"]
    if config.data.src != src:
        valid = [(b, a) for a, b in valid]
    config = replace(config, data=replace(config.data, src=src, tgt=tgt))
    names = [
        [WORK / "ids" / f"{number}-{language}" for language in (src, tgt)]
        for number in range(len(meta["parts"]))
    ]
    for name in itertools.chain(*names):
        lengths = np.fromfile(name.with_suffix(".lengths"), dtype=np.uint16)
        ends = name.with_suffix(f".{os.getpid()}")
        np.cumsum(lengths, dtype=np.int64).tofile(ends)
        ends.replace(name.with_suffix(".ends"))  # several runs may read the corpora at once
    pairs = [Pairs(*map(id_rows, sides)) for sides in names]
    sizes = torch.tensor([part["pairs"] for part in meta["parts"]])
    tags = [part["tag"] for part in meta["parts"]]
    reverse = meta["config"]["data"]["src"] != src  # synthetic sources are not to be learnt
    weights = [0.0 if reverse and part["tag"] else part["weight"] for part in meta["parts"]]
    data = TrainingData(
        name=config.data.corpus,
        corpora=[],
        splits={},
        tokenizer=Tokenizer.load(WORK / "tokenizer.model"),
        train=Mixture(cast(list[Ids], pairs), tags),
        valid=valid,
        fingerprint=meta["fingerprint"],
        dropped=meta["dropped"],
        weights=torch.tensor(weights).repeat_interleave(sizes),
    )
    return config, data


def read_start(direction: str) -> dict[str, torch.Tensor] | None:
    """Reads the weights to start from, if any were sent."""
    file = WORK / f"start-{direction}.safetensors"
    if not file.exists():
        return None
    tensors = load_file(file)
    return {
        key: weight.float() * tensors.get(f"{key}/scale", torch.ones(()))
        for key, weight in tensors.items()
        if not key.endswith("/scale")
    }


def main(direction: str, seconds: float, settings: list[str]) -> None:
    """See the top of the file."""

    def elapsed() -> float:
        return time.monotonic() - START

    def say(text: str) -> None:
        print(f"[{direction} {elapsed():6.1f} s] {text}", flush=True)

    config, data = read_data(direction)
    start = read_start(direction)
    on_gpu = torch.cuda.is_available()
    seed = int(time.time())  # a different order and different noise on each machine
    settings = [*(RESTART if start else []), f"train.seed={seed}", *settings]
    config = override(config, ["train.steps=1000000", *settings])
    device = torch.device("cuda" if on_gpu else "cpu")
    folder = WORK / f"run-{direction}"
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(config, data, build_batches(config, data, device), folder, device, start=start)
    state, objective = run.state, cast(Objective, run.updater.objective)
    origin = "given" if start else "random"
    say(f"starts from {origin} weights, torch {torch.__version__}, {device}")
    batches = run.training_batches()

    def update(count: int, end: float = float("inf")) -> float:
        """Updates until the count or the time is reached; returns the seconds of each."""
        before, first = elapsed(), state.step
        while state.step < first + count and elapsed() < end:
            run.step(batches)
            if state.step % config.train.log_every == 0:
                loss = state.window_nll / max(state.window_tokens, 1)
                say(f"step {state.step}, loss {loss:.3f}, {state.n_tokens / 1e6:.1f} M tokens")
                state.window_nll = state.window_norm = 0.0
                state.window_tokens = state.window_updates = 0
        if on_gpu:
            torch.cuda.synchronize()
        return (elapsed() - before) / max(state.step - first, 1)

    say(f"first update: {update(1):.1f} s")
    tokens = state.n_tokens
    each = update(PROBE)
    say(f"{each * 1000:.1f} ms, {(state.n_tokens - tokens) / each / PROBE:,.0f} target tokens/s")
    tokens, at, begin = state.n_tokens, state.step, elapsed()
    while (left := seconds - elapsed() - SAVING) > 0:
        # Estimated again and again: other programs may share the GPU for a while.
        steps = state.step + max(int(left / each), 1)
        objective.config = run.updater.config = replace(config.train, steps=steps)
        if state.step == at:
            say(f"about {steps} updates in all")
        each = update(min(PROBE, steps - state.step), end=seconds)
    rate, steps = (state.n_tokens - tokens) / (elapsed() - begin), state.step
    say(f"step {steps}, {state.n_tokens / 1e6:.1f} M tokens; {rate:,.0f} target tokens/s")
    with torch.compiler.set_stance("force_eager"):
        loss = validation_loss(run.updater.eval_model.eval(), data.valid[:1000], device)
    say(f"loss on 1,000 validation pairs {loss:.3f}")
    state.seconds = elapsed()
    weights = {key: weight.half() for key, weight in run.updater.eval_model.state_dict().items()}
    config = replace(config, train=replace(config.train, steps=steps))
    n_parameters = sum(weight.numel() for weight in weights.values())
    training = {**vars(state), "weights": "of the last update", "parameters": n_parameters}
    info = {
        "preset": config.preset,
        "data": {
            "corpus": config.data.corpus,
            "fingerprint": data.fingerprint,
            "training_pairs": len(data.train),
            "dropped": data.dropped,
        },
        "training": training,
        "environment": describe_environment(config, device, run.ranks),
    }
    save_model(WORK / f"model-{direction}", weights, data.tokenizer, config, info)
    say("saved")
    os._exit(0)  # without waiting for the processes that prepare batches


if __name__ == "__main__":
    try:
        main(sys.argv[1], float(sys.argv[2]), sys.argv[3:])
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # processes that prepare batches would keep the GPU's time running
