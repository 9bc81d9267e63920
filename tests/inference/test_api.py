import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ifmsr import paths
from ifmsr.degradation.protocol import degrade
from ifmsr.errors import InputError
from ifmsr.inference.api import Learned, load_method, shipped_name, super_resolve
from ifmsr.inference.devices import run_network
from ifmsr.methods import NETWORKS
from ifmsr.methods.ifmsr.network import IFMSR, IFMSRConfig
from ifmsr.methods.subspace_net.network import SubspaceNet
from ifmsr.scenes import Observation, Scene, open_dataset
from ifmsr.weights import load_weights, save_weights


@pytest.fixture(scope="module")
def observation():
    part = open_dataset("indian-pines").load("test")
    return degrade(Scene("part", part.cube[::20], rgb_bands=(1, 4, 8)), 4)


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    net = IFMSR(IFMSRConfig(features=4, stages=1))
    return save_weights(tmp_path / "w.safetensors", net, "ifmsr", "a schedule")


def test_weights_survive_storage(weights):
    net, metadata = load_weights(weights)
    assert net.config == IFMSRConfig(features=4, stages=1) and not net.training
    assert metadata["schedule"] == "a schedule"
    torch.manual_seed(0)
    for name, tensor in IFMSR(IFMSRConfig(features=4, stages=1)).state_dict().items():
        assert torch.equal(net.state_dict()[name], tensor.half().float())


@pytest.mark.parametrize("name", ["ual", "mog-dcn", "mhf-net", "pzres-net"])
def test_weights_are_stored_in_half_precision_and_come_back_as_float32(name, tmp_path):
    torch.manual_seed(0)
    made = NETWORKS[name].build(bands=4)
    path = save_weights(tmp_path / "w.safetensors", made, name, "")
    numbers = sum(tensor.numel() for tensor in made.state_dict().values())
    assert 2 * numbers < path.stat().st_size < 2 * numbers + 100_000
    read = load_weights(path)[0].state_dict()
    for key, tensor in made.state_dict().items():
        assert read[key].dtype == tensor.dtype
        assert torch.equal(read[key], tensor.half().to(tensor.dtype))
    again = save_weights(tmp_path / "again.safetensors", load_weights(path)[0], name, "")
    assert all(torch.equal(value, read[key]) for key, value in load_weights(again)[0].state_dict().items())


def test_weights_beyond_half_precision_are_stored_whole(tmp_path):
    net = IFMSR(IFMSRConfig(features=4, stages=1))
    with torch.no_grad():
        net.end.bias.fill_(123456.7)
    save_weights(tmp_path / "w.safetensors", net, "ifmsr", "")
    assert torch.equal(load_weights(tmp_path / "w.safetensors")[0].end.bias, net.end.bias)


@pytest.mark.cpu
def test_super_resolve_answers_in_kind(observation, weights):
    lr, rgb = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb)
    as_array = super_resolve(observation.lr, observation.rgb, 4, weights=weights)
    as_tensor = super_resolve(lr, rgb, 4, weights=weights)
    assert isinstance(as_array, np.ndarray) and isinstance(as_tensor, torch.Tensor)
    np.testing.assert_array_equal(as_array, as_tensor.numpy())
    direct = load_weights(weights)[0](lr[None], rgb[None])[0].clamp(0, 1).detach()
    np.testing.assert_allclose(as_array, direct.numpy(), atol=1e-5)


@pytest.mark.cpu
def test_bfloat16_is_close_but_not_the_same(observation, weights, computes_bfloat16):
    net, _ = load_weights(weights)
    plain, half = (run_network(net, observation, "cpu", p) for p in ("float32", "bfloat16"))
    apart = np.abs(plain - half).max()
    assert apart < 0.05 and (apart > 0) == computes_bfloat16


def damage(path, change):
    tensors = load_file(path)
    change(tensors)
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file(tensors, path, metadata)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors["end.bias"].fill_(torch.nan), "NaN or infinite values in end.bias"),
        (lambda tensors: tensors.pop("end.bias"), "do not fit"),
        (lambda tensors: tensors.update({"end.bias": torch.zeros(7)}), "do not fit"),
    ],
)
def test_damaged_weights_are_refused(weights, change, message):
    damage(weights, change)
    with pytest.raises(InputError, match=message):
        load_weights(weights)


def test_files_that_are_no_weights_are_refused(weights, tmp_path):
    weights.write_bytes(weights.read_bytes()[:100])
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(3)}, foreign)
    for path, message in (
        (weights, "not a weights file"),
        (foreign, "not a weights file"),
        (tmp_path, "no such"),
    ):
        with pytest.raises(InputError, match=message):
            load_weights(path)


