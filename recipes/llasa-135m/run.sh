#!/bin/bash
# Llasa-135M from SmolLM2-135M, and the same model from scratch beside it.
#   run.sh MANIFEST.jsonl HELD_OUT.jsonl [SETTING=VALUE ...]     what is done is kept
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
manifest=$1 held_out=$2
shift 2
[ -d smollm2 ] || python "$here/take_smollm2.py" smollm2
[ -d vocabulary ] || llasa data vocabulary smollm2 --codec nano -o vocabulary
llasa data tokenize "$manifest" -o tokens/train --codec nano
llasa data tokenize "$held_out" -o tokens/test --codec nano
llasa train lm "$here" "$@"
llasa train lm "$here" "$@" init=null run.out=runs/scratch
