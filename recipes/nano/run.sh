#!/usr/bin/env bash
# From text to the packaged nano model on one CPU. Every step can be interrupted and run again.
#
#   recipes/nano/run.sh [WORK_FOLDER]
#
# Needs the packages that recipes/nano/README.md names, and LLASA_DATA for the real speech.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
work=${1:-.cache/nano}
data=$(cd "${LLASA_DATA:?set it to the folder with kathleen.train.jsonl and speakers.jsonl}" && pwd)
hours=${HOURS:-40}
named="af_sarah af_sky af_nicole am_adam am_fenrir am_michael bf_emma bm_george"
workers=${WORKERS:-$(nproc)}
export OMP_NUM_THREADS=1 PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
mkdir -p "$work" && cd "$work"
ln -sfn "$data" real

if [ ! -f text/train.txt ]; then
    mkdir -p packages && (
        cd packages
        apt-get download wordnet-base r-cran-janeaustenr
        for file in *.deb; do dpkg-deb -x "$file" .; done
    )
    python "$here/texts.py" packages text
fi

python "$here/speech.py" hibari text/train.txt hibari --hours "$hours"
python "$here/speech.py" hibari text/heldout.txt heldout --clips 200
if [ ! letters.done -nt hibari/manifest.jsonl ] || [ ! letters.done -nt heldout/manifest.jsonl ]; then
    python "$here/letters.py" hibari/manifest.jsonl heldout/manifest.jsonl && touch letters.done
fi

[ -f semantic.safetensors ] || python "$here/distill.py" semantic.safetensors \
    hibari/manifest.jsonl hibari/manifest.jsonl real/kathleen.train.jsonl real/speakers.jsonl \
    --hours 0.7 --steps 700

torchrun --nproc-per-node "$workers" -m llasa train codec "$here/codes.yaml"
codec=$(ls -d runs/codes/step-* | tail -n 1)
torchrun --nproc-per-node "$workers" -m llasa train codec "$here/codec.yaml" init="$codec"
codec=$(ls -d runs/codec/step-* | tail -n 1)
torchrun --nproc-per-node "$workers" -m llasa train codec "$here/harmonic.yaml" init="$codec"
codec=$(ls -d runs/harmonic/step-* | tail -n 1)

if [ ! -d packages/package/voices ]; then
    (
        cd packages
        npm pack kokoro-js@1.2.1
        echo "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860  kokoro-js-1.2.1.tgz" |
            sha256sum --check
        rm -rf partial && mkdir partial
        tar xzf kokoro-js-1.2.1.tgz -C partial package/voices
        mv partial/package package
    )
fi
python "$here/speech.py" kokoro text/train.txt kokoro --hours "${KOKORO_HOURS:-0.5}" \
    --words 8 16 --skip 80000 --voices packages/package/voices --widen
python "$here/check.py" kokoro/manifest.jsonl kokoro/checked.jsonl
widen() { [ -f "$2/manifest.jsonl" ] || python "$here/widen.py" "$1" "$2" --clips "$3"; }
widen real/speakers.jsonl wide/speakers 200
widen hibari/manifest.jsonl wide/hibari 500
widen real/kathleen.train.jsonl wide/kathleen 100
torchrun --nproc-per-node "$workers" -m llasa train codec "$here/voices.yaml" init="$codec"
[ -f blended/model.safetensors ] ||
    python "$here/blend.py" "$codec" "$(ls -d runs/voices/step-* | tail -n 1)" blended
codec=blended

[ -d vocabulary ] || python "$here/vocabulary.py" text/train.txt "$codec" vocabulary
python "$here/check.py" hibari/manifest.jsonl hibari/checked.jsonl
for set in hibari/checked heldout/manifest; do
    pids=()
    for _ in $(seq "$workers"); do
        llasa tokenize "$set.jsonl" -o "tokens/${set%/*}" --codec "$codec" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
done

torchrun --nproc-per-node "$workers" -m llasa train lm "$here/lm.yaml"
lm=$(ls -d runs/lm/step-* | tail -n 1)
[ -f grown/model.safetensors ] || python "$here/grow.py" "$lm" grown
torchrun --nproc-per-node "$workers" -m llasa train lm "$here/grown.yaml"
lm=$(ls -d runs/grown/step-* | tail -n 1)

for name in $named; do
    python "$here/speech.py" kokoro text/heldout.txt "prompts/$name" --hours 0.003 \
        --words 14 18 --skip 300 --voices packages/package/voices --only "$name"
done
python "$here/voices.py" "$codec" voices heart=hibari/manifest.jsonl \
    $(for name in $named; do echo "${name#*_}=prompts/$name/manifest.jsonl"; done)
llasa pack "$lm" "$codec" -o model --name nano --no-cloning --form plain --languages en --pace 1.25 \
    --temperature 0.3 --top-k 20 \
    $(for file in voices/*.safetensors; do echo --voice "$file"; done) --default-voice heart \
    --preview "Hello! This is how I sound, and I can read to you." --card "$here/card.md"

# The same 200 sentences by other systems, judged in the same run.
python "$here/speech.py" piper text/heldout.txt peers/piper --clips 200
python "$here/speech.py" kokoro text/heldout.txt peers/kokoro --clips 200 \
    --voices packages/package/voices --only af_heart --steady
python "$here/evaluate.py" --model ./model \
    --peers kokoro=peers/kokoro/manifest.jsonl piper=peers/piper/manifest.jsonl
