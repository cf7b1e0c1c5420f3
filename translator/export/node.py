"""The scripts of a page, run in Node: what the page would answer."""

import base64
import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from translator.config.errors import TranslatorError
from translator.export.page import SCRIPTS, script
from translator.text.tokenizer import EOS

# Reads the model and an expression of `t`, the translator, and `value`; prints what it becomes.
_RUNNER = """
(async () => {
  const { parts, simd, code, values } = JSON.parse(require("fs").readFileSync(process.argv[2]));
  const t = await load(parts, simd);
  const run = eval(`(t, value) => ${code}`);
  for (const value of values) console.log(JSON.stringify((await run(t, value)) ?? null));
})().catch((error) => { console.error(error); process.exit(1); });
"""
_GREEDY = """(async () => {
  const search = { ...t.data.search, beam_size: 1, max_ratio: 0, max_extra: value.limit };
  const { ids } = await beamSearch(t.network, value.source, search);
  return ids;
})()"""


def find_node() -> str | None:
    """Where Node is, if it is there."""
    return shutil.which("node")


class Node:
    """A packed model in Node.

    Args:
        parts: what `page.pack` gave.
        simd: whether products may be in WebAssembly.
    """

    def __init__(self, parts: dict[str, bytes], simd: bool = True):
        self.parts = {name: base64.b64encode(part).decode() for name, part in parts.items()}
        self.simd = simd

    def ask(self, code: str, values: Sequence[Any]) -> list[Any]:
        """What an expression of `t` (the translator) and `value` becomes for each value.

        Raises:
            TranslatorError: Node is missing, or complains.
        """
        node = find_node()
        if not node:
            raise TranslatorError("Node is needed for this: https://nodejs.org.")
        request = {"parts": self.parts, "simd": self.simd, "code": code, "values": list(values)}
        with tempfile.TemporaryDirectory() as folder:
            scripts, data = Path(folder) / "scripts.js", Path(folder) / "request.json"
            scripts.write_text("\n".join([*map(script, SCRIPTS), _RUNNER]), encoding="utf-8")
            data.write_text(json.dumps(request), encoding="utf-8")
            done = subprocess.run([node, scripts, data], capture_output=True, encoding="utf-8")
        answers = [json.loads(line) for line in done.stdout.split("\n") if line]
        if done.returncode or len(answers) != len(values):
            raise TranslatorError(f"Node does not run the page: {done.stderr.strip()[-500:]}")
        return answers

    def greedy(self, sources: Sequence[Sequence[int]], limit: int) -> list[list[int]]:
        """The translation of each source, which ends with EOS, by greedy search; EOS included."""
        values = [{"source": list(source), "limit": limit} for source in sources]
        return [[*ids, EOS][:limit] for ids in self.ask(_GREEDY, values)]
