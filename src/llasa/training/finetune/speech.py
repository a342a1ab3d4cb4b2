"""Sound for fine-tuning: the most typical clip, and the model's own speech."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from llasa.audio.audio import read_audio
from llasa.base.errors import LlasaError
from llasa.codec.codec import Codec
from llasa.data.manifest import Utterance
from llasa.data.shard_writer import ShardWriter
from llasa.data.shards import ShardMeta, shard_path
from llasa.tts.llasa import Llasa
from llasa.tts.speech import Speech

GOOD_SECONDS = (3.0, 15.0)
"""Best length of a clip to make a voice of."""
COMPARED, MOST_OWN, TOGETHER = 24, 500, 16
"""Clips to compare, most rows of own speech, and texts spoken at a time."""


def typical(rows: Sequence[Utterance], codec: Codec) -> Utterance:
    """The most typical recording of a speaker, of some with a good length.

    Without a speaker encoder, the one of median length.
    """
    low, high = GOOD_SECONDS
    good = [row for row in rows if low <= (row.seconds or 0) <= high] or list(rows)
    if not codec.speaker_size:
        return sorted(good, key=lambda row: row.seconds or 0)[len(good) // 2]
    some = good[:: max(1, len(good) // COMPARED)][:COMPARED]
    found = [codec.speaker_embedding(read_audio(row.path).mono()) for row in some]
    values = np.stack([embedding.values for embedding in found if embedding is not None])
    return some[int(np.square(values - values.mean(0)).sum(1).argmin())]


def own_speech(
    tts: Llasa, texts: Sequence[str], out: Path, seed: int, language: str | None
) -> None:
    """Have a model speak texts in its own voice and write token shards; resumes after a kill."""
    codec = tts.codec
    meta = ShardMeta(codec.id, codec.codebook_size, codec.frame_rate, 1, tts.identity)
    meta.save(out)
    if shard_path(out, 0).is_dir():
        return
    with ShardWriter(out, 0, meta, resume=True) as writer:
        start = writer.utterances + writer.skipped
        for first in tqdm(range(start, len(texts), TOGETHER), "own speech", disable=None):
            some = texts[first : first + TOGETHER]
            for text, speech in zip(some, _speak(tts, some, seed + first, language), strict=True):
                if isinstance(speech, Speech) and speech.finish_reason == "stop":
                    writer.add(text, speech.codes)
                else:
                    why = speech if isinstance(speech, LlasaError) else "It did not end by itself."
                    writer.skip("", str(why))
            writer.commit()


def _speak(
    tts: Llasa, texts: Sequence[str], seed: int, language: str | None
) -> Iterator[Speech | LlasaError]:
    """Speak all at once, or one after the other if one of them fails."""
    try:
        yield from tts(texts, seed=[*range(seed, seed + len(texts))], language=language, force=True)
    except LlasaError as error:
        if len(texts) == 1:
            yield error
            return
        for place, text in enumerate(texts):
            yield from _speak(tts, [text], seed + place, language)
