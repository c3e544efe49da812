// Gradio runs this once per viewer, with `element` (its root), `props` and `watch`.
// A message is {run, state, lanes: [{title, detail, origin, seeds, steps, size, device, alpha_bar}], frames: {index: [frame or null, ...]}}
// with one frame a lane: {step, t, snr, nfe, ms, seconds, x_t, x0}, its pictures as base64 of uint8 RGB; alpha_bar is
// base64 of float32. {stopped: true} ends a run early.

const REPLAY_MS = 70;
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

function buildLane(lane, alone) {
  const node = make("section", "lane");
  const panels = make("div", "panels");
  lane.node = node;
  lane.canvases = {};
  lane.stats = {};
  for (const panel of PANELS) {
    if (panel.key === "change" && !alone) continue;
    const { figure, canvases } = buildPanel(panel, lane);
    lane.canvases[panel.key] = canvases;
    panels.append(figure);
  }
  if (alone) {
    const aside = make("div", "aside");
    lane.curve = buildCurve(lane);
    lane.note = make("p", "note");
    panels.lastChild.append(lane.note);
    aside.append(panels.lastChild, lane.curve.figure);
    panels.append(aside);
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
  lanesNode.replaceChildren(...run.lanes.map((lane) => buildLane(lane, run.lanes.length === 1)));
  lanesNode.classList.toggle("several", run.lanes.length > 1);
  controls.hidden = false;
  root.dataset.origin = run.lanes[0].origin;
  root.dispatchEvent(new Event("begun", { bubbles: true }));
}

// A lane that needs fewer steps than the others keeps its last frame.
function frameOf(laneNumber, place) {
  while (place > 0 && !run.frames.get(run.order[place])[laneNumber]) place -= 1;
  return run.frames.get(run.order[place])[laneNumber];
}

// What the step at `place` changes is known when the next one is there; until then, what the step before it changed.
function showChange(lane, number, place) {
  const frame = frameOf(number, place);
  const finished = frame.step === lane.steps;
  let [before, after] = [frame, { step: frame.step + 1, x_t: frame.x0 }];
  if (!finished && place + 1 < run.order.length) after = frameOf(number, place + 1);
  else if (!finished) [before, after] = [frameOf(number, Math.max(0, place - 1)), frame];
  const { factor, bytes } = difference(before.x_t, after.x_t);
  draw(lane.canvases.change, bytes, lane.size);
  const steps = after.step - before.step;
  lane.node.querySelector(".change .meaning").textContent =
    steps > 1 ? `the change of ${steps} steps` : PANELS[2].caption;
  lane.note.textContent = `Grey: no change. Colours: what is added, drawn ${factor} × as strong.`;
}

function show(place) {
  shown = Math.max(0, Math.min(place, run.order.length - 1));
  run.lanes.forEach((lane, number) => {
    const frame = frameOf(number, shown);
    for (const panel of ["x_t", "x0"]) draw(lane.canvases[panel], frame[panel], lane.size);
    if (lane.curve) {
      showChange(lane, number, shown);
      lane.curve.move(frame);
    }
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

// On a CPU a run may take a while; whoever waits should know for how long, and why.
function remaining() {
  if (!run.order.length) return "";
  const seconds = run.lanes.reduce((sum, lane, number) => {
    const frame = frameOf(number, run.order.length - 1);
    return sum + (frame.ms / 1000) * (lane.steps - frame.step);
  }, 0);
  if (seconds < 5) return "";
  return `about ${5 * Math.ceil(seconds / 5)} s to go${run.lanes[0].device === "cpu" ? ", because there is no GPU here" : ""}.`;
}

function describe() {
  const texts = {
    running: `Denoising … ${remaining()}`,
    done: "Finished. Drag the slider to go through the run again.",
    stopped: "Stopped. What was computed so far is here to go through.",
    late: "Stopped at this server's time limit. Choose fewer steps or pictures.",
  };
  if (status.textContent !== texts[run.state]) status.textContent = texts[run.state];
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
  for (const [index, frames] of Object.entries(message.frames)) {
    const pixels = (frame) => frame && { ...frame, x_t: unpack(frame.x_t), x0: unpack(frame.x0) };
    if (!run.frames.has(Number(index))) run.frames.set(Number(index), frames.map(pixels));
  }
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
