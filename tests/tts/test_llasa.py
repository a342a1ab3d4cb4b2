"""Text to speech with small real parts: exactness, seeds, long texts, voices and bad input."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy, deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import llasa
from llasa.audio.audio import Audio, read_audio
from llasa.base.errors import LlasaError
from llasa.codec.inputs import CONTEXT_SECONDS
from llasa.lm.engine import generate
from llasa.lm.sampling import SamplingParams
from llasa.models.folder import ModelConfig
from llasa.models.voice import Voice
from llasa.search.strategies import best_of_n
from llasa.text import PLAIN, Form, Passage, Reading, read_text
from llasa.text.duration import GRACE
from llasa.tts.check import Checked
from llasa.tts.llasa import Llasa
from llasa.verifiers import Candidate
from llasa.verifiers.tokens import Length
from tests.tiny_model import CODEC, tiny_codec, tiny_voice, tone, write_tiny_model

pytestmark = pytest.mark.usefixtures("own_voices")

TEXT = "The lazy dog speaks."
LONG = " ".join(f"This is sentence number {n}, and the fox jumps over the dog." for n in range(5))


def parts_of(text: str, limit: int = 100, enough: int | None = None) -> list[Passage]:
    return read_text(text, Reading(), Form(), limit, limit if enough is None else enough)


@pytest.fixture(scope="module")
def tts(tiny: Path) -> Llasa:
    return Llasa.load(tiny, device="cpu")


class Spy:
    """The engine, and what it was asked for."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.prompts: list[list[int]] = []
        self.params: list[SamplingParams] = []

    def start(
        self, prompts: Sequence[Sequence[int]], params: SamplingParams | Sequence[SamplingParams]
    ) -> Any:
        self.prompts += [list(prompt) for prompt in prompts]
        self.params += [params] if isinstance(params, SamplingParams) else params
        return self.engine.start(prompts, params)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


@pytest.fixture
def spy(tts: Llasa, monkeypatch: pytest.MonkeyPatch) -> Spy:
    watched = Spy(tts.engine)
    monkeypatch.setattr(tts.prompts, "engine", watched)
    return watched


def test_speech_is_what_engine_and_codec_give(tts: Llasa) -> None:
    speech = tts(TEXT, seed=3, temperature=0.7, top_k=20)
    voice = tts.voice("ann")
    assert voice is not None
    prompt = tts.vocabulary.tts_prompt(TEXT, voice.transcript, voice.codes)
    rule = SamplingParams(temperature=0.7, top_k=20, seed=3)
    (result,) = generate(tts.engine, [prompt], [rule])
    assert result.tokens
    np.testing.assert_array_equal(speech.codes, tts.vocabulary.ids_to_codes(result.tokens))
    assert len(voice.codes) < CONTEXT_SECONDS * 50  # so the whole prompt is context
    (whole,) = tts.codec.decode([np.concatenate([voice.codes, speech.codes])])
    expected = whole[len(voice.codes) * 320 :].clip(-1, 1)
    np.testing.assert_array_equal(speech.audio.samples, expected)
    assert speech.rate == 16_000
    assert speech.seconds == speech.tokens / 50
    assert speech.finish_reason == "stop"
    assert (speech.text, speech.voice, speech.seed) == (TEXT, "ann", 3)


def test_measures(tts: Llasa) -> None:
    speech = tts(LONG, seed=1)
    assert 0 < speech.first_audio < speech.total
    assert speech.rtf == speech.total / speech.seconds
    assert speech.tokens_per_second == speech.tokens / speech.total
    assert json.loads(json.dumps(speech.to_dict()))["tokens"] == speech.tokens


def test_a_seed_repeats(tts: Llasa) -> None:
    first, other = tts(TEXT), tts(TEXT)
    assert first.seed != other.seed
    again = tts(TEXT, seed=first.seed)
    np.testing.assert_array_equal(first.codes, again.codes)
    np.testing.assert_array_equal(first.audio.samples, again.audio.samples)
    assert first.codes.tolist() != other.codes.tolist()


