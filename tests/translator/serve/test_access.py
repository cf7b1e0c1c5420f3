"""Who may ask, how often, and what languages are asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from translator.serve.access import RateLimiter, allows
from translator.serve.languages import Languages, detect

BOTH = [("en", "de"), ("de", "en")]


@given(keys=st.sets(st.text(min_size=1)), key=st.text())
def test_only_keys_open(keys: set[str], key: str) -> None:
    assert allows(keys, key) == (not keys or key in keys)


@given(waits=st.lists(st.floats(0, 30), min_size=1, max_size=60), most=st.integers(1, 5))
def test_no_minute_has_more_than_twice_the_rate(waits: list[float], most: int) -> None:
    now = 0.0
    limiter = RateLimiter(most, lambda: now)
    allowed = []
    for wait in waits:
        now += wait
        seconds = limiter.wait("a")
        if not seconds:
            allowed.append(now)
        else:
            assert limiter.wait("a")  # asking again does not help
            now += seconds
            assert limiter.wait("a") == 0  # but waiting does
            allowed.append(now)
    for start in allowed:
        assert sum(start <= time < start + 60 for time in allowed) <= 2 * most
    assert limiter.wait("b") == 0


def test_clients_are_not_remembered_forever() -> None:
    limiter = RateLimiter(1)
    for number in range(20_000):
        limiter.wait(str(number))
    assert len(limiter._buckets) <= 10_000


@pytest.mark.parametrize(
    ("text", "source", "target", "expected"),
    [
        ("The dog is not here.", "auto", "de", ("en", "de")),
        ("Der Hund ist nicht hier.", "auto", "auto", ("de", "en")),
        ("Der Hund ist nicht hier.", "en", "de", ("en", "de")),
        ("42", "auto", "en", ("de", "en")),
        ("42", "auto", "auto", ("en", "de")),
        ("x", "DE-at", "en_GB", ("de", "en")),
    ],
)
def test_the_direction_of_a_text(
    text: str, source: str, target: str, expected: tuple[str, str]
) -> None:
    assert Languages(BOTH).choose(text, source, target)[0] == expected


@given(text=st.text(), source=st.sampled_from(["auto", "en", "de", "xx"]), target=st.text())
def test_a_direction_is_one_that_there_is_or_refused(text: str, source: str, target: str) -> None:
    try:
        (src, tgt), found = Languages([("en", "de")]).choose(text, source, target)
    except HTTPException as error:
        assert error.status_code == 400
    else:
        assert (src, tgt) == ("en", "de") or src == tgt
        assert (found is None) == (source != "auto")


def test_detection_counts_lines() -> None:
    found = detect("The dog is not here.\nDer Hund ist nicht hier.\nWhere is it now?\n\n42")
    assert found.language == "en" and found.confidence == pytest.approx(66.7)
