"""Training: `train` on given scenes, `train_on_split` on a data set's split, `train_in_stages` one after another."""

from ifmsr.extras import require

require("filelock", "pandas")

from ifmsr.training.config import TrainConfig, with_settings
from ifmsr.training.loop import train
from ifmsr.training.on_split import train_in_stages, train_on_split
from ifmsr.training.patches import Patches, augment
from ifmsr.training.presets import PRESETS, preset, preset_names, stages
from ifmsr.training.state import TrainingError, build_network

__all__ = [
    "PRESETS",
    "Patches",
    "TrainConfig",
    "TrainingError",
    "augment",
    "build_network",
    "preset",
    "preset_names",
    "stages",
    "train",
    "train_in_stages",
    "train_on_split",
    "with_settings",
]
