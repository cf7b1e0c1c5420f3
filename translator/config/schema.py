"""Every setting of a run, in frozen dataclasses: its default, meaning and limits.

A `Config` is plain data. What a run used is saved beside its weights as `config.json`, so a model
can always say how it was made.
"""

from dataclasses import dataclass, field

from translator.config.errors import SettingError, TranslatorError
from translator.config.fields import check, setting

PRECISIONS = ("fp32", "bf16")  # of translating
ENGINES = ("torch", "ctranslate2", "ctranslate2-int8")  # for beam search
METRICS = ("bleu", "chrf", "ter", "multi30k_bleu")
_COUNT, _AMOUNT, _SHARE = "[1, 1e9]", "[0, 1e9]", "[0, 1)"


@dataclass(frozen=True)
class ModelConfig:
    """The architecture (Vaswani et al. 2017, table 3)."""

    d_model: int = setting(128, "width of the embeddings and layers", "[2, 65536]")
    d_ff: int = setting(256, "width of the feed-forward layers", "[1, 262144]")
    n_heads: int = setting(4, "attention heads; d_model is a multiple of this", "[1, 1024]")
    n_encoder_layers: int = setting(4, "layers of the encoder", "[1, 1000]")
    n_decoder_layers: int = setting(4, "layers of the decoder", "[1, 1000]")
    dropout: float = setting(0.3, "probability of dropping an activation", _SHARE)
    norm: str = setting("post", "post as in the paper, or pre for deep stacks", ("post", "pre"))
    vocab_size: int = setting(0, "0 until the tokenizer is known", "[0, 1e7]")

    def __post_init__(self) -> None:
        check("model", self)
        if self.d_model % self.n_heads or self.d_model % 2:
            raise SettingError(
                *("model", "d_model"),
                f"({self.d_model}) must be even and a multiple of model.n_heads ({self.n_heads})",
            )


@dataclass(frozen=True)
class DataConfig:
    """What is read, and what is made of it. Lengths count pieces."""

    corpus: str = setting("multi30k", "the training data: a name, a folder, or hf:OWNER/NAME")
    src: str = setting("en", "source language")
    tgt: str = setting("de", "target language")
    vocab_size: int = setting(0, "pieces; 0 = chosen by the size of the corpus", "[0, 1e7]")
    vocab_from: str = setting("", "a MODEL whose vocabulary is used, so that both can be ensembled")
    max_length: int = setting(128, "longer pairs are dropped", _COUNT)
    max_ratio: float = setting(4.0, "pairs that differ in length by more are dropped", "[1, 1e9]")
    copy_rate: float = setting(0.1, "share of the pairs with copy placeholders", "[0, 1]")
    bidirectional: bool = setting(False, "learn both directions; a tag leads each source")
    vocab_type: str = setting("unigram", "kind of vocabulary", ("unigram", "bpe"))
    unigram_alpha: float = setting(
        0.0, "smoothing of sampled segmentations, 0.1 to 0.5; 0 = off", "[0, 100]"
    )

    def __post_init__(self) -> None:
        check("data", self)
        if self.src == self.tgt:
            raise TranslatorError(f"Source and target are both {self.src}: name two languages.")
        if self.unigram_alpha and self.vocab_type != "unigram":
            raise TranslatorError('data.unigram_alpha needs data.vocab_type="unigram".')


# Shares of the training pairs at `noise.scale=1`: those with which Firefox Translations trains its
# teachers, after Bogoychev et al. 2023 (arXiv:2311.14838); those marked are ours, and not tuned.
USUAL_NOISE = {
    "capitals": 0.07,
    "title_case": 0.05,
    "lower_case": 0.05,  # ours
    "no_final_stop": 0.2,
    "final_stop": 0.2,  # ours
    "typos": 0.05,
    "inline": 0.005,
    "join": 0.05,  # ours
}


