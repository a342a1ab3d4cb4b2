"""The stages of nano's training, and what of them is kept with the project."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
KEPT = HERE.parents[1] / "src" / "llasa" / "assets" / "next"
"""The next model, as far as it is."""
NAMED = "af_sarah af_sky af_nicole am_adam am_fenrir am_michael bf_emma bm_george"
"""Kokoro's voices that nano has, beside that of hibari."""


@dataclass(frozen=True)
class Stage:
    """A command of the shell, run in the work folder.

    `settings` is the settings file of a training stage, `keep` a command that keeps what it has
    learnt whenever it ends, and `made` what makes the stage needless where it lies.
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


def begun(stage: str, file: str, setting: str = "init") -> str:
    """Settings of a run without a checkpoint, which begins with what was kept of the one before.

    Of one that had ended the last step is done again, so that there is a checkpoint.
    """
    step = KEPT / f"{stage}.step"
    last = yaml.safe_load((HERE / f"{stage}.yaml").read_text())["run"]["steps"] - 1
    before = f'compgen -G "runs/{stage}/step-*" > /dev/null || [ ! -f "{step}" ]'
    number = f'"$(awk \'{{print ($1 < {last} ? $1 : {last})}}\' "{step}")"'
    return f'$({before} || echo run.begin={number} {setting}="{KEPT / file}")'


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
SPOKEN = KEPT / "tokens.tar.xz"
"""The vocabulary and all tokens."""


NEW = f'$((3 * $(cat "{KEPT}/decoder.step" 2> /dev/null || echo 0)))'
"""Sentences that the decoder has heard where it began before, about: it goes on with others."""


def heard(hours: int, skip: str = "0") -> str:
    """So many hours of hibari's voice, after so many sentences."""
    return script("speech.py", f'hibari text/train.txt hibari --hours {hours} --skip "{skip}"')


def wide(hours: int, skip: str = "0") -> str:
    """So many hours of the same voice as larger and smaller people, with other sentences."""
    told = f'hibari text/train.txt wide-hibari --hours {hours} --skip "$((60000 + {skip}))" --widen'
    return script("speech.py", told)


TOKENS = script(
    "tokens.py", f"{CODEC} text/train.txt tokens/hibari --letters hibari/manifest.jsonl --blocks 2"
)
UNPACK = f"""
if [ ! -f done/keep-tokens ]; then
    rm -rf tokens vocabulary
    tar -xJf "{SPOKEN}"
fi
"""
KOKORO = "--hours 0.5 --voices packages/package/voices --words 6 16 --skip 100000 --widen"
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
TO_TOKENS = (
    Stage("packages", PACKAGES),
    Stage("text", script("texts.py", "packages text")),
    Stage("heldout", script("speech.py", "hibari text/heldout.txt heldout --clips 200")),
    Stage("hibari", heard(12), made=SPOKEN),
    Stage("wide", wide(4), made=CODEC),
    Stage("asterisk", script("asterisk.py", "packages asterisk"), made=CODEC),
    Stage("semantic", script("distill.py", SEMANTIC), made=CODEC),
    training("codes", "codec", "codes.yaml", made=CODEC),
    training(
        "codec", "codec", "codec.yaml", 'init="$(ls -d runs/codes/step-* | tail -n 1)"', made=CODEC
    ),
    Stage("keep", script("keep.py", f"codec runs/codec {KEPT}"), made=CODEC),
    Stage(
        "letters",
        script("letters.py", "hibari/manifest.jsonl heldout/manifest.jsonl"),
        made=SPOKEN,
    ),
    Stage(
        "vocabulary",
        script("vocabulary.py", f"text/train.txt {CODEC} vocabulary --phones {HERE}/codes.yaml"),
        made=SPOKEN,
    ),
    Stage(
        "heldout-tokens",
        f"llasa tokenize heldout/manifest.jsonl -o tokens/heldout --codec {CODEC}",
        made=SPOKEN,
    ),
    Stage("tokens", TOKENS, made=SPOKEN),
    Stage(
        "keep-tokens",
        f'tar -cJf "{SPOKEN}.partial" tokens vocabulary && mv "{SPOKEN}.partial" "{SPOKEN}"',
        made=SPOKEN,
    ),
    Stage("unpack", UNPACK),
)
SPEAKING = (
    training(
        "lm",
        "lm",
        "lm.yaml",
        f'{begun("lm", "lm")} data.train="[$(ls -d tokens/hibari/* | paste -sd,)]"',
        keep=script("keep.py", f"lm runs/lm {KEPT}"),
    ),
)
SOUNDING = (
    Stage("sound", f"{heard(3, NEW)} && {wide(1, NEW)}"),
    Stage("kokoro", script("speech.py", f"kokoro text/train.txt kokoro {KOKORO}")),
    Stage("check", script("check.py", "kokoro/manifest.jsonl kokoro/checked.jsonl")),
    training(
        "decoder",
        "codec",
        "decoder.yaml",
        f"init={CODEC} {begun('decoder', 'discriminators.safetensors', 'discriminator_weights')}",
        keep=script("keep.py", f"decoder runs/decoder {KEPT}"),
    ),
)
PHASES = (
    (TO_TOKENS,),
    (SPEAKING, SOUNDING),
    ((Stage("voices", VOICES), Stage("pack", PACK), Stage("evaluate", EVALUATE)),),
)
"""One after another; the lanes of each side by side, each with its share of the cores."""
STAGES = tuple(stage for lanes in PHASES for lane in lanes for stage in lane)
