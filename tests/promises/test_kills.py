"""A run that is killed, wherever that may be, ends as the run that was not.

Each session of a run is a process of its own, forked from one that has imported everything and
computed nothing: that takes milliseconds instead of seconds.
"""

import functools
import hashlib
import importlib
import json
import logging
import multiprocessing
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
import torch

from translator.config.schema import Config
from translator.storage.model_folder import load_model, step_folders
from translator.storage.run_log import MetricsLog
from translator.storage.training_state import TrainingState
from translator.training import validation
from translator.training.train import train
from translator.training.update import Updater

pytestmark = pytest.mark.slow

CLOCKS = {"seconds", "cpu_seconds", "tokens_per_second", "sentences_per_second"}
MAY_DIFFER = CLOCKS | {"workers"}
STEPS = 8
setup: Any = importlib.import_module("translator.training.setup")
STEP_FILES = (
    *("model.safetensors", "tokenizer.model", "config.json"),
    *("training.safetensors", "training.json"),
)


@dataclass(frozen=True)
class Moment:
    """Where a session dies: around the n-th call of something, once the run has made an update.

    Attributes:
        kind: what is going on then.
        place: module and name of what is called.
        call: which call, from 1 on; they are counted from the end of the run's first update on.
        path: count only calls with a path that ends so.
        when: "before" the call, "after" it, or in the middle of it: "half" of the file is written.
    """

    kind: str
    place: str
    call: int = 1
    path: str = ""
    when: str = "before"


# Two micro-batches in an update, validations after 3, 6 and 8 updates; checkpoints of 2, 3, 4, 6
# and 8 are saved, 2 and 4 are discarded, and 3 loses its training state once 6 is there.
UPDATE = "translator.training.update:Updater.update"
FORWARD = "translator.training.losses:Objective.forward"
TRANSLATE = "translator.translation.translator:Translator.translate_lines"
WRITE, REPLACE = "translator.system.disk:write_file", "os:replace"
MOMENTS = [
    Moment("update", UPDATE, 1),
    Moment("update", FORWARD, 2),  # the gradient of the first micro-batch is there
    Moment("update", FORWARD, 7),
    Moment("update", "torch:Tensor.backward", 9, when="after"),
    Moment("update", "torch.optim:Adam.step", 4),
    Moment("update", "torch.optim:Adam.step", 6, when="after"),  # new weights, the old average
    Moment("update", "translator.training.update:Updater._average", 7, when="after"),
    Moment("validation", "translator.training.validation:Validator.validate", 1),
    Moment("validation", "translator.training.validation:validation_loss", 2),
    Moment("validation", TRANSLATE, 1),
    Moment("validation", "translator.search.beam:beam_search", 2, when="after"),
    Moment("validation", "translator.training.validation:describe_collapse", 2),
    Moment("validation", TRANSLATE, 3, when="after"),  # the last one
    *(
        Moment("writing", WRITE, path=f".{step}.tmp/{name}", when="half")
        for step, name in zip((2, 3, 4, 6, 8), STEP_FILES, strict=True)
    ),
    Moment("writing", "os:fsync", 9),
    Moment("writing", "translator.system.disk:drop_from_cache", 3, when="after"),
    Moment("writing", "translator.storage.training_state:verify_checkpoint", 4, when="after"),
    Moment("renaming", REPLACE, path="steps/2"),
    Moment("renaming", REPLACE, path="steps/4", when="after"),
    Moment("renaming", REPLACE, path="steps/8"),
    Moment("renaming", REPLACE, path="steps/8", when="after"),
    Moment("renaming", REPLACE, path="steps/.2.old.tmp", when="after"),
    Moment("rotation", "translator.training.run:rotate", 3),
    Moment("rotation", "pathlib:Path.unlink", path="3/training.json"),
    Moment("rotation", "pathlib:Path.unlink", path="3/training.json", when="after"),
    Moment("rotation", "os:unlink", path="model.safetensors", when="after"),  # a half gone folder
    Moment("log", "translator.storage.run_log:MetricsLog.record", 4, when="half"),
    Moment("log", "translator.storage.run_log:MetricsLog.record", 6, when="after"),
    Moment("log", "translator.storage.run_log:MetricsLog.sync", 3),
    Moment("end", "translator.training.validation:Validator.finish"),
    Moment("end", TRANSLATE, 5),
    Moment("end", WRITE, path="run/tokenizer.model"),
    Moment("end", WRITE, path="run/model.safetensors", when="half"),
    Moment("end", WRITE, path="run/model.safetensors", when="after"),
    Moment("end", WRITE, path="run/config.json", when="half"),
    Moment("end", "translator.training.validation:model_card"),
    Moment("end", "translator.training.validation:plot_run", when="after"),
]
# In sessions that find a checkpoint, calls count from their start.
RESUMING = [
    Moment("resuming", "translator.training.run:load_checkpoint", when="after"),
    Moment("resuming", "translator.training.update:Updater.restore", when="after"),
    Moment("resuming", "translator.storage.run_log:MetricsLog.rewind"),
    Moment("resuming", REPLACE, path="run/metrics.jsonl"),
    Moment("resuming", REPLACE, path="run/metrics.jsonl", when="after"),
    Moment("resuming", "translator.training.loader:BatchSampler.epoch", when="after"),
]


