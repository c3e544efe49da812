// The way between two latents. A message is {of, ends: [title of A, title of B], count, pictures, size}, pictures as base64 of
// uint8 RGB, the first and the last of them the ends.

const root = element.querySelector(".latent_strip");

function receive() {
  const message = props.value;
  if (!message) return;
  const bytes = unpack(message.pictures);
  const one = bytes.length / message.count;
  const row = make("div", "strip");
  for (let place = 0; place < message.count; place += 1) {
    const canvas = make("canvas");
    const share = Math.round((100 * place) / (message.count - 1));
    [canvas.height, canvas.width] = message.size;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${share} % of the way from A to B`);
    draw([canvas], bytes.subarray(place * one, (place + 1) * one), message.size);
    row.append(canvas);
  }
  const names = make("div", "strip-names");
  names.append(...["A", "B"].map((name, place) => make("span", "", `${name}: ${message.ends[place]}`)));
  root.replaceChildren(row, names);
  root.dataset.of = message.of;
}

watch("value", receive);
receive();
