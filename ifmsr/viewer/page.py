"""The viewer as one HTML file: the same module, every plane as base64, no kernel and no network."""

import json
from base64 import b64encode
from html import escape
from pathlib import Path
from typing import IO, Any

from ifmsr.errors import InputError
from ifmsr.files import write_atomically
from ifmsr.viewer.about import about, start
from ifmsr.viewer.planes import all_planes, plane
from ifmsr.viewer.stack import Stack

HERE = Path(__file__).parent
LARGEST = 400_000_000  # bytes; browsers load larger pages slowly or not at all

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ background: Canvas; color: CanvasText; margin: 0 auto; max-width: 1180px; padding: 18px 14px 32px; }}
header {{ font: 13px/1.4 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }}
header {{ align-items: baseline; display: flex; flex-wrap: wrap; gap: 2px 14px; margin-bottom: 12px; }}
h1 {{ font-size: 19px; margin: 0; overflow-wrap: anywhere; }}
{style}</style>
</head>
<body>
<header><h1>{title}</h1><span>{facts}</span></header>
<noscript>This page needs JavaScript.</noscript>
<main id="viewer"></main>
<script type="application/json" id="values">{values}</script>
"""
TAIL = """<script type="module">
{module}
render({{ model: fromPage(document), el: document.getElementById("viewer") }});
</script>
</body>
</html>
"""


def write_page(
    path: str | Path, stack: Stack, state: dict[str, Any] | None = None, title: str = "Hyperspectral cube"
) -> Path:
    """Write the viewer of these images as one self-contained page.

    Bands, error maps and angles are stored in 8 bits, with finer steps for dark values; so are the spectra shown.

    Parameters
    ----------
    path : the .html file.
    state : what the page shows at first, by the names of `Viewer`'s traits; by default what a new viewer shows.
    title : the page's heading.

    Raises
    ------
    InputError : the page would be larger than `LARGEST`, or `path` has another suffix or is no ordinary file.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(path, "it is no page", "Name a file that ends in .html")
    planes = all_planes(stack)
    size = sum(stack.layers[place].size[0] * stack.layers[place].size[1] for place, _, _ in planes) * 4 // 3
    if size > LARGEST:
        raise InputError(
            path,
            f"the page would take {size / 1e6:.0f} MB, more than {LARGEST / 1e6:.0f} MB",
            "Show every second or tenth band, fewer images, or a part of them",
        )
    values = json.dumps({"about": about(stack), **(state or start(stack))}).replace("<", "\\u003c")
    head = HEAD.format(
        title=escape(title),
        facts=escape(stack.facts()),
        style=(HERE / "viewer.css").read_text(encoding="utf-8"),
        values=values,
    )
    tail = TAIL.format(module=(HERE / "viewer.js").read_text(encoding="utf-8"))

    def write(file: IO[Any]) -> None:
        file.write(head.encode())
        for place, of, band in planes:
            data = b64encode(plane(stack, place, of, band).tobytes())
            start_tag = f'<script type="text/plain" id="plane-{place}-{of}-{band}">'
            file.write(start_tag.encode() + data + b"</script>\n")
        file.write(tail.encode())

    return write_atomically(path, write)
