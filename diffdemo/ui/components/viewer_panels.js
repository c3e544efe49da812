// What the viewer's panels draw; like pure.js, this comes before each component's own script.

const PANELS = [
  { key: "x_t", letter: "x", index: "t", caption: "the noisy picture" },
  { key: "x0", letter: "x", index: "0", caption: "the network's guess" },
  { key: "change", letter: "x", index: "0", prefix: "Δ", caption: "what this step changed in it" },
];
const SVG = "http://www.w3.org/2000/svg";

function make(tag, className = "", text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

// What the server reads off the page as the newest with this event (wiring.answer_newest says why).
function keep(event, detail) {
  root.asked = { ...root.asked, [event]: detail };
  root.dataset.asks = "";
}

// Trigger an event that carries nothing but what is kept.
function ask(event, detail) {
  keep(event, detail);
  trigger(event);
}

function symbol({ letter, index, prefix = "" }) {
  const node = make("span", "symbol", prefix);
  node.append(make("span", "letter", letter), make("sub", "", index));
  return node;
}

function buildPanel(panel, lane) {
  const figure = make("figure", `panel ${panel.key}`);
  const caption = make("figcaption");
  caption.append(symbol(panel), make("span", "meaning", panel.caption));
  const grid = make("div", "grid");
  grid.style.setProperty("--columns", lane.seeds.length === 1 ? 1 : lane.seeds.length <= 4 ? 2 : 3);
  const canvases = lane.seeds.map((seed) => {
    const cell = make("div", "cell");
    const canvas = make("canvas");
    [canvas.height, canvas.width] = lane.size;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${panel.key} of seed ${seed}: ${panel.caption}`);
    const label = make("span", "seed", `seed ${seed}`);
    label.title = label.textContent;
    cell.append(canvas, label);
    grid.append(cell);
    return canvas;
  });
  figure.append(caption, grid);
  return { figure, canvases };
}

// `bytes` are uint8 RGB of all pictures, one after the other.
function draw(canvases, bytes, [height, width]) {
  let from = 0;
  for (const canvas of canvases) {
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    for (let to = 0; to < image.data.length; to += 4) {
      image.data[to] = bytes[from++];
      image.data[to + 1] = bytes[from++];
      image.data[to + 2] = bytes[from++];
      image.data[to + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }
}

function vector(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

// alpha_bar over t, from the noisiest step on the left to the clean picture on the right, as a run goes.
function buildCurve(lane) {
  const levels = new Float32Array(unpack(lane.alpha_bar).buffer);
  const last = levels.length - 1;
  const x = (t) => 100 * (1 - t / last);
  const y = (level) => 100 * (1 - level);
  const points = Array.from(levels, (level, t) => `${x(t).toFixed(2)},${y(level).toFixed(2)}`).reverse();
  const figure = make("figure", "panel curve");
  const caption = make("figcaption");
  const value = make("span", "meaning");
  caption.append(symbol({ letter: "ᾱ", index: "t" }), value);
  const plot = make("div", "plot");
  const svg = vector("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" });
  const line = vector("line", { y1: 0, y2: 100, class: "cursor" });
  svg.append(vector("polygon", { points: `0,100 ${points.join(" ")} 100,100`, class: "picture-share" }), line);
  const dot = make("span", "dot");
  plot.append(svg, dot, make("span", "share noise", "noise"), make("span", "share picture", "picture"));
  const axis = make("div", "axis");
  axis.append(make("span", "", `t = ${last}`), make("span", "", "0"));
  figure.append(caption, plot, axis);
  const move = ({ t }) => {
    line.setAttribute("x1", x(t));
    line.setAttribute("x2", x(t));
    dot.style.left = `${x(t)}%`;
    dot.style.top = `${y(levels[t])}%`;
    value.textContent = `${significant(100 * levels[t])} % of the picture's variance`;
    figure.dataset.t = String(t);
  };
  return { figure, move };
}
