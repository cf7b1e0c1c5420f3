"""How fast `translator serve` answers 1, 8 and 64 clients, beside the library on the same lines.

    python benchmarks/serve.py [--model MODEL] [--lines 128] [--threads 2] [--input FILE]

A server is started on a free port. Clients over loopback each keep one connection, and ask for a
line at a time as soon as the last one is answered. For each number of clients: sentences a second,
median and 95th percentile of the seconds from request to answer, and the server's memory. The
library translates the same lines, all at once and one at a time, in the same run, before and after.
"""

import argparse
import http.client
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from translator import Translator
from translator.system.machine import set_up_cpu

HANDWRITTEN = Path(__file__).with_name("handwritten.en")


def start(model: str, threads: int, *options: str) -> tuple[subprocess.Popen[str], int]:
    """A server and its port."""
    command = [sys.executable, "-m", "translator", "serve", "--port", "0", "--model", model]
    process = subprocess.Popen(
        [*command, "--threads", str(threads), *options], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    address = re.search(r":(\d+)/ ", process.stderr.readline())
    assert address, "the server does not start"
    return process, int(address[1])


def memory(process: subprocess.Popen[str], name: str) -> float:
    """A size from a process's status, in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(rf"{name}:\s+(\d+)", status)
    return int(found[1]) / 1024 if found else 0.0


def ask(port: int, lines: Iterator[str], lock: threading.Lock, seconds: list[float]) -> None:
    """One client: takes lines until there are none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    headers = {"Content-Type": "application/json"}
    while True:
        with lock:
            line = next(lines, None)
        if line is None:
            return
        body = json.dumps({"q": line, "source": "en", "target": "de"})
        begin = time.perf_counter()
        connection.request("POST", "/translate", body, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        seconds.append(time.perf_counter() - begin)


def clients(port: int, lines: Sequence[str], n: int) -> tuple[float, list[float]]:
    """Sentences a second of `n` clients together, and the seconds of each request."""
    left, lock, seconds = iter(lines), threading.Lock(), list[float]()
    own = (port, left, lock, seconds)
    threads = [threading.Thread(target=ask, args=own) for _ in range(n)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(lines) / (time.perf_counter() - begin), sorted(seconds)


def library(translator: Translator, lines: Sequence[str], few: int) -> tuple[float, float]:
    """Sentences a second of all lines at once, and the median seconds of one at a time."""
    begin = time.perf_counter()
    translator.translate(lines)
    speed = len(lines) / (time.perf_counter() - begin)
    single = []
    for line in lines[:few]:
        begin = time.perf_counter()
        translator.translate(line)
        single.append(time.perf_counter() - begin)
    return speed, statistics.median(single)


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of the server")
    parser.add_argument("--model", default="general-en-de")
    parser.add_argument("--lines", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--input", type=Path, default=HANDWRITTEN)
    options = parser.parse_args()
    given = options.input.read_text(encoding="utf-8").splitlines()
    lines = [given[i % len(given)] for i in range(options.lines)]
    few = max(len(lines) // 4, 1)  # for what takes one after the other
    set_up_cpu(options.threads)
    translator = Translator.load(options.model)
    library(translator, lines[:16], 4)
    process, port = start(options.model, options.threads)
    try:
        clients(port, lines[:16], 1)  # loads the model
        before = library(translator, lines, few)
        print("clients  sentences/s  median ms  p95 ms  memory MB", flush=True)
        for n in (1, 8, 64):
            speed, seconds = clients(port, lines[:few] if n == 1 else lines, n)
            median, late = statistics.median(seconds), seconds[int(len(seconds) * 0.95)]
            shown = f"{speed:>11.1f}  {1000 * median:>9.1f}  {1000 * late:>6.0f}"
            print(f"{n:>7}  {shown}  {memory(process, 'VmRSS'):>9.0f}", flush=True)
        after = library(translator, lines, few)
        for when, (speed, median) in (("before", before), ("after", after)):
            print(f"library {when}: {speed:.1f} sentences/s; one alone {1000 * median:.1f} ms")
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
