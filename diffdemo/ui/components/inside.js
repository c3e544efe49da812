// A network block by block. A message is {run, title, class, seed, step, steps, t, size, x_t, x0, blocks, activations, pixel,
// attention}, see inside_views.py: x_t and x0 are base64 of uint8 RGB, activations by block {channels, size, values, low, high}
// with values as base64 of int8, attention by block {size, weights} with weights as base64 of float32, (heads, H, W). Another
// step or pixel is asked for with "input" and {run, step, row, column}.

const root = element.querySelector(".inside");
const LABELS = {
  "residual block": "residual",
  "linear attention": "attention",
  "cut patches": "patches ↓",
  "join patches": "patches ↑",
  halve: "halve ↓",
  double: "double ↑",
  "linear layer": "linear",
};
const WORDS = {
  convolution: "Makes each spot anew from its 3 × 3 neighbours.",
  "residual block":
    "Two convolutions, each spot from its neighbours. They are told how noisy the picture is, and add what they find to what came in.",
  attention: "Every spot looks at all others at once, with several heads side by side, and takes from each what it needs.",
  "linear attention":
    "Every spot takes something from all others, at a cost that grows with their number and not with its square. The maps show the weights this comes to.",
  halve: "Halves height and width: a spot now stands for an area four times as large.",
  double: "Doubles height and width again.",
  "cut patches": "Puts the numbers of a patch of spots into one spot and mixes them: smaller, and nothing is lost.",
  "join patches": "Deals the numbers of one spot out to a patch of spots.",
  norm: "Brings the numbers to mean 0 and variance 1.",
  "linear layer": "Mixes all numbers with learned weights.",
  "time embedding": "Tells every residual block how noisy the picture is.",
  "class embedding": "Tells every residual block what is to be drawn.",
};
let now = null;
let pinned = null; // names of blocks: the one chosen, the one under the mouse, and the one whose attention is shown
let over = null;
let looking = null;

const head = make("p", "inside-title");
const time = make("div", "inside-time");
const slider = make("input", "inside-step");
slider.type = "range";
slider.min = "1";
slider.setAttribute("aria-label", "Step of the run");
const reading = make("output", "inside-reading");
time.append(slider, reading);
const body = make("div", "inside-body");
const net = make("div", "net");
const detail = make("section", "inside-detail");
const looks = make("section", "inside-looks");
const side = make("div", "inside-side");
side.append(detail, looks);
body.append(net, side);
root.append(head, time, body);

function shapeOf(shape) {
  if (shape.length !== 3) return `${shape[0]} numbers`;
  return `${shape[0]} channels of ${shape[1]} × ${shape[2]}`;
}

function labelOf(block) {
  if (block.kind === "time embedding") return `t = ${now.t}`;
  if (block.kind === "class embedding") return now.class || "no class";
  return LABELS[block.kind] ?? block.kind;
}

function buttonOf(block) {
  const button = make("button", `part ${block.kind.replaceAll(" ", "-")}`, labelOf(block));
  button.type = "button";
  button.dataset.name = block.name;
  button.tabIndex = -1;
  if (block.output.length === 3 && block.side !== "condition") button.append(make("span", "width", block.output[0]));
  button.setAttribute("aria-label", `${block.kind}, ${block.name}: ${shapeOf(block.output)}`);
  button.addEventListener("mouseenter", () => show(block.name));
  button.addEventListener("focus", () => show(block.name));
  button.addEventListener("click", () => {
    pinned = block.name;
    show(block.name);
  });
  return button;
}

// Attention stands beside the block whose output it takes.
function laneOf(blocks, className) {
  const lane = make("div", `net-lane ${className}`);
  for (const block of blocks) {
    const beside = block.heads && lane.lastChild?.children.length === 1;
    if (!beside) lane.append(make("div", "net-pair"));
    lane.lastChild.append(buttonOf(block));
  }
  return lane;
}

function end(key, words) {
  const figure = make("figure", `net-end ${key}`);
  const canvas = make("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", words);
  const caption = make("figcaption");
  caption.append(symbol(PANELS.find((panel) => panel.key === key)), ` ${words}`);
  figure.append(canvas, caption);
  return figure;
}

