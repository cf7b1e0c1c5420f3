"""Forced scores against the search, and translations turned back into what the model wrote."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from translator.config.errors import TranslatorError
from translator.config.schema import SearchConfig
from translator.model.batch import pad_right
from translator.model.transformer import Transformer
from translator.search import forced
from translator.search.beam import beam_search
from translator.search.forced import ScoredPair, Total, score_pairs, token_log_probs, total
from translator.storage.model_folder import Model, load_model
from translator.text.codec import STAND_IN, TextCodec, normalise, target_ids
from translator.text.tokenizer import BOS, EOS, N_COPY, PAD, UNK, Tokenizer

REPOSITORY = Path(__file__).parents[3]
SOURCES = [[5, 4, 6, 5, 4], [6], [4, 4, 5], [5, 6], [6, 5, 5, 4], []]
TARGETS = [[4, 5], [6, 6, 6, 4, 5, 4, 4], [], [5], [4, 6, 6], [6]]
PAIRS = [
    ("The dog runs here.", "Der Hund läuft hier."),
    ("The dog runs here.", "Der Vogel singt oft."),
    ("", ""),
    ("The man sleeps.", ""),
    (" ", "Der Mann schläft heute."),
    ("The teacher waits slowly and the doctor laughs today.", "Der Lehrer wartet."),
    ("The 👍🏽 dog runs to λόγος.", "Der λόγος läuft zum 👍🏽."),
    ("dog", "Der Hund, 漢字 und der Junge isst hier."),
]


@pytest.fixture(scope="module", params=["post", "pre"])
def model(request, make_model) -> Transformer:
    """Vocabulary: the four special pieces and 4, 5, 6. Larger weights make it less undecided."""
    model = make_model(seed=5, vocab_size=7, norm=request.param)
    with torch.no_grad():
        model.embedding.weight *= 1.5
    return model


def closed(rows: list[list[int]]) -> Tensor:
    return pad_right([[*ids, EOS] for ids in rows])


# --- tokens -------------------------------------------------------------------------------------


def test_what_the_search_says_of_its_hypotheses(model: Transformer) -> None:
    config = SearchConfig(beam_size=4, n_best=4, max_extra=3)
    for source, found in zip(SOURCES, beam_search(model, closed(SOURCES), config), strict=True):
        tgt = closed([hypothesis.ids for hypothesis in found])
        log_probs = token_log_probs(model, closed([source] * len(found)), tgt)
        expected = [hypothesis.log_prob for hypothesis in found]
        assert log_probs.sum(dim=1).tolist() == pytest.approx(expected, abs=1e-4)


@torch.inference_mode()
def test_what_plain_decoding_gives(model: Transformer) -> None:
    found = token_log_probs(model, closed(SOURCES), closed(TARGETS))
    for source, target, log_probs in zip(SOURCES, TARGETS, found, strict=True):
        logits = model(closed([source]), torch.tensor([[BOS, *target]]))[0]  # (T, V)
        logits[:, [PAD, UNK, BOS]] = float("-inf")
        expected = logits.log_softmax(dim=-1)[range(len(target) + 1), [*target, EOS]]
        assert torch.allclose(log_probs[: len(target) + 1], expected, atol=1e-5)
        assert (log_probs[len(target) + 1 :] == 0).all()


@torch.inference_mode()
def test_probabilities_of_all_continuations_sum_to_one(model: Transformer) -> None:
    src = closed([SOURCES[0]] * 4)
    tgt = closed([[4, 6, 4], [4, 6, 5], [4, 6, 6], [4, 6]])
    assert float(token_log_probs(model, src, tgt)[:, 2].exp().sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("chunk", [1, 3, 7, 10_000])
def test_chunks_change_nothing(
    model: Transformer, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    expected = token_log_probs(model, closed(SOURCES), closed(TARGETS))
    monkeypatch.setattr(forced, "CHUNK", chunk)
    found = token_log_probs(model, closed(SOURCES), closed(TARGETS))
    assert torch.allclose(found, expected, atol=1e-5)


def test_logits_exist_for_a_chunk_at_a_time(
    model: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    project = model.project

    def note(states: Tensor) -> Tensor:
        sizes.append(len(states))
        return project(states)

    monkeypatch.setattr(forced, "CHUNK", 4)
    monkeypatch.setattr(model, "project", note)
    token_log_probs(model, closed(SOURCES), closed(TARGETS))
    assert max(sizes) <= 4
    assert sum(sizes) == sum(len(target) + 1 for target in TARGETS)  # none for padding


def test_padding_changes_nothing(model: Transformer) -> None:
    expected = token_log_probs(model, closed(SOURCES), closed(TARGETS))
    padding = torch.full((len(SOURCES), 3), PAD)
    src, tgt = (torch.cat([closed(rows), padding], dim=1) for rows in (SOURCES, TARGETS))
    found = token_log_probs(model, src, tgt)
    assert torch.allclose(found[:, :-3], expected, atol=1e-5)
    assert (found[:, -3:] == 0).all()


def test_a_forbidden_piece_is_impossible(model: Transformer) -> None:
    found = token_log_probs(model, closed([[5]] * 2), closed([[4, UNK, 5], [4, 5, 5]]))
    assert found[0, 1] == float("-inf") and found[0].sum() == float("-inf")
    assert found[1].isfinite().all()


# --- pairs --------------------------------------------------------------------------------------


def close(one: ScoredPair, other: ScoredPair) -> bool:
    return (
        one.pieces == other.pieces
        and one.log_probs == pytest.approx(other.log_probs, abs=1e-5)
        and one.score == pytest.approx(other.score, abs=1e-5)
    )


@pytest.mark.parametrize("batch_tokens", [1, 30, 100_000])
def test_a_pair_does_not_depend_on_its_neighbours(random_model: Model, batch_tokens: int) -> None:
    search = replace(random_model.config.search, batch_tokens=batch_tokens)
    together = score_pairs(random_model, PAIRS, search)
    singles = [score_pairs(random_model, [pair], search)[0] for pair in PAIRS]
    backward = score_pairs(random_model, PAIRS[::-1], search)[::-1]
    for found, single, other in zip(together, singles, backward, strict=True):
        assert close(found, single) and close(found, other)
    assert len({found.score for found in together}) == len(PAIRS)


def test_the_numbers_of_a_pair_fit_together(random_model: Model) -> None:
    for rule, alpha in (("plain", 1.0), ("plain", 0.6), ("plain", 0.0), ("gnmt", 0.6)):
        search = SearchConfig(length_penalty=alpha, length_rule=rule)
        for found in score_pairs(random_model, PAIRS, search):
            length = len(found.log_probs)
            assert len(found.pieces) == length and found.pieces[-1] == "</s>"
            assert all(log_prob < 0 for log_prob in found.log_probs)
            assert found.log_prob == pytest.approx(sum(found.log_probs))
            divisor = length if rule == "plain" else (5 + length) / 6
            assert found.score == pytest.approx(found.log_prob / divisor**alpha)
            assert found.perplexity == pytest.approx(math.exp(-found.log_prob / length))


def test_blank_texts(random_model: Model) -> None:
    for blank in ("", " ", "\t\u2028"):
        for source in ("The dog runs.", blank):
            (found,) = score_pairs(random_model, [(source, blank)])
            assert found.pieces == ["</s>"] and math.isfinite(found.log_prob)
    assert score_pairs(random_model, []) == []


def test_white_space_and_composition_are_normalised(random_model: Model) -> None:
    plain, odd = score_pairs(
        random_model,
        [("The dog runs.", "Der Hund läuft."), (" The\u00a0dog  runs.", "Der Hund la\u0308uft.\r")],
    )
    assert close(plain, odd)


def test_the_total_is_over_tokens(random_model: Model) -> None:
    scored = score_pairs(random_model, PAIRS)
    found = total(scored)
    assert found.n_tokens == sum(len(pair.pieces) for pair in scored)
    assert found.log_prob == pytest.approx(sum(pair.log_prob for pair in scored))
    assert found.perplexity == pytest.approx(math.exp(-found.log_prob / found.n_tokens))
    assert total(iter(scored)) == found
    with pytest.raises(TranslatorError):
        total([])


def test_the_impossible_has_infinite_perplexity() -> None:
    for log_prob in (-1e6, -math.inf):
        pair = ScoredPair(["</s>"], [log_prob], log_prob, log_prob, math.inf)
        assert total([pair]) == Total(log_prob, 1, math.inf)


# --- placeholders -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def codec(tokenizer: Tokenizer) -> TextCodec:
    return TextCodec(tokenizer)


def written(codec: TextCodec, src: str, tgt: str) -> list[str]:
    """The pieces of a translation."""
    source = codec.encode(normalise(src))
    return codec.tokenizer.pieces(target_ids(codec, normalise(tgt), source))


def placeholders(codec: TextCodec, src: str, tgt: str) -> list[str]:
    return [piece for piece in written(codec, src, tgt) if piece.startswith("<copy_")]


ANY_TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="’‘“”„–—…")),
    st.lists(
        st.sampled_from(
            [
                *["the", "Hund", "teacher", ".", ",", "(", " ", " ", " "],
                *["👍", "👍🏽", "👍 👎", "λόγος", "漢字", "Łódź", "é", "café", "1️⃣", "2"],
                *["a@b.org", "www.x.de", "www.x.de/a", "\x07", STAND_IN, "\u2581"],
            ]
        ),
        max_size=20,
    ).map("".join),
)


@given(text=ANY_TEXT.map(normalise))
@example(text=f"a {STAND_IN} b {STAND_IN}")
@example(text="👍 x 👍 👎")
@example(text="d1️⃣ the 1️⃣")
def test_a_text_translated_by_itself_is_its_source(codec: TextCodec, text: str) -> None:
    source = codec.encode(text)
    if len(source.copies) <= N_COPY:
        assert target_ids(codec, text, source) == source.ids


@given(src=ANY_TEXT.map(normalise), tgt=ANY_TEXT.map(normalise))
def test_no_text_is_lost(codec: TextCodec, src: str, tgt: str) -> None:
    """But for white space beside a span, which is as in the source."""
    source = codec.encode(src)
    ids = target_ids(codec, tgt, source)
    assert "".join(codec.decode(ids, source).split()) == "".join(tgt.split())
    copied = [piece for piece in ids if piece in codec.tokenizer.copy_ids]
    assert len(copied) == len(set(copied))
    assert set(copied) <= set(codec.tokenizer.copy_ids[: len(source.copies)])


@given(data=st.data())
def test_what_a_decoder_makes_of_placeholders_is_undone(codec: TextCodec, data) -> None:
    """Words and the source's own spans, in any order."""
    source = codec.encode("A 👍🏽 dog, λόγος, 漢字 and www.x.de/a today")
    tokenizer = codec.tokenizer
    own = [[piece] for piece in tokenizer.copy_ids[: len(source.copies)]]
    words = [tokenizer.encode(word) for word in ("Der", "Hund", "läuft", "hier.")]
    ids = sum(data.draw(st.permutations([*own, *words])), [])
    assert target_ids(codec, codec.decode(ids, source), source) == ids


