// Numbers without a page: arrays from Python, softmax, ranges, words for numbers, bilinear values. Runs in node too.

/** The bytes of base64 text. */
export function bytes(text) {
  const characters = atob(text);
  const result = new Uint8Array(characters.length);
  for (let i = 0; i < result.length; i++) result[i] = characters.charCodeAt(i);
  return result;
}

/** The number that 16 bits of half precision mean. */
export function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

/** An array that Python's `encode` made: its shape and its values, last axis fastest. */
export function decode({ shape, dtype, data }) {
  const raw = bytes(data);
  if (dtype === "uint8") return { shape, values: raw };
  if (dtype === "float32") return { shape, values: new Float32Array(raw.buffer) };
  const bits = new Uint16Array(raw.buffer);
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) values[i] = half(bits[i]);
  return { shape, values };
}

/** A picture (H, W) or (H, W, C) of bytes as a network takes it: C maps from 0 to 1, one after the other. */
export function asMaps({ shape: [height, width, colours = 1], values }) {
  const size = height * width;
  const byte = (_, i) => values[(i % size) * colours + Math.floor(i / size)];
  return { shape: [colours, height, width], data: Float32Array.from(values, byte).map((value) => value / 255) };
}

/** Maps (C, H, W) from 0 to 1 as a picture (H, W, C) of bytes. */
export function asPicture([colours, height, width], data) {
  const size = height * width;
  const level = (_, i) => 255 * data[(i % colours) * size + Math.floor(i / colours)];
  return { shape: [height, width, colours], values: Uint8ClampedArray.from({ length: colours * size }, level) };
}

/** `make(json)`, once for each object that came from Python. */
export function once(make) {
  const made = new WeakMap();
  return (json) => {
    if (!made.has(json)) made.set(json, make(json));
    return made.get(json);
  };
}

/** A number in three figures, as Python's `.3g` would write it for everyday sizes. */
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "none";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e6)) return value.toExponential(2);
  return String(Number(value.toPrecision(3)));
}

/** A number in a sentence: what is next to nothing is said to be that. */
export const plainly = (value) => (value !== 0 && Math.abs(value) < 1e-4 ? "almost 0" : number(value));

/** A share of one, as a percentage in words. */
export function percent(value) {
  return `${(100 * value).toFixed(1)} %`;
}

/** How far a probability moved, in percentage points; nothing where that would be 0.0. */
export function changeInWords(moved) {
  if (Math.abs(moved) < 5e-4) return "";
  return `${moved > 0 ? "+" : "−"}${(100 * Math.abs(moved)).toFixed(1)}`;
}

/** A block's name as a learner reads it: "encoder block 4" for "encoder.3.gate". */
export function blockName(name) {
  const [, kind, index] = /^(encoder|decoder|stage)\.?(\d+)\.(?:gate|attention)$/.exec(name) ?? [];
  if (!kind) return name.replace(/\.attention$/, "");
  return kind === "stage" ? `stage ${index}` : `${kind} ${kind === "encoder" ? "block" : "step"} ${Number(index) + 1}`;
}

/** Words as a sentence begins with them. */
export const capital = (words) => words[0].toUpperCase() + words.slice(1);

/** A value as Python writes it. */
export const python = (value) => (typeof value === "boolean" ? { true: "True", false: "False" }[value]
  : typeof value === "number" ? number(value) : JSON.stringify(value));

/** Numbers as text, for a data attribute. */
export const listed = (values, digits = 6) => Array.from(values, (value) => value.toPrecision(digits)).join(",");

export function sigmoid(value) {
  return 1 / (1 + Math.exp(-value));
}

/** Shares that sum to 1, over the places where `open` is true; all 0 where none is. */
export function softmax(scores, open = null) {
  let top = -Infinity;
  for (let i = 0; i < scores.length; i++) if ((!open || open[i]) && scores[i] > top) top = scores[i];
  if (top === -Infinity) return scores.map(() => 0);
  const powers = scores.map((score, i) => (!open || open[i] ? Math.exp(score - top) : 0));
  let sum = 0;
  for (const power of powers) sum += power;
  return powers.map((power) => power / sum);
}

