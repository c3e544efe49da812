// A map of latents to click on. A message has any of {scene: {views: {pca, tsne}, labels, classes, shares}, ends: [A, B],
// selected, path: {run, seeds, points, done}, placed, preview: {of, picture, size}}: points are base64 of float32, x and y in
// turn, those of a path seed by seed; `placed` is [x, y] of the visitor's own picture, which is point -1; the picture of `preview`
// is base64 of uint8 RGB. Choosing a point asks "select" with {index}, another A or B "input" with {a, b}, and a pointer over a
// point "focus" with {index}, once, for its preview. What cannot be seen on the t-SNE map goes to the PCA map.
// Other components choose a point with a "go" event, detail its index, and an end with an "end" event, detail {name, index}.

const MINE = -1;
const NEAR = 24; // pixels from the pointer to a point, at most
const TITLES = { pca: "PCA", tsne: "t-SNE" };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const root = element.querySelector(".latent_map");
const state = { view: "pca", selected: null, hover: null, ends: { A: null, B: null }, path: null, placed: null };
let scene = null;
let screen = () => [0, 0]; // from a place on the map to pixels, as last painted by latent_map_canvas.js

const head = make("div", "map-head");
const switches = make("div", "switches");
switches.setAttribute("role", "group");
switches.setAttribute("aria-label", "How the map is laid out");
for (const [view, title] of Object.entries(TITLES)) {
  const button = make("button", "switch", title);
  button.type = "button";
  button.dataset.view = view;
  button.addEventListener("click", () => look(view));
  switches.append(button);
}
const legend = make("div", "legend");
const canvas = make("canvas", "chart");
canvas.id = "latent-viewer-mirror"; // see viewer.js: a path is on the map, too
canvas.tabIndex = 0;
canvas.setAttribute("role", "application");
canvas.setAttribute("aria-label", "Map of latents: arrow keys go from point to point, the keys A and B set two ends");
const note = make("p", "map-note", "The map appears here in a moment.");
const spoken = make("span", "spoken");
spoken.setAttribute("role", "status");
head.append(switches, legend);
const preview = make("figure", "preview");
const previewed = new Map(); // pictures by point
preview.hidden = true;
note.setAttribute("role", "status");
root.append(head, canvas, note, spoken, preview);

function place(index) {
  if (index === MINE) return state.view === "pca" ? state.placed : null;
  return index === null ? null : scene.views[state.view].subarray(2 * index, 2 * index + 2);
}

function paint() {
  if (scene && canvas.clientWidth) screen = paintMap(canvas, scene, state, place, stepOnDisplay());
}

// The viewer's scrubber moves the dot on the path: at step k it shows what lies at point k, at the end the sample.
function stepOnDisplay() {
  const viewer = document.querySelector("#latent-viewer .viewer");
  const last = state.path ? state.path.ways[0].length / 2 - 1 : 0;
  if (!viewer?.dataset.shown || viewer.dataset.run !== state.path?.run) return last;
  const step = Number(viewer.dataset.shown);
  return state.path.done && step === last - 1 ? last : Math.min(step, last);
}

function explain() {
  const share = scene.shares.reduce((sum, part) => sum + part, 0);
  note.textContent =
    state.view === "pca"
      ? `Each point is a test picture's latent, in the plane of the first two principal components: ${significant(100 * share)} % of the variance.`
      : "t-SNE puts neighbours beside neighbours. It cannot place new points, so paths and your own pictures are on the PCA map only.";
}

function look(view) {
  state.view = view;
  state.hover = null;
  showPreview();
  root.dataset.view = view;
  for (const button of switches.children) button.setAttribute("aria-pressed", String(button.dataset.view === view));
  if (scene) explain();
  paint();
}

function name(index) {
  return index === MINE ? "Your picture" : `Point ${index}, ${scene.classes[scene.labels[index]]}`;
}

function choose(index) {
  state.selected = index;
  root.dataset.selected = String(index);
  spoken.textContent = name(index);
  paint();
}

function go(index) {
  choose(index);
  ask("select", { index });
}

function connect(ends) {
  state.ends = ends;
  Object.assign(root.dataset, { from: ends.A, to: ends.B });
  paint();
}

function setEnd(end, index) {
  if (index === null) return;
  connect({ ...state.ends, [end]: index });
  ask("input", { a: state.ends.A, b: state.ends.B });
}

// The index for which `cost` of the way from [x, y] to a point, in pixels, is smallest; null if it is nowhere finite.
function best([x, y], cost) {
  let [found, least] = [null, Infinity];
  const indices = [...scene.labels.keys(), ...(place(MINE) ? [MINE] : [])];
  for (const index of indices) {
    const [to, down] = screen(place(index));
    const price = cost(to - x, down - y);
    if (price < least) [found, least] = [index, price];
  }
  return found;
}

