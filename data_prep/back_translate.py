"""Synthetic training pairs: a model translates monolingual text to produce the missing side.

- **Back-translation** (Sennrich et al. 2016): the text is in the target language of the model to
  train, and another model translates it. The target side of each pair is human, the source side
  synthetic. The sources are found by beam search, sampled from the model, or found by beam search
  and then corrupted (Edunov et al. 2018, section 3). In training a tag precedes them, so that the
  model can tell synthetic sources from human ones (Caswell et al. 2019).
- **Forward translation**: the text is in the source language, and a model is the teacher
  (sequence-level distillation, Kim & Rush 2016; data diversification, Nguyen et al. 2020).

The result is a folder for `--data`. Its `corpus.json` holds the tag, which text cannot contain, and
how the pairs were made.
"""

import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from data_prep.cleaning.clean import CONTAMINATED, DUPLICATE, Cleaner
from data_prep.cleaning.contamination import HeldOut
from data_prep.cleaning.rules import pair_key, repair
from data_prep.sources.corpus import load_corpus, open_corpus
from translator.config.errors import TranslatorError
from translator.config.schema import CleanConfig, SearchConfig
from translator.storage.model_folder import Model, read_description
from translator.system.disk import open_whole, write_json
from translator.system.seeds import derive_seed
from translator.text.codec import normalise
from translator.text.lines import TextPair, iterate_lines, text_lines
from translator.translation.faults import list_faults
from translator.translation.files import text_line, translate_to_file
from translator.translation.translator import Translator

TAG = "<bt>"
# Noise: the shares of words that are dropped and replaced by blanks, and how far a word can move.
DROP_RATE, BLANK_RATE, SHUFFLE_DISTANCE = 0.1, 0.1, 3
BLANK = "_"  # plain text, because text cannot contain a reserved piece


def add_noise(text: str, rng: random.Random) -> str:
    """Drops, blanks and moves words (Edunov et al. 2018); at least one word always remains."""
    kept = [word for word in text.split() if rng.random() >= DROP_RATE] or text.split()
    words = [BLANK if rng.random() < BLANK_RATE else word for word in kept]
    places = [place + rng.uniform(0, SHUFFLE_DISTANCE + 1) for place in range(len(words))]
    return " ".join(words[i] for i in sorted(range(len(words)), key=places.__getitem__))


class _UsableLines:
    """The lines of a file that are worth translating, repaired. Can be iterated repeatedly.

    `total` and `dropped`, the counts of lines read and dropped by rule, are those of the last
    iteration.
    """

    def __init__(self, file: Path, model: Model, cleaner: Cleaner, side: int):
        self.file, self.cleaner = file, cleaner
        self._encode = model.tokenizer.encode
        self._max_length = model.config.data.max_length  # in pieces
        self._side = side  # of the pairs: 0 source, 1 target
        self.total = 0
        self.dropped: Counter[str] = Counter()

    def __iter__(self) -> Iterator[str]:
        self.total = 0
        self.dropped.clear()
        seen: set[int] = set()
        config, held_out = self.cleaner.config, self.cleaner.held_out
        for line in text_lines(self.file):
            self.total += 1
            line = repair(line).replace("\n", " ") if config.repair else line.strip()
            key = pair_key(line, "", near=config.duplicates == "near")
            if not line:
                self.dropped["empty"] += 1
            elif held_out and held_out.sides[self._side].find(line):
                self.dropped[CONTAMINATED] += 1
            elif config.duplicates != "off" and key in seen:
                self.dropped[DUPLICATE] += 1
            elif len(self._encode(normalise(line))) > self._max_length:
                self.dropped["too long"] += 1
            else:
                seen.add(key)
                yield line


