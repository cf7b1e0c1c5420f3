"""Files that are written whole or not at all."""

import json
import os
from pathlib import Path

import pytest

from translator.system import disk


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file.json"
    disk.write_json(path, ["old"])

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space"):
        disk.write_json(path, ["new"])
    assert json.loads(path.read_text()) == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_writer_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    disk.write_file(path, b"old")
    with pytest.raises(ValueError), disk.open_whole(path) as file:
        file.write(b"half")
        raise ValueError
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links and permissions")
def test_a_link_is_followed_and_permissions_are_kept(tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    disk.write_file(link, b"new")
    assert link.is_symlink() and path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.name == "nt", reason="needs /dev/null")
def test_a_device_is_written_as_it_is() -> None:
    disk.write_file(Path("/dev/null"), b"text")
    assert Path("/dev/null").is_char_device()
