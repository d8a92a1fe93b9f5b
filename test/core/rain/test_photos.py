import numpy as np

from apanet_core.images.files import write_image
from apanet_core.rain.photos import LONGEST_SIDE_PX, read_photos


def test_read_photos_large_image_is_downscaled(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((8, 12, 3), np.uint8))
    write_image(tmp_path / "b.jpg", np.full((1200, 2 * LONGEST_SIDE_PX, 3), 90, np.uint8))
    assert read_photos([tmp_path], validation=True)[0].shape == (8, 12, 3)
    (large,) = read_photos([tmp_path])
    assert large.shape == (600, LONGEST_SIDE_PX, 3)
    assert large.mean() == 90