def test_a_list_gives_what_each_text_gives_alone(tts: Llasa) -> None:
    texts, voices, seeds = [TEXT, LONG, "A fox."], ["ann", "random", None], [1, 2, 3]
    together = tts(texts, voice=voices, seed=seeds)
    for text, voice, seed, speech in zip(texts, voices, seeds, together, strict=True):
        alone = tts(text, voice=voice, seed=seed)
        np.testing.assert_array_equal(speech.codes, alone.codes)
        assert (speech.text, speech.seed, speech.voice) == (alone.text, seed, alone.voice)
    assert tts([]) == []
    one_seed = tts(["A fox.", "A dog."], seed=5)
    assert [speech.seed for speech in one_seed] == [5, 5]


def test_saved_in_every_format(tts: Llasa, tmp_path: Path) -> None:
    speech = tts(TEXT, seed=3)
    for suffix in ("wav", "flac", "mp3", "ogg", "opus"):
        speech.save(tmp_path / f"a.{suffix}")
        assert abs(read_audio(tmp_path / f"a.{suffix}").duration - speech.seconds) < 0.1


# -- long texts ---------------------------------------------------------------------------


def test_long_text_is_joined_with_pauses(tts: Llasa, spy: Spy) -> None:
    speech = tts(LONG, seed=2)
    passages = parts_of(LONG)
    assert len(spy.prompts) == len(passages) == 5
    pauses = sum(part.pause for part in passages[:-1])
    assert speech.seconds == pytest.approx(speech.tokens / 50 + pauses)
    voice = tts.voice("ann")
    assert voice is not None
    for number, part in enumerate(passages):
        prompt = tts.vocabulary.tts_prompt(part.given, voice.transcript, voice.codes)
        assert spy.prompts[number] == prompt
        assert spy.params[number].seed == 2 + number


def test_without_a_voice_the_first_part_keeps_it(tts: Llasa, spy: Spy) -> None:
    speech = tts(LONG, voice="random", seed=2)
    assert speech.voice is None
    first, *others = [part.given for part in parts_of(LONG)]
    assert spy.prompts[0] == tts.vocabulary.tts_prompt(first)
    (alone,) = generate(spy.engine, spy.prompts[:1], spy.params[:1])
    codes = tts.vocabulary.ids_to_codes(alone.tokens)
    for prompt, part in zip(spy.prompts[1:], others, strict=True):
        assert prompt == tts.vocabulary.tts_prompt(part, first, codes)


def test_later_parts_have_room_beside_the_first(tmp_path: Path) -> None:
    """Each prompt holds the first part, words and sound, at slow reading: 5 codes a character."""
    model = Llasa.load(
        write_tiny_model(tmp_path, ModelConfig("tiny", max_tokens=500)), device="cpu"
    )
    spy = Spy(model.engine)
    model = model.with_parts(engine=spy)  # type: ignore[arg-type]
    speech = model(LONG, voice="random", seed=2)
    assert speech.finish_reason == "stop"
    first, *others = [part.given for part in parts_of(LONG, 41)]
    assert len(spy.prompts) == len(others) + 1
    for part in others:
        text = model.vocabulary.tts_prompt(part, first, [])
        assert len(text) + 5 * (len(first) + len(part)) <= 500
    assert model("A fox. " * 11, voice="random", seed=1).tokens
    assert len(spy.prompts) == len(others) + 2, "one part needs no room for another"


def test_long_prompts_leave_room_for_speech(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path, ModelConfig("tiny", max_tokens=300, default_voice="ann"))
    model = Llasa.load(path, device="cpu")
    speech = model(LONG, seed=1)
    voice = model.voice("ann")
    assert voice is not None
    assert speech.tokens / 50 < 300 / 50 * 20
    with pytest.raises(LlasaError, match="no text fits: use a shorter recording"):
        model(TEXT, voice=replace(voice, codes=np.tile(voice.codes, 4)))


def test_speech_that_does_not_end(endless: Path) -> None:
    model = Llasa.load(endless, device="cpu")
    spy = Spy(model.engine)
    model = model.with_parts(engine=spy)  # type: ignore[arg-type]
    speech = model("A fox.", seed=1)
    assert speech.finish_reason == "length"
    slowest = ModelConfig.pace * Length().expected("A fox.") + GRACE
    assert speech.seconds == pytest.approx(slowest, abs=0.02)
    (warning,) = speech.warnings
    assert "'A fox.' did not end by itself and was cut off after 2.9 s" in warning
    first, second = spy.params
    assert first.seed == 1 != second.seed
    short = model(LONG, seed=1, max_seconds=0.5)
    assert (short.seconds, short.finish_reason, short.warnings) == (0.5, "length", ())
    assert len(spy.params) == 2 + 1  # no second try, and nothing past the limit
    assert model("A fox.", seed=1, max_seconds=float("inf")).seconds == speech.seconds


