"""What the machine offers, and what its limits leave."""

import sys
from pathlib import Path

import pytest
import torch

from translator.system import machine
from translator.system.machine import _group_memory, available_memory

CPU = torch.device("cpu")


def test_auto_is_bf16_only_where_it_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for fast, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(machine, "fast_bf16", lambda device, fast=fast: fast)
        assert machine.resolve_precision("auto", CPU) == expected
        assert machine.resolve_precision("fp32", CPU) == "fp32"
        assert machine.resolve_precision("bf16", CPU) == "bf16"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_limits_of_control_groups_count(tmp_path: Path) -> None:
    groups, root = tmp_path / "cgroup", tmp_path / "fs"
    one = root / "memory" / "a" / "b"
    two = root / "c"
    for folder in (one, two):
        folder.mkdir(parents=True)
    groups.write_text("3:cpu:/x\n4:memory:/a/b\n0::/c\n")
    (one.parent / "memory.limit_in_bytes").write_text("1000\n")
    (one.parent / "memory.usage_in_bytes").write_text("700\n")
    (one.parent / "memory.stat").write_text("cache 300\ntotal_inactive_file 200\n")
    (two / "memory.max").write_text("max\n")
    (two / "memory.current").write_text("5\n")
    (two / "memory.stat").write_text("inactive_file 0\n")
    assert list(_group_memory(groups, root)) == [500]
    (two / "memory.max").write_text("50\n")
    assert list(_group_memory(groups, root)) == [500, 45]
    assert list(_group_memory(tmp_path / "none", root)) == []
    free = available_memory(CPU)
    assert free is not None and free > 0
