#!/usr/bin/env bash
# Makes the two general models, from the data folder to the files that ship: trains each direction,
# stores it in int8, fits its confidence, scores it and fills in its card. German to English comes
# first: it back-translates the German news, which English to German learns from too. An interrupted
# run goes on where it stopped; what is finished is not made again.
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
mixture="$general/everyday:2.5,$general/wmt:2,$general/wmt_machine:2,$general/stories:1.5,$general/manuals:0.5"
mixture+=",$general/microsoft:0.5,$general/messages:0.5,$general/phrases:0.8,$multi30k:1,$here/phrasebook:16"

vocabulary=() # that of the first direction serves both, so that the models can work together
for direction in de-en en-de; do
  run=$out/run-$direction model=$out/general-$direction
  if [ "$direction" = en-de ]; then
    translator prepare back-translate --output "$out/wmt-back" --mono "$general/wmt/train.de.gz" \
      --src de --tgt en --model "$out/general-de-en" --method sample --top-p 0.9 \
      --held-out "$general/everyday" --precision bf16
    mixture+=",$out/wmt-back:1"
  fi
  translator train --run "$run" --data "$mixture" --src "${direction%-*}" --tgt "${direction#*-}" \
    --preset general --steps 7000 "${vocabulary[@]}" --set model.dropout=0.15 \
    --set train.score_tests=false --set confidence.enabled=false "$@"
  vocabulary=(--set "data.vocab_from=$out/run-de-en")
  if [ ! -e "$model/README.md" ]; then # the last file to be written
    rm -rf "$model"
    translator average "$run" --output "$model" --weights int8
    python "$here/pieces.py" "$model" "$general"/*/train."${direction#*-}".gz "$multi30k/train.${direction#*-}.gz"
    translator calibrate "$model" --data "$general/everyday" --data "$general/flores" --sentences 2000
    python "$here/general_card.py" "$model" "$general/everyday"
  fi
done
