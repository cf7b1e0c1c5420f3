"""What `translator serve` makes of hostile clients, and whether its memory stays flat.

    python benchmarks/serve_fuzz.py [--requests 10000] [--steady 100000] [--model MODEL]

First come random and hostile requests (tests/support/hostile.py) from several clients at once, a
quarter of them over raw connections: bodies that are never sent whole, clients that hang up, heads
that are no HTTP. Then ordinary requests to all addresses. Each tenth part shows the memory,
threads and open files of the server. It fails if a request is answered 500 or not at all, if an
ordinary one is refused, or if the server has anything left to do in the end. The default model has
learnt nothing and is quick, with the vocabulary of the captions.
"""

import argparse
import collections
import http.client
import itertools
import json
import random
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import torch

from translator import Translator
from translator.model.transformer import Transformer
from translator.storage.model_folder import save_model

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from hostile import EXPECTED, Fuzzer  # noqa: E402
from serve import memory, start  # noqa: E402

KEY = "a-key"
PATIENCE = 120  # seconds after which a client says that there is no answer
NOUNS = ["dog", "man", "boy", "bird", "woman", "girl", "cat", "horse", "child", "player"]
VERBS = ["runs", "sleeps", "plays", "sings", "waits", "jumps", "sits", "stands", "eats", "walks"]


class Server:
    """A server as a process."""

    def __init__(self, model: str):
        limits = "--max-characters 1500 --max-file-mb 0.02 --timeout 20 --file-timeout 20"
        self.process, self.port = start(model, 1, *limits.split(), "--api-key", KEY)
        self.log: list[str] = []  # what failed, says the server
        threading.Thread(
            target=lambda: self.log.extend(self.process.stderr or []), daemon=True
        ).start()

    def state(self) -> str:
        """Memory, threads and open files."""
        folder = Path(f"/proc/{self.process.pid}")
        threads, files = (len(list((folder / name).iterdir())) for name in ("task", "fd"))
        return f"{memory(self.process, 'VmRSS'):7.0f} MB {threads:3} threads {files:4} files"

    def end(self) -> int:
        """Its exit code after SIGTERM."""
        self.process.terminate()
        return self.process.wait(60)


