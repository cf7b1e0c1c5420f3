"""The presets: complete settings by name."""

import dataclasses
from typing import Any

from translator.config.schema import (
    Config,
    DataConfig,
    ModelConfig,
    NoiseConfig,
    SearchConfig,
    TrainConfig,
)


def _preset(model: tuple[int, int, int, int, int, float, str], **sections: Any) -> Config:
    d_model, d_ff, n_heads, n_encoder, n_decoder, dropout, norm = model
    return Config(
        model=ModelConfig(d_model, d_ff, n_heads, n_encoder, n_decoder, dropout, norm),
        **sections,
    )


def _wmt(steps: int, peak_lr: float, warmup_steps: int) -> dict[str, Any]:
    return {
        "data": DataConfig(corpus="wmt14", vocab_size=32000, max_length=256),
        "train": TrainConfig(
            steps=steps,
            max_tokens=8192,
            accum_steps=4,
            peak_lr=peak_lr,
            warmup_steps=warmup_steps,
            cooldown=0.0,  # as in the paper
            validate_every=2000,
            checkpoint_every=2000,
            patience=50,
        ),
        "search": SearchConfig(max_pieces=256),
    }


_DEMO: dict[str, Any] = {  # the bundled corpus: clean text, few words
    "data": DataConfig(corpus="sample", vocab_size=2000, copy_rate=0.0),
    "train": TrainConfig(
        optimizer="muon",
        steps=650,
        peak_lr=8e-3,
        weight_decay=0.3,
        schedule="constant",
        warmup_steps=60,
        cooldown=0.7,
        validate_every=350,
        checkpoint_every=50,
        keep_checkpoints=3,
    ),
}
# (d_model, d_ff, n_heads, encoder layers, decoder layers, dropout, norm). `tiny` is the net of
# Wu et al. (ACL 2021) for Multi30k, `base` and `big` are the paper's, `deep` follows
# Wang et al. (ACL 2019). The small ones are pre-norm: at the rates that they want, post-norm left
# cross-attention uniform for eight epochs. Muon gave `tiny` 2.4 BLEU more than Adam after 1,800
# steps; what else can be switched on gave nothing so early (docs/experiments.md). `small` is for
# general use: it learns to bear the noise in what people type. `general` made the general models
# that are shipped: a deep encoder, and a decoder that is cheap to search with (Kasai et al. 2021).
# Weight decay gave it a BLEU in 500 updates from nothing; `tiny` gained nothing in 2,000.
PRESETS: dict[str, Config] = {
    "tiny": _preset((128, 256, 4, 4, 4, 0.3, "pre"), train=TrainConfig(optimizer="muon")),
    "demo": _preset((128, 256, 4, 2, 2, 0.05, "pre"), **_DEMO),
    "small": _preset(
        (256, 1024, 4, 3, 3, 0.3, "pre"),
        noise=NoiseConfig(scale=1.0),
        train=TrainConfig(optimizer="muon"),
    ),
    "general": _preset(
        (512, 2048, 8, 6, 2, 0.1, "pre"),
        data=DataConfig(vocab_size=12000),
        noise=NoiseConfig(scale=1.0),
        train=TrainConfig(
            optimizer="muon",
            steps=2400,
            max_tokens=40960,
            peak_lr=2e-3,
            muon_lr=0.02,
            weight_decay=0.1,
            schedule="constant",
            warmup_steps=600,
            cooldown=0.4,
            checkpoint_every=200,
            patience=50,
        ),
        search=SearchConfig(max_pieces=128),
    ),
    "base": _preset((512, 2048, 8, 6, 6, 0.1, "post"), **_wmt(100_000, 7e-4, 4000)),
    "big": _preset((1024, 4096, 16, 6, 6, 0.3, "post"), **_wmt(300_000, 5e-4, 4000)),
    "deep": _preset((512, 2048, 8, 24, 6, 0.1, "pre"), **_wmt(100_000, 1.5e-3, 8000)),
}
PRESETS = {name: dataclasses.replace(config, preset=name) for name, config in PRESETS.items()}
