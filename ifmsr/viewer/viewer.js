// The viewer of a cube, its guide, results and truth. In a notebook it asks the kernel for planes and spectra
// (`fromKernel`), in a page it finds them in the page (`fromPage`). Formulas: ifmsr/viewer/planes.py and render.py.

const MODES = {
  natural: "Natural colour",
  false: "False colour",
  band: "Single band",
  error: "Absolute error",
  angle: "Spectral angle",
};
const CACHED = 96; // planes and pictures that are kept
const STEPS = 254; // levels of a plane; level 0 is a missing value
const LIMITS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 90];

export function render({ model, el }) {
  const about = model.get("about");
  const source = model.source ?? fromKernel(model);
  const { layers, wavelengths, bands } = about;
  const [H, W] = about.size;
  const cubes = layers.map((_, i) => i).filter((i) => layers[i].role !== "guide");
  const hidden = new Set(); // curves that are switched off
  const limits = { error: about.error?.limit, angle: about.angle?.limit };
  const view = { scale: 1, x: 0, y: 0 }; // part of the frame that is visible: its corner, and 1 / its side
  const state = {};
  const heard = {}; // what Python sets
  for (const name of ["mode", "band", "colour", "left", "right", "wipe", "side_by_side", "point"]) {
    state[name] = model.get(name);
    heard[`change:${name}`] = () => {
      if (JSON.stringify(state[name]) === JSON.stringify(model.get(name))) return;
      state[name] = model.get(name);
      refresh();
    };
  }
  for (const [event, hear] of Object.entries(heard)) model.on(event, hear);

  // ---- elements -------------------------------------------------------------------------------------------------
  const root = node("div", "ifmsr-viewer", null, { "data-lm-suppress-shortcuts": true }); // JupyterLab leaves the keys
  const modes = node("div", "segments", root, { role: "group", "aria-label": "What is shown" });
  const bar = node("div", "bar");
  const slider = node("input", "slider", bar, { type: "range", min: 0, max: bands - 1, step: 1, "aria-label": "Band" });
  const bandLabel = node("output", "band-label", bar);
  const triple = node("div", "bar triple");
  const selects = ["Red", "Green", "Blue"].map((name, channel) => {
    const label = node("label", `channel ${name.toLowerCase()}`, triple);
    label.append(`${name} `);
    const select = node("select", "", label, { "aria-label": `${name}: band` });
    for (let b = 0; b < bands; b++) select.add(new Option(bandName(b), b));
    select.onchange = () => set({ colour: state.colour.map((b, c) => (c === channel ? +select.value : b)) });
    return select;
  });
  const main = node("div", "main");
  const figure = node("div", "figure", main);
  const choice = node("div", "choice", figure);
  const leftSelect = node("select", "", choice, { "aria-label": "Image on the left" });
  const arrangement = node("div", "segments small", choice, { role: "group", "aria-label": "Arrangement" });
  const rightSelect = node("select", "", choice, { "aria-label": "Image on the right" });
  const stage = node("div", "stage", figure);
  const handle = node("div", "handle", null, {
    role: "slider", tabindex: 0, "aria-label": "Wipe", "aria-valuemin": 0, "aria-valuemax": 100,
  });
  node("span", "knob", handle);
  const tools = node("div", "tools", figure);
  const readout = node("div", "readout", tools);
  const zoomOut = node("button", "", tools, { type: "button", title: "Zoom out", "aria-label": "Zoom out" });
  const zoomIn = node("button", "", tools, { type: "button", title: "Zoom in", "aria-label": "Zoom in" });
  const fit = node("button", "", tools, { type: "button", title: "Show the whole image" });
  zoomOut.textContent = "\u2212";
  zoomIn.textContent = "+";
  fit.textContent = "Fit";
  const scaleBar = node("div", "scale-bar", figure);
  const caption = node("div", "caption", figure);
  const side = node("div", "side", main);
  const heading = node("div", "heading", side);
  const plot = node("div", "plot", side, { role: "img", "aria-label": "Spectra" });
  const legend = node("div", "legend", side);
  root.append(bar, triple, main);
  el.append(root);

  const modeButtons = segments(modes, about.modes.map((mode) => [mode, MODES[mode]]), (mode) => set({ mode }));
  const arrangementButtons = segments(
    arrangement, [["wipe", "Wipe"], ["side", "Side by side"]], (name) => set({ side_by_side: name === "side" }),
  );
  choice.hidden = layers.length < 2;

  // ---- state ----------------------------------------------------------------------------------------------------
  let saving;
  function set(changes) {
    Object.assign(state, changes);
    for (const [name, value] of Object.entries(changes)) model.set(name, value);
    clearTimeout(saving);
    saving = setTimeout(() => model.save_changes(), 150);
    refresh();
  }

  function shownLayers() { // the layers that the current mode can show
    const compared = state.mode === "error" || state.mode === "angle";
    return layers.map((_, i) => i).filter((i) => !compared || layers[i].compared);
  }

  function pair() { // left and right image: the chosen ones, or others that the mode can show
    const can = shownLayers();
    const right = can.includes(state.right) ? state.right : can.at(-1);
    const left = can.includes(state.left) ? state.left : can.find((i) => i !== right) ?? right;
    return [left, right];
  }

  function bandName(b) {
    return wavelengths ? `${b + 1} (${+wavelengths[b].toFixed(1)} nm)` : `${b + 1}`;
  }

  // ---- planes and pictures --------------------------------------------------------------------------------------
  const planes = new Map();
  const pictures = new Map();
  const palette = fromBase64(about.palette);

  function remember(map, key, make) {
    const found = map.get(key) ?? make();
    map.delete(key);
    map.set(key, found); // the youngest last
    while (map.size > CACHED) map.delete(map.keys().next().value);
    return found;
  }

  const planeOf = (layer, of, band) =>
    remember(planes, `${layer} ${of} ${band}`, () => source.plane(layer, of, band));

  function decoded(low, high, byte) {
    return low + (high - low) * ((byte - 1) / STEPS) ** 2;
  }

  function greys(layer, band) { // brightness of each of the 256 levels
    const { low, high, black, white, root: rooted } = layers[layer];
    return Uint8Array.from({ length: 256 }, (_, byte) => {
      if (!byte) return 0;
      const value = decoded(low[band], high[band], byte) - black[band];
      const share = clip(value / Math.max(white[band] - black[band], 1e-6), 0, 1);
      return Math.floor(255 * (rooted ? Math.sqrt(share) : share) + 0.5);
    });
  }

  function wanted(layer) { // the planes that a layer is drawn from
    if (state.mode === "error") return [["error", state.band]];
    if (state.mode === "angle") return [["angle", 0]];
    if (layers[layer].role === "guide") return [0, 1, 2].map((b) => ["band", b]);
    if (state.mode === "band") return [["band", state.band]];
    return (state.mode === "natural" ? about.natural : state.colour).map((b) => ["band", b]);
  }

  function pictureOf(layer) {
    const needs = wanted(layer);
    const limit = limits[state.mode];
    return remember(pictures, `${layer} ${needs.join()} ${limit}`, async () => {
      const found = await Promise.all(needs.map(([of, band]) => planeOf(layer, of, band)));
      const [h, w] = layers[layer].size;
      const pixels = new Uint8ClampedArray(4 * h * w);
      if (limit) {
        const high = about[needs[0][0]].high;
        const colours = Array.from({ length: 256 }, (_, byte) =>
          3 * Math.floor(255 * clip(decoded(0, high, byte || 1) / limit, 0, 1) + 0.5));
        found[0].forEach((byte, i) => {
          const from = colours[byte];
          pixels[4 * i] = palette[from];
          pixels[4 * i + 1] = palette[from + 1];
          pixels[4 * i + 2] = palette[from + 2];
          pixels[4 * i + 3] = byte && 255;
        });
      } else {
        const [r, g, b] = found.length === 3 ? found : [found[0], found[0], found[0]];
        const tables = needs.map(([, band]) => greys(layer, band));
        const [tr, tg, tb] = tables.length === 3 ? tables : [tables[0], tables[0], tables[0]];
        for (let i = 0; i < h * w; i++) {
          pixels[4 * i] = tr[r[i]];
          pixels[4 * i + 1] = tg[g[i]];
          pixels[4 * i + 2] = tb[b[i]];
          pixels[4 * i + 3] = r[i] && g[i] && b[i] && 255;
        }
      }
      const canvas = document.createElement("canvas");
      canvas.width = w;
      canvas.height = h;
      canvas.getContext("2d").putImageData(new ImageData(pixels, w, h), 0, 0);
      return canvas;
    });
  }

  // ---- panels ---------------------------------------------------------------------------------------------------
  let panels = []; // {canvas, show: layers from left to right}

  function arrange() {
    const [left, right] = pair();
    const together = state.side_by_side ? shownLayers().map((i) => [i]) : [left === right ? [left] : [left, right]];
    const key = JSON.stringify([state.side_by_side, together.length]);
    if (stage.dataset.key !== key) {
      stage.dataset.key = key;
      stage.replaceChildren();
      panels = together.map(() => {
        const box = node("div", "panel", stage);
        box.style.aspectRatio = `${W} / ${H}`;
        const canvas = node("canvas", "", box, { role: "img" });
        listen(canvas);
        return { box, canvas, tags: [node("span", "tag", box), node("span", "tag right", box)] };
      });
      figure.classList.toggle("grid", !!state.side_by_side);
      figure.style.setProperty("--ratio", W / H);
    }
    panels.forEach((panel, i) => {
      panel.show = together[i];
      panel.tags.forEach((tag, k) => {
        tag.textContent = layers[panel.show[k]]?.name ?? "";
        tag.hidden = panel.show[k] === undefined;
      });
      panel.canvas.setAttribute("aria-label", panel.show.map((k) => layers[k].name).join(" and "));
    });
    const wiped = !state.side_by_side && panels[0].show.length === 2;
    if (wiped && handle.parentNode !== panels[0].box) panels[0].box.append(handle);
    handle.hidden = !wiped;
    handle.style.left = `${100 * state.wipe}%`;
    handle.setAttribute("aria-valuenow", Math.round(100 * state.wipe));
    if (wiped) panels[0].tags.forEach((tag, k) => {
      tag.style.maxWidth = `calc(${100 * (k ? 1 - state.wipe : state.wipe)}% - 24px)`;
      tag.style.opacity = (k ? 1 - state.wipe : state.wipe) < 0.08 ? 0 : 1;
    });
    leftSelect.hidden = rightSelect.hidden = !!state.side_by_side;
  }

  let busy = false;
  let again = false;
  async function draw() { // one drawing at a time, and one more if anything has changed meanwhile
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      do {
        again = false;
        const now = panels;
        const images = await Promise.all(now.map((panel) => Promise.all(panel.show.map(pictureOf))));
        root.classList.remove("waiting");
        if (now === panels) now.forEach((panel, i) => paint(panel, images[i]));
      } while (again);
    } catch (error) {
      readout.textContent = String(error.message ?? error);
      root.classList.add("waiting");
    } finally {
      busy = false;
    }
  }

  function paint(panel, images) {
    const { canvas } = panel;
    const sharp = window.devicePixelRatio || 1;
    const [width, height] = [panel.box.clientWidth, panel.box.clientHeight].map((n) => Math.max(1, Math.round(n * sharp)));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    images.forEach((image, k) => {
      const from = k ? Math.round(state.wipe * width) : 0;
      context.save();
      context.beginPath();
      context.rect(from, 0, width - from, height);
      context.clip();
      if (k) context.clearRect(from, 0, width - from, height);
      const [w, h] = [width * view.scale, height * view.scale];
      context.imageSmoothingEnabled = w < image.width;
      context.imageSmoothingQuality = "high";
      context.drawImage(image, -view.x * w, -view.y * h, w, h);
      context.restore();
    });
    if (state.point.length) {
      const x = ((state.point[1] + 0.5) / W - view.x) * view.scale * width;
      const y = ((state.point[0] + 0.5) / H - view.y) * view.scale * height;
      for (const [colour, line] of [["rgba(0, 0, 0, 0.75)", 4], ["#ffffff", 2]]) {
        context.strokeStyle = colour;
        context.lineWidth = line * sharp;
        context.beginPath();
        context.arc(x, y, 6 * sharp, 0, 2 * Math.PI);
        context.stroke();
      }
    }
    canvas.dataset.drawn = `${panel.show} ${state.mode} ${state.band}`;
  }

  // ---- pointer: click for spectra, drag to move, wheel and pinch to zoom, handle to wipe ------------------------------
  function place(canvas, event) { // where in the frame, as fractions
    const box = canvas.getBoundingClientRect();
    const [u, v] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    return { u, v, x: view.x + u / view.scale, y: view.y + v / view.scale };
  }

  function zoom(factor, u = 0.5, v = 0.5) {
    const most = Math.max(8, (40 * W) / panels[0].box.clientWidth);
    const scale = clip(view.scale * factor, 1, most);
    view.x += u / view.scale - u / scale;
    view.y += v / view.scale - v / scale;
    view.scale = scale;
    moved();
  }

  function moved() {
    view.x = clip(view.x, 0, 1 - 1 / view.scale);
    view.y = clip(view.y, 0, 1 - 1 / view.scale);
    stage.classList.toggle("zoomed", view.scale > 1);
    fit.disabled = zoomOut.disabled = view.scale === 1;
    draw();
  }

  function pixel({ x, y }) {
    return [clip(Math.floor(y * H), 0, H - 1), clip(Math.floor(x * W), 0, W - 1)];
  }

  function listen(canvas) {
    const fingers = new Map();
    let start;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, event);
      start = fingers.size === 1 ? { event, x: view.x, y: view.y, far: false } : { far: true };
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!fingers.has(event.pointerId)) {
        if (event.pointerType === "mouse") readAt(canvas, event);
        return;
      }
      const before = fingers.get(event.pointerId);
      fingers.set(event.pointerId, event);
      const box = canvas.getBoundingClientRect();
      if (fingers.size === 2) {
        const other = [...fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
        const far = (a) => Math.hypot(a.clientX - other.clientX, a.clientY - other.clientY);
        const { u, v } = place(canvas, other);
        zoom(far(event) / Math.max(far(before), 1), u, v);
      } else if (start?.event) {
        const [right, down] = [event.clientX - start.event.clientX, event.clientY - start.event.clientY];
        start.far ||= Math.hypot(right, down) > 4;
        if (start.far && view.scale > 1) {
          view.x = start.x - right / box.width / view.scale;
          view.y = start.y - down / box.height / view.scale;
          moved();
        }
      }
    });
    const end = (event) => {
      if (event.type === "pointerup" && start && !start.far) set({ point: pixel(place(canvas, event)) });
      fingers.delete(event.pointerId);
      if (!fingers.size) start = undefined;
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", () => (readout.textContent = ""));
    canvas.addEventListener("dblclick", (event) => {
      const { u, v } = place(canvas, event);
      zoom(2, u, v);
    });
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey && !root.contains(document.activeElement)) return; // the page scrolls
      event.preventDefault();
      const { u, v } = place(canvas, event);
      zoom(Math.exp(-event.deltaY / 300), u, v);
    }, { passive: false });
    canvas.tabIndex = 0;
  }

  async function readAt(canvas, event) {
    const at = pixel(place(canvas, event));
    const parts = [`row ${at[0]}, column ${at[1]}`];
    const unit = state.mode === "angle" ? "\u00b0" : "";
    if (["band", "error", "angle"].includes(state.mode)) {
      const shown = [...new Set(panels.flatMap((panel) => panel.show))].filter((i) => layers[i].role !== "guide");
      for (const i of shown.slice(0, state.side_by_side ? 0 : 2)) {
        const [of, band] = wanted(i)[0];
        const bytes = await planeOf(i, of, band);
        const [h, w] = layers[i].size;
        const byte = bytes[Math.floor((at[0] * h) / H) * w + Math.floor((at[1] * w) / W)];
        const [low, high] = of === "band" ? [layers[i].low[band], layers[i].high[band]] : [0, about[of].high];
        parts.push(`${layers[i].name} ${byte ? decoded(low, high, byte).toPrecision(3) + unit : "missing"}`);
      }
    }
    readout.textContent = parts.join(" \u00b7 ");
  }

  function wipeTo(event) {
    const box = handle.parentNode.getBoundingClientRect();
    set({ wipe: clip((event.clientX - box.left) / box.width, 0, 1) });
  }
  handle.addEventListener("pointerdown", (event) => {
    handle.setPointerCapture(event.pointerId);
    handle.onpointermove = wipeTo;
  });
  handle.addEventListener("pointerup", () => (handle.onpointermove = null));
  handle.addEventListener("pointercancel", () => (handle.onpointermove = null));
  handle.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
    if (step) set({ wipe: clip(state.wipe + step, 0, 1) });
  });
  zoomIn.onclick = () => zoom(1.6);
  zoomOut.onclick = () => zoom(1 / 1.6);
  fit.onclick = () => zoom(0);
  slider.oninput = () => {
    const still = ["band", "error"].includes(state.mode) ? state.mode : "band";
    set({ band: +slider.value, mode: still });
  };
  leftSelect.onchange = () => set({ left: +leftSelect.value });
  rightSelect.onchange = () => set({ right: +rightSelect.value });

  // ---- spectra --------------------------------------------------------------------------------------------------
  const across = wavelengths ?? Array.from({ length: bands }, (_, b) => b + 1);
  const order = across.map((_, b) => b).sort((a, b) => across[a] - across[b]);
  let spectra = [];
  let drawnAt;

  async function measure() {
    const at = state.point.join();
    if (!state.point.length || at === drawnAt) return;
    drawnAt = at;
    const found = await source.spectra(...state.point);
    if (at !== drawnAt) return;
    spectra = found;
    drawSpectra();
  }

  function angleTo(curve, truth) { // degrees
    let [ab, aa, bb] = [0, 0, 0];
    curve.forEach((value, b) => {
      ab += value * truth[b];
      aa += value * value;
      bb += truth[b] * truth[b];
    });
    return (180 / Math.PI) * Math.acos(clip(ab / Math.sqrt(aa * bb), -1, 1));
  }

  function drawSpectra() {
    if (!spectra.length) return;
    const [width, height] = [Math.max(240, plot.clientWidth), 270];
    const [left, right, top, bottom] = [52, 10, 10, 42];
    const shown = cubes.filter((i) => !hidden.has(i));
    const values = shown.flatMap((i) => spectra[i].filter((value) => value !== null));
    const [low, high] = [Math.min(0, ...values), Math.max(1e-3, ...values) * 1.04];
    const [first, last] = [across[order[0]], across[order.at(-1)]];
    const x = (value) => left + ((value - first) / (last - first || 1)) * (width - left - right);
    const y = (value) => height - bottom - ((value - low) / (high - low)) * (height - top - bottom);
    const parts = [];
    for (const tick of ticks(low, high, 5)) {
      parts.push(`<line class="grid-line" x1="${left}" x2="${width - right}" y1="${y(tick)}" y2="${y(tick)}"/>`);
      parts.push(`<text x="${left - 7}" y="${y(tick) + 4}" text-anchor="end">${+tick.toPrecision(6)}</text>`);
    }
    for (const tick of ticks(first, last, width < 420 ? 5 : 7)) {
      parts.push(`<line class="tick" x1="${x(tick)}" x2="${x(tick)}" y1="${height - bottom}" y2="${height - bottom + 4}"/>`);
      parts.push(`<text x="${x(tick)}" y="${height - bottom + 17}" text-anchor="middle">${+tick.toPrecision(6)}</text>`);
    }
    parts.push(`<line class="axis" x1="${left}" x2="${width - right}" y1="${height - bottom}" y2="${height - bottom}"/>`);
    const marked = { natural: about.natural, false: state.colour }[state.mode];
    const marks = state.mode === "angle" ? [] : marked ?? [state.band];
    marks.forEach((b, c) => {
      const colour = marked ? ["#d1281e", "#17924f", "#2b6fd6"][c] : "";
      const look = colour ? ` style="stroke: ${colour}"` : "";
      parts.push(`<line class="mark"${look} x1="${x(across[b])}" x2="${x(across[b])}" y1="${top}" y2="${height - bottom}"/>`);
    });
    for (const i of [...shown].sort((a, b) => (layers[b].role === "truth") - (layers[a].role === "truth"))) {
      let path = "";
      let pen = "M";
      for (const b of order) {
        const value = spectra[i][b];
        if (value === null) pen = "M";
        else {
          path += `${pen}${x(across[b]).toFixed(1)} ${y(value).toFixed(1)}`;
          pen = "L";
        }
      }
      parts.push(`<path class="${layers[i].role}" data-layer="${i}" d="${path}" style="stroke: ${layers[i].colour}; stroke-dasharray: ${layers[i].dash}"/>`);
    }
    const middle = (left + width - right) / 2;
    parts.push(`<text class="label" x="${middle}" y="${height - 6}" text-anchor="middle">${wavelengths ? "Wavelength (nm)" : "Band number"}</text>`);
    const centre = (top + height - bottom) / 2;
    parts.push(`<text class="label" x="14" y="${centre}" text-anchor="middle" transform="rotate(-90 14 ${centre})">${about.quantity}</text>`);
    plot.innerHTML = `<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">${parts.join("")}</svg>`;
    plot.pick = (event) => { // the band nearest to where the plot is clicked
      const at = event.clientX - plot.getBoundingClientRect().left;
      const near = order.reduce((best, b) => (Math.abs(x(across[b]) - at) < Math.abs(x(across[best]) - at) ? b : best));
      set({ band: near, mode: state.mode === "error" ? "error" : "band" });
    };
    heading.textContent = `Spectra at row ${state.point[0]}, column ${state.point[1]}`;
    const truth = cubes.find((i) => layers[i].role === "truth");
    legend.replaceChildren();
    for (const i of cubes) {
      const entry = node("button", "entry", legend, { type: "button", "aria-pressed": !hidden.has(i) });
      entry.title = hidden.has(i) ? "Show this curve" : "Hide this curve";
      entry.innerHTML = `<svg width="30" height="10"><path class="${layers[i].role}" d="M1 5H29" style="stroke: ${layers[i].colour}; stroke-dasharray: ${layers[i].dash}"/></svg>`;
      node("span", "name", entry).textContent = layers[i].name;
      if (truth !== undefined && i !== truth) {
        const angle = angleTo(spectra[i], spectra[truth]);
        node("span", "angle", entry).textContent = Number.isFinite(angle) ? `${angle.toFixed(1)}\u00b0` : "";
      }
      entry.onclick = () => {
        hidden.has(i) ? hidden.delete(i) : hidden.add(i);
        drawSpectra();
      };
    }
    if (truth !== undefined) node("div", "caption", legend).textContent = "Degrees: spectral angle to the ground truth.";
  }
  plot.addEventListener("pointerdown", (event) => {
    plot.setPointerCapture(event.pointerId);
    plot.onpointermove = plot.pick;
    plot.pick?.(event);
  });
  plot.addEventListener("pointerup", () => (plot.onpointermove = null));
  plot.addEventListener("pointercancel", () => (plot.onpointermove = null));

  // ---- captions -------------------------------------------------------------------------------------------------
  function drawScale() {
    const limit = limits[state.mode];
    scaleBar.hidden = !(limit || state.mode === "band");
    if (limit) {
      const unit = state.mode === "angle" ? "\u00b0" : "";
      const label = state.mode === "angle" ? "Spectral angle (degrees)" : `Absolute error (${about.quantity.toLowerCase()})`;
      const colours = Array.from({ length: 9 }, (_, k) => `rgb(${[...palette.slice(3 * Math.round((k * 255) / 8)).slice(0, 3)]})`);
      fillScale(colours, ["0", `${+(limit / 2).toPrecision(3)}${unit}`, `\u2265 ${limit}${unit}`], label);
      const select = node("select", "", scaleBar.querySelector(".scale-label"), { "aria-label": "Upper end of the scale" });
      const offered = [...new Set([...LIMITS.filter((n) => n <= 2 * about[state.mode].high && n >= about[state.mode].limit / 20), limit])];
      for (const n of offered.sort((a, b) => a - b)) select.add(new Option(`0 to ${n}${unit}`, n, false, n === limit));
      select.onchange = () => {
        limits[state.mode] = +select.value;
        refresh();
      };
    } else if (state.mode === "band") {
      const [black, white] = [layers[0].black[state.band], layers[0].white[state.band]];
      const at = (t) => (black + (white - black) * t * t).toPrecision(2);
      fillScale(["#000", "#fff"], [`\u2264 ${+at(0)}`, `${+at(0.5)}`, `\u2265 ${+at(1)}`], about.quantity);
    }
    const named = (list) => list.map((b) => (wavelengths ? Math.round(wavelengths[b]) : b + 1)).join(", ");
    const rgb = (list) => `${wavelengths ? `${named(list)} nm` : `Bands ${named(list)}`} as red, green, blue`;
    caption.textContent = {
      natural: `${about.natural ? rgb(about.natural) : ""}; square-root stretch.`,
      false: `${rgb(state.colour)}; square-root stretch.`,
      band: "Square-root stretch, the same for every image.",
      error: `Band ${bandName(state.band)}: |result \u2212 ground truth|, one scale for every image and band.`,
      angle: "Angle between the spectra of result and ground truth, all bands.",
    }[state.mode];
  }

  function fillScale(colours, labels, title) {
    scaleBar.replaceChildren();
    node("div", "scale-label", scaleBar).append(title);
    node("div", "ramp", scaleBar).style.background = `linear-gradient(to right, ${colours.join(", ")})`;
    const row = node("div", "scale-ticks", scaleBar);
    for (const label of labels) node("span", "", row).textContent = label;
  }

  function refresh() {
    readout.textContent = "";
    for (const [mode, button] of Object.entries(modeButtons)) button.setAttribute("aria-pressed", mode === state.mode);
    arrangementButtons.wipe.setAttribute("aria-pressed", !state.side_by_side);
    arrangementButtons.side.setAttribute("aria-pressed", !!state.side_by_side);
    slider.value = state.band;
    slider.style.setProperty("--share", `${(100 * state.band) / Math.max(1, bands - 1)}%`);
    bandLabel.textContent = `Band ${state.band + 1} of ${bands}${wavelengths ? ` \u00b7 ${+wavelengths[state.band].toFixed(1)} nm` : ""}`;
    triple.hidden = state.mode !== "false";
    selects.forEach((select, c) => (select.value = state.colour[c]));
    const can = shownLayers();
    const [left, right] = pair();
    for (const [select, chosen] of [[leftSelect, left], [rightSelect, right]]) {
      select.replaceChildren(...can.map((i) => new Option(layers[i].name, i, false, i === chosen)));
    }
    arrange();
    drawScale();
    draw();
    drawSpectra();
    measure();
  }

  const observer = new ResizeObserver(() => {
    draw();
    drawSpectra();
  });
  observer.observe(root);
  moved();
  refresh();
  return () => {
    observer.disconnect();
    for (const [event, hear] of Object.entries(heard)) model.off(event, hear);
    source.close?.();
  };
}

