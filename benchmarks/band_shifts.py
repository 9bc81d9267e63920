"""Whether a subject moved while the bands of CAVE's photo_and_face were taken: where each band lies in four windows."""

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
SMOOTH, BORDER, ROUNDS = 1.5, 6, 6  # pixels, pixels, Newton's


def main() -> None:
    """Needs CAVE. `down`, `right`: pixels by which a band is displaced against the middle one."""
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
    """Pixels (down, right) that make `reference` most like `image` but for a factor and an offset."""
    reference, image = (gaussian_filter(each, SMOOTH) for each in (reference, image))
    inside = (slice(BORDER, -BORDER),) * 2
    found = np.zeros(2)
    for _ in range(ROUNDS):
        moved = shift(reference, found, order=3, mode="nearest")
        down, right = np.gradient(moved)
        columns = [each[inside].ravel() for each in (moved, np.ones_like(moved), -down, -right)]
        factor, _, *steps = np.linalg.lstsq(np.stack(columns, axis=1), image[inside].ravel(), rcond=None)[0]
        found += np.array(steps) / factor
    return found
