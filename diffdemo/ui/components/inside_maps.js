// Small pictures of numbers: channels of a block and maps of attention.

const BELOW = [79, 70, 229];
const ABOVE = [217, 95, 2];
const BRIGHT = [255, 196, 61];

// (height x width) colours, each [r, g, b], on a canvas of so many pixels.
function paint(canvas, [height, width], colour) {
  [canvas.height, canvas.width] = [height, width];
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let place = 0; place < height * width; place += 1) {
    const [r, g, b] = colour(place);
    image.data.set([r, g, b, 255], 4 * place);
  }
  context.putImageData(image, 0, 0);
}

function mix(from, to, share) {
  return from.map((value, place) => value + share * (to[place] - value));
}

// The channels of a message's activations, a figure each.
function channelFigures({ channels, size, values, low, high }, isVector) {
  const bytes = new Int8Array(unpack(values).buffer);
  const middle = document.body.classList.contains("dark") ? [24, 28, 38] : [248, 248, 250];
  const one = size[0] * size[1];
  return channels.map((channel, number) => {
    const figure = make("figure", "channel");
    const canvas = make("canvas");
    paint(canvas, size, (place) => {
      const value = bytes[number * one + place] / 127;
      return mix(middle, value > 0 ? ABOVE : BELOW, Math.abs(value));
    });
    const name = isVector ? `all ${one} numbers` : `channel ${channel}`;
    const range = `${low[number].toFixed(1)} to ${high[number].toFixed(1)}`.replaceAll("-", "−");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${name}, from ${range}`);
    const caption = make("figcaption", "", name);
    caption.append(make("span", "range", range));
    figure.append(canvas, caption);
    return figure;
  });
}

// How a picture looks under the weights of one head, (H, W): dark where it looks least.
function paintLook(canvas, picture, size, weights, [rows, columns]) {
  const most = Math.max(...weights);
  paint(canvas, size, (place) => {
    const row = Math.floor((Math.floor(place / size[1]) * rows) / size[0]);
    const column = Math.floor(((place % size[1]) * columns) / size[1]);
    const [r, g, b] = picture.subarray(3 * place, 3 * place + 3);
    const grey = 0.45 * (0.3 * r + 0.59 * g + 0.11 * b);
    return mix([grey, grey, grey], BRIGHT, 0.92 * (weights[row * columns + column] / most) ** 0.8);
  });
}
