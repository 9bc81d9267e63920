"""A small stack of images whose every number is known."""

import numpy as np

WAVELENGTHS = np.array([460.0, 550.0, 640.0, 700.0])


def truth():
    """(4, 8, 12) float32 in [0, 1], no two values alike."""
    return (
        np.random.default_rng(0)
        .permutation(np.linspace(0, 1, 4 * 8 * 12))
        .reshape(4, 8, 12)
        .astype(np.float32)
    )


def images():
    """Everything that `ifmsr.view` takes: an LR cube, a guide, two results, the truth, wavelengths."""
    reference = truth()
    lr = reference.reshape(4, 4, 2, 6, 2).mean((2, 4))
    return {
        "cube": lr,
        "guide": reference[[2, 1, 0]],
        "results": {"Bicubic": lr.repeat(2, 1).repeat(2, 2), "Closed-form": 0.9 * reference},
        "truth": reference,
        "wavelengths": WAVELENGTHS,
    }
