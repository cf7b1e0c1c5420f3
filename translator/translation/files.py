"""Many lines: from a file or standard input, to a file that survives an interruption.

Nothing here holds more than a block of lines.
"""

import contextlib
import hashlib
import itertools
import json
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from translator.storage.model_folder import read_description
from translator.system.disk import write_json
from translator.text.lines import blocks
from translator.translation.result import Translation
from translator.translation.translator import Translator

log = logging.getLogger("translator")


def translate_to_file(
    translator: Translator,
    lines: Iterable[str],
    output: Path,
    render: Callable[[Translation], str],
    show_bar: bool = False,
    **options: Any,
) -> int:
    """Translates `lines` into `output`, which appears once it is whole.

    Until then the work is in `FILE.partial`, and `FILE.partial.json` says how much of which job it
    holds; the same job goes on from there.

    Args:
        translator: what translates.
        lines: gone through twice, so no iterator.
        output: the file.
        render: makes of each result what is written.
        show_bar: whether there is a progress bar.
        **options: of `Translator.translate_lines`.

    Returns:
        How many lines were translated now, and not in an earlier, interrupted call.

    Raises:
        KeyboardInterrupt: with a message that says how many lines are done.
    """
    partial = output.with_name(output.name + ".partial")
    progress_file = output.with_name(output.name + ".partial.json")
    job, total = _job_key(translator, lines, render, options)
    done = size = 0
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        progress = json.loads(progress_file.read_text())
        if progress["job"] == job and partial.stat().st_size >= progress["bytes"]:
            done, size = progress["lines"], progress["bytes"]
            log.info("Going on after the %d lines that are done.", done)
    begun_at = done
    bar = tqdm(total=total, initial=done, unit="line", disable=not show_bar, leave=False)
    with open(partial, "ab") as file, bar:
        file.truncate(size)
        try:
            for block in blocks(itertools.islice(lines, done, None)):
                found = translator.translate_lines(block, **options)
                file.write("".join(map(render, found)).encode())
                file.flush()
                done += len(block)
                write_json(progress_file, {"job": job, "lines": done, "bytes": file.tell()})
                bar.update(len(block))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"{done} of {total} lines are done; the same command goes on from there."
            ) from None
    os.replace(partial, output)
    progress_file.unlink(missing_ok=True)
    return done - begun_at


def _job_key(
    translator: Translator,
    lines: Iterable[str],
    render: Callable[[Translation], str],
    options: dict[str, Any],
) -> tuple[str, int]:
    """A hash of what a job's output depends on (lines, models, options, form), and its lines."""
    described = [read_description(m.folder) if m.folder else {} for m in translator.models]
    weights = [(d.get("sha256"), d.get("confidence")) for d in described]
    example = render(Translation("s", "t", -1.0, [("t", -1.0)]))
    digest = hashlib.sha256(repr((weights, translator.precision, options, example)).encode())
    total = 0
    for line in lines:
        digest.update(f"{line}\n".encode())
        total += 1
    return digest.hexdigest(), total
