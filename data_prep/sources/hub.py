"""Corpora to download: data sets of the Hugging Face hub, and the test sets of sacreBLEU.

They are downloaded once and then read from a cache. catalogue.py pins their revisions.
"""

import os
import queue
import threading
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from data_prep.sources.catalogue import HubCorpus
from data_prep.sources.formats import Source, iterate_arrow, iterate_pairs
from translator.config.errors import TranslatorError
from translator.text.lines import TextPair


def reachable(url: str, timeout: float = 2.0) -> bool:
    """Whether a host answers at all; checked first because clients retry for minutes."""
    answers: queue.Queue[bool] = queue.Queue()

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=timeout).close()
        except urllib.error.HTTPError:
            pass  # still an answer
        except (OSError, ValueError):
            answers.put(False)
            return
        answers.put(True)

    # In a thread, because looking up a name can take longer than any timeout.
    threading.Thread(target=ask, daemon=True).start()
    try:
        return answers.get(timeout=timeout)
    except queue.Empty:
        return False


def open_hub(name: str, hub: HubCorpus, src: str, tgt: str) -> dict[str, Source]:
    """Opens the splits of a data set, and downloads it unless the cache of `datasets` has it.

    `hub.path` may also be a folder laid out like a repository of the hub.

    Raises:
        TranslatorError: it is not cached and there is no network, or its layout is unknown; while a
            split is read, it lacks a language.
    """
    local = Path(hub.path).is_dir()
    offline = not local and not reachable(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    if offline:  # read when `datasets` is imported
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    import datasets

    datasets.utils.logging.set_verbosity_error()
    try:
        loaded: Any = datasets.load_dataset(
            hub.path, hub.config, data_dir=hub.folder, revision=hub.revision
        )
    except Exception as error:  # the libraries raise a dozen kinds
        if offline:
            raise TranslatorError(
                f"{name} is not cached and the hub cannot be reached. Go online once, or give a "
                f"folder: --data FOLDER with train.{src}, train.{tgt}, valid.{src}, valid.{tgt} "
                "(--data sample needs no network)."
            ) from None
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TranslatorError(f"{name} could not be loaded from the hub: {reason}") from error

    def pairs(hub_name: str) -> Iterator[TextPair]:
        tables = loaded[hub_name].with_format("arrow").iter(1000)
        return iterate_arrow(tables, src, tgt, f"{name}, {hub.split_name(hub_name)}")

    return {hub.split_name(hub_name): partial(pairs, hub_name) for hub_name in loaded}


def open_sacrebleu(test_set: str, src: str, tgt: str) -> dict[str, Source]:
    """Opens a test set of sacreBLEU with its first reference, and downloads it unless it is cached.

    Raises:
        TranslatorError: it does not exist for these languages, or there is no network.
    """
    from sacrebleu.utils import DATASETS, SACREBLEU_DIR, get_available_testsets_for_langpair

    direction = f"{src}-{tgt}"
    known = DATASETS.get(test_set)
    if known is None or direction not in known.langpairs:
        names = get_available_testsets_for_langpair(direction)  # and those of the other direction
        names = [name for name in names if direction in DATASETS[name].langpairs]
        raise TranslatorError(
            f'sacreBLEU has no test set "{test_set}" for {direction}; it has: '
            f"{', '.join(names) or 'none'}."
        )
    fields = known.fieldnames(direction)
    wanted = [fields.index("src"), next(i for i, f in enumerate(fields) if f.startswith("ref"))]
    files = [Path(known._get_txt_file_path(direction, field)) for field in fields]
    if not all(file.exists() for file in files):
        address = (known.data or [""])[0]
        if not reachable(address):
            raise TranslatorError(
                f"The test set {test_set} is not cached in {SACREBLEU_DIR}, and {address} "
                "cannot be reached. Go online once, or give files: --source, --reference."
            )
        folder = Path(SACREBLEU_DIR) / test_set
        before = set(folder.rglob("*"))
        try:
            known.get_files(direction)
        except (Exception, SystemExit) as error:
            # sacreBLEU would use an incomplete file next time.
            for file in set(folder.rglob("*")) - before:
                if file.is_file():
                    file.unlink()
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise TranslatorError(
                f"The test set {test_set} could not be downloaded: {reason}"
            ) from error
    split = f"test_{test_set.replace('/', '_')}"
    return {split: lambda: iterate_pairs(files[wanted[0]], files[wanted[1]])}