def test_missing_shipped_weights_and_other_scales_are_named(observation, weights):
    with pytest.raises(InputError, match=r"ifmsr-x7\.safetensors"):
        load_method("ifmsr", 7)
    with pytest.raises(InputError, match="trained for x4"):
        method = load_method("ifmsr", 8, weights)
        assert isinstance(method, Learned)
        method(degrade(Scene("part", np.zeros((4, 48, 48), np.float32), rgb_bands=(0, 1, 2)), 8))


@pytest.mark.parametrize(
    ("lr", "rgb", "message"),
    [
        (np.zeros((4, 6, 6), np.float32), np.zeros((3, 20, 24), np.float32), "rgb"),
        (np.full((4, 6, 6), 2.0), np.zeros((3, 24, 24)), "lr: values from 2 to 2"),
        (np.full((4, 6, 6), np.nan), np.zeros((3, 24, 24)), "lr: it holds NaN"),
        (np.zeros((4, 6, 6), np.uint8), np.zeros((3, 24, 24)), "lr: its type is uint8"),
        (np.zeros((6, 6)), np.zeros((3, 24, 24)), "lr"),
        (np.zeros((4, 6, 6)), np.zeros((4, 24, 24)), "rgb: 4 channels"),
    ],
)
def test_bad_images_get_one_clear_error(lr, rgb, message):
    with pytest.raises(InputError, match=message):
        super_resolve(lr, rgb, 4, method="bicubic")


def test_an_unknown_method_and_a_wrong_response_are_named():
    lr, rgb = np.zeros((4, 6, 6)), np.zeros((3, 24, 24))
    with pytest.raises(InputError, match="method: 'bicubc'"):
        super_resolve(lr, rgb, 4, method="bicubc")
    with pytest.raises(InputError, match="srf"):
        super_resolve(lr, rgb, 4, method="bicubic", srf=np.ones((3, 5)))


def test_ual_adapts_what_its_fusion_alone_returns(observation, tmp_path):
    torch.manual_seed(0)
    bands = len(observation.lr)
    weights = save_weights(tmp_path / "w.safetensors", NETWORKS["ual"].build(bands=bands), "ual", "none")
    fused, adapted = load_method("ual-fusion", 4, weights), load_method("ual", 4, weights)
    adapted.steps = 2
    part = Observation(observation.lr[:, :6, :6], observation.rgb[:, :24, :24], 4)
    assert fused.schedule == "none" and "2 steps" in adapted.schedule
    assert fused(part).shape == adapted(part).shape
    assert not np.array_equal(fused(part), adapted(part))
    with pytest.raises(InputError, match="weights of ual"):
        load_method("mog-dcn", 4, weights)


def test_one_file_of_a_network_without_scale_serves_them_all(tmp_path, monkeypatch):
    assert shipped_name("subspace-net", 4) == shipped_name("subspace-net", 7) == "subspace-net"
    others = set(NETWORKS) - {"subspace-net"}
    assert others and {shipped_name(name, 8) for name in others} == {f"{name}-x8" for name in others}

    monkeypatch.setattr(paths, "weights_folders", lambda: [tmp_path])
    for scale in (3, 4):
        with pytest.raises(InputError, match=r"subspace-net\.safetensors"):
            load_method("subspace-net", scale)
    with pytest.raises(InputError, match=r"ifmsr-x3\.safetensors"):
        load_method("ifmsr", 3)

    torch.manual_seed(1)
    net = SubspaceNet(4, 1)
    for layer in (net.slopes, net.offsets):
        torch.nn.init.normal_(layer.weight, std=0.1)
    net, _ = load_weights(
        save_weights(tmp_path / "subspace-net.safetensors", net, "subspace-net", "100 epochs")
    )
    method = load_method("subspace-net", 4)
    assert method.title == "SubspaceNet" and method.schedule == "100 epochs"
    cube = open_dataset("indian-pines").load("train").cube[10:41]
    for scale, bands in ((4, 31), (3, 31), (2, 9)):
        scene = Scene("part", np.ascontiguousarray(cube[:bands]), rgb_bands=(6, 4, 1))
        observation = degrade(scene.crop(0, 0, scale * 8, scale * 7), scale)
        before = observation.lr.copy(), observation.rgb.copy()
        np.testing.assert_array_equal(method(observation), run_network(net, observation, "cpu"))
        for now, then in zip((observation.lr, observation.rgb), before, strict=True):
            np.testing.assert_array_equal(now, then)
