"""Measured displacement of the bands of CAVE's photo_and_face in four windows, caused by motion during the capture."""

import numpy as np
from scipy.ndimage import gaussian_filter, shift

from benchmarks.common import cave, write_rows
from ifmsr.scenes.scene import Array

SCENE, MIDDLE = "photo_and_face", 15
WINDOWS = {  # top, bottom, left, right
    "the man's face": (190, 360, 330, 450),
    "the man's shirt": (425, 505, 330, 500),
    "a shirt in the photo": (430, 505, 20, 150),
    "colour chart": (150, 420, 225, 270),
}
SMOOTH, BORDER, ITERATIONS = 1.5, 6, 6  # standard deviation and margin in pixels, Newton iterations


def main() -> None:
    """Measure the displacement of each band, `down` and `right` in pixels, against the middle band. Needs CAVE."""
    data = cave()
    if data is None:
        return
    cube = data.load(SCENE).cube
    rows = []
    for name, (top, bottom, left, right) in WINDOWS.items():
        window = cube[:, top:bottom, left:right]
        for band, image in enumerate(window):
            down, across = displacement(window[MIDDLE], image)
            rows.append({"scene": SCENE, "window": name, "band": band + 1, "down": down, "right": across})
    write_rows("band_shifts", rows)


def displacement(reference: Array, image: Array) -> Array:
    """The shift (down, right) in pixels that registers `reference` to `image`, up to a factor and an offset."""
    reference, image = (gaussian_filter(each, SMOOTH) for each in (reference, image))
    inside = (slice(BORDER, -BORDER),) * 2
    found = np.zeros(2)
    for _ in range(ITERATIONS):
        moved = shift(reference, found, order=3, mode="nearest")
        down, right = np.gradient(moved)
        columns = [each[inside].ravel() for each in (moved, np.ones_like(moved), -down, -right)]
        factor, _, *steps = np.linalg.lstsq(np.stack(columns, axis=1), image[inside].ravel(), rcond=None)[0]
        found += np.array(steps) / factor
    return found
