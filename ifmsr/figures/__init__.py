"""The paper's figures 4, 5 and 6 from stored results, and plotting functions for the notebooks."""

from ifmsr.extras import require

require("pandas", "matplotlib")

from ifmsr.figures.ablation import ablation_figure
from ifmsr.figures.degradation import degradation_strip
from ifmsr.figures.drawings import chain_drawing, network_drawing, problem_drawing
from ifmsr.figures.evaluated import Evaluated
from ifmsr.figures.panels import (
    busiest_window,
    repeat_pixels,
    show_band,
    show_kernel,
    show_rgb,
    show_spectra,
    tone,
)
from ifmsr.figures.performance import cost_figure, scaling_figure
from ifmsr.figures.real import figure6
from ifmsr.figures.scene_by_scene import scene_figure
from ifmsr.figures.spatial import figure4
from ifmsr.figures.spectral import figure5
from ifmsr.figures.style import method_styles, save_figure
from ifmsr.figures.training import learning_curves, training_curve

__all__ = [
    "Evaluated",
    "ablation_figure",
    "busiest_window",
    "chain_drawing",
    "cost_figure",
    "degradation_strip",
    "figure4",
    "figure5",
    "figure6",
    "learning_curves",
    "method_styles",
    "network_drawing",
    "problem_drawing",
    "repeat_pixels",
    "save_figure",
    "scaling_figure",
    "scene_figure",
    "show_band",
    "show_kernel",
    "show_rgb",
    "show_spectra",
    "tone",
    "training_curve",
]