// ---- where planes and spectra come from ---------------------------------------------------------------------------
function fromKernel(model) {
  const waiting = new Map();
  const mine = Math.random().toString(36).slice(2); // several views of one model hear each other's answers
  let count = 0;
  const receive = (message, buffers) => {
    waiting.get(message.id)?.(message, buffers);
    waiting.delete(message.id);
  };
  model.on("msg:custom", receive);
  const ask = (request) =>
    new Promise((resolve, reject) => {
      const id = `${mine}-${count++}`;
      const late = setTimeout(() => reject(new Error("No answer from the kernel: run the cell again.")), 20000);
      waiting.set(id, (message, buffers) => {
        clearTimeout(late);
        message.problem ? reject(new Error(message.problem)) : resolve([message, buffers]);
      });
      model.send({ ...request, id });
    });
  return {
    plane: async (layer, of, band) => asBytes((await ask({ ask: "plane", layer, of, band }))[1][0]),
    spectra: async (row, column) => (await ask({ ask: "spectra", row, column }))[0].spectra,
    close: () => model.off("msg:custom", receive),
  };
}

// A model without a kernel: its values and planes are elements of the page.
export function fromPage(page) {
  const values = JSON.parse(page.getElementById("values").textContent);
  const { layers, size } = values.about;
  const plane = async (layer, of, band) => fromBase64(page.getElementById(`plane-${layer}-${of}-${band}`).textContent);
  const spectra = async (row, column) =>
    Promise.all(
      layers.map(async ({ role, low, high, size: [h, w] }, i) => {
        if (role === "guide") return null;
        const at = Math.floor((row * h) / size[0]) * w + Math.floor((column * w) / size[1]);
        const bytes = await Promise.all(low.map(async (_, b) => byteAt(page, `plane-${i}-band-${b}`, at)));
        return bytes.map((byte, b) => (byte ? low[b] + (high[b] - low[b]) * ((byte - 1) / STEPS) ** 2 : null));
      }),
    );
  return {
    get: (name) => values[name],
    set: (name, value) => (values[name] = value),
    on: () => {},
    save_changes: () => {},
    source: { plane, spectra },
  };
}

function byteAt(page, id, at) { // one byte of a plane, without decoding the rest
  const start = 4 * Math.floor(at / 3);
  return fromBase64(page.getElementById(id).firstChild.substringData(start, 4))[at % 3];
}

// ---- small things ---------------------------------------------------------------------------------------------------
function node(name, className, parent, attributes = {}) {
  const made = document.createElement(name);
  if (className) made.className = className;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent?.append(made);
  return made;
}

function segments(parent, entries, choose) {
  return Object.fromEntries(
    entries.map(([key, label]) => {
      const button = node("button", "", parent, { type: "button" });
      button.textContent = label;
      button.onclick = () => choose(key);
      return [key, button];
    }),
  );
}

function clip(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((n) => n * power >= rough) ?? 10);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
  return found;
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

function asBytes(buffer) {
  return ArrayBuffer.isView(buffer) ? new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength) : new Uint8Array(buffer);
}

export default { render };