def _session(config: Config, run: Path, moment: Moment | None) -> None:
    """What a forked process does: it trains until the end, or until `moment`."""
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # for the loader, as in other processes
    with open(run.with_name("log"), "ab") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())  # of its loader's workers, too
    log = logging.getLogger("translator")
    log.handlers = [logging.StreamHandler(sys.stderr)]
    log.setLevel(logging.INFO)
    validation.plot_run = lambda run, output: None  # a second of matplotlib
    setup.probe_memory = lambda *arguments: None  # updates that do not count
    if moment is not None:
        _arm(moment, run)
    try:
        train(config, run, device="cpu")
    except Exception:
        log.exception("Failed.")
        raise SystemExit(1) from None


def _arm(moment: Moment, run: Path) -> None:
    """Lets `moment` kill this process, which says so in a file right before."""
    n_updates, n_calls = 100 if step_folders(run) else 0, 0
    update = Updater.update

    def count(*arguments: Any) -> int:
        nonlocal n_updates
        result = update(*arguments)
        n_updates += 1
        return result

    Updater.update = count  # type: ignore[method-assign]
    module, _, name = moment.place.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, last = name.split(".")
    owner = functools.reduce(getattr, outer, owner)
    original = getattr(owner, last)

    def watched(*arguments: Any, **options: Any) -> Any:
        nonlocal n_calls
        if n_updates == 0 or not any(str(a).endswith(moment.path) for a in arguments):
            return original(*arguments, **options)
        n_calls += 1
        if n_calls != moment.call:
            return original(*arguments, **options)
        if moment.when == "after":
            original(*arguments, **options)
        elif moment.when == "half":
            _half(*arguments, **options)
        run.with_name("moment").write_text(repr(moment))
        os.kill(os.getpid(), signal.SIGKILL)

    for holder in {owner, *_importers(last, original)}:
        setattr(holder, last, watched)


def _importers(name: str, value: object) -> list[Any]:
    """The modules of this project that hold `value` under its own name."""
    ours = [m for n, m in sys.modules.items() if n.startswith("translator")]
    return [m for m in ours if getattr(m, name, None) is value]


def _half(first: Any, *arguments: Any, **values: Any) -> None:
    """`_write(path, data)` or `MetricsLog.record(step, ...)`, up to the middle."""
    if isinstance(first, MetricsLog):
        with open(first.path, "a") as file:
            file.write(json.dumps({"step": arguments[0], **values})[:20])
    else:
        data = arguments[0]
        first.with_name(first.name + ".tmp").write_bytes(data[: len(data) // 2])


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    """Forks from a process that holds this module, which it finds through the path it inherits."""
    context = multiprocessing.get_context("forkserver")
    here, before = str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, before]))
    context.set_forkserver_preload([__name__, "sacrebleu.metrics", "torch._dynamo"])
    process = context.Process(target=os.getpid)
    process.start()
    process.join()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before
    return context


