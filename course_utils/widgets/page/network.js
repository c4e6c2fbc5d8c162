// Runs a small network in the page, in this thread or beside it.
//
//   const network = createNetwork(graph, weights);           // both as models/page_graph.py gives them
//   const { output, values, computed } = network.run(input, edits);
//   const beside = inWorker(graph, weights);                  // the page stays responsive meanwhile
//   const { output, values } = await beside.run(input, edits, ["blocks.0.attention"]);
//   beside.end();
//
// A value is {shape, data}: a map [C, H, W], tokens [L, D], a gate [C], the weights of all heads [heads, L, L].
// `values` has one for the name of each step: those that record_masks knows have the same name here. input: null keeps
// the last. edits: for the name of a step a list [[index, number], ...]: that channel's gate, or all weights of that
// head, becomes the number; in this thread also a function of (data, shape) that returns the data to use. A run
// computes again only what comes after a change, of the input or of an edit: of a list its numbers count, of a function
// the object. The `values` of createNetwork's run are good until the next run, which writes into the same arrays; the
// output stays.

import { half, neighbours, resample, sigmoid } from "./maths.js";

export function createNetwork(graph, base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const weights = graph.tensors.map(({ offset, length, half }) =>
    half ? fromHalf(new Uint16Array(bytes.buffer, offset, length))
      : Float64Array.from(new Float32Array(bytes.buffer, offset, length)),
  );
  const steps = graph.steps.map((step) => ({
    ...step,
    tensors: Object.fromEntries(Object.entries(step.tensors).map(([name, index]) => [name, weights[index]])),
  }));
  const calls = operations();
  const values = {};
  let before = {};

  function run(input, edits = {}) {
    for (const name of Object.keys(edits)) {
      if (!steps.some((step) => step.name === name)) throw new Error(`The network has no step "${name}".`);
    }
    const changed = new Set();
    if (input) {
      const wanted = graph.input.map((size, axis) => size ?? input.shape[axis]);
      if (String(wanted) !== String(input.shape)) {
        throw new Error(`The network needs an input of shape ${graph.input}, but was given ${input.shape}.`);
      }
      values.input = input;
      changed.add("input");
    } else if (!values.input) {
      throw new Error("The network has no input yet: give run a first one.");
    }
    const keys = Object.fromEntries(Object.entries(edits).map(([name, edit]) => [name, keyOf(edit)]));
    let computed = 0;
    for (const step of steps) {
      const edit = edits[step.name];
      const edited = keys[step.name] !== before[step.name];
      if (!edited && values[step.name] && !step.inputs.some((name) => changed.has(name))) continue;
      const value = calls[step.op](step.inputs.map((name) => values[name]), step);
      values[step.name] = edit ? editedValue(value, edit) : value;
      changed.add(step.name);
      computed += 1;
    }
    before = keys;
    const { shape, data } = values[graph.output];
    return { output: { shape, data: data.slice() }, values: { ...values }, computed };
  }
  return { run };
}

/** A network in a worker: `run(input, edits, names)` promises the output and these steps' values; `end()` stops it. */
export function inWorker(graph, base64) {
  const waiting = new Map();
  let count = 0;
  let last = null;
  let network = null;
  const settle = ({ id, failed, ...result }) => {
    const { done, fail } = waiting.get(id);
    waiting.delete(id);
    if (failed) fail(new Error(failed));
    else done(result);
  };
  const here = (question) => {
    network ??= createNetwork(graph, base64);
    settle(answerRun(network, question));
  };
  const address = URL.createObjectURL(new Blob([`${SOURCE}\nanswerMessages(self);`], { type: "text/javascript" }));
  let worker = null;
  try {
    worker = new Worker(address);
    worker.onmessage = ({ data }) => settle(data);
    worker.onerror = () => { // the page may start none: what was asked is answered in this thread
      worker = null;
      for (const { question } of [...waiting.values()]) here(question);
    };
    worker.postMessage({ graph, base64 });
  } catch {
    worker = null;
  }
  const run = (input, edits = {}, names = []) => new Promise((done, fail) => {
    const question = { id: ++count, input: worker && input === last ? null : input, edits, names };
    last = input ?? last;
    waiting.set(question.id, { question: { ...question, input: last }, done, fail });
    if (worker) worker.postMessage(question);
    else here(question);
  });
  const end = () => {
    worker?.terminate();
    waiting.clear();
    URL.revokeObjectURL(address);
  };
  return { run, end };
}

