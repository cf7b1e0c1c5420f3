"""docs/settings.md says what the settings say."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def make_settings() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_settings", DOCS / "make_settings.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_in_step(make_settings: ModuleType) -> None:
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert page == make_settings.settings_page(), "write it again: make docs"
