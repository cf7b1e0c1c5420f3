"""The pieces that a language is written with: found in text, noted in a model, used by a search."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from translator.model.incremental import SPECIAL
from translator.translation.pieces import (
    KEY,
    common_pieces,
    from_text,
    to_text,
    written_pieces,
)
from translator.translation.translator import Translator


@given(st.sets(st.integers(0, 70)))
def test_a_note_says_what_it_was_given(ids: set[int]) -> None:
    assert from_text(to_text(ids, 71)) == sorted(ids)


def test_text_is_spelt_with_the_pieces_that_were_found_in_it(tokenizer) -> None:
    lines = ["ein Hund läuft hier", "ein Mann schläft"]
    ids = written_pieces(tokenizer, lines)
    assert ids[: len(SPECIAL)] == SPECIAL and ids == sorted(set(ids))
    assert {i for line in lines for i in tokenizer.encode(line)} <= set(ids)
    long = max(tokenizer.text_pieces, key=len)
    number, text = tokenizer.text_pieces[long], tokenizer.decode([tokenizer.text_pieces[long]])
    assert tokenizer.encode(text) == [number]
    assert number in written_pieces(tokenizer, [text] * 3, at_least=3)
    assert number not in written_pieces(tokenizer, [text] * 2, at_least=3)
    # What no line holds can be spelt all the same: in letters and bytes.
    letters = set(tokenizer.pieces(ids))
    assert all(c in letters or set(tokenizer.byte_ids(c)) <= set(ids) for c in "dog\u0416")


def test_the_fastest_search_writes_these_pieces_alone(random_model) -> None:
    model = random_model
    language = model.config.data.tgt
    plain = Translator(model, precision="bf16")
    lines = ["the dog sleeps here", "a teacher sings"]
    said = plain.translate(lines)
    used = written_pieces(model.tokenizer, said)
    info = {**model.info, KEY: {language: to_text(used, model.tokenizer.vocab_size)}}
    noted = replace(model, info=info)
    assert common_pieces([noted, noted], language) == used
    assert common_pieces([noted, model], language) is None
    assert common_pieces([noted], model.config.data.src) is None
    fast, exact = Translator(noted, precision="bf16"), Translator(noted)
    assert fast.decoder.network.decoders[0].pieces is not None
    assert exact.decoder.network.decoders[0].pieces is None
    assert fast.translate(lines) == said
