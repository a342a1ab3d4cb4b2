#!/usr/bin/env bash
# One part of the run on a machine with a GPU, its missing wheels installed first. See README.md.
#
#   recipes/nano/gpu/run.sh codec|decoder|lm SECONDS OUT FOLDER... [-- OPTIONS OF run.py]
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
work=${WORK:-/tmp/nano}
part=$1 seconds=$2 out=$3
shift 3
folders=() options=()
while (($#)); do
    if [ "$1" = -- ]; then
        shift
        options=("$@")
        break
    fi
    folders+=("$1")
    shift
done
mkdir -p "$work"
for folder in "${folders[@]}"; do
    marker=$work/site/.$(basename "$folder")
    if [ -d "$folder/wheels" ] && [ ! -e "$marker" ]; then
        python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
            --target "$work/site" "$folder"/wheels/*.whl
        touch "$marker"
    fi
done
export PYTHONPATH=$work/site:$here/../../../src:$here/.. PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
export TORCHINDUCTOR_CACHE_DIR=$work/inductor TOKENIZERS_PARALLELISM=false PYTHONWARNINGS=ignore
exec python3 "$here/run.py" "$part" --seconds "$seconds" --work "$work" --out "$out" \
    --from "${folders[@]}" "${options[@]}"
