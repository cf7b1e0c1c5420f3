"""A corpus on disk is the corpus in memory, whoever makes it and whatever interrupts."""

import errno
import multiprocessing
import os
import pickle
import random
from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from faults import inject, near_copy
from in_memory import clean_in_memory

from data_prep.cleaning.clean import CONTAMINATED, DUPLICATE, MISALIGNED, pair_keys, repair_pairs
from data_prep.cleaning.contamination import HeldOut
from data_prep.prepared import cleaned, encoded, shard_passes
from data_prep.prepared.cleaned import VERSION, Prepared, open_prepared, prepare_corpus
from data_prep.prepared.encoded import Ids, encode_corpus, encode_pairs
from data_prep.sources.corpus import load_corpus, open_corpus
from data_prep.sources.mapped import MANIFEST, MAX_VOCAB, is_prepared
from translator.config.errors import TranslatorError
from translator.config.schema import CleanConfig, DataConfig
from translator.text.codec import normalise
from translator.text.lines import TextPair
from translator.text.tokenizer import Tokenizer

Pairs = list[TextPair]
SPLITS = {"train": slice(40, 300), "valid": slice(0, 20), "test_a": slice(20, 40)}
# Shards end anywhere here, and at their ends alignment sees fewer neighbours.
CONFIG = CleanConfig(alignment=0).resolve()
LIMITS = DataConfig(max_length=60)


@pytest.fixture(scope="module")
def sound() -> Pairs:
    """From the bundled corpus."""
    return load_corpus("sample", "en", "de").splits["train"][:700]