function under(event) {
  const box = canvas.getBoundingClientRect();
  const near = (dx, dy) => (Math.hypot(dx, dy) <= NEAR ? Math.hypot(dx, dy) : Infinity);
  return scene && best([event.clientX - box.left, event.clientY - box.top], near);
}

// The picture of the point under the pointer, beside it; asked for if it is not here yet.
function showPreview() {
  const index = state.hover;
  preview.hidden = index === null || !previewed.has(index);
  if (index === null) return;
  if (preview.hidden) return ask("focus", { index });
  const { picture, size } = previewed.get(index);
  const shown = make("canvas");
  [shown.height, shown.width] = size;
  draw([shown], unpack(picture), size);
  preview.replaceChildren(shown, make("figcaption", "", name(index)));
  preview.dataset.of = String(index);
  const [x, y] = screen(place(index));
  const left = x < canvas.clientWidth / 2 ? x + 14 : x - 14 - preview.offsetWidth;
  const top = Math.max(0, Math.min(y - preview.offsetHeight / 2, canvas.clientHeight - preview.offsetHeight));
  [preview.style.left, preview.style.top] = [`${left}px`, `${canvas.offsetTop + top}px`];
}

function hover(index) {
  if (index === state.hover) return;
  state.hover = index;
  paint();
  showPreview();
}

canvas.addEventListener("pointermove", (event) => hover(under(event)));
canvas.addEventListener("pointerleave", () => hover(null));
canvas.addEventListener("click", (event) => {
  const index = under(event);
  if (index !== null) go(index);
});
canvas.addEventListener("keydown", (event) => {
  if (!scene || event.ctrlKey || event.metaKey || event.altKey) return;
  const end = event.key.toUpperCase();
  if (end in state.ends) setEnd(end, state.selected);
  const [right, down] = ARROWS[event.key] ?? [0, 0];
  if (!right && !down) return;
  event.preventDefault();
  // The nearest within 45 degrees of that direction.
  const ahead = (dx, dy) => {
    const [along, aside] = [dx * right + dy * down, Math.abs(dx * down) + Math.abs(dy * right)];
    return along > 0.01 && aside <= along ? Math.hypot(dx, dy) : Infinity;
  };
  const index = best(screen(place(state.selected) ?? [0, 0]), ahead);
  if (index !== null) go(index);
});
root.addEventListener("go", ({ detail }) => go(detail));
root.addEventListener("end", ({ detail }) => setEnd(detail.name, detail.index));
root.positionOf = (index) => screen(place(index));

function receive() {
  const message = props.value;
  if (!message) return;
  if (message.scene) {
    const floats = (packed) => new Float32Array(unpack(packed).buffer);
    const { views, labels } = message.scene;
    scene = { ...message.scene, views: { pca: floats(views.pca), tsne: floats(views.tsne) }, labels: [...unpack(labels)] };
    legend.replaceChildren(
      ...scene.classes.map((title, label) => {
        const item = make("span", "class-name", title);
        item.style.setProperty("--colour", `var(--class-${label % 6})`);
        return item;
      }),
    );
    explain();
  }
  if (message.ends) connect({ A: message.ends[0], B: message.ends[1] });
  const unseen = message.placed ? "your picture" : message.path && message.path.run !== state.path?.run ? "a path" : "";
  if (message.path) {
    const points = new Float32Array(unpack(message.path.points).buffer);
    const one = points.length / message.path.seeds.length;
    const ways = message.path.seeds.map((_, number) => points.subarray(number * one, (number + 1) * one));
    state.path = { ...message.path, ways };
    root.dataset.path = String(one / 2);
    root.dataset.paths = String(ways.length);
  }
  if (message.placed) {
    state.placed = message.placed;
    previewed.delete(MINE); // of the one before
  }
  if (unseen && state.view !== "pca") {
    look("pca");
    note.textContent = `This is the PCA map now, because t-SNE cannot show ${unseen}. ${note.textContent}`;
  }
  if (message.preview) {
    previewed.set(message.preview.of, message.preview);
    showPreview();
  }
  if (message.selected !== undefined) choose(message.selected);
  if (message.placed && Object.values(state.ends).includes(MINE)) ask("input", { a: state.ends.A, b: state.ends.B });
  paint();
}

look("pca");
new ResizeObserver(paint).observe(canvas);
new MutationObserver(paint).observe(document.body, { attributeFilter: ["class"] }); // light and dark
const viewers = new MutationObserver(() => state.path && paint());
const watching = document.querySelector("#latent-viewer");
if (watching) viewers.observe(watching, { subtree: true, attributeFilter: ["data-shown", "data-run"] });
watch("value", receive);
receive();
