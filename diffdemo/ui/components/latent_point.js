// A point of the latent space. A message is {of, title, picture, original, psnr, probabilities: {class: share}, neighbours:
// [{index, class, distance}], nearest, size}: picture, original and nearest, those of the neighbours, are base64 of uint8 RGB;
// original and psnr may be null. Its buttons send the map (see latent_map.js) to a neighbour, or make the point an end of the
// interpolation.

const root = element.querySelector(".latent_point");
let point = null;

const title = make("h3", "lane-title", "A point and its picture appear here in a moment.");
const pair = make("div", "pair");
const shares = make("div", "shares");
const ends = make("div", "ends");
const nearest = make("div", "nearest");
title.setAttribute("role", "status");
root.append(title, pair, ends, shares, nearest);

function tell(kind, detail) {
  document.querySelector("#latent-map .latent_map").dispatchEvent(new CustomEvent(kind, { detail }));
}

for (const name of ["A", "B"]) {
  const button = make("button", "take", `Set as ${name}`);
  button.type = "button";
  button.addEventListener("click", () => tell("end", { name, index: point.of }));
  ends.append(button);
}
ends.hidden = true;

function picture(packed, caption, className) {
  const figure = make("figure", `pictured ${className}`);
  const canvas = make("canvas");
  [canvas.height, canvas.width] = point.size;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", caption);
  draw([canvas], unpack(packed), point.size);
  figure.append(canvas, make("figcaption", "", caption));
  return figure;
}

function bar(name, share) {
  const row = make("div", "share-row");
  const track = make("div", "track");
  const fill = make("div", "fill");
  fill.style.width = `${100 * share}%`;
  track.append(fill);
  row.append(make("span", "share-name", name), track, make("span", "share-number", `${Math.round(100 * share)} %`));
  return row;
}

function neighbour({ index, class: label, distance }, bytes) {
  const button = make("button", "neighbour");
  const canvas = make("canvas");
  [canvas.height, canvas.width] = point.size;
  draw([canvas], bytes, point.size);
  button.type = "button";
  button.dataset.index = String(index);
  button.setAttribute("aria-label", `Go to point ${index}, ${label}, at distance ${distance.toFixed(1)}`);
  button.append(canvas, make("span", "", label), make("span", "distance", distance.toFixed(1)));
  button.addEventListener("click", () => tell("go", index));
  return button;
}

function receive() {
  if (!props.value) return;
  point = props.value;
  const focused = nearest.contains(document.activeElement);
  title.textContent = point.title[0].toUpperCase() + point.title.slice(1);
  pair.replaceChildren(picture(point.picture, "decoded from its latent", "decoded"));
  if (point.original) {
    const loss = point.psnr === null ? "" : `, ${point.psnr.toFixed(1)} dB`;
    pair.append(picture(point.original, `the original${loss}`, "original"));
  }
  ends.hidden = false;
  shares.replaceChildren(
    make("h4", "heading", "The classifier on the latents believes"),
    ...Object.entries(point.probabilities).map(([name, share]) => bar(name, share)),
  );
  const bytes = unpack(point.nearest);
  const one = bytes.length / point.neighbours.length;
  const row = make("div", "neighbours");
  row.append(...point.neighbours.map((other, k) => neighbour(other, bytes.subarray(k * one, (k + 1) * one))));
  nearest.replaceChildren(make("h4", "heading", "Nearest latents, and how far"), row);
  if (focused) row.firstChild.focus();
  root.dataset.of = String(point.of);
}

watch("value", receive);
receive();