/** Over how many equal shares a row of weights would be as spread out: e to its entropy. */
export function sharedBy(weights) {
  let entropy = 0;
  for (const weight of weights) if (weight > 0) entropy -= weight * Math.log(weight);
  return Math.exp(entropy);
}

/** The same in words, of a row of `count` weights: "as if 27 of the 196 keys shared the weight equally". */
export const spreadInWords = (shared, count) => (Math.round(shared) === 1
  ? `as if one of the ${count} keys had all the weight`
  : `as if ${Math.round(shared)} of the ${count} keys shared the weight equally`);

/** The product of two vectors that stand in arrays: `one` from `i` on, `other` from `j` on. */
export function dot(one, other, count = one.length, i = 0, j = 0) {
  let sum = 0;
  for (let c = 0; c < count; c++) sum += one[i + c] * other[j + c];
  return sum;
}

/** A matrix, row after row, times a vector, plus a bias where there is one. */
export function matrixTimes(matrix, vector, bias = null) {
  const columns = vector.length;
  return Float64Array.from({ length: matrix.length / columns }, (_, row) =>
    dot(vector, matrix, columns, 0, row * columns) + (bias ? bias[row] : 0));
}

/** The sum of all values. */
export function sumOf(values) {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum;
}

/** The least and the largest value. */
export function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < values.length; i++) {
    if (values[i] < low) low = values[i];
    if (values[i] > high) high = values[i];
  }
  return { low, high };
}

/** A place as people read it, counted from 1. */
export const placeInWords = ([row, column]) => `row ${row + 1}, column ${column + 1}`;

/** The index of the largest value, the first of several. */
export function largest(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

/** The indices of the `count` largest values, the largest first. */
export const strongest = (values, count = values.length) =>
  Array.from(values.keys()).sort((one, other) => values[other] - values[one]).slice(0, count);

/** The cell [row, column] of an index, row after row in so many columns. */
export const cellOf = (index, columns) => [Math.floor(index / columns), index % columns];

/** The range that a colour table needs for these values: symmetric round 0 for RdBu, from 0 for weights. */
export function colourRange(values, table, fromZero = true) {
  let { low, high } = extent(values);
  if (table === "RdBu") {
    const size = Math.max(Math.abs(low), Math.abs(high)) || 1;
    return { low: -size, high: size };
  }
  if (fromZero && low > 0) low = 0;
  return high > low ? { low, high } : { low, high: low + 1 };
}

/** The row of the colour table for a value, as matplotlib chooses it. */
export function colourIndex(value, low, high) {
  return Math.max(0, Math.min(255, Math.floor(((value - low) / (high - low)) * 256)));
}

/** Bilinear values on another grid, written to `result`; pixel centres stand at half steps, the edge is held. */
export function resample(values, height, width, rows, columns, result = new Float32Array(rows * columns)) {
  const [across, down] = [neighbours(width, columns), neighbours(height, rows)];
  for (let r = 0, i = 0; r < rows; r++) {
    const above = down.first[r] * width;
    const below = down.second[r] * width;
    const y = down.share[r];
    for (let c = 0; c < columns; c++, i++) {
      const left = across.first[c];
      const right = across.second[c];
      const x = across.share[c];
      const upper = values[above + left] * (1 - x) + values[above + right] * x;
      const lower = values[below + left] * (1 - x) + values[below + right] * x;
      result[i] = upper * (1 - y) + lower * y;
    }
  }
  return result;
}

/** Of each of `to` places along a side of `from` values: those before and after it, and the share of the second. */
export function neighbours(from, to) {
  const places = Float64Array.from({ length: to }, (_, i) =>
    Math.max(0, Math.min(from - 1, ((i + 0.5) * from) / to - 0.5)));
  const first = Int32Array.from(places);
  const second = first.map((one) => Math.min(from - 1, one + 1));
  return { first, second, share: places.map((place, i) => place - first[i]) };
}
