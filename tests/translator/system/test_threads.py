"""How many threads: what is idle, what the environment says, and the whole of it before torch."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from translator.system import threads
from translator.system.threads import LoadMeter, available_cpus, choose_threads, wait_briefly


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Four processors; `machine(busy, seconds)` lets others use some of them for a while."""
    clock, idle = [100.0], [0.0]
    stat = tmp_path / "stat"

    def write() -> None:
        row = "cpu{0} 5 0 5 {1} 7 0 0 0 0 0\n"
        each = round(idle[0] * 100 / 4)
        stat.write_text(row.format("", 4 * each) + "".join(row.format(i, each) for i in range(9)))

    def run(busy: float, seconds: float = 1.0) -> None:
        clock[0] += seconds
        idle[0] += (4 - busy) * seconds
        write()

    write()
    monkeypatch.setattr(threads, "_STAT", stat)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    monkeypatch.setattr(threads.os, "sysconf", lambda _: 100, raising=False)
    monkeypatch.setattr(threads.os, "times", lambda: threads.os.times_result((0, 0, 0, 0, 0)))
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return run


@pytest.mark.parametrize(("busy", "expected"), [(0, 4), (1, 3), (2.4, 2), (3.3, 1), (4, 1)])
def test_idle_processors_get_a_thread_each(
    machine, monkeypatch, busy: float, expected: int
) -> None:
    monkeypatch.setattr(threads, "_meter", LoadMeter())
    machine(busy)
    assert choose_threads({}) == expected


def test_processors_that_this_process_uses_count_as_idle(machine, monkeypatch) -> None:
    meter = LoadMeter()
    machine(3)
    used = threads.os.times_result((1.5, 0.5, 0, 0, 0))
    monkeypatch.setattr(threads.os, "times", lambda: used)
    assert meter.idle() == pytest.approx(3, abs=0.05)


def test_the_environment_decides(machine, monkeypatch) -> None:
    monkeypatch.setattr(threads, "_meter", LoadMeter())
    machine(0)
    assert choose_threads({"OMP_NUM_THREADS": "7"}) == 7
    assert choose_threads({"OMP_NUM_THREADS": "0"}) == choose_threads({}) == 4
    assert choose_threads({"OMP_NUM_THREADS": "many"}) == 4


def test_without_proc_the_load_average_counts(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(threads, "_STAT", tmp_path / "none")
    monkeypatch.setattr(threads, "available_cpus", lambda: 8)
    monkeypatch.setattr(threads.os, "getloadavg", lambda: (5.0, 0.0, 0.0))
    assert LoadMeter().idle() == 3


def test_this_machine_has_between_none_and_all_of_its_processors_idle() -> None:
    meter = LoadMeter()
    assert 0 <= meter.idle() <= available_cpus()


def test_a_user_who_chose_a_policy_keeps_it() -> None:
    chosen = {"OMP_WAIT_POLICY": "ACTIVE", "KMP_BLOCKTIME": "200"}
    environment = dict(chosen)
    wait_briefly(environment)
    assert environment == chosen
    wait_briefly(environment := {})
    assert environment.keys() == {"GOMP_SPINCOUNT", "KMP_BLOCKTIME"}


def test_the_policy_is_set_before_torch_is_there(subprocess_environment: dict[str, str]) -> None:
    code = (
        "import os, sys, runpy; sys.argv = ['translator', '--version']\n"
        "try: runpy.run_module('translator', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print('torch' in sys.modules, 'GOMP_SPINCOUNT' in os.environ)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=subprocess_environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "False True"
