"""Settings: defaults, YAML, overrides, and one sentence for every mistake."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from llasa.base.errors import LlasaError
from llasa.training.codec.settings import CodecTraining
from llasa.training.config import as_dict, build, load_settings
from llasa.training.lm.settings import LMTraining
from llasa.training.schedules import ScheduleSettings

RECIPES = Path(__file__).parents[2] / "recipes"


@dataclass
class Part:
    size: int = 3
    kind: Literal["a", "b"] = "a"


@dataclass
class Whole:
    name: str
    rate: float = 1.0
    fast: bool = False
    pair: tuple[float, float] = (0.1, 0.2)
    many: tuple[int, ...] = (1, 2)
    parts: list[Part] = field(default_factory=list)
    part: Part = field(default_factory=lambda: Part(7, "b"))
    free: dict[str, Any] = field(default_factory=dict)
    maybe: float | None = None


def load(tmp_path: Path, text: str, *overrides: str) -> Whole:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    return load_settings(Whole, path, list(overrides))


def test_yaml_then_overrides(tmp_path: Path) -> None:
    text = "name: x\nrate: 1e-4\nmany: [4]\nparts: [{size: 5}, {kind: b}]\nfree: {deep: {a: 1}}\n"
    overrides = ["part.size=9", "fast=true", "free.deep.b=2", "maybe=3", "pair=[1, 0.5]"]
    settings = load(tmp_path, text, *overrides)
    assert settings == Whole(
        "x",
        1e-4,
        fast=True,
        pair=(1.0, 0.5),
        many=(4,),
        parts=[Part(5), Part(3, "b")],
        part=Part(9, "b"),
        free={"deep": {"a": 1, "b": 2}},
        maybe=3.0,
    )


def test_a_named_section_keeps_its_other_defaults() -> None:
    """The default of the field counts, not that of its class."""
    settings = build(CodecTraining, {"schedule": {"warmup": 10}})
    assert settings.schedule == ScheduleSettings("codec", 10, 400_000, 0.2)
    lm = load_settings(LMTraining, None, ["vocabulary=v", "schedule.final=0.5"])
    assert (lm.schedule.kind, lm.schedule.warmup_ratio, lm.schedule.final) == ("cosine", 0.03, 0.5)
    other = build(CodecTraining, {"schedule": {"kind": "wsd"}}).schedule
    assert other == ScheduleSettings("wsd")  # the lengths were meant for the other shape


def test_defaults_are_those_of_the_paper() -> None:
    lm = build(LMTraining, {"vocabulary": "v"})
    assert (lm.optimizer.rate, lm.optimizer.betas) == (5e-5, (0.9, 0.95))
    assert (lm.optimizer.weight_decay, lm.optimizer.clip) == (0.01, 1.0)
    assert lm.schedule == ScheduleSettings("cosine", final=0.1, warmup_ratio=0.03)
    assert (lm.data.max_tokens, lm.data.task, lm.full_vocabulary) == (2048, "tts", True)
    codec = CodecTraining()
    assert (codec.optimizer.rate, codec.optimizer.betas) == (1e-4, (0.8, 0.9))
    assert (codec.optimizer.weight_decay, codec.optimizer.clip) == (0.01, 1.0)
    assert (codec.data.seconds, codec.data.batch, codec.data.fill) == (6.0, 8, "pad")
    loss = codec.loss
    assert (loss.mel, loss.adversarial, loss.feature_matching, loss.semantic) == (15, 1, 1, 5)
    assert (loss.perceptual, loss.spread, codec.ema, codec.weight_norm) == (0, 0, 0, True)
    assert codec.run.seed == 1024


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        (
            "name: x\nrat: 1",
            [],
            "'rat' is unknown: valid are name, .* Did you mean rate\\?",
        ),
        ("name: x", ["part.sise=1"], r"'part\.sise' is unknown: .* Did you mean part\.size\?"),
        (
            "name: x\nparts: [{knd: a}]",
            [],
            r"'parts\[0\]\.knd' is unknown: .* mean parts\[0\]\.kind",
        ),
        ("rate: 1", [], "name is required"),
        ("name: 5", [], "name must be of type str, not 5"),
        ("name: x\nrate: fast", [], "rate must be of type float, not 'fast'"),
        ("name: x\nrate: true", [], "rate must be of type float, not True"),
        ("name: x\nrate: .nan", [], "rate must be a finite number"),
        ("name: x\nfast: 1", [], "fast must be of type bool, not 1"),
        ("name: x\npart: {size: 1.5}", [], r"part\.size must be of type int, not 1\.5"),
        ("name: x\npart: {kind: c}", [], r"part\.kind: 'c' is unknown: valid are a, b"),
        ("name: x\npart: 3", [], "part must hold keys, not 3"),
        ("name: x\nmany: 3", [], "many must be a list, not 3"),
        ("name: x\nmany: [a]", [], r"many\[0\] must be of type int, not 'a'"),
        ("name: x\npair: [1]", [], "pair must have 2 members"),
        ("name: x\nfree: 3", [], "free must be of type dict, not 3"),
        ("name: x", ["rate"], "Override 'rate' has no '='"),
        ("name: x", ["rate=[1"], "Override 'rate=\\[1' is not valid YAML"),
        ("name: x", ["name.size=1"], "'name' holds a value, not further keys"),
        ("- 1", [], "must hold keys and values"),
        ("name: [", [], "is not valid YAML"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, overrides: list[str], message: str) -> None:
    with pytest.raises(LlasaError, match=message) as caught:
        load(tmp_path, text, *overrides)
    assert "\n" not in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match=r"none\.yaml cannot be read: No such file"):
        load_settings(Whole, tmp_path / "none.yaml", [])
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LlasaError, match="is not a text file"):
        load_settings(Whole, tmp_path / "binary.yaml", [])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("run.log_every=0", r"run\.log_every is 0; give a whole number of at least 1"),
        ("run.keep=-1", r"run\.keep is -1; give a whole number of at least 0"),
        ("data.batch=0", r"data\.batch"),
        ("schedule.decay=0", r"schedule\.decay must be above 0"),
        ("schedule.warmup=-1", r"schedule\.warmup"),
        ("schedule.final=-0.1", r"schedule\.final"),
        ("ema=1", r"ema is 1\.0; give a number in \[0, 1\)"),
    ],
)
def test_values_that_make_no_sense(setting: str, message: str) -> None:
    with pytest.raises(LlasaError, match=message):
        load_settings(CodecTraining, None, [setting])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("rate=0", r"optimizer\.rate is 0\.0; give a number above 0"),
        ("rate=-1e-4", r"optimizer\.rate is -0\.0001; give a number above 0"),
        ("betas=[0.9, 1.0]", r"optimizer\.betas is \[0\.9, 1\.0\]; give two in \[0, 1\)"),
        ("betas=[-0.1, 0.9]", r"optimizer\.betas is \[-0\.1"),
        ("weight_decay=-0.1", r"optimizer\.weight_decay is -0\.1; give a number from 0"),
        ("clip=0", r"optimizer\.clip is 0\.0; give a number above 0"),
    ],
)
def test_optimizer_values_that_make_no_sense(setting: str, message: str) -> None:
    kinds: list[tuple[type, list[str]]] = [(CodecTraining, []), (LMTraining, ["vocabulary=v"])]
    for kind, required in kinds:
        with pytest.raises(LlasaError, match=message):
            load_settings(kind, None, [*required, f"optimizer.{setting}"])


def test_phones_of_a_codec_need_symbols() -> None:
    with pytest.raises(LlasaError, match=r"loss\.mel is -1\.?0?; give a number from 0"):
        load_settings(CodecTraining, None, ["loss.mel=-1"])
    with pytest.raises(LlasaError, match=r"needs data\.phones"):
        load_settings(CodecTraining, None, ["loss.phones=1"])


def test_a_codec_without_losses() -> None:
    off = ["loss.mel=0", "loss.adversarial=0", "loss.semantic=0"]
    with pytest.raises(LlasaError, match="Nothing would be learnt"):
        load_settings(CodecTraining, None, off)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["optimizer.accumulate=0"], "accumulate"),
        (["alignment.until=0"], "alignment"),
        (["alignment.offsets=[]"], "offsets"),
        (["phones.weight=1"], r"needs phones\.symbols"),
        (["phones.weight=-1"], "phones"),
        (["data.short_first=2"], r"data\.short_first is 2\.0; give a number from 0 to 1"),
        (["alignment.weight=1", "data.task=asr"], r"need data\.task=tts"),
        (["data.tokens=0"], r"data\.tokens is 0; give a whole number"),
        (["data.released=true", "data.layout=pack"], "layout=bucket"),
    ],
)
def test_language_model_values_that_make_no_sense(settings: list[str], message: str) -> None:
    with pytest.raises(LlasaError, match=message):
        load_settings(LMTraining, None, ["vocabulary=v", *settings])


def test_an_older_name_of_a_setting_is_read() -> None:
    values = {"data": {"disguise": 0.2}}
    assert build(CodecTraining, values).data.perturb == 0.2
    assert "disguise" not in as_dict(build(CodecTraining, values))["data"]
    with pytest.raises(LlasaError, match=r"data\.disguise is now called data\.perturb"):
        build(CodecTraining, {"data": {"disguise": 0.2, "perturb": 0.1}})


def test_recipes_are_valid_and_settings_round_trip(tmp_path: Path) -> None:
    import yaml

    kinds: dict[str, type[Any]] = {"codec": CodecTraining, "lm": LMTraining}
    for name, kind in kinds.items():
        settings = load_settings(kind, RECIPES / "nano" / f"{name}.yaml", [])
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(as_dict(settings)))
        assert load_settings(kind, path, []) == settings
