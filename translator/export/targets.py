"""From a model and a target's name to an export that has proved itself, or to none."""

import copy
import importlib.util
import logging
import os
import re
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from translator.config.errors import TranslatorError
from translator.export import ctranslate2, huggingface, onnx, page
from translator.export.engine import Engine
from translator.export.node import Node, find_node
from translator.export.verify import TOLERANCES, Greedy, Proof, greedy_search, sample_lines, verify
from translator.model.transformer import count_parameters
from translator.storage.model_folder import Model
from translator.system.disk import write_file
from translator.text.tokenizer import EOS

log = logging.getLogger("translator")

PACKAGES = {
    "ctranslate2": ("ctranslate2",),
    "huggingface": ("transformers",),
    "onnx": ("onnx", "onnxruntime"),
}
_LARGE = 10_000_000  # weights, from which on a page is better small than exact
WEIGHTS = {  # the default first
    "html": page.TYPES,
    "ctranslate2": ctranslate2.TYPES,
    "huggingface": ("float32",),
    "onnx": ("float32",),
}


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
        path: the new folder; for "html" a file, which may be there already.
        weights: how they are stored; default: the first that the target has, and "int5" for the
            page of a large model.

    Raises:
        TranslatorError: the path is taken, a package is missing, the target has no such weights, or
            the translations differ; then nothing is left behind.
    """
    if target == "html" and count_parameters(model.transformer) >= _LARGE:
        weights = weights or "int5"
    weights = weights or WEIGHTS[target][0]
    if weights not in WEIGHTS[target]:
        raise TranslatorError(
            f"--to {target} stores weights as {', '.join(WEIGHTS[target])}, not {weights}."
        )
    missing = [name for name in PACKAGES.get(target, ()) if not importlib.util.find_spec(name)]
    if missing:
        raise TranslatorError(
            f"--to {target} needs {' and '.join(missing)}: pip install 'small-nmt[export]'."
        )
    if not path.parent.is_dir():
        raise TranslatorError(f"There is no folder {path.parent}: create it first.")
    if target == "html":
        return _export_page(model, path, weights)
    if path.exists():
        raise TranslatorError(f"{path} is there already: name a new folder, or remove it.")
    hidden = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(hidden, ignore_errors=True)
    try:
        proof = _write(model, target, hidden, weights)
        if card := _card(model):  # with the licence
            shutil.copyfile(card, hidden / card.name)
        os.replace(hidden, path)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return Export(path, sum(file.stat().st_size for file in path.iterdir()), proof)


def _export_page(model: Model, path: Path, weights: str) -> Export:
    if path.is_dir():
        raise TranslatorError(f"{path} is a folder: name a file, such as {path / 'page.html'}.")
    packed = page.pack(model, weights)
    if find_node():
        greedy: Greedy = Node(packed).greedy
    else:
        log.warning("Without Node the page's weights are tried, and not its scripts.")
        stored = copy.deepcopy(model.transformer)
        stored.load_state_dict(page.restored(model.transformer.state_dict(), weights))
        greedy = partial(greedy_search, stored)
    proof = verify(model, greedy, TOLERANCES[weights])
    card = _card(model)
    licence = re.search(r'^license: "?([\w.-]+)', card.read_text("utf-8"), re.M) if card else None
    named = licence[1].upper() if licence else ""
    write_file(path, page.html(model.directions, packed, named).encode())
    return Export(path, path.stat().st_size, proof)


def _card(model: Model) -> Path | None:
    card = model.folder / "README.md" if model.folder else None
    return card if card and card.is_file() else None


def _write(model: Model, target: str, folder: Path, weights: str) -> Proof:
    transformer, tokenizer = model.transformer, model.tokenizer
    if target == "ctranslate2":
        ctranslate2.export(transformer, tokenizer, folder, weights)
        tokens = tokenizer.pieces(range(tokenizer.vocab_size))
        # Computed with as stored; fp16 is not for CPUs.
        computed = "float32" if weights == "float16" else weights
        engine = Engine(folder, tokens, computed)
        return verify(model, engine.greedy, TOLERANCES[weights])
    if target == "onnx":
        onnx.export(transformer, tokenizer, folder)
        return verify(model, onnx.Engine(folder).greedy, TOLERANCES[weights])
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
