from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from ifmsr.degradation.kernels import kernel_side
from ifmsr.degradation.protocol import degrade
from ifmsr.errors import InputError
from ifmsr.guide.registration import Registration, onto_cube_grid, register, warp
from ifmsr.scenes import Scene, nikon_d700, open_dataset

CORNERS = np.array([[-1, -1, 1, 1], [-1, 1, -1, 1]])


@pytest.fixture(scope="module")
def pines():
    """31 bands of Indian Pines, 144 x 72 pixels, with a camera's response."""
    cube = open_dataset("indian-pines").load("train").cube[10:41, :, :72]
    return Scene("pines", np.ascontiguousarray(cube), srf=nikon_d700())


@pytest.fixture(scope="module")
def toys(cave_root):
    return open_dataset("cave", cave_root).load("stuffed_toys")


@pytest.fixture(scope="module")
def paints(cave_root):
    return open_dataset("cave", cave_root).load("paints")


def moved(degrees=0.0, larger=1.0, shift=(0.0, 0.0), size=(512, 512)):
    """From pixels of the guide to the cube's HR grid, for a guide rotated and scaled about its centre."""
    angle, middle = np.radians(degrees), (np.array(size) - 1) / 2
    linear = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / larger
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, middle - linear @ (middle + shift)
    return matrix


def seen(cube, matrix):
    """The images of a cube (C, H, W) as a guide shows them, by SciPy."""
    bands = [affine_transform(band, matrix[:2, :2], matrix[:2, 2], order=1, mode="nearest") for band in cube]
    return np.stack(bands).clip(0, 1)


def of(matrix, size=(512, 512)):
    return Registration(matrix, size, 0.5, 1.0, "warped")


def found(observation, rgb=None):
    rgb = observation.rgb if rgb is None else rgb
    return register(
        torch.from_numpy(observation.lr), torch.from_numpy(np.ascontiguousarray(rgb)), observation.scale
    )


def srgb(rgb):
    encoded = np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * np.maximum(rgb, 1e-9) ** (1 / 2.4) - 0.055)
    return (np.round(255 * encoded) / 255).astype(np.float32)


def corner_errors(registration, truth):
    """(2, 4) registration errors of the corners relative to the centre, which also contains the kernel's shift."""
    middle = (np.array(registration.size)[:, None] - 1) / 2
    error = (registration.matrix - truth)[:2, :2] @ (CORNERS * middle)
    return error


# --- estimated warps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("degrees", "larger", "shift"),
    [(0.5, 1, (0, 0)), (2, 1, (0, 0)), (0, 1.01, (0, 0)), (-8, 1.1, (60, -30)), (12, 0.9, (0, 0))],
)
def test_a_known_warp_is_recovered_to_a_tenth_of_a_pixel_at_the_corners(toys, degrees, larger, shift):
    observation, truth = degrade(toys, 4, seed=5), moved(degrees, larger, shift)
    registration = found(observation, seen(toys.rgb(), truth))
    assert registration.verdict == "warped" and registration.trusted and registration.needed
    assert np.abs(corner_errors(registration, truth)).max() < 0.1
    assert registration.rotation == pytest.approx(degrees, abs=0.02)
    assert registration.magnification == pytest.approx(larger, abs=4e-4)
    kernel = 4 / 3  # the shift of the protocol's kernel, which cannot be separated from the guide's
    np.testing.assert_allclose(np.array(registration.shift) - kernel, of(truth).shift, atol=0.7)
    assert registration.after > 0.95 > registration.before + 0.03


@pytest.mark.parametrize("shift", [(20, 20), (-100, 60), (0, 9)])
def test_a_large_shift_is_undone_by_whole_pixels_so_that_nothing_is_interpolated(toys, shift):
    observation = degrade(toys, 4, seed=5)
    registration = found(observation, seen(toys.rgb(), moved(shift=shift)))
    assert registration.verdict == "warped"
    np.testing.assert_array_equal(registration.matrix[:2, :2], np.eye(2))
    np.testing.assert_array_equal(registration.shift, np.round(registration.shift))
    np.testing.assert_allclose(np.array(registration.shift) - 4 / 3, shift, atol=1)