@dataclass(frozen=True)
class NoiseConfig:
    """How often training pairs get noise in their text; 0 = never.

    The kinds are in data_prep/augmentation/noise.py. A rate of -1 is `scale` times the usual one:
    `noise.scale=1` turns all on, and single rates replace their own.
    """

    scale: float = setting(0.0, "times the usual rate, for all kinds; 0 = off", "[0, 1000]")
    capitals: float = setting(-1.0, "both sides in capitals")
    title_case: float = setting(-1.0, "each word of both sides capitalised")
    lower_case: float = setting(-1.0, "the source in lower case")
    no_final_stop: float = setting(-1.0, "both sides without their final punctuation")
    final_stop: float = setting(-1.0, "a full stop added to both sides where there is none")
    typos: float = setting(-1.0, "typing errors in the source")
    inline: float = setting(-1.0, "an emoji, number or address inserted on both sides")
    join: float = setting(-1.0, "joined with one or two other pairs")

    def __post_init__(self) -> None:
        check("noise", self)
        for name in USUAL_NOISE:
            if not 0 <= self.rate(name) <= 1:
                problem = f"must be at least 0 and at most 1, or -1, not {self.rate(name):g}"
                raise SettingError("noise", name, problem)
        for row in (("capitals", "title_case", "lower_case"), ("no_final_stop", "final_stop")):
            if sum(map(self.rate, row)) > 1:
                names = ", ".join(f"noise.{name}" for name in row)
                raise TranslatorError(f"{names} exclude each other: together at most 1.")

    def rate(self, name: str) -> float:
        """The share of the pairs for which a kind of noise is chosen."""
        own: float = getattr(self, name)
        return self.scale * USUAL_NOISE[name] if own == -1 else own


@dataclass(frozen=True)
class CleanConfig:
    """Which training pairs are dropped (data_prep/cleaning/rules.py has the rules).

    A threshold of 0 (or false, or "off") turns its rule off; `contamination` does so for the
    settings that begin with overlap.
    """

    enabled: bool = setting(True, "false turns all cleaning off")
    repair: bool = setting(True, "repair entities, invisible characters and encodings")
    empty: bool = setting(True, "drop pairs with an empty side")
    max_words: int = setting(200, "most words of a side", _AMOUNT)
    max_characters: int = setting(2000, "most characters of a side", _AMOUNT)
    control: int = setting(1, "drop from this many control characters on", _AMOUNT)
    garbled: bool = setting(True, "drop text in a broken encoding")
    min_letters: float = setting(0.4, "smallest share of letters in a side's characters", "[0, 1]")
    copied_words: int = setting(4, "drop copies of the other side of this many words on", _AMOUNT)
    repeated_words: int = setting(
        2, "drop sides that repeat this many words or more, where the other does not", _AMOUNT
    )
    markup: int = setting(1, "drop from this many unmatched tags or brackets on", _AMOUNT)
    urls: int = setting(1, "drop from this many addresses on one side only", _AMOUNT)
    language_words: int = setting(
        4, "drop sides in another language of this many words on", _AMOUNT
    )
    max_ratio: float = setting(
        1.65, "greatest ratio of characters in long lines; short lines may differ more", _AMOUNT
    )
    numbers: int = setting(
        1, "drop when each side has this many numbers that the other lacks", _AMOUNT
    )
    duplicates: str = setting(
        "near", "drop near duplicates, or only exact ones", ("near", "exact", "off")
    )
    alignment: float = setting(
        0.3, "nats by which each word, on average, must support a pair", _AMOUNT
    )
    contamination: bool = setting(True, "drop pairs that overlap with a validation or test split")
    overlap_ngram: int = setting(3, "n-grams of this many words count as overlap", _COUNT)
    overlap_share: float = setting(0.8, "drop when they cover this share of a held-out line")
    overlap_words: int = setting(8, "held-out lines shorter than this must be equal", _COUNT)
    overlap_equal_words: int = setting(3, "held-out lines shorter than this are ignored", _AMOUNT)

    def __post_init__(self) -> None:
        check("clean", self)
        if 0 < self.max_ratio <= 1:
            raise SettingError("clean", "max_ratio", f"must be above 1, not {self.max_ratio}")
        if not 0 < self.overlap_share <= 1:
            problem = f"must be above 0 and at most 1, not {self.overlap_share}; "
            raise SettingError(
                "clean", "overlap_share", problem + "clean.contamination=false turns it off"
            )
        if self.overlap_ngram > self.overlap_words:
            problem = f"({self.overlap_ngram}) must not exceed clean.overlap_words "
            raise SettingError("clean", "overlap_ngram", problem + f"({self.overlap_words})")

    def resolve(self) -> "CleanConfig":
        """The same rules; all of them off if they are not enabled."""
        if self.enabled:
            return self
        off = {name: type(value)() for name, value in vars(self).items()}
        overlap = {name: getattr(self, name) for name in vars(self) if name.startswith("overlap")}
        return CleanConfig(**{**off, **overlap, "duplicates": "off"})


