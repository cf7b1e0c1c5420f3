"""CTranslate2 as an engine that searches in place of the models.

Nothing here needs PyTorch, whose import takes longer than most translations, but for the copy of a
model that is made and verified when it is first used.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translator.config.errors import TranslatorError
from translator.config.schema import SearchConfig
from translator.search.hypothesis import Hypothesis
from translator.system.disk import cache_root
from translator.system.lock import exclusive
from translator.text.tokenizer import BOS, EOS, PAD

if TYPE_CHECKING:
    from translator.storage.model_folder import Model
    from translator.translation.translator import Translator

log = logging.getLogger("translator")

N_POSITIONS = 512  # most exports have a table of them; longer texts are cut by whoever uses them


class Engine:
    """CTranslate2 with an exported model: ids in, ids out.

    Args:
        folder: what `write_model` in ctranslate2.py wrote.
        tokens: the name of each id.
        quantization: how it computes, one of its `TYPES`; "default": as it is stored.
        threads: of each batch, of which one is translated at a time; 0 = its own choice.
    """

    def __init__(
        self,
        folder: Path,
        tokens: Sequence[str],
        quantization: str = "default",
        threads: int = 0,
    ):
        import ctranslate2

        self.tokens = list(tokens)
        self.ids = {token: i for i, token in enumerate(tokens)}
        never = [[self.tokens[i]] for i in (PAD, BOS)]
        self.options: dict[str, Any] = {"disable_unk": True, "suppress_sequences": never}
        self.name = f"ctranslate2 {quantization}"
        self.translator = ctranslate2.Translator(
            str(folder),
            compute_type=quantization,
            intra_threads=threads,
            max_queued_batches=-1,
        )

    def greedy(self, sources: Sequence[Sequence[int]], limit: int) -> list[list[int]]:
        """The translation of each source, which ends with EOS, by greedy search; EOS included."""
        inputs = [[self.tokens[i] for i in source] for source in sources]
        found = self.translator.translate_batch(
            inputs,
            **self.options,
            beam_size=1,
            return_end_token=True,
            max_decoding_length=limit,
            max_batch_size=32,
        )
        return [[self.ids[token] for token in result.hypotheses[0]] for result in found]

    def beam_search(
        self,
        sources: Sequence[Sequence[int]],
        config: SearchConfig,
        prefixes: Sequence[Sequence[int]] = (),
    ) -> list[list[Hypothesis]]:
        """As `translator.translation.network.Network.beam_search`.

        Raises:
            TranslatorError: a setting is beyond CTranslate2.
        """
        check_search(config)
        inputs = [[self.tokens[i] for i in row] for row in sources]
        starts = [[self.tokens[i] for i in row] for row in prefixes or [[]] * len(inputs)]
        if max(map(len, inputs)) > N_POSITIONS:
            raise TranslatorError(
                f"CTranslate2 reads at most {N_POSITIONS} pieces at once: leave the engine out."
            )
        limits = [
            min(int(len(source) * config.max_ratio) + config.max_extra + len(start), N_POSITIONS)
            for source, start in zip(inputs, starts, strict=True)
        ]
        found = self.translator.translate_batch(
            inputs,
            target_prefix=starts if any(starts) else None,
            **self.options,
            beam_size=config.beam_size,
            patience=2.0 if config.beam_size > 1 else 1.0,  # as long as ours continues
            num_hypotheses=min(config.n_best, config.beam_size),
            length_penalty=config.length_penalty,
            no_repeat_ngram_size=config.no_repeat_ngram,
            min_decoding_length=max(config.min_length, 0),
            max_decoding_length=min(max(limits) + 1, N_POSITIONS),
            return_end_token=True,
            return_scores=True,
        )
        return [
            [
                self._hypothesis(tokens, score, config, limit)
                for tokens, score in zip(result.hypotheses, result.scores, strict=True)
            ]
            for result, limit in zip(found, limits, strict=True)
        ]

    def _hypothesis(
        self, tokens: Sequence[str], score: float, config: SearchConfig, limit: int
    ) -> Hypothesis:
        """A hypothesis, cut at its own limit: CTranslate2 has one for the whole batch."""
        ids = [self.ids[token] for token in tokens]
        log_prob = score * max(len(ids), 1) ** config.length_penalty
        return Hypothesis([i for i in ids if i != EOS][:limit], log_prob, score)


# The settings that CTranslate2 has no like of, and the only value that they may have.
FIXED = {
    "decode": "beam",
    "length_rule": "plain",
    "length_reward": 0.0,
    "coverage_penalty": 0.0,
    "stopping": "fast",
    "diversity": 0.0,
}


def check_search(config: SearchConfig) -> None:
    """Complains about settings that CTranslate2 does not have.

    Raises:
        TranslatorError: there is one.
    """
    for name, value in FIXED.items():
        if (given := getattr(config, name)) != value:
            raise TranslatorError(
                f"--engine ctranslate2 searches with {name.replace('_', ' ')} {value} only, not "
                f"{given}: leave the engine out, or the setting."
            )


def use(
    translator: Translator,
    engine: str = "ctranslate2",
    folder: Path | None = None,
    threads: int = 1,
    search: SearchConfig | None = None,
) -> None:
    """Lets CTranslate2 do the beam searches of a translator, with a verified copy of its model.

    Args:
        translator: of one model, on a CPU.
        engine: one of `ENGINES` but torch.
        folder: of copies, each of which is written on its first use; default: the cache.
        threads: of the engine.
        search: settings that it must have; default: the model's own.

    Raises:
        TranslatorError: CTranslate2 is missing, its translations differ, or it cannot do this.
    """
    check_search(search or translator.model.config.search)
    if not importlib.util.find_spec("ctranslate2"):
        raise TranslatorError(
            f"--engine {engine} needs ctranslate2: pip install 'small-nmt[export]'."
        )
    if len(translator.models) > 1 or not translator.on_cpu:
        raise TranslatorError(f"--engine {engine} takes one model, on the CPU.")
    weights = "int8" if engine.endswith("int8") else "float32"
    if translator.precision != "fp32":
        raise TranslatorError(f"--engine {engine} computes in {weights}: leave --precision out.")
    model = translator.model
    tokens = model.tokenizer.pieces(range(model.tokenizer.vocab_size))
    copies = folder or cache_root() / "ctranslate2"
    copy = copies / (model_key(model) + engine.removeprefix("ctranslate2"))
    if not copy.exists():
        from translator.export.targets import export_model  # imports PyTorch

        copies.mkdir(parents=True, exist_ok=True)
        log.info("The first time, a copy for CTranslate2 is made and verified: %s.", copy)
        with exclusive(copies / f".{copy.name}.lock", str(copy)):
            if not copy.exists():  # nor has another process made it meanwhile
                export_model(model, "ctranslate2", copy, weights)
    translator.decoder.engine = Engine(copy, tokens, weights, threads=threads)


def model_key(model: Model) -> str:
    """A name for the copy of a model: of its sizes, weights and vocabulary."""
    assert model.weights, "a model that was not read from a folder"
    digest = hashlib.sha256(model.tokenizer.model_bytes)
    digest.update(f"{model.config.model} {model.weights[1]}".encode())
    return digest.hexdigest()[:16]
