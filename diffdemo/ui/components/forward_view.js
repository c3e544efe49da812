// A picture on its way into noise. A message is {of, t, x_t} and, for a picture that is new on display, also {x0, eps, film:
// {t: [...], pictures}, stops, curves, size, decoded}: pictures are base64 of uint8 RGB, curves base64 of float32:
// sqrt(alpha_bar), sqrt(1 - alpha_bar) and SNR, one after the other, for every t. Those of the film at the levels `stops` are
// in the strip. Moving the slider shows the film's nearest picture and triggers "input", for the exact one. Beside it stands what
// the viewer below makes of it.

const root = element.querySelector(".forward_view");
let now = null; // {of, t, curves: {signal, noise, snr}, last, film: [{t, bytes}], size}

const equation = make("div", "equation");
const canvases = {};
const numbers = {};

function operand(key, parts, meaning) {
  const figure = make("figure", `operand ${key}`);
  const caption = make("figcaption");
  caption.append(parts, make("span", "meaning", meaning));
  canvases[key] = make("canvas");
  canvases[key].setAttribute("role", "img");
  canvases[key].setAttribute("aria-label", meaning);
  figure.append(caption, canvases[key]);
  return figure;
}

function factor(key, sign, root_of) {
  const node = make("div", `factor ${key}`);
  numbers[key] = make("output", "number");
  node.append(make("span", "sign", sign), numbers[key], make("span", "root", root_of), make("span", "sign", "×"));
  return node;
}

function sign(key, text) {
  const node = make("div", `factor ${key}`);
  node.append(make("span", "sign", text));
  return node;
}

const eps = make("span", "symbol", "ε");
equation.append(
  factor("signal", "", "√ᾱₜ"),
  operand("x0", symbol({ letter: "x", index: "0" }), "the original"),
  factor("noise", "+", "√(1 − ᾱₜ)"),
  operand("eps", eps, "the noise"),
  sign("equals", "="),
  operand("x_t", symbol({ letter: "x", index: "t" }), "the noisy picture"),
  sign("back", "→"),
  operand("denoised", symbol({ letter: "x̂", index: "0" }), "denoised"),
);
canvases.denoised.id = "forward-viewer-mirror"; // see viewer.js
const strip = make("div", "strip");
const slider = make("input", "level");
slider.type = "range";
slider.min = slider.value = "0";
slider.setAttribute("aria-label", "Noise level t");
const plot = make("div", "snr-plot");
const reading = make("output", "reading");
const note = make("p", "decoded-note");
const other = make("p", "other-note");
other.setAttribute("role", "status");
root.append(equation, reading, strip, slider, plot, note, other);

// The curve of log SNR over t, and how to move its cursor.
let moveCursor = () => {};
function drawCurve({ snr }) {
  const logs = Array.from(snr, Math.log10);
  const [top, bottom] = [Math.ceil(logs[0]), Math.floor(logs[logs.length - 1])];
  const x = (t) => (100 * t) / (logs.length - 1);
  const y = (log) => (100 * (top - log)) / (top - bottom);
  const svg = vector("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" });
  const cursor = vector("line", { y1: 0, y2: 100, class: "cursor" });
  const points = logs.map((log, t) => `${x(t).toFixed(2)},${y(log).toFixed(2)}`).join(" ");
  svg.append(
    vector("line", { x1: 0, x2: 100, y1: y(0), y2: y(0), class: "even" }),
    vector("polyline", { points, class: "snr-curve" }),
    cursor,
  );
  const dot = make("span", "dot");
  const even = make("span", "even-label", "SNR = 1: √ᾱₜ = √(1 − ᾱₜ)");
  even.style.top = `${y(0)}%`;
  const name = make("span", "snr-label", "signal / noise, logarithmic");
  plot.replaceChildren(svg, dot, even, name);
  moveCursor = (t) => {
    cursor.setAttribute("x1", x(t));
    cursor.setAttribute("x2", x(t));
    dot.style.left = `${x(t)}%`;
    dot.style.top = `${y(logs[t])}%`;
  };
}

// What the viewer below shows of its guess, which is the denoised picture in the end.
function showDenoised() {
  const shown = document.querySelector("#forward-viewer .x0 canvas");
  if (!shown?.width) return;
  [canvases.denoised.height, canvases.denoised.width] = [shown.height, shown.width];
  canvases.denoised.getContext("2d").drawImage(shown, 0, 0);
}

