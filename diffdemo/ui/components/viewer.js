// Gradio runs this once per viewer, with `element` (its root), `props` and `watch`.
// A message is {run, state, lanes: [{title, detail, seeds, steps, size}], frames: {index: [frame or null, ...]}} with one frame a
// lane: {step, t, snr, nfe, ms, seconds, x_t, x0}, its pictures as base64 of uint8 RGB. {stopped: true} ends a run early.

const REPLAY_MS = 70;
const PANELS = [
  { key: "x_t", letter: "x", index: "t", caption: "the noisy picture" },
  { key: "x0", letter: "x", index: "0", caption: "the network's guess" },
];
const STATS = [
  ["step", "step", (frame, lane) => `${frame.step} / ${lane.steps}`],
  ["t", "training step t", (frame) => String(frame.t)],
  ["snr", "signal / noise", (frame) => significant(frame.snr)],
  ["nfe", "network evaluations", (frame) => String(frame.nfe)],
  ["ms", "ms per step", (frame) => (frame.ms < 10 ? frame.ms.toFixed(1) : frame.ms.toFixed(0))],
  ["seconds", "elapsed", (frame) => `${frame.seconds.toFixed(1)} s`],
];

const root = element.querySelector(".viewer");
let run = null; // {id, state, lanes, frames: Map from index to frames, order: sorted indices}
let shown = 0; // position in run.order
let following = true; // whether new frames are shown as they come
let replay = null;
let pending = null; // the next drawing, if one is due

