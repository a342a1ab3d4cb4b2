"""Pipecat's service for OpenAI's speech in a pipeline; prints what it got as JSON.

Runs in an environment of its own: `python pipecat_client.py ADDRESS MODEL TEXT`.
"""

import asyncio
import json
import sys

from pipecat.frames.frames import EndFrame, ErrorFrame, Frame, TTSAudioRawFrame, TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineTask
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.openai.tts import OpenAITTSService


class Ear(FrameProcessor):
    """Counts the sound that passes."""

    seconds, rate = 0.0, 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, ErrorFrame):
            raise SystemExit(frame.error)
        if isinstance(frame, TTSAudioRawFrame):
            self.seconds += len(frame.audio) / 2 / frame.sample_rate
            self.rate = frame.sample_rate
        await self.push_frame(frame, direction)


async def main(address: str, model: str, text: str) -> None:
    settings = OpenAITTSService.Settings(model=model, voice="cedar", instructions="Calm.")
    tts = OpenAITTSService(base_url=f"{address}/v1", api_key="none", settings=settings)
    ear = Ear()
    task = PipelineTask(Pipeline([tts, ear]))
    await task.queue_frames([TTSSpeakFrame(text), EndFrame()])
    await PipelineRunner(handle_sigint=False).run(task)
    print(json.dumps({"seconds": ear.seconds, "rate": ear.rate}))


asyncio.run(main(*sys.argv[1:]))
