// Pictures to choose from. A message is {id, add, source, pictures, labels, size}: pictures are base64 of uint8 RGB, and with
// `add` they come before those that are there, the first of them chosen; without, after those that are there already, and
// `source` says where they are from. Choosing
// one asks "select" with {picture}, its pixels as base64; the first of all is chosen without asking.

const root = element.querySelector(".picker");
const thumbs = make("div", "thumbs");
const source = make("div", "source");
const take = make("button", "take", "Take those of the Generate tab");
const note = make("div", "picker-note");
take.type = "button";
note.setAttribute("role", "status");
root.append(thumbs, source, take, note);
const known = new Set();
let size = [32, 32];

function pixels(canvas) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.filter((_, place) => place % 4 !== 3);
}

function choose(button) {
  for (const other of thumbs.children) other.setAttribute("aria-pressed", String(other === button));
  root.dataset.chosen = button.title;
  keep("select", { picture: btoa(String.fromCharCode(...pixels(button.firstChild))) });
}

function thumb(bytes, label) {
  const button = make("button", "thumb");
  const canvas = make("canvas");
  [canvas.height, canvas.width] = size;
  draw([canvas], bytes, size);
  button.type = "button";
  button.title = label;
  button.setAttribute("aria-label", label);
  button.append(canvas);
  button.addEventListener("click", () => {
    choose(button);
    trigger("select");
  });
  return button;
}

function put(buttons, add) {
  if (add) {
    const labels = buttons.map((button) => button.title);
    for (const other of [...thumbs.children]) if (labels.includes(other.title)) other.remove();
    thumbs.prepend(...buttons);
  } else thumbs.append(...buttons);
  note.textContent = "";
}

take.addEventListener("click", () => {
  const drawn = [...document.querySelectorAll("#generate-viewer .x0 canvas")];
  if (!drawn.length) {
    note.textContent = "Nothing has been generated yet.";
    return;
  }
  const buttons = drawn.map((canvas, place) => thumb(pixels(canvas), `Generated picture ${place + 1}`));
  put(buttons, true);
  buttons[0].click();
});

function receive() {
  const message = props.value;
  if (!message || known.has(message.id)) return;
  known.add(message.id);
  size = message.size;
  const bytes = unpack(message.pictures);
  const one = bytes.length / message.labels.length;
  const buttons = message.labels.map((label, place) => thumb(bytes.subarray(place * one, (place + 1) * one), label));
  const first = !thumbs.children.length;
  put(buttons, message.add);
  if (message.source) source.textContent = message.source;
  if (message.add) buttons[0].click();
  else if (first) choose(buttons[0]);
}

watch("value", receive);
receive();