@dataclass(frozen=True)
class TrainConfig:
    """How the weights are found. A step is one update of the weights."""

    steps: int = setting(12000, "updates in all", _COUNT)
    max_tokens: int = setting(
        2048, "padded tokens of the longer side in a micro-batch, over all processes", _COUNT
    )
    accum_steps: int = setting(1, "micro-batches in an update", "[1, 1e6]")
    precision: str = setting(
        "auto", "fp32, bf16 in matrix products, or auto: bf16 where fast", ("auto", "fp32", "bf16")
    )
    pack: bool = setting(False, "put several pairs into each row of a batch, as always on a GPU")
    compile: bool = setting(False, "torch.compile the model; batches are then packed too")
    workers: int = setting(
        -1, "processes that prepare batches; -1 = none on a CPU, 2 beside a GPU", "[-1, 1024]"
    )
    optimizer: str = setting(
        "adam", "muon is for the matrices of the layers, with adamw", ("adam", "adamw", "muon")
    )
    peak_lr: float = setting(2e-3, "highest learning rate", "(0, 100]")
    schedule: str = setting(
        "inverse-sqrt", "after the warm-up", ("inverse-sqrt", "cosine", "constant")
    )
    warmup_steps: int = setting(1000, "steps in which the learning rate rises", _AMOUNT)
    cooldown: float = setting(
        0.4, "share of the steps, at the end, in which the rate falls to zero", "[0, 1]"
    )
    cooldown_dropout: float = setting(
        0.1, "where dropout falls to meanwhile, if it is higher", "[0, 1]"
    )
    beta1: float = setting(0.9, "Adam's decay of the mean gradient", _SHARE)
    beta2: float = setting(0.98, "Adam's decay of the squared gradient", _SHARE)
    weight_decay: float = setting(0.0, "decoupled, for adamw and muon", "[0, 100]")
    muon_lr: float = setting(0.02, "Muon's highest learning rate", "(0, 100]")
    ema_decay: float = setting(0.0, "decay of an average of the weights; 0 = off", _SHARE)
    label_smoothing: float = setting(0.1, "probability spread over all pieces", _SHARE)
    word_dropout: float = setting(0.0, "share of the tokens that the model does not see", _SHARE)
    r_drop: float = setting(0.0, "weight of R-Drop; 0 = off, 5 in the paper", "[0, 1e6]")
    simcut: float = setting(0.0, "weight of SimCut; 0 = off, 3 in the paper", "[0, 1e6]")
    simcut_rate: float = setting(0.05, "share of the tokens that SimCut cuts", _SHARE)
    clip_norm: float = setting(1.0, "gradients are shortened to this length", "(0, 1e9]")
    skip_norm: float = setting(
        20.0,
        "skip an update whose gradient is this many times longer than usual; 0 = never",
        _AMOUNT,
    )
    seed: int = setting(1, "of all randomness in the run")
    init_from: str = setting("", "a MODEL to start from")
    log_every: int = setting(50, "steps between log lines", _COUNT)
    validate_every: int = setting(500, "steps between validations", _COUNT)
    checkpoint_every: int = setting(500, "steps between checkpoints", _COUNT)
    keep_checkpoints: int = setting(
        8, "how many of the last checkpoints are kept, and averaged at the end", "[1, 1e6]"
    )
    metrics: str = setting("bleu,chrf", "at the end: some of bleu, chrf, ter, multi30k_bleu")
    score_tests: bool = setting(True, "score the test splits at the end")
    patience: int = setting(12, "validations without a better BLEU before the run ends", _COUNT)
    tensorboard: bool = setting(False, "write TensorBoard event files too")

    def __post_init__(self) -> None:
        check("train", self)
        metrics = self.metrics.split(",")
        for metric in metrics:
            if metric not in METRICS:
                known = ", ".join(METRICS)
                raise SettingError("train", "metrics", f'must be some of {known}, not "{metric}"')
        if "bleu" not in metrics:
            raise TranslatorError("train.metrics needs bleu, by which the weights are chosen.")
        if self.weight_decay and self.optimizer == "adam":
            raise TranslatorError('train.weight_decay needs train.optimizer="adamw" or "muon".')
        if self.r_drop and self.simcut:
            raise TranslatorError("train.r_drop and train.simcut exclude each other: choose one.")


