"""How methods fare with guides and cubes as cameras deliver them: pictures, noise, defects, misalignment, other places.

Each case changes an observation of the paper's test degradation in one way. Where a guide is moved, the reference moves
with it: a result lies on the guide's pixels. `CAMERAS` are pairs whose guide another camera took; its response is given
to the methods, as the paper's is.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from ifmsr import metrics
from ifmsr.degradation.protocol import degrade, scene_seed
from ifmsr.errors import InputError
from ifmsr.scenes.cameras import camera_response
from ifmsr.scenes.scene import Array, Mask, Observation, Scene

SHARE_WITHOUT_DATA = 1 / 16  # of the columns


class Delivered(NamedTuple):
    """A pair of images and what to compare a result with.

    Attributes
    ----------
    truth : (B, H, W).
    observation : the pair.
    window : the rows and columns that count.
    unit : what the observation's 1 is in the truth's unit.
    valid : (H, W) bool, the pixels that count, or None for all of the window.
    """

    truth: Array
    observation: Observation
    window: tuple[slice, slice] = (slice(None), slice(None))
    unit: float = 1.0
    valid: Mask | None = None

    def evaluate(self, sr: Array) -> dict[str, float]:
        """The five metrics of a result (B, H, W), over the pixels that count.

        SSIM needs an image: there, the truth takes the place of pixels that do not count.
        """
        inside = (slice(None), *self.window)
        truth, sr, scale = self.truth[inside], np.float32(self.unit) * sr[inside], self.observation.scale
        if self.valid is None:
            return metrics.evaluate(truth, sr, scale)
        valid, sr = self.valid[self.window], sr.clip(0, 1)
        row, found = truth[:, None, valid], sr[:, None, valid]  # (B, 1, n)
        return {
            "PSNR": metrics.psnr(row, found),
            "SSIM": metrics.ssim(truth, np.where(valid, sr, truth)),
            "SAM": metrics.sam(row, found),
            "ERGAS": metrics.ergas(row, found, scale),
            "RMSE": metrics.rmse(row, found),
        }


Delivery = Callable[[Scene, Observation, np.random.Generator], Delivered]
Another = Callable[[], Scene]


@dataclass(frozen=True)
class Case:
    """One way in which real pairs differ from the paper's; see `ifmsr.study.robustness.Condition`.

    Attributes
    ----------
    name : the printed name.
    delivery : makes the pair from the scene, its observation under the paper's test degradation and random numbers.
    scale : of the observation.
    of_another : the guide shows another scene.
    """

    name: str
    delivery: Delivery = field(repr=False)
    scale: int = 4
    of_another: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """Name and scale, for a manifest."""
        return {"name": self.name, "scale": self.scale}

    def deliver(self, scene: Scene, seed: int, another: Another) -> Delivered:
        """The pair that this case makes of a scene whose size is a multiple of the scale.

        `another` loads another scene of the same size. Raises InputError if the scene lacks what the case needs.
        """
        rng = np.random.default_rng((*scene_seed(scene, seed), 3))
        observation = degrade(scene, self.scale, "test", seed)
        if self.of_another:
            observation = _pair(observation.lr, _other_guide(scene, another()), observation)
        return self.delivery(scene, observation, rng)


def _guide(change: Callable[[Array, np.random.Generator], NDArray[Any]]) -> Delivery:
    """A case that changes the guide's values."""

    def delivery(scene: Scene, observation: Observation, rng: np.random.Generator) -> Delivered:
        rgb = change(observation.rgb, rng).astype(np.float32)
        return Delivered(scene.cube, _pair(observation.lr, rgb, observation))

    return delivery


