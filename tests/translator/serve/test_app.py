"""What requests are answered: LibreTranslate's form, and what goes beyond it."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from translator.config.errors import TranslatorError
from translator.documents.formats import ENDINGS
from translator.documents.translate import translate_document
from translator.serve.app import create_app
from translator.serve.settings import ServeSettings
from translator.serve.translators import Translators
from translator.translation.translator import Translator

Ways = dict[tuple[str, str], Translator]
ENGLISH = "The dog runs here. The man is not at home today."
GERMAN = "Der Hund läuft hier. Der Mann ist heute nicht zu Hause."
MIXED = f"  {ENGLISH}\n\n42\n<b>The boy</b> sings!!!  \r\nhttps://example.org"


def post(client: TestClient, path: str = "/translate", **fields: Any) -> Any:
    answer = client.post(path, json=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("text", [ENGLISH, MIXED, "", "\n\n", "1 2 3"])
def test_a_text_becomes_what_the_library_makes_of_it(
    client: TestClient, by_direction: Ways, text: str
) -> None:
    expected = by_direction["en", "de"].translate(text)
    fields = {"q": text, "source": "en", "target": "de"}
    assert post(client, **fields) == {"translatedText": expected}
    for form in ({"data": fields}, {"data": fields, "files": {"x": b""}}):
        assert client.post("/translate", **form).json() == {"translatedText": expected}


def test_several_texts_each_in_its_own_direction(client: TestClient, by_direction: Ways) -> None:
    answer = post(client, q=[ENGLISH, GERMAN, ""], source="auto", target="auto")
    there, back = by_direction["en", "de"], by_direction["de", "en"]
    assert answer["translatedText"] == [there.translate(ENGLISH), back.translate(GERMAN), ""]
    found = [each["language"] for each in answer["detectedLanguage"]]
    assert found == ["en", "de", "en"]
    assert [each["confidence"] for each in answer["detectedLanguage"]] == [100.0, 100.0, 0.0]


def test_a_text_in_the_target_language_stays(client: TestClient) -> None:
    answer = post(client, q=GERMAN, source="auto", target="de")
    assert answer["translatedText"] == GERMAN


def test_codes_may_name_a_region(client: TestClient) -> None:
    there = post(client, q=ENGLISH, source="en-US", target="de_AT")
    assert there == post(client, q=ENGLISH, source="en", target="de")


def test_alternatives_and_n_best(client: TestClient, by_direction: Ways) -> None:
    translator = by_direction["en", "de"]
    answer = post(client, q="The dog runs.", source="en", target="de", alternatives=2, n_best=3)
    (line,) = translator.translate_lines(["The dog runs."], translator.search_config(n_best=3))
    texts = [text for text, _ in line.n_best]
    assert answer["translatedText"] == texts[0]
    assert answer["alternatives"] == [t for t in dict.fromkeys(texts) if t != texts[0]][:2]
    assert [each["text"] for each in answer["n_best"]] == texts


@pytest.mark.parametrize("text", [ENGLISH, MIXED, "", "\n\n", " 1 2 ", "The The The The dog!!"])
def test_segments_are_the_whole_text(client: TestClient, text: str) -> None:
    answer = post(client, q=text, source="en", target="de", segments=True, alignments=True)
    segments = answer["result"]["segments"]
    whole = "".join(s["before"] + s["translation"] + s["after"] for s in segments)
    assert (
        whole
        == answer["translatedText"]
        == post(client, q=text, source="en", target="de")["translatedText"]
    )
    for segment in segments:
        assert [word["text"] for word in segment["words"]] == segment["translation"].split()
        n_words = len(segment["sourceWords"])
        assert all(0 <= i < n_words for word in segment["words"] for i in word["from"])
    n_source, n_target = len(text.split()), len(answer["translatedText"].split())
    assert all(i < n_source and j < n_target for i, j in answer["alignments"])


def test_html_keeps_its_tags(client: TestClient) -> None:
    text = "<p>The <b>dog</b> runs.</p><script>The dog</script>"
    answer = post(client, q=[text, "The man."], source="en", target="de", format="html")
    first, second = answer["translatedText"]
    assert re.sub(r">[^<]*<", "><", first) == re.sub(r">[^<]*<", "><", text)
    assert "<script>The dog</script>" in first
    assert second == post(client, q="The man.", source="en", target="de")["translatedText"]


def test_no_format_is_text(client: TestClient) -> None:
    fields = {"q": ENGLISH, "source": "en", "target": "de"}
    assert post(client, **fields, format="") == post(client, **fields)


def test_a_page_has_no_alternatives(client: TestClient) -> None:
    fields = {"q": "<p>The dog.</p>", "source": "en", "target": "de", "format": "html"}
    assert post(client, **fields, alternatives=3) == {**post(client, **fields), "alternatives": []}


def test_a_model_that_cannot_be_loaded_is_our_failure(caplog: pytest.LogCaptureFixture) -> None:
    def load() -> Translator:
        raise TranslatorError("/secret/model is damaged.")

    with TestClient(create_app(Translators({("en", "de"): load}))) as client:
        answer = client.post("/translate", json=GOOD)
    assert answer.status_code == 500 and "/secret" not in answer.text
    assert "/secret/model is damaged" in caplog.text


def test_terms_are_said(client: TestClient) -> None:
    fields = {"q": "The dog runs here.", "source": "en", "target": "de"}
    assert "Katze" not in post(client, **fields)["translatedText"]
    for terms in ([["dog", "Katze"]], {"dog": "Katze"}, '[["dog", "Katze"]]'):
        assert "Katze" in post(client, **fields, terms=terms)["translatedText"]
    files = {"file": ("a.txt", b"The dog runs here.")}
    data = {**fields, "terms": '[["dog", "Katze"]]'}
    answer = client.post("/translate_file", data=data, files=files)
    assert "Katze" in client.get(answer.json()["translatedFileUrl"]).text
    found = post(client, "/continuations", **fields, terms={"dog": "Katze"})
    assert all("Katze" in each["segment"]["translation"] for each in found)


@pytest.mark.parametrize("prefix", ["", "Der", "Der Hund"])
def test_continuations_begin_with_the_prefix(client: TestClient, prefix: str) -> None:
    fields = {"q": "The dog runs here.", "prefix": prefix, "source": "en", "target": "de"}
    found = post(client, "/continuations", **fields)
    words = [each["word"] for each in found]
    assert words and len(set(words)) == len(words)
    for each in found:
        said = [word["text"] for word in each["segment"]["words"]]
        assert said[: len(prefix.split()) + 1] == [*prefix.split(), each["word"]]


# -- documents ------------------------------------------------------------------------------------

SRT = (
    "1\n00:00:01,000 --> 00:00:02,000\nThe dog runs here.\n\n2\n00:00:03,000 --> 00:00:04,000\nHi\n"
)


@pytest.mark.parametrize(
    "name", ["a.srt", "../../etc/passwd.SRT", "a\x00b.srt", "-.md", "ü \n.txt"]
)
def test_a_document_comes_back_whatever_it_is_called(
    client: TestClient, by_direction: Ways, tmp_path: Path, name: str
) -> None:
    suffix = name[name.rindex(".") :].lower()
    source, target = tmp_path / f"source{suffix}", tmp_path / f"target{suffix}"
    source.write_text(SRT, encoding="utf-8")
    translate_document(by_direction["en", "de"], source, target)
    files = {"file": (name, SRT.encode())}
    answer = client.post("/translate_file", data={"source": "en", "target": "de"}, files=files)
    assert answer.status_code == 200, answer.text
    url = answer.json()["translatedFileUrl"]
    assert url.startswith("http://testserver/download_file/") and url.endswith(suffix)
    found = client.get(url)
    assert found.content == target.read_bytes()
    assert found.headers["content-disposition"].startswith("attachment")
    assert found.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    "name", ["x", "%2e%2e%2fetc%2fpasswd", "..%5cx", "nothing.srt", "%00", "x" * 5000]
)
def test_an_unknown_file_cannot_be_downloaded(client: TestClient, name: str) -> None:
    answer = client.get(f"/download_file/{name}")
    assert answer.status_code == 404 and list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        ("a.exe", b"x", ".docx"),
        ("a", b"x", ".docx"),
        ("a.docx", b"PK\x03\x04 no zip", "Word"),
        ("a.txt", b"\xff\xfe", "UTF-8"),
        ("a.json", b"[" * 20_000, "document"),
        ("a.xliff", b"<a><b></a>", "document"),
    ],
)
def test_a_broken_document_is_an_error(
    client: TestClient, name: str, data: bytes, word: str
) -> None:
    files = {"file": (name, data)}
    answer = client.post("/translate_file", data={"source": "en", "target": "de"}, files=files)
    assert answer.status_code == 400
    assert word in answer.json()["error"] and "\n" not in answer.json()["error"]


# -- refusals -------------------------------------------------------------------------------------

GOOD = {"q": "The dog", "source": "en", "target": "de"}


@pytest.mark.parametrize(
    "changes",
    [
        {"q": None},
        {"q": 5},
        {"q": ["x", 5]},
        {"q": "\ud800"},
        {"source": None},
        {"source": 1},
        {"source": "fr"},
        {"target": "zh-Hans"},
        {"target": ""},
        {"format": "pdf"},
        {"alternatives": -1},
        {"alternatives": 11},
        {"alternatives": True},
        {"alternatives": "many"},
        {"n_best": 0},
        {"confidence": "perhaps"},
        {"segments": []},
        {"format": "html", "segments": True},
        {"terms": "x"},
        {"terms": 5},
        {"terms": [["dog"]]},
        {"terms": [["dog", 5]]},
        {"terms": [["dog", "x" * 201]]},
    ],
    ids=str,
)
def test_a_wrong_field_is_named(client: TestClient, changes: dict[str, Any]) -> None:
    answer = client.post("/translate", content=json.dumps({**GOOD, **changes}))
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"1", b"\xff", b"[" * 9000, b'{"q": 1' + b"0" * 5000 + b"}"]
)
def test_a_wrong_body_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/translate", content=body)
    assert answer.status_code == 400 and list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/translate", 405), ("POST", "/languages", 405)],
)
def test_wrong_addresses_are_errors_in_the_same_form(
    client: TestClient, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status and list(answer.json()) == ["error"]


def test_too_much_is_refused(serve: Any) -> None:
    with serve(max_characters=100, max_file_bytes=1000) as client:
        assert client.post("/translate", json={**GOOD, "q": "x" * 100}).status_code == 200
        assert client.post("/translate", json={**GOOD, "q": "x" * 101}).status_code == 413
        assert client.post("/translate", json={**GOOD, "q": ["x" * 60] * 2}).status_code == 413
        assert client.post("/translate", json={**GOOD, "q": [""] * 501}).status_code == 413
        assert client.post("/translate", content=b"x" * 50_000).status_code == 413
        parts = (b"x" * 10_000 for _ in range(10))  # its length is not announced
        assert client.post("/translate", content=parts).status_code == 413
        for size, status in ((1000, 200), (1001, 413), (100_000, 413)):
            files = {"file": ("a.txt", (b"xxxxxxxx\n\n" * size)[:size])}
            answer = client.post("/translate_file", data=GOOD, files=files)
            assert answer.status_code == status and "x" * 50 not in answer.text


def test_a_key_is_asked_for(serve: Any) -> None:
    with serve(api_keys=frozenset({"secret"})) as client:
        assert client.post("/translate", json=GOOD).status_code == 403
        for key in ("wrong", "secre", "sécret", 5, ["secret"]):
            assert client.post("/translate", json={**GOOD, "api_key": key}).status_code == 403
        assert client.post("/translate", json={**GOOD, "api_key": "secret"}).status_code == 200
        assert client.post("/translate", data={**GOOD, "api_key": "secret"}).status_code == 200
        for path in ("/detect", "/continuations", "/translate_file"):
            assert client.post(path, data=GOOD).status_code == 403
        assert client.get("/frontend/settings").json()["keyRequired"]
        assert '"key": true' in client.get("/").text


def test_the_rate_limit_says_when_to_retry(serve: Any) -> None:
    with serve(rate_limit=3) as client:
        answers = [client.post("/detect", json={"q": "x"}) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 20
        assert client.get("/health").status_code == 200


def test_a_request_that_takes_too_long_is_cancelled(serve: Any) -> None:
    with serve(timeout=0.001) as client:
        answer = client.post("/translate", json={**GOOD, "q": "The dog runs here. " * 200})
        assert answer.status_code == 504 and "error" in answer.json()
        assert client.get("/health").json()["status"] == "ok"


def test_the_time_of_a_request_is_that_of_all_its_directions(
    translators: Translators, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = translators.work

    def slow(*given: Any) -> Any:
        time.sleep(0.4)
        return inner(*given)

    both = {"q": [ENGLISH, GERMAN], "source": "auto", "target": "auto"}
    with TestClient(create_app(translators, ServeSettings(timeout=60))) as client:
        assert client.post("/translate", json=both).status_code == 200  # loads the models
    monkeypatch.setattr(translators, "work", slow)
    with TestClient(create_app(translators, ServeSettings(timeout=0.6))) as client:
        assert client.post("/translate", json=both).status_code == 504


def test_a_paragraph_of_a_document_is_no_longer_than_a_text(serve: Any) -> None:
    with serve(max_characters=100) as client:
        for text, status in ((b"x" * 100 + b"\n\n" + b"y" * 100, 200), (b"x" * 101, 413)):
            answer = client.post("/translate_file", data=GOOD, files={"file": ("a.txt", text)})
            assert answer.status_code == status, answer.text


def test_a_failure_of_ours_is_logged_without_the_text(
    translators: Translators, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a secret text")

    monkeypatch.setattr(translators, "work", fail)
    with TestClient(create_app(translators)) as client:
        answer = client.post("/translate", json=GOOD)
    assert answer.status_code == 500 and list(answer.json()) == ["error"]
    assert "RuntimeError" in caplog.text and "secret" not in caplog.text + answer.text


# -- sharing --------------------------------------------------------------------------------------


def test_a_result_does_not_depend_on_who_else_asks(
    client: TestClient, by_direction: Ways, text_pairs: list[tuple[str, str]]
) -> None:
    asked = [
        ({"en": src, "de": tgt}[lang], lang)
        for src, tgt in text_pairs[:12]
        for lang in ("en", "de")
    ]

    def ask(pair: tuple[str, str]) -> str:
        text, source = pair
        answer: str = post(client, q=text, source=source, target="auto")["translatedText"]
        return answer

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, asked))
    other = {"en": "de", "de": "en"}
    expected = [by_direction[lang, other[lang]].translate(text) for text, lang in asked]
    assert found == expected


# -- about itself ---------------------------------------------------------------------------------


def test_health_languages_and_settings(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok", "waiting": 0}
    assert {each["code"]: each["targets"] for each in client.get("/languages").json()} == {
        "en": ["de"],
        "de": ["en"],
    }
    settings = client.get("/frontend/settings").json()
    assert settings["supportedFilesFormat"] == list(ENDINGS)
    assert settings["language"]["source"] == {"code": "en", "name": "English"}
    assert settings["language"]["target"] == {"code": "de", "name": "German"}


def test_a_page_is_told_the_name_of_a_language_that_is_only_a_target(
    translators: Translators,
) -> None:
    way = ("en", "de")
    one = Translators({way: lambda: translators.get(way)})
    with TestClient(create_app(one, ServeSettings())) as client:
        settings = client.get("/frontend/settings").json()
        assert settings["language"]["target"] == {"code": "de", "name": "German"}


def test_pages_may_load_nothing_from_elsewhere(client: TestClient) -> None:
    for path in ("/", "/docs"):
        assert "default-src 'none'" in client.get(path).headers["content-security-policy"]
