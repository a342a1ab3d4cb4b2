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
# Threads sleep when they wait, soon. jemalloc keeps what a step frees for the next, where glibc gives it back and has
# it zeroed anew: with both a step of the language model takes a sixth less.
export OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=5000
for library in /usr/lib/*/libjemalloc.so.2; do
    if [ -f "$library" ]; then
        export LD_PRELOAD="$library"
        export MALLOC_CONF=oversize_threshold:0,dirty_decay_ms:-1,muzzy_decay_ms:-1,thp:always
    fi
done
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
exec nice -n 10 python "$here/campaign.py" "$@"
