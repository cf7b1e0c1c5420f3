"""Lines in, lines out: the `Translator` that the command line and other programs use."""

import contextlib
import hashlib
import itertools
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from translator.checkpoint import Model, load_model, read_description
from translator.config import SearchConfig, TranslatorError, write_json
from translator.data import pad_right, token_batches
from translator.model import count_parameters
from translator.search import Hypothesis, beam_search
from translator.text import Source, TextCodec, normalise, split_long
from translator.tokenizer import BOS, EOS, N_COPY

log = logging.getLogger("translator")


@dataclass(frozen=True)
class Translation:
    """What became of a line. Scores are length-normalised log-probabilities."""

    source: str
    text: str
    score: float
    n_best: list[tuple[str, float]] = field(default_factory=list)  # (text, score), best first


@dataclass(frozen=True)
class AttentionMap:
    """Cross-attention of a sentence and its translation, for pictures."""

    src_pieces: list[str]  # S pieces, EOS last
    tgt_pieces: list[str]  # T pieces, EOS last
    weights: Tensor  # (layers, H, T, S), rows sum to one


@dataclass(frozen=True)
class _Unit:
    """A part of a line that the model reads at once."""

    line: int
    source: Source
    space: str  # white space between this part and the next


def pick_device(name: str = "auto") -> torch.device:
    """`auto` is the best there is: CUDA, then Apple's MPS, then the CPU.

    Raises:
        TranslatorError: the device is unknown or not there.
    """
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return torch.device(next(d for d in ("cuda", "mps", "cpu") if present[d]))
    if not present.get(name.partition(":")[0]):
        there = ", ".join(d for d, is_there in present.items() if is_there)
        raise TranslatorError(f'There is no device "{name}" here; there is: auto, {there}.')
    return torch.device(name)


def shipped_models() -> dict[tuple[str, str], Path]:
    """The models that come with the program, by (source, target) language."""
    package = Path(__file__).parent
    folders: dict[tuple[str, str], Path] = {}
    # In a wheel they lie inside the package, in a clone beside it.
    for root in (package / "checkpoints", package.parent / "checkpoints"):
        for folder in sorted(root.glob("multi30k-??-??")):
            src, tgt = folder.name.split("-")[1:]
            if (folder / "model.safetensors").exists():
                folders.setdefault((src, tgt), folder)
    return folders


def find_model(model: str | Path | None, src: str = "en", tgt: str = "de") -> Path:
    """The folder of a MODEL: as given, else `$TRANSLATOR_MODEL`, else the shipped one.

    Raises:
        TranslatorError: no model is shipped for the direction.
    """
    named = model or os.environ.get("TRANSLATOR_MODEL")
    if named:
        return Path(named)
    shipped = shipped_models()
    if (src, tgt) not in shipped:
        there = ", ".join("-".join(direction) for direction in shipped) or "none"
        raise TranslatorError(
            f"No model for {src}-{tgt} is shipped (there is: {there}). Train one with "
            f"`translator train --src {src} --tgt {tgt}` and name it with --model."
        )
    return shipped[src, tgt]


