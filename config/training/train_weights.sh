#!/usr/bin/env bash
# Trains the bundled weights of `tiny` or `small` stage by stage; started again, it goes on where it was.
#   config/training/train_weights.sh NAME PHOTOS STEREO
# NAME: tiny or small. PHOTOS: folders of photographs, as in '[my/photos,my/textures]'. STEREO: a folder with left/ and right/,
# clean rectified pairs: rain is rendered on them, and the student sees them without their clean partners.
# Run from the root of a clone with its history and with `apanet` on the PATH; everything is written below runs/.
set -euo pipefail
if [[ $# -ne 3 || ($1 != tiny && $1 != small) ]]; then
    sed -n '2,6p' "$0" >&2
    exit 2
fi
name=$1 photos=$2 stereo=$3
root=$(dirname "$0")

mkdir -p runs/unpaired/left runs/unpaired/right

# 1. supervised, from the second set of weights
for preset in tiny small; do
    git show "058fe79:apanet_core/weights/$preset.safetensors" > "runs/${preset}_start.safetensors"
done
if [[ $name == tiny ]]; then
    options=(--steps 900 --validate_every 900 --seed 10 --data.single_image 0.4)
else
    options=(--steps 4200 --validate_every 1400 --seed 7)
fi
apanet train "$root/$name.yaml" --out "runs/$name" --data.photos "$photos" --init "runs/${name}_start.safetensors" \
    --learning_rate 6e-4 --warmup_steps 100 "${options[@]}"

# 2. the single-image teacher of both
apanet train "$root/teacher.yaml" --out runs/teacher --data.photos "$photos" --init runs/small_start.safetensors

# 3. rainy pairs without clean partners: each in three showers, three moderate ones, three of streaks
apanet render-rain "$stereo" --out runs/rain/heavy --variants 3 --seed 11 --max_disparity 96 --rate 50 --camera_mps 8
apanet render-rain "$stereo" --out runs/rain/moderate --variants 3 --seed 12 --max_disparity 96 --rate 15 --veil false \
    --exposure_s 0.015
apanet render-rain "$stereo" --out runs/rain/streaks --variants 3 --seed 13 --max_disparity 96 --kind streaks
for side in left right; do
    for shower in heavy moderate streaks; do
        for file in "runs/rain/$shower/rain_$side"/*; do
            cp "$file" "runs/unpaired/$side/${shower}_${file##*/}"
        done
    done
done

# 4. Single-to-Stereo distillation
if [[ $name == tiny ]]; then steps=250; else steps=500; fi
apanet distill "$root/bundled.yaml" --out "runs/${name}_distilled" --model "$name" --steps "$steps" --validate_every "$steps" \
    --data.photos "$photos" --init "runs/$name/best.safetensors"
echo "the weights of $name: runs/${name}_distilled/best.safetensors"
