// What the components compute without a page, in front of every script of theirs; tests/js runs it under node.

const STRONGEST = 16; // times that a small change is amplified at most
const STEP_MS = 100; // a step of a replay at speed 1,
const MOST_STEPS = 20; // and a run of more than these takes as long as one of these
const SHORTEST_MS = 25; // between two drawings of a replay
const MOMENTS = 8; // of the film strip

function significant(number) {
  if (number === 0 || (Math.abs(number) >= 0.001 && Math.abs(number) < 10000)) {
    return String(Number(number.toPrecision(2)));
  }
  const [digits, exponent] = number.toExponential(1).split("e");
  const superscript = [...String(Number(exponent))].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");
  return `${digits}·10${superscript}`;
}

function unpack(packed) {
  const text = atob(packed);
  const bytes = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place += 1) bytes[place] = text.charCodeAt(place);
  return bytes;
}

// Grey where nothing changes, lighter and darker where a colour gains and loses; and by how much that is amplified, so
// that all but the largest fiftieth fit.
function difference(before, after) {
  const counts = new Uint32Array(256);
  for (let place = 0; place < after.length; place += 1) counts[Math.abs(after[place] - before[place])] += 1;
  let large = 255;
  for (let rest = after.length / 50; large > 1 && counts[large] <= rest; large -= 1) rest -= counts[large];
  const factor = Math.min(STRONGEST, Math.max(1, Math.round(110 / large)));
  const bytes = new Uint8ClampedArray(after.length);
  for (let place = 0; place < after.length; place += 1) bytes[place] = 128 + factor * (after[place] - before[place]);
  return { factor, bytes };
}

// The mean difference of two rows of bytes.
function distance(one, other) {
  let sum = 0;
  for (let place = 0; place < one.length; place += 1) sum += Math.abs(one[place] - other[place]);
  return sum / one.length;
}

// Indices of the moments of a run of so many steps, evenly apart, its first and last among them.
function stripMoments(steps, most = MOMENTS) {
  const count = Math.min(steps, most);
  return Array.from({ length: count }, (_, place) => Math.round((place * (steps - 1)) / Math.max(1, count - 1)));
}

// Milliseconds that a replay of so many frames takes.
function replayLasts(frames, speed) {
  return (STEP_MS * Math.min(MOST_STEPS, frames)) / speed;
}

// How a replay goes through so many frames in this time: `stride` of them at a time, `pause` milliseconds apart.
function pace(frames, milliseconds) {
  const each = milliseconds / Math.max(1, frames - 1);
  const stride = Math.max(1, Math.ceil(SHORTEST_MS / each));
  return { pause: each * stride, stride };
}

// Where in `order`, which rises, the last number that is no larger than `index` stands; 0 if there is none.
function placeOf(order, index) {
  let place = 0;
  while (place + 1 < order.length && order[place + 1] <= index) place += 1;
  return place;
}

// About `count` round numbers from low to high.
function nice(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((digit) => digit * power >= rough) ?? 10);
  const ticks = [];
  for (let place = Math.ceil(low / step - 1e-9); place * step <= high * (1 + 1e-9); place += 1) {
    ticks.push(Number((place * step).toPrecision(12)));
  }
  return ticks;
}

function decades(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power += 1) {
    for (const digit of [1, 2, 5]) {
      const tick = Number((digit * 10 ** power).toPrecision(12));
      if (tick >= low && tick <= high) ticks.push(tick);
    }
  }
  return ticks.length > 9 ? ticks.filter((tick) => String(tick).replace(/[0.]/g, "").startsWith("1")) : ticks;
}

// {to, ticks}: `to` takes a value to 0 ... 100 between the ends.
function axis(values, log, count, fromZero) {
  let low = fromZero ? 0 : values.reduce((a, b) => Math.min(a, b), Infinity);
  let high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - 1, high + 1];
  else if (!fromZero) [low, high] = log ? [low / (high / low) ** 0.05, high * (high / low) ** 0.05]
    : [low - 0.05 * (high - low), high + 0.05 * (high - low)];
  const scale = log ? Math.log : (value) => value;
  const to = (value) => (100 * (scale(value) - scale(low))) / (scale(high) - scale(low));
  return { to, ticks: log && high / low > 8 ? decades(low, high) : nice(low, high, count) };
}
