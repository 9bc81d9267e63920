import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ifmsr import paths
from ifmsr.degradation.protocol import degrade
from ifmsr.errors import InputError
from ifmsr.experiments.cards import find
from ifmsr.files import sha256
from ifmsr.inference.api import Learned, load_method, shipped_name, super_resolve
from ifmsr.inference.networks import run_network
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


def test_equal_weights_are_equal_files(tmp_path):
    """The library writes its metadata in a random order."""
    net = IFMSR(IFMSRConfig(features=4, stages=1))
    files = {save_weights(tmp_path / f"{number}", net, "ifmsr", "none").read_bytes() for number in range(20)}
    assert len(files) == 1


def test_weights_beyond_half_precision_are_stored_whole(tmp_path):
    net = IFMSR(IFMSRConfig(features=4, stages=1))
    with torch.no_grad():
        net.end.bias.fill_(123456.7)
    save_weights(tmp_path / "w.safetensors", net, "ifmsr", "")
    assert torch.equal(load_weights(tmp_path / "w.safetensors")[0].end.bias, net.end.bias)


@pytest.mark.cpu
def test_super_resolve_answers_in_kind(observation, weights):
    lr, rgb = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb)
    as_array = super_resolve(observation.lr, observation.rgb, 4, "ifmsr", weights=weights)
    as_tensor = super_resolve(lr, rgb, 4, "ifmsr", weights=weights)
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
def test_damaged_weights_raise(weights, change, message):
    damage(weights, change)
    with pytest.raises(InputError, match=message):
        load_weights(weights)


def test_files_that_are_no_weights_raise(weights, tmp_path):
    weights.write_bytes(weights.read_bytes()[:100])
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(3)}, foreign)
    for path, message in (
        (weights, "cannot be read as a weights file"),
        (foreign, "cannot be read as a weights file"),
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
        (np.full((4, 6, 6), np.nan), np.zeros((3, 24, 24)), "lr: no pixel is valid"),
        (np.zeros((4, 6, 6), np.uint8), np.zeros((3, 24, 24)), "lr: its type is uint8"),
        (np.zeros((6, 6)), np.zeros((3, 24, 24)), "lr"),
        (np.zeros((4, 6, 6)), np.zeros((4, 24, 24)), "rgb: 4 channels"),
    ],
)
def test_bad_images_get_one_clear_error(lr, rgb, message):
    with pytest.raises(InputError, match=message):
        super_resolve(lr, rgb, 4, method="bicubic")


LAYOUTS = {
    "whole float as scale": lambda lr, rgb: (lr, rgb, 4.0),
    "NumPy's whole number": lambda lr, rgb: (lr, rgb, np.int64(4)),
    "turned": lambda lr, rgb: (lr[..., ::-1].copy()[..., ::-1], rgb[:, ::-1].copy()[:, ::-1], 4),
    "by columns": lambda lr, rgb: (np.asfortranarray(lr), np.asfortranarray(rgb), 4),
    "lists": lambda lr, rgb: (lr.tolist(), rgb.tolist(), 4),
    "double precision": lambda lr, rgb: (lr.astype(float), rgb.astype(float), 4),
    "other byte order": lambda lr, rgb: (lr.astype(">f4"), rgb.astype(">f4"), 4),
    "a parameter": lambda lr, rgb: (torch.nn.Parameter(torch.from_numpy(lr)), torch.from_numpy(rgb), 4),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("method", ["bicubic", "closed-form", "subspace-net", "ifmsr"])
def test_the_same_images_in_another_form_have_the_same_result(observation, weights, method, layout):
    lr, rgb = observation.lr[:, :8, :7].copy(), observation.rgb[:, :32, :28].copy()
    mine = weights if method == "ifmsr" else None
    expected = super_resolve(lr, rgb, 4, method, weights=mine)
    found = super_resolve(*LAYOUTS[layout](lr, rgb), method, weights=mine)
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_tensors_of_other_precisions_are_images(observation, dtype):
    lr, rgb = (torch.from_numpy(image).to(dtype) for image in (observation.lr, observation.rgb))
    found = super_resolve(lr, rgb, 4, "closed-form")
    expected = super_resolve(lr.float(), rgb.float(), 4, "closed-form")
    assert found.dtype == torch.float32 and torch.equal(found, expected)


@pytest.mark.parametrize("gradients_off", [torch.no_grad, torch.inference_mode])
def test_methods_that_learn_from_each_image_do_so_where_gradients_are_off(
    observation, tmp_path, gradients_off
):
    torch.manual_seed(0)
    net = NETWORKS["ual"].build(bands=len(observation.lr))
    method = load_method("ual", 4, save_weights(tmp_path / "w.safetensors", net, "ual", ""))
    method.steps = 2
    part = Observation(observation.lr[:, :6, :6], observation.rgb[:, :24, :24], 4)
    expected = method(part)
    with gradients_off():
        np.testing.assert_array_equal(method(part), expected)


JUNK = (
    *(
        None,
        "a",
        b"a",
        3,
        [],
        [[1.0, 2.0], [3.0]],
        {},
        object(),
        np.nan,
        np.zeros(()),
        np.zeros(0),
        np.zeros((2, 2)),
    ),
    *(np.zeros((4, 6, 6), kind) for kind in (complex, object, "U3", "M8[s]", bool, np.uint8)),
    *(np.full((4, 6, 6), value) for value in (np.nan, np.inf, 1e300, -1.0)),
    *(
        torch.zeros(4, 6, 6, dtype=torch.int64),
        torch.zeros(4, 6, 6, device="meta"),
        torch.zeros(4, 6, 6).to_sparse(),
    ),
)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "name", ["lr", "rgb", "scale", "srf", "method", "precision", "with_error", "guide", "strict"]
)
def test_whatever_is_no_image_or_choice_gets_one_line_that_names_it(name):
    usable = {"lr": np.zeros((4, 6, 6)), "rgb": np.zeros((3, 24, 24)), "scale": 4, "method": "bicubic"}
    for junk in JUNK:
        if name == "srf" and junk is None:
            continue
        with pytest.raises(InputError) as caught:
            super_resolve(**{**usable, name: junk})
        assert "\n" not in str(caught.value)
        fits = name == "scale" and type(junk) is int  # 3 is a scale, but not that of these images
        assert caught.value.where == ("rgb" if fits else name)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"precision": "bf16"},
            r"'bf16' is unknown\. Did you mean bfloat16\? Choose one of 'float32', 'bfloat16'",
        ),
        ({"method": "closed_form"}, "method: 'closed_form' is unknown. Did you mean closed-form"),
        ({"device": "gpu"}, "device: 'gpu' cannot be used"),
        ({"device": "meta"}, "device: 'meta' cannot be used"),
        ({"device": 0}, "device: found 0"),
        ({"device": np.zeros(2)}, "device: found ndarray"),
        ({"memory": 0}, "memory: found 0"),
        ({"memory": -1}, "memory: found -1"),
        ({"memory": "1 GB"}, "memory: found '1 GB'"),
        ({"weights": 3}, "weights: found 3"),
        ({"weights": np.zeros(2)}, "weights: found ndarray"),
        ({"weights": ""}, "there is no such file"),
        ({"weights": "a" * 5000}, "there is no such file"),
    ],
)
def test_wrong_settings_of_a_network_are_named(given, message):
    with pytest.raises(InputError, match=message):
        super_resolve(np.zeros((4, 6, 6)), np.zeros((3, 24, 24)), 4, **{"method": "ifmsr", **given})


