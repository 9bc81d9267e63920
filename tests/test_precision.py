"""Precision of computations on this processor and on others, which settings of oneDNN and PyTorch simulate."""

import json
import os
import platform
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
import torch.nn.functional as F

from ifmsr import precision
from ifmsr.degradation import degrade
from ifmsr.inference import run_network
from ifmsr.inference.fast_ifmsr.strips import Filter, conv2d
from ifmsr.methods import NETWORKS
from ifmsr.methods.ual import adapt
from ifmsr.precision import bfloat16_fault, onednn_fault, tf32_allowed, tf32_off, usable_precision
from ifmsr.training import Patches
from ifmsr.training.on_device import OnDevice
from ifmsr.training.state import State

CPU = torch.device("cpu")
TESTS = Path(__file__).parent
PROCESSORS = {
    "this": {},
    "AVX-512 without bfloat16": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
}
NAMES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")
PYTHONPATH = {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}


@pytest.fixture(scope="module", params=PROCESSORS)
def facts(request, tmp_path_factory):
    """What `bfloat16_paths` found on one of the processors."""
    if request.param != "this" and platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("this processor has no such instructions to mask")
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    done = subprocess.run(
        [sys.executable, TESTS / "bfloat16_paths.py", tmp_path_factory.mktemp("paths")],
        env=kept | PYTHONPATH | PROCESSORS[request.param],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert bool(found["fault"]) or request.param != "AVX2"
    return found


def test_every_path_computes_in_bfloat16_or_says_once_that_it_does_not(facts):
    apart = facts["apart"]
    assert len(apart) == 8
    if facts["fault"]:
        assert facts["said"] == [f"no bfloat16 on cpu, computing in float32: {facts['fault']}"]
        assert set(apart.values()) == {0}
    else:
        assert facts["said"] == []
        assert all(0 < distance < 0.05 for distance in apart.values()), apart


def test_nothing_claims_bfloat16_that_was_not_computed_in_it(facts):
    computed = not facts["fault"]
    assert facts["manifest"] == ("bfloat16" if computed else "float32")
    assert facts["benchmarks"] == (["float32", "bfloat16"] if computed else ["float32"])
    assert len(facts["schedules"]) == 4
    for name, schedule in facts["schedules"].items():
        assert ("bfloat16" in schedule) == computed, name


def test_strips_of_bfloat16_are_convolved_on_every_processor(facts):
    assert 0 < facts["strip"] < 0.01


@pytest.fixture
def fresh():
    """No precision was asked for before."""
    for function in (usable_precision, onednn_fault):
        function.cache_clear()
    yield
    for function in (usable_precision, onednn_fault):
        function.cache_clear()


def test_a_precision_is_given_up_once_for_each_device(fresh, monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.warns(
        UserWarning, match="no bfloat16 on cpu, computing in float32: .*without oneDNN"
    ) as said:
        assert usable_precision("bfloat16", CPU) == "float32"
        assert usable_precision("bfloat16", CPU) == "float32"
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert usable_precision("float32", CPU) == "float32"


@pytest.mark.parametrize("native", [True, False])
def test_a_gpu_computes_in_bfloat16_if_it_has_the_instructions(fresh, monkeypatch, native):
    gpu = torch.device("cuda", 0)

    class Current:
        def __init__(self, device):
            assert device == gpu

        __enter__ = __exit__ = lambda *_: None

    monkeypatch.setattr(torch.cuda, "device", Current)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation
    )
    assert bfloat16_fault(gpu) == ("" if native else "Tesla T4 has no instructions for it")


@pytest.mark.cpu
def test_strips_do_without_onednn_where_it_is_off_or_cannot(fresh, monkeypatch):
    x, weight, bias = torch.rand(1, 8, 6, 5), torch.rand(4, 8, 3, 3), torch.rand(4)

    def used(x):
        calls = []
        with monkeypatch.context() as patch:
            whole = torch.mkldnn_convolution
            patch.setattr(torch, "mkldnn_convolution", lambda *given: calls.append(1) or whole(*given))
            kernel = Filter(weight.to(x.dtype), bias.to(x.dtype))
            wanted = F.conv2d(x, kernel.weight, kernel.bias, padding=1)
            torch.testing.assert_close(conv2d(x, kernel, (1, 1)), wanted)
        return bool(calls)

    onednn_fault(torch.float32), onednn_fault(torch.float64)
    assert used(x) == torch.backends.mkldnn.is_available()
    assert not used(x.double())
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert not used(x)


def precision_settings():
    """All precision settings of PyTorch, "refused" for legacy ones that cannot be read after newer ones were set."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    readers = [lambda: cudnn.allow_tf32, lambda: matmul.allow_tf32, torch.get_float32_matmul_precision]
    if hasattr(torch.backends, "fp32_precision"):
        operations = (cudnn.conv, cudnn.rnn, matmul, torch.backends.mkldnn.matmul, torch.backends)
        readers += [lambda operation=operation: operation.fp32_precision for operation in operations]
    settings = []
    for read in readers:
        try:
            settings.append(read())
        except RuntimeError:
            settings.append("refused")
    return settings


def assert_tf32_is_off_inside_and_as_it_was_afterwards():
    before = precision_settings()
    assert tf32_allowed(), before
    with pytest.raises(ZeroDivisionError), tf32_off():
        with tf32_off():
            assert not tf32_allowed()
        assert not tf32_allowed()
        assert precision_settings()[:3] == [False, False, "highest"]
        raise ZeroDivisionError
    assert precision_settings() == before


def test_tf32_is_off_inside_and_as_it_was_afterwards():
    assert_tf32_is_off_inside_and_as_it_was_afterwards()
    torch.set_float32_matmul_precision("high")
    try:
        assert_tf32_is_off_inside_and_as_it_was_afterwards()
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="this PyTorch has older names only")
def test_tf32_is_off_inside_and_as_it_was_afterwards_by_its_newer_name():
    """In its own process, because after the use of both names not all settings can be restored."""
    code = """
import torch
from test_precision import assert_tf32_is_off_inside_and_as_it_was_afterwards
torch.backends.fp32_precision = "tf32"
assert_tf32_is_off_inside_and_as_it_was_afterwards()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | PYTHONPATH, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_pytorch_with_the_older_names_only_is_served(monkeypatch):
    monkeypatch.setattr(precision, "_operations", list)
    assert tf32_allowed()
    with tf32_off():
        assert not tf32_allowed()
        assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
    assert tf32_allowed() and not torch.backends.cuda.matmul.allow_tf32


def on_an_image(work):
    """`work` on an observation of 12 bands."""
    return partial(work, degrade(tiny.parts()[0].crop(0, 0, 24, 24), 4))


def run(name, **options):
    net = NETWORKS[name].build(**options)
    return on_an_image(lambda observation: run_network(net, observation, "cpu"))


def adaptation():
    fused = np.full((12, 24, 24), 0.5, np.float32)
    return on_an_image(lambda observation: adapt(fused, observation, steps=1, device="cpu"))


def training(folder):
    parts = tiny.parts()
    batch = [x[None] for x in Patches(parts[:1], tiny.CONFIG)[0]]
    return partial(State(tiny.CONFIG, parts, folder, CPU).learn, *batch)


def samples():
    made = OnDevice(Patches(tiny.parts()[:1], tiny.CONFIG), CPU)
    return partial(made.make, made.prepare([0]))


PATHS = {
    "ifmsr": lambda _: run("ifmsr", features=4, stages=1),
    "pzres-net": lambda _: run("pzres-net", bands=12),
    "subspace-net": lambda _: run("subspace-net", features=4, blocks=1),
    "adaptation": lambda _: adaptation(),
    "training": training,
    "samples": lambda _: samples(),
}


@pytest.mark.cpu
@pytest.mark.parametrize("path", PATHS)
def test_whatever_a_gpu_computes_is_computed_without_tf32(path, tmp_path, monkeypatch):
    compute, allowed = PATHS[path](tmp_path), []

    def spied(convolution):
        return lambda *given, **named: allowed.append(tf32_allowed()) or convolution(*given, **named)

    monkeypatch.setattr(F, "conv2d", spied(F.conv2d))
    monkeypatch.setattr(torch, "mkldnn_convolution", spied(torch.mkldnn_convolution))
    assert tf32_allowed()
    compute()
    assert allowed and not any(allowed)
    assert tf32_allowed()