def _camera(name: str) -> Delivery:
    """The guide that one of the measured cameras takes."""

    def delivery(scene: Scene, observation: Observation, _: np.random.Generator) -> Delivered:
        if scene.wavelengths is None:
            raise InputError(
                f"scene {scene.name}", "no wavelengths", "Choose a data set whose bands have them"
            )
        taken = replace(scene, srf=camera_response(name, scene.wavelengths))
        return Delivered(scene.cube, Observation(observation.lr, taken.rgb(), observation.scale, taken.srf))

    return delivery


def _other_guide(scene: Scene, other: Scene) -> Array:
    """The guide of another scene."""
    if other.name == scene.name:
        raise InputError(
            f"scene {scene.name}", "there is no other scene", "Choose a split with several test scenes"
        )
    return other.rgb()


def _photograph(scene: Scene, observation: Observation, _: np.random.Generator) -> Delivered:
    """The picture that the data set has of the scene, as stored."""
    if scene.photograph is None:
        raise InputError(f"scene {scene.name}", "no photograph of it", "Choose CAVE, or other conditions")
    rgb = (scene.photograph / 255).astype(np.float32)
    return Delivered(scene.cube, _pair(observation.lr, rgb, observation))


def _bands(bands: slice) -> Delivery:
    """Only some bands of the cube under the whole guide, whose response is then unknown."""

    def delivery(scene: Scene, observation: Observation, _: np.random.Generator) -> Delivered:
        pair = Observation(observation.lr[bands], observation.rgb, observation.scale)
        return Delivered(scene.cube[bands], pair)

    return delivery


def _moved(degrees: float = 0.0, larger: float = 1.0, shift: tuple[int, int] = (0, 0)) -> Delivery:
    """The guide rotated and scaled about its centre, then shifted (down, right); the reference likewise."""

    def delivery(scene: Scene, observation: Observation, _: np.random.Generator) -> Delivered:
        moved = [warped(image, degrees, larger, shift) for image in (scene.cube, observation.rgb)]
        rows, columns = (
            slice(max(0, step), side + min(0, step))
            for step, side in zip(shift, scene.cube.shape[1:], strict=True)
        )
        return Delivered(moved[0], _pair(observation.lr, moved[1], observation), (rows, columns))

    return delivery


def _pair(lr: Array, rgb: Array, observation: Observation) -> Observation:
    return Observation(lr, rgb, observation.scale, observation.srf)


def encoded(rgb: Array) -> NDArray[Any]:
    """Linear values in [0, 1] as sRGB (IEC 61966-2-1)."""
    return np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * np.maximum(rgb, 1e-9) ** (1 / 2.4) - 0.055)


def quantised(rgb: Array) -> NDArray[Any]:
    """Rounded to 8 bits."""
    return np.round(255 * rgb) / 255


def jpeg(rgb: Array, quality: int) -> NDArray[Any]:
    """An sRGB picture (3, H, W) stored as JPEG and read again."""
    from PIL import Image

    file = BytesIO()
    picture = np.round(255 * encoded(rgb)).astype(np.uint8).transpose(1, 2, 0)
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).transpose(2, 0, 1) / 255


def clipped(rgb: Array, share: float) -> NDArray[Any]:
    """Exposed so that a share of the values is clipped."""
    return np.clip(rgb / np.quantile(rgb, 1 - share), 0, 1)


def noisy(rgb: Array, level: float, rng: np.random.Generator) -> NDArray[Any]:
    """With white noise of a standard deviation of `level` / 255."""
    return np.clip(rgb + level / 255 * rng.standard_normal(rgb.shape), 0, 1)


def warped(image: Array, degrees: float, larger: float, shift: tuple[int, int]) -> Array:
    """(C, H, W) rotated counter-clockwise and scaled about the centre, then shifted (down, right)."""
    if degrees == 0 and larger == 1:
        return np.roll(image, shift, (1, 2))
    angle, middle = np.radians(degrees), (np.array(image.shape[1:]) - 1) / 2
    linear = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / larger
    offset = middle - linear @ (middle + shift)
    channels = [affine_transform(channel, linear, offset, order=3, mode="nearest") for channel in image]
    return np.stack(channels).clip(0, 1).astype(np.float32)