def test_nothing_said(mute: Path) -> None:
    model = Llasa.load(mute, device="cpu")
    spy = Spy(model.engine)
    model = model.with_parts(engine=spy)  # type: ignore[arg-type]
    with pytest.raises(LlasaError, match=r"said nothing for 'A fox\.', twice: try another seed"):
        model("A fox.", seed=1)
    first, second = spy.params
    assert first.seed == 1 != second.seed


def test_a_second_try(tmp_path: Path) -> None:
    """With an even chance to end at once, most texts still get speech, and it repeats."""
    model = Llasa.load(write_tiny_model(tmp_path, ends=float(np.log(64))), device="cpu")
    prompt = model.vocabulary.tts_prompt("A fox.")
    rules = [SamplingParams(seed=seed, max_tokens=1) for seed in range(20)]
    silent = [g.params.seed for g in generate(model.engine, [prompt] * 20, rules) if not g.tokens]
    assert 3 < len(silent) < 17
    spoken = []
    for seed in silent:
        try:
            spoken.append(model("A fox.", voice="random", seed=seed))
        except LlasaError as error:
            assert "said nothing" in str(error)  # noqa: PT017
    assert len(spoken) > 0
    again = model("A fox.", voice="random", seed=spoken[0].seed)
    np.testing.assert_array_equal(again.codes, spoken[0].codes)


# -- voices -------------------------------------------------------------------------------


def test_voices(tts: Llasa, own_voices: Path, tmp_path: Path) -> None:
    assert tts.voices() == ["ann"]
    own_voices.mkdir()
    tiny_voice(tts.codec, "bob").save(own_voices / "bob.safetensors")
    tiny_voice(tiny_codec(seed=1), "eve").save(own_voices / "eve.safetensors")
    assert tts.voices() == ["ann", "bob"]
    cloned = tts.clone(tone(1.5), "The fox jumps.", "carl")
    tts.add_voice(cloned)
    assert tts.voices() == ["ann", "bob", "carl"]
    for voice in ("bob", "carl", cloned, own_voices / "bob.safetensors"):
        assert tts(TEXT, voice=voice, seed=1).tokens
    with pytest.raises(LlasaError, match=r"'carla' is unknown: known are .* Did you mean carl\?"):
        tts(TEXT, voice="carla")
    with pytest.raises(LlasaError, match="Voice eve was made with another codec"):
        tts(TEXT, voice="eve")
    with pytest.raises(LlasaError, match="another codec"):
        tts.add_voice(tiny_voice(tiny_codec(seed=1)))
    with pytest.raises(LlasaError, match="cannot be called random"):
        cloned.renamed("random")


def test_trained_speakers(tts: Llasa, spy: Spy) -> None:
    assert tts(TEXT, voice=Voice("bob", speaker="Bob"), seed=1).voice == "bob"
    assert spy.prompts == [tts.vocabulary.tts_prompt(TEXT, speaker="Bob")]


def test_models_that_do_not_clone(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path, ModelConfig("tiny", cloning=False))
    model = Llasa.load(path, device="cpu")
    spy = Spy(model.engine)
    model = model.with_parts(engine=spy)  # type: ignore[arg-type]
    assert model(LONG, seed=1).tokens
    parts = [part.given for part in parts_of(LONG, enough=10)]
    assert spy.prompts == [model.vocabulary.tts_prompt(part) for part in parts]
    request = model.request("The fox jumps. A. The dog runs.")
    assert [part.text for part in request.passages] == ["The fox jumps. A.", "The dog runs."]
    assert model.voices() == []
    with pytest.raises(LlasaError, match="tiny was not trained to clone voices"):
        model(TEXT, voice=tiny_voice(tiny_codec()))


