"""The folder of a run: where it is, what started it, which checkpoints it keeps."""

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from translator.config.errors import TranslatorError
from translator.config.loading import differences, from_saved
from translator.config.schema import Config
from translator.storage.model_folder import (
    CONFIG,
    STATE,
    STATE_TENSORS,
    TOKENIZER,
    load_model,
    step_folders,
)
from translator.system.disk import (
    discard,
    file_sha256,
    sha256,
    sync_folder,
    write_file,
    write_json,
    writing,
)
from translator.system.lock import exclusive
from translator.text.tokenizer import Tokenizer

log = logging.getLogger("translator")

# Settings that may change when a run is continued.
MAY_DIFFER = (
    *(f"train.{n}" for n in ("steps", "log_every", "keep_checkpoints", "workers", "tensorboard")),
    *(f"train.{n}" for n in ("metrics", "score_tests")),
    *(f"confidence.{n}" for n in ("enabled", "corpora", "sentences")),
)


def run_folder(config: Config) -> Path:
    """The default folder of a run: `checkpoints/CORPUS-SRC-TGT-PRESET`."""
    corpus = config.data.corpus.rstrip("/").replace("hf:", "").replace(":", "-")
    data = config.data
    return Path("checkpoints") / f"{Path(corpus).name}-{data.src}-{data.tgt}-{config.preset}"


def write_run(folder: Path, tokenizer: Tokenizer, description: Mapping[str, Any]) -> None:
    """Creates a run in `folder`: the tokenizer, then the `config.json` that `read_run` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / TOKENIZER, tokenizer.model_bytes)
    description = {**description, "sha256": {TOKENIZER: sha256(tokenizer.model_bytes)}}
    write_json(folder / CONFIG, description)
    sync_folder(folder)


def read_run(folder: Path) -> dict[str, Any] | None:
    """Reads the description of the run in `folder`; None if there is no run.

    Raises:
        TranslatorError: the description or the tokenizer is damaged, or missing although there
            are checkpoints.
    """
    path = folder / CONFIG
    missing = [p for p in (path, folder / TOKENIZER) if not p.exists()]
    if missing and not step_folders(folder):
        return None
    for part in missing:
        raise TranslatorError(f"{part} is missing: {_REPLACE}")
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        digest = description.get("sha256", {}).get(TOKENIZER)  # older runs have none
        from_saved(description["config"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise TranslatorError(f"{path} is damaged: {_REPLACE}") from None
    if digest is not None and file_sha256(folder / TOKENIZER) != digest:
        raise TranslatorError(f"{folder / TOKENIZER} is damaged: {_REPLACE}")
    return description


_REPLACE = "copy it from a checkpoint (steps/STEP), or start again with --fresh."


def check_same_run(folder: Path, earlier: dict[str, Any], config: Config, fingerprint: str) -> None:
    """Raises TranslatorError if the run in `folder` had other settings or another corpus."""
    before = from_saved(earlier["config"])
    # What the corpus holds counts, not where it lies; a mixture's weights are in its name.
    changes = differences(before, config, (*MAY_DIFFER, "data.corpus"))
    if _weights(before.data.corpus) != _weights(config.data.corpus):
        changes.append(f"data.corpus: {before.data.corpus} -> {config.data.corpus}")
    if earlier["data"]["fingerprint"] != fingerprint:
        changes.append("the corpus: its text has changed")
    if changes:
        raise TranslatorError(
            f"{folder} holds a run with other settings ({'; '.join(changes)}): use the same ones, "
            "name another folder with --run, or start again with --fresh."
        )


def _weights(corpus: str) -> list[str]:
    return [part.rpartition(":")[2] for part in corpus.split(",")] if "," in corpus else []


def move_aside(folder: Path) -> Path | None:
    """Renames a run folder to the first free `DIR.1`, `DIR.2`, ...; None if it does not exist.

    Raises:
        TranslatorError: a process is training in it.
    """
    if not folder.exists():
        return None
    with lock_run(folder):  # not while another process trains in it
        number = 1
        while (target := folder.with_name(f"{folder.name}.{number}")).exists():
            number += 1
    os.replace(folder, target)
    return target


@contextmanager
def lock_run(folder: Path) -> Iterator[None]:
    """Lets one process at a time train in a run folder, and makes the folder if there is none.

    Raises:
        TranslatorError: another process trains in it, or the disk cannot be written.
    """
    is_new = not folder.exists()
    with ExitStack() as stack:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if is_new:
                stack.callback(_remove_empty, folder)
            stack.enter_context(exclusive(folder / ".lock", f"The run folder {folder}"))
        yield


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # a run began in it
        folder.rmdir()


def resume_candidates(run: Path) -> Iterator[Path]:
    """The checkpoints a run can resume from, newest first; damage shows when they are loaded."""
    parts = (STATE, STATE_TENSORS)
    return (p for p in reversed(step_folders(run)) if any((p / part).exists() for part in parts))


def regular_steps(run: Path, every: int) -> list[Path]:
    """The checkpoints at multiples of `every`, and the newest one; oldest first.

    Checkpoints written because a run was stopped do not count: they must not change its result.
    """
    folders = step_folders(run)
    return [p for p in folders if int(p.name) % every == 0 or p == folders[-1]]


def rotate(run: Path, every: int, keep: int, best: int) -> None:
    """Keeps the last `keep` regular checkpoints and the best one, two with a training state.

    The newest two are never touched, so a kill in this function costs nothing.
    """
    regular = regular_steps(run, every)
    resumable = regular[-2:]
    kept = [*regular[-keep:], *resumable]
    for folder in (run / "steps").glob("*.damaged"):  # kept until the run is past that step again
        if folder.stem.isdecimal() and int(folder.stem) <= int(regular[-1].name):
            discard(folder)
    for folder in step_folders(run):
        if folder not in kept and folder.name != str(best):
            discard(folder)
        elif folder not in resumable:
            for name in (STATE, STATE_TENSORS):
                (folder / name).unlink(missing_ok=True)


def set_aside(run: Path, step: int) -> None:
    """Renames the checkpoints after `step` to `N.damaged` when a run resumes from `step`.

    Otherwise `rotate` would take them for the newest and delete what is saved before them. They
    remain for inspection until the run reaches their step again.
    """
    for folder in step_folders(run):
        if int(folder.name) > step:
            target = folder.with_name(f"{folder.name}.damaged")
            shutil.rmtree(target, ignore_errors=True)
            os.replace(folder, target)


def is_whole(folder: Path) -> bool:
    """Whether a MODEL can be read; logs why not."""
    try:
        load_model(folder)
    except TranslatorError as error:
        log.warning("%s It is skipped.", error)
        return False
    return True
