"""The contract of all methods, tested on those of the package and on one that is registered here."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
import torch.nn.functional as F
from torch import nn

from ifmsr.errors import InputError
from ifmsr.inference.api import load_method, super_resolve
from ifmsr.methods import CLASSICAL, NETWORKS, CubeConfig, Network, method_names, network_of, title_of
from ifmsr.methods.base import Oracle, PredictsError
from ifmsr.scenes import Scene, open_dataset
from ifmsr.training import TrainConfig, train
from ifmsr.weights import load_weights, save_weights


class Repeated:
    """A stranger's method: every LR pixel is repeated."""

    title, schedule = "Repeated pixels", ""

    def __call__(self, observation):
        return observation.lr.repeat(observation.scale, axis=1).repeat(observation.scale, axis=2)


class OneLayer(Network):
    """A stranger's network: one convolution of both images, beside bilinear interpolation."""

    title = "One layer"

    def __init__(self, bands=31, scale=4):
        super().__init__()
        self.config = CubeConfig(bands, scale)
        self.conv = nn.Conv2d(bands + 3, bands, 3, padding=1)

    def forward(self, lr, rgb):
        up = F.interpolate(lr, scale_factor=self.config.scale, mode="bilinear")
        return up + self.conv(torch.cat([up, rgb], dim=1))


NAMES = [*method_names(), "repeated", "one-layer"]
OWN_NETWORKS = list(NETWORKS)
TRAINED = [*OWN_NETWORKS, "one-layer"]
TRAINING_FREE = [*CLASSICAL, "repeated"]
SMALL = {
    "ifmsr": {"features": 4, "stages": 1},
    "ifmsr-test-family": {"features": 4, "stages": 1},
    "mhf-net": {"stages": 2},
    "subspace-net": {"features": 4, "blocks": 1},
}
RESPONSE_NEEDED = [name for name in CLASSICAL if name.startswith(("lttr", "cms"))]


@pytest.fixture(scope="module", autouse=True)
def strangers():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CLASSICAL, "registered", {"repeated": Repeated})
        patch.setattr(NETWORKS, "registered", {"one-layer": OneLayer})
        yield


def network_for(name, bands, scale, **options):
    kind = NETWORKS[name]
    shape = {} if kind.scale_free else {"scale": scale}
    if not (kind.scale_free or kind.bandwise):
        shape["bands"] = bands
    torch.manual_seed(0)
    return kind.build(**shape, **SMALL.get(name, {}), **options)


def made(name, observation, folder):
    """The method as `load_method` gives it, with weights in `folder` that are as random as the seed."""
    scale, weights = observation.scale, None
    if network := network_of(name):
        net = network_for(network, len(observation.lr), scale)
        weights = save_weights(folder / "w.safetensors", net, network, "not trained")
    method = load_method(name, scale, weights, device="cpu")
    if isinstance(method, Oracle):
        method = method.with_kernel(np.full((scale, scale), 1 / scale**2))
    if name == "ual":
        method.steps = 2
    return method


def assert_holds(name, observation, folder):
    before = deepcopy(observation)
    method = made(name, observation, folder)
    sr = method(observation)
    bands, (height, width) = len(observation.lr), observation.rgb.shape[1:]
    assert sr.shape == (bands, height, width) and sr.dtype == np.float32
    assert np.isfinite(sr).all() and sr.min() >= 0 and sr.max() <= 1
    for field in ("lr", "rgb", "srf"):
        np.testing.assert_array_equal(getattr(observation, field), getattr(before, field))
    np.testing.assert_array_equal(method(observation), sr)
    return sr


@pytest.mark.parametrize(("scale", "known"), [(3, False), (4, True), (2, False), (8, True)])
@pytest.mark.parametrize("name", NAMES)
def test_any_size_and_scale_with_or_without_a_response(name, scale, known, tmp_path):
    observation = tiny.few_bands(scale, known)
    if not known and name in RESPONSE_NEEDED:
        with pytest.raises(InputError, match="closed-form") as error:  # says what works without
            made(name, observation, tmp_path)(observation)
        assert error.value.where == "srf"
    elif name == "mhf-net" and scale < 4:
        with pytest.raises(InputError, match=f"no x{scale}"):
            made(name, observation, tmp_path)
    else:
        assert_holds(name, observation, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_four_bands_and_a_few_pixels(name, tmp_path):
    whole = tiny.few_bands(4, known=True)
    srf = np.full((3, 4), 0.05, np.float32) + 0.8 * np.eye(3, 4, dtype=np.float32)
    few = replace(whole, lr=whole.lr[:4, :4, :5].copy(), rgb=whole.rgb[:, :16, :20].copy(), srf=srf)
    sr = assert_holds(name, few, tmp_path)
    np.testing.assert_array_equal(made(name, few, tmp_path)(few), sr)


@pytest.mark.parametrize("name", NAMES)
def test_the_title_is_known_before_the_method_is_made_and_the_schedule_says_how_it_was_trained(
    name, tmp_path
):
    method = made(name, tiny.few_bands(4, known=True), tmp_path)
    assert method.title == title_of(name) != ""
    assert method.schedule.partition(";")[0] == ("" if name in TRAINING_FREE else "not trained")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda lr, rgb: (np.where(lr == lr.max(), np.inf, lr), rgb), "lr"),
        (lambda lr, rgb: (lr, rgb + 1), "rgb"),
        (lambda lr, rgb: (lr, rgb[..., :-1]), "rgb"),
        (lambda lr, rgb: ((255 * lr).astype(np.uint8), rgb), "lr"),
    ],
)
def test_images_that_cannot_be_used_are_named(name, change, where, tmp_path):
    observation = tiny.few_bands(4, known=True)
    weights = None
    if name not in TRAINING_FREE:
        made(name, observation, tmp_path)
        weights = tmp_path / "w.safetensors"
    with pytest.raises(InputError) as error:
        super_resolve(*change(observation.lr, observation.rgb), 4, name, observation.srf, weights)
    assert error.value.where == where


