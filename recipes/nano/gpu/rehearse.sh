#!/usr/bin/env bash
# The whole run at toy size on a CPU, in a few minutes: every part, a restart of each, and the way
# home. Fails where any of it fails.
#
#   recipes/nano/gpu/rehearse.sh WORK_FOLDER TEXTS VALID_MANIFEST SEMANTIC NAME=MANIFEST...
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
toy=$1 texts=$2 valid=$3 semantic=$4
shift 4
mkdir -p "$toy"
export WORK=$toy/work OMP_NUM_THREADS=1 PYTHONPATH=$here/../../../src
seconds=${SECONDS_A_PART:-40}
small_codec=(run.compile=false run.bf16=false codec.encoder_channels=2 codec.decoder_size=64 codec.norm_groups=4
    codec.decoder_layers=1 codec.decoder_heads=2 codec.decoder_mlp_size=64 data.batch=2
    data.valid_clips=2 'discriminator.ffts=[126, 334]' 'discriminator.periods=[2, 5]'
    discriminator.spectral_channels=2 discriminator.period_max_channels=16)
small_lm=(run.compile=false run.bf16=false model.hidden_size=32 model.intermediate_size=64
    model.num_hidden_layers=4 model.num_attention_heads=3 model.num_key_value_heads=3
    model.head_dim=16 data.tokens=2048 data.valid_rows=4)
few=(--processes 2 --hours 0.02 --loaders 2 --first 0.3)

part() { # NAME OUT FOLDER...: one part with toy sizes
    local name=$1 out=$2 sizes=("${small_codec[@]}")
    shift 2
    if [ "$name" = lm ]; then sizes=("${small_lm[@]}"); fi
    "$here/run.sh" "$name" "$seconds" "$out" "$@" -- "${few[@]}" --set "${sizes[@]}"
    ls -l "$out"
}

python "$here/run.py" prepare "$toy/send" --texts "$texts" --valid "$valid" --clips 4 \
    --semantic "$semantic" --speech "$@" --python "$(python -c \
    'import sys; print("%d.%d" % sys.version_info[:2])')"
send=$toy/send
part codec "$toy/home/1" "$send"/*
part codec "$toy/home/2" "$send"/* # goes on on the same machine
part lm "$toy/home/3" "$send"/*
rm -r "$WORK" # another machine
part lm "$toy/home/4" "$send/base" "$toy/home/3"
rm -r "$WORK" # and another
part lm "$toy/home/5" "$send/base" "$send/synth" "$toy/home/2"
part decoder "$toy/home/6" "$send"/* "$toy/home/2"
python "$here/pieces.py" join "$toy/home/5" lm "$toy/lm"
python "$here/pieces.py" join "$toy/home/6" decoder "$toy/codec"
python -m llasa pack "$toy/lm" "$toy/codec" -o "$toy/model" --name rehearsal
echo rehearsed
