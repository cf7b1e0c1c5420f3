#!/bin/bash
# On the GPU machine:
# go.sh unpack FOLDER | measure | train SECONDS DIRECTION... [SECTION.KEY=VALUE]... | fetch DIRECTION
# go.sh sweep FILE [PARALLEL]
set -eo pipefail
export PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
work=${GPU_WORK:-$HOME/gpu-work}
out=${OUT:-$work/out}
python=${PYTHON:-python3}
overlap=16 # seconds in which the next direction starts while the one before ends
mkdir -p "$work" "$out"
export OUT=$out
case $1 in
unpack)
  for file in "$2"/*.tar.xz; do xz -dc "$file" | tar xf - -C "$work"; done
  ls "$work"
  ;;
measure)
  cd "$work" && $python gpu/measure.py "${@:2}" 2>&1 | tee "$out/measure.log"
  ;;
train)
  seconds=$2 start=0 directions=() settings=()
  for word in "${@:3}"; do
    case $word in *=*) settings+=("$word") ;; *) directions+=("$word") ;; esac
  done
  each=$((seconds / ${#directions[@]}))
  cd "$work"
  for direction in "${directions[@]}"; do
    rm -rf "run-$direction" "model-$direction"
    (sleep $start; exec $python gpu/train.py "$direction" $((each + (start > 0 ? overlap : 0))) "${settings[@]}") \
      >"$out/$direction.log" 2>&1 &
    start=$((start + each - overlap))
  done
  while jobs -r | grep -q .; do
    for _ in {1..20}; do sleep 1; jobs -r | grep -q . || break; done
    nvidia-smi --query-gpu=utilization.gpu,memory.used --format=csv,noheader 2>/dev/null || true
    for direction in "${directions[@]}"; do tail -n 1 "$out/$direction.log" | cut -c1-110; done
  done
  wait
  for direction in "${directions[@]}"; do grep -E '^\[|Error' "$out/$direction.log" | tail -n 6; done
  for direction in "${directions[@]}"; do [ -d "model-$direction" ] || exit 1; done
  ;;
sweep)
  file=$(realpath "$2")
  cd "$work" && $python gpu/sweep.py "$file" "${@:3}" 2>&1 | tee -a "$out/sweep.log"
  ;;
fetch)
  cd "$work" && tar cf - "model-$2" | xz -T0 -1 | split -b 15M - "$out/model-$2.xz."
  ls -l "$out"
  ;;
*) sed -n 2,4p "$0"; exit 2 ;;
esac
