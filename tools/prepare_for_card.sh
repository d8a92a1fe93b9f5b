#!/bin/sh
# Makes a folder with all that tools/on_a_card.sh needs on a machine without a network: the committed project, photographs of
# at most 1280 px, and wheels for Python 3.12 that such a machine may lack; at most 60 MiB.
# Usage: tools/prepare_for_card.sh FOLDER PHOTOS...
set -eu
folder=$1
shift
mkdir -p "$folder/project" "$folder/photos" "$folder/wheels"
git archive HEAD | tar -x -C "$folder/project"
.venv/bin/python - "$folder/photos" "$@" <<'PYTHON'
import sys
from pathlib import Path

import cv2

from apanet_core.images.files import find_images, read_image

out, *folders = map(Path, sys.argv[1:])
for number, path in enumerate(path for folder in folders for path in find_images(folder)):
    photo = read_image(path)
    scale = min(1.0, 1280 / max(photo.shape))
    photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(out / f"{number:04}.webp"), photo[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 88])
PYTHON
.venv/bin/python -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --dest "$folder/wheels" \
    simplejpeg pytest pluggy iniconfig pygments hypothesis sortedcontainers safetensors tqdm packaging torchmetrics \
    lightning-utilities lightning-fabric tensorboard protobuf absl-py pillow jsonargparse docstring-parser-fork pyyaml
du -sh "$folder"
[ "$(du -sm "$folder" | cut -f1)" -le 60 ] || { echo "$folder has more than 60 MiB: give fewer photographs" >&2; exit 1; }
