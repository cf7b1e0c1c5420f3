"""How far the usual recipes of the peers get on Multi30k in so many minutes of a processor.

    python benchmarks/speedrun_peers.py marian plain --data FOLDER --minutes 8

`marian` is Hugging Face's MarianMTModel (post-norm) with AdamW, `plain` is `nn.Transformer`
(pre-norm) with Adam. Both have the shape of `tiny`, products in bf16 by autocast, our corpus,
batches of 4,096 and a schedule with the inverse square root. The minutes are the processor's, of
updates alone (a speedrun counts all), and their number is planned with the speed of the first ones.
At the end the validation split is translated with a beam of 5: by Hugging Face's `generate`, and
for `nn.Transformer` by our search.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import torch
from train_peers import PlainTransformer, Trainer, marian_trainer, plain_trainer

from data_prep.prepared.prepare import TrainingData
from translator.config.loading import load_config
from translator.config.schema import Config, ModelConfig, TrainConfig
from translator.evaluation.scores import score
from translator.model.batch import Batch, pad_right
from translator.model.transformer import Transformer
from translator.storage.model_folder import Model
from translator.text.tokenizer import BOS, EOS, PAD
from translator.training.setup import build_batches, load_data
from translator.translation.translator import Translator

RECIPE = [
    *("model.dropout=0.1", "data.copy_rate=0", "train.optimizer='adam'", "train.max_tokens=4096"),
    *("train.schedule='inverse-sqrt'", "train.warmup_steps=300", "train.cooldown=0.4"),
]
PEERS: dict[str, tuple[Callable[..., Trainer], str, str, float]] = {
    "marian": (marian_trainer, "sdpa", "post", 1e-3),  # attention, norm, and peak rate
    "plain": (plain_trainer, "default", "pre", 2e-3),
}
CPU = torch.device("cpu")


def train(
    config: TrainConfig, batches: Iterator[Batch], minutes: float, make: Callable[..., Trainer]
) -> Trainer:
    """Trains a peer for `minutes` of the processor's time."""
    tried, times = make(config), []
    for step in range(1, 41):
        start = time.process_time()
        tried.update(next(batches), step)
        times.append(time.process_time() - start)
    each = sum(times[10:]) / len(times[10:])
    steps = int(minutes * 60 / each)
    print(f"{each * 1000:.0f} ms an update, so {steps} updates", flush=True)
    trainer = make(replace(config, steps=steps))
    start, tokens = time.process_time(), 0
    for step in range(1, steps + 1):
        batch = next(batches)
        trainer.update(batch, step)
        tokens += batch.n_tokens
        if step % 100 == 0:
            print(f"step {step}, {(time.process_time() - start) / 60:.1f} minutes", flush=True)
    spent = time.process_time() - start
    print(f"{spent / 60:.1f} minutes, {tokens:,} target tokens, {tokens / spent:,.0f} a second")
    return trainer


@torch.inference_mode()
def translate(trainer: Trainer, config: Config, data: TrainingData) -> list[str]:
    """Translates the sources of the validation split with a beam of 5."""
    trainer.model.eval()
    sources = [src for src, _ in data.splits["valid"]]
    if isinstance(trainer.model, PlainTransformer):
        ours = Transformer(config.model)
        trainer.model.copy_weights(ours, back=True)
        translator = Translator(Model(ours.eval(), data.tokenizer, config), CPU)
        found = translator.translate_lines(sources, config.search, split="never", guard=False)
        return [translation.text for translation in found]
    marian = cast(Any, trainer.model)
    lines: list[str] = []
    for start in range(0, len(sources), 32):
        ids = [data.tokenizer.encode(line) + [EOS] for line in sources[start : start + 32]]
        src = pad_right(ids)
        options = {"num_beams": 5, "length_penalty": 1.0, "max_new_tokens": 2 * src.shape[1] + 20}
        tokens = {"decoder_start_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD}
        mask = (src != PAD).long()
        rows = marian.generate(src, attention_mask=mask, **options, **tokens).tolist()
        kept = [[i for i in row if i not in (BOS, EOS, PAD)] for row in rows]
        lines += map(data.tokenizer.decode, kept)
    return lines


def main() -> None:
    """Trains and scores each peer."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("peers", nargs="+", choices=PEERS)
    parser.add_argument("--data", default="multi30k", help="the corpus, or a folder that holds it")
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for peer in arguments.peers:
        *_, norm, rate = PEERS[peer]
        settings = [f"data.corpus={arguments.data!r}", f"train.seed={arguments.seed}", *RECIPE]
        settings += [f"model.norm={norm!r}", f"train.peak_lr={rate}"]
        config, data = load_data(load_config("tiny", None, settings), None)
        endless = build_batches(config, data, CPU).batches(0, 0)
        batches = (cast(Batch, batch) for batch, _ in endless)

        def build(
            train: TrainConfig, model: ModelConfig = config.model, peer: str = peer
        ) -> Trainer:
            torch.manual_seed(train.seed)
            make, attention, *_ = PEERS[peer]
            return make(Transformer(model), train, "autocast", attention)

        print(f"{peer}, peak rate {rate}, {', '.join(RECIPE)}", flush=True)
        trainer = train(config.train, batches, arguments.minutes, build)
        found = translate(trainer, config, data)
        bleu = score(found, [[tgt for _, tgt in data.splits["valid"]]], ["bleu"])["bleu"]
        print(f"{peer}, seed {arguments.seed}: BLEU on valid {bleu}", flush=True)


if __name__ == "__main__":
    main()
