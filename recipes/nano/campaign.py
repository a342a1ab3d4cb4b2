"""Work through the stages of nano's training, one after another; see campaign.sh.

Every stage is a command that goes on where it stopped. What each stretch did is appended to
`results/campaign.jsonl`: date, stage, state (finished, stopped, failed), steps, hours of sound or
tokens, hours of CPU time, share of the idle CPU that it got, losses. The codec, once its codes are
fixed, and the language model, at every stop, are kept in `src/llasa/assets/next`: a campaign
without its work folder goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "campaign.jsonl"
KEPT = HERE.parents[1] / "src" / "llasa" / "assets" / "next"
"""The next model, as far as it is."""
SAVING = 600.0
"""Seconds in which a stage that is asked to stop must have saved."""
LOSSES = ("loss", "mel", "phones", "prior", "perceptual", "adversarial", "alignment")
NAMED = "af_sarah af_sky af_nicole am_adam am_fenrir am_michael bf_emma bm_george"
"""Kokoro's voices that nano has, beside that of hibari."""


@dataclass(frozen=True)
class Stage:
    """A command of the shell, run in the work folder.

    `settings` is the settings file of a training stage, `keep` a command that keeps what it has
    learnt whenever it ends, and `made` a folder that makes the stage needless.
    """

    name: str
    command: str
    settings: str | None = None
    keep: str | None = None
    made: Path | None = None

    def done(self) -> bool:
        """Whether nothing is left to do."""
        kept = self.made is not None and self.made.exists()
        return kept or (Path("done") / self.name).exists()

    def run_folder(self) -> Path | None:
        """Where a training stage logs."""
        if self.settings is None:
            return None
        return Path(yaml.safe_load((HERE / self.settings).read_text())["run"]["out"])


def training(
    name: str,
    kind: str,
    settings: str,
    more: str = "",
    keep: str | None = None,
    made: Path | None = None,
) -> Stage:
    """`more` are further settings."""
    command = f"llasa train {kind} {HERE / settings} {more}".strip()
    return Stage(name, command, settings, keep, made)


def script(name: str, arguments: str) -> str:
    """A script of this folder as a command."""
    return f"OMP_NUM_THREADS=1 {sys.executable} {HERE / name} {arguments}"


