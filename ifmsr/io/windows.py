"""A window of an image, so that readers take only the pixels that are asked for."""

from typing import Any

from numpy.typing import NDArray

Window = tuple[int, int, int, int]
"""(top, left, height, width) in pixels."""


def cut(image: NDArray[Any], window: Window) -> NDArray[Any]:
    """The window of an image (H, W, ...), without a copy."""
    top, left, height, width = window
    return image[top : top + height, left : left + width]
