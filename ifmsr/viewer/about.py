"""What ``viewer.js`` has to know besides planes and spectra: sizes, ranges, looks, the state at the start."""

from base64 import b64encode
from typing import Any

from ifmsr.figures.style import method_styles
from ifmsr.viewer.render import look, palette
from ifmsr.viewer.stack import Stack

DASHES = {"-": "none", "--": "6 3", "-.": "8 3 2 3", ":": "2 3"}
"""Matplotlib's dash patterns as SVG has them."""


def about(stack: Stack) -> dict[str, Any]:
    """The constants of a viewer, as JSON holds them; the keys are those that ``viewer.js`` reads."""
    styles = curve_styles(stack)
    return {
        "size": list(stack.size),
        "bands": stack.bands,
        "wavelengths": None if stack.wavelengths is None else stack.wavelengths.tolist(),
        "quantity": stack.quantity,
        "natural": None if stack.natural is None else list(stack.natural),
        "modes": modes(stack),
        "palette": b64encode(palette().tobytes()).decode(),
        "error": _limits(stack.error_limits) if stack.compared else None,
        "angle": _limits(stack.angle_limits) if stack.compared else None,
        "layers": [
            {
                "name": layer.name,
                "role": layer.role,
                "size": list(layer.size),
                "compared": place in stack.compared,
                "colour": "currentColor" if layer.role == "truth" else styles[layer.name]["color"],
                "dash": _dash(styles[layer.name]["linestyle"]),
                **look(stack, layer),
            }
            for place, layer in enumerate(stack.layers)
        ],
    }


def modes(stack: Stack) -> list[str]:
    """What a viewer of these images can show."""
    natural = [] if stack.natural is None else ["natural"]
    return [*natural, "false", "band", *(("error", "angle") if stack.compared else ())]


def start(stack: Stack) -> dict[str, Any]:
    """The state that a viewer begins with; the keys are the traits of `ifmsr.viewer.widget.Viewer`."""
    last = len(stack.layers) - 1
    results = [place for place, layer in enumerate(stack.layers) if layer.role == "result"]
    return {
        "mode": modes(stack)[0],
        "band": stack.bands // 2,
        "colour": list(stack.false),
        "left": 0,
        "right": results[-1] if results else last,
        "wipe": 0.5,
        "side_by_side": False,
        "point": list(stack.first_point()),
    }


def curve_styles(stack: Stack) -> dict[str, dict[str, Any]]:
    """Colour and dash pattern of each layer's curve: the truth black, results as in every other figure."""
    results = [layer.name for layer in stack.layers if layer.role == "result"]
    own = {
        "cube": {"color": "#8C8C8C" if len(stack.layers) > 1 else "#0072B2", "linestyle": "-"},
        "truth": {"color": "black", "linestyle": "-"},
    }
    rest = {layer.name: own.get(layer.role, own["cube"]) for layer in stack.layers}
    return rest | method_styles(results)


def _limits(limits: tuple[float, float]) -> dict[str, float]:
    return {"high": limits[0], "limit": limits[1]}


def _dash(linestyle: Any) -> str:
    return DASHES[linestyle] if isinstance(linestyle, str) else " ".join(str(3 * n) for n in linestyle[1])