/** Calls of `work`, which returns a promise, one at a time; of those that come meanwhile only one more follows. */
export function latest(work) {
  let busy = false;
  let again = false;
  return async () => {
    again = true;
    if (busy) return;
    busy = true;
    try {
      while (again) {
        again = false;
        await work();
      }
    } finally {
      busy = false;
    }
  };
}

function answerMessages(scope) {
  let network = null;
  scope.onmessage = ({ data }) => {
    if (data.graph) network = createNetwork(data.graph, data.base64);
    else scope.postMessage(answerRun(network, data));
  };
}

function answerRun(network, { id, input, edits, names }) {
  try {
    const { output, values } = network.run(input, edits);
    return { id, output, values: Object.fromEntries(names.map((name) => [name, values[name]])) };
  } catch (error) {
    return { id, failed: error.message };
  }
}

// What tells an edit from another: the numbers of a list, which its owner may change, or the function itself.
function keyOf(edit) {
  return Array.isArray(edit) ? JSON.stringify(edit) : edit;
}

function editedValue({ shape, data }, edit) {
  if (!Array.isArray(edit)) return { shape, data: Float32Array.from(edit(data, shape)) };
  const copy = data.slice();
  const size = data.length / shape[0];
  for (const [index, number] of edit) {
    if (!(index >= 0 && index < shape[0])) throw new Error(`There is no index ${index}; there are ${shape[0]}.`);
    copy.fill(number, index * size, (index + 1) * size);
  }
  return { shape, data: copy };
}

// Weights are kept as doubles: JavaScript multiplies doubles, and to widen each factor every time costs a fifth more.
function fromHalf(halves) {
  fromHalf.table ??= Float64Array.from({ length: 65536 }, (_, bits) => half(bits));
  return Float64Array.from(halves, (bits) => fromHalf.table[bits]);
}

// The step's own array of the last run, where the length is the same: a new one would have to be cleared first.
function roomFor(step, length) {
  if (step.room?.length !== length) step.room = new Float32Array(length);
  return step.room;
}

// Loops of their own for the two that run over whole maps: a call for each value would cost more than the value.
function activation([{ shape, data }], step) {
  const { kind } = step;
  const out = roomFor(step, data.length);
  if (kind === "relu") {
    for (let i = 0; i < out.length; i += 1) out[i] = data[i] > 0 ? data[i] : 0;
  } else if (kind === "hard_swish") {
    for (let i = 0; i < out.length; i += 1) {
      const x = data[i];
      out[i] = x <= -3 ? 0 : x >= 3 ? x : (x * (x + 3)) / 6;
    }
  } else {
    const one = {
      sigmoid, silu: (x) => x * sigmoid(x), hard_sigmoid: (x) => Math.min(1, Math.max(0, (x + 3) / 6)),
      gelu: (x) => 0.5 * x * (1 + errorFunction(x * Math.SQRT1_2)),
    }[kind];
    if (!one) throw new Error(`There is no activation "${kind}".`);
    for (let i = 0; i < out.length; i += 1) out[i] = one(data[i]);
  }
  return { shape, data: out };
}

function affine([{ shape, data }], step) {
  const { scale, shift } = step;
  const out = roomFor(step, data.length);
  for (let i = 0; i < out.length; i += 1) out[i] = data[i] * scale + shift;
  return { shape, data: out };
}

function add([a, b], step) {
  const [one, other] = [a.data, b.data];
  const out = roomFor(step, one.length);
  for (let i = 0; i < out.length; i += 1) out[i] = one[i] + other[i];
  return { shape: a.shape, data: out };
}

function gate([{ shape, data }, { data: gates }], step) {
  const size = shape[1] * shape[2];
  const out = roomFor(step, data.length);
  for (let c = 0; c < shape[0]; c += 1) {
    const factor = gates[c];
    for (let i = c * size; i < (c + 1) * size; i += 1) out[i] = data[i] * factor;
  }
  return { shape, data: out };
}

function concatenate([a, b]) {
  const data = new Float32Array(a.data.length + b.data.length);
  data.set(a.data);
  data.set(b.data, a.data.length);
  return { shape: [a.shape[0] + b.shape[0], ...a.shape.slice(1)], data };
}

// Abramowitz and Stegun, 7.1.26: the error stays below 1.5e-7.
function errorFunction(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return Math.sign(x) * (1 - series * Math.exp(-x * x));
}

