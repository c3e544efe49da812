// What the components of the page compute, without a page: node --test tests/js

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { test } = require("node:test");

const source = readFileSync(join(__dirname, "../../diffdemo/ui/components/pure.js"), "utf-8");
const names = [...source.matchAll(/^function (\w+)/gm)].map(([, name]) => name);
const pure = new Function(`${source}\nreturn { ${names.join(", ")} };`)();

test("numbers have two significant digits, and powers of ten where they are large or small", () => {
  const expected = { 0: "0", 1: "1", 0.0567: "0.057", 0.001: "0.001", 1234: "1200", 12345: "1.2·10⁴", 0.000123: "1.2·10⁻⁴" };
  for (const [number, text] of Object.entries(expected)) assert.equal(pure.significant(Number(number)), text);
  assert.equal(pure.significant(-20500), "-2.1·10⁴");
});

test("base64 becomes the bytes it stands for", () => {
  assert.deepEqual([...pure.unpack(Buffer.from([0, 1, 127, 128, 255]).toString("base64"))], [0, 1, 127, 128, 255]);
});

test("a change is grey where there is none, and amplified as far as it fits", () => {
  const before = Uint8Array.from({ length: 100 }, () => 100);
  assert.deepEqual(pure.difference(before, before), { factor: 16, bytes: new Uint8ClampedArray(100).fill(128) });
  const { factor, bytes } = pure.difference(before, before.map((value, place) => value + (place % 2 ? 10 : -10)));
  assert.equal(factor, 11);
  assert.deepEqual([...bytes.slice(0, 2)], [128 - 110, 128 + 110]);
  const largest = Uint8Array.from(before, (value, place) => (place < 2 ? 255 : value)); // two of a hundred may be cut off
  assert.equal(pure.difference(before, largest).factor, 16);
});

test("the distance of two pictures is their mean difference", () => {
  assert.equal(pure.distance([0, 10, 255, 3], [0, 20, 250, 4]), 4);
});

test("a film strip has eight moments, evenly apart, the first and the last among them", () => {
  assert.deepEqual(pure.stripMoments(8), [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual(pure.stripMoments(20), [0, 3, 5, 8, 11, 14, 16, 19]);
  assert.deepEqual(pure.stripMoments(3), [0, 1, 2]);
  assert.deepEqual(pure.stripMoments(1), [0]);
  for (let steps = 8; steps <= 1000; steps += 1) {
    const moments = pure.stripMoments(steps);
    const gaps = moments.slice(1).map((moment, place) => moment - moments[place]);
    assert.deepEqual([moments.length, moments[0], moments[7]], [8, 0, steps - 1]);
    assert.ok(Math.min(...gaps) > 0 && Math.max(...gaps) - Math.min(...gaps) <= 1);
  }
});

test("a replay takes two seconds for twenty steps or more, less for fewer, and half or double that at other speeds", () => {
  assert.deepEqual([20, 50, 104].map((frames) => pure.replayLasts(frames, 1)), [2000, 2000, 2000]);
  assert.deepEqual([0.5, 2].map((speed) => pure.replayLasts(20, speed)), [4000, 1000]);
  assert.equal(pure.replayLasts(3, 1), 300);
  for (let frames = 2; frames <= 104; frames += 1) {
    for (const milliseconds of [pure.replayLasts(frames, 1), pure.replayLasts(frames, 2), 4000]) {
      const { pause, stride } = pure.pace(frames, milliseconds);
      const lasts = pause * Math.ceil((frames - 1) / stride);
      assert.ok(pause >= 25 && lasts >= milliseconds - 1e-6 && lasts < milliseconds + pause, `${frames}, ${milliseconds}`);
    }
  }
  assert.deepEqual(pure.pace(20, 4000).stride, 1);
});

test("of frames that are there, the one at a step or the last before it is found", () => {
  const order = [0, 3, 6, 9, 10];
  assert.deepEqual([0, 2, 3, 8, 9, 10, 99].map((index) => pure.placeOf(order, index)), [0, 0, 1, 2, 3, 4, 4]);
  assert.equal(pure.placeOf([4, 5], 0), 0);
});

test("an axis has round ticks within its ends, and takes these to 0 and 100", () => {
  const linear = pure.axis([0, 3, 10], false, 5, true);
  assert.deepEqual(linear.ticks, [0, 2, 4, 6, 8, 10]);
  assert.deepEqual([0, 5, 10].map(linear.to), [0, 50, 100]);
  const logarithmic = pure.axis([0.01, 1, 100], true, 5, false);
  assert.deepEqual(logarithmic.ticks, [0.01, 0.1, 1, 10, 100]);
  assert.ok(Math.abs(logarithmic.to(1) - 50) < 1e-9);
  assert.ok(logarithmic.to(0.01) > 0 && logarithmic.to(100) < 100);
  const flat = pure.axis([7, 7], false, 4, false);
  assert.equal(flat.to(7), 50);
});
