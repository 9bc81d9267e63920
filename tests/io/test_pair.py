from dataclasses import replace

import numpy as np
import pytest

from ifmsr.errors import InputError
from ifmsr.io import Cube, fit_pair


def image(bands, height, width, transform=None):
    return Cube(np.zeros((bands, height, width), np.float32), transform=transform)


def test_the_scale_is_what_both_sizes_say():
    assert fit_pair(image(8, 10, 12), image(3, 40, 48)).scale == 4
    assert fit_pair(image(8, 10, 12), image(3, 10, 12)).scale == 1
    for guide in (image(3, 40, 36), image(3, 41, 48), image(3, 5, 6)):
        with pytest.raises(InputError, match=r"scale: the cube has 10 x 12 pixels and the guide .*crop=True"):
            fit_pair(image(8, 10, 12), guide)
    with pytest.raises(InputError, match="which is not 3 times as many"):
        fit_pair(image(8, 10, 12), image(3, 40, 48), scale=3)
    with pytest.raises(InputError, match="scale: found 0"):
        fit_pair(image(8, 10, 12), image(3, 40, 48), scale=0)


@pytest.mark.parametrize(
    ("size", "cropped"), [((41, 50), (10, 12)), ((39, 47), (9, 11)), ((39, 60), (9, 12))]
)
def test_the_common_part_of_both(size, cropped):
    pair = fit_pair(image(8, 10, 12, (4, 0, 0, 0, -4, 0)), image(3, *size, (1, 0, 0, 0, -1, 0)), 4, crop=True)
    assert pair.cube.values.shape[1:] == cropped
    assert pair.guide.values.shape[1:] == tuple(4 * side for side in cropped)
    assert pair.cube.transform == (4, 0, 0, 0, -4, 0) and pair.doubts == ()
    if size[1] < 60:
        assert fit_pair(image(8, 10, 12), image(3, *size), crop=True).scale == 4


def test_nothing_in_common_raises():
    with pytest.raises(InputError, match="no part is common at scale 100"):
        fit_pair(image(8, 10, 12), image(3, 40, 48), 100, crop=True)


def test_a_result_lies_on_the_guides_pixels():
    values = np.zeros((8, 40, 48), np.float32)
    cube = replace(image(8, 10, 12, (4.0, 0.0, 100.0, 0.0, -4.0, 500.0)), crs="EPSG:32611")
    alone = fit_pair(cube, image(3, 40, 48)).result(values)
    assert alone.transform == (1.0, 0.0, 100.0, 0.0, -1.0, 500.0) and alone.crs == "EPSG:32611"
    photo = image(3, 40, 48, (1.0, 0.0, 101.0, 0.0, -1.0, 499.0))  # begins a quarter of an LR pixel later
    assert fit_pair(cube, photo).result(values).transform == photo.transform
    assert fit_pair(cube, photo).result(values).crs == "EPSG:32611"
    assert (
        fit_pair(replace(cube, crs=None), replace(photo, crs="EPSG:4326")).result(values).crs == "EPSG:4326"
    )


def test_georeferences_that_disagree_are_said():
    cube = image(8, 10, 12, (4.0, 0.0, 100.0, 0.0, -4.0, 500.0))
    assert fit_pair(cube, image(3, 40, 48, (1.0, 0.0, 102.0, 0.0, -1.0, 499.0))).doubts == ()
    (apart,) = fit_pair(cube, image(3, 40, 48, (1.0, 0.0, 120.0, 0.0, -1.0, 492.0))).doubts
    assert "begins 2.0 pixels below and 5.0 right of the cube's first" in apart
    (finer,) = fit_pair(cube, image(3, 40, 48, (0.5, 0.0, 100.0, 0.0, -0.5, 500.0))).doubts
    assert "8.00 times finer, not 4" in finer
    assert fit_pair(cube, image(3, 40, 48, (0.0, 0.0, 100.0, 0.0, 0.0, 500.0))).doubts == ()
