#!/bin/bash
# Llasa-135M from SmolLM2-135M, and the same model from scratch beside it.
#   STEPS=300 run.sh MANIFEST.jsonl HELD_OUT.jsonl     in an empty folder; what is done is kept
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
steps=${STEPS:-300}
[ -d smollm2 ] || python "$here/prepare.py" smollm2
[ -d vocabulary ] || llasa data vocabulary smollm2 --codec nano -o vocabulary
llasa data tokenize "$1" -o tokens/train --codec nano
llasa data tokenize "$2" -o tokens/test --codec nano
llasa train lm "$here" "run.steps=$steps" "run.eval_every=$steps" "run.save_every=$steps"
llasa train lm "$here" "run.steps=$steps" "run.eval_every=$steps" "run.save_every=$steps" \
    init=null run.out=runs/scratch
