"""Settings: presets, files, overrides, and what they refuse."""

import dataclasses
import json
import math

import pytest

from translator.config import loading
from translator.config.errors import TranslatorError
from translator.config.fields import Interval
from translator.config.loading import differences, from_dict, from_saved, load_config, to_dict
from translator.config.presets import PRESETS
from translator.config.schema import Config, ModelConfig, SearchConfig


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_json(name: str) -> None:
    config = load_config(name)
    assert config.preset == name
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config


def test_presets_have_the_sizes_of_their_papers() -> None:
    def sizes(name: str) -> tuple[int, ...]:
        m = PRESETS[name].model
        return m.n_encoder_layers, m.n_decoder_layers, m.d_model, m.d_ff, m.n_heads

    assert sizes("tiny") == (4, 4, 128, 256, 4)
    assert sizes("small") == (3, 3, 256, 1024, 4)
    assert sizes("general") == (6, 2, 512, 2048, 8)
    assert sizes("base") == (6, 6, 512, 2048, 8)
    assert sizes("big") == (6, 6, 1024, 4096, 16)
    assert sizes("deep") == (24, 6, 512, 2048, 8)
    general = PRESETS["general"]
    # Whole sentences, as long as those that training saw.
    assert general.search.max_pieces == general.data.max_length == 128
    assert [PRESETS[name].model.norm for name in ("base", "big", "deep")] == ["post", "post", "pre"]


def test_override_beats_file_beats_preset(tmp_path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("[train]\nsteps = 11\nseed = 5\n[model]\ndropout = 0\n")
    config = load_config("base", file, ["train.steps=12", "data.corpus=some/folder"])
    assert (config.train.steps, config.train.seed) == (12, 5)
    assert config.model.dropout == 0.0 and isinstance(config.model.dropout, float)
    assert config.data.corpus == "some/folder"
    assert config.model.d_model == PRESETS["base"].model.d_model


@pytest.mark.parametrize("section", ["model", "data", "train", "search"])
def test_unknown_key_is_an_error_that_names_it(section: str) -> None:
    with pytest.raises(TranslatorError, match=f"{section}.no_such_key"):
        load_config(overrides=[f"{section}.no_such_key=1"])


@pytest.mark.parametrize(
    "override",
    [
        "train.steps=many",
        "train.steps=1.5",
        "train.steps=true",
        "model.norm=3",
        "model.norm=middle",
        "model.dropout=1",
        "model.d_model=130",
        "data.tgt=en",
        "search.n_best=6",
        "search.beam_size=0",
        "search.batch_tokens=0",
        "search.decode=guess",
        "search.length_rule=long",
        "search.stopping=never",
        "search.candidates_from=air",
        "search.utility=comet",
        "search.candidates=0",
        "search.max_pieces=0",
        "search.temperature=0",
        "search.temperature=nan",
        "search.top_p=0",
        "search.top_p=1.1",
        "search.top_k=-1",
        "search.min_length=-1",
        "search.no_repeat_ngram=-2",
        "search.diversity=-0.1",
        "search.coverage_penalty=-1",
        "no_section.key=1",
        "preset.key=1",
        "train=1",
        "train.steps",
        "=1",
    ],
)
def test_bad_override_is_an_error(override: str) -> None:
    with pytest.raises(TranslatorError):
        load_config(overrides=[override])


def all_settings() -> list[tuple[str, dataclasses.Field]]:
    sections = [f for f in dataclasses.fields(Config) if f.name != "preset"]
    return [
        (section.name, setting)
        for section in sections
        for setting in dataclasses.fields(getattr(Config(), section.name))
    ]


def test_every_setting_says_what_it_means() -> None:
    assert [name for _, name in all_settings() if not name.metadata.get("help")] == []


@pytest.mark.parametrize(
    "value", ["inf", "-inf", "nan", "1e30", "-1e30", f"{10**30}", f"-{10**400}"]
)
def test_no_number_is_absurd(value: str) -> None:
    accepted = []
    for section, setting in all_settings():
        if type(setting.default) not in (int, float):
            continue
        try:
            load_config(overrides=[f"{section}.{setting.name}={value}"])
        except TranslatorError as error:
            assert f"{section}.{setting.name}" in str(error) and "\n" not in str(error)
        else:
            accepted.append(f"{section}.{setting.name}")
    assert accepted == []


def test_every_choice_is_checked() -> None:
    choices = [(s, f) for s, f in all_settings() if isinstance(f.metadata["allowed"], tuple)]
    assert len(choices) > 8
    for section, setting in choices:
        assert setting.default in setting.metadata["allowed"]
        with pytest.raises(TranslatorError, match=f"{section}.{setting.name} must be one of"):
            load_config(overrides=[f"{section}.{setting.name}=other"])


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("[0, 1)", [0, 0.5], [-0.1, 1, math.nan, math.inf]),
        ("(0, 1]", [0.1, 1], [0, 1.1]),
        ("[1, 1e9]", [1, 10**9], [0, 10**9 + 1]),
    ],
)
def test_intervals_are_read_as_in_mathematics(text: str, inside: list, outside: list) -> None:
    interval = Interval.parse(text)
    assert all(value in interval for value in inside)
    assert not any(value in interval for value in outside)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("train.paek_lr", "train.peak_lr"), ("trian.steps", "train"), ("data.steps", "train.steps")],
)
def test_a_slip_in_a_setting_gets_a_hint(typed: str, meant: str) -> None:
    with pytest.raises(TranslatorError, match=f'Did you mean "{meant}"'):
        load_config(overrides=[f"{typed}=1"])
    with pytest.raises(TranslatorError, match='Did you mean "small"'):
        load_config("smal")
    with pytest.raises(TranslatorError) as error:
        load_config(overrides=["train.xyzzy=1"])
    assert "mean" not in str(error.value)