def _dark(scene: Scene, observation: Observation, _: np.random.Generator) -> Delivered:
    sixteenth = np.float32(1 / 16)
    pair = Observation(
        observation.lr * sixteenth, observation.rgb * sixteenth, observation.scale, observation.srf
    )
    return Delivered(scene.cube, pair, unit=16.0)


def _without_data(scene: Scene, observation: Observation, _: np.random.Generator) -> Delivered:
    lr = observation.lr.copy()
    missing = round(SHARE_WITHOUT_DATA * lr.shape[2])
    lr[:, :, -missing:] = 0
    kept = slice(0, observation.scale * (lr.shape[2] - missing))
    return Delivered(scene.cube, _pair(lr, observation.rgb, observation), (slice(None), kept))


def _slanted(scene: Scene, observation: Observation, _: np.random.Generator) -> Delivered:
    """Footprints that end at a slanted line, as after a map projection: the guide at a pixel, the cube at a block."""
    _, height, width = scene.cube.shape
    edge = 2 * SHARE_WITHOUT_DATA * width * (1 - np.arange(height) / height)  # a column for each row
    inside = np.arange(width) >= edge[:, None]
    scale = observation.scale
    whole = inside.reshape(height // scale, scale, width // scale, scale).all((1, 3))
    pair = _pair(observation.lr * whole, observation.rgb * inside, observation)
    return Delivered(scene.cube, pair, valid=whole.repeat(scale, 0).repeat(scale, 1))


CASES = (
    Case("linear", _guide(lambda rgb, _: rgb)),
    Case("linear, 8 bits", _guide(lambda rgb, _: quantised(rgb))),
    Case("sRGB, 8 bits", _guide(lambda rgb, _: quantised(encoded(rgb)))),
    Case("sRGB, JPEG 90", _guide(lambda rgb, _: jpeg(rgb, 90))),
    Case("sRGB, JPEG 75", _guide(lambda rgb, _: jpeg(rgb, 75))),
    Case("CAVE's own photograph", _photograph),
    Case("3 % clipped", _guide(lambda rgb, _: clipped(rgb, 0.03))),
    Case("10 % clipped", _guide(lambda rgb, _: clipped(rgb, 0.1))),
    Case("guide noise 1/255", _guide(lambda rgb, rng: noisy(rgb, 1, rng))),
    Case("guide noise 2/255", _guide(lambda rgb, rng: noisy(rgb, 2, rng))),
    Case("guide noise 5/255", _guide(lambda rgb, rng: noisy(rgb, 5, rng))),
    Case("bands 25 to 31", _bands(slice(24, 31))),
    Case("bands 1 to 8", _bands(slice(0, 8))),
    Case("dark units", _dark),
    Case("no-data stripe", _without_data),
    Case("slanted footprint", _slanted),
    Case("turned by 0.5 degrees", _moved(degrees=0.5)),
    Case("turned by 2 degrees", _moved(degrees=2)),
    Case("1 % larger", _moved(larger=1.01)),
    Case("shifted by 20 px", _moved(shift=(20, 20))),
    Case("mirrored", _guide(lambda rgb, _: rgb[:, :, ::-1])),
    Case("another scene", _guide(lambda rgb, _: rgb), of_another=True),
    Case("white noise", _guide(lambda rgb, rng: rng.random(rgb.shape))),
    Case("constant", _guide(lambda rgb, _: np.full_like(rgb, 0.5))),
)
CAMERAS = (
    CASES[0],
    *(
        Case(name, _camera(name))
        for name in (
            "Nikon D700",
            "Canon EOS 5D Mark II",
            "Sony ILCE-7M3",
            "Fujifilm X-T4",
            "Hasselblad L1D-20c",
        )
    ),
)
"""The paper's response ("linear") and five measured ones: four makers' full-size cameras and one of a drone."""
