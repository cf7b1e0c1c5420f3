#!/usr/bin/env bash
# Trains the two shipped models again, from Multi30k alone, in the steps in which they were made:
# about six hours on two CPU cores. An interrupted run goes on where it stopped.
#
#   bash checkpoints/reproduce.sh DATA OUTPUT [OPTION OF translator train]...
#
# DATA holds multi30k/ (train, val, test_*, and task2/, the descriptions of task 2) and wmt_news/,
# by which confidence alone is calibrated. The options reach each training run: `--steps 20` tries
# the way through. The models are OUTPUT/en-de and OUTPUT/de-en.
set -euo pipefail
multi30k=$1/multi30k news=$1/wmt_news out=$2
shift 2
mkdir -p "$out"
export OMP_WAIT_POLICY=passive # runs that go on side by side do not wait for each other

train() { # NAME DATA OPTIONS: a run on one core; nothing is scored on tests but what is finished
  translator train --run "$out/$1" --data "$2" --preset tiny --threads 1 "${@:3}"
}
part=(--set train.score_tests=false --set confidence.enabled=false)
whole=(--set train.metrics=bleu,chrf,ter,multi30k_bleu --set "confidence.corpora=$news")
vocabulary=(--set "data.vocab_from=$out/teacher")
# The rate stays up, and then falls in a line to zero; a little of the noise of what people type.
long=("${vocabulary[@]}" --set train.max_tokens=4096 --set train.schedule=constant
  --set train.cooldown=0.6 --set train.warmup_steps=150 --set train.peak_lr=1.5e-3
  --set train.muon_lr=0.015 --set train.patience=50 --set train.checkpoint_every=250
  --set noise.scale=0.5)

# 1. A first teacher, and the vocabulary of all that follows.
train teacher "$multi30k" --set train.optimizer=adam --set clean.enabled=false "${part[@]}" "$@"

# 2. What the English descriptions of task 2 mean in German, by that teacher: what it makes of human
#    English is data for both directions. Lines that stand in valid or test stay out.
zcat "$multi30k"/task2/train.?.en.gz | grep -vxFf <(zcat "$multi30k/train.en.gz") > "$out/mono.en"
translate() { # FOLDER MONO MODEL...
  local models=()
  for model in "${@:3}"; do models+=(--model "$model"); done
  translator prepare forward-translate --mono "$2" --output "$out/$1" --held-out "$multi30k" \
    "${models[@]}" --beam-size 3 --precision bf16 --set search.batch_tokens=4096
}
translate forward "$out/mono.en" "$out/teacher"
# The same for German to English, where they are back-translations: their sources get a tag.
cp -rT "$out/forward" "$out/back"
sed -i 's/"tag": null/"tag": "<bt>"/' "$out/back/corpus.json"

# 3. German to English. It begins with the teacher's weights, whose embeddings know both languages.
train de-en-first "$multi30k:2,$out/back:1" --src de --tgt en --init-from "$out/teacher" \
  "${vocabulary[@]}" --steps 1069 --set train.schedule=constant --set train.cooldown=0 \
  --set train.warmup_steps=200 --set model.dropout=0.1 --set noise.scale=0.5 --seed 3 \
  "${part[@]}" "$@"
train de-en "$multi30k:2,$out/back:1" --src de --tgt en --init-from "$out/de-en-first" "${long[@]}" \
  --steps 4200 --set model.dropout=0.1 --seed 6 --set search.length_penalty=1.2 "${whole[@]}" "$@"

# 4. English to German: a start on true pairs alone, then with the teacher's translations.
train en-de-first "$multi30k" "${vocabulary[@]}" --steps 6200 --set train.schedule=constant \
  --set train.cooldown=0.45 --set train.warmup_steps=300 --set model.dropout=0.2 --seed 2 \
  --set train.validate_every=1000 --set train.keep_checkpoints=4 "${part[@]}" "$@"
train en-de-second "$multi30k:3,$out/forward:1" --init-from "$out/en-de-first" "${long[@]}" \
  --steps 4000 --set model.dropout=0.2 --seed 5 "${part[@]}" "$@"

# 5. It translates three eighths of the descriptions again, together with the teacher, and learns from
#    that, with larger batches and a rate that falls for longer. (The shipped one did so in two
#    processes, which make the same updates: torchrun --nproc-per-node 2 -m translator train.)
awk 'NR % 2 && NR % 8 != 5' "$out/mono.en" > "$out/some.en"
translate second "$out/some.en" "$out/teacher" "$out/en-de-second"
train en-de "$multi30k:3,$out/second:2,$out/forward:0.5" --init-from "$out/en-de-second" "${long[@]}" \
  --steps 2800 --set train.max_tokens=8192 --set train.peak_lr=1e-3 --set train.muon_lr=0.012 \
  --set train.warmup_steps=100 --set train.cooldown=0.85 --set model.dropout=0.15 --seed 7 \
  --set train.validate_every=600 --set train.checkpoint_every=200 --set train.keep_checkpoints=6 \
  --set search.length_penalty=1.4 "${whole[@]}" "$@"