@pytest.mark.parametrize("scale", [2, 4, 8, 16])
def test_a_registered_pair_is_left_alone(toys, scale):
    registration = found(degrade(toys, scale, seed=5))
    assert registration.verdict == "in place" and not registration.needed
    np.testing.assert_array_equal(registration.matrix, np.eye(3))
    assert registration.shift == (0, 0) and registration.rotation == 0 and registration.magnification == 1


def test_shifts_within_the_kernels_reach_are_left_to_the_kernel(toys):
    observation = degrade(toys, 4, seed=5)
    room = (kernel_side(4) - 13) // 2
    inside, outside = (np.roll(observation.rgb, (step, step), (1, 2)) for step in (room - 2, room + 1))
    assert found(observation, inside).verdict == "in place"
    assert found(observation, outside).verdict == "warped"


@pytest.mark.parametrize("bands", [slice(24, 31), slice(0, 12), slice(0, 31)])
@pytest.mark.parametrize("curve", [srgb, lambda rgb: rgb])
def test_neither_a_tone_curve_nor_other_bands_hide_that_a_pair_is_registered(paints, bands, curve):
    observation = replace(degrade(paints, 4, seed=5), srf=None)
    part = replace(observation, lr=np.ascontiguousarray(observation.lr[bands]))
    assert found(part, curve(observation.rgb)).verdict == "in place"


def test_a_photograph_that_was_turned_is_registered_to_half_a_pixel_and_better_once_linearised(paints):
    observation, truth = degrade(paints, 4, seed=5), moved(2)
    rgb = seen(paints.rgb(), truth)
    encoded, linear = found(observation, srgb(rgb)), found(observation, rgb)
    assert np.abs(corner_errors(encoded, truth)).max() < 0.5
    assert np.abs(corner_errors(linear, truth)).max() < 0.15


def test_small_images_of_another_sensor_are_registered(pines):
    observation, truth = degrade(pines, 4, seed=5), moved(4, size=(144, 72))
    registration = found(observation, seen(pines.rgb(), truth))
    assert registration.verdict == "warped"
    assert np.abs(corner_errors(registration, truth)).max() < 0.4
    assert found(observation).verdict == "in place"


def test_the_unit_of_either_image_does_not_matter(pines):
    observation, truth = degrade(pines, 4, seed=5), moved(4, size=(144, 72))
    lr, rgb = torch.from_numpy(observation.lr), torch.from_numpy(seen(pines.rgb(), truth))
    one, other = register(lr, rgb, 4), register(10000 * lr, 1e-6 * rgb, 4)
    np.testing.assert_allclose(one.matrix, other.matrix, atol=2e-3)
    assert one.after == pytest.approx(other.after, abs=1e-3)


def test_invalid_pixels_take_no_part(toys):
    observation, truth = degrade(toys, 4, seed=5), moved(2)
    lr, rgb = torch.from_numpy(observation.lr.copy()), torch.from_numpy(seen(toys.rgb(), truth))
    lr_valid, rgb_valid = torch.ones(128, 128, dtype=torch.bool), torch.ones(512, 512, dtype=torch.bool)
    lr_valid[:, 96:], rgb_valid[:150] = False, False
    lr[:, :, 96:], rgb[:, :150] = torch.rand(31, 128, 32), torch.rand(3, 150, 512)
    registration = register(lr, rgb, 4, lr_valid, rgb_valid)
    assert np.abs(corner_errors(registration, truth)).max() < 0.3
    assert registration.after > 0.95


# --- pairs that cannot be registered -------------------------------------------------------------------------


def unrelated_guides(scene, other):
    noise = np.random.default_rng(0).random(scene.cube[:3].shape, dtype=np.float32)
    return {"mirrored": scene.rgb()[:, :, ::-1], "noise": noise, "another scene": other.rgb()}


@pytest.mark.parametrize("kind", ["mirrored", "noise", "another scene"])
def test_a_guide_of_something_else_is_said_to_be_one_and_left_where_it_is(toys, paints, kind):
    registration = found(degrade(toys, 4, seed=5), unrelated_guides(toys, paints)[kind])
    assert registration.verdict == "unrelated" and not registration.trusted and not registration.needed
    np.testing.assert_array_equal(registration.matrix, np.eye(3))
    assert registration.after < 0.65
    assert "cannot be registered" in str(registration)