// rows (count, width) times weight (outputs, width), plus bias; two rows and four outputs at a time stay in registers.
// Row r and output o are written to out[base + r * rowStep + o * outputStep].
function multiply(rows, count, width, weight, bias, outputs, out, base, rowStep, outputStep) {
  for (let o = 0; o < outputs; o += 4) {
    const some = Math.min(4, outputs - o);
    const w0 = o * width;
    const w1 = some > 1 ? w0 + width : w0;
    const w2 = some > 2 ? w1 + width : w0;
    const w3 = some > 3 ? w2 + width : w0;
    const d0 = bias ? bias[o] : 0;
    const d1 = bias && some > 1 ? bias[o + 1] : 0;
    const d2 = bias && some > 2 ? bias[o + 2] : 0;
    const d3 = bias && some > 3 ? bias[o + 3] : 0;
    for (let r = 0; r < count; r += 2) {
      const a = r * width;
      const b = r + 1 < count ? a + width : a;
      let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
      for (let i = 0; i < width; i += 1) {
        const x = rows[a + i], y = rows[b + i];
        const p = weight[w0 + i], q = weight[w1 + i], s = weight[w2 + i], t = weight[w3 + i];
        a0 += x * p; a1 += x * q; a2 += x * s; a3 += x * t;
        b0 += y * p; b1 += y * q; b2 += y * s; b3 += y * t;
      }
      const first = base + r * rowStep + o * outputStep;
      out[first] = a0 + d0;
      if (some > 1) out[first + outputStep] = a1 + d1;
      if (some > 2) out[first + 2 * outputStep] = a2 + d2;
      if (some > 3) out[first + 3 * outputStep] = a3 + d3;
      if (b === a) continue;
      const second = first + rowStep;
      out[second] = b0 + d0;
      if (some > 1) out[second + outputStep] = b1 + d1;
      if (some > 2) out[second + 2 * outputStep] = b2 + d2;
      if (some > 3) out[second + 3 * outputStep] = b3 + d3;
    }
  }
}

// A value with zeros round each map.
function padded({ shape: [channels, height, width], data }, [top, left, bottom, right]) {
  const [tall, wide] = [height + top + bottom, width + left + right];
  const out = new Float32Array(channels * tall * wide);
  for (let c = 0; c < channels; c += 1) {
    for (let y = 0; y < height; y += 1) {
      const from = (c * height + y) * width;
      out.set(data.subarray(from, from + width), (c * tall + y + top) * wide + left);
    }
  }
  return { shape: [channels, tall, wide], data: out };
}

function outputSides(tall, wide, { kernel, stride }) {
  return [Math.floor((tall - kernel[0]) / stride[0]) + 1, Math.floor((wide - kernel[1]) / stride[1]) + 1];
}

export function convolution([x], step) {
  const { kernel, padding, outputs, tensors } = step;
  const { shape: [channels, tall, wide], data: source } = padding.some(Boolean) ? padded(x, padding) : x;
  const [rows, columns] = outputSides(tall, wide, step);
  const places = rows * columns;
  const out = roomFor(step, outputs * places);
  const size = channels * kernel[0] * kernel[1];
  const tile = 32;
  const packed = new Float64Array(tile * size);
  for (let start = 0; start < places; start += tile) {
    const count = Math.min(tile, places - start);
    if (size === channels && places === tall * wide) {
      for (let c = 0; c < channels; c += 1) {
        const from = c * places + start;
        for (let r = 0, to = c; r < count; r += 1, to += size) packed[to] = source[from + r];
      }
    } else {
      packNeighbours(source, channels, tall, wide, step, columns, start, count, packed);
    }
    multiply(packed, count, size, tensors.weight, tensors.bias, outputs, out, start, 1, places);
  }
  return { shape: [outputs, rows, columns], data: out };
}

// What the kernel sees at `count` places from `start` on, one place after the other.
function packNeighbours(source, channels, tall, wide, { kernel, stride }, columns, start, count, packed) {
  const size = channels * kernel[0] * kernel[1];
  for (let r = 0; r < count; r += 1) {
    const y = Math.floor((start + r) / columns) * stride[0];
    const corner = y * wide + ((start + r) % columns) * stride[1];
    let to = r * size;
    for (let c = 0; c < channels; c += 1) {
      for (let ky = 0; ky < kernel[0]; ky += 1) {
        const from = c * tall * wide + corner + ky * wide;
        for (let kx = 0; kx < kernel[1]; kx += 1) packed[to++] = source[from + kx];
      }
    }
  }
}

