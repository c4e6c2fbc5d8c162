// Runs a small network in the page. A graph is a list of steps, each with the names of the values that it reads;
// a map is {shape: [C, H, W], data}, tokens are {shape: [L, D], data}, a gate is {shape: [C], data}.
// Every value is kept, and a run computes again only what comes after a change: a new input, or another edit.

const TILE = 32;

export function createNetwork(graph, base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const weights = graph.tensors.map(({ offset, length, half }) =>
    half ? fromHalf(new Uint16Array(bytes.buffer, offset, length)) : new Float32Array(bytes.buffer, offset, length),
  );
  const steps = graph.steps.map((step) => ({
    ...step,
    tensors: Object.fromEntries(Object.entries(step.tensors).map(([name, index]) => [name, weights[index]])),
  }));
  const values = {};
  let before = {};

  // input: {shape, data}, or null to keep the last one. edits: for the name of a step, a function of its value's data
  // that returns the data to use; the same function object again means that nothing changed.
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
    let computed = 0;
    for (const step of steps) {
      const edited = edits[step.name] !== before[step.name];
      if (!edited && values[step.name] && !step.inputs.some((name) => changed.has(name))) continue;
      const value = OPERATIONS[step.op](step.inputs.map((name) => values[name]), step);
      if (edits[step.name]) value.data = Float32Array.from(edits[step.name](value.data, value.shape));
      values[step.name] = value;
      changed.add(step.name);
      computed += 1;
    }
    before = { ...edits };
    return { output: values[graph.output], values, computed };
  }
  return { run };
}

function fromHalf(halves) {
  const table = fromHalf.table ?? (fromHalf.table = Float32Array.from({ length: 65536 }, (_, bits) => halfNumber(bits)));
  return Float32Array.from(halves, (bits) => table[bits]);
}