def test_a_model_that_hears_voices_but_does_not_clone(tmp_path: Path) -> None:
    """The language model is not told of a voice, the codec is."""
    config = replace(CODEC, speaker_size=8, decoder_window=4, time_rotary=True)
    settings = ModelConfig("tiny", cloning=False, default_voice="ann")
    model = Llasa.load(write_tiny_model(tmp_path, settings, config=config), device="cpu")
    assert model.capabilities.can_clone
    spy = Spy(model.engine)
    model = model.with_parts(engine=spy)  # type: ignore[arg-type]
    assert model.voices() == ["ann"]
    ann, plain = (model(TEXT, voice=voice, seed=1) for voice in (None, "random"))
    assert spy.prompts == [model.vocabulary.tts_prompt(TEXT)] * 2
    np.testing.assert_array_equal(ann.codes, plain.codes)
    assert (ann.voice, plain.voice) == ("ann", None)
    assert np.abs(ann.audio.samples - plain.audio.samples).max() > 0.01
    (expected,) = model.codec.decode([ann.codes], model.voice("ann").speaker_embedding)
    np.testing.assert_allclose(ann.audio.samples, expected.clip(-1, 1), atol=1e-5)
    streamed = np.concatenate([chunk.samples for chunk in model.stream(TEXT, seed=1)])
    assert len(streamed) == len(expected)
    assert np.abs(streamed - expected.clip(-1, 1)).max() < 1e-3
    (searched,) = (model(TEXT, seed=1, search=partial(best_of_n, n=2, verify="length")),)
    best = searched.search[0].best
    (expected,) = model.codec.decode([best.codes], model.voice("ann").speaker_embedding)
    np.testing.assert_allclose(best.audio.samples, expected.clip(-1, 1), atol=1e-5)


def test_voices_of_an_older_codec(tmp_path: Path) -> None:
    config = replace(CODEC, speaker_size=8)
    settings = ModelConfig("tiny", cloning=False)
    model = Llasa.load(write_tiny_model(tmp_path, settings, config=config), device="cpu")
    ann = model.voice("ann")
    assert ann is not None
    assert ann.speaker_embedding is not None
    for embedding in (None, replace(ann.speaker_embedding, id="0" * 16)):
        with pytest.raises(LlasaError, match="another codec than that of tiny: make it again"):
            model(TEXT, voice=replace(ann, speaker_embedding=embedding))


def test_another_codec_decides_whether_it_takes_voices(tmp_path: Path) -> None:
    """The codes are the same, but only one of the codecs has speaker embeddings."""
    plain = write_tiny_model(tmp_path / "plain", ModelConfig("tiny", cloning=False))
    config = replace(CODEC, speaker_size=8)
    settings = ModelConfig("tiny", cloning=False)
    told = write_tiny_model(tmp_path / "told", settings, config=config)
    model = Llasa.load(plain, device="cpu")
    assert not model.capabilities.can_clone
    with pytest.raises(LlasaError, match="not trained to clone"):
        model(TEXT, voice=told / "voices" / "ann.safetensors")
    model = Llasa.load(told, codec=plain, device="cpu")
    assert not model.capabilities.can_clone
    assert model.voices() == []


def test_search_compares_with_the_recording_as_it_is_heard(tmp_path: Path) -> None:
    config = replace(CODEC, speaker_size=8)
    settings = ModelConfig("tiny", cloning=False, default_voice="ann")
    model = Llasa.load(write_tiny_model(tmp_path, settings, config=config), device="cpu")
    prompts: list[Audio | None] = []

    class Like:
        name = family = "like"
        needs = frozenset({"audio", "prompt"})
        shortest, best = 0.1, 1.0

        def score(self, batch: Sequence[Candidate]) -> NDArray[np.float64]:
            prompts.extend(candidate.prompt for candidate in batch)
            return np.zeros(len(batch))

    model(TEXT, seed=1, search=partial(best_of_n, n=2, verify=[Like()]))
    ann = model.voice("ann")
    (expected,) = model.codec.decode([ann.codes], ann.speaker_embedding)
    np.testing.assert_allclose(prompts[0].samples, expected.clip(-1, 1), atol=1e-5)


def test_a_model_is_given_text_in_its_form(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path, ModelConfig("tiny", form=PLAIN))
    model = Llasa.load(path, device="cpu")
    spy = Spy(model.engine)
    model = model.with_parts(engine=spy)  # type: ignore[arg-type]
    speech = model("“Run,” said the FBI’s fox", seed=1)
    assert speech.text == "“Run,” said the FBI’s fox"
    assert spy.prompts == [model.vocabulary.tts_prompt("Run, said the eff bee eyes fox.")]
    kept = model.voice("ann")
    assert kept is not None
    ann = replace(kept, transcript='The "lazy" dog jumps')
    model('"Run."', voice=ann, seed=1)
    wanted = model.vocabulary.tts_prompt("Run.", "The lazy dog jumps.", ann.codes)
    assert spy.prompts[1:] == [wanted]
    assert Form() == ModelConfig("big").form, "models that read everything are the default"


