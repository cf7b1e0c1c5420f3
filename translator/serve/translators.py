"""The models of a server, each loaded when it is first asked, and what a request has them do."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from translator.config.errors import TranslatorError
from translator.export.engine import use
from translator.storage.find import find_model, shipped_models, summarise
from translator.system.machine import set_up_cpu
from translator.translation.alternatives import alternatives
from translator.translation.translator import Translator

log = logging.getLogger("translator.serve")

Direction = tuple[str, str]


@dataclass(frozen=True)
class Task:
    """What is done with texts; those of one task share batches."""

    direction: Direction
    n_best: int = 1
    confidence: bool = False
    alignments: bool = False
    terms: tuple[tuple[str, str], ...] = ()  # prescribed: (word, its translation)
    continuations: bool = False  # of (text, beginning of its translation), not of a text


class Translators:
    """A `Translator` for each direction; to be used by one thread.

    Args:
        loaders: for each direction what makes its translator.
        set_up: is called before the first of them, by the thread that translates.
    """

    def __init__(
        self,
        loaders: Mapping[Direction, Callable[[], Translator]],
        set_up: Callable[[], None] | None = None,
    ):
        self._loaders = loaders
        self._set_up = set_up
        self._loaded: dict[Direction, Translator] = {}

    @classmethod
    def find(
        cls,
        models: Sequence[str] = (),
        device: str = "auto",
        precision: str = "fp32",
        threads: int = 0,
        engine: str = "torch",
    ) -> "Translators":
        """Those of MODELs, by folder or name; default: `$TRANSLATOR_MODEL`, or all shipped.

        With another `engine` than PyTorch all are tried at once, and their copies made.

        Raises:
            TranslatorError: there is no such model, two are of one direction, or the engine cannot
                be used with one.
        """
        folders: dict[Direction, Path] = {}
        named = models or [name for name in [os.environ.get("TRANSLATOR_MODEL")] if name]
        for folder in map(find_model, named):
            for direction in _directions(folder):
                if direction in folders:
                    raise TranslatorError(
                        f"{folders[direction]} and {folder} both translate "
                        f"{'-'.join(direction)}: name one of them."
                    )
                folders[direction] = folder
        if not named:
            for folder in shipped_models().values():  # the kind that is the default comes first
                for direction in _directions(folder):
                    folders.setdefault(direction, folder)
        if not folders:
            raise TranslatorError("No model is shipped: name one with --model.")

        lazy = engine != "torch"

        def load(direction: Direction, folder: Path) -> Translator:
            src, tgt = direction
            translator = Translator.load(
                folder, src=src, tgt=tgt, device=device, precision=precision, lazy=lazy
            )
            if lazy:
                use(translator, engine, threads=torch.get_num_threads())
            return translator

        ordered = sorted(folders.items(), reverse=True)  # English-German first
        loaders = {each[0]: partial(load, *each) for each in ordered}
        found = cls(loaders, partial(set_up_cpu, threads))
        if lazy:
            set_up_cpu(threads)  # of this thread
            found._loaded = {direction: load() for direction, load in loaders.items()}
        return found

    @property
    def directions(self) -> list[Direction]:
        """What can be asked for."""
        return list(self._loaders)

    def get(self, direction: Direction) -> Translator:
        """The translator of a direction, loaded if it is the first time.

        Raises:
            RuntimeError: it cannot be loaded; the log says why.
        """
        if self._set_up:
            self._set_up()
            self._set_up = None
        if direction not in self._loaded:
            try:
                self._loaded[direction] = self._loaders[direction]()
            except TranslatorError as error:  # no fault of who asks, nor theirs to read
                log.error("The model for %s-%s cannot be loaded: %s", *direction, error)
                raise RuntimeError("no model") from None
        return self._loaded[direction]

    def work(self, task: Task, items: Sequence[Any]) -> Sequence[Any]:
        """For each text its `Translation`; for continuations a list of `Alternative`."""
        translator = self.get(task.direction)
        terms = dict(task.terms) or None
        if task.continuations:
            return [alternatives(translator, text, prefix, terms=terms) for text, prefix in items]
        return translator.translate_lines(
            items,
            translator.search_config(n_best=task.n_best),
            alignments=task.alignments,
            confidence=task.confidence and translator.is_calibrated,
            terms=terms,
        )


def _directions(folder: Path) -> list[Direction]:
    found = summarise(folder.name, folder)
    if found is None:
        raise TranslatorError(f"{folder} is no model: it has no weights, or is damaged.")
    return [(found.src, found.tgt), (found.tgt, found.src)][: 1 + found.bidirectional]
