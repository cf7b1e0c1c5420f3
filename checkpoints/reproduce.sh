#!/usr/bin/env bash
# Trains the two shipped models again, from Multi30k alone, in the steps in which they were made:
# about twelve hours on two CPU cores. An interrupted run goes on where it stopped.
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
fast=(--held-out "$multi30k" --beam-size 3 --precision bf16 --set search.batch_tokens=4096)
translate() { # FOLDER MONO OPTIONS
  translator prepare forward-translate --output "$out/$1" --mono "$2" "${fast[@]}" "${@:3}"
}
tag() { # FOLDER OUTPUT: the same for German to English, where they are back-translations
  cp -rT "$out/$1" "$out/$2"
  sed -i 's/"tag": null/"tag": "<bt>"/' "$out/$2/corpus.json"
}
translate forward "$out/mono.en" --model "$out/teacher"
tag forward back

# 3. German to English. It begins with the teacher's weights, whose embeddings know both languages.
train de-en-first "$multi30k:2,$out/back:1" --src de --tgt en --init-from "$out/teacher" \
  "${vocabulary[@]}" --steps 1069 --set train.schedule=constant --set train.cooldown=0 \
  --set train.warmup_steps=200 --set model.dropout=0.1 --set noise.scale=0.5 --seed 3 \
  "${part[@]}" "$@"
train de-en-second "$multi30k:2,$out/back:1" --src de --tgt en --init-from "$out/de-en-first" \
  "${long[@]}" --steps 4200 --set model.dropout=0.1 --seed 6 --set search.length_penalty=1.2 \
  "${part[@]}" "$@"

# 4. English to German: a start on true pairs alone, then with the teacher's translations.
train en-de-first "$multi30k" "${vocabulary[@]}" --steps 6200 --set train.schedule=constant \
  --set train.cooldown=0.45 --set train.warmup_steps=300 --set model.dropout=0.2 --seed 2 \
  --set train.validate_every=1000 --set train.keep_checkpoints=4 "${part[@]}" "$@"
train en-de-second "$multi30k:3,$out/forward:1" --init-from "$out/en-de-first" "${long[@]}" \
  --steps 4000 --set model.dropout=0.2 --seed 5 "${part[@]}" "$@"

# 5. It translates three eighths of the descriptions again, together with the teacher, and learns from
#    that, with larger batches and a rate that falls for longer.
awk 'NR % 2 && NR % 8 != 5' "$out/mono.en" > "$out/some.en"
translate second "$out/some.en" --model "$out/teacher" --model "$out/en-de-second"
large=("${long[@]}" --set train.max_tokens=8192 --set train.peak_lr=1e-3 --set train.muon_lr=0.012
  --set train.warmup_steps=100 --set train.cooldown=0.85)
train en-de-third "$multi30k:3,$out/second:2,$out/forward:0.5" --init-from "$out/en-de-second" \
  "${large[@]}" --steps 2800 --set model.dropout=0.15 --seed 7 "${part[@]}" "$@"

# 6. The German descriptions of task 2, which are no translations of the English ones: the model of
#    German to English writes the sources of its own for them. Marked by a tag, they teach German.
zcat "$multi30k"/task2/train.?.de.gz | awk 'NF > 2 && !seen[$0]++' |
  grep -vxFf <(zcat "$multi30k/train.de.gz") > "$out/mono.de"
translate_back() { # FOLDER MODEL
  translator prepare back-translate --output "$out/$1" --mono "$out/mono.de" --src de \
    --model "$out/$2" "${fast[@]}" --set search.length_penalty=1.2
}
translate_back back-german de-en-second

# 7. Two models that err in different ways: one that learns from those, from the teacher's weights, and
#    one that learns from what teacher and en-de-third make of a part of the English descriptions.
grep -vxFf "$out/some.en" "$out/mono.en" > "$out/other.en"
awk 'NR % 2 == 0' "$out/other.en" > "$out/even.en"
awk 'NR % 2' "$out/other.en" > "$out/odd.en"
translate third "$out/even.en" --model "$out/teacher" --model "$out/en-de-third" --beam-size 4 \
  --set search.length_penalty=1.4
train en-de-german "$multi30k:3,$out/back-german:1,$out/second:1" --init-from "$out/teacher" \
  "${long[@]}" --steps 4000 --set train.cooldown=0.7 --set model.dropout=0.15 --seed 11 \
  "${part[@]}" "$@"
train en-de-fourth "$multi30k:3,$out/third:2,$out/second:1" --init-from "$out/en-de-third" \
  "${large[@]}" --steps 1700 --set model.dropout=0.12 --seed 12 "${part[@]}" "$@"

# 8. What both together make of another part, all of it longer for a reward, teaches the first of them.
#    (Ours had two processes, which make the same updates: torchrun --nproc-per-node 2 -m translator
#    train. So had en-de-third and the last run.)
translate fourth "$out/odd.en" --model "$out/en-de-german" --model "$out/en-de-fourth" \
  --set search.length_penalty=0 --set search.length_reward=0.7 --set search.no_repeat_ngram=4
train en-de-fifth "$multi30k:2,$out/back-german:1,$out/fourth:1,$out/third:1" \
  --init-from "$out/en-de-german" "${large[@]}" --steps 4900 --set model.dropout=0.15 --seed 13 \
  "${part[@]}" "$@"

# 9. It translates all English descriptions: the last model of German to English learns from them.
translate fifth "$out/mono.en" --model "$out/en-de-fifth" --set search.length_penalty=1.2 \
  --set search.no_repeat_ngram=4
tag fifth back-fifth
train de-en "$multi30k:3,$out/back-fifth:1" --src de --tgt en --init-from "$out/de-en-second" \
  "${long[@]}" --steps 4000 --set train.cooldown=0.7 --set train.keep_checkpoints=5 \
  --set model.dropout=0.12 --seed 21 --set search.length_penalty=1.0 "${whole[@]}" "$@"

# 10. And that one writes the sources of the German descriptions anew, for the last of English to German,
#     which meanwhile went on at its full rate with the old ones.
train en-de-sixth "$multi30k:2,$out/back-german:1,$out/fifth:0.5" --init-from "$out/en-de-fifth" \
  "${long[@]}" --steps 3800 --set train.cooldown=0 --set model.dropout=0.15 --seed 22 \
  --set train.keep_checkpoints=4 "${part[@]}" "$@"
translate_back back-german-again de-en
train en-de "$multi30k:3,$out/back-german-again:1,$out/back-german:0.5,$out/fifth:0.5" \
  --init-from "$out/en-de-sixth" "${large[@]}" --steps 4600 --set model.dropout=0.15 --seed 23 \
  --set train.keep_checkpoints=6 --set search.length_penalty=1.6 "${whole[@]}" "$@"
