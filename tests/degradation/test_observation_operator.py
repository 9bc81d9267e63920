import numpy as np
import pytest
import torch
from oracles import matrix_of

from ifmsr.degradation.blurs import assumed_blur
from ifmsr.degradation.observation_operator import BlurDecimate
from ifmsr.degradation.sampling import decimate
from ifmsr.errors import InputError

CASES = [
    (2, 2, (6, 8)),
    (2, 6, (8, 4)),
    (3, 7, (9, 12)),
    (4, 10, (8, 4)),
    (1, 3, (5, 6)),
]  # scale, side, size


def case(scale, side, size):
    torch.manual_seed(0)
    kernel = torch.rand(side, side, dtype=torch.double)
    kernel /= kernel.sum()
    return BlurDecimate(kernel, scale, size), matrix_of(kernel.numpy(), scale, size)


@pytest.mark.parametrize("setting", CASES)
def test_forward_and_adjoint_equal_the_explicit_matrix(setting):
    operator, matrix = case(*setting)
    image = torch.rand(3, *operator.size, dtype=torch.double)
    lr = torch.rand(3, *operator.lr_size, dtype=torch.double)
    expected = image.flatten(1).numpy() @ matrix.T
    np.testing.assert_allclose(operator.forward(image).flatten(1).numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(
        operator.adjoint(lr).flatten(1).numpy(), lr.flatten(1).numpy() @ matrix, atol=1e-12
    )


@pytest.mark.parametrize("setting", CASES)
def test_forward_and_adjoint_pass_the_dot_product_test(setting):
    operator, _ = case(*setting)
    image = torch.randn(2, *operator.size, dtype=torch.double)
    lr = torch.randn(2, *operator.lr_size, dtype=torch.double)
    left, right = (operator.forward(image) * lr).sum(), (image * operator.adjoint(lr)).sum()
    assert float(left) == pytest.approx(float(right), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("setting", CASES)
def test_the_solve_equals_a_dense_one_for_every_channels_weight(setting):
    operator, matrix = case(*setting)
    weights = torch.tensor([1e-3, 0.1, 5.0], dtype=torch.double)
    right = torch.randn(3, *operator.size, dtype=torch.double)
    found = operator.solve(right, weights).flatten(1).numpy()
    normal, identity = matrix.T @ matrix, np.eye(matrix.shape[1])
    for row, weight, side in zip(found, weights.numpy(), right.flatten(1).numpy(), strict=True):
        np.testing.assert_allclose(row, np.linalg.solve(normal + weight * identity, side), atol=1e-8)


def test_single_precision_is_enough_at_a_real_size():
    torch.manual_seed(0)
    operator = BlurDecimate(torch.from_numpy(assumed_blur("lttr", 8)).float(), 8, (128, 96))
    right, weights = torch.rand(4, 128, 96), torch.tensor([3e-3, 3e-3, 0.5, 1.0])
    image = operator.solve(right, weights)
    again = operator.adjoint(operator.forward(image)) + weights.view(-1, 1, 1) * image
    torch.testing.assert_close(again, right, atol=2e-5, rtol=0)


@pytest.mark.parametrize(("name", "scale"), [("lttr", 4), ("lttr", 8), ("cms", 5), ("mog-dcn", 8)])
def test_away_from_the_border_it_is_the_decimation_of_the_other_methods(name, scale):
    torch.manual_seed(0)
    kernel, image = torch.from_numpy(assumed_blur(name, scale)).float(), torch.rand(2, 8 * scale, 9 * scale)
    found = BlurDecimate(kernel, scale, (8 * scale, 9 * scale)).forward(image)
    inside = slice(2, -2)
    expected = decimate(image, kernel, scale)
    torch.testing.assert_close(found[:, inside, inside], expected[:, inside, inside])


def test_the_minimum_norm_image_equals_the_pseudo_inverse():
    operator, matrix = case(3, 5, (9, 12))
    lr = torch.rand(2, 3, 4, dtype=torch.double)
    expected = lr.flatten(1).numpy() @ np.linalg.pinv(matrix).T
    np.testing.assert_allclose(operator.minimum_norm(lr).flatten(1).numpy(), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("shape", "size", "where"),
    [
        ((4, 6), (8, 8), "kernel"),
        ((2, 2), (8, 8), "kernel"),
        ((5, 5), (8, 8), "kernel"),
        ((6, 6), (8, 6), "size"),
    ],
)
def test_what_does_not_fit_together_is_named(shape, size, where):
    with pytest.raises(InputError) as error:
        BlurDecimate(torch.ones(shape), 4, size)
    assert error.value.where == where
