"""A data set of another package, which computes its scenes."""

DATA_SET = """
import numpy as np
from ifmsr.scenes import DataSet, Scene, Split

class Stripes(DataSet):
    title, bands, published, default_split = "Stripes", 6, 3, "only"
    obtain = "Nothing to do: the scenes are computed"
    names = ("wide", "medium", "narrow")

    def load(self, name, window=None):
        top, left, height, width = window or (0, 0, 48, 64)
        rows, columns = np.mgrid[top : top + height, left : left + width]
        waves = [np.sin((rows + b * columns) / (8 - 2 * self.names.index(name))) for b in range(self.bands)]
        return Scene(name, (0.5 + 0.4 * np.stack(waves)).astype(np.float32), rgb_bands=(4, 2, 0))

    def split(self, name):
        return Split(train=("wide",), validation=("medium",), test=("narrow",))
"""
