#!/bin/sh
# Runs on a machine with an NVIDIA card, Python 3.12, torch with CUDA, NumPy and OpenCV, without a network, from a folder that
# tools/prepare_for_card.sh makes: the CUDA tests, tables of agreement, speed and rates, then training for MINUTES. All results go
# to OUT.
# Usage: cd FOLDER/project && sh tools/on_a_card.sh OUT MINUTES [JOBS]    (JOBS as tools/train_on_card.py takes them)
set -u
out=$1
minutes=$2
jobs=${3:-'[{"shape": "tiny", "init": "apanet_core/weights/tiny.safetensors"},
 {"shape": "small", "init": "apanet_core/weights/small.safetensors"}]'}
photos=${PHOTOS:-../photos}
mkdir -p "$out"
if [ -d ../wheels ]; then
    python3 -m pip install --quiet --no-index --no-deps --target ../site ../wheels/*.whl && export PYTHONPATH="../site:."
fi
nvidia-smi > "$out/card.txt" 2>&1
timeout 120 python3 -m pytest -q -p no:cacheprovider test/core/test_devices.py test/core/engines/test_cuda_graphs.py \
    test/core/training/test_step.py test/core/engines/test_engines.py test/core/model/test_parallax_attention.py \
    -k "cuda or captured" > "$out/tests.txt" 2>&1
tail -3 "$out/tests.txt"
timeout 150 python3 -m tools.card_check --photos "$photos" > "$out/tables.md" 2> "$out/tables.log"
cat "$out/tables.md"
# samples/s of `apanet train`, rendering included, as its log says
for model in tiny small base; do
    timeout 90 python3 -m apanet_core.commands.main train "config/training/$model.yaml" --out "$out/rate-$model" \
        --data.photos "[$photos]" --data.size '[192, 384]' --batch_size 32 --precision bf16-mixed --compile false \
        --validation_pairs 32 --minutes 0.7 > "$out/rate-$model.txt" 2>&1
    echo "$model: $(grep -o '[0-9.e+]* samples/s' "$out/rate-$model.txt" | tail -1)"
done
python3 -m tools.train_on_card "$jobs" --photos "$photos" --seconds "$((60 * minutes))" --out "$out" 2>&1 | tee "$out/training.txt"