@pytest.mark.parametrize(
    "src, tgt, expected",
    [
        ("👍 dog", "Hund", []),
        ("dog", "👍 Hund", []),  # strange to the source
        ("👍 dog λόγος", "λόγος Hund 👍", [1, 0]),
        ("👍 dog 👍", "👍👍 Hund", [0, 1]),  # one after the other
        ("👍 dog", "👍 Hund 👍", [0]),  # once is in the source
        ("λόγος dog 漢字", "λόγος 漢字 Hund", [0, 1]),  # one span if it were a source
        ("a@b.org", "(a@b.org)", [0]),
        ("é dog", "café é", [0]),
        ("Łódź dog", "Łódźer Hund", [0]),  # part of a word, if there is nothing better
        ("www.x.de or www.x.de/a", "www.x.de/a www.x.de", [1, 0]),
        ("a@b.org dog", "b.org", []),
    ],
)
def test_spans_of_the_source_are_found(codec: TextCodec, src: str, tgt: str, expected) -> None:
    assert placeholders(codec, src, tgt) == [f"<copy_{i}>" for i in expected]


def test_a_whole_word_is_found_before_a_part_of_one(codec: TextCodec) -> None:
    assert written(codec, "é dog", "café é")[-1] == "<copy_0>"


def test_no_more_spans_than_placeholders(codec: TextCodec) -> None:
    greek = " dog ".join("αβγδεζηθικλμνξοπρστυ")
    assert placeholders(codec, greek, greek) == [f"<copy_{i}>" for i in range(N_COPY)]


