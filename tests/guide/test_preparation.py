from dataclasses import replace

import numpy as np

from ifmsr.degradation import degrade
from ifmsr.guide.preparation import prepare_pair
from ifmsr.scenes import open_dataset


def test_a_black_border_without_data_is_not_taken_for_clipped_pixels():
    """Its response was thrown away then, as that of a restored guide."""
    scene = open_dataset("indian-pines").load("train").crop_to_multiple(4)
    pair = degrade(scene, 4)
    height, width = pair.rgb.shape[1:]
    inside = np.arange(width) >= 24 - 24 * np.arange(height)[:, None] / height
    whole = inside.reshape(height // 4, 4, width // 4, 4).all((1, 3))
    known = replace(
        pair, lr=pair.lr * whole, rgb=pair.rgb * inside, srf=np.eye(3, len(pair.lr), dtype=np.float32)
    )
    prepared = prepare_pair(known, "linear")
    assert not prepared.observation.rgb_valid[:4, :20].any()
    assert prepared.clipped == 0
    assert prepared.observation.srf is not None
