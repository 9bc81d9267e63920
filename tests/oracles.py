"""Slow reference implementations, with which tests compare the fast code."""

import math

import numpy as np


def psnr(truth, pred):
    """10 log10(1 / mse), one value at a time."""
    errors = [(float(t) - float(p)) ** 2 for t, p in zip(truth.ravel(), pred.ravel(), strict=True)]
    return 10 * math.log10(1 / (math.fsum(errors) / len(errors)))


def rmse(truth, pred):
    """Square root of the mean squared error, one value at a time."""
    errors = [(float(t) - float(p)) ** 2 for t, p in zip(truth.ravel(), pred.ravel(), strict=True)]
    return math.sqrt(math.fsum(errors) / len(errors))


def ssim(truth, pred):
    """Every band, every whole 11 x 11 window by itself."""
    x, y = truth.astype(np.float64), pred.astype(np.float64)
    window = np.array([[math.exp(-(i**2 + j**2) / (2 * 1.5**2)) for j in range(-5, 6)] for i in range(-5, 6)])
    window /= window.sum()
    c1, c2 = 0.01**2, 0.03**2
    values = []
    for band in range(x.shape[0]):
        for i in range(x.shape[1] - 10):
            for j in range(x.shape[2] - 10):
                a, b = x[band, i : i + 11, j : j + 11], y[band, i : i + 11, j : j + 11]
                ma, mb = (window * a).sum(), (window * b).sum()
                va, vb = (window * (a - ma) ** 2).sum(), (window * (b - mb) ** 2).sum()
                cov = (window * (a - ma) * (b - mb)).sum()
                values.append((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return float(np.mean(values))


def sam(truth, pred, threshold=-math.inf):
    """Arc cosine of the normalised dot product, pixel by pixel, in degrees."""
    angles = []
    for i in range(truth.shape[1]):
        for j in range(truth.shape[2]):
            u, v = (cube[:, i, j].astype(np.float64) for cube in (truth, pred))
            if u.mean() <= threshold:
                continue
            u, v = np.where(u == 0, 2.2e-16, u), np.where(v == 0, 2.2e-16, v)
            cosine = (u @ v) / (math.sqrt(u @ u) * math.sqrt(v @ v))
            angles.append(math.degrees(math.acos(min(1.0, max(-1.0, cosine)))))
    return math.fsum(angles) / len(angles)


def ergas(truth, pred, scale):
    """Band by band, for cubes without a band of mean 0."""
    total = 0.0
    for t, p in zip(truth.astype(np.float64), pred.astype(np.float64), strict=True):
        total += ((t - p) ** 2).mean() / t.mean() ** 2
    return 100 / scale * math.sqrt(total / len(truth))


def matrix_of(kernel, scale, size):
    """Blur and decimation on a torus as a matrix (LR pixels, HR pixels), one tap after another."""
    (height, width), side = size, len(kernel)
    first = (scale - side) // 2
    matrix = np.zeros((height // scale, width // scale, height, width))
    for i in range(height // scale):
        for j in range(width // scale):
            for t in range(side):
                for u in range(side):
                    row, column = (scale * i + first + t) % height, (scale * j + first + u) % width
                    matrix[i, j, row, column] += kernel[t, u]
    return matrix.reshape(-1, height * width)