function build() {
  const { blocks } = now;
  const of = (where, level) => blocks.filter((one) => one.side === where && (level === undefined || one.level === level));
  const lines = vector("svg", { class: "skips", "aria-hidden": "true" });
  const given = make("div", "net-given");
  given.append(make("span", "net-note", "told to every residual block"), ...of("condition").map(buttonOf));
  net.replaceChildren(lines, end("x_t", "goes in"), given, end("x0", "comes out"));
  const levels = [...new Set(blocks.map((one) => one.level).filter((level) => level !== null))].sort((a, b) => a - b);
  for (const level of levels) {
    const [down, middle, up] = ["down", "middle", "up"].map((where) => of(where, level));
    const sample = [...down, ...middle, ...up][0].output;
    const size = make("div", "net-size", sample.length === 3 ? `${sample[1]} × ${sample[2]}` : "");
    if (down.length + up.length) net.append(laneOf(down, "left"), size, laneOf(up, "right"));
    if (middle.length) {
      const bottom = laneOf(middle, "bottom");
      if (!(down.length + up.length)) bottom.prepend(size);
      net.append(bottom);
    }
  }
  const rest = of("beside");
  if (rest.length) {
    const weights = rest.reduce((sum, one) => sum + one.parameters, 0);
    const words = `Beside these, an autoencoder with ${weights.toLocaleString("en")} weights: it makes the picture of the last step's numbers.`;
    net.append(make("p", "net-rest", words));
  }
  const buttons = parts();
  buttons[0].tabIndex = 0;
  requestAnimationFrame(connectSkips);
}

// In the order in which the network comes by, which is that of the arrow keys.
function parts() {
  return now.blocks.map((one) => net.querySelector(`[data-name="${CSS.escape(one.name)}"]`)).filter(Boolean);
}

function connectSkips() {
  const lines = net.querySelector(".skips");
  if (!lines || !now) return;
  const frame = net.getBoundingClientRect();
  const at = (node, edge) => {
    const box = node.getBoundingClientRect();
    return [box[edge] - frame.left, (box.top + box.bottom) / 2 - frame.top];
  };
  lines.replaceChildren();
  for (const block of now.blocks) {
    for (const source of block.skips) {
      const from = source === "input" ? net.querySelector(".net-end.x_t canvas") : find(source).closest(".net-pair");
      const [x1, y1] = at(from, "right");
      const [x2, y2] = at(find(block.name), "left");
      const bend = (x2 - x1) / 2;
      const path = `M${x1},${y1} C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`;
      lines.append(vector("path", { d: path, "data-from": source, "data-to": block.name }));
    }
  }
  mark();
}

function find(name) {
  return net.querySelector(`[data-name="${CSS.escape(name)}"]`);
}

function mark() {
  for (const button of net.querySelectorAll(".part")) {
    button.setAttribute("aria-pressed", String(button.dataset.name === (over ?? pinned)));
    button.classList.toggle("looking", button.dataset.name === looking);
  }
  for (const path of net.querySelectorAll(".skips path")) {
    path.classList.toggle("active", [path.dataset.from, path.dataset.to].includes(over ?? pinned));
  }
}

function show(name) {
  over = name;
  const block = now.blocks.find((one) => one.name === name);
  if (block.heads) looking = name;
  mark();
  const title = make("h3", "", block.kind[0].toUpperCase() + block.kind.slice(1));
  title.append(make("code", "", block.name));
  const facts = [shapeOf(block.output), `${block.parameters.toLocaleString("en")} weights`];
  if (block.heads) facts.splice(1, 0, `${block.heads} heads`);
  if (block.skips.length) facts.push(`takes also what ${block.skips.join(", ")} put out`);
  const channels = make("div", "channels");
  const isVector = block.output.length === 1;
  channels.classList.toggle("vector", isVector);
  channels.append(...channelFigures(now.activations[name], isVector));
  detail.replaceChildren(title, make("p", "", WORDS[block.kind]), make("p", "facts", facts.join(" · ")), channels);
  root.dataset.block = name;
  if (block.heads) showLooks();
}

const picture = make("div", "look-picture");
const seen = make("canvas");
const spot = make("span", "spot");
picture.tabIndex = 0;
picture.setAttribute("role", "application");
picture.append(seen, spot);

