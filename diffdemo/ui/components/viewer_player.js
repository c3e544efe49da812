// What goes through the frames of the run on display: a bar over its steps, a replay, single steps, a film strip, keys.

const OPENING_MS = 4000; // a run's first sight
const SPEEDS = [0.5, 1, 2];
const KEYS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 };

// `go(place)` shows a frame, `where()` is the place on display, `order()` the indices of the frames there are.
function buildPlayer(go, where, order) {
  const node = make("div", "controls");
  const replay = button("replay", "▶ Replay");
  const scrubber = make("input", "scrubber");
  const position = make("output", "position");
  const back = button("single", "◀", "One step back");
  const forth = button("single", "▶", "One step on");
  const speed = make("select", "speed");
  let timer = null;

  scrubber.type = "range";
  scrubber.min = scrubber.max = scrubber.value = "0";
  scrubber.setAttribute("aria-label", "Step of the run on display");
  speed.setAttribute("aria-label", "Speed of the replay");
  for (const times of SPEEDS) speed.append(new Option(`${times} ×`, times, times === 1, times === 1));
  node.append(replay, scrubber, position, back, forth, speed);

  const last = () => order().length - 1;
  function pause() {
    clearInterval(timer);
    timer = null;
    replay.textContent = "▶ Replay";
  }
  function move(place) {
    pause();
    go(Math.max(0, Math.min(place, last())));
  }
  function play(milliseconds = replayLasts(last() + 1, Number(speed.value))) {
    pause();
    go(where() >= last() ? 0 : where());
    const { pause: apart, stride } = pace(last() + 1, milliseconds);
    replay.textContent = "❚❚ Pause";
    timer = setInterval(() => {
      go(Math.min(where() + stride, last()));
      if (where() >= last()) pause();
    }, apart);
  }

  const toggle = () => (timer ? pause() : play());
  replay.addEventListener("click", toggle);
  back.addEventListener("click", () => move(where() - 1));
  forth.addEventListener("click", () => move(where() + 1));
  speed.addEventListener("change", () => timer && play());
  scrubber.addEventListener("input", () => move(placeOf(order(), Number(scrubber.value))));
  root.addEventListener("keydown", (event) => {
    if (!order().length || event.target === speed || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in KEYS) move(where() + KEYS[event.key]);
    else if (event.key === " " && event.target.tagName !== "BUTTON") toggle();
    else return;
    event.preventDefault();
  });

  // The bar is as long as the run, so that it shows how far a run is that goes on.
  function display(index, steps) {
    scrubber.max = String(steps - 1);
    scrubber.value = String(index);
    position.textContent = `step ${index + 1} of ${steps}`;
    scrubber.setAttribute("aria-valuetext", position.textContent);
  }
  return { node, play, pause, move, display };
}

function button(className, text, label) {
  const node = make("button", className, text);
  node.type = "button";
  if (label) node.title = label;
  if (label) node.setAttribute("aria-label", label);
  return node;
}

// Moments of a run, of one lane the first picture's state and guess, of several lanes each one's guess. They need no
// stop of the keyboard's, for which there is the bar. `pick(index)` is called with the frame of a moment.
function buildStrip(lanes, steps, pick) {
  const node = make("div", "strip");
  const moments = stripMoments(steps);
  const drawn = lanes.length > 1 ? lanes.map((lane) => [lane, "x0"]) : [[lanes[0], "x_t"], [lanes[0], "x0"]];
  const cells = moments.map((index) => {
    const cell = button("moment", "", `Step ${index + 1} of ${steps}`);
    cell.tabIndex = -1;
    cell.disabled = true;
    const canvases = drawn.map(([lane]) => {
      const canvas = make("canvas");
      [canvas.height, canvas.width] = lane.size;
      return canvas;
    });
    const pair = make("span", "pair");
    pair.append(...canvases);
    cell.append(pair, make("span", "when", index ? String(index + 1) : "step 1"));
    cell.addEventListener("click", () => pick(cell.index));
    node.append(cell);
    return { cell, canvases };
  });
  node.setAttribute("role", "group");
  node.setAttribute("aria-label", "Moments of the run");

  // `framesAt(index)` are the frames of a step, one a lane.
  function fill(order, framesAt) {
    moments.forEach((moment, number) => {
      const { cell, canvases } = cells[number];
      const index = order.find((there) => there >= moment);
      if (!cell.disabled || index === undefined) return;
      const frames = framesAt(index);
      drawn.forEach(([lane, panel], which) => draw([canvases[which]], frames[lanes.indexOf(lane)][panel], lane.size));
      cell.index = index;
      cell.disabled = false;
    });
  }
  function mark(index) {
    const at = placeOf(moments, index);
    cells.forEach(({ cell }, number) => cell.toggleAttribute("data-now", number === at));
  }
  return { node, fill, mark };
}
