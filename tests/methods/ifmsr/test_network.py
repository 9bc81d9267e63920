import importlib.util
import itertools
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ifmsr.errors import InputError
from ifmsr.methods.ifmsr.filtering import filter_dynamically
from ifmsr.methods.ifmsr.network import (
    IFMSR,
    MCPA,
    DynamicFilter,
    IFMSRConfig,
    band_triplets,
    cut_patches,
    from_released,
    join_patches,
    similar_patches,
)
from ifmsr.methods.ifmsr.patches import FEW
from ifmsr.methods.ifmsr.released import released_name

pytestmark = pytest.mark.cpu
SMALL = {"features": 8}


@pytest.fixture(scope="module")
def released(oracles):
    spec = importlib.util.spec_from_file_location("released_weights", oracles / "released_weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def case(oracles):
    with np.load(oracles / "ifmsr_forward.npz") as arrays:
        return {name: torch.as_tensor(arrays[name]) for name in arrays}


def test_released_checkpoint_gives_the_published_programs_output(released, case):
    state = {f"module.{name}": value for name, value in released.released_state_dict().items()}
    net = from_released({"epoch": 200, "model": state, "optimizer": {}}, scale=int(case["scale"]))
    assert sum(parameter.numel() for parameter in net.parameters()) == 1_725_458
    with torch.inference_mode():
        sr = net(case["lr"], case["rgb"])
    assert (sr - case["sr"]).norm() / case["sr"].norm() < 1e-5


def test_similar_patches_equal_the_published_programs(case):
    assert torch.equal(similar_patches(case["rgb"], 12), case["indices"].long())


@pytest.mark.parametrize("left_out", ["casde", "ddpm", "FASplit"])
def test_released_checkpoints_without_a_component_load_too(released, left_out):
    state = {name: w for name, w in released.released_state_dict().items() if left_out not in name}
    config = from_released(state, scale=8).config
    assert [config.dcfm, config.rde, config.mcpa].count(False) == 1 and config.scale == 8


def test_a_wrong_checkpoint_is_described_name_by_name(released):
    state = dict(released.released_state_dict())
    del state["rgb_head.bias"]
    state["surplus.weight"] = np.zeros(3)
    state["hsi_end.0.bias"] = np.zeros(2, np.float32)
    with pytest.raises(InputError) as error:
        from_released(state, scale=4)
    for part in ("missing rgb_head.bias", "left over surplus.weight", "hsi_end.0.bias is (2,), not (1,)"):
        assert part in str(error.value)


def test_every_parameter_has_one_released_name(released):
    names = [released_name(name) for name in IFMSR().state_dict()]
    assert sorted(names) == sorted(released.released_shapes())


def plain_similar_patches(image, patch, k):
    """By definition, pair by pair."""
    lack_h, lack_w = -image.shape[1] % patch, -image.shape[2] % patch
    image = np.pad(image, ((0, 0), (lack_h // 2, lack_h - lack_h // 2), (lack_w // 2, lack_w - lack_w // 2)))
    patches = [
        image[:, i : i + patch, j : j + patch].ravel()
        for i in range(0, image.shape[1], patch)
        for j in range(0, image.shape[2], patch)
    ]
    indices = []
    for i, a in enumerate(patches):
        similarity = [
            -np.inf if i == j else a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-8)
            for j, b in enumerate(patches)
        ]
        indices.append(np.argsort(similarity)[::-1][:k])
    return np.array(indices)


@pytest.mark.parametrize(("height", "width", "patch"), [(36, 48, 12), (50, 41, 12), (72, 100, 24)])
def test_similar_patches_equal_the_definition(height, width, patch):
    images = np.random.default_rng(height).random((2, 3, height, width))
    expected = [plain_similar_patches(image, patch, 3) for image in images]
    found = similar_patches(torch.from_numpy(images), patch, block=40)  # many small blocks
    assert found.dtype == torch.int64
    np.testing.assert_array_equal(found, expected)


def test_similar_patches_survive_black_patches_and_name_tiny_images():
    assert similar_patches(torch.zeros(1, 3, 24, 24), 12).shape == (1, 4, 3)
    with pytest.raises(InputError, match="patches of 12"):
        similar_patches(torch.rand(1, 3, 12, 24), 12)


@pytest.mark.parametrize(("height", "width"), [(24, 36), (25, 41)])
def test_patches_are_joined_as_they_were_cut(height, width):
    x = torch.rand(2, 3, height, width)
    assert torch.equal(join_patches(cut_patches(x, 12), height, width), x)


def test_mcpa_equals_its_definition():
    torch.manual_seed(0)
    mcpa = MCPA(4, 2, patch=6).double()
    with torch.no_grad():
        mcpa.gamma.copy_(torch.tensor([0.5, 0.3, 0.2]))
    x = torch.rand(2, 4, 12, 18, dtype=torch.double)
    nearest = torch.stack([torch.randperm(6)[:2] for _ in range(12)]).view(2, 6, 2)
    boxes = [(slice(i, i + 6), slice(j, j + 6)) for i in (0, 6) for j in (0, 6, 12)]
    aggregated = torch.zeros(2, 12, 12, 18, dtype=torch.double)
    for image, place in itertools.product(range(2), range(6)):
        sources = [place, *nearest[image, place].tolist()]
        for rank, source in enumerate(sources):
            box, target = boxes[source], boxes[place]
            value = mcpa.gamma[rank].detach() * x[image][:, box[0], box[1]]
            aggregated[image, 4 * rank : 4 * rank + 4, target[0], target[1]] = value
    torch.testing.assert_close(mcpa(x, nearest), x + mcpa.fusion(aggregated))


@pytest.mark.parametrize("dilation", [1, 3])
def test_dynamic_filter_equals_its_definition(dilation):
    branch = DynamicFilter(4, dilation).double()
    x, rgb = torch.rand(1, 2, 7, 9, dtype=torch.double), torch.rand(1, 4, 7, 9, dtype=torch.double)
    taps = branch.taps(branch.context(rgb)).view(1, 2, 9, 7, 9)
    neighbourhood = F.unfold(x, 3, dilation=dilation, padding=dilation).view(1, 2, 9, 7, 9)
    torch.testing.assert_close(branch(x, rgb), branch.fuse((taps * neighbourhood).sum(2)))


@pytest.mark.parametrize("dilation", [1, 3])
def test_the_dynamic_filters_gradient_is_that_of_its_definition(dilation):
    x = torch.rand(2, 3, 5, 7, dtype=torch.double, requires_grad=True)
    kernels = torch.randn(2, 3, 9, 5, 7, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(partial(filter_dynamically, dilation=dilation), (x, kernels))
    assert torch.autograd.gradcheck(partial(filter_dynamically, dilation=dilation), (x.detach(), kernels))


def test_many_patches_are_ranked_in_float64_where_float32_is_not_enough():
    """A third of the patches differ from one another by less than float32 resolves; two images, many blocks."""
    rng = np.random.default_rng(3)
    side, count = 4, 18 * 18
    patches = rng.random((2, count, 3, side, side))
    patches[:, ::3] = patches[:, :1] + 1e-4 * rng.standard_normal((2, count // 3, 3, side, side))
    images = join_patches(torch.from_numpy(patches), 72, 72)
    vectors = cut_patches(images, side).flatten(2)
    unit = vectors / vectors.norm(dim=2, keepdim=True)
    similarity = unit @ unit.mT
    similarity.diagonal(0, 1, 2).fill_(-1)
    expected = similarity.topk(3, dim=2).indices
    assert count > FEW
    assert torch.equal(similar_patches(images, side, 3, block=20 * count), expected)
    alone = unit.float() @ unit.float().mT
    alone.diagonal(0, 1, 2).fill_(-1)
    assert not torch.equal(alone.topk(3, dim=2).indices, expected)  # float32 alone gets them wrong


def test_bands_see_their_neighbours():
    assert band_triplets(5).tolist() == [[1, 0, 2], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 2]]


@pytest.mark.parametrize(("scale", "height", "width"), [(4, 9, 10), (8, 6, 7), (3, 9, 8)])
def test_any_scale_size_band_count_and_batch(scale, height, width):
    net = IFMSR(IFMSRConfig(scale=scale, **SMALL)).eval()
    lr, rgb = torch.rand(2, 6, height, width), torch.rand(2, 3, scale * height, scale * width)
    with torch.inference_mode():
        together = net(lr, rgb)
        assert together.shape == (2, 6, scale * height, scale * width)
        torch.testing.assert_close(net(lr[1:], rgb[1:]), together[1:])
        chosen = net(lr, rgb, bands=torch.tensor([5, 0]))
    torch.testing.assert_close(chosen, together[:, [5, 0]])


COMPONENTS = [
    dict(zip(("mcpa", "rde", "dcfm"), on, strict=True)) for on in itertools.product([False, True], repeat=3)
]


@pytest.mark.parametrize(
    "options",
    [
        *COMPONENTS,
        {"split": "after"},
        {"rde_skip": "rgb"},
        {"dcfm_skip": True},
        {"stages": 1},
        {"neighbours": 1},
    ],
    ids=str,
)
def test_every_variant_runs_and_every_parameter_gets_a_gradient(options):
    net = IFMSR(IFMSRConfig(**{**SMALL, **options}))
    net(torch.rand(1, 4, 6, 6), torch.rand(1, 3, 24, 24)).square().mean().backward()
    dead_end = "stages.1.rgb_" if not (net.config.dcfm or net.config.rde) else "none"  # unused output
    for name, parameter in net.named_parameters():
        if not name.startswith(dead_end) or "unit1" in name:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_the_released_and_the_drawn_variant_differ():
    lr, rgb = torch.rand(1, 4, 6, 6), torch.rand(1, 3, 24, 24)
    outputs = []
    for options in ({}, {"split": "after"}, {"dcfm_skip": True}):
        torch.manual_seed(1)
        outputs.append(IFMSR(IFMSRConfig(**SMALL, **options))(lr, rgb))
    assert not any(torch.allclose(a, b, atol=1e-5) for a, b in itertools.combinations(outputs, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: IFMSRConfig(features=7), "features"),
        (lambda: IFMSRConfig(stages=0), "stages"),
        (lambda: IFMSRConfig(split="befor"), "split"),
        (lambda: IFMSR(IFMSRConfig(**SMALL))(torch.rand(1, 2, 6, 6), torch.rand(1, 3, 24, 24)), "2 bands"),
        (lambda: from_released({"weight": np.zeros(3)}, scale=4), "hsi_head"),
    ],
)
def test_bad_input_gets_one_clear_error(call, message):
    with pytest.raises(InputError, match=message):
        call()