def test_overrides_are_judged_together() -> None:
    """Neither setting fits without the other; both orders must work."""
    overrides = ["model.n_heads=6", "model.d_model=96", "search.n_best=9", "search.beam_size=9"]
    for ordered in (overrides, overrides[::-1]):
        config = load_config(overrides=ordered)
        assert (config.model.n_heads, config.model.d_model) == (6, 96)
        assert (config.search.n_best, config.search.beam_size) == (9, 9)


def test_samples_need_no_beam() -> None:
    config = load_config(overrides=["search.decode=sample", "search.n_best=9"])
    assert (config.search.n_best, config.search.beam_size) == (9, 5)


def test_no_heads_is_an_error() -> None:
    with pytest.raises(TranslatorError, match="n_heads"):
        load_config(overrides=["model.n_heads=0"])


def test_unknown_preset_lists_the_known() -> None:
    with pytest.raises(TranslatorError, match=", ".join(PRESETS)):
        load_config("huge")


@pytest.mark.parametrize("content", [b"[train\n", b"\xff\xfe"])
def test_broken_file_is_named(tmp_path, content: bytes) -> None:
    file = tmp_path / "broken.toml"
    file.write_bytes(content)
    with pytest.raises(TranslatorError, match=r"broken\.toml"):
        load_config(file=file)


def test_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(TranslatorError, match=r"missing\.toml"):
        load_config(file=tmp_path / "missing.toml")


def test_differences_name_the_field_and_both_values() -> None:
    old = load_config()
    new = load_config(overrides=["train.seed=9", "train.steps=5", "model.d_ff=64"])
    assert differences(old, new, ignore=["train.steps"]) == [
        f"model.d_ff: {old.model.d_ff} -> 64",
        f"train.seed: {old.train.seed} -> 9",
    ]
    assert differences(new, new) == []


def test_configs_are_frozen() -> None:
    for section in (Config(), ModelConfig(), SearchConfig()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(section, dataclasses.fields(section)[0].name, None)


def test_a_retired_setting_is_ignored_in_what_was_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    saved = to_dict(Config())
    saved["train"]["half_life"] = 3
    with pytest.raises(TranslatorError, match="Unknown setting train.half_life"):
        from_saved(saved)
    monkeypatch.setattr(loading, "RETIRED", frozenset({"train.half_life"}))
    assert from_saved(saved) == Config()
    with pytest.raises(TranslatorError, match="Unknown setting train.half_life"):
        load_config(overrides=["train.half_life=3"])  # who sets it now should know
