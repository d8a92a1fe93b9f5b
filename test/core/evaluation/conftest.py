"""A small synthetic data set: planes of known disparity, with streaks that differ between the views."""

import cv2
import numpy as np
import pytest

from apanet_core.images.files import write_image

SIZE = (48, 112)
NAMES = ["a", "b<i onclick=alert(1)>&amp;\"'", "c d"]
DISPARITIES_PX = [6, 10, 14]


@pytest.fixture
def data_set(tmp_path):
    """Three pairs in `data`, true disparities in `truth`, and a method's outputs, the clean pairs, in `copy`."""
    rng = np.random.default_rng(0)
    height, width = SIZE
    for name, shift in zip(NAMES, DISPARITIES_PX):
        wide = rng.integers(0, 256, (height, width + shift, 3), dtype=np.uint8)
        wide = cv2.normalize(cv2.GaussianBlur(wide, (0, 0), 1.5), None, 60, 100, cv2.NORM_MINMAX)
        for side, view in (("left", wide[:, :width]), ("right", wide[:, shift:])):
            rainy = view.copy()
            rainy[:, rng.choice(width, shift, replace=False)] += 150  # the more shift, the more streaks
            for folder, image in (("data/rain", rainy), ("data/norain", view), ("copy", view)):
                (tmp_path / folder / side).mkdir(parents=True, exist_ok=True)
                write_image(tmp_path / folder / side / f"{name}.png", image)
        (tmp_path / "truth").mkdir(exist_ok=True)
        np.save(tmp_path / "truth" / f"{name}.npy", np.full(SIZE, shift, np.float32))
    return tmp_path
