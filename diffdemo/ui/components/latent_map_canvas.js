// What the map paints; this file comes before latent_map.js in the same script.

const MARGIN = 20;
const [SIGNS, WORDS] = ["18px system-ui", "700 13px system-ui"];

// The same scale both ways, so that distances on the map may be compared; what is drawn over the points fits in too.
function fit(points, width, height) {
  const span = (from) => {
    let [low, high] = [Infinity, -Infinity];
    for (let at = from; at < points.length; at += 2) [low, high] = [Math.min(low, points[at]), Math.max(high, points[at])];
    return [low, high];
  };
  const [[left, right], [bottom, top]] = [span(0), span(1)];
  const scale = Math.min((width - 2 * MARGIN) / (right - left || 1), (height - 2 * MARGIN) / (top - bottom || 1));
  const [x, y] = [width / 2 - (scale * (left + right)) / 2, height / 2 + (scale * (bottom + top)) / 2];
  return (point) => [x + scale * point[0], y - scale * point[1]];
}

// Paint the points, and over them what `state` says; `place` knows where a point is, `step` is that of the paths on display.
// Returns the function from a place on the map to pixels.
function paintMap(canvas, scene, state, place, step) {
  const [width, height, ratio] = [canvas.clientWidth, canvas.clientHeight, window.devicePixelRatio || 1];
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  const pen = canvas.getContext("2d");
  const { color: ink, backgroundColor: ground } = getComputedStyle(canvas);
  const colour = (name) => getComputedStyle(canvas).getPropertyValue(`--${name}`);
  const flat = state.view === "pca";
  const ways = (flat && state.path?.ways) || [];
  const screen = fit([...scene.views[state.view], ...ways.flatMap((way) => [...way]), ...((flat && state.placed) || [])], width, height);
  pen.scale(ratio, ratio);

  function disc(point, radius) {
    pen.beginPath();
    pen.arc(...screen(point), radius, 0, 2 * Math.PI);
  }

  const taken = []; // where words stand already: [x, y, half their width]

  // A sign at a point and a word below or above it, or further away where another word is in the way.
  function mark(point, sign, text, below = -15) {
    const [x, y] = screen(point);
    [pen.textAlign, pen.textBaseline, pen.lineWidth] = ["center", "middle", 4];
    [pen.strokeStyle, pen.fillStyle] = [ground, ink];
    pen.font = WORDS;
    const half = pen.measureText(text).width / 2;
    const free = (down) =>
      taken.every(([left, top, other]) => Math.abs(left - x) > half + other || Math.abs(top - y - down) > 14);
    const down = [1, -1, 2, -2, 3, -3, 4, -4].map((times) => times * below).find(free) ?? below;
    taken.push([x, y + down, half]);
    for (const [written, font, lower] of [
      [sign, SIGNS, 0],
      [text, WORDS, down],
    ]) {
      pen.font = font;
      pen.strokeText(written, x, y + lower);
      pen.fillText(written, x, y + lower);
    }
  }

  pen.globalAlpha = 0.65;
  const colours = scene.classes.map((_, label) => colour(`class-${label % 6}`));
  scene.labels.forEach((label, index) => {
    pen.fillStyle = colours[label];
    disc(place(index), 3);
    pen.fill();
  });
  pen.globalAlpha = 1;
  ways.forEach((way, number) => {
    const points = Array.from({ length: way.length / 2 }, (_, at) => way.subarray(2 * at, 2 * at + 2));
    const alone = ways.length === 1;
    [pen.strokeStyle, pen.fillStyle, pen.lineWidth, pen.lineJoin] = [ink, ink, 1.5, "round"];
    pen.beginPath();
    for (const point of points) pen.lineTo(...screen(point));
    pen.stroke();
    for (const point of points) {
      disc(point, 2);
      pen.fill();
    }
    mark(points[0], "○", alone ? "noise" : "", 16);
    if (state.path.done) mark(points.at(-1), "★", alone ? "sample" : `seed ${state.path.seeds[number]}`, 16);
    pen.fillStyle = colour("here");
    disc(points[step], 5);
    pen.fill();
  });
  if (place(MINE)) mark(place(MINE), "✚", "yours", 16);
  pen.strokeStyle = ink;
  for (const [index, radius, thick] of [
    [state.hover, 6, 1],
    [state.selected, 8, 2.5],
  ]) {
    if (!place(index)) continue;
    pen.lineWidth = thick;
    disc(place(index), radius);
    pen.stroke();
  }
  for (const [name, index] of Object.entries(state.ends)) if (place(index)) mark(place(index), "", name);
  return screen;
}
