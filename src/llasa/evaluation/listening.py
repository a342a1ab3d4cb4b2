"""A page for listeners: one file with the audio inside, votes from 1 to 3, a JSON file of them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from llasa.evaluation.experiment import Experiment, Row
from llasa.evaluation.understanding import TEXT, Probe

QUESTIONS = {
    "compound nouns": "Are the compounds said as one thing, with the stress where it belongs?",
    "emotions": "Does the voice have the emotion that the words tell of?",
    "emotion": "Does the voice have the emotion that the words tell of?",
    "foreign words": "Are the foreign words said as in their language, or as is usual in English?",
    "paralinguistics": "Are exclamations, stressed and drawn-out words said as a person would?",
    "paralinguistic": "Are exclamations, laughter and drawn-out words said as a person would?",
    "punctuations": "Do pauses and tone follow the punctuation?",
    "questions": "Does it sound like a question?",
    "syntactic complexities": "Does the phrasing make the structure of the sentence clear?",
    "poetry": "Does it have the rhythm of verse?",
    "polyphonic characters": "Is each character read as this context asks for?",
    "tongue twisters": "Is every syllable right and clear?",
    "rare characters": "Are the rare characters read right?",
}
"""What listeners are asked, by category."""
SCALE = {1: "no, or not to be made out", 2: "attempted, with flaws", 3: "yes, and natural"}
"""What the votes mean."""


def listening_page(probes: Sequence[Probe], rows: Sequence[Row], run: Experiment) -> bytes:
    """HTML with the text's take of every item and system, in an order that mixes all systems.

    `run` keeps the rows' audio. Listeners do not see which system speaks.
    """
    by_id = {probe.id: probe for probe in probes}
    clips = []
    for row in rows:
        if row["take"] == TEXT and "audio" in row:
            probe = by_id[row["item"]]
            clip = {"item": probe.id, "system": row["system"], "text": probe.text}
            clip |= {"language": probe.language, "category": probe.category}
            clips.append({**clip, "sound": run.embedded(row)})
    random.Random(0).shuffle(clips)
    clips.sort(key=lambda clip: (clip["language"], clip["category"]))  # stable: mixed within
    data = json.dumps({"clips": clips, "questions": QUESTIONS, "scale": SCALE}, ensure_ascii=False)
    page = Path(__file__).with_name("listening.html").read_text(encoding="utf-8")
    return page.replace("/*DATA*/", data.replace("</", "<\\/")).encode()