function depthwise([x], step) {
  const { kernel: [tallKernel, wideKernel], stride, padding, tensors } = step;
  const { shape: [channels, tall, wide], data } = padded(x, padding);
  const [rows, columns] = outputSides(tall, wide, step);
  const out = roomFor(step, channels * rows * columns);
  for (let c = 0; c < channels; c += 1) {
    const plane = data.subarray(c * tall * wide, (c + 1) * tall * wide);
    const weight = tensors.weight.subarray(c * tallKernel * wideKernel, (c + 1) * tallKernel * wideKernel);
    for (let y = 0; y < rows; y += 1) {
      const to = (c * rows + y) * columns;
      out.fill(tensors.bias[c], to, to + columns);
      for (let ky = 0; ky < tallKernel; ky += 1) {
        const from = (y * stride[0] + ky) * wide;
        const w = ky * wideKernel;
        if (wideKernel === 3) {
          const p = weight[w], q = weight[w + 1], r = weight[w + 2];
          for (let i = 0, j = from; i < columns; i += 1, j += stride[1]) {
            out[to + i] += p * plane[j] + q * plane[j + 1] + r * plane[j + 2];
          }
        } else if (wideKernel === 5) {
          const p = weight[w], q = weight[w + 1], r = weight[w + 2], s = weight[w + 3], t = weight[w + 4];
          for (let i = 0, j = from; i < columns; i += 1, j += stride[1]) {
            out[to + i] += p * plane[j] + q * plane[j + 1] + r * plane[j + 2] + s * plane[j + 3] + t * plane[j + 4];
          }
        } else {
          for (let kx = 0; kx < wideKernel; kx += 1) {
            const p = weight[w + kx];
            for (let i = 0, j = from + kx; i < columns; i += 1, j += stride[1]) out[to + i] += p * plane[j];
          }
        }
      }
    }
  }
  return { shape: [channels, rows, columns], data: out };
}

// A transposed convolution with kernel 2 and stride 2: each pixel becomes four, and none overlap.
function enlarge([x], { outputs, tensors }) {
  const [channels, height, width] = x.shape;
  const out = new Float32Array(outputs * height * width * 4);
  for (let o = 0; o < outputs; o += 1) {
    out.fill(tensors.bias[o], o * height * width * 4, (o + 1) * height * width * 4);
    for (let c = 0; c < channels; c += 1) {
      for (let k = 0; k < 4; k += 1) {
        const weight = tensors.weight[(c * outputs + o) * 4 + k];
        for (let y = 0; y < height; y += 1) {
          let to = (o * 2 * height + 2 * y + (k >> 1)) * 2 * width + (k & 1);
          const from = (c * height + y) * width;
          for (let i = 0; i < width; i += 1, to += 2) out[to] += weight * x.data[from + i];
        }
      }
    }
  }
  return { shape: [outputs, 2 * height, 2 * width], data: out };
}

function resize([{ shape: [channels, height, width], data }], step) {
  const [rows, columns] = [height * step.factor, width * step.factor];
  const [from, to] = [height * width, rows * columns];
  const out = roomFor(step, channels * to);
  for (let c = 0; c < channels; c += 1) {
    const map = data.subarray(c * from, (c + 1) * from);
    resample(map, height, width, rows, columns, out.subarray(c * to, (c + 1) * to));
  }
  return { shape: [channels, rows, columns], data: out };
}

export function pool([x], { kernel, kind }) {
  const [channels, height, width] = x.shape;
  const [rows, columns] = [Math.floor(height / kernel[0]), Math.floor(width / kernel[1])];
  const out = new Float32Array(channels * rows * columns);
  for (let c = 0, to = 0; c < channels; c += 1) {
    for (let y = 0; y < rows; y += 1) {
      for (let i = 0; i < columns; i += 1, to += 1) {
        let best = -Infinity, sum = 0;
        for (let ky = 0; ky < kernel[0]; ky += 1) {
          for (let kx = 0; kx < kernel[1]; kx += 1) {
            const value = x.data[(c * height + y * kernel[0] + ky) * width + i * kernel[1] + kx];
            sum += value;
            if (value > best) best = value;
          }
        }
        out[to] = kind === "max" ? best : sum / (kernel[0] * kernel[1]);
      }
    }
  }
  return { shape: [channels, rows, columns], data: out };
}

export function mean([x]) {
  const size = x.shape[1] * x.shape[2];
  const data = Float32Array.from({ length: x.shape[0] }, (_, c) => {
    let sum = 0;
    for (let i = c * size; i < (c + 1) * size; i += 1) sum += x.data[i];
    return sum / size;
  });
  return { shape: [x.shape[0]], data };
}

