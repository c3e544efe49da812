// Curves over one horizontal axis. A message is {series, x, y, log, log_x, remark}: series are {name, marks, colour, x, y} with base64 of
// float32, x and y the labels of the axes. With no series, `remark` says why. Moving over the plot reads its values.

const root = element.querySelector(".curves");
const COLOURS = 5; // that curves.css knows
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const exact = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
let logarithmic = null; // as the visitor wants it; null is as the message says
let shown = null;

function nearest(series, x) {
  let best = 0;
  for (let place = 1; place < series.x.length; place += 1) {
    if (Math.abs(series.x[place] - x) < Math.abs(series.x[best] - x)) best = place;
  }
  return best;
}

function legend(series) {
  const list = make("ul", "legend");
  for (const one of series.filter(({ marks }) => marks !== "faint")) {
    const item = make("li", `colour-${one.colour}`);
    item.append(make("span", `key ${one.marks}`), make("span", "", one.name));
    list.append(item);
  }
  return list;
}

function reader(area, series, across, up) {
  const line = make("span", "reading-line");
  const box = make("div", "reading");
  const dots = series.map(({ colour }) => make("span", `dot colour-${colour}`));
  line.hidden = box.hidden = true;
  for (const dot of dots) dot.hidden = true;
  area.append(line, ...dots, box);
  const longest = series.reduce((a, b) => (b.x.length > a.x.length ? b : a));
  let place = 0;
  const read = (at) => {
    place = at;
    const x = longest.x[at];
    for (const part of [line, box, ...dots]) part.hidden = false;
    line.style.left = `${across(x)}%`;
    box.replaceChildren(make("b", "", `${exact.format(Math.round(x * 1e6) / 1e6)} ${shown.x}`));
    series.forEach((one, number) => {
      const k = nearest(one, x);
      dots[number].style.left = `${across(one.x[k])}%`;
      dots[number].style.bottom = `${up(one.y[k])}%`;
      const row = make("div", `colour-${one.colour}`);
      row.append(make("span", "key line"), make("span", "", `${one.name}: ${exact.format(one.y[k])}`));
      box.append(row);
    });
    box.classList.toggle("left", across(x) > 50);
    box.style.left = box.classList.contains("left") ? "auto" : `calc(${across(x)}% + 10px)`;
    box.style.right = box.classList.contains("left") ? `calc(${100 - across(x)}% + 10px)` : "auto";
  };
  const hide = () => {
    for (const part of [line, box, ...dots]) part.hidden = true;
  };
  area.addEventListener("pointermove", (event) => {
    const { left, width } = area.getBoundingClientRect();
    const share = (100 * (event.clientX - left)) / width;
    read(nearest({ x: Array.from(longest.x, across) }, share));
  });
  area.addEventListener("pointerleave", hide);
  area.addEventListener("blur", hide);
  area.addEventListener("keydown", ({ key }) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (step) read(Math.min(Math.max(place + step, 0), longest.x.length - 1));
  });
}

function show() {
  if (!shown) return;
  root.dataset.points = shown.series.map(({ x }) => x.length).join(" ");
  const series = shown.series.filter(({ x }) => x.length);
  if (!series.length) {
    root.replaceChildren(make("p", "remark", shown.remark ?? "There is nothing to draw yet."));
    return;
  }
  const [xs, ys] = ["x", "y"].map((name) => series.flatMap((one) => Array.from(one[name])));
  const possible = ys.every((value) => value > 0);
  const log = possible && (logarithmic ?? shown.log);
  const { to: across, ticks: columns } = axis(xs, shown.log_x, 5, !shown.log_x && Math.min(...xs) >= 0);
  const { to: up, ticks: rows } = axis(ys, log, 5, false);
  const head = make("div", "head");
  head.append(make("span", "y-label", shown.y), legend(series));
  if (possible) {
    const button = make("button", "scale", "log scale");
    button.type = "button";
    button.setAttribute("aria-pressed", String(log));
    button.addEventListener("click", () => {
      logarithmic = !log;
      show();
      root.querySelector(".scale").focus();
    });
    head.append(button);
  }
  const frame = make("div", "frame");
  const area = make("div", "area");
  area.tabIndex = 0;
  area.setAttribute("role", "img");
  area.setAttribute("aria-label", `${shown.y} over ${shown.x}; the arrow keys read the values`);
  const svg = vector("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" });
  for (const tick of rows) {
    svg.append(vector("line", { x1: 0, x2: 100, y1: 100 - up(tick), y2: 100 - up(tick), class: "rule" }));
    const label = make("span", "tick row-tick", compact.format(tick));
    label.style.bottom = `${up(tick)}%`;
    frame.append(label);
  }
  for (const tick of columns) {
    const label = make("span", "tick column-tick", compact.format(tick));
    label.style.left = `${across(tick)}%`;
    area.append(label);
  }
  for (const one of series) {
    const points = Array.from(one.x, (x, k) => `${across(x).toFixed(2)},${(100 - up(one.y[k])).toFixed(2)}`);
    svg.append(vector("polyline", { points: points.join(" "), class: `${one.marks} colour-${one.colour}` }));
    if (one.marks !== "dots" && points.length > 1) continue;
    for (let k = 0; k < one.x.length; k += 1) {
      const dot = make("span", `point colour-${one.colour}`);
      dot.style.left = `${across(one.x[k])}%`;
      dot.style.bottom = `${up(one.y[k])}%`;
      area.append(dot);
    }
  }
  area.prepend(svg);
  frame.append(area);
  root.replaceChildren(head, frame, make("div", "x-label", shown.x));
  reader(area, series.filter(({ marks }) => marks !== "faint"), across, up);
}

function receive() {
  const message = props.value;
  if (!message) return;
  let colour = 0;
  const series = message.series.map((one) => {
    const [x, y] = [one.x, one.y].map((packed) => new Float32Array(unpack(packed).buffer));
    const coloured = { ...one, x, y, colour: one.colour ?? colour % COLOURS };
    if (one.marks !== "faint") colour += 1;
    return coloured;
  });
  shown = { ...message, series };
  show();
}

watch("value", receive);
receive();