@dataclass(frozen=True)
class ConfidenceConfig:
    """On what a finished model learns how far its translations can be trusted.

    See translator/evaluation/calibration.py. None of it changes the weights.
    """

    enabled: bool = setting(True, "false: --confidence then needs `translator calibrate` first")
    corpora: str = setting("", "corpora besides the run's own, separated by commas")
    sentences: int = setting(1000, "at most, of each corpus, and as many corrupted ones", _COUNT)

    def __post_init__(self) -> None:
        check("confidence", self)

    @property
    def names(self) -> list[str]:
        """The corpora, one by one."""
        return [name.strip() for name in self.corpora.split(",") if name.strip()]


@dataclass(frozen=True)
class SearchConfig:
    """How translations are searched for; lengths count pieces. See translator/search/beam.py.

    Scores are (log-probability + length_reward * length) / length ** length_penalty, see
    hypothesis.py there. The coverage penalty is equation 14 of Wu et al. 2016, diversity is that of
    Li et al. 2016.
    """

    decode: str = setting(
        "beam", "mbr: the candidate most like the others", ("beam", "sample", "mbr")
    )
    beam_size: int = setting(5, "hypotheses per sentence; 1 = greedy", "[1, 100000]")
    n_best: int = setting(1, "translations per line, each on its own line", "[1, 100000]")
    length_penalty: float = setting(1.0, "divide a score by length ^ X", "[-10, 10]")
    length_rule: str = setting("plain", "gnmt: by ((5 + length) / 6) ^ X", ("plain", "gnmt"))
    length_reward: float = setting(0.0, "add this per piece before that", "[-10, 10]")
    coverage_penalty: float = setting(0.0, "penalise unattended source pieces", "[0, 10]")
    stopping: str = setting("fast", "exact: until no better one is possible", ("fast", "exact"))
    diversity: float = setting(0.0, "penalise similar hypotheses", "[0, 1e6]")
    no_repeat_ngram: int = setting(0, "forbid repeated sequences of N pieces", "[0, 100000]")
    min_length: int = setting(0, "fewest pieces of a translation", "[0, 100000]")
    max_ratio: float = setting(
        2.0, "a translation has at most max_ratio * source pieces + max_extra pieces", "[0, 1000]"
    )
    max_extra: int = setting(20, "see max_ratio", "[0, 100000]")
    temperature: float = setting(1.0, "sample: below 1 is more careful", "(0, 100]")
    top_k: int = setting(0, "sample: from the N likeliest; 0 = all", "[0, 1e9]")
    top_p: float = setting(1.0, "sample: from the likeliest with sum X", "(0, 1]")
    seed: int = setting(1, "sample: same seed, same result")
    candidates: int = setting(32, "mbr: number of candidates", "[1, 100000]")
    candidates_from: str = setting("beam", "mbr: how they are found", ("beam", "sample"))
    utility: str = setting("chrf", "mbr: how they are compared", ("chrf", "bleu"))
    batch_tokens: int = setting(2048, "padded source pieces in a batch", _COUNT)
    max_pieces: int = setting(64, "longer texts are translated in parts", "[1, 1e6]")

    def __post_init__(self) -> None:
        check("search", self)
        if self.decode == "beam" and self.n_best > self.beam_size:
            problem = f"({self.n_best}) must not exceed the beam size ({self.beam_size})"
            raise SettingError("search", "n_best", problem)

    def reported(self) -> dict[str, float]:
        """What is stated beside a score."""
        names = ("beam_size", "length_penalty", "length_reward", "no_repeat_ngram")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Config:
    """All settings of a run."""

    preset: str = "tiny"
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    clean: CleanConfig = field(default_factory=CleanConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    confidence: ConfidenceConfig = field(default_factory=ConfidenceConfig)
