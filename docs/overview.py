"""The first picture of the README and of the book, from CAVE: ``python -m docs.overview``."""

from ifmsr.degradation import degrade
from ifmsr.figures.overview import overview_figure
from ifmsr.figures.style import png_of
from ifmsr.files import write_atomically
from ifmsr.inference import load_method
from ifmsr.paths import ROOT
from ifmsr.scenes import open_dataset

PICTURE = ROOT / "docs" / "_static" / "overview.png"
SCENE, SCALE, SEED = "feathers", 8, 0  # a test scene; nothing here was trained on it
WINDOW = (128, 128, 256, 256)
PLACES = ((192, 208), (290, 320))
LIMIT = 0.05
LARGEST = 300_000  # bytes
CHOICES = tuple((resolution, None) for resolution in (150, 130, 110, 90))  # dots per inch, all colours


def main() -> None:
    """Simulate the pair, compute two results and write the picture."""
    scene = open_dataset("cave").load(SCENE)
    observation = degrade(scene, SCALE, seed=SEED)
    methods = (("Bicubic", "bicubic"), ("Closed-form", "closed-form"))
    results = {title: load_method(name, SCALE)(observation) for title, name in methods}
    figure = overview_figure(scene, observation, results, WINDOW, PLACES, LIMIT)
    write_atomically(PICTURE, lambda file: file.write(png_of(figure, LARGEST, CHOICES)))


if __name__ == "__main__":
    main()
