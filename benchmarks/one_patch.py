"""Sanity check of the supervised competitors: training steps until each network overfits a single patch to 50 dB.

A network with a wrong connection or a wrong loss stays far below 50 dB.
"""

import torch

from benchmarks.common import cave, write_rows
from ifmsr.degradation.protocol import degrade
from ifmsr.methods import NETWORKS
from ifmsr.metrics import psnr
from ifmsr.scenes import Scene

SCENE, SIDE, SCALE, SEED = "balloons", 32, 4, 0
RATES = {"pzres-net": 2e-3, "mhf-net": 1e-3, "mog-dcn": 5e-4, "ual": 5e-4}  # maximum learning rates of Adam
STEPS, EVERY = 1500, 25
ENOUGH = 50.0  # dB


def learn(name: str, scene: Scene) -> dict[str, object]:
    """Train one network on the patch alone, until it reaches `ENOUGH` dB or after `STEPS` steps."""
    observation = degrade(scene, SCALE, seed=SEED)
    lr, rgb, truth = (
        torch.from_numpy(image)[None] for image in (observation.lr, observation.rgb, scene.cube)
    )
    torch.manual_seed(SEED)
    net = NETWORKS[name].build(bands=len(scene.cube), scale=SCALE)
    net.start_from([scene])
    optimizer = torch.optim.Adam(net.parameters(), RATES[name])
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATES[name], total_steps=STEPS, pct_start=0.1)
    best, step = 0.0, 0
    while best < ENOUGH and step < STEPS:
        for _ in range(EVERY):
            optimizer.zero_grad()
            net.loss(lr, rgb, truth).backward()
            optimizer.step()
            cycle.step()
        step += EVERY
        with torch.inference_mode():
            best = max(best, psnr(scene.cube, net(lr, rgb)[0].clamp(0, 1).numpy()))
    return {"network": name, "rate": RATES[name], "steps": step, "PSNR": best}


def main() -> None:
    """Train all networks on one patch of CAVE, which takes ten minutes on one CPU core."""
    data = cave()
    if data is None:
        return
    patch = data.load(SCENE).crop_to_multiple(SCALE, SIDE)
    task = {"scene": SCENE, "side": SIDE, "scale": SCALE, "degradation": "test", "seed": SEED}
    write_rows("one_patch", [task | learn(name, patch) for name in RATES])