@pytest.mark.parametrize("device", ["cuda:99", "xpu:7"])
def test_a_device_that_is_not_there_is_named_before_any_work(device):
    with pytest.raises(InputError, match=f"device: '{device}' cannot be used"):
        load_method("ifmsr", 4, device=device)


def test_networks_check_their_settings_without_the_public_door(observation, weights):
    net, _ = load_weights(weights)
    for given, message in (
        ({"precision": "bf16"}, "precision"),
        ({"memory": 0}, "memory"),
        ({"device": "gpu"}, "device"),
    ):
        with pytest.raises(InputError, match=message):
            run_network(net, observation, **given)
    with pytest.raises(InputError, match="precision"):
        run_network(SubspaceNet(4, 1), observation, precision="bf16")


@pytest.mark.parametrize(
    "content", [b"{}", b'{"sha256x": 1}', b"[1, 2]", b"no JSON", b"\xff\xfe", b'"sha256"']
)
def test_a_json_file_beside_the_weights_that_is_no_card_means_nothing(weights, content, monkeypatch):
    monkeypatch.setenv("IFMSR_WEIGHTS", str(weights.parent))
    weights.with_suffix(".json").write_bytes(content)
    assert load_weights(weights)[1]["schedule"] == "a schedule"
    assert find("0" * 12) is None
    weights.with_suffix(".json").write_text(f'{{"sha256": "{sha256(weights)}"}}', encoding="utf-8")
    assert find(sha256(weights)[:12]) == weights
    weights.with_suffix(".json").write_text('{"sha256": "0"}', encoding="utf-8")
    with pytest.raises(InputError, match="SHA-256"):
        load_weights(weights)


@pytest.mark.parametrize("missing", ["network", "config", "schedule"])
def test_weights_that_do_not_say_what_they_are_raise(weights, missing):
    with safe_open(weights, "pt") as file:
        metadata = {name: value for name, value in file.metadata().items() if name != missing}
    save_file(load_file(weights), weights, metadata)
    with pytest.raises(InputError, match=f"cannot be read as a weights file of ours .*{missing}"):
        load_method("ifmsr", 4, weights)


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


@pytest.mark.parametrize("method", ["auto", "closed-form", "subspace-net", "ifmsr"])
def test_a_default_type_of_float64_changes_nothing(method, observation):
    lr, rgb = observation.lr[:, :16, :16], observation.rgb[:, :64, :64]
    expected = super_resolve(lr, rgb, 4, method)
    torch.set_default_dtype(torch.float64)
    try:
        found = super_resolve(lr, rgb, 4, method)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
