// A run's pictures, one of them chosen, and the training pictures nearest to that. A message is {run, place, pictures, names,
// nearest, neighbours: [{index, class, distance}], size, words}, with pictures (of the run) and nearest as base64 of uint8 RGB;
// {run: null, now} clears, and whatever comes later of another run than `now` is not shown. A click on another of the run's
// pictures asks "select" with {place}.

const root = element.querySelector(".neighbours");
let now = null; // the run on display above
const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

function canvases(packed, count, size) {
  const bytes = unpack(packed);
  const one = bytes.length / count;
  return Array.from({ length: count }, (_, place) => {
    const canvas = make("canvas");
    [canvas.height, canvas.width] = size;
    draw([canvas], bytes.subarray(place * one, (place + 1) * one), size);
    return canvas;
  });
}

function pictured(canvas, className, name, detail = "") {
  const figure = make("figure", className);
  const caption = make("figcaption", "", name);
  if (detail) caption.append(make("span", "distance", detail));
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${name} ${detail}`.trim());
  figure.append(canvas, caption);
  return figure;
}

function receive() {
  const message = props.value;
  if (!message) return;
  if (message.run === null) now = message.now;
  else if (now && message.run !== now) return;
  const focused = root.contains(document.activeElement);
  root.replaceChildren();
  root.dataset.of = message.run === null ? "" : `${message.run}/${message.place}`;
  root.dataset.words = message.words ?? "";
  if (message.run === null) return;
  const own = canvases(message.pictures, message.names.length, message.size);
  const copies = canvases(message.pictures, message.names.length, message.size);
  if (own.length > 1) {
    const row = make("div", "own");
    own.forEach((canvas, place) => {
      const button = make("button", "thumb");
      button.type = "button";
      button.title = `Look at ${message.names[place]}`;
      button.setAttribute("aria-label", button.title);
      button.setAttribute("aria-pressed", String(place === message.place));
      button.append(canvas);
      button.addEventListener("click", () => ask("select", { place }));
      row.append(button);
    });
    root.append(row);
    if (focused) row.children[message.place].focus();
  }
  const grid = make("div", "compared");
  grid.append(pictured(copies[message.place], "chosen", message.names[message.place]));
  canvases(message.nearest, message.neighbours.length, message.size).forEach((canvas, place) => {
    const { class: label, distance } = message.neighbours[place];
    grid.append(pictured(canvas, "found", label, `at ${number.format(distance)}`));
  });
  const words = make("p", "judged", message.words);
  words.setAttribute("role", "status");
  root.append(grid, words);
}

watch("value", receive);
receive();