def test_images_without_detail_or_pixels_cannot_be_registered(pines):
    observation = degrade(pines, 4, seed=5)
    grey = np.full_like(observation.rgb, 0.5)
    assert found(observation, grey).verdict == "no detail"
    assert found(replace(observation, lr=np.full_like(observation.lr, 0.25))).verdict == "no detail"
    tiny = degrade(pines.crop(0, 0, 40, 40), 4)
    assert found(tiny).verdict == "too small"


def test_images_of_other_shapes_raise():
    with pytest.raises(InputError, match="lr and rgb"):
        register(torch.rand(4, 20, 20), torch.rand(1, 80, 80), 4)


# --- re-sampling ---------------------------------------------------------------------------------------------


def test_the_plain_numbers_of_a_registration_are_those_that_made_it():
    registration = of(moved(7, 1.2, (-5, 3), size=(100, 80)), (100, 80))
    assert registration.rotation == pytest.approx(7)
    assert registration.magnification == pytest.approx(1.2)
    unturned = of(moved(shift=(-5, 3), size=(100, 80)), (100, 80))
    np.testing.assert_allclose(unturned.shift, (-5, 3), atol=1e-12)


def test_the_guide_comes_to_lie_on_the_cube(toys):
    truth = moved(3, 1.05, (10, -6))
    guide = torch.from_numpy(seen(toys.cube[[4, 15, 26]], truth))
    on_cube = onto_cube_grid(torch.from_numpy(degrade(toys, 4).lr), guide, 4, of(truth))
    top, left = (int(-row) for row in np.round((on_cube.place @ np.linalg.inv(truth))[:2, 2]))
    expected = toys.cube[[4, 15, 26], 60:400, 60:400]
    there = on_cube.rgb[:, 60 - top : 400 - top, 60 - left : 400 - left].numpy()
    assert np.sqrt(np.mean((there - expected) ** 2)) < 0.25 * np.sqrt(
        np.mean((guide[:, 60:400, 60:400].numpy() - expected) ** 2)
    )
    assert on_cube.rgb_valid[60 - top : 400 - top, 60 - left : 400 - left].all()


def test_a_shift_by_whole_lr_pixels_moves_both_images_and_loses_nothing():
    lr, rgb = torch.rand(5, 8, 6), torch.rand(3, 32, 24)
    registration = of(
        moved(shift=(8, -4), size=(32, 24)), (32, 24)
    )  # the guide shows things 2 LR pixels lower
    on_cube = onto_cube_grid(lr, rgb, 4, registration)
    torch.testing.assert_close(on_cube.rgb, rgb, atol=1e-5, rtol=0)
    torch.testing.assert_close(on_cube.lr[:, 2:, :-1], lr[:, :-2, 1:])
    expected = torch.ones(8, 6, dtype=torch.bool)
    expected[:2], expected[:, -1] = False, False
    torch.testing.assert_close(on_cube.lr_valid, expected)
    assert on_cube.rgb_valid.all()
    torch.testing.assert_close(on_cube.back(on_cube.rgb), rgb, atol=1e-5, rtol=0)
    torch.testing.assert_close(on_cube.measured(), expected.repeat_interleave(4, 0).repeat_interleave(4, 1))


def test_masks_travel_with_their_images():
    lr, rgb = torch.rand(5, 8, 6), torch.rand(3, 32, 24)
    lr_valid, rgb_valid = torch.rand(8, 6) > 0.3, torch.rand(32, 24) > 0.3
    registration = of(moved(shift=(8, 0), size=(32, 24)), (32, 24))
    on_cube = onto_cube_grid(lr, rgb, 4, registration, lr_valid, rgb_valid)
    torch.testing.assert_close(on_cube.lr_valid[2:], lr_valid[:-2])
    torch.testing.assert_close(on_cube.rgb_valid, rgb_valid)


def test_there_and_back_a_smooth_image_is_the_same():
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(120.0), indexing="ij")
    image = torch.stack([torch.sin(y / 9), torch.cos(x / 7), torch.sin((x + y) / 11)])
    matrix = moved(5, 1.1, (3, -2), size=(96, 120))
    there, valid = warp(image, np.linalg.inv(matrix), (96, 120))
    back, seen_again = warp(there, matrix, (96, 120))
    inner = seen_again & (warp(valid[None].float(), matrix, (96, 120))[0][0] > 0.999)
    assert 0.6 < inner.float().mean() < 1
    assert (back - image)[:, inner].abs().max() < 0.06
