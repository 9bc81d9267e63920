"""All computations with a bfloat16 option, in bfloat16 and in float32; prints JSON for test_precision."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import tiny
import torch

from benchmarks.common import precisions
from ifmsr.degradation import degrade
from ifmsr.inference import load_method, run_network
from ifmsr.inference.fast_ifmsr.strips import Filter, conv2d
from ifmsr.methods import NETWORKS
from ifmsr.methods.ual import adapt
from ifmsr.precision import bfloat16_fault
from ifmsr.runs import read_manifest
from ifmsr.scenes import Scene, open_dataset
from ifmsr.training import train_on_split
from ifmsr.training.config import with_settings
from ifmsr.weights import load_weights, save_weights

SMALL = {
    "ifmsr": {"features": 4, "stages": 1},
    "ual": {"bands": 6},
    "subspace-net": {"features": 4, "blocks": 1},
}
PRECISIONS = ("float32", "bfloat16")


def main(folder):
    torch.set_num_threads(1)
    part = open_dataset("indian-pines").load("train").crop(0, 0, 48, 48)
    observation = degrade(Scene("part", part.cube[10:16].copy(), rgb_bands=(4, 2, 0)), 4)
    networks, weights, schedules = {}, {}, {}
    for name, options in SMALL.items():
        torch.manual_seed(0)
        net = NETWORKS[name].build(**options)
        if name == "subspace-net":
            torch.nn.init.normal_(net.slopes.weight, std=0.1)
        weights[name] = save_weights(folder / f"{name}.safetensors", net, name, "")
        networks[name] = load_weights(weights[name])[0]
    results = {
        name: [run_network(net, observation, "cpu", precision) for precision in PRECISIONS]
        for name, net in networks.items()
    }
    fused = results["ual"][0]
    results["adapt"] = [adapt(fused, observation, 2, device="cpu", precision=name).sr for name in PRECISIONS]
    for name, path in weights.items():
        method = load_method(name.replace("ual", "ual-fusion"), 4, path, "cpu", "bfloat16")
        results[f"load_method {name}"] = [results[name][0], method(observation)]
        schedules[name] = method.schedule
    settings = {"epochs": 1, "crops_per_scene": 2}
    trainings = {}
    for name in PRECISIONS:
        config = with_settings(tiny.CONFIG, {**settings, "precision": name})
        trainings[name] = train_on_split(config, "indian-pines", "spatial", folder / name, device="cpu")
    results["training"] = [
        np.concatenate([tensor.flatten().numpy() for tensor in tiny.weights_of(path.parent).values()])
        for path in trainings.values()
    ]
    schedules["training"] = load_method("ifmsr", 4, trainings["bfloat16"], "cpu").schedule
    x, weight, bias = torch.rand(1, 8, 6, 5), torch.rand(4, 8, 1, 1), torch.rand(4)
    whole, half = (
        conv2d(x.to(dtype), Filter(weight.to(dtype), bias.to(dtype)), (0, 0)).float()
        for dtype in (torch.float32, torch.bfloat16)
    )
    return {
        "fault": bfloat16_fault(torch.device("cpu")),
        "apart": {name: float(np.abs(a - b).max()) for name, (a, b) in results.items()},
        "schedules": schedules,
        "manifest": read_manifest(folder / "bfloat16")["config"]["training"]["precision"],
        "strip": float((whole - half).abs().max() / whole.abs().max()),
        "benchmarks": precisions(),
    }


if __name__ == "__main__":
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        facts = main(Path(sys.argv[1]))
    facts["said"] = [str(warning.message) for warning in said if "bfloat16" in str(warning.message)]
    print(json.dumps(facts))
