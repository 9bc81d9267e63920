"""A cube and its guide, fitted to each other: the scale from their sizes, the common part of both."""

from dataclasses import dataclass, replace

import numpy as np

from ifmsr.errors import InputError, whole
from ifmsr.io.cube import Array, Cube

NEAR = 1.0  # LR pixels between the upper left corners of two images of the same place


@dataclass(frozen=True)
class Pair:
    """A cube (B, h, w), its guide (3, scale h, scale w), and what to doubt about their places on the map."""

    cube: Cube
    guide: Cube
    scale: int
    doubts: tuple[str, ...] = ()

    def result(self, values: Array) -> Cube:
        """A result (B, scale h, scale w) with the cube's metadata, at its place on the map.

        Its pixels are the guide's: it has the guide's georeference, or where the guide has none the cube's, rescaled.
        """
        cube = self.cube.with_values(values)
        if self.guide.transform is None:
            return cube
        return replace(cube, transform=self.guide.transform, crs=self.guide.crs or cube.crs)


def fit_pair(cube: Cube, guide: Cube, scale: int | None = None, crop: bool = False) -> Pair:
    """A cube and its guide with the scale between them.

    Parameters
    ----------
    scale : how many pixels of the guide lie along one of the cube; by default what both sizes say.
    crop : where the sizes do not fit, use the part that both images have, counted from their upper left corners.

    Raises
    ------
    InputError : the guide is not a whole number finer, along both sides the same; `scale` is no whole number.

    Examples
    --------
    >>> lr, rgb = Cube(np.zeros((8, 10, 12), np.float32)), Cube(np.zeros((3, 40, 48), np.float32))
    >>> fit_pair(lr, rgb).scale
    4
    """
    (height, width), (rows, columns) = cube.values.shape[1:], guide.values.shape[1:]
    sizes = f"the cube has {height} x {width} pixels and the guide {rows} x {columns}"
    if scale is None:
        if crop:
            scale = round(float(np.sqrt(rows / height * columns / width)))
        elif rows % height == 0 and rows // height * width == columns:
            scale = rows // height
        else:
            raise InputError(
                "scale", f"{sizes}, no whole number more", "Crop them alike, or give scale= and crop=True"
            )
    scale = whole("scale", scale, least=1)
    if crop:
        height, width = min(height, rows // scale), min(width, columns // scale)
        if height < 1 or width < 1:
            raise InputError("scale", f"{sizes}: no part is common at scale {scale}", "Give the right scale=")
        cube, guide = _corner(cube, height, width), _corner(guide, scale * height, scale * width)
    elif (scale * height, scale * width) != (rows, columns):
        raise InputError(
            "scale", f"{sizes}, which is not {scale} times as many", "Give another scale= or crop=True"
        )
    return Pair(cube, guide, scale, _doubts(cube, guide, scale))


def _corner(image: Cube, height: int, width: int) -> Cube:
    """The upper left part of an image, at the same place."""
    return replace(image, values=np.ascontiguousarray(image.values[:, :height, :width]))


def _doubts(cube: Cube, guide: Cube, scale: int) -> tuple[str, ...]:
    """Whether the georeferences say that the images show the same place."""
    if cube.transform is None or guide.transform is None:
        return ()
    (a, b, c, d, e, f), finer = cube.transform, guide.transform
    coarse_area, fine_area = abs(a * e - b * d), abs(finer[0] * finer[4] - finer[1] * finer[3])
    if not coarse_area or not fine_area:
        return ()
    across, down = np.linalg.solve([[a, b], [d, e]], [finer[2] - c, finer[5] - f])
    ratio, doubts = float(np.sqrt(coarse_area / fine_area)), []
    if max(abs(across), abs(down)) > NEAR:
        doubts.append(
            f"By their georeference the guide begins {down:.1f} pixels below and {across:.1f} right of the cube's "
            "first; they are taken as if they began at the same place."
        )
    if abs(ratio / scale - 1) > 0.01:
        doubts.append(f"By their georeference the guide's pixels are {ratio:.2f} times finer, not {scale}.")
    return tuple(doubts)