Session = Callable[..., int]


@pytest.fixture(scope="module")
def session(context: ForkServerContext) -> Session:
    """Runs a session to its end and returns its exit code: `session(config, run, moment)`."""

    def call(config: Config, run: Path, moment: Moment | None = None, workers: int = 0) -> int:
        run.parent.mkdir(exist_ok=True)
        config = replace(config, train=replace(config.train, workers=workers))
        process = context.Process(target=_session, args=(config, run, moment))
        process.start()
        process.join()
        assert process.exitcode is not None
        return process.exitcode

    return call


@pytest.fixture(scope="module")
def configs(tiny_config: Config) -> dict[str, Config]:
    """A run with all that is random and all that has a state, in both precisions."""
    data = replace(tiny_config.data, unigram_alpha=0.3)
    settings = {
        **dict(steps=STEPS, accum_steps=2, ema_decay=0.9, log_every=2, max_tokens=300),
        **dict(validate_every=3, checkpoint_every=2, keep_checkpoints=2),
    }
    return {
        precision: replace(
            tiny_config,
            data=data,
            train=replace(tiny_config.train, precision=precision, **settings),
        )
        for precision in ("fp32", "bf16")
    }


@pytest.fixture(scope="module")
def whole(
    configs: dict[str, Config], session: Session, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What a run ends with that nothing interrupts, by precision."""
    found = {}
    for precision, config in configs.items():
        run = tmp_path_factory.mktemp(precision) / "run"
        assert session(config, run) == 0, log(run)
        found[precision] = outcome(run)
        epoch = TrainingState(
            **json_of(run / "steps" / str(STEPS) / "training.json")["state"]
        ).epoch
        assert epoch > 0  # the data have begun again in the meantime
    assert found["fp32"] != found["bf16"]
    return found


def json_of(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def log(run: Path) -> str:
    return run.with_name("log").read_text()


def _without_clocks(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_clocks(v) for k, v in value.items() if k not in MAY_DIFFER}
    return value


def outcome(run: Path) -> dict[str, Any]:
    """All that a run leaves, by file: hashes, and what JSON says apart from times."""
    last = f"steps/{STEPS}"
    names = [f"{folder}/{name}" for folder in (".", last) for name in STEP_FILES[:2]]
    hashed = {
        name: hashlib.sha256((run / name).read_bytes()).hexdigest()
        for name in [*names, f"{last}/training.safetensors"]
    }
    state = json_of(run / last / "training.json")["state"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {
        **hashed,
        "state": _without_clocks(state),
        "metrics": [_without_clocks(line) for line in lines],
        "config": _without_clocks(json_of(run / "config.json")),
        "last": _without_clocks(json_of(run / last / "config.json")),
        "card": (run / "README.md").exists(),
    }


def died_at(run: Path) -> str:
    note = run.with_name("moment")
    text = note.read_text() if note.exists() else "nowhere"
    note.unlink(missing_ok=True)
    return text


def test_a_killed_run_ends_like_an_uninterrupted_one(
    configs: dict[str, Config], session: Session, whole: dict[str, Any], tmp_path: Path
) -> None:
    """Killed once, at each moment."""
    kills: Counter[str] = Counter()
    for number, moment in enumerate(MOMENTS):
        run = tmp_path / str(number) / "run"
        precision = ("fp32", "bf16")[number % 2]
        config = configs[precision]
        code = session(config, run, moment, workers=number % 3)
        assert code == -signal.SIGKILL, (moment, log(run))
        assert died_at(run) == repr(moment)
        kills[moment.kind] += 1
        for folder in step_folders(run):
            load_model(folder)  # no half of one passes for a whole one
        assert session(config, run, workers=(number + 1) % 3) == 0, (moment, log(run))
        assert outcome(run) == whole[precision], moment
        shutil.rmtree(run.parent)
    assert kills.total() >= 20
    assert all(kills[kind] >= 3 for kind in ("update", "validation", "writing", "renaming")), kills


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_that_is_killed_repeatedly(
    configs: dict[str, Config],
    session: Session,
    whole: dict[str, Any],
    tmp_path: Path,
    precision: str,
) -> None:
    """One run, and each of its sessions but the last is killed."""
    run = tmp_path / "run"
    chain = [
        Moment("writing", WRITE, path=".2.tmp/training.json", when="half"),  # nothing is saved yet
        Moment("renaming", REPLACE, path="steps/2", when="after"),
        *RESUMING,
        Moment("update", FORWARD, 2),
        Moment("validation", TRANSLATE, 1),
        Moment("log", "translator.storage.run_log:MetricsLog.record", 1, when="half"),
        Moment("renaming", REPLACE, path="steps/4", when="after"),
        Moment("update", FORWARD, 4),
        Moment("validation", TRANSLATE, 1, when="after"),
        Moment("rotation", "os:unlink", path="model.safetensors", when="after"),
        *RESUMING,
        Moment("renaming", REPLACE, path="steps/8"),
        Moment("renaming", REPLACE, path="steps/8", when="after"),
        *(moment for moment in MOMENTS if moment.kind == "end" and moment.place != TRANSLATE),
    ]
    for number, moment in enumerate(chain):
        code = session(configs[precision], run, moment, workers=2 * (number % 5 == 0))
        assert (code, died_at(run)) == (-signal.SIGKILL, repr(moment)), log(run)
    assert session(configs[precision], run) == 0, log(run)
    assert outcome(run) == whole[precision]


# Damage to what is on the disk.


@pytest.fixture(scope="module")
def unfinished(
    configs: dict[str, Config], session: Session, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run that has made all its updates; it could go on from its steps 6 and 8."""
    run = tmp_path_factory.mktemp("unfinished") / "run"
    assert (
        session(
            configs["fp32"], run, Moment("end", "translator.training.validation:Validator.finish")
        )
        == -9
    )
    return run


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _flip(path: Path) -> None:
    """Changes every bit of one byte."""
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [_cut, _empty, _flip, Path.unlink])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    configs: dict[str, Config],
    session: Session,
    whole: dict[str, Any],
    unfinished: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
) -> None:
    for name in STEP_FILES:
        run = tmp_path / name / "run"
        shutil.copytree(unfinished, run)
        newest = run / "steps" / "8" / name
        damage(newest)
        assert session(configs["fp32"], run) == 0, log(run)
        warnings = [line for line in log(run).splitlines() if str(newest) in line]
        assert len(warnings) == 1
        assert warnings[0].endswith("Trying the checkpoint before it.")
        assert "Continuing from step 6." in log(run)
        assert outcome(run) == whole["fp32"], name