def test_a_sentence_that_goes_on_is_the_same_as_a_prompt(tmp_path: Path) -> None:
    settings = ModelConfig("tiny", form=Form(ends=".?!"), chunk_chars=20)
    model = Llasa.load(write_tiny_model(tmp_path, settings), device="cpu")
    request = model.request("The fox went on, and on and on the fox went", voice="random", seed=1)
    codes = next(part.codes for _, part in model.parts([request]))
    first, second, *_ = request.passages
    assert first.given.endswith(",")
    wanted = model.vocabulary.tts_prompt(second.given, first.given, codes)
    voice = model.prompts.voice_of_parts(request, codes, cut=False)
    assert model.prompts.task(request, 1, voice).prompt == wanted


def test_transcripts_of_voices_are_read_as_texts_are(tts: Llasa) -> None:
    ann = replace(tts.voice("ann"), transcript="It costs $5.")  # type: ignore[type-var]
    prompt = tts.task(tts.request(TEXT, voice=ann, seed=1)).prompt
    assert prompt == tts.vocabulary.tts_prompt(TEXT, "It costs five dollars.", ann.codes)


def test_the_language_is_the_one_given_or_the_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    class Listening(Checked):
        def __init__(self, tries: int, language: str) -> None:
            heard.append(language)
            raise LlasaError("Nobody listens.")

    monkeypatch.setattr("llasa.tts.check.Checked", Listening)
    settings = ModelConfig("tiny", languages=("de",))
    model = Llasa.load(write_tiny_model(tmp_path, settings), device="cpu")
    for language, said in ((None, "drei"), ("de-AT", "drei"), ("en", "three"), ("es", "tres")):
        (chunk,) = model.request("Es sind 3 Hunde.", language=language).passages
        assert chunk.text == f"Es sind {said} Hunde."
        with pytest.raises(LlasaError, match="Nobody listens"):
            model("Es sind 3 Hunde.", check=True, language=language)
    assert heard == ["de", "de", "en", "es"]


def test_silence_that_the_text_asks_for(tts: Llasa) -> None:
    plain = tts("Hello. Fox.", seed=1, voice="ann")
    longer = tts("[pause 1s] Hello. [pause 2s] Fox. [pause 500ms]", seed=1, voice="ann")
    assert longer.text.startswith("[pause 1s]")
    codes = sum(len(c.samples) for c in tts.stream(longer.text, seed=1, voice="ann"))
    assert codes == len(longer.audio.samples)
    assert not longer.audio.samples[: tts.rate].any()
    assert not longer.audio.samples[-tts.rate // 2 :].any()
    assert longer.seconds > 3.5
    assert plain.tokens > 0


def test_settings_of_reading(tts: Llasa, spy: Spy) -> None:
    def given(text: str, **settings: Any) -> str:
        return tts.request(text, **settings).passages[0].text

    assert given("5 dogs") == "five dogs"
    assert given("5 dogs", normalize=False) == "5 dogs"
    assert given("5 Hunde", language="de-AT") == "fünf Hunde"
    assert given("*5* dogs", format_in="markdown") == "five dogs"
    assert given("5 dogs", lexicon={"dogs": "dawgs"}) == "five dawgs"
    assert given("[Siobhan](shivawn) ran") == "shivawn ran"
    unknown = tts.request("5 cani", language="it")
    assert unknown.passages[0].text == "5 cani"
    assert "Numbers were left as they are" in unknown.warnings[0]
    for settings, message in (
        ({"language": "english"}, "'english' is not a language"),
        ({"format_in": "markdwn"}, "Did you mean markdown"),
        ({"lexicon": {"a": ""}}, "The lexicon has ''"),
        ({"lexicon": "a=b"}, "lexicon must map words"),
    ):
        with pytest.raises(LlasaError, match=message):
            tts("5 dogs", **settings)


def test_the_users_lexicon(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLASA_LEXICONS", str(tmp_path))
    (tmp_path / "mine.txt").write_text("# names\nSiobhan = shivawn\nRajesh\tradjesh\n")
    tts = Llasa.load(tiny, device="cpu")
    (chunk,) = tts.request("Siobhan and Rajesh", lexicon={"Rajesh": "raj"}).passages
    assert chunk.text == "shivawn and raj"


# -- bad input ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "The text is empty"),
        (" \n\t ", "The text is empty"),
        ("\x00\x07\x1b", "no letter or digit"),
        ("😀🎉", "no letter or digit"),
        ("word " * 20_000, "100,000 characters and at most 20,000"),
        (7, "must be a string, not int"),
    ],
)
def test_bad_texts(tts: Llasa, text: str, reason: str) -> None:
    with pytest.raises(LlasaError, match=reason):
        tts([text])


