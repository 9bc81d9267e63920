"""Looking at a cube, its guide, results and truth: in notebooks (`ifmsr.view`) and as one HTML page (`write_page`).

- `stack` checks the images and has the numbers that their display needs;
- `planes` quantises a band, an error map or a map of spectral angles to bytes;
- `render` turns such bytes into colours, by the same formulas as ``viewer.js``;
- `picture` draws the still picture of a notebook, `widget` the live viewer, `page` the page without a kernel.
"""

from ifmsr.extras import require

require("matplotlib")