def test_a_run_without_an_intact_checkpoint_starts_from_scratch_and_keeps_what_it_saves(
    configs: dict[str, Config],
    session: Session,
    whole: dict[str, Any],
    unfinished: Path,
    tmp_path: Path,
) -> None:
    """The damaged ones have higher numbers than those that it saves now."""
    run = tmp_path / "run"
    shutil.copytree(unfinished, run)
    for step in ("6", "8"):
        _flip(run / "steps" / step / "model.safetensors")
    assert session(configs["fp32"], run, Moment("update", UPDATE, 4)) == -signal.SIGKILL
    assert "There is no intact checkpoint: starting from the beginning." in log(run)
    assert session(configs["fp32"], run) == 0, log(run)
    assert "Continuing from step 3." in log(run)
    assert outcome(run) == whole["fp32"]


@pytest.mark.parametrize("damage", [_cut, _empty, _flip])
@pytest.mark.parametrize("name", ["tokenizer.model", "config.json"])
def test_a_damaged_tokenizer_or_config_is_named_and_can_be_replaced(
    configs: dict[str, Config],
    session: Session,
    whole: dict[str, Any],
    unfinished: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    name: str,
) -> None:
    run = tmp_path / "run"
    shutil.copytree(unfinished, run)
    damage(run / name)
    assert session(configs["fp32"], run) == 1
    assert f"{run / name} is damaged: copy it from a checkpoint" in log(run)
    shutil.copy(run / "steps" / "8" / name, run / name)
    assert session(configs["fp32"], run) == 0, log(run)
    assert outcome(run) == whole["fp32"]
