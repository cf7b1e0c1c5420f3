"""Every setting of a run: frozen dataclasses, presets, files, overrides; and the error class.

A `Config` is plain data. What a run used is saved beside its weights as `config.json`, so a model
can always say how it was made.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from translator.config.errors import TranslatorError


def _one_of(name: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise TranslatorError(f'{name} must be one of {", ".join(known)}, not "{value}".')


@dataclass(frozen=True)
class ModelConfig:
    """The architecture (Vaswani et al. 2017, table 3). `dropout` is a probability."""

    d_model: int = 128
    d_ff: int = 256
    n_heads: int = 4
    n_encoder_layers: int = 4
    n_decoder_layers: int = 4
    dropout: float = 0.3
    norm: str = "post"  # "post" as in the paper, "pre" for deep stacks
    vocab_size: int = 0  # 0 until the tokenizer is known

    def __post_init__(self) -> None:
        if self.n_heads < 1 or self.d_model % self.n_heads or self.d_model % 2:
            raise TranslatorError(
                f"model.d_model ({self.d_model}) must be even and a multiple of "
                f"model.n_heads ({self.n_heads})."
            )
        if self.norm not in ("post", "pre"):
            raise TranslatorError(f'model.norm must be "post" or "pre", not "{self.norm}".')
        if not 0 <= self.dropout < 1:
            raise TranslatorError(f"model.dropout must be in [0, 1), not {self.dropout}.")


@dataclass(frozen=True)
class DataConfig:
    """What is read, and what is made of it. Lengths count pieces."""

    corpus: str = "multi30k"
    src: str = "en"
    tgt: str = "de"
    vocab_size: int = 0  # pieces; 0: by the size of the corpus, see data_prep/prepared/prepare.py
    vocab_from: str = ""  # a MODEL whose vocabulary is taken, so that both can be one ensemble
    max_length: int = 128  # longer pairs are dropped
    max_ratio: float = 4.0  # pairs whose lengths differ by more than this factor are dropped
    copy_rate: float = (
        0.1  # share of the pairs that get copy placeholders, see data_prep/augmentation/augment.py
    )
    bidirectional: bool = False  # learn both directions, each source led by a tag: <2de> or <2en>
    vocab_type: str = "unigram"  # or "bpe"
    unigram_alpha: float = 0.0  # of sampled segmentations; 0 = off, else 0.1-0.5
    bpe_dropout: float = 0.0  # the same for "bpe": the share of merges left out; 0 = off, else 0.1

    def __post_init__(self) -> None:
        _one_of("data.vocab_type", self.vocab_type, ("unigram", "bpe"))
        if self.unigram_alpha and self.vocab_type != "unigram":
            raise TranslatorError('data.unigram_alpha needs data.vocab_type="unigram".')
        if self.bpe_dropout and self.vocab_type != "bpe":
            raise TranslatorError('data.bpe_dropout needs data.vocab_type="bpe".')
        if not (self.unigram_alpha >= 0 and 0 <= self.bpe_dropout < 1):
            raise TranslatorError(
                "data.unigram_alpha must not be negative, data.bpe_dropout be in [0, 1)."
            )
        if self.vocab_size < 0:
            raise TranslatorError(f"data.vocab_size must not be negative, not {self.vocab_size}.")


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

    The kinds are in data_prep/augmentation/noise.py.

    A rate that is -1 is `scale` times the usual one: `noise.scale=1` turns all on, and single rates
    replace their own.
    """

    scale: float = 0.0
    capitals: float = -1.0  # both sides in capitals
    title_case: float = -1.0  # a capital at each word of both sides
    lower_case: float = -1.0  # no capitals in the source
    no_final_stop: float = -1.0  # both sides without the mark at their end
    final_stop: float = -1.0  # a full stop behind both sides, where there is no mark
    typos: float = -1.0  # in the source
    inline: float = -1.0  # an emoji, a number or an address, the same on both sides
    join: float = -1.0  # with one or two other pairs

    def __post_init__(self) -> None:
        if not 0 <= self.scale < float("inf"):
            raise TranslatorError(f"noise.scale must be at least 0, not {self.scale}.")
        for name in USUAL_NOISE:
            if not 0 <= self.rate(name) <= 1:
                rate = self.rate(name)
                raise TranslatorError(f"noise.{name} must be in [0, 1], or -1, not {rate:g}.")
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
    """Which training pairs are dropped (data_prep/cleaning/rules.py says what each rule looks at).

    A threshold of 0 (or false, or "off") turns its rule off; `contamination` does it for what
    begins with overlap.
    """

    enabled: bool = True  # false turns all of it off
    repair: bool = True  # mend what is certain: entities, invisible characters, encodings
    empty: bool = True
    max_words: int = 200  # of a side
    max_characters: int = 2000
    control: int = 1  # from so many control characters on
    garbled: bool = True  # text in a broken encoding
    min_letters: float = 0.4  # share of what is printed on a side
    copied_words: int = 4  # copies of the other side, of so many words or more
    repeated_words: int = 2  # the same twice on one side only, so many words or more each time
    markup: int = 1  # from so many tags or brackets on that stand alone
    urls: int = 1  # from so many web or mail addresses on that stand on one side only
    language_words: int = 4  # sides of another language, of so many words or more
    max_ratio: float = 1.65  # of the characters of long lines; short lines may differ more
    numbers: int = 1  # from so many numbers on, on each side, that the other side lacks
    duplicates: str = "near"  # "exact": only those that are equal
    alignment: float = 0.3  # nats that each word (but five) must say for a pair; pair_score.py
    contamination: bool = True  # pairs that are, or nearly are, in a validation or test split:
    overlap_ngram: int = 3  # n-grams of so many words ...
    overlap_share: float = 0.8  # ... cover such a share of a line there ...
    overlap_words: int = 8  # ... that has so many words or more; shorter ones must be equal, and
    overlap_equal_words: int = 3  # have so many; what is shorter still is everybody's

    def __post_init__(self) -> None:
        _one_of("clean.duplicates", self.duplicates, ("near", "exact", "off"))
        for name, value in vars(self).items():
            if not isinstance(value, str) and not value >= 0:
                raise TranslatorError(f"clean.{name} must not be negative, not {value}.")
        if 0 < self.max_ratio <= 1:
            raise TranslatorError(f"clean.max_ratio must be above 1, not {self.max_ratio}.")
        if not 0 < self.overlap_share <= 1:
            raise TranslatorError(
                f"clean.overlap_share must be in (0, 1], not {self.overlap_share}; "
                "clean.contamination=false turns it off."
            )
        if not 1 <= self.overlap_ngram <= self.overlap_words:
            raise TranslatorError(
                "clean.overlap_ngram must lie between 1 and clean.overlap_words "
                f"({self.overlap_words}), not be {self.overlap_ngram}."
            )

    def resolve(self) -> "CleanConfig":
        """The same rules; all of them off if they are not enabled."""
        if self.enabled:
            return self
        off = {name: type(value)() for name, value in vars(self).items()}
        overlap = {name: getattr(self, name) for name in vars(self) if name.startswith("overlap")}
        return CleanConfig(**{**off, **overlap, "duplicates": "off"})