function make(tag, className = "", text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

function significant(number) {
  if (number === 0 || (Math.abs(number) >= 0.001 && Math.abs(number) < 10000)) {
    return String(Number(number.toPrecision(2)));
  }
  const [digits, exponent] = number.toExponential(1).split("e");
  const superscript = [...String(Number(exponent))].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");
  return `${digits}·10${superscript}`;
}

const lanesNode = make("div", "lanes");
const controls = make("div", "controls");
const replayButton = make("button", "replay", "▶ Replay");
const scrubber = make("input", "scrubber");
const position = make("output", "position");
const status = make("div", "status", "A finished run appears here in a moment.");
replayButton.type = "button";
scrubber.type = "range";
scrubber.min = scrubber.max = scrubber.value = "0";
scrubber.setAttribute("aria-label", "Step of the run on display");
status.setAttribute("role", "status");
controls.append(replayButton, scrubber, position);
root.append(lanesNode, controls, status);
controls.hidden = true;

function buildLane(lane) {
  const node = make("section", "lane");
  const panels = make("div", "panels");
  lane.node = node;
  lane.canvases = {};
  lane.stats = {};
  for (const panel of PANELS) {
    const figure = make("figure", `panel ${panel.key}`);
    const caption = make("figcaption");
    const symbol = make("span", "symbol", panel.letter);
    symbol.append(make("sub", "", panel.index));
    caption.append(symbol, make("span", "meaning", panel.caption));
    const grid = make("div", "grid");
    grid.style.setProperty("--columns", lane.seeds.length === 1 ? 1 : lane.seeds.length <= 4 ? 2 : 3);
    lane.canvases[panel.key] = lane.seeds.map((seed) => {
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
    panels.append(figure);
  }
  const stats = make("dl", "stats");
  for (const [key, name] of STATS) {
    const cell = make("div", `stat ${key}`);
    lane.stats[key] = make("dd");
    cell.append(make("dt", "", name), lane.stats[key]);
    stats.append(cell);
  }
  const heading = make("h3", "lane-title", lane.title);
  heading.append(make("span", "detail", lane.detail));
  node.append(heading, panels, stats);
  return node;
}

function begin(message) {
  stopReplay();
  run = { id: message.run, state: message.state, lanes: message.lanes.map((l) => ({ ...l })), frames: new Map(), order: [] };
  following = true;
  lanesNode.replaceChildren(...run.lanes.map(buildLane));
  lanesNode.classList.toggle("several", run.lanes.length > 1);
  controls.hidden = false;
}

function draw(canvases, packed, [height, width]) {
  const bytes = atob(packed);
  let from = 0;
  for (const canvas of canvases) {
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    for (let to = 0; to < image.data.length; to += 4) {
      image.data[to] = bytes.charCodeAt(from++);
      image.data[to + 1] = bytes.charCodeAt(from++);
      image.data[to + 2] = bytes.charCodeAt(from++);
      image.data[to + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }
}

// A lane that needs fewer steps than the others keeps its last frame.
function frameOf(laneNumber, place) {
  while (place > 0 && !run.frames.get(run.order[place])[laneNumber]) place -= 1;
  return run.frames.get(run.order[place])[laneNumber];
}

function show(place) {
  shown = Math.max(0, Math.min(place, run.order.length - 1));
  run.lanes.forEach((lane, number) => {
    const frame = frameOf(number, shown);
    for (const panel of PANELS) draw(lane.canvases[panel.key], frame[panel.key], lane.size);
    for (const [key, , text] of STATS) lane.stats[key].textContent = text(frame, lane);
    const finished = frame.step === lane.steps;
    lane.node.classList.toggle("finished", finished);
    lane.node.querySelector(".x0 .meaning").textContent = finished ? "the finished picture" : PANELS[1].caption;
  });
  scrubber.max = String(run.order.length - 1);
  scrubber.value = String(shown);
  const steps = Math.max(...run.lanes.map((lane) => lane.steps));
  position.textContent = `step ${run.order[shown] + 1} of ${steps}`;
  scrubber.setAttribute("aria-valuetext", position.textContent);
  root.dataset.shown = String(run.order[shown]);
}

function describe() {
  const texts = {
    running: "Denoising …",
    done: "Finished. Drag the slider to go through the run again.",
    stopped: "Stopped. What was computed so far is here to go through.",
    late: "Stopped at this server's time limit. Choose fewer steps or pictures.",
  };
  status.textContent = texts[run.state];
  root.dataset.state = run.state;
  root.dataset.run = run.id;
  root.dataset.frames = String(run.order.length);
}

function receive() {
  const message = props.value;
  if (!message) return;
  if (message.stopped) {
    if (run && run.state === "running") {
      run.state = "stopped";
      describe();
    }
    return;
  }
  const fresh = !run || run.id !== message.run;
  const first = !run;
  if (fresh) begin(message);
  run.state = message.state;
  for (const [index, frames] of Object.entries(message.frames)) run.frames.set(Number(index), frames);
  run.order = [...run.frames.keys()].sort((a, b) => a - b);
  if (!pending) pending = requestAnimationFrame(refresh);
  if (fresh && !first && message.state === "running") reveal();
}

// Drawing waits for the browser's next frame, so that a slow one skips pictures rather than falling behind.
function refresh() {
  pending = null;
  show(following ? run.order.length - 1 : shown);
  describe();
}

// On a phone the button is far below the pictures.
function reveal() {
  const box = root.getBoundingClientRect();
  if (box.top < 0 || box.top > window.innerHeight * 0.6) {
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    root.scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
  }
}

function stopReplay() {
  clearInterval(replay);
  replay = null;
  replayButton.textContent = "▶ Replay";
}

scrubber.addEventListener("input", () => {
  stopReplay();
  following = Number(scrubber.value) === run.order.length - 1;
  show(Number(scrubber.value));
});

replayButton.addEventListener("click", () => {
  if (replay) return stopReplay();
  following = false;
  show(shown === run.order.length - 1 ? 0 : shown);
  replayButton.textContent = "❚❚ Pause";
  replay = setInterval(() => {
    show(shown + 1);
    if (shown < run.order.length - 1) return;
    following = true;
    stopReplay();
  }, REPLAY_MS);
});

watch("value", receive);
receive();