@pytest.fixture(scope="module")
def corpus(sound: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """260 pairs in which much is wrong, 20 for validation, 20 to test with."""
    folder = tmp_path_factory.mktemp("dirty")
    splits = {name: sound[places] for name, places in SPLITS.items()}
    rng = random.Random(1)
    train = splits["train"]
    for kind in ("empty side", "copied source", "changed number", "broken markup"):
        train, _ = inject(train, kind, 0.03, rng)
    train += [near_copy(pair, rng) for pair in rng.sample(train, 10)] + train[:10]
    train += splits["valid"][:5] + splits["test_a"][:5]
    for place in (50, 100, 150):  # to be repaired
        train[place] = f"\u200b{train[place][0]}", train[place][1]
    rng.shuffle(train)
    return write(folder, {**splits, "train": train})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRANSLATOR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def arrange(size: int) -> None:
        monkeypatch.setattr(shard_passes, "SHARD", size)
        monkeypatch.setattr(encoded, "SHARD", size)

    return arrange


def write(folder: Path, splits: dict[str, Pairs]) -> Path:
    folder.mkdir(exist_ok=True)
    for split, pairs in splits.items():
        for side, language in enumerate(("en", "de")):
            text = "".join(pair[side] + "\n" for pair in pairs)
            (folder / f"{split}.{language}").write_text(text, encoding="utf-8")
    return folder


def prepare(
    corpus: Path, folder: Path | None = None, config: CleanConfig = CONFIG, **options: Any
) -> Prepared:
    return prepare_corpus(str(corpus), "en", "de", config, folder, **options)


def turned(pairs: Any) -> Any:
    return [(b, a) for a, b in pairs]


def content(folder: Path) -> dict[str, bytes]:
    """All files, without locks."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def in_memory(corpus: Path, config: CleanConfig = CONFIG, seed: int = 1) -> tuple[Pairs, Any]:
    """What cleaning in memory makes of a corpus, English to German; and its report."""
    splits = load_corpus(str(corpus), "de", "en", seed).splits
    held_out = HeldOut(splits, config)
    kept, report = clean_in_memory(splits["train"], config, "de", "en", held_out, seed)
    return turned(kept), report.summary("de", "en")


# --- the pairs --------------------------------------------------------------------------------


@pytest.mark.parametrize("size, workers", [(19, 1), (60, 2), (10**6, 1)])
def test_the_pairs_are_those_of_cleaning_in_memory(
    corpus: Path, small_shards, size: int, workers: int
) -> None:
    small_shards(size)
    told: list[tuple[str, int]] = []
    found = prepare(corpus, workers=workers, progress=lambda *news: told.append(news))
    kept, report = in_memory(corpus)
    assert list(found.train) == found.train[:] == kept
    assert found.manifest["report"] == report and found.manifest["corpus"] == str(corpus)
    assert set(report["dropped"]) >= {"empty", "copied source", DUPLICATE, CONTAMINATED}
    assert report["repaired"]
    for stage in ("read", "clean"):
        assert sum(n for name, n in told if name == stage) == report["before"]["pairs"]
    splits = load_corpus(str(corpus), "en", "de").splits
    assert found.splits == {name: splits[name] for name in ("valid", "test_a")}
    words = sum(line.count(" ") + 1 for pair in kept for line in pair)
    assert found.n_words == words


def test_pairs_that_do_not_belong_together(sound: Pairs, small_shards, tmp_path: Path) -> None:
    """In one shard all is as in memory; where there are more, but at their ends."""
    pairs, wrong = inject(sound[40:], "shuffled targets", 0.05, random.Random(2))
    corpus = write(tmp_path / "corpus", {"train": pairs, "valid": sound[:40]})
    config = replace(CONFIG, alignment=0.3)
    kept, report = in_memory(corpus, config)
    assert report["dropped"][MISALIGNED] > len(wrong) / 2
    assert list(prepare(corpus, config=config).train) == kept
    small_shards(200)
    there = prepare(corpus, tmp_path / "parts", config=config).train
    ends = {pairs[end + k] for end in range(0, len(pairs), 200) for k in range(-3, 3)}
    assert set(there) ^ set(kept) <= ends


def test_both_directions_are_one_folder(corpus: Path, cache: Path, monkeypatch) -> None:
    there = prepare(corpus)
    monkeypatch.setattr(cleaned, "open_corpus", None)  # is not needed again
    back = prepare_corpus(str(corpus), "de", "en", CONFIG)
    assert back is not None and back.folder == there.folder
    assert list(back.train) == turned(there.train)
    assert back.splits == {name: turned(pairs) for name, pairs in there.splits.items()}
    assert back.n_words == there.n_words
    assert list(cache.iterdir()) == [there.folder]


# --- validation data --------------------------------------------------------------------------


@pytest.fixture
def without_valid(corpus: Path, tmp_path: Path) -> Path:
    splits = load_corpus(str(corpus), "en", "de").splits
    train = splits["train"][:150] * 2
    return write(tmp_path / "without", {"train": train, "test": splits["test_a"]})


@pytest.mark.parametrize("contamination, empty", [(True, False), (False, True)])
def test_what_is_held_out(
    without_valid: Path, small_shards, contamination: bool, empty: bool
) -> None:
    """The same as in memory, though all pairs stand there twice; an empty file holds nothing."""
    if empty:
        write(without_valid, {"valid": []})
    small_shards(50)
    config = replace(CONFIG, contamination=contamination)
    memory = load_corpus(str(without_valid), "en", "de", seed=3)
    assert len(memory.splits["valid"]) == 3
    found = prepare(without_valid, config=config, seed=3)
    assert found.splits == {name: memory.splits[name] for name in ("valid", "test")}
    kept, report = in_memory(without_valid, config, seed=3)
    assert list(found.train) == kept
    assert found.manifest["report"] | {"notes": []} == report | {"notes": []}
    assert "3 training pairs are held out" in found.manifest["report"]["notes"][0]
    assert bool(set(found.splits["valid"]) & set(kept)) != contamination
    other = prepare(without_valid, config=config, seed=4)
    assert other.splits["valid"] != found.splits["valid"]


def test_what_words_mean_is_learnt_from_pairs_that_stay(without_valid: Path, monkeypatch) -> None:
    """Each once, the held out ones not; of many, those with the smallest keys, by their places."""
    learnt: list[tuple[Pairs, list[int]]] = []
    monkeypatch.setattr(shard_passes, "PairScorer", lambda *sample: learnt.append(sample))
    monkeypatch.setattr(shard_passes, "ENOUGH", 10)
    config = replace(CONFIG, alignment=0.3)
    prepare(without_valid, config=config)
    monkeypatch.setattr(shard_passes, "SAMPLE", 50)
    prepare(without_valid, config=config, seed=2)
    assert len(learnt[1][0]) == 50
    for seed, (pairs, keys) in enumerate(learnt, start=1):
        train = repair_pairs(
            load_corpus(str(without_valid), "de", "en", seed).splits["train"], config
        )
        all_keys = pair_keys(train, config)
        first = {key: place for place, key in reversed(list(enumerate(all_keys)))}
        places = sorted(first[key] for key in sorted(first)[: len(keys)])
        assert pairs == [train[place] for place in places]
        assert keys == [all_keys[place] for place in places]
    assert len(learnt[0][0]) == len(set(learnt[0][1])) > 100


def test_what_the_first_of_a_mixture_holds_out(
    corpus: Path, without_valid: Path, sound: Pairs
) -> None:
    first = prepare(corpus)
    write(without_valid, {"train": sound})
    second = prepare(without_valid, beside=first)
    assert not set(second.train) & set(sound[:40])  # which are valid and test_a there
    assert set(second.train) <= set(sound) and len(second.train) > 600
    assert set(second.splits) == {"test"}
    assert prepare(without_valid).folder != second.folder


# --- interruptions ----------------------------------------------------------------------------

POINTS = ("_read", "_judge", "_learn", "_finish", "write_json", "merge")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
@pytest.mark.parametrize("point", POINTS)
def test_an_interrupted_call_is_resumed(
    corpus: Path, small_shards, tmp_path: Path, monkeypatch, point: str, error: BaseException
) -> None:
    """Nothing is done twice, and in the end all is as if nothing had happened."""
    small_shards(60)
    whole = content(prepare(corpus, tmp_path / "whole").folder)
    folder = tmp_path / "folder"
    calls: list[str] = []

    def watch(stop_at: int) -> None:
        original = getattr(shard_passes, point)

        def call(*arguments: Any, **options: Any) -> Any:
            calls.append(point)
            if len(calls) == stop_at:
                raise error
            return original(*arguments, **options)

        monkeypatch.setattr(shard_passes, point, call)

    stop_at = {"_read": 3, "_judge": 4, "merge": 2}.get(point, 1)
    watch(stop_at)
    with pytest.raises(TranslatorError if isinstance(error, OSError) else KeyboardInterrupt) as e:
        prepare(corpus, folder)
    if isinstance(error, OSError):
        assert "No space left. Check the disk; the same command continues" in str(e.value)
    assert not is_prepared(folder)
    calls.clear()
    monkeypatch.undo()
    small_shards(60)
    watch(-1)
    assert list(prepare(corpus, folder).train) == in_memory(corpus)[0]
    assert content(folder) == whole
    n_shards = -(-len(load_corpus(str(corpus), "en", "de").splits["train"]) // 60)
    if point in ("_read", "_judge"):
        assert len(calls) == n_shards - (stop_at - 1)


def test_an_interruption_behind_the_last_step_is_tidied_up(
    corpus: Path, tmp_path: Path, monkeypatch
) -> None:
    def stop(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cleaned, "shutil", SimpleNamespace(rmtree=stop))
    with pytest.raises(KeyboardInterrupt):
        prepare(corpus, tmp_path / "folder")
    monkeypatch.undo()
    assert is_prepared(tmp_path / "folder") and (tmp_path / "folder" / "shards").exists()
    prepare(corpus, tmp_path / "folder")
    assert content(tmp_path / "folder") == content(prepare(corpus, tmp_path / "whole").folder)


def _prepare_and_encode(corpus: Path, folder: Path, tokenizer: bytes, barrier: Any) -> None:
    shard_passes.SHARD = encoded.SHARD = 40
    barrier.wait()
    encode_corpus(prepare(corpus, folder), Tokenizer(tokenizer), LIMITS)


def test_processes_that_meet(corpus: Path, tmp_path: Path, tokenizer: Tokenizer) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    arguments = corpus, tmp_path / "together", tokenizer.model_bytes, barrier
    processes = [context.Process(target=_prepare_and_encode, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    alone = prepare(corpus, tmp_path / "alone")
    encode_corpus(alone, tokenizer, LIMITS)
    assert content(tmp_path / "together") == content(alone.folder)


def test_a_table_without_header_is_source_and_target(tmp_path: Path, cache: Path) -> None:
    """In either direction, whatever the alphabet says."""
    pairs = [(f"A dog has {n} balls.", f"Ein Hund hat {n} Bälle.") for n in range(2, 40)]
    path = tmp_path / "memory.tsv"
    path.write_text("".join(f"{src}\t{tgt}\n" for src, tgt in pairs))
    config = CleanConfig(enabled=False)
    for src, tgt in (("en", "de"), ("de", "en")):
        found = prepare_corpus(str(path), src, tgt, config)
        assert sorted([*found.train, *found.splits["valid"]]) == sorted(pairs)


def test_a_process_that_waited_does_no_work(
    corpus: Path, tmp_path: Path, tokenizer, monkeypatch
) -> None:
    """Another process ends while this one waits for its turn."""
    folder = tmp_path / "folder"
    locked = cleaned.locked

    def wait(where: Path) -> Any:
        for module in (cleaned, encoded):
            monkeypatch.setattr(module, "locked", locked)
        if where == folder:
            prepare(corpus, folder)
        else:
            encode_corpus(open_prepared(folder, "en", "de"), tokenizer, LIMITS)
        for module in (cleaned, encoded):
            monkeypatch.setattr(module, "make_shards", None)  # is not needed again
        return locked(where)

    monkeypatch.setattr(cleaned, "locked", wait)
    found = prepare(corpus, folder)
    monkeypatch.undo()
    monkeypatch.setattr(encoded, "locked", wait)
    assert encode_corpus(found, tokenizer, LIMITS) is not None
    assert list(found.train) == in_memory(corpus)[0]


# --- what is trusted --------------------------------------------------------------------------


def test_repeating_a_call_does_no_work(corpus: Path, monkeypatch) -> None:
    first = prepare(corpus)
    before = content(first.folder)
    monkeypatch.setattr(cleaned, "open_corpus", None)
    monkeypatch.chdir(corpus.parent)
    again = prepare(Path(corpus.name))  # however it is called
    assert again.folder == first.folder and content(first.folder) == before


def change_a_line(corpus: Path) -> dict[str, Any]:
    lines = (corpus / "train.en").read_text(encoding="utf-8").splitlines()
    lines[1] = lines[1].swapcase()
    (corpus / "train.en").write_text("\n".join(lines) + "\n", encoding="utf-8")
    stat = (corpus / "train.en").stat()  # clocks of file systems may be slow
    os.utime(corpus / "train.en", ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**7))
    return {}


def add_a_test_split(corpus: Path) -> dict[str, Any]:
    write(corpus, {"test_b": [("A new line.", "Eine neue Zeile.")]})
    return {}


@pytest.mark.parametrize(
    "change",
    [
        change_a_line,
        add_a_test_split,
        lambda corpus: {"seed": 2},
        lambda corpus: {"config": replace(CONFIG, max_words=7)},
    ],
)
def test_any_change_leads_to_another_folder(corpus: Path, tmp_path: Path, change) -> None:
    """And where the folder was named, it is refused, and nothing in it changes."""
    copy = write(tmp_path / "copy", load_corpus(str(corpus), "en", "de").splits)
    first, named = prepare(copy), prepare(copy, tmp_path / "named")
    before = content(named.folder)
    options = change(copy)
    config = options.pop("config", CONFIG)
    second = prepare(copy, config=config, **options)
    assert second.folder != first.folder
    assert list(second.train) == in_memory(copy, config)[0]
    with pytest.raises(TranslatorError, match="holds something else, or the same corpus by other"):
        prepare(copy, named.folder, config, **options)
    assert content(named.folder) == before


def test_other_languages_are_another_folder(corpus: Path, tmp_path: Path) -> None:
    copy = write(tmp_path / "copy", load_corpus(str(corpus), "en", "de").splits)
    for file in list(copy.glob("*.en")):
        file.with_suffix(".nl").write_bytes(file.read_bytes())
    found = prepare_corpus(str(copy), "nl", "de", CONFIG)
    assert found is not None and found.folder != prepare(copy).folder
    with pytest.raises(TranslatorError, match="holds de-nl, not de-en"):
        prepare(copy, found.folder)


@pytest.mark.parametrize("name", ["notes.txt", "train.en", ".hidden", "making.json"])
def test_a_folder_with_other_content_is_not_touched(
    corpus: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / name).write_text("mine\n")
    with pytest.raises(TranslatorError, match="holds something else"):
        prepare(corpus, folder)
    assert content(folder) == {name: b"mine\n"} and len(list(folder.iterdir())) == 1
    with pytest.raises(TranslatorError, match="Not a directory"):
        prepare(corpus, folder / name)


def test_a_folder_that_another_run_has_begun(corpus: Path, tmp_path: Path, monkeypatch) -> None:
    """By other rules it is refused; but what a killed process forgot there is no hindrance."""
    monkeypatch.setattr(cleaned, "clean_into", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        prepare(corpus, tmp_path / "folder")
    monkeypatch.undo()
    with pytest.raises(TranslatorError, match="holds something else"):
        prepare(corpus, tmp_path / "folder", CleanConfig(alignment=0, max_words=7))
    (tmp_path / "folder" / "making.json").rename(tmp_path / "folder" / ".making.json.1.tmp")
    assert prepare(corpus, tmp_path / "folder")


def test_a_corpus_that_is_not_there_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "corpus").mkdir()
    for name, message in ((tmp_path / "corpus", "holds no corpus"), ("nothing", "neither a fold")):
        with pytest.raises(TranslatorError, match=message):
            prepare_corpus(str(name), "en", "de", CONFIG, tmp_path / "folder")
        with pytest.raises(TranslatorError, match=message):
            prepare_corpus(str(name), "en", "de", CONFIG)
    assert not (tmp_path / "folder").exists() and not cache.exists()
    write(tmp_path / "corpus", {"test": [("A line.", "Eine Zeile.")]})
    write(tmp_path / "empty", {"train": []})
    for name in ("corpus", "empty"):
        with pytest.raises(TranslatorError, match="no training pairs: train.de and train.en need"):
            prepare(tmp_path / name)


def cut(name: str, n_bytes: int) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        file = folder / name
        file.write_bytes(file.read_bytes()[:-n_bytes])

    return damage


def without(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink() for name in names] and None


@pytest.mark.parametrize(
    "damage, message",
    [
        (cut(MANIFEST, 10), f"{MANIFEST} is damaged"),
        (lambda folder: (folder / MANIFEST).write_text("[]"), f"{MANIFEST} is damaged"),
        (
            lambda folder: (folder / MANIFEST).write_text(f'{{"version": {VERSION}}}'),
            f"{MANIFEST} is damaged",
        ),
        (lambda folder: (folder / MANIFEST).write_text('{"version": 0}'), "another version"),
        (cut("train.de.rows", 1), "train.de is cut short"),
        (cut("train.en.ends", 8), "train.en is cut short"),
        (cut("train.en.ends", 3), "train.en is cut short"),
        (without("train.en.rows"), "train.en.rows cannot be read"),
    ],
)
def test_damage_is_one_line(corpus: Path, tmp_path: Path, damage, message: str) -> None:
    folder = prepare(corpus, tmp_path / "folder").folder
    damage(folder)
    for name, where in ((folder, None), (corpus, folder)):
        with pytest.raises(TranslatorError, match=message) as error:
            len(prepare(name, where).train)
        assert "\n" not in str(error.value)


def test_without_its_manifest_a_folder_is_nothing(corpus: Path, tmp_path: Path) -> None:
    folder = prepare(corpus, tmp_path / "folder").folder
    (folder / MANIFEST).unlink()
    assert not is_prepared(folder)
    with pytest.raises(TranslatorError, match="holds no corpus"):
        prepare(folder)


def test_a_prepared_folder_is_a_corpus(corpus: Path, tmp_path: Path) -> None:
    made = prepare(corpus, tmp_path / "folder")
    before = content(made.folder)
    again = prepare(made.folder)
    assert again == made and content(made.folder) == before
    opened = open_corpus(str(made.folder), "de", "en")
    assert {split: turned(pairs()) for split, pairs in opened.items()} == {
        "train": list(made.train),
        **made.splits,
    }
    assert load_corpus(str(made.folder), "en", "de").splits["train"] == list(made.train)
    for changes in ({"max_words": 7}, {"duplicates": "off", "urls": 0}):
        config = replace(CONFIG, **changes)
        with pytest.raises(TranslatorError, match="prepared by other rules") as error:
            prepare(made.folder, config=config)
        assert all(f"clean.{name}: " in str(error.value) for name in changes)
        assert "\n" not in str(error.value)
    shorter = replace(CONFIG, max_words=7)
    stricter = prepare(made.folder, tmp_path / "stricter", shorter)
    assert list(stricter.train) == in_memory(made.folder, shorter)[0]
    assert 0 < len(stricter.train) < len(made.train) and stricter.splits == made.splits
    with pytest.raises(TranslatorError, match="holds de-en, not en-fr"):
        open_prepared(made.folder, "en", "fr")


def test_a_known_name_is_not_a_folder(corpus: Path, tmp_path: Path, monkeypatch) -> None:
    """That a folder of this name lies here by chance changes nothing."""
    monkeypatch.chdir(tmp_path)
    prepare(corpus, Path("sample"))
    monkeypatch.setattr(cleaned, "open_corpus", lambda name, *languages: {})
    with pytest.raises(TranslatorError, match="sample has no training pairs"):
        prepare(Path("sample"))


# --- ids --------------------------------------------------------------------------------------


def encode(made: Prepared, tokenizer: Tokenizer, **options: Any) -> Ids:
    found = encode_corpus(made, tokenizer, LIMITS, **options)
    assert found is not None
    return found


@pytest.mark.parametrize("size, workers", [(19, 1), (60, 2), (10**6, 1)])
def test_ids_are_those_of_the_text(
    corpus: Path, tokenizer: Tokenizer, small_shards, size: int, workers: int
) -> None:
    made = prepare(corpus)
    small_shards(size)
    found = encode(made, tokenizer, workers=workers)
    expected, dropped = encode_pairs(made.train, tokenizer, LIMITS)
    assert found[:] == list(found) == expected
    assert found.dropped == dropped and dropped["overlong"] and expected
    assert len(found.places) == len(found) == len(made.train) - sum(dropped.values())
    for (src, tgt), place in zip(found, found.places, strict=True):
        text = tuple(map(normalise, made.train[place]))
        assert (tokenizer.decode(src), tokenizer.decode(tgt)) == text
    assert list(found.places) == sorted(set(found.places))
    assert found.lengths.tolist() == [[len(pair[side]) for pair in expected] for side in (0, 1)]


def test_ids_are_made_once_for_both_directions(
    corpus: Path, tokenizer: Tokenizer, monkeypatch
) -> None:
    made = prepare(corpus)
    there = encode(made, tokenizer)
    monkeypatch.setattr(encoded, "make_shards", None)  # is not needed again
    back = encode(open_prepared(made.folder, "de", "en"), tokenizer)
    assert encode(made, tokenizer).folder == back.folder == there.folder
    assert list(back) == turned(there) and back.places == there.places
    monkeypatch.undo()
    longer = encode_corpus(made, tokenizer, replace(LIMITS, max_length=90))
    assert longer is not None and longer.folder != there.folder and len(longer) > len(there)
    assert isinstance(there.places, array)


@pytest.mark.parametrize("point, stop_at", [("encode_pair", 100), ("merge", 2), ("write_json", 1)])
def test_interrupted_encoding_is_resumed(
    corpus: Path, tokenizer: Tokenizer, small_shards, monkeypatch, point: str, stop_at: int
) -> None:
    small_shards(40)
    made = prepare(corpus)
    whole = content(encode(made, tokenizer).folder)
    cleaned.shutil.rmtree(encode(made, tokenizer).folder)
    original, calls = getattr(encoded, point), 0

    def call(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == stop_at:
            raise OSError(errno.ENOSPC, "No space left")
        return original(*arguments)

    monkeypatch.setattr(encoded, point, call)
    with pytest.raises(TranslatorError, match="No space left. Check the disk"):
        encode(made, tokenizer)
    assert not list(made.folder.glob(f"ids-*/{MANIFEST}"))
    assert content(encode(made, tokenizer).folder) == whole
    if point == "encode_pair":
        assert calls == 100 + len(made.train) - 80  # two shards were whole


@pytest.mark.parametrize(
    "damage, message",
    [
        (cut(MANIFEST, 3), "manifest.json is damaged"),
        (cut("de.rows", 1), "de is cut short"),
        (cut("en.ends", 8), "en is cut short"),
    ],
)
def test_damaged_ids_are_one_line(corpus: Path, tokenizer: Tokenizer, damage, message: str) -> None:
    made = prepare(corpus)
    damage(encode(made, tokenizer).folder)
    with pytest.raises(TranslatorError, match=message):
        encode(made, tokenizer)


def test_a_vocabulary_must_fit(corpus: Path, tokenizer: Tokenizer) -> None:
    big = Tokenizer(tokenizer.model_bytes)
    big.vocab_size = MAX_VOCAB + 1
    made = prepare(corpus)
    with pytest.raises(TranslatorError, match="at most 65,536 pieces"):
        encode(made, big)
    assert not list(made.folder.glob("ids-*"))


def test_what_a_loader_gets_is_small(corpus: Path, tokenizer: Tokenizer) -> None:
    """Its processes map the files themselves."""
    found = encode(prepare(corpus), tokenizer)
    n_bytes = sum(len(data) for data in content(found.folder).values())
    pickled = pickle.dumps(found)
    assert len(pickled) < 1000 < n_bytes
    assert list(pickle.loads(pickled)) == list(found)
