"""Packs what a GPU machine needs into `.gpu/`: encoded corpora, the program, and weights as int8.

python benchmarks/gpu/pack.py --data CORPUS[:WEIGHT],... [--preset general] [--out .gpu]
    [--set SECTION.KEY=VALUE]... [--model DIRECTION=MODEL]... [--vocabulary MODEL]
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from data_prep.prepared.prepare import TrainingData  # noqa: E402
from translator.config.loading import load_config, to_dict  # noqa: E402
from translator.config.schema import Config  # noqa: E402
from translator.storage.model_folder import load_model  # noqa: E402
from translator.training.setup import load_data  # noqa: E402


def main() -> None:
    """Prepares the corpora unless they are cached, and writes the folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="corpora with their weights")
    parser.add_argument("--preset", default="general")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--model", action="append", default=[], metavar="DIRECTION=MODEL")
    parser.add_argument("--vocabulary", help="a MODEL; by default the first --model")
    parser.add_argument("--out", type=Path, default=Path(".gpu"))
    options = parser.parse_args()
    models = dict(model.split("=", 1) for model in options.model)
    vocabulary = options.vocabulary or next(iter(models.values()), None)
    settings = [f"data.corpus={json.dumps(options.data)}", *options.set]
    if vocabulary:
        settings.append(f"data.vocab_from={json.dumps(vocabulary)}")
    config, data = load_data(load_config(options.preset, None, settings), None, show_bar=True)
    shutil.rmtree(options.out, ignore_errors=True)
    pack_data(config, data, options.out / "data")
    for direction, model in models.items():
        pack_model(Path(model), direction, options.out / direction)
    subprocess.run(["du", "-sh", *sorted(options.out.iterdir())], check=True)


def pack_data(config: Config, data: TrainingData, out: Path) -> None:
    """Packs ids (two bytes each), row lengths, validation pairs and the program."""
    content = out / "content"
    (content / "ids").mkdir(parents=True)
    languages = (config.data.src, config.data.tgt)
    for number, part in enumerate(data.train.parts):
        for language, rows in zip(languages, (part.src, part.tgt), strict=True):
            name = content / "ids" / f"{number}-{language}"
            name.with_suffix(".rows").write_bytes(rows.values)
            rows.lengths.numpy().astype(np.uint16).tofile(name.with_suffix(".lengths"))
    (content / "tokenizer.model").write_bytes(data.tokenizer.model_bytes)
    weights = None if data.weights is None else data.weights.tolist()
    starts = [end - len(part) for end, part in zip(data.train.ends, data.train.parts, strict=True)]
    tests = [name for name in data.splits if name.startswith("test")]
    searched = max(tests, key=lambda name: len(data.splits[name]), default="valid")
    encoded = [tuple(map(data.tokenizer.encode, pair)) for pair in data.splits[searched]]
    meta = {
        "config": to_dict(config),
        "searched": {"split": searched, "pairs": encoded},
        "fingerprint": data.fingerprint,
        "dropped": data.dropped,
        "valid": data.valid,
        "valid_text": [tuple(pair) for pair in data.splits["valid"]],
        "parts": [
            {"pairs": len(part), "tag": tag, "weight": weights[start] if weights else 1.0}
            for part, tag, start in zip(data.train.parts, data.train.tags, starts, strict=True)
        ],
    }
    (content / "meta.json").write_text(json.dumps(meta))
    ignored = shutil.ignore_patterns("__pycache__", "checkpoints")
    for package in ("translator", "data_prep"):
        shutil.copytree(ROOT / package, content / "program" / package, ignore=ignored)
    shutil.copytree(Path(__file__).parent, content / "gpu", ignore=ignored)
    # `lp=1` tells LZMA that the numbers are 16 bits wide.
    filters = "--lzma2=preset=6,dict=64MiB,lp=1,lc=3,pb=1"
    command = f"tar cf - -C {content} . | xz -T0 {filters} > {out}/data.tar.xz"
    subprocess.run(command, shell=True, check=True)
    shutil.rmtree(content)
    shutil.copy(Path(__file__).with_name("go.sh"), out)


def pack_model(model: Path, name: str, out: Path) -> None:
    """Packs matrices as int8 with a scale per row, everything else as fp16."""
    tensors = {}
    for key, weight in load_model(model).transformer.state_dict().items():
        if weight.dim() == 2:
            scale = weight.float().abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
            tensors[key] = (weight.float() / scale).round().to(torch.int8)
            tensors[f"{key}/scale"] = scale
        else:
            tensors[key] = weight.half()
    out.mkdir(parents=True)
    file = out / f"start-{name}.safetensors"
    save_file(tensors, file)
    command = f"tar cf - -C {out} {file.name} | xz -T0 -1 > {out}/model.tar.xz"
    subprocess.run(command, shell=True, check=True)
    file.unlink()


if __name__ == "__main__":
    main()
