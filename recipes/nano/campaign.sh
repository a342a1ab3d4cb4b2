#!/usr/bin/env bash
# From text to the packaged nano model on one CPU, at low priority, for as many hours as there are.
#
#   recipes/nano/campaign.sh [WORK_FOLDER] [--list] [--only STAGE]
#
# Ctrl-C or SIGTERM saves and stops; the same command goes on. README.md names the packages it needs.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
work=.cache/nano
if [ $# -gt 0 ] && [ "${1#--}" = "$1" ]; then
    work=$1
    shift
fi
data=$(cd "${LLASA_DATA:?set it to the folder with kathleen.train.jsonl and speakers.jsonl}" && pwd)
mkdir -p "$work" && cd "$work"
ln -sfn "$data" real
export OMP_WAIT_POLICY=PASSIVE PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
exec nice -n 10 python "$here/campaign.py" "$@"