def _load_held_out(corpora: Sequence[str], src: str, tgt: str) -> dict[str, list[TextPair]]:
    """Loads the validation and test splits of corpora."""
    found: dict[str, list[TextPair]] = {}
    for name in corpora:
        splits = open_corpus(name, src, tgt)
        if "valid" not in splits:  # then `load_corpus` holds out a part of train
            whole = load_corpus(name, src, tgt).splits
            splits = {split: partial(iter, pairs) for split, pairs in whole.items()}
        found |= {f"{name} {split}": list(splits[split]()) for split in splits if split != "train"}
    return found


def synthesise(
    translator: Translator,
    mono: Path,
    output: Path,
    *,
    back: bool = True,
    method: str = "beam",
    tag: bool | None = None,
    search: SearchConfig | None = None,
    clean: CleanConfig = CleanConfig(),  # noqa: B008 - frozen
    held_out: Sequence[str] = (),
    show_bar: bool = False,
) -> dict[str, Any]:
    """Translates a file and writes a CORPUS folder of the pairs that pass all rules.

    An interrupted job continues where it stopped; a finished one is not repeated. The translation
    of a line depends only on the line, the models and the settings.

    Args:
        translator: translates from the language of `mono`.
        mono: human text, one sentence per line, plain or compressed.
        output: the folder: new, empty, or of the same job.
        back: whether the human side is the target of the pairs rather than their source.
        method: "beam", "sample", or "noisy", which requires `back`.
        tag: whether a tag precedes the sources in training; by default only with `back`.
        search: settings of the search, apart from `decode`; default: the model's own.
        clean: the rules, apart from alignment; those of translation/faults.py apply as well.
        held_out: corpora whose validation and test sentences, exact or near, must not occur.
        show_bar: show a progress bar.

    Returns:
        The report: "folder", "lines" (read), "kept", "dropped" (by rule), "translated" (in this
        session), its "seconds" and "lines_per_second", and "train", the command to train with it.

    Raises:
        TranslatorError: `mono` cannot be read, the folder holds something else, or no pair remains.
        KeyboardInterrupt: with a message that says how many lines are done.
    """
    src, tgt = (translator.tgt, translator.src) if back else (translator.src, translator.tgt)
    decode = "sample" if method == "sample" else "beam"
    search = replace(search or translator.search_config(), decode=decode, n_best=1)
    splits = _load_held_out(held_out, src, tgt)
    cleaner = Cleaner(clean, (src, tgt), held_out=HeldOut(splits, clean) if splits else None)
    lines = _UsableLines(mono, translator.model, cleaner, side=int(back))
    tag = back if tag is None else tag
    made_by = "back-translate" if back else "forward-translate"
    settings = {"made_by": made_by, "tag": TAG if tag else None, "method": method}
    job = _describe_job(translator, lines, splits, search=asdict(search), **settings)
    _check_any(lines.total - lines.dropped.total(), lines)
    counts, n_translated, seconds = _do_job(translator, lines, output, job, search, show_bar)
    data = f"{held_out[0] if held_out else 'CORPUS'}:1,{output}:1"
    return {
        "folder": str(output),
        **counts,
        "translated": n_translated,
        "seconds": round(seconds, 2),
        "lines_per_second": round(n_translated / seconds, 2) if n_translated else None,
        "train": f"translator train --data {data} --src {src} --tgt {tgt}",
    }


def _describe_job(
    translator: Translator,
    lines: _UsableLines,
    held_out: Mapping[str, Sequence[TextPair]],
    **settings: Any,
) -> dict[str, Any]:
    """Everything that the result depends on. Reads the whole file, so errors show first."""
    src, tgt = lines.cleaner.languages
    return {
        "format_version": 1,
        **settings,
        "src": src,
        "tgt": tgt,
        "precision": translator.precision,
        "models": [m.folder and read_description(m.folder)["sha256"] for m in translator.models],
        "mono": _text_digest(lines),
        "clean": asdict(lines.cleaner.config),
        "held_out": _text_digest(line for pairs in held_out.values() for p in pairs for line in p),
    }