def test_emoji_and_control_characters(tts: Llasa) -> None:
    speech = tts("Hello \x07dog 😀", seed=1)
    assert speech.text == "Hello \x07dog 😀", "what is shown is the user's own text"
    assert speech.warnings == ("Dropped 1 character that cannot be spoken: 😀.",)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"temprature": 1}, r"'temprature' is unknown: .* Did you mean temperature\?"),
        ({"max_tokens": 5}, "'max_tokens' is unknown"),
        ({"temperature": -1}, "temperature is -1"),
        ({"top_p": 0}, "top_p is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, r"seed is 1\.5"),
        ({"max_seconds": 0}, "max_seconds is 0; give a number above 0"),
        ({"max_seconds": float("nan")}, "max_seconds is nan"),
        ({"voice": ["ann", "ann"]}, "1 texts but 2 voices"),
        ({"seed": [1, 2]}, "1 texts but 2 seeds"),
    ],
)
def test_bad_settings(tts: Llasa, settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(LlasaError, match=reason):
        tts([TEXT], **settings)


def test_defaults_come_from_the_model(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path, ModelConfig("tiny", sampling={"temperature": 0.0}))
    model = Llasa.load(path, device="cpu")
    one, other = (model(TEXT, seed=seed, max_seconds=1) for seed in (1, 2))
    np.testing.assert_array_equal(one.codes, other.codes)
    assert model(TEXT, seed=1, max_seconds=1, temperature=1.0).codes.tolist() != one.codes.tolist()


def test_loading_from_parts(tiny: Path, tmp_path: Path) -> None:
    parts = tiny.parent / "parts"
    with pytest.raises(LlasaError, match="a language model but no codec: name its codec"):
        Llasa.load(parts / "lm")
    model = Llasa.load(parts / "lm", codec=parts / "codec", device="cpu")
    assert (model.name, model.voices()) == ("lm", [])
    assert model(TEXT, seed=1).tokens
    other = replace(CODEC, levels=(4, 4))
    tiny_codec(config=other).save(tmp_path / "codec")
    with pytest.raises(LlasaError, match="speaks 64 codes, but the codec has 16"):
        Llasa.load(tiny, codec=tmp_path / "codec", device="cpu")


def test_the_codec_alone(tiny: Path) -> None:
    sound = tone(1.0)
    codecs = [llasa.load_codec(path, device="cpu") for path in (tiny, tiny / "codec")]
    one, other = (codec.encode([sound])[0] for codec in codecs)
    np.testing.assert_array_equal(one, other)
    with pytest.raises(LlasaError, match="nanno does not exist"):
        llasa.load_codec("nanno")


def test_damaged_model(tiny: Path, tmp_path: Path) -> None:
    for part in ("lm", "codec"):
        folder = tmp_path / part / "tiny"
        shutil.copytree(tiny, folder)
        weights = folder / part / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        with pytest.raises(LlasaError, match=r"model\.safetensors"):
            Llasa.load(folder, device="cpu")


def test_unusable_device(tiny: Path) -> None:
    with pytest.raises(LlasaError, match="device nonsense cannot be used"):
        Llasa.load(tiny, device="nonsense")


def test_unknown_sampling_defaults(tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match="unknown sampling defaults"):
        write_tiny_model(tmp_path, ModelConfig("tiny", sampling={"heat": 1}))
    path = write_tiny_model(tmp_path)
    values = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**values, "sampling": {"heat": 1}}))
    with pytest.raises(LlasaError, match="unknown sampling defaults"):
        Llasa.load(path, device="cpu")


# -- the package --------------------------------------------------------------------------


