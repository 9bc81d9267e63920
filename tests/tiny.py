"""Small, fast fixtures of several tests: a training, observations, and a method that counts its calls."""

from dataclasses import replace

import numpy as np
import torch
from safetensors.torch import load_file

from ifmsr.degradation.protocol import degrade
from ifmsr.methods.bicubic import Bicubic
from ifmsr.methods.subspace_net.network import SubspaceNet
from ifmsr.scenes import Scene, open_dataset
from ifmsr.training import TrainConfig

CONFIG = TrainConfig(
    options={"features": 4, "stages": 1},
    epochs=2,
    crops_per_scene=6,
    batch=2,
    steps="batched",
    bands_per_step=2,
    learning_rate=1e-3,
    checkpoint_every=0,
)


def parts():
    """Twelve bands of Indian Pines, training and validation part."""
    data = open_dataset("indian-pines")
    images = [data.load(name) for name in ("train", "validation")]
    return [Scene(image.name, image.cube[20:32], rgb_bands=(9, 5, 1)) for image in images]


def weights_of(folder):
    return load_file(folder / "weights.safetensors")


def assert_same_weights(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def few_bands(scale, known):
    """A real observation of odd size: 20 bands, 7 x 9 LR pixels, the SRF known or not."""
    part = open_dataset("indian-pines").load("train").cube[::10, : 7 * scale, : 9 * scale]
    srf = np.full((3, 20), 0.02, np.float32)
    srf[[0, 1, 2], [2, 1, 0]] += 0.6
    scene = Scene("part", part, srf=srf) if known else Scene("part", part, rgb_bands=(2, 1, 0))
    return degrade(scene, scale, alignment="centred")


def losses_on(scene, net, rate, steps, every=1):
    """The losses of a network trained by Adam on every `every`-th band of one x4 observation of a scene."""
    observation = degrade(scene, 4)
    lr, rgb, truth = (torch.from_numpy(x)[None] for x in (observation.lr, observation.rgb, scene.cube))
    lr, truth = lr[:, ::every], truth[:, ::every]
    optimizer = torch.optim.Adam(net.parameters(), rate)
    losses = []
    for _ in range(steps):
        loss = net.loss(lr, rgb, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


class Counting(Bicubic):
    """Bicubic that counts its calls and can be made to fail."""

    def __init__(self, fingerprint="a", breaks_at=None):
        self.calls, self.fingerprint, self.breaks_at = 0, fingerprint, breaks_at

    def __call__(self, observation):
        if self.calls == self.breaks_at:
            raise RuntimeError("the power went")
        self.calls += 1
        return super().__call__(observation)


def files_of(folder):
    """The files of a folder that do not belong to an unfinished run."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in found
        if "partial" not in path.parts and path.name != ".lock"
    }


def moments(kernel):
    """Mean position (down, right) and covariance of (right, down), tap by tap in plain Python."""
    side = len(kernel)
    places = [
        (a - (side - 1) / 2, b - (side - 1) / 2, float(kernel[a, b]))
        for a in range(side)
        for b in range(side)
    ]
    down, right = (sum(place[axis] * place[2] for place in places) for axis in (0, 1))
    among = np.zeros((2, 2))
    for y, x, weight in places:
        step = np.array([x - right, y - down])
        among += weight * np.outer(step, step)
    return (down, right), among


def observed(scene, scale, height, width, known=True):
    """LR size in, observation out."""
    observation = degrade(scene.crop(0, 0, scale * height, scale * width), scale)
    return observation if known else replace(observation, srf=None)


def random_net(features=4, blocks=1):
    """A SubspaceNet none of whose layers is zero, the last ones included."""
    torch.manual_seed(1)
    net = SubspaceNet(features, blocks)
    for layer in (net.slopes, net.offsets, net.error):
        torch.nn.init.normal_(layer.weight, std=0.1)
        torch.nn.init.normal_(layer.bias, std=0.1)
    return net
