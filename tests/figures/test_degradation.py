"""Kernels, and what a degradation does to a region."""

import numpy as np
from matplotlib.figure import Figure

from ifmsr import figures


def test_the_kernel_is_drawn_with_its_middle_marked():
    ax = Figure().add_subplot()
    figures.show_kernel(ax, np.eye(13) / 13, "kernel")
    (cross,) = ax.get_lines()
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (6, 6)


def test_the_strip_shows_the_same_region_of_every_image(scene, seen):
    drawn = figures.degradation_strip(scene, {"released": seen}, band=30, region=(20, 8, 16, 16))
    whole, hr, lr = drawn.axes
    assert [ax.get_title() for ax in (whole, hr, lr)] == ["test", "HR", "released"]
    region = scene.cube[30, 20:36, 8:24]
    shown = np.sqrt((region - region.min()) / (region.max() - region.min()))
    np.testing.assert_allclose(hr.get_images()[0].get_array(), shown, atol=1e-6)
    np.testing.assert_allclose(lr.get_images()[0].get_array()[2::4, 2::4], shown[2::4, 2::4], atol=1e-6)
