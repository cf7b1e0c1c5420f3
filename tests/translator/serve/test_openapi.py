"""The addresses and their fields as they are described are those that there are."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from translator.serve import app

TEXT = {"q": "The dog runs here.", "source": "en", "target": "de"}
FILE = {"source": "en", "target": "de"}
WORK: list[tuple[str, dict[str, str]]] = [
    ("/translate", TEXT),
    ("/detect", {"q": "The dog runs here."}),
    ("/continuations", TEXT),
    ("/translate_file", FILE),
]


class Read(dict[str, Any]):
    """Fields that remember which of them were asked for."""

    def __init__(self, fields: dict[str, Any]):
        super().__init__(fields)
        self.names: set[str] = set()

    def get(self, name: str, otherwise: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, otherwise)


def schema(client: TestClient, path: str) -> dict[str, Any]:
    described = client.get("/openapi.json").json()
    content = described["paths"][path]["post"]["requestBody"]["content"]
    (name,) = {each["schema"]["$ref"] for each in content.values()}
    return dict(described["components"]["schemas"][name.split("/")[-1]])


def test_openapi_describes_each_address(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["paths"]
    routes = {(r.path, method) for r in client.app.routes for method in r.methods - {"HEAD"}}  # type: ignore[attr-defined]
    pages = {("/", "GET"), ("/docs", "GET"), ("/openapi.json", "GET"), ("/spec", "GET")}
    said = {(path, method.upper()) for path, methods in described.items() for method in methods}
    assert said == routes - pages


@pytest.mark.parametrize(("path", "fields"), WORK)
def test_openapi_describes_each_field(
    client: TestClient, path: str, fields: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Read] = []

    async def read_fields(request: Any) -> Read:
        seen.append(Read(await right(request)))
        return seen[-1]

    right = app.read_fields
    monkeypatch.setattr(app, "read_fields", read_fields)
    files = {"file": ("a.txt", b"The dog.")} if path == "/translate_file" else None
    answer = client.post(path, data=fields, files=files)
    assert answer.status_code == 200
    assert seen[0].names == set(schema(client, path)["properties"])


@pytest.mark.parametrize(("path", "fields"), WORK[:3])
def test_a_field_that_is_null_is_missing(
    client: TestClient, path: str, fields: dict[str, str]
) -> None:
    described = schema(client, path)
    nothing = dict.fromkeys(described["properties"])
    expected = client.post(path, json=fields)
    assert expected.status_code == 200
    assert client.post(path, json={**nothing, **fields}).json() == expected.json()
    for name in described["required"]:
        answer = client.post(path, json={**fields, name: None})
        assert answer.status_code == 400 and f"missing {name}" in answer.text
    optional = {name for name, field in described["properties"].items() if field.get("nullable")}
    assert optional | set(described["required"]) == set(described["properties"])