@pytest.mark.parametrize(
    "src, tgt",
    [
        ("👍 dog", "Hund 👍 hier"),
        ("👍 dog", "👍Hund"),  # a word touches the span only here
        ("👍dog", "👍Hund"),
        ("👍dog", "👍, Hund"),
        ("λόγος dog", "λόγοςer Hund"),
        ("👍 dog", f"{STAND_IN} 👍 {STAND_IN}{STAND_IN} Hund"),  # a user's own stand-ins
    ],
)
def test_decoding_gives_the_text_back(codec: TextCodec, src: str, tgt: str) -> None:
    source = codec.encode(src)
    ids = target_ids(codec, tgt, source)
    assert codec.tokenizer.copy_ids[0] in ids
    assert codec.decode(ids, source) == tgt


def test_other_text_is_spelt_in_bytes(codec: TextCodec) -> None:
    assert written(codec, "dog", "漢")[-3:] == ["<0xE6>", "<0xBC>", "<0xA2>"]


# --- the shipped model --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> Model:
    return load_model(REPOSITORY / "checkpoints" / "multi30k-en-de")


def test_a_span_in_its_place_is_likelier_than_another_in_bytes(shipped: Model) -> None:
    source = "A man named Γιώργος plays the guitar."
    same, other = score_pairs(
        shipped,
        [(source, f"Ein Mann namens {name} spielt Gitarre.") for name in ("Γιώργος", "Νικόλας")],
    )
    assert same.log_prob > other.log_prob + 10


def test_a_translation_as_text_gets_the_score_that_the_search_gave(shipped: Model) -> None:
    """But for words that the model spelt in other pieces than the tokenizer would."""
    codec = TextCodec(shipped.tokenizer)
    lines = (
        (REPOSITORY / "tests" / "support" / "copying.tsv").read_text(encoding="utf-8").splitlines()
    )
    texts = [normalise(line.split("\t")[0]) for line in lines[::3]]
    sources = [codec.encode(text) for text in texts]
    search = shipped.config.search
    found = beam_search(shipped.transformer, closed([source.ids for source in sources]), search)
    best = [hypotheses[0] for hypotheses in found]
    translations = [codec.decode(h.ids, source) for h, source in zip(best, sources, strict=True)]
    n_same = 0
    scored = score_pairs(shipped, list(zip(texts, translations, strict=True)))
    for hypothesis, source, text, pair in zip(best, sources, translations, scored, strict=True):
        if target_ids(codec, text, source) == hypothesis.ids:
            assert pair.log_prob == pytest.approx(hypothesis.log_prob, abs=1e-3)
            assert pair.score == pytest.approx(hypothesis.score, abs=1e-3)
            n_same += 1
    assert n_same >= 0.8 * len(texts)
