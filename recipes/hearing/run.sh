#!/usr/bin/env bash
# From texts to a model that hears and speaks short commands, and its word error rate.
#
#   recipes/hearing/run.sh WORK_FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"

python "$here/commands.py" train.txt test.txt
for part in test train; do
    (cd "$here/../nano" && python speech.py hibari "$OLDPWD/$part.txt" "$OLDPWD/speech/$part" \
        --clips "$(wc -l < "$OLDPWD/$part.txt")")
    llasa data tokenize "speech/$part/manifest.jsonl" -o "tokens/$part" --codec nano
done
llasa train lm "$here/lm.yaml"
llasa pack "$(ls -d runs/hearing/step-* | tail -n 1)" nano -o hears --hearing --no-cloning \
    --form plain --languages en --temperature 0.3 --top-k 20
llasa eval asr speech/test/manifest.jsonl -o heard --judges llasa:hears,moonshine
llasa eval tables T3.clean=heard
