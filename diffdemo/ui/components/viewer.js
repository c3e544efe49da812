// Gradio runs this once per viewer, with `element` (its root), `props` and `watch`.
// A message is {run, state, lanes: [{title, detail, origin, seeds, steps, size, device, alpha_bar}], frames: {index: [frame or null, ...]}}
// with one frame a lane: {step, t, snr, nfe, ms, seconds, x_t, x0}, its pictures as base64 of uint8 RGB; alpha_bar is
// base64 of float32. {stopped: number} ends this run and those before it.

const ALIKE = 5; // of 255: pictures that differ by less in the mean look the same
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
let pending = null; // the next drawing, if one is due
let stopped = 0; // runs up to this one are
let opening = null; // sees when the first run comes into sight

const lanesNode = make("div", "lanes");
const film = make("div", "film");
const status = make("div", "status", "A finished run appears here in a moment.");
const player = buildPlayer(goTo, () => shown, () => run?.order ?? []);
status.setAttribute("role", "status");
root.tabIndex = -1; // a click on it, and the keys go through the run
root.append(lanesNode, film, player.node, status);
player.node.hidden = true;

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
  panels.append(stats);
  const heading = make("h3", "lane-title", lane.title);
  heading.append(make("span", "detail", lane.detail));
  node.append(heading, panels);
  return node;
}

function begin(message) {
  player.pause();
  opening?.disconnect();
  run = { id: message.run, state: "running", lanes: message.lanes.map((l) => ({ ...l })), frames: new Map(), order: [] };
  run.steps = Math.max(...run.lanes.map((lane) => lane.steps));
  run.strip = buildStrip(run.lanes, run.steps, (index) => player.move(run.order.indexOf(index)));
  following = true;
  lanesNode.replaceChildren(...run.lanes.map((lane) => buildLane(lane, run.lanes.length === 1)));
  lanesNode.classList.toggle("several", run.lanes.length > 1);
  film.replaceChildren(run.strip.node);
  player.node.hidden = false;
  root.dataset.origin = run.lanes[0].origin;
  root.dispatchEvent(new Event("begun", { bubbles: true }));
}

// What is there before anyone has clicked plays once, when it, or what mirrors it, comes into sight; then it rests at its end.
function openWith() {
  following = false;
  opening = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    opening.disconnect();
    if (!following && shown === 0) player.play(OPENING_MS);
  }, { rootMargin: "-25% 0px" });
  opening.observe(document.getElementById(`${root.closest(".block[id]").id}-mirror`) ?? lanesNode);
}

// A lane that needs fewer steps than the others keeps its last frame.
function frameOf(laneNumber, place) {
  while (place > 0 && !run.frames.get(run.order[place])[laneNumber]) place -= 1;
  return run.frames.get(run.order[place])[laneNumber];
}

// How the guess differs from the one before.
function showChange(lane, number, place) {
  const frame = frameOf(number, place);
  const before = frameOf(number, Math.max(0, place - 1));
  const { factor, bytes } = difference(before.x0, frame.x0);
  draw(lane.canvases.change, bytes, lane.size);
  const steps = frame.step - before.step;
  lane.node.querySelector(".change .meaning").textContent =
    steps > 1 ? `what ${steps} steps changed in it` : PANELS[2].caption;
  lane.note.textContent = steps
    ? `Grey: no change. Colours: what was added to the guess, drawn ${factor} × as strong.`
    : "Grey: this is the first guess, and the next step will change it.";
}

function describeLane(lane, frame) {
  const finished = frame.step === lane.steps;
  const alike = distance(frame.x_t, frame.x0) < ALIKE;
  const noisy = alike ? "the same by now, to the eye" : finished ? "before the last step" : PANELS[0].caption;
  lane.node.classList.toggle("finished", finished);
  lane.node.querySelector(".x_t .meaning").textContent = noisy;
  lane.node.querySelector(".x0 .meaning").textContent = finished ? "the finished picture" : PANELS[1].caption;
  for (const [key, , text] of STATS) lane.stats[key].textContent = text(frame, lane);
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
    describeLane(lane, frame);
  });
  const index = run.order[shown];
  player.display(index, run.steps);
  run.strip.mark(index);
  root.dataset.shown = String(index);
}

function goTo(place) {
  following = place === run.order.length - 1;
  show(place);
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
    done: "Finished. Replay it, drag the bar, or go step by step with the arrow keys.",
    stopped: "Stopped. What was computed so far is here to go through.",
    late: "Stopped at this server's time limit. Choose fewer steps or pictures.",
  };
  if (status.textContent !== texts[run.state]) status.textContent = texts[run.state];
  root.dataset.state = run.state;
  root.dataset.run = run.id;
  root.dataset.frames = String(run.order.length);
}

// Numbers of runs rise, so that what comes late is known: it neither revives a run nor replaces a newer one.
function receive() {
  const message = props.value;
  if (!message) return;
  if (message.stopped) stopped = Math.max(stopped, message.stopped);
  else if (run && Number(message.run) < Number(run.id)) return;
  else take(message);
  if (run?.state === "running" && Number(run.id) <= stopped) {
    run.state = "stopped";
    describe();
  }
}

function take(message) {
  const fresh = !run || run.id !== message.run;
  const first = !run;
  if (fresh) begin(message);
  if (run.state === "running" || message.state !== "running") run.state = message.state;
  for (const [index, frames] of Object.entries(message.frames)) {
    const pixels = (frame) => frame && { ...frame, x_t: unpack(frame.x_t), x0: unpack(frame.x0) };
    if (!run.frames.has(Number(index))) run.frames.set(Number(index), frames.map(pixels));
  }
  run.order = [...run.frames.keys()].sort((a, b) => a - b);
  if (!pending) pending = requestAnimationFrame(refresh);
  if (fresh && first && message.state === "done" && !calm()) openWith();
  if (fresh && !first && message.state === "running") reveal();
}

// Drawing waits for the browser's next frame, so that a slow one skips pictures rather than falling behind.
function refresh() {
  pending = null;
  if (!run.order.length) return;
  show(following ? run.order.length - 1 : shown);
  run.strip.fill(run.order, (index) => run.lanes.map((_, number) => frameOf(number, run.order.indexOf(index))));
  describe();
}

function calm() {
  return window.matchMedia("(prefers-reduced-motion: reduce)").matches;
}

// On a phone the button is far below the pictures.
function reveal() {
  const box = root.getBoundingClientRect();
  if (box.top < 0 || box.top > window.innerHeight * 0.6) {
    root.scrollIntoView({ block: "start", behavior: calm() ? "auto" : "smooth" });
  }
}

watchQueue((words) => {
  root.classList.toggle("waiting", words !== "");
  if (words) status.textContent = words;
  else if (run) describe();
});
watch("value", receive);
receive();
