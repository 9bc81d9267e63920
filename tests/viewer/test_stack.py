import numpy as np
import pytest
import torch
from viewer.scenes import WAVELENGTHS, images, truth

from ifmsr.errors import InputError
from ifmsr.io import Cube
from ifmsr.viewer.stack import nice, stack_of


def test_layers_lie_on_the_frame_of_the_finest_image():
    stack = stack_of(**images())
    assert [layer.name for layer in stack.layers] == [
        "LR cube",
        "RGB guide",
        "Bicubic",
        "Closed-form",
        "Ground truth",
    ]
    assert stack.size == (8, 12) and stack.compared == (2, 3)
    assert stack.facts() == "4 bands, 460 to 700 nm, 4 x 6 and 8 x 12 pixels"
    spectra = stack.spectra(5, 7)
    assert spectra[1] is None
    np.testing.assert_array_equal(spectra[0], images()["cube"][:, 2, 3])
    np.testing.assert_array_equal(spectra[4], truth()[:, 5, 7])


def test_natural_colour_where_the_wavelengths_reach_it_and_near_infrared_as_false_colour():
    stack = stack_of(truth(), wavelengths=WAVELENGTHS)
    assert stack.natural == (2, 1, 0)
    assert stack_of(truth()).natural is None
    infrared = stack_of(truth(), wavelengths=[550, 650, 860, 1000])
    assert infrared.natural is None and infrared.false == (2, 1, 0)


def test_a_cube_brings_its_wavelengths_and_its_maximum():
    stack = stack_of(Cube(truth(), wavelengths=WAVELENGTHS, maximum=4095.0))
    assert stack.quantity == "Value / 4095"
    np.testing.assert_array_equal(stack.wavelengths, WAVELENGTHS)
    assert stack_of(torch.from_numpy(truth()).bfloat16()).quantity == "Reflectance"


def test_missing_values_take_no_part():
    cube, reference = truth(), truth()
    cube[:, 0, 0], cube[1, 1, 1] = np.nan, np.inf
    stack = stack_of(cube, results={"half": cube / 2}, truth=reference)
    assert np.isnan(stack.layers[0].values[1, 1, 1])
    assert np.isfinite(stack.error_limits).all() and np.isfinite(stack.angle_limits).all()
    assert np.isnan(stack.angles(1)[0, 0])
    assert stack.angles(1)[5, 5] == pytest.approx(0, abs=1e-3)


def test_angles_are_those_of_the_definition():
    stack = stack_of(**images())
    a, b = images()["results"]["Bicubic"][:, 3, 4].astype(float), truth()[:, 3, 4].astype(float)
    expected = np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
    assert stack.angles(2)[3, 4] == pytest.approx(expected, rel=1e-5)


def test_the_scale_ends_at_a_round_number():
    assert [nice(value) for value in (0.0101, 0.02, 0.3, 5.5, 7e-4)] == [0.02, 0.02, 0.5, 10, 1e-3]
    largest, end = stack_of(**images()).error_limits
    errors = [abs(result - truth()) for result in images()["results"].values()]
    assert largest == pytest.approx(max(error.max() for error in errors))
    usual = [np.percentile(error, 99) for error in errors]
    assert end == nice(np.sqrt(usual[0] * usual[1]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cube": np.zeros((8, 12))}, r"^cube: float64 of shape \(8, 12\)\. "),
        ({"cube": "cube.npy"}, r"^cube: <U8 of shape \(\)\. "),
        ({"cube": np.full((4, 8, 12), np.nan)}, "^cube: no value is finite"),
        ({"guide": np.zeros((5, 8, 12))}, "^guide: 5 channels"),
        ({"guide": np.zeros((3, 9, 12))}, "^guide: 9 x 12 pixels beside an image of 4 x 6"),
        ({"truth": np.zeros((3, 8, 12))}, "^truth: 3 bands beside a cube of 4"),
        ({"results": {"mine": np.zeros((4, 8, 10))}}, r"^results\['mine'\]: 8 x 10 pixels beside"),
        ({"results": [truth()]}, "^results: found list"),
        ({"results": {3: truth()}}, "^results: 3 as a name"),
        ({"results": {"LR cube": truth()}}, "^results: 'LR cube' is the name of another image"),
        ({"wavelengths": [1.0, 2.0]}, r"^wavelengths: shape \(2,\) for 4 bands"),
        ({"wavelengths": ["red"] * 4}, "^wavelengths: no numbers"),
    ],
)
def test_bad_input_is_one_sentence_that_names_the_argument(change, message):
    with pytest.raises(InputError, match=message):
        stack_of(**(images() | change))