export function linear([x], { outputs, tensors }) {
  const width = x.shape.at(-1);
  const count = x.data.length / width;
  const out = new Float32Array(count * outputs);
  const rows = Float64Array.from(x.data);
  multiply(rows, count, width, tensors.weight, tensors.bias, outputs, out, 0, outputs, 1);
  return { shape: [...x.shape.slice(0, -1), outputs], data: out };
}

function layerNorm([x], { epsilon, tensors }) {
  const width = x.shape.at(-1);
  const out = new Float32Array(x.data.length);
  for (let start = 0; start < out.length; start += width) {
    let sum = 0, squares = 0;
    for (let i = 0; i < width; i += 1) sum += x.data[start + i];
    for (let i = 0; i < width; i += 1) squares += (x.data[start + i] - sum / width) ** 2;
    const scale = 1 / Math.sqrt(squares / width + epsilon);
    for (let i = 0; i < width; i += 1) {
      out[start + i] = (x.data[start + i] - sum / width) * scale * tensors.weight[i] + tensors.bias[i];
    }
  }
  return { shape: x.shape, data: out };
}

// The weights of every head, (heads, L, L): what an edit may switch off or sharpen.
function attentionWeights([query, key], { heads }) {
  const [length, width] = query.shape;
  const size = width / heads;
  const out = new Float32Array(heads * length * length);
  for (let h = 0; h < heads; h += 1) {
    for (let q = 0; q < length; q += 1) {
      const to = (h * length + q) * length;
      let top = -Infinity, total = 0;
      for (let k = 0; k < length; k += 1) {
        let score = 0;
        for (let i = h * size; i < (h + 1) * size; i += 1) score += query.data[q * width + i] * key.data[k * width + i];
        out[to + k] = score / Math.sqrt(size);
        if (out[to + k] > top) top = out[to + k];
      }
      for (let k = 0; k < length; k += 1) total += out[to + k] = Math.exp(out[to + k] - top);
      for (let k = 0; k < length; k += 1) out[to + k] /= total;
    }
  }
  return { shape: [heads, length, length], data: out };
}

function attend([weights, value]) {
  const [heads, length] = weights.shape;
  const width = value.shape[1];
  const size = width / heads;
  const out = new Float32Array(length * width);
  for (let h = 0; h < heads; h += 1) {
    for (let q = 0; q < length; q += 1) {
      for (let k = 0; k < length; k += 1) {
        const weight = weights.data[(h * length + q) * length + k];
        for (let i = h * size; i < (h + 1) * size; i += 1) out[q * width + i] += weight * value.data[k * width + i];
      }
    }
  }
  return { shape: [length, width], data: out };
}

function transposed(data, rows, columns) {
  const out = new Float32Array(data.length);
  for (let r = 0; r < rows; r += 1) for (let c = 0; c < columns; c += 1) out[c * rows + r] = data[r * columns + c];
  return out;
}

function toTokens([{ shape: [channels, height, width], data }]) {
  const places = height * width;
  return { shape: [places, channels], data: transposed(data, channels, places) };
}

function toMap([{ shape: [length, width], data }]) {
  return { shape: [width, 1, length], data: transposed(data, length, width) };
}

function withClassToken([x], { tensors }) {
  const data = Float32Array.from(tensors.positions);
  const width = x.shape[1];
  for (let i = 0; i < width; i += 1) data[i] += tensors.token[i];
  for (let i = 0; i < x.data.length; i += 1) data[width + i] += x.data[i];
  return { shape: [x.shape[0] + 1, width], data };
}

function firstToken([x]) {
  return { shape: [x.shape[1]], data: x.data.slice(0, x.shape[1]) };
}

function flatten([x]) {
  return { shape: [x.data.length], data: x.data };
}

function operations() {
  return {
    convolution, depthwise, enlarge, resize, pool, mean, linear, layer_norm: layerNorm, activation, affine, add, gate,
    attention_weights: attentionWeights, attend, concatenate, flatten, to_tokens: toTokens, to_map: toMap,
    with_class_token: withClassToken, first_token: firstToken,
  };
}

// A worker can import no file of the page: it is given the text of these functions, which use nothing else.
const SOURCE = [
  createNetwork, answerMessages, answerRun, keyOf, editedValue, fromHalf, half, roomFor, sigmoid, errorFunction,
  multiply, padded, outputSides, packNeighbours, transposed, neighbours, resample, operations,
  ...Object.values(operations()),
].map(String).join("\n");
