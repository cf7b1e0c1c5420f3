"""Random and hostile requests: none is a failure of ours, none hangs, nothing piles up.

benchmarks/serve_fuzz.py sends far more of them, over connections that are hostile too.
"""

import threading
from typing import Any

from hostile import EXPECTED, Fuzzer

from translator.system.machine import process_status, return_memory

N_REQUESTS = 300


def test_no_request_is_a_failure_of_ours(serve: Any) -> None:
    fuzzer = Fuzzer(5)
    with serve(max_characters=3000, max_file_bytes=20_000, timeout=30, file_timeout=30) as client:
        for number in range(N_REQUESTS):
            if number == N_REQUESTS // 2:
                return_memory()
                used, threads = process_status("VmRSS"), threading.active_count()
            answer = fuzzer.send(client)
            assert answer.status_code in EXPECTED, (number, answer.text)
            if answer.status_code >= 400:
                assert list(answer.json()) == ["error"], answer.text
                assert "\n" not in answer.json()["error"]
        fields = {"q": "The dog runs.", "source": "en", "target": "de"}
        assert client.post("/translate", json=fields).status_code == 200
        assert client.get("/health").json() == {"status": "ok", "waiting": 0}
    return_memory()  # what is kept for later is no leak
    now = process_status("VmRSS")
    assert used and now and now - used < 150e6
    assert threading.active_count() <= threads + 40  # those of asyncio.to_thread