class Tally:
    """Counts answers from several threads, and shows every so many how the server is."""

    def __init__(self, server: Server, total: int):
        self.server = server
        self.total = total
        self.answers: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []
        self.start = time.monotonic()
        self._lock = threading.Lock()

    def add(self, answer: str, wrong: str = "") -> None:
        with self._lock:
            self.answers[answer] += 1
            self.wrong += [wrong] if wrong else []
            if (n := self.answers.total()) % max(self.total // 10, 1) == 0:
                seconds = time.monotonic() - self.start
                print(f"{n:>8,} requests {seconds:6.0f} s {self.server.state()}", flush=True)


def hostile(server: Server, seed: int, numbers: "itertools.count[int]", tally: Tally) -> None:
    """One hostile client."""
    fuzzer = Fuzzer(seed)
    address = f"http://127.0.0.1:{server.port}"
    with httpx2.Client(
        base_url=address, timeout=PATIENCE, headers={"x-api-key": KEY}, follow_redirects=True
    ) as client:
        while next(numbers) < tally.total:
            if fuzzer.random.random() < 0.25:
                tally.add(*connect(server.port, fuzzer))
                continue
            try:
                answer = fuzzer.send(client)
            except (httpx2.InvalidURL, httpx2.LocalProtocolError, ValueError):
                tally.add("not sent")  # a client that is no worse than this library
            except httpx2.RemoteProtocolError:
                tally.add("closed")  # a body that it did not want is still on its way
            except httpx2.HTTPError as error:
                tally.add("none", f"{type(error).__name__}: {error}")
            else:
                fine = answer.status_code in EXPECTED
                wrong = "" if fine else f"{answer.status_code} {answer.request.url} {answer.text}"
                tally.add(str(answer.status_code), wrong)


def connect(port: int, fuzzer: Fuzzer) -> tuple[str, str]:
    """One raw connection: what came of it, and what is wrong with that."""
    pick = fuzzer.random
    body = json.dumps({**fuzzer.fields(), "api_key": KEY}).encode()
    path = pick.choice(["/translate", "/translate_file", "/detect", "/continuations", "/"])
    method = pick.choice(
        ["POST", "POST", "POST", "GET", "PUT", "DELETE", "TRACE", "\x01", "A" * 999]
    )
    kind = pick.choice(["application/json", "multipart/form-data; boundary=x", "\x7f"])
    length = pick.choice([len(body)] * 3 + [len(body) + 9, 0, -1, 10**30, "x", 10**7])
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nX-Api-Key: {KEY}\r\n"
    if pick.random() < 0.2:
        head += "Transfer-Encoding: chunked\r\n\r\n" + pick.choice(
            ["5\r\nhello\r\n0\r\n\r\n", "zz\r\n", "ffffffffff\r\nx"]
        )
    else:
        head += f"Content-Length: {length}\r\n\r\n"
    if pick.random() < 0.1:
        head = pick.choice(
            ["\x00" * 100, "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "a" * 200_000, "X:\r\n" * 9999]
        )
    data = head.encode("latin-1") + body * pick.choice([1, 1, 1, 2])
    if pick.random() < 0.3:
        data = data[: pick.randrange(len(data))]
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            connection.sendall(data)
            if pick.random() < 0.7:  # it hangs up, at once or after a while
                time.sleep(pick.choice([0, 0, 0.01, 0.1]))
                return "hung up", ""
            connection.shutdown(socket.SHUT_WR)
            found = connection.recv(100)
    except TimeoutError:
        return "none", f"no answer to {data[:200]!r}"
    except OSError:
        return "closed", ""
    code = found[9:12].decode("latin-1")
    return code or "closed", f"{found!r} to {data[:200]!r}" if code == "500" else ""


def steady(server: Server, seed: int, numbers: "itertools.count[int]", tally: Tally) -> None:
    """One client that asks for what there is."""
    pick = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    way: dict[str, Any] = {"source": "en", "target": "de", "api_key": KEY}
    json_type = {"Content-Type": "application/json"}
    while (number := next(numbers)) < tally.total:
        text = f"A {pick.choice(NOUNS)} {pick.choice(VERBS)}."
        draw = pick.random()
        if draw < 0.55:
            path, fields = "/translate", {"q": text, **way}
        elif draw < 0.65:
            path, fields = "/translate", {"q": text, **way, "segments": True, "alternatives": 2}
        elif draw < 0.66:
            path, fields = "/continuations", {"q": text, **way, "prefix": "Ein"}
        elif draw < 0.85:
            path, fields = "/detect", {"q": f"{text} {number}", "api_key": KEY}
        else:
            path, fields = pick.choice(["/languages", "/health", "/", "/nothing"]), {}
        headers = json_type
        body = json.dumps(fields)
        if draw < 0.02:
            path, headers = "/translate_file", {"Content-Type": "multipart/form-data; boundary=x"}
            part = '--x\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'
            parts = [part.format(name, "", value) for name, value in way.items()]
            parts.append(part.format("file", '; filename="a.txt"', text))
            body = "".join(parts) + "--x--\r\n"
        try:
            connection.request("POST" if fields else "GET", path, body if fields else None, headers)
            answer = connection.getresponse()
            said = answer.read()
        except OSError as error:
            tally.add("none", f"{path}: {error}")
            connection.close()
            continue
        expected = 404 if path == "/nothing" else 200
        wrong = "" if answer.status == expected else f"{answer.status} {path} {said[:200]!r}"
        tally.add(str(answer.status), wrong)


def save_untrained(folder: Path) -> None:
    """A MODEL that has learnt nothing, and says some of it fast."""
    model = Translator.load("multi30k-en-de").model
    small = replace(model.config.model, d_model=32, d_ff=64, n_heads=2)
    config = replace(
        model.config,
        model=replace(small, n_encoder_layers=1, n_decoder_layers=1),
        search=replace(
            model.config.search, beam_size=1, max_ratio=0.5, max_extra=2, no_repeat_ngram=1
        ),
    )
    torch.manual_seed(1)
    save_model(folder, Transformer(config.model).state_dict(), model.tokenizer, config, {})


Client = Callable[[Server, int, "itertools.count[int]", Tally], None]


def run(name: str, client: Client, server: Server, n: int, clients: int, seed: int) -> list[str]:
    """Lets clients send `n` requests. Returns what was wrong."""
    print(f"{name}: {n:,} requests from {clients} clients", flush=True)
    tally, numbers = Tally(server, n), itertools.count()
    own = [(server, seed + i, numbers, tally) for i in range(clients)]
    threads = [threading.Thread(target=client, args=each) for each in own]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("answers:", ", ".join(f"{k} {v:,}" for k, v in sorted(tally.answers.items())))
    return tally.wrong


def main() -> None:
    parser = argparse.ArgumentParser(description="Hostile clients, and memory over many requests")
    parser.add_argument("--model")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--steady", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.model is None:
            save_untrained(Path(folder))
        measure(Server(options.model or folder), options)


def measure(server: Server, options: argparse.Namespace) -> None:
    sizes = options.clients, options.seed
    wrong = run("hostile", hostile, server, options.requests, *sizes)
    wrong += run("steady", steady, server, options.steady, *sizes)
    with httpx2.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=PATIENCE) as client:
        deadline = time.monotonic() + 60
        while client.get("/health").json()["waiting"] and time.monotonic() < deadline:
            time.sleep(0.1)
        health = client.get("/health").json()
        print(f"in the end: {health}, {server.state()}")
    code = server.end()
    wrong += (
        server.log + [f"exit code {code}"] * bool(code) + ["work is left"] * bool(health["waiting"])
    )
    print(*wrong[:50] or ["no failure"], sep="\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
