"""What is said about a pair of images: lines, JSON, and a folder with a picture."""

import io
import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ifmsr.files import sha256, write_atomically
from ifmsr.runs import MANIFEST, Run

IMAGES = ("delivered", "observation", "grid")  # fields of an assessment that are left out

if TYPE_CHECKING:
    from ifmsr.assessment import Assessment
    from ifmsr.io import Pair


def as_json(pair: "Pair", assessment: "Assessment", result: Path | None = None) -> dict[str, Any]:
    """A pair's assessment as JSON holds it: numbers, texts, lists; the images themselves are left out."""
    about = {
        field.name: _plain(getattr(assessment, field.name))
        for field in fields(assessment)
        if field.name not in IMAGES
    }
    if pair.cube.wavelengths is not None:
        about["nearest_camera"] = _plain(assessment.nearest_camera(pair.cube.wavelengths))
    about["warnings"] = [*pair.doubts, *assessment.warnings]
    return {
        "taken": [pair.cube.taken, pair.guide.taken],
        "scale": pair.scale,
        **about,
        **({} if result is None else {"result": str(result)}),
    }


def write_report(
    folder: Path,
    files: tuple[Path, Path],
    pair: "Pair",
    assessment: "Assessment",
    sr: Any,
    config: dict[str, Any],
) -> list[Path]:
    """preview.png, assessment.json and, last, the manifest, in `folder`."""
    from ifmsr.figures.pair import result_figure

    data = {path.name: sha256(path) for path in files if path.is_file()}
    with Run(
        folder, config={key: value for key, value in config.items() if value is not None}, data=data
    ) as run:
        preview, assessed = run.record("preview.png"), run.record("assessment.json")
        save_picture(
            result_figure(pair.cube.values, pair.guide.values, sr, pair.scale, pair.cube.wavelengths), preview
        )
        lines = (
            f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in as_json(pair, assessment).items()
        )
        text = "{\n" + ",\n".join(lines) + "\n}\n"
        write_atomically(assessed, lambda file: file.write(text.encode()))
    return [folder / name for name in (preview.name, assessed.name, MANIFEST)]


def save_picture(figure: Any, path: Path) -> Path:
    """Write a figure of matplotlib in the format of the suffix."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format=path.suffix.lower().removeprefix("."), dpi=150)
    return write_atomically(path, lambda file: file.write(drawn.getvalue()))


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value
