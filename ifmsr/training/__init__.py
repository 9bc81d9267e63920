"""Training: `train` on given scenes, `train_on_split` on a data set's split."""

from ifmsr.extras import require

require("pandas")

from ifmsr.training.config import TrainConfig, with_settings
from ifmsr.training.loop import train
from ifmsr.training.on_split import train_on_split
from ifmsr.training.patches import Patches, augment
from ifmsr.training.presets import PRESETS, preset, preset_names
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
    "train",
    "train_on_split",
    "with_settings",
]