METRICS = ("bleu", "chrf", "ter", "multi30k_bleu")


@dataclass(frozen=True)
class TrainConfig:
    """How the weights are found. A step is one update of the weights."""

    steps: int = 12000
    max_tokens: int = 2048  # padded tokens of the longer side in a micro-batch, all ranks together
    accum_steps: int = 1  # micro-batches in an update
    precision: str = "auto"  # "fp32", "bf16" in products, or "auto": bf16 where it is fast
    compile: bool = False  # compile the model (torch.compile); batches then have few fixed shapes
    workers: int = -1  # processes that make batches ahead; -1 is 0 on a CPU and 2 beside a GPU
    optimizer: str = "adam"  # "adamw", or "muon" for the matrices of the layers beside it
    peak_lr: float = 2e-3
    schedule: str = "inverse-sqrt"  # after the warm-up; or "cosine", "constant"
    warmup_steps: int = 1000
    cooldown: float = 0.4  # share of the steps, at the end, in which the rate falls to zero
    cooldown_dropout: float = 0.1  # where dropout falls to meanwhile, if it is higher
    beta1: float = 0.9
    beta2: float = 0.98
    weight_decay: float = 0.0  # decoupled, for "adamw" and "muon"
    muon_lr: float = 0.02  # its own peak rate
    ema_decay: float = 0.0  # of a moving average of the weights, which is what is kept; 0 = off
    label_smoothing: float = 0.1
    word_dropout: float = 0.0  # share of the tokens that the model does not see
    r_drop: float = 0.0  # weight of the divergence between two passes; 0 = off, the paper has 5
    simcut: float = 0.0  # weight of the divergence from a cut input; 0 = off, the paper has 3
    simcut_rate: float = 0.05  # share of the tokens that are cut there
    clip_norm: float = 1.0
    skip_norm: float = 20.0  # an update with a gradient so many times as long as usual is left out
    seed: int = 1
    init_from: str = ""  # a MODEL to start from
    log_every: int = 50
    validate_every: int = 500
    checkpoint_every: int = 500
    keep_checkpoints: int = 8  # the last ones, which are averaged at the end
    metrics: str = "bleu,chrf"  # at the end; also ter, and multi30k_bleu as papers score it
    score_tests: bool = True  # at the end; false while recipes are compared, so that valid decides
    patience: int = 12  # validations without a better BLEU before the run ends
    tensorboard: bool = False  # write event files too

    def __post_init__(self) -> None:
        _one_of("train.precision", self.precision, ("auto", "fp32", "bf16"))
        _one_of("train.optimizer", self.optimizer, ("adam", "adamw", "muon"))
        for metric in self.metrics.split(","):
            _one_of("train.metrics", metric, METRICS)
        if "bleu" not in self.metrics.split(","):
            raise TranslatorError("train.metrics needs bleu, by which the weights are chosen.")
        _one_of("train.schedule", self.schedule, ("inverse-sqrt", "cosine", "constant"))
        if self.weight_decay and self.optimizer == "adam":
            raise TranslatorError('train.weight_decay needs train.optimizer="adamw" or "muon".')
        if self.r_drop and self.simcut:
            raise TranslatorError("train.r_drop and train.simcut exclude each other: choose one.")
        for name in ("max_tokens", "accum_steps", "log_every", "validate_every", "patience"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("steps", "checkpoint_every", "keep_checkpoints"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("peak_lr", "muon_lr", "clip_norm"):
            self._require(name, getattr(self, name) > 0, "above 0")
        for name in ("warmup_steps", "weight_decay", "r_drop", "simcut", "skip_norm"):
            self._require(name, getattr(self, name) >= 0, "at least 0")
        for name in ("ema_decay", "word_dropout", "simcut_rate", "label_smoothing"):
            self._require(name, 0 <= getattr(self, name) < 1, "in [0, 1)")

    def _require(self, name: str, right: bool, what: str) -> None:
        if not right:
            raise TranslatorError(f"train.{name} must be {what}, not {getattr(self, name)}.")


@dataclass(frozen=True)
class ConfidenceConfig:
    """On what a finished model learns how far its translations can be trusted.

    See translator/evaluation/calibration.py. None of it changes the weights.
    """

    enabled: bool = True  # false: `translate --confidence` then wants `translator calibrate` first
    corpora: str = ""  # besides the run's own: names as for data.corpus, with commas between them
    sentences: int = 1000  # of each corpus at most, and as many spoilt ones

    def __post_init__(self) -> None:
        if self.sentences < 1:
            raise TranslatorError(
                f"confidence.sentences must be at least 1, not {self.sentences}; "
                "confidence.enabled=false turns it off."
            )

    @property
    def names(self) -> list[str]:
        """The corpora, one by one."""
        return [name.strip() for name in self.corpora.split(",") if name.strip()]


@dataclass(frozen=True)
class SearchConfig:
    """How translations are searched for; lengths count pieces. See translator/search/beam.py."""

    decode: str = "beam"  # "beam", "sample", or "mbr": the one that is most like the others
    beam_size: int = 5
    n_best: int = 1
    length_penalty: float = 1.0  # alpha: a log-probability is divided by ...
    length_rule: str = "plain"  # ... length ** alpha; "gnmt": ((5 + length) / 6) ** alpha
    length_reward: float = 0.0  # what each piece adds to a log-probability before that
    coverage_penalty: float = 0.0  # beta of Wu et al. 2016, equation 14
    stopping: str = "fast"  # "exact": only when no live hypothesis can still win
    diversity: float = 0.0  # what each further child of a hypothesis pays in rank (Li et al. 2016)
    no_repeat_ngram: int = 0  # no n-gram of so many pieces stands twice in a translation; 0 = off
    min_length: int = 0
    max_ratio: float = 2.0  # an output has at most max_ratio * source pieces + max_extra pieces
    max_extra: int = 20
    temperature: float = 1.0  # of sampling; below 1 is more careful
    top_k: int = 0  # samples are drawn from the likeliest k pieces; 0 = all
    top_p: float = 1.0  # ... and from the likeliest that reach this probability together
    candidates: int = 32  # among which "mbr" chooses
    candidates_from: str = "beam"  # or "sample"
    utility: str = "chrf"  # by which "mbr" compares them; or "bleu"
    seed: int = 1
    batch_tokens: int = 2048  # padded source pieces in a batch
    max_pieces: int = 64  # longer texts are translated in parts

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            _one_of(name, getattr(self, name), known)
        if self.n_best < 1 or (self.decode == "beam" and self.n_best > self.beam_size):
            raise TranslatorError(
                f"n-best ({self.n_best}) must lie between 1 and the beam size ({self.beam_size})."
            )
        if not (0 < self.temperature <= 100 and 0 < self.top_p <= 1):
            raise TranslatorError("temperature must be in (0, 100], and top-p in (0, 1].")
        if not (abs(self.length_penalty) <= 10 and abs(self.length_reward) <= 10):
            raise TranslatorError("length_penalty and length_reward must be in [-10, 10].")
        if not self.coverage_penalty <= 10:
            raise TranslatorError("coverage_penalty must be in [0, 10].")
        for name in ("beam_size", "batch_tokens", "max_pieces", "candidates"):
            if getattr(self, name) < 1:
                raise TranslatorError(f"{name} must be at least 1.")
        for name in ("no_repeat_ngram", "top_k", "min_length", "diversity", "coverage_penalty"):
            if not getattr(self, name) >= 0:
                raise TranslatorError(f"{name} must not be negative.")

    def reported(self) -> dict[str, float]:
        """What is stated beside a score."""
        names = ("beam_size", "length_penalty", "length_reward", "no_repeat_ngram")
        return {name: getattr(self, name) for name in names}


_CHOICES = {
    "decode": ("beam", "sample", "mbr"),
    "length_rule": ("plain", "gnmt"),
    "stopping": ("fast", "exact"),
    "candidates_from": ("beam", "sample"),
    "utility": ("chrf", "bleu"),
}


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