@pytest.mark.parametrize("name", [name for name in NAMES if name not in TRAINING_FREE])
def test_an_observation_that_the_weights_do_not_fit_raises(name, tmp_path):
    method = made(name, tiny.few_bands(4, known=True), tmp_path)
    kind = NETWORKS[network_of(name)]
    fewer = tiny.few_bands(4, known=False)
    fewer = replace(fewer, lr=fewer.lr[:8].copy())
    cases = [(tiny.few_bands(8, known=True), kind.scale_free, "trained for x4")]
    cases += [(fewer, kind.scale_free or kind.bandwise, "made for 20 bands")]
    for observation, taken, message in cases:
        if taken:
            assert len(method(observation)) == len(observation.lr)
        else:
            with pytest.raises(InputError, match=message):
                method(observation)


@pytest.mark.parametrize("name", NAMES)
def test_a_method_predicts_its_error_or_raises(name, tmp_path):
    observation = tiny.few_bands(4, known=True)
    method = made(name, observation, tmp_path)
    if name == "subspace-net":
        sr, error = method.with_error(observation)
        np.testing.assert_array_equal(sr, method(observation))
        assert error.shape == sr.shape[1:] and error.dtype == np.float32 and error.min() > 0
    elif isinstance(method, PredictsError):
        with pytest.raises(InputError, match=r"does not predict its error. Use subspace-net"):
            method.with_error(observation)


@pytest.mark.parametrize("name", TRAINED)
def test_a_network_comes_back_from_its_weights(name, tmp_path):
    net = network_for(name, bands=9, scale=8)
    read, metadata = load_weights(save_weights(tmp_path / "w.safetensors", net, name, "a schedule"))
    assert type(read) is type(net) and read.config == net.config and not read.training
    assert (metadata["network"], metadata["schedule"]) == (name, "a schedule")
    for key, tensor in net.state_dict().items():
        assert torch.equal(read.state_dict()[key], tensor.half().to(tensor.dtype)), key


@pytest.mark.parametrize("name", [name for name in OWN_NETWORKS if name != "subspace-net"])
def test_a_pair_that_does_not_fit_is_named(name):
    """As training and notebooks call a network; SubspaceNet sees a solved scene instead of a pair."""
    net = network_for(name, bands=5, scale=4)
    lr, rgb = torch.rand(1, 5, 6, 6), torch.rand(1, 3, 24, 24)
    with pytest.raises(InputError, match=r"^rgb: .* At scale 4"):
        net(lr, rgb[..., :-1])
    with pytest.raises(InputError, match=r"^lr: "):
        net(lr[:, :2], rgb)


@pytest.fixture(scope="module")
def part():
    """Nine bands of Indian Pines with a made-up camera."""
    cube = open_dataset("indian-pines").load("train").cube[::24, :64, :64].copy()
    return Scene("part", cube, srf=np.full((3, 9), 0.05, np.float32) + 0.55 * np.eye(3, 9, dtype=np.float32))


@pytest.mark.parametrize("name", TRAINED)
def test_a_network_is_trained_and_used_by_its_name(name, part, tmp_path):
    config = TrainConfig(
        name, SMALL.get(name, {}), epochs=1, crops_per_scene=2, batch=2, patch_side=48, steps="batched"
    )
    weights = train(config, [part], [part], tmp_path, device="cpu")
    before = network_for(name, len(part.cube), 4).state_dict()
    after = load_weights(weights)[0].state_dict()
    assert any(not torch.equal(after[key], tensor.half().float()) for key, tensor in before.items())
    method = load_method(name, 4, weights, device="cpu")
    assert method.schedule.startswith("1 epochs x 1 scenes x 2 patches")