PACKAGES = """
mkdir -p packages && cd packages
apt-get download wordnet-base r-cran-janeaustenr fortunes fortunes-min dict-devil anarchism \
    debian-handbook asterisk-core-sounds-en asterisk-core-sounds-{en,es,fr,it,ru}-g722
for file in *.deb; do dpkg-deb -x "$file" .; done
npm pack --silent kokoro-js@1.2.1
echo "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860  kokoro-js-1.2.1.tgz" |
    sha256sum --check
tar xzf kokoro-js-1.2.1.tgz package/voices
"""
SEMANTIC = (
    "semantic.safetensors hibari/manifest.jsonl hibari/manifest.jsonl real/kathleen.train.jsonl"
    " real/speakers.jsonl real/kerstin.train.jsonl asterisk/manifest.jsonl --hours 4 --steps 4000"
)
CODEC = KEPT / "codec"
BEGUN = f'$([ ! -d "{KEPT}/lm" ] || echo init="{KEPT}/lm")'
"""A run of the language model without a checkpoint begins with what was kept of the one before."""
TOKENS = script(
    "tokens.py", f"{CODEC} text/train.txt tokens/hibari --letters hibari/manifest.jsonl"
)
KOKORO = "--voices packages/package/voices --words 6 16 --skip 100000 --widen"
DECODER = '"$(ls -d runs/decoder/step-* | tail -n 1)"'
ONLY = "--voices packages/package/voices --words 14 18 --skip 300 --hours 0.003 --only"
VOICES = f"""
for name in {NAMED}; do
    {script("speech.py", 'kokoro text/heldout.txt "prompts/$name"')} {ONLY} "$name"
done
{script("voices.py", f"{DECODER} voices heart=hibari/manifest.jsonl")} \\
    $(for name in {NAMED}; do echo "${{name#*_}}=prompts/$name/manifest.jsonl"; done)
"""
PACK = f"""
llasa pack "$(ls -d runs/lm/step-* | tail -n 1)" {DECODER} -o model --name nano --no-cloning \\
    --form plain --languages en --pace 1.25 --alignment 2 0 1 3 --temperature 0.3 --top-k 20 \\
    $(for file in voices/*.safetensors; do echo --voice "$file"; done) --default-voice heart \\
    --preview "Hello! This is how I sound, and I can read to you." --card {HERE / "card.md"}
"""
STEADY = "--clips 200 --voices packages/package/voices --only af_heart --steady"
EVALUATE = f"""
{script("speech.py", "piper text/heldout.txt peers/piper --clips 200")}
{script("speech.py", f"kokoro text/heldout.txt peers/kokoro {STEADY}")}
{script("evaluate.py", "--model ./model --peers")} \\
    kokoro=peers/kokoro/manifest.jsonl piper=peers/piper/manifest.jsonl
"""
STAGES = (
    Stage("packages", PACKAGES),
    Stage("text", script("texts.py", "packages text")),
    Stage("heldout", script("speech.py", "hibari text/heldout.txt heldout --clips 200")),
    Stage("hibari", script("speech.py", "hibari text/train.txt hibari --hours 12")),
    Stage(
        "wide",
        script("speech.py", "hibari text/train.txt wide-hibari --hours 4 --skip 60000 --widen"),
    ),
    Stage("asterisk", script("asterisk.py", "packages asterisk")),
    Stage("semantic", script("distill.py", SEMANTIC), made=CODEC),
    training("codes", "codec", "codes.yaml", made=CODEC),
    training(
        "codec", "codec", "codec.yaml", 'init="$(ls -d runs/codes/step-* | tail -n 1)"', made=CODEC
    ),
    Stage("keep", script("keep.py", f"codec runs/codec {CODEC}"), made=CODEC),
    Stage("letters", script("letters.py", "hibari/manifest.jsonl heldout/manifest.jsonl")),
    Stage(
        "vocabulary",
        script("vocabulary.py", f"text/train.txt {CODEC} vocabulary --phones {HERE}/codes.yaml"),
    ),
    Stage(
        "heldout-tokens", f"llasa tokenize heldout/manifest.jsonl -o tokens/heldout --codec {CODEC}"
    ),
    Stage("tokens", f"{TOKENS} --blocks 2"),
    training(
        "lm",
        "lm",
        "lm.yaml",
        f'{BEGUN} data.train="[$(ls -d tokens/hibari/* | paste -sd,)]"',
        keep=script("keep.py", f"lm runs/lm {KEPT / 'lm'}"),
    ),
    Stage("kokoro", script("check.py", "kokoro/manifest.jsonl kokoro/checked.jsonl")),
    training("decoder", "codec", "decoder.yaml", f"init={CODEC}"),
    Stage("voices", VOICES),
    Stage("pack", PACK),
    Stage("evaluate", EVALUATE),
)
BESIDE = f"""
while [ ! -f done/text ]; do sleep 5; done
{script("speech.py", f"kokoro text/train.txt kokoro --hours 10 {KOKORO}")}
while [ ! -f done/tokens ]; do sleep 60; done
{TOKENS} --workers 1
"""
"""Fills what is left of the CPU while others work: voices for the decoder, then more tokens."""


