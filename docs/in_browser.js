// Faults of the open page, as lines of text: what only a browser can see.

const named = (element) => {
  const id = element.id ? `#${element.id}` : "";
  const kind = typeof element.className === "string" ? element.className.trim().split(/\s+/)[0] : "";
  return `<${element.tagName.toLowerCase()}${id}${kind ? "." + kind : ""}>`;
};

const shown = (element) => {
  if (!element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true })) return false;
  const box = element.getBoundingClientRect();
  return box.width > 0 && box.height > 0;
};

// Let colours change at once when the mode changes.
const atOnce = () => {
  const style = document.createElement("style");
  style.textContent = "*, *::before, *::after { transition: none !important; animation: none !important; }";
  document.head.append(style);
};

// Pictures that did not load.
const brokenPictures = async () => {
  const found = [];
  for (const image of document.images) {
    image.loading = "eager";
    try {
      await image.decode();
    } catch {
      found.push(`broken picture ${image.getAttribute("src")}`);
    }
  }
  return found;
};

// What makes a narrow page scroll sideways: elements that reach over its right edge, unless an ancestor scrolls or hides it.
const overflowing = () => {
  const edge = document.documentElement.clientWidth;
  const over = (element) => {
    const { left, right } = element.getBoundingClientRect();
    const spills = element.clientWidth > 0 && getComputedStyle(element).overflowX === "visible";
    return Math.max(right, spills ? left + element.scrollWidth : right) > edge + 1;
  };
  const kept = (element) => {
    for (let up = element.parentElement; up && up !== document.body; up = up.parentElement)
      if (getComputedStyle(up).overflowX !== "visible" && !over(up)) return true;
    return false;
  };
  const main = document.querySelector("main") ?? document.body;
  const found = [...main.querySelectorAll("*")].filter((element) => shown(element) && over(element) && !kept(element));
  const innermost = found.filter((element) => !found.some((other) => other !== element && element.contains(other)));
  const lines = innermost.map((element) => `${named(element)} reaches over the right edge`);
  if (document.documentElement.scrollWidth > edge + 1) lines.push("the page scrolls sideways");
  return lines;
};

const parsed = (colour) => {
  // any CSS colour as red, green, blue, opacity, by drawing it
  const canvas = (parsed.canvas ??= new OffscreenCanvas(1, 1));
  const context = (parsed.context ??= canvas.getContext("2d", { willReadFrequently: true }));
  context.clearRect(0, 0, 1, 1);
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [red, green, blue, opacity] = context.getImageData(0, 0, 1, 1).data;
  return [red, green, blue, opacity / 255];
};

const over = (above, below) => below.map((value, channel) => above[3] * above[channel] + (1 - above[3]) * value);

// The colour behind an element, from its ancestors' backgrounds.
const background = (element) => {
  const layers = [];
  for (let up = element; up; up = up.parentElement) layers.push(parsed(getComputedStyle(up).backgroundColor));
  return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
};

// WCAG's relative luminance and contrast.
const luminance = (colour) => {
  const [red, green, blue] = colour
    .slice(0, 3)
    .map((value) => (value <= 10.3 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const contrast = (one, other) => {
  const [dark, bright] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (bright + 0.05) / (dark + 0.05);
};

// Texts whose contrast with what is behind them is below `least`.
const faint = (least) => {
  const found = new Map();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const text = texts.currentNode.textContent.trim();
    if (!text || !shown(element) || element.closest("svg, script, style, noscript")) continue;
    const behind = background(element);
    const ink = over(parsed(getComputedStyle(element).color), behind);
    const ratio = contrast(ink, behind);
    const kind = named(element);
    if (ratio < least && !found.has(kind)) found.set(kind, `${kind} ${text.slice(0, 30)}: contrast ${ratio.toFixed(1)}`);
  }
  return [...found.values()];
};

// Pictures with transparent parts on a dark background: their black ink cannot be read.
const transparentOnDark = async () => {
  const found = [];
  for (const image of document.querySelectorAll("main img")) {
    if (!shown(image) || luminance(background(image)) > 0.5) continue;
    const canvas = new OffscreenCanvas(32, 32);
    const context = canvas.getContext("2d");
    await image.decode();
    context.drawImage(image, 0, 0, 32, 32);
    const data = context.getImageData(0, 0, 32, 32).data;
    const clear = data.filter((value, place) => place % 4 === 3 && value < 128).length;
    if (clear > 0.02 * 32 * 32) found.push(`transparent picture ${image.getAttribute("src")} on a dark background`);
  }
  return found;
};
