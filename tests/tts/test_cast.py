"""Scripts of several speakers: each part in the voice of whose turn it is, wherever it is heard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llasa.audio.audio import read_audio
from llasa.base.errors import LlasaError
from llasa.models.folder import ModelConfig
from llasa.models.voice import Voice
from llasa.tts.llasa import Llasa
from llasa.tts.longform import speak_to_file
from tests.tiny_model import HARMONIC, tiny_voice, write_tiny_model

pytestmark = pytest.mark.usefixtures("own_voices")

SCRIPT = "A play.\n\nANNA: The fox jumps. It runs.\nBEN: The dog!\nAnna: Yes."


@pytest.fixture(scope="module")
def tts(tiny: Path) -> Llasa:
    return Llasa.load(tiny, device="cpu")


@pytest.fixture(scope="module")
def cast(tts: Llasa) -> dict[str, Voice]:
    """Two voices that are not alike."""
    anna = tiny_voice(tts.codec, "one")
    ben = replace(anna, name="two", codes=anna.codes[::-1].copy(), transcript="The fox sleeps.")
    return {"Anna": anna, "ben": ben}


def test_each_part_is_in_the_voice_of_its_speaker(tts: Llasa, cast: dict[str, Voice]) -> None:
    request = tts.request(SCRIPT, cast=cast, seed=1)
    speakers = [request.cast_voice(passage) for passage in request.passages]
    names = [None if voice is None else voice.name for voice in speakers]
    assert names == [None, "one", "two", "one"]
    words = [passage.text for passage in request.passages]
    assert words == ["A play.", "The fox jumps. It runs.", "The dog!", "Yes."]
    assert all(SCRIPT[slice(*passage.span)] == passage.text for passage in request.passages)
    for number, voice in ((0, tts.voice("ann")), (1, cast["Anna"]), (2, cast["ben"])):
        task = tts.prompts.task(request, number, voice)
        alone = tts.request(request.passages[number].text, voice=voice, seed=1 + number)
        assert task.prompt == tts.task(alone).prompt
        (codes,) = (
            part.codes for _, part in tts.parts([request]) if part.number == number and part.ends
        )
        np.testing.assert_array_equal(codes, tts.speak([alone])[0].codes)


def test_calls_streams_and_files_agree(tts: Llasa, cast: dict[str, Voice], tmp_path: Path) -> None:
    speech = tts(SCRIPT, cast=cast, seed=2)
    assert speech.text == SCRIPT
    words = [word.text for word in speech.words]
    assert words == ["A", "play", "The", "fox", "jumps", "It", "runs", "The", "dog", "Yes"]
    assert all(SCRIPT[slice(*word.span)] == word.text for word in speech.words)
    chunks = list(tts.stream(SCRIPT, cast=cast, seed=2))
    np.testing.assert_array_equal(np.concatenate([c.codes for c in chunks]), speech.codes)
    long = speak_to_file(tts, SCRIPT, tmp_path / "a.wav", cast=cast, seed=2, timed=True)
    heard = read_audio(tmp_path / "a.wav").samples
    np.testing.assert_allclose(heard, speech.audio.samples, atol=1e-4)
    assert [word.text for word in long.timings.words] == words
    one_voice = tts(SCRIPT, cast={"anna": "ann", "ben": "ann"}, seed=2)
    assert not np.array_equal(one_voice.codes, speech.codes)


def test_a_script_goes_on_with_the_same_cast_alone(
    tts: Llasa, cast: dict[str, Voice], tmp_path: Path
) -> None:
    def resumed(cast: dict[str, Voice], stops: bool) -> int:
        def progress(done: int, total: int) -> None:
            if stops and done > len("A play."):
                raise KeyboardInterrupt

        path = tmp_path / "a.wav"
        return speak_to_file(tts, SCRIPT, path, cast=cast, seed=2, progress=progress).resumed

    with pytest.raises(KeyboardInterrupt):
        resumed(cast, stops=True)
    with pytest.raises(KeyboardInterrupt):
        resumed({**cast, "ben": cast["Anna"]}, stops=True)
    assert resumed({**cast, "ben": cast["Anna"]}, stops=False) > 0
    with pytest.raises(KeyboardInterrupt):
        resumed(cast, stops=True)
    assert resumed({**cast, "ben": cast["Anna"]}, stops=False) == 0


def test_speaker_embeddings_change_with_the_turn(tmp_path: Path) -> None:
    """A model whose language model does not clone: the decoder alone knows who speaks."""
    folder = write_tiny_model(
        tmp_path, ModelConfig("tiny", default_voice="ann", cloning=False), config=HARMONIC
    )
    tts = Llasa.load(folder, device="cpu")
    ann = tts.voice("ann")
    assert ann is not None
    assert ann.speaker_embedding is not None
    values = -ann.speaker_embedding.values
    other = replace(ann, speaker_embedding=replace(ann.speaker_embedding, values=values))
    text = "ANNA: The fox.\nBEN: The dog."
    both = tts(text, cast={"anna": ann, "ben": other}, seed=1)
    same = tts(text, cast={"anna": ann, "ben": ann}, seed=1)
    np.testing.assert_array_equal(both.codes, same.codes)
    differs = np.flatnonzero(np.abs(both.audio.samples - same.audio.samples) > 1e-6)
    assert differs[0] >= both.words[2].start * tts.rate - 4000
    assert both.audio.samples.shape == same.audio.samples.shape


def test_without_a_voice_the_first_part_of_the_cast_is_no_prompt(
    tts: Llasa, cast: dict[str, Voice]
) -> None:
    text = "ANNA: The fox jumps.\nZoe: and what is said by nobody."
    request = tts.request(text, voice="random", cast={**cast, "zoe": ""}, seed=1)
    assert tts.prompts.voice_of_parts(request, np.zeros(9, np.int64), False) is None
    assert len(tts.speak([request])[0].codes)


def test_casts_that_cannot_be(tts: Llasa) -> None:
    for wrong in ({}, {"": "ann"}, ["anna"], "anna"):
        with pytest.raises(LlasaError, match="cast must map names to voices"):
            tts(SCRIPT, cast=wrong)  # type: ignore[arg-type]
    for wrong in ({"anna": "ann", "Anna": "ann"}, {" ": "ann"}):
        with pytest.raises(LlasaError, match="empty or twice"):
            tts(SCRIPT, cast=wrong)
    with pytest.raises(LlasaError, match="'nobody' is unknown"):
        tts(SCRIPT, cast={"anna": "nobody"})
    with pytest.raises(LlasaError, match="random is no voice of a cast"):
        tts(SCRIPT, cast={"anna": "random"})
    with pytest.raises(LlasaError, match="the cast does not have: BEN"):
        tts(SCRIPT, cast={"anna": "ann"})
    with pytest.raises(LlasaError, match="has no turns"):
        tts("The fox.", cast={"anna": "ann"})
    with pytest.raises(LlasaError, match="A cast needs the whole text"):
        next(tts.stream(iter(["ANNA: The fox."]), cast={"anna": "ann"}))
    with pytest.raises(LlasaError, match="no letter or digit"):
        tts("ANNA: ...", cast={"anna": "ann"})
    speech = tts(SCRIPT, cast={"anna": "ann", "ben": "ann", "zoe": "ann"}, seed=1)
    assert speech.warnings[0] == "These of the cast say nothing: zoe."
