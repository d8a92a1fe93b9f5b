#!/usr/bin/env bash
# Train the weights of `tiny-mono` or `small-mono` in stages; the same command continues an interrupted run.
#   config/training/train_weights.sh NAME PHOTOS STEREO [START]
# NAME: tiny-mono or small-mono. PHOTOS: folders of photographs, as in '[my/photos,my/textures]'. STEREO: a folder of clean rectified
# pairs in left/ and right/; the student sees them with rendered rain and without their clean partners. START: the folder of
# the weights to start from, by default the bundled ones.
# `apanet` must be on the PATH. All output is in runs/.
set -euo pipefail
if [[ $# -lt 3 || $# -gt 4 || ($1 != tiny-mono && $1 != small-mono) ]]; then
    sed -n '2,7p' "$0" >&2
    exit 2
fi
root=$(cd "$(dirname "$0")" && pwd)
name=$1 photos=$2 stereo=$3 start=${4:-$root/../../apanet_core/weights}
# on an Intel Xeon, single precision is faster than bfloat16, and compiling gains nothing
speed=(--precision 32-true --compile false)

# 1. supervised, on every kind of rendered rain; the teacher starts from small-mono
supervise() {
    local options=(--steps 3200 --learning_rate 8e-4 --seed 31)
    if [[ $1 == tiny-mono ]]; then options=(--steps 3900 --learning_rate 5e-4 --seed 30); fi
    apanet train "$root/${1%-mono}.yaml" --model "$1" --out "runs/$1" --data.photos "$photos" --init "$start/$1.safetensors" --warmup_steps 100 \
        --data.single_image 0.2 --validate_every 1000000 "${options[@]}" "${speed[@]}"
}
supervise small-mono
if [[ $name == tiny-mono ]]; then supervise tiny-mono; fi

# 2. the single-image teacher of both
apanet train "$root/teacher.yaml" --out runs/teacher --data.photos "$photos" --init runs/small-mono/best.safetensors \
    --steps 300 --learning_rate 2e-4 --warmup_steps 50 "${speed[@]}"

# 3. rainy pairs without clean partners: each three times in heavy rain, in moderate rain and in streaks
apanet render-rain "$stereo" --out runs/rain/heavy --variants 3 --seed 11 --max_disparity 96 --rate 50 --camera_mps 8
apanet render-rain "$stereo" --out runs/rain/moderate --variants 3 --seed 12 --max_disparity 96 --rate 15 --veil false \
    --exposure_s 0.015
apanet render-rain "$stereo" --out runs/rain/streaks --variants 3 --seed 13 --max_disparity 96 --kind streaks
mkdir -p runs/unpaired/left runs/unpaired/right
for side in left right; do
    for shower in heavy moderate streaks; do
        for file in "runs/rain/$shower/rain_$side"/*; do
            cp "$file" "runs/unpaired/$side/${shower}_${file##*/}"
        done
    done
done

# 4. Single-to-Stereo distillation
steps=450
if [[ $name == tiny-mono ]]; then steps=480; fi
apanet distill "$root/bundled.yaml" --out "runs/${name}_distilled" --model "$name" --data.photos "$photos" \
    --init "runs/$name/best.safetensors" --steps "$steps" --learning_rate 2e-4 --validate_every 1000000 "${speed[@]}"
echo "the weights of $name: runs/${name}_distilled/best.safetensors"