function halfNumber(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const ACTIVATIONS = {
  relu: (x) => (x > 0 ? x : 0),
  hard_swish: (x) => (x <= -3 ? 0 : x >= 3 ? x : (x * (x + 3)) / 6),
  hard_sigmoid: (x) => (x <= -3 ? 0 : x >= 3 ? 1 : (x + 3) / 6),
  sigmoid,
  silu: (x) => x * sigmoid(x),
  gelu: (x) => 0.5 * x * (1 + errorFunction(x * Math.SQRT1_2)),
};

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

function padded(data, height, width, [top, left, bottom, right], start) {
  const wide = width + left + right;
  const plane = new Float32Array((height + top + bottom) * wide);
  for (let y = 0; y < height; y += 1) {
    plane.set(data.subarray(start + y * width, start + (y + 1) * width), (y + top) * wide + left);
  }
  return plane;
}

function outputSides([, height, width], { kernel, stride, padding }) {
  const [top, left, bottom, right] = padding;
  return [
    Math.floor((height + top + bottom - kernel[0]) / stride[0]) + 1,
    Math.floor((width + left + right - kernel[1]) / stride[1]) + 1,
  ];
}

function convolution([x], step) {
  const [channels, height, width] = x.shape;
  const [rows, columns] = outputSides(x.shape, step);
  const { kernel, stride, padding, outputs, tensors } = step;
  const [tall, wide] = [height + padding[0] + padding[2], width + padding[1] + padding[3]];
  let source = x.data;
  if (padding.some(Boolean)) {
    source = new Float32Array(channels * tall * wide);
    for (let c = 0; c < channels; c += 1) source.set(padded(x.data, height, width, padding, c * height * width), c * tall * wide);
  }
  const places = rows * columns;
  const out = new Float32Array(outputs * places);
  const size = channels * kernel[0] * kernel[1];
  const packed = new Float32Array(TILE * size);
  for (let start = 0; start < places; start += TILE) {
    const count = Math.min(TILE, places - start);
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
    multiply(packed, count, size, tensors.weight, tensors.bias, outputs, out, start, 1, places);
  }
  return { shape: [outputs, rows, columns], data: out };
}

function depthwise([x], step) {
  const [channels, height, width] = x.shape;
  const [rows, columns] = outputSides(x.shape, step);
  const { kernel, stride, padding, tensors } = step;
  const wide = width + padding[1] + padding[3];
  const [tallKernel, wideKernel] = kernel;
  const out = new Float32Array(channels * rows * columns);
  for (let c = 0; c < channels; c += 1) {
    const plane = padded(x.data, height, width, padding, c * height * width);
    const weight = tensors.weight.subarray(c * tallKernel * wideKernel, (c + 1) * tallKernel * wideKernel);
    for (let y = 0; y < rows; y += 1) {
      const to = (c * rows + y) * columns;
      out.fill(tensors.bias[c], to, to + columns);
      for (let ky = 0; ky < tallKernel; ky += 1) {
        const from = (y * stride[0] + ky) * wide;
        const w = ky * wideKernel;
        if (wideKernel === 3) {
          const p = weight[w], q = weight[w + 1], r = weight[w + 2];
          for (let i = 0, j = from; i < columns; i += 1, j += stride[1]) out[to + i] += p * plane[j] + q * plane[j + 1] + r * plane[j + 2];
        } else if (wideKernel === 5) {
          const p = weight[w], q = weight[w + 1], r = weight[w + 2], s = weight[w + 3], t = weight[w + 4];
          for (let i = 0, j = from; i < columns; i += 1, j += stride[1]) {
            out[to + i] += p * plane[j] + q * plane[j + 1] + r * plane[j + 2] + s * plane[j + 3] + t * plane[j + 4];
          }
        } else {
          for (let kx = 0; kx < wideKernel; kx += 1) {
            for (let i = 0, j = from + kx; i < columns; i += 1, j += stride[1]) out[to + i] += weight[w + kx] * plane[j];
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

function resize([x], { factor }) {
  const [channels, height, width] = x.shape;
  const places = (side) =>
    Array.from({ length: side * factor }, (_, i) => {
      const at = Math.max(0, (i + 0.5) / factor - 0.5);
      const low = Math.floor(at);
      return [low, Math.min(low + 1, side - 1), at - low];
    });
  const [rows, columns] = [places(height), places(width)];
  const out = new Float32Array(channels * rows.length * columns.length);
  let to = 0;
  for (let c = 0; c < channels; c += 1) {
    const plane = x.data.subarray(c * height * width, (c + 1) * height * width);
    for (const [y0, y1, down] of rows) {
      for (const [x0, x1, right] of columns) {
        const upper = plane[y0 * width + x0] * (1 - right) + plane[y0 * width + x1] * right;
        const lower = plane[y1 * width + x0] * (1 - right) + plane[y1 * width + x1] * right;
        out[to++] = upper * (1 - down) + lower * down;
      }
    }
  }
  return { shape: [channels, rows.length, columns.length], data: out };
}

function pool([x], { kernel, kind }) {
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

function mean([x]) {
  const size = x.shape[1] * x.shape[2];
  const data = Float32Array.from({ length: x.shape[0] }, (_, c) => {
    let sum = 0;
    for (let i = c * size; i < (c + 1) * size; i += 1) sum += x.data[i];
    return sum / size;
  });
  return { shape: [x.shape[0]], data };
}

function linear([x], { outputs, tensors }) {
  const width = x.shape.at(-1);
  const count = x.data.length / width;
  const out = new Float32Array(count * outputs);
  multiply(x.data, count, width, tensors.weight, tensors.bias, outputs, out, 0, outputs, 1);
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

const OPERATIONS = {
  convolution,
  depthwise,
  enlarge,
  resize,
  pool,
  mean,
  linear,
  layer_norm: layerNorm,
  attention_weights: attentionWeights,
  attend,
  activation: ([x], { kind }) => ({ shape: x.shape, data: x.data.map(ACTIVATIONS[kind]) }),
  affine: ([x], { scale, shift }) => ({ shape: x.shape, data: x.data.map((value) => value * scale + shift) }),
  add: ([a, b]) => ({ shape: a.shape, data: a.data.map((value, i) => value + b.data[i]) }),
  gate: ([x, gate]) => {
    const size = x.shape[1] * x.shape[2];
    return { shape: x.shape, data: x.data.map((value, i) => value * gate.data[(i / size) | 0]) };
  },
  concatenate: ([a, b]) => {
    const data = new Float32Array(a.data.length + b.data.length);
    data.set(a.data);
    data.set(b.data, a.data.length);
    return { shape: [a.shape[0] + b.shape[0], ...a.shape.slice(1)], data };
  },
  flatten: ([x]) => ({ shape: [x.data.length], data: x.data }),
  to_tokens: ([x]) => {
    const places = x.shape[1] * x.shape[2];
    return { shape: [places, x.shape[0]], data: transposed(x.data, x.shape[0], places) };
  },
  to_map: ([x]) => ({ shape: [x.shape[1], 1, x.shape[0]], data: transposed(x.data, x.shape[0], x.shape[1]) }),
  with_class_token: ([x], { tensors }) => {
    const data = Float32Array.from(tensors.positions);
    const width = x.shape[1];
    for (let i = 0; i < width; i += 1) data[i] += tensors.token[i];
    for (let i = 0; i < x.data.length; i += 1) data[width + i] += x.data[i];
    return { shape: [x.shape[0] + 1, width], data };
  },
  first_token: ([x]) => ({ shape: [x.shape[1]], data: x.data.slice(0, x.shape[1]) }),
};