// What is denoised below stays until the next run; if it did not begin with the state above, this says so.
function compare() {
  const below = document.querySelector("#forward-viewer .viewer");
  if (!now || !below?.dataset.origin) return;
  const differs = below.dataset.origin !== `${now.of}@${now.t}`;
  for (const node of [below, canvases.denoised]) node.classList.toggle("of-another", differs);
  const sentence = "What is denoised below began with another state than this. Press Denoise from here.";
  if (differs !== Boolean(other.textContent)) other.textContent = differs ? sentence : "";
}

function nearest(t) {
  return now.film.reduce((best, frame) => (Math.abs(frame.t - t) < Math.abs(best.t - t) ? frame : best));
}

function level(t) {
  now.t = t;
  slider.value = String(t);
  const { signal, noise, snr } = now.curves;
  numbers.signal.textContent = signal[t].toFixed(3);
  numbers.noise.textContent = noise[t].toFixed(3);
  reading.replaceChildren(
    ...[
      ["t", `${t} of ${now.last}`],
      ["signal / noise", significant(snr[t])],
      ["left of the picture's variance", `${significant(100 * signal[t] ** 2)} %`],
    ].map(([name, value]) => {
      const item = make("span", "item", `${name} `);
      item.append(make("b", "", value));
      return item;
    }),
  );
  slider.setAttribute("aria-valuetext", `t = ${t}, signal to noise ${significant(snr[t])}`);
  moveCursor(t);
  for (const button of strip.children) button.setAttribute("aria-pressed", String(Number(button.dataset.t) === t));
  root.dataset.asked = String(t);
  compare();
}

function go(t) {
  level(t);
  draw([canvases.x_t], nearest(t).bytes, now.size);
  trigger("input");
}

function begin(message) {
  const curves = new Float32Array(unpack(message.curves).buffer);
  const total = curves.length / 3;
  const [signal, noise, snr] = [0, 1, 2].map((row) => curves.subarray(row * total, (row + 1) * total));
  const bytes = unpack(message.film.pictures);
  const one = bytes.length / message.film.t.length;
  const film = message.film.t.map((t, place) => ({ t, bytes: bytes.subarray(place * one, (place + 1) * one) }));
  now = { of: message.of, t: message.t, curves: { signal, noise, snr }, last: total - 1, film, size: message.size };
  slider.max = String(now.last);
  for (const key of ["x_t", "x0", "eps"]) [canvases[key].height, canvases[key].width] = message.size;
  for (const key of ["x0", "eps"]) draw([canvases[key]], unpack(message[key]), message.size);
  const stops = film.filter(({ t }) => message.stops.includes(t));
  strip.replaceChildren(
    ...stops.map(({ t, bytes }) => {
      const button = make("button", "stop");
      const canvas = make("canvas");
      [canvas.height, canvas.width] = message.size;
      draw([canvas], bytes, message.size);
      button.type = "button";
      button.dataset.t = String(t);
      button.setAttribute("aria-label", `Go to t = ${t}`);
      button.append(canvas, make("span", "stop-t", String(t)));
      button.addEventListener("click", () => go(t));
      return button;
    }),
  );
  note.textContent = message.decoded
    ? "This model hides the picture's 128 latent numbers in noise, not its pixels; shown is what they decode to."
    : "";
  drawCurve(now.curves);
  root.dataset.of = message.of;
  delete root.dataset.shown; // of the picture before
  level(message.t);
}

function receive() {
  const message = props.value;
  if (!message) return;
  if (message.x0) {
    const moved = now && now.t !== message.t; // the slider, while this picture was on its way: it keeps its place
    const t = moved ? now.t : message.t;
    begin(message);
    if (moved && t <= now.last) return go(t);
  } else if (!now || message.of !== now.of || message.t !== now.t) return; // the slider or the picture has moved on
  draw([canvases.x_t], unpack(message.x_t), now.size);
  root.dataset.shown = String(message.t);
}

document.addEventListener("begun", compare);
const way = document.querySelector("#forward-viewer");
if (way) new MutationObserver(showDenoised).observe(way, { subtree: true, attributeFilter: ["data-shown", "data-run"] });
slider.addEventListener("input", () => now && go(Number(slider.value)));
watch("value", receive);
receive();
