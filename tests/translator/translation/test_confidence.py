"""Features that do not depend on neighbours, a fit that finds what is there, and who gets what."""

import copy
import dataclasses
import json
import math
import random
from dataclasses import replace

import pytest
import torch

from translator.config.errors import TranslatorError
from translator.evaluation.calibration import fit
from translator.evaluation.reliability import (
    bin_confidences,
    compute_auc,
    compute_calibration_error,
)
from translator.search.forced import force, pair_batches, score_pairs
from translator.storage.model_folder import Model
from translator.text.codec import TextCodec
from translator.translation.confidence import (
    FEATURES,
    GOOD_CHRF,
    Calibration,
    are_good,
    combine_confidences,
    find_calibration,
    judge,
)
from translator.translation.evidence import Evidence, gather
from translator.translation.result import Translation
from translator.translation.translator import Translator

PAIRS = [
    ("The dog runs here.", "Der Hund läuft hier."),
    ("The dog runs here.", "Der Vogel singt oft."),
    ("", ""),
    ("The man sleeps", ""),
    ("The teacher waits slowly and the doctor laughs today.", "Der Lehrer wartet."),
    ("The 👍🏽 dog runs to λόγος.", "Der λόγος läuft zum 👍🏽."),
    ("dog", "Der Hund, 漢字 und der Junge isst hier."),
    ("WHY?", "WHY?"),
]


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    """One that looks at everything a little."""
    rng = random.Random(2)
    n = len(FEATURES)
    sizes = (n, n, n * (n + 1) // 2)
    mean, weight, product = (tuple(rng.uniform(-0.3, 0.3) for _ in range(k)) for k in sizes)
    readout = tuple(rng.randrange(-8, 8) / 16 for _ in range(16))  # of the random model's states
    return Calibration(mean, (1.0,) * n, weight, product, bias=0.1, readout=readout)


@pytest.fixture
def trusted(random_model: Model, calibration: Calibration) -> Translator:
    """A translator whose model has a calibration."""
    info = {"confidence": {"en-de": calibration.to_dict()}}
    return Translator(replace(random_model, info=info))


def column(evidence: Evidence, name: str) -> list[float]:
    found: list[float] = evidence.table[:, FEATURES.index(name)].tolist()
    return found


# --- features -----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_tokens", [1, 60, 10_000])
def test_a_sentence_does_not_depend_on_its_neighbours(
    random_model: Model, batch_tokens: int
) -> None:
    together = gather(random_model, PAIRS, batch_tokens=batch_tokens)
    alone = [gather(random_model, [pair]) for pair in PAIRS]
    assert torch.allclose(together.table, torch.cat([e.table for e in alone]), atol=1e-4)
    assert torch.allclose(together.memory, torch.cat([e.memory for e in alone]), atol=1e-4)
    assert together.n_pieces == [n for evidence in alone for n in evidence.n_pieces]
    assert together.table.isfinite().all()


def test_the_log_probability_is_that_of_the_score(random_model: Model) -> None:
    evidence = gather(random_model, PAIRS)
    scored = score_pairs(random_model, PAIRS)
    assert evidence.log_probs == pytest.approx([pair.log_prob for pair in scored], abs=1e-4)
    assert evidence.n_pieces == [len(pair.pieces) for pair in scored]
    means = [pair.log_prob / len(pair.pieces) for pair in scored]
    assert column(evidence, "log_prob") == pytest.approx(means, abs=1e-5)
    lowest = [min(pair.log_probs) for pair in scored]
    assert column(evidence, "lowest") == pytest.approx(lowest, abs=1e-5)
    shares = [sum(p < math.log(0.3) for p in s.log_probs) / len(s.log_probs) for s in scored]
    assert column(evidence, "improbable") == pytest.approx(shares)


@torch.inference_mode()
def test_entropy_and_the_likeliest_pieces_are_those_of_the_distribution(
    random_model: Model,
) -> None:
    transformer = random_model.transformer
    for batch in pair_batches(TextCodec(random_model.tokenizer), PAIRS, 50):
        forced = force(transformer, batch.src, batch.tgt, details=True)
        tgt_in = torch.cat([torch.full_like(batch.tgt[:, :1], 2), batch.tgt[:, :-1]], dim=1)
        logits = transformer(batch.src, tgt_in)[..., 3:]  # without PAD, UNK and BOS
        wanted = torch.distributions.Categorical(logits=logits)
        real = batch.tgt != 0
        assert torch.allclose(forced.entropies[real], wanted.entropy()[real], atol=1e-4)
        best = logits.log_softmax(dim=-1).amax(dim=-1)
        assert torch.allclose(forced.best[real], best[real], atol=1e-5)
        assert (forced.entropies[~real] == 0).all() and (forced.best[~real] == 0).all()


def test_what_the_text_says(random_model: Model) -> None:
    evidence = gather(random_model, PAIRS)
    assert column(evidence, "stop") == [1, 1, 0, 0, 1, 1, 0, 1]
    assert column(evidence, "copied") == pytest.approx([0, 0, 0, 0, 0, 2 / 5, 0, 1])


def test_attention_to_the_tag_of_a_direction_does_not_count(random_model: Model) -> None:
    transformer = copy.deepcopy(random_model.transformer)
    with torch.no_grad():  # all attention is even
        for layer in transformer.decoder:
            layer.cross_attention.query.weight.zero_()
            layer.cross_attention.query.bias.zero_()
    even = replace(random_model, transformer=transformer)
    plain = gather(even, PAIRS)
    tagged = gather(even, PAIRS, [even.tokenizer.tag("de")])
    own = ("length", "ratio", "pieces_per_word", "src_rarity", "coverage", "attention_entropy")
    for name in (*own, "attention_end"):
        assert column(tagged, name) == pytest.approx(column(plain, name), abs=1e-5)
    assert column(plain, "attention_entropy") == pytest.approx(column(plain, "length"), abs=1e-5)
    assert tagged.log_probs != plain.log_probs  # the model read it


# --- the fit ------------------------------------------------------------------------------------


def examples(n: int, seed: int = 1) -> tuple[torch.Tensor, list[float]]:
    """Features, and chrF; two of them say something: by its value, by its distance from 5."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(n, len(FEATURES), dtype=torch.float64, generator=generator) * 3 + 5
    logits = 0.8 * (table[:, 0] - 5) + 1 - 0.3 * (table[:, 1] - 5) ** 2
    luck = torch.rand(n, dtype=torch.float64, generator=generator).logit()
    return table, (GOOD_CHRF + 5 * (logits + luck)).tolist()


def shown(table: torch.Tensor) -> Evidence:
    """Features alone, as evidence."""
    n = len(table)
    return Evidence(table, torch.zeros(n, 1, dtype=torch.float64), [0.0] * n, [1] * n)


def test_it_finds_values_and_distances() -> None:
    table, chrf = examples(4000)
    found = fit(table, chrf, [1.0] * len(chrf))
    new, later_chrf = examples(4000, seed=2)
    confidences, later = found.probabilities(shown(new)), are_good(later_chrf)
    auc = compute_auc(confidences, later)
    alone = compute_auc(new[:, 0].tolist(), later)
    assert auc is not None and alone is not None and auc > alone + 0.05
    assert compute_calibration_error(bin_confidences(confidences, later)) < 0.04
    assert abs(found.weight[2]) < 0.2 < found.weight[0] and found.product[len(FEATURES)] < -0.2


def test_one_of_an_earlier_version_judges_as_it_did() -> None:
    """It had squares, and no other products."""
    table, chrf = examples(60)
    values = fit(table, chrf, [1.0] * 60).to_dict()
    del values["product"]
    square = [0.1 * i - 0.5 for i in range(len(FEATURES))]
    found = Calibration.from_dict({**values, "square": square}).probabilities(shown(table))
    mean, scale, weight = (table.new_tensor(values[name]) for name in ("mean", "scale", "weight"))
    near = ((table - mean) / scale).clamp(-4, 4)
    logits = near @ weight + near**2 @ table.new_tensor(square) + values["bias"]
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), logits.sigmoid())


def test_its_gradient_is_zero_and_repeats_count_like_weights() -> None:
    table, chrf = examples(60)
    twice = fit(torch.cat([table, table]), chrf * 2, [1.0] * 120)
    heavy = fit(torch.cat([table, table]), chrf * 2, [2.0] * 120)
    assert heavy == twice  # only ratios matter
    split = fit(torch.cat([table, table]), chrf * 2, [1.5] * 60 + [0.5] * 60)
    assert split.probabilities(shown(table)) == pytest.approx(
        twice.probabilities(shown(table)), abs=1e-6
    )
    # Where the bias is free, the mean confidence is that of the (nearly certain) targets.
    mean = sum(twice.probabilities(shown(table))) / 60
    assert mean == pytest.approx(sum(are_good(chrf)) / 60, abs=0.01)


def test_graded_outcomes_fit_better_than_binary_ones() -> None:
    table, chrf = examples(300)
    steps = [GOOD_CHRF + 30.0 * (1 if event else -1) for event in are_good(chrf)]
    new, later = examples(4000, seed=2)
    areas = [
        compute_auc(fit(table, scores, [1.0] * 300).probabilities(shown(new)), are_good(later))
        for scores in (chrf, steps)
    ]
    assert areas[0] is not None and areas[1] is not None and areas[0] > areas[1]


@pytest.mark.parametrize("event", [False, True])
@pytest.mark.parametrize("n", [1, 20])
def test_a_single_outcome_does_not_fail(event: bool, n: int) -> None:
    table, _ = examples(n)
    for row in (table, torch.zeros_like(table)):  # features that are all the same, too
        confidences = fit(row, [100.0 * event] * n, [1.0] * n).probabilities(shown(row))
        assert all(0 < p < 1 and (p > 0.5) == event for p in confidences)


def test_outliers_are_clipped(calibration: Calibration) -> None:
    calibration = dataclasses.replace(calibration, readout=())
    far, further = (torch.full((1, len(FEATURES)), x) for x in (1e3, 1e9))
    assert calibration.probabilities(shown(far)) == calibration.probabilities(shown(further))


# --- storage ------------------------------------------------------------------------------------


def test_it_survives_json(calibration: Calibration) -> None:
    stored = json.loads(json.dumps(calibration.to_dict()))
    assert Calibration.from_dict(stored) == calibration
    info = {"confidence": {"en-de": stored}}
    assert find_calibration(info, "en", "de") == calibration
    assert find_calibration(info, "de", "en") is None
    assert find_calibration({}, "en", "de") is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        calibration.bias = 0.0  # type: ignore[misc]


@pytest.mark.parametrize(
    "change",
    [
        {"features": [*FEATURES[1:], "shoe_size"]},
        {"event": "chrF of at least 10"},
        {"mean": [1.0]},
        {"scale": [0.0] * len(FEATURES)},
        {"bias": None},
        {"bias": math.nan},
        {"weight": ["x"] * len(FEATURES)},
        {"unknown": 1},
        {"readout": "AAAA"},
        {"mean": [0.0] * (len(FEATURES) + 1)},
        {"readout": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_one_that_does_not_fit_says_so(calibration: Calibration, change: dict) -> None:
    with pytest.raises(TranslatorError, match="translator calibrate"):
        Calibration.from_dict({**calibration.to_dict(), **change})


# --- translations -------------------------------------------------------------------------------


def test_certain_cases_need_no_model(calibration: Calibration, random_model: Model) -> None:
    pairs = [("", ""), (" ", "\t"), ("The dog.", ""), ("The dog.", "..."), ("?", "?")]
    found = judge(calibration, gather(random_model, pairs), pairs)
    assert found[:4] == [1, 1, 0, 0] and 0 < found[4] < 1


def test_a_line_has_the_confidence_of_its_weakest_sentence(trusted: Translator) -> None:
    lines = ["The dog runs here. The man sleeps. Why?", "The bird sings.", "", "  "]
    found = trusted.translate_lines(lines, confidence=True)
    for translation in found:
        parts = [segment.confidence for segment in translation.segments]
        assert translation.confidence == combine_confidences([p for p in parts if p is not None])
        pairs = [(segment.source, segment.text) for segment in translation.segments]
        assert parts == pytest.approx(trusted.confidences(pairs), abs=1e-5)
    assert len(found[0].segments) == 3
    assert found[0].confidence == min(s.confidences[0] for s in found[0].segments)
    assert [t.confidence for t in found[2:]] == [1, 1]


def test_it_is_there_only_if_asked_for(trusted: Translator) -> None:
    lines = ["The dog runs. The man sleeps.", ""]
    plain = trusted.translate_lines(lines)
    assert all(t.confidence is None and not t.withheld for t in plain)
    assert all(s.confidence is None for t in plain for s in t.segments)
    asked = trusted.translate_lines(lines, confidence=True)
    assert [t.text for t in asked] == [t.text for t in plain]


@pytest.mark.parametrize(
    "search",
    [
        {"n_best": 2},
        {"decode": "sample", "n_best": 2},
        {"decode": "mbr", "candidates": 4, "n_best": 2},
    ],
    ids=["beam", "sample", "mbr"],
)
def test_each_of_the_n_best_has_its_own(trusted: Translator, search: dict) -> None:
    config = trusted.search_config(**search)
    (found,) = trusted.translate_lines(["The dog runs. A man."], config, confidence=True)
    assert len(found.confidences) == len(found.n_best)
    for rank, confidence in enumerate(found.confidences):
        pairs = [(segment.source, segment.n_best[rank][0]) for segment in found.segments]
        assert confidence == pytest.approx(min(trusted.confidences(pairs)), abs=1e-5)


def test_an_ensemble_and_a_prefix_are_judged_by_the_first_model(
    trusted: Translator, random_model: Model
) -> None:
    ensemble = Translator([trusted.model, random_model])
    (found,) = ensemble.translate_lines(["The dog runs."], prefix="Der", confidence=True)
    judged = trusted.confidences([("The dog runs.", found.text)])
    assert found.confidences == pytest.approx(judged, abs=1e-5)
    with pytest.raises(TranslatorError, match="translator calibrate"):
        Translator([random_model, trusted.model]).translate_lines(["a"], confidence=True)


def test_directions_have_their_own(random_model: Model, calibration: Calibration) -> None:
    data = replace(random_model.config.data, bidirectional=True)
    other = replace(calibration, bias=-3.0)
    info = {"confidence": {"en-de": calibration.to_dict(), "de-en": other.to_dict()}}
    model = replace(random_model, config=replace(random_model.config, data=data), info=info)
    there, back = (Translator(model, direction=d) for d in (("en", "de"), ("de", "en")))
    assert (there.calibration, back.calibration) == (calibration, other)
    pairs = [("Der Hund.", "The dog.")]
    assert there.confidences(pairs) != back.confidences(pairs)


@pytest.mark.parametrize("options", [{"confidence": True}, {"min_confidence": 0.1}], ids=str)
def test_a_model_without_calibration_says_so_before_it_works(
    random_model: Model, monkeypatch: pytest.MonkeyPatch, options: dict
) -> None:
    translator = Translator(random_model)
    monkeypatch.setattr(translator.decoder, "search", lambda *_: pytest.fail("it works"))
    with pytest.raises(TranslatorError, match="translator calibrate MODEL --data"):
        translator.translate_lines(["The dog."], **options)


# --- withholding --------------------------------------------------------------------------------


def test_translations_below_the_threshold_are_withheld(trusted: Translator) -> None:
    lines = [f"The {noun} runs here." for noun in ("dog", "man", "boy", "bird")] + ["", " "]
    plain = trusted.translate_lines(lines, confidence=True)
    threshold = sorted(t.confidences[0] for t in plain[:4])[2]
    found = trusted.translate_lines(lines, min_confidence=threshold)
    gone = [t.confidences[0] < threshold for t in plain]
    assert sum(gone) == 2
    for before, after, away in zip(plain, found, gone, strict=True):
        assert after.text == ("" if away else before.text)
        assert (after.withheld[:1] or [None]) == [before.text if away else None]
        assert after.confidences == before.confidences
    assert [t.text for t in found[4:]] == ["", " "]


def test_a_certain_translation_is_never_withheld() -> None:
    whole = Translation("a", "b", -1.0, [("b", -1.0), ("c", -2.0)], confidences=[0.5, 0.2])
    assert whole.withhold(1.0) == whole  # a line without segments is blank: nothing was translated
