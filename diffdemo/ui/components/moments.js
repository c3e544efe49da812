// Pictures of a run's moments. A message is {of, label, pictures} with base64 of PNG files, and with `labels` it names all
// moments of the run `of`; the slider asks "input" with {place} for those whose pictures are not here yet.

const root = element.querySelector(".moments");
const caption = make("p", "caption");
const slider = make("input", "time");
const grid = make("div", "grids");
const kept = new Map();
let run = null;
let labels = [];

slider.type = "range";
slider.min = "0";
slider.setAttribute("aria-label", "Moment of the training");
root.append(caption, slider, grid);

function show() {
  const place = Number(slider.value);
  const label = labels[place];
  slider.setAttribute("aria-valuetext", label ?? "");
  slider.hidden = labels.length < 2;
  if (!labels.length) {
    caption.textContent = "No sample grids yet.";
    grid.replaceChildren();
    root.dataset.shown = "";
    return;
  }
  caption.replaceChildren("Drawn at ", make("b", "", label), ` (${place + 1} of ${labels.length})`);
  if (!kept.has(label)) {
    ask("input", { place });
    return;
  }
  const images = kept.get(label).map((source, number) => {
    const image = make("img");
    image.src = source;
    image.alt = number ? `Denoising step by step at ${label}` : `Samples at ${label}`;
    return image;
  });
  grid.replaceChildren(...images);
  root.dataset.shown = label;
}

function receive() {
  const message = props.value;
  if (!message) return;
  if (message.labels) {
    const same = message.of === run;
    const at = labels[Number(slider.value)];
    const follows = !same || Number(slider.value) === labels.length - 1;
    if (!same) kept.clear();
    ({ of: run, labels } = message);
    slider.max = String(Math.max(0, labels.length - 1));
    slider.value = String(follows || !labels.includes(at) ? labels.length - 1 : labels.indexOf(at));
  } else if (message.of !== run) return;
  if (message.label) kept.set(message.label, message.pictures.map((picture) => `data:image/png;base64,${picture}`));
  show();
}

slider.addEventListener("input", show);
watch("value", receive);
receive();
