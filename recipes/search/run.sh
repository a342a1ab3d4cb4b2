#!/usr/bin/env bash
# What search gains on a model; the README says how to read it.
#
#   recipes/search/run.sh MODEL LIST.jsonl OUT [PROMPTS.jsonl [--no-prompts]]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
model=$1 list=$2 out=$3 prompts=${4:-}
search=(llasa eval search --model "$model" --judges whisper,ge2e,distillmos)

for name in plain hard; do
    if [ "$name" = hard ]; then list=$here/hard.jsonl; fi
    "${search[@]}" "$list" -o "$out/$name" --strategies sample best-of --budgets 1 2 4 8 16 \
        --verify content
done
"${search[@]}" "$here/hard.jsonl" -o "$out/selectors" --strategies sample best-of --budgets 16 \
    --verify content length,likelihood quality content,quality --combine sum rank worst
"${search[@]}" "$here/hard.jsonl" -o "$out/style" --strategies sample best-of --budgets 4 16 \
    --verify style:lively content,style:lively --combine rank
if [ -n "$prompts" ]; then
    "${search[@]}" "$prompts" -o "$out/voice" "${@:5}" --budgets 4 16 --search-seconds 2 \
        --verify content speaker content,speaker --combine rank --process speaker
fi