class Clock:
    """Wall, CPU and idle time since it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._used, self._idle = self._now()

    @staticmethod
    def _now() -> tuple[float, float]:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        fields = Path("/proc/stat").read_text().split(maxsplit=6)
        idle = (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")
        return usage.ru_utime + usage.ru_stime, idle

    def read(self) -> dict[str, float]:
        """For the record; children count once they have ended."""
        used, idle = (
            now - then for now, then in zip(self._now(), (self._used, self._idle), strict=True)
        )
        return {
            "wall_hours": round((time.monotonic() - self._began) / 3600, 3),
            "cpu_hours": round(used / 3600, 3),
            "cpu_share": round(used / max(used + idle, 1e-9), 2),
        }


def progress(stage: Stage) -> dict[str, Any]:
    """Steps, what was heard or read in all of them, and the newest losses of a training stage."""
    folder = stage.run_folder()
    if folder is None or not (folder / "log.jsonl").exists():
        return {}
    settings = yaml.safe_load((folder / "settings.yaml").read_text())
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().split("\n") if line]
    trained = [row for row in rows if "loss" in row]
    found: dict[str, Any] = {}
    if trained:
        last, data = trained[-1], settings["data"]
        found["steps"] = last["step"]
        if "tokens" in last:
            found["tokens"] = round(last["tokens"] * last["step"])
        elif "seconds" in data:
            found["hours"] = round(last["step"] * data["seconds"] * data["batch"] / 3600, 2)
        found["losses"] = {name: last[name] for name in LOSSES if name in last}
    if valid := [row for row in rows if any(key.startswith("valid/") for key in row)]:
        found["valid"] = {k.removeprefix("valid/"): v for k, v in valid[-1].items() if k != "step"}
    return found


def record(stage: Stage, state: str, clock: Clock) -> None:
    """Append what a stretch did."""
    row = {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "stage": stage.name,
        "state": state,
        **progress(stage),
        **clock.read(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)


class StopRequested(Exception):  # noqa: N818
    """Somebody asks to stop."""


def note_stop(number: int, _: object) -> None:
    raise StopRequested(number)


def start(command: str, niceness: int = 0) -> subprocess.Popen[bytes]:
    """A process group of its own, so that it is stopped as a whole."""
    line = ["nice", "-n", str(niceness), "bash", "-euo", "pipefail", "-c", command]
    process = subprocess.Popen(line, start_new_session=True)
    try:
        # Linux shares the CPU among sessions first, by a niceness of their own.
        group = Path(f"/proc/{process.pid}/autogroup")
        if group.exists():
            group.write_text(str(os.nice(0) + niceness))
    except StopRequested:
        end(process)
        raise
    return process


def end(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    """Ask to stop, wait until it has saved."""
    if process.poll() is None:
        os.killpg(process.pid, number)
        try:
            process.wait(SAVING)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def keep(stage: Stage) -> None:
    """Keep what a training stage has learnt so far, if it has a checkpoint."""
    folder = stage.run_folder()
    if stage.keep and folder is not None and any(folder.glob("step-*")):
        command = ["bash", "-euo", "pipefail", "-c", stage.keep]
        if subprocess.run(command, start_new_session=True).returncode:
            print(f"{stage.name}: what it learnt could not be kept", file=sys.stderr, flush=True)


def work(stages: Sequence[Stage]) -> int:
    """Run what is not done yet; the exit status."""
    Path("done").mkdir(exist_ok=True)
    beside = None
    try:
        for stage in stages:
            if stage.done():
                continue
            if beside is None and Path("packages/package/voices").is_dir():
                beside = start(BESIDE, niceness=9)
            print(f"{stage.name}: {stage.command.strip()}", flush=True)
            clock, process = Clock(), None
            try:
                process = start(stage.command)
                code = process.wait()
            except StopRequested:
                if process is not None:
                    end(process)
                record(stage, "stopped", clock)
                keep(stage)
                return 130
            record(stage, "finished" if code == 0 else "failed", clock)
            keep(stage)
            if code:
                return code
            Path("done", stage.name).touch()
    finally:
        if beside is not None:
            end(beside)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    names = [stage.name for stage in STAGES]
    parser.add_argument("--until", choices=names, default=names[-1], help="the last stage to do")
    parser.add_argument("--list", action="store_true", help="print the stages' commands and end")
    args = parser.parse_args()
    if args.list:
        for stage in STAGES:
            print(f"{stage.name}: {stage.command.strip()}")
        return 0
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note_stop)
    return work(STAGES[: names.index(args.until) + 1])


if __name__ == "__main__":
    sys.exit(main())