function showLooks() {
  const block = now.blocks.find((one) => one.name === looking);
  delete root.dataset.sums;
  if (!block) {
    const words = make("p", "", "This network has no attention: a spot learns of others only through its neighbours, step by step.");
    looks.replaceChildren(make("h3", "", "Where it looks"), words);
    return;
  }
  const { size, weights } = now.attention[looking];
  const all = new Float32Array(unpack(weights).buffer);
  const one = size[0] * size[1];
  const bytes = unpack(now.x0);
  [seen.height, seen.width] = now.size;
  draw([seen], bytes, now.size);
  const [row, column] = now.pixel.map((place, axis) => Math.floor((place * size[axis]) / now.size[axis]));
  for (const [name, value] of [
    ["top", row / size[0]],
    ["left", column / size[1]],
    ["height", 1 / size[0]],
    ["width", 1 / size[1]],
  ])
    spot.style[name] = `${100 * value}%`;
  picture.setAttribute("aria-label", `The guess. Arrow keys move the spot, now row ${row + 1}, column ${column + 1}`);
  const maps = make("div", "heads");
  maps.style.setProperty("--columns", block.heads > 4 ? 4 : 2);
  const sums = [];
  for (let number = 0; number < block.heads; number += 1) {
    const own = all.subarray(number * one, (number + 1) * one);
    const figure = make("figure", "head");
    const frame = make("div", "look-frame");
    const canvas = make("canvas");
    paintLook(canvas, bytes, now.size, own, size);
    const most = `${significant(100 * Math.max(...own))} % at most`;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Where head ${number + 1} looks: ${most} on one spot`);
    frame.append(canvas, spot.cloneNode());
    const caption = make("figcaption", "", `head ${number + 1}`);
    caption.append(make("span", "range", most));
    figure.append(frame, caption);
    maps.append(figure);
    sums.push(own.reduce((sum, weight) => sum + weight, 0));
  }
  const title = make("h3", "", "Where it looks");
  title.append(make("code", "", looking));
  const words = `Each head has its own map of where it looks to work out the framed spot. The brighter, the more; a map's ${one} weights add up to 1.`;
  if (looks.contains(picture)) {
    // which stays where it is, because it may have the focus
    looks.querySelector("h3").replaceWith(title);
    looks.querySelector("p").textContent = words;
    looks.querySelector(".heads").replaceWith(maps);
  } else {
    const click = make("figure", "look-click");
    click.append(picture, make("figcaption", "", "Click a spot"));
    const row = make("div", "look-row");
    row.append(click, maps);
    looks.replaceChildren(title, make("p", "", words), row);
  }
  root.dataset.sums = sums.map((sum) => sum.toFixed(5)).join(" ");
  root.dataset.pixel = now.pixel.join(" ");
}

function request(change) {
  const [row, column] = now.pixel;
  const asked = { run: now.run, step: now.step, row, column, ...(root.asked?.input?.run === now.run ? root.asked.input : {}) };
  root.dataset.state = "asked";
  ask("input", { ...asked, ...change });
}

function point(row, column) {
  const place = [row, column].map((value, axis) => Math.min(now.size[axis] - 1, Math.max(0, value)));
  request({ row: place[0], column: place[1] });
}

picture.addEventListener("click", (event) => {
  const box = seen.getBoundingClientRect();
  point(
    Math.floor(((event.clientY - box.top) / box.height) * now.size[0]),
    Math.floor(((event.clientX - box.left) / box.width) * now.size[1]),
  );
});
picture.addEventListener("keydown", (event) => {
  const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  if (!move || !looking) return;
  event.preventDefault();
  event.stopPropagation();
  const { size } = now.attention[looking];
  const from = root.asked?.input?.run === now.run ? [root.asked.input.row, root.asked.input.column] : now.pixel;
  point(...from.map((place, axis) => place + move[axis] * Math.round(now.size[axis] / size[axis])));
});
net.addEventListener("keydown", (event) => {
  const buttons = parts();
  const place = buttons.indexOf(document.activeElement);
  const to = { ArrowDown: place + 1, ArrowRight: place + 1, ArrowUp: place - 1, ArrowLeft: place - 1, Home: 0, End: -1 }[event.key];
  if (place < 0 || to === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  buttons[place].tabIndex = -1;
  const next = buttons.at(to % buttons.length);
  next.tabIndex = 0;
  next.focus();
});
net.addEventListener("mouseleave", () => now && pinned && show(pinned));
slider.addEventListener("input", () => {
  if (!now) return;
  tell(Number(slider.value), null);
  request({ step: Number(slider.value) - 1 });
});

function tell(step, t) {
  const of = `step ${step} of ${now.steps}`;
  reading.textContent = t === null ? of : `${of}, t = ${t}`;
  slider.setAttribute("aria-valuetext", reading.textContent);
}

function receive() {
  const message = props.value;
  if (!message) return;
  const newest = root.asked?.input;
  if (newest && newest.run === message.run && newest.step !== message.step) return; // the slider has moved on
  const sameNet = now?.title === message.title && now.blocks.length === message.blocks.length;
  now = message;
  if (!newest || newest.run !== now.run) keep("input", { run: now.run, step: now.step, row: now.pixel[0], column: now.pixel[1] });
  const drawn = now.class ? ` at work on “${now.class}”` : "";
  head.textContent = `${now.title}${drawn}, seed ${now.seed}`;
  slider.max = String(now.steps);
  slider.value = String(now.step + 1);
  tell(now.step + 1, now.t);
  if (!sameNet) {
    build();
    const attending = now.blocks.filter((one) => one.heads);
    looking = (attending.findLast((one) => one.output[1] >= 8) ?? attending[0])?.name ?? null;
    pinned = looking ?? now.blocks.find((one) => one.side === "down").name;
  } else for (const block of now.blocks.filter((one) => one.side === "condition")) find(block.name).textContent = labelOf(block);
  for (const key of ["x_t", "x0"]) {
    const canvas = net.querySelector(`.net-end.${key} canvas`);
    [canvas.height, canvas.width] = now.size;
    draw([canvas], unpack(now[key]), now.size);
  }
  show(sameNet ? (over ?? pinned) : pinned);
  showLooks();
  root.dataset.run = now.run;
  root.dataset.step = String(now.step);
  root.dataset.state = "shown";
}

new ResizeObserver(() => connectSkips()).observe(net);
watch("value", receive);
receive();
