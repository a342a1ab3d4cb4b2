"""LiveKit's plugin for OpenAI's speech, as an agent uses it; prints what it got as JSON.

Runs in an environment of its own: `python livekit_client.py ADDRESS MODEL TEXT`.
"""

import asyncio
import json
import sys

from livekit.plugins.openai import TTS


async def main(address: str, model: str, text: str) -> None:
    tts = TTS(base_url=f"{address}/v1", api_key="none", model=model, instructions="Calm.")
    frame = await tts.synthesize(text).collect()
    print(json.dumps({"seconds": frame.duration, "rate": frame.sample_rate}))
    await tts.aclose()


asyncio.run(main(*sys.argv[1:]))