class Translator:
    """A model that translates text.

    >>> translator = Translator.load()
    >>> translator.translate(["A dog runs along the beach."])
    """

    def __init__(self, model: Model, device: torch.device | None = None):
        self.model = model
        self.device = device or torch.device("cpu")
        self.codec = TextCodec(model.tokenizer)
        self.show_bar = False  # over the batches of a call that has several
        self._transformer = model.transformer.to(self.device).eval()

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        *,
        src: str = "en",
        tgt: str = "de",
        device: str = "auto",
    ) -> "Translator":
        """Loads a MODEL folder; without one, the shipped model from `src` to `tgt`.

        Raises:
            TranslatorError: there is none, it is damaged, or the device is not there.
        """
        chosen = pick_device(device)
        return cls(load_model(find_model(model, src, tgt), chosen), chosen)

    def translate(
        self,
        lines: Sequence[str],
        *,
        beam_size: int | None = None,
        length_penalty: float | None = None,
    ) -> list[str]:
        """Translates each line; a blank one stays as it is.

        Args:
            lines: any text; leading and trailing white space is kept.
            beam_size: hypotheses per sentence, 1 = greedy; None takes the model's own, 5.
            length_penalty: alpha in `log_prob / length ** alpha`; None takes the model's own, 1.
        """
        search = self.search_config(beam_size=beam_size, length_penalty=length_penalty)
        return [translation.text for translation in self.translate_lines(lines, search)]

    def search_config(
        self,
        beam_size: int | None = None,
        length_penalty: float | None = None,
        n_best: int = 1,
        batch_tokens: int | None = None,
    ) -> SearchConfig:
        """The model's own search settings, with those given put in; a beam holds `n_best`."""
        if beam_size is None:
            beam_size = max(self.model.config.search.beam_size, n_best)
        given = {
            "beam_size": beam_size,
            "length_penalty": length_penalty,
            "batch_tokens": batch_tokens,
        }
        changes: dict[str, Any] = {k: value for k, value in given.items() if value is not None}
        return replace(self.model.config.search, n_best=n_best, **changes)

    def translate_lines(
        self, lines: Sequence[str], search: SearchConfig | None = None, split: bool = True
    ) -> list[Translation]:
        """As `translate`, with scores and `search.n_best` translations per line.

        `split` cuts lines of more than `search.max_pieces` pieces into parts.
        """
        search = search or self.model.config.search
        limit = search.max_pieces if split else None
        units = [unit for i, line in enumerate(lines) for unit in self._units(i, line, limit)]
        found = self._search([unit.source for unit in units], search)
        by_line: dict[int, list[tuple[_Unit, list[Hypothesis]]]] = {}
        for unit, hypotheses in zip(units, found, strict=True):
            by_line.setdefault(unit.line, []).append((unit, hypotheses))
        return [self._assemble(line, by_line.get(i, [])) for i, line in enumerate(lines)]

    def translate_blocks(
        self, lines: Iterable[str], search: SearchConfig | None = None, size: int = 1024
    ) -> Iterator[Translation]:
        """As `translate_lines` for any number of lines, `size` at a time."""
        iterator = iter(lines)
        while block := list(itertools.islice(iterator, size)):
            yield from self.translate_lines(block, search)

    def _units(self, line: int, text: str, limit: int | None) -> list[_Unit]:
        """The parts of a line, of at most `limit` pieces each."""

        def fits(part: str) -> bool:
            source = self.codec.encode(normalise(part))
            return limit is None or (len(source.ids) <= limit and len(source.copies) <= N_COPY)

        if not text.strip():
            return []
        parts = split_long(text.strip(), fits)
        if len(parts) > 1:
            log.warning(
                "A text of %d characters is longer than the %d pieces that the model reads at "
                "once: it is translated in %d parts.",
                len(text),
                limit,
                len(parts),
            )
        return [_Unit(line, self.codec.encode(normalise(p)), space) for p, space in parts]

    def _search(self, sources: Sequence[Source], search: SearchConfig) -> list[list[Hypothesis]]:
        """Hypotheses of each source, in batches of like length, in the given order."""
        order = sorted(range(len(sources)), key=lambda i: len(sources[i].ids))
        lengths = [len(sources[i].ids) + 1 for i in order]
        found: list[list[Hypothesis]] = [[] for _ in sources]
        batches = token_batches(lengths, search.batch_tokens)
        shown = self.show_bar and len(batches) > 1
        for batch in tqdm(batches, unit="batch", disable=not shown, leave=False):
            rows = [order[i] for i in batch]
            src = pad_right([[*sources[i].ids, EOS] for i in rows]).to(self.device)
            for i, hypotheses in zip(
                rows, beam_search(self._transformer, src, search), strict=True
            ):
                found[i] = [self._complete(sources[i], h) for h in hypotheses]
        return found

    def _complete(self, source: Source, hypothesis: Hypothesis) -> Hypothesis:
        """Puts placeholders that the model left out where it looked at them most."""
        missing = self.codec.missing(hypothesis.ids, source)
        if not missing:
            return hypothesis
        weights = self._attention(source.ids, hypothesis.ids).mean(dim=(0, 1))  # (T, S)
        starts = self.model.tokenizer.starts_word
        ids = hypothesis.ids
        places = []
        for placeholder in missing:
            column = weights[: len(ids), source.ids.index(placeholder)]
            place = int(column.argmax()) + 1 if ids else 0
            while place < len(ids) and not starts[ids[place]]:
                place += 1  # not inside a word
            places.append((place, placeholder))
        completed = list(ids)
        for place, placeholder in sorted(places, reverse=True):  # from the right: places hold
            completed.insert(place, placeholder)
        return replace(hypothesis, ids=completed)

    def _assemble(self, line: str, parts: Sequence[tuple[_Unit, list[Hypothesis]]]) -> Translation:
        """Joins the parts of a line again, within the white space around and between them."""
        if not parts:
            return Translation(line, line, 0.0, [(line, 0.0)])
        head = line[: len(line) - len(line.lstrip())]
        tail = line[len(line.rstrip()) :]
        n_best = []
        for rank in range(min(len(hypotheses) for _, hypotheses in parts)):
            texts = [
                self.codec.decode(hypotheses[rank].ids, unit.source) + unit.space
                for unit, hypotheses in parts
            ]
            score = sum(hypotheses[rank].score for _, hypotheses in parts)
            n_best.append((head + "".join(texts) + tail, score))
        return Translation(line, *n_best[0], n_best)

    @torch.inference_mode()
    def _attention(self, src_ids: Sequence[int], tgt_ids: Sequence[int]) -> Tensor:
        """Cross-attention `(layers, H, T, S)` while `tgt_ids` and EOS are written, EOS included."""
        src = torch.tensor([[*src_ids, EOS]], device=self.device)
        tgt_in = torch.tensor([[BOS, *tgt_ids]], device=self.device)
        memory, src_mask = self._transformer.encode(src)
        _, layers = self._transformer.decode_states(tgt_in, memory, src_mask, need_weights=True)
        return torch.cat(layers).cpu()

    def attention(self, line: str, search: SearchConfig | None = None) -> AttentionMap:
        """Translates a sentence and says where each target piece looked.

        Raises:
            TranslatorError: the line is blank, or too long to be read at once.
        """
        search = search or self.model.config.search
        units = self._units(0, line, search.max_pieces)
        if len(units) != 1:
            raise TranslatorError("An attention picture needs one sentence of moderate length.")
        source = units[0].source
        ids = self._search([source], search)[0][0].ids
        pieces = self.model.tokenizer.pieces
        return AttentionMap(
            pieces([*source.ids, EOS]), pieces([*ids, EOS]), self._attention(source.ids, ids)
        )


