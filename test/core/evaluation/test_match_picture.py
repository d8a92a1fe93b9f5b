import numpy as np

from apanet_core.evaluation.match_picture import RIGHT, UNKNOWN, WRONG, draw_matches


def test_draw_matches_colours_lines_by_error():
    height, width = 60, 120
    black = np.zeros((height, width, 3), np.uint8)
    disparity = np.full((height, width), 8.0, np.float32)
    for truth, colour in ((8.0, RIGHT), (20.0, WRONG), (np.nan, UNKNOWN)):
        picture = draw_matches(black, black, disparity, np.ones((height, width)), np.full((height, width), truth))
        assert picture.shape == (2 * height, width, 3)
        points = np.argwhere((picture == colour).all(axis=2))
        assert points.size
        for other in {RIGHT, WRONG, UNKNOWN} - {colour}:
            assert not (picture == other).all(axis=2).any()
    column, row = 60, 12  # the middle column and the first row of the grid
    assert picture[row, column].tolist() == list(UNKNOWN)
    assert picture[row + height, column - 8].tolist() == list(UNKNOWN)
    assert not black.any()