def test_public_names() -> None:
    for name in llasa.__all__:
        assert getattr(llasa, name) is not None
    assert set(llasa.__all__) == set(dir(llasa))
    with pytest.raises(AttributeError, match="nothing"):
        _ = llasa.nothing


def test_threads_wait_for_each_other(tiny: Path) -> None:
    model = Llasa.load(tiny, device="cpu")
    expected = [model(LONG, seed=seed, max_seconds=2).codes.tolist() for seed in range(6)]
    found: dict[int, object] = {}

    def call(seed: int) -> None:
        try:
            if seed % 2:
                found[seed] = model(LONG, seed=seed, max_seconds=2).codes.tolist()
            else:
                chunks = list(model.stream(LONG, seed=seed, max_seconds=2))
                found[seed] = len(np.concatenate([chunk.samples for chunk in chunks]))
        except Exception as error:
            found[seed] = error

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)
    assert [found[seed] for seed in (1, 3, 5)] == expected[1::2]
    assert [found[seed] for seed in (0, 2, 4)] == [
        len(model(LONG, seed=seed, max_seconds=2).audio.samples) for seed in (0, 2, 4)
    ]


def test_a_stream_that_nobody_reads_keeps_nobody_waiting(tts: Llasa) -> None:
    chunks = tts.stream(LONG, seed=1)
    next(chunks)
    with ThreadPoolExecutor(1) as other:
        assert other.submit(tts, TEXT, seed=1, max_seconds=1).result(timeout=300).seed == 1
    chunks.close()  # type: ignore[attr-defined]


def test_a_forked_process_says_that_it_cannot_speak(
    tts: Llasa, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: own + 1)
    for speak in (lambda: tts(TEXT, seed=1), lambda: next(tts.stream(TEXT, seed=1))):
        with pytest.raises(LlasaError, match="before the process was forked"):
            speak()


@pytest.mark.parametrize(
    ("text", "settings", "reason"),
    [
        (None, {}, "Text must be a string, or give strings, not NoneType"),
        (5, {}, "not int"),
        (b"A fox.", {}, "not bytes: decode it"),
        (Path("a.txt"), {}, "not PosixPath: read the file"),
        ({"text": "A fox."}, {}, "not dict"),
        ([None], {}, "Text must be a string, not NoneType"),
        (TEXT, {"search": 5}, "search is 5: give a strategy"),
        (TEXT, {"max_seconds": "x"}, "max_seconds is 'x'; give a number above 0"),
        (TEXT, {"seed": np.array([1, 2])}, "1 texts but 2 seeds"),
        (TEXT, {"seed": "1"}, "seed is '1'"),
        (TEXT, {"voice": 3}, "A voice cannot be of type int"),
        (TEXT, {"top_k": 1.0}, "top_k is 1.0"),
    ],
)
def test_wrong_types_are_sentences(
    tts: Llasa, text: Any, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(LlasaError, match=reason):
        tts(text, **settings)
    if not isinstance(text, str | list):
        with pytest.raises(LlasaError, match=reason):
            tts.stream(text)


@pytest.mark.parametrize("number", [np.int64, np.uint8, torch.tensor])
def test_numbers_of_other_libraries(tts: Llasa, number: Any) -> None:
    settings = {"seed": number(3), "top_k": number(5), "temperature": np.float32(0.5)}
    speech = tts(TEXT, **settings, max_seconds=np.float64(0.4))
    same = tts(TEXT, seed=3, top_k=5, temperature=0.5, max_seconds=0.4)
    assert json.dumps(speech.to_dict()["seed"]) == "3"
    assert speech.codes.tolist() == same.codes.tolist()
    found = tts(TEXT, search=partial(best_of_n, n=number(2), verify="length"), seed=1)
    assert len(found.search[0].candidates) == 2


def test_lists_of_other_libraries(tts: Llasa) -> None:
    texts, seeds = np.array([TEXT, "A fox."]), np.array([3, 4])
    found = tts(texts, seed=seeds, voice=np.array(["ann", "ann"]), max_seconds=0.4)  # type: ignore[call-overload]
    assert [speech.seed for speech in found] == [3, 4]


def test_a_loaded_model_is_not_pickled(tts: Llasa) -> None:
    for act in (pickle.dumps, copy, deepcopy):
        with pytest.raises(LlasaError, match="cannot be pickled or copied"):
            act(tts)