def describe_model(folder: Path) -> dict[str, Any]:
    """What a MODEL's `config.json` says, with its size: `parameters` and `bytes` of weights."""
    model = load_model(folder)
    assert model.folder is not None
    description = read_description(model.folder)
    size = (model.folder / "model.safetensors").stat().st_size
    return {"parameters": count_parameters(model.transformer), "bytes": size, **description}


def translate_to_file(
    translator: Translator,
    lines: Sequence[str],
    output: Path,
    search: SearchConfig,
    render: Callable[[Translation], str],
    show_bar: bool = False,
) -> None:
    """Translates `lines` into `output`, which appears once it is whole.

    Until then the work is in `FILE.partial`, and `FILE.partial.json` says how much of which job it
    holds; the same job goes on from there.

    Raises:
        KeyboardInterrupt: with a message that says how many lines are done.
    """
    partial = output.with_name(output.name + ".partial")
    progress_file = output.with_name(output.name + ".partial.json")
    job = _job_key(translator, lines, search, render)
    done = size = 0
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        progress = json.loads(progress_file.read_text())
        if progress["job"] == job and partial.stat().st_size >= progress["bytes"]:
            done, size = progress["lines"], progress["bytes"]
            log.info("Going on after the %d lines that are done.", done)
    bar = tqdm(total=len(lines), initial=done, unit="line", disable=not show_bar, leave=False)
    with open(partial, "ab") as file, bar:
        file.truncate(size)
        try:
            for start in range(done, len(lines), _BLOCK):
                block = translator.translate_lines(lines[start : start + _BLOCK], search)
                file.write("".join(map(render, block)).encode())
                file.flush()
                done = start + len(block)
                write_json(progress_file, {"job": job, "lines": done, "bytes": file.tell()})
                bar.update(len(block))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"{done} of {len(lines)} lines are done; the same command goes on from there."
            ) from None
    os.replace(partial, output)
    progress_file.unlink(missing_ok=True)


_BLOCK = 256  # lines between two notes of progress


def _job_key(
    translator: Translator,
    lines: Sequence[str],
    search: SearchConfig,
    render: Callable[[Translation], str],
) -> str:
    """A hash of what a job's output depends on: lines, model, search, and how it is written."""
    weights = translator.model.folder and read_description(translator.model.folder)["sha256"]
    example = render(Translation("s", "t", -1.0, [("t", -1.0)]))
    text = repr((weights, search, example)) + "\n".join(lines)
    return hashlib.sha256(text.encode()).hexdigest()