def _do_job(
    translator: Translator,
    lines: _UsableLines,
    output: Path,
    job: dict[str, Any],
    search: SearchConfig,
    show_bar: bool,
) -> tuple[dict[str, Any], int, float]:
    """Does what is left of a job.

    Returns:
        Its counts, the lines translated now, and the seconds that took.
    """
    found = _claim(output, job)
    raw = output / f"translations.{translator.tgt}"
    n_translated, seconds = 0, 0.0
    if "counts" not in found:
        if not raw.exists():
            start = time.perf_counter()
            options: dict[str, Any] = {"show_bar": show_bar, "search": search}
            n_translated = translate_to_file(translator, lines, raw, text_line, **options)
            seconds = time.perf_counter() - start
        noisy = job["method"] == "noisy"
        found = job | {"counts": _write_pairs(translator, lines, raw, search.seed, noisy)}
        write_json(output / "corpus.json", found)
    raw.unlink(missing_ok=True)
    return found["counts"], n_translated, seconds


def _text_digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()


def _check_any(n_left: int, lines: _UsableLines) -> None:
    if not n_left:
        reasons = ", ".join(f"{n} {rule}" for rule, n in lines.dropped.items()) or "it is empty"
        raise TranslatorError(f"No line of {lines.file} yields a pair ({reasons}).")


def _claim(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Claims a new folder for a job, or finds the same job in it.

    Returns:
        The content of `corpus.json`: the job, and its "counts" if it is finished.

    Raises:
        TranslatorError: the folder holds something else.
    """
    file = folder / "corpus.json"
    if file.is_file():
        try:
            found = {**json.loads(file.read_bytes())}
        except (ValueError, TypeError):
            found = {}
        other = [key for key, value in job.items() if found.get(key, file) != value]
        if other:
            raise TranslatorError(
                f"{folder} holds another job (different: {', '.join(other)}): name another folder "
                "with --output, or delete this one."
            )
        return found
    if folder.is_dir() and any(folder.iterdir()):
        raise TranslatorError(
            f"{folder} holds something else: name a new or empty folder with --output."
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(file, job)
    return job


def _write_pairs(
    translator: Translator,
    lines: _UsableLines,
    raw: Path,
    seed: int,
    noisy: bool,
) -> dict[str, Any]:
    """Writes the pairs that pass all rules to two files next to `raw`, which appear when complete.

    Noise is added last, because the rules would reject it.

    Returns:
        "lines", "kept" and "dropped".
    """
    human, synthetic = translator.src, translator.tgt
    paths = [raw.with_name(f"train.{side}") for side in (human, synthetic)]
    faults: Counter[str] = Counter()
    kept = 0
    with open_whole(paths[0]) as ours, open_whole(paths[1]) as theirs:
        for line, found in zip(lines, iterate_lines(raw), strict=True):
            fault = _fault(line, found, lines.cleaner, translator)
            if fault:
                faults[fault] += 1
                continue
            if noisy:
                found = add_noise(found, random.Random(derive_seed(seed, "noise", line)))
            ours.write(f"{line}\n".encode())
            theirs.write(f"{found}\n".encode())
            kept += 1
        lines.dropped.update(faults)
        _check_any(kept, lines)
    return {"lines": lines.total, "kept": kept, "dropped": dict(lines.dropped)}


def _fault(human: str, synthetic: str, cleaner: Cleaner, translator: Translator) -> str | None:
    """The rule that a pair breaks, if any."""
    if "\0" in synthetic:  # spelled in bytes; the file would no longer count as text
        return "control characters"
    pair = (human, synthetic) if cleaner.languages[0] == translator.src else (synthetic, human)
    (fault,) = cleaner.judge([pair])
    if fault is None:
        encode = translator.model.tokenizer.encode
        src_pieces, tgt_pieces = (len(encode(normalise(text))) for text in (human, synthetic))
        fault = next(iter(list_faults(human, synthetic, src_pieces, tgt_pieces)), None)
    return fault
