"""From a model and a target's name to an export that has proved itself, or to none."""

import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from translator.config.errors import TranslatorError
from translator.export import ctranslate2, huggingface
from translator.export.verify import TOLERANCES, Proof, sample_lines, verify
from translator.storage.model_folder import Model
from translator.text.tokenizer import EOS

PACKAGES = {"ctranslate2": "ctranslate2", "huggingface": "transformers"}
WEIGHTS = {"ctranslate2": ctranslate2.TYPES, "huggingface": ("float32",)}  # the default first


@dataclass(frozen=True)
class Export:
    """What was written."""

    path: Path
    bytes: int
    proof: Proof


def export_model(model: Model, target: str, path: Path, weights: str | None = None) -> Export:
    """Writes a model for another program, once it has translated 200 lines as this one does.

    Args:
        model: what is exported.
        target: one of `WEIGHTS`.
        path: the new folder.
        weights: how they are stored; default: the first that the target has.

    Raises:
        TranslatorError: the path is taken, a package is missing, the target has no such weights, or
            the translations differ; then nothing is left behind.
    """
    weights = weights or WEIGHTS[target][0]
    if weights not in WEIGHTS[target]:
        raise TranslatorError(
            f"--to {target} stores weights as {', '.join(WEIGHTS[target])}, not {weights}."
        )
    if importlib.util.find_spec(PACKAGES[target]) is None:
        raise TranslatorError(
            f"--to {target} needs {PACKAGES[target]}: pip install 'small-nmt[export]'."
        )
    if path.exists():
        raise TranslatorError(f"{path} is there already: name a new folder, or remove it.")
    if not path.parent.is_dir():
        raise TranslatorError(f"There is no folder {path.parent}: create it first.")
    hidden = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(hidden, ignore_errors=True)
    try:
        proof = _write(model, target, hidden, weights)
        card = model.folder / "README.md" if model.folder else None
        if card and card.is_file():  # with the licence
            shutil.copyfile(card, hidden / card.name)
        os.replace(hidden, path)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return Export(path, sum(file.stat().st_size for file in path.iterdir()), proof)


def _write(model: Model, target: str, folder: Path, weights: str) -> Proof:
    transformer, tokenizer = model.transformer, model.tokenizer
    if target == "ctranslate2":
        ctranslate2.export(transformer, tokenizer, folder, weights)
        tokens = tokenizer.pieces(range(tokenizer.vocab_size))
        # Computed with as stored; fp16 is not for CPUs.
        computed = "float32" if weights == "float16" else weights
        engine = ctranslate2.Engine(folder, tokens, computed)
        return verify(model, engine.greedy, TOLERANCES[weights])
    huggingface.write_model(transformer, folder)
    huggingface.write_tokenizer(tokenizer, folder, *model.directions[0])
    loaded = huggingface.Engine(folder)
    _check_tokenizer(model, loaded)
    return verify(model, loaded.greedy, TOLERANCES[weights])


def _check_tokenizer(model: Model, engine: huggingface.Engine) -> None:
    """Complains if the other library's tokenizer cuts a line otherwise."""
    both = model.config.data.bidirectional
    for src, tgt in model.directions:
        tag, code = ([model.tokenizer.tag(tgt)], f">>{tgt}<<") if both else ([], "")
        for line in sample_lines(src):
            ours = [*tag, *model.tokenizer.encode(line), EOS]
            theirs = engine.tokenizer(code + line).input_ids
            if theirs != ours:
                pieces = model.tokenizer.pieces
                raise TranslatorError(
                    f'The export is refused, for its tokenizer differs: "{line}" becomes '
                    f"{pieces(theirs)} there, and {pieces(ours)} here."
                )
