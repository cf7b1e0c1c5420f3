#!/usr/bin/env bash
# Makes the two general models, from the data folder to the files that ship: trains each direction,
# stores it in int8, fits its confidence, scores it and fills in its card. An interrupted run goes on
# where it stopped; what is finished is not made again.
#
#   bash checkpoints/general.sh DATA OUTPUT [OPTION OF translator train]...
#
# DATA holds general/ (everyday with valid and tests, wmt, wmt_machine, stories, manuals, microsoft,
# messages, phrases, flores) and multi30k/. A GPU with 16 GiB takes minutes; two CPU cores take days,
# with `--set train.max_tokens=10240 --set train.accum_steps=4` in 5 GiB. `--steps 20` tries the way
# through. The models are OUTPUT/general-en-de and OUTPUT/general-de-en.
set -euo pipefail
general=$1/general multi30k=$1/multi30k out=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
for folder in "$general"/{everyday,wmt,wmt_machine,stories,manuals,microsoft,messages,phrases,flores} "$multi30k"; do
  [ -d "$folder" ] || { echo "general.sh needs the corpus $folder" >&2; exit 1; }
done
mkdir -p "$out"
mixture="$general/everyday:2,$general/wmt:2,$general/wmt_machine:1,$general/stories:1.5,$general/manuals:0.5"
mixture+=",$general/microsoft:0.5,$general/messages:0.3,$general/phrases:0.3,$multi30k:1"

vocabulary=() # that of the first direction serves both, so that the models can work together
for direction in en-de de-en; do
  run=$out/run-$direction model=$out/general-$direction
  translator train --run "$run" --data "$mixture" --src "${direction%-*}" --tgt "${direction#*-}" \
    --preset general "${vocabulary[@]}" --set train.score_tests=false --set confidence.enabled=false "$@"
  vocabulary=(--set "data.vocab_from=$out/run-en-de")
  if [ ! -e "$model/README.md" ]; then # the last file to be written
    rm -rf "$model"
    translator average "$run" --output "$model" --weights int8
    translator calibrate "$model" --data "$general/everyday" --data "$general/flores" --sentences 2000
    python "$here/general_card.py" "$model" "$general/everyday"
  fi
done
