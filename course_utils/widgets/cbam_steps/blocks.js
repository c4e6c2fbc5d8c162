// A network of convolutions with CBAM, run in the page: what every block computes on the way. Runs without a page.

import { decode, dot, sigmoid, softmax } from "../page/maths.js";

/** CBAM as it was trained. */
export const UNTOUCHED = {
  order: "channel first", channel_mean: true, channel_max: true, spatial_max: true, spatial_mean: true,
};

/** 3x3 convolution with padding 1, batch norm, ReLU: (before, h, w) -> (after, h, w). */
function convolve(x, before, height, width, { weight, scale, shift, channels: after }) {
  const wide = width + 2;
  const padded = new Float32Array(before * (height + 2) * wide);
  for (let c = 0; c < before; c++) {
    for (let row = 0; row < height; row++) {
      const from = (c * height + row) * width;
      padded.set(x.subarray(from, from + width), (c * (height + 2) + row + 1) * wide + 1);
    }
  }
  const size = height * width;
  const out = new Float32Array(after * size);
  const sums = new Float64Array(size);
  for (let o = 0; o < after; o++) {
    sums.fill(0);
    for (let c = 0; c < before; c++) {
      for (let k = 0; k < 9; k++) {
        const factor = weight[(o * before + c) * 9 + k];
        const start = (c * (height + 2) + Math.floor(k / 3)) * wide + (k % 3);
        for (let row = 0; row < height; row++) {
          const from = start + row * wide;
          const to = row * width;
          for (let column = 0; column < width; column++) sums[to + column] += factor * padded[from + column];
        }
      }
    }
    for (let i = 0; i < size; i++) out[o * size + i] = Math.max(0, sums[i] * scale[o] + shift[o]);
  }
  return out;
}

function maxPool(x, channels, height, width, side) {
  if (side < 2) return { x, height, width };
  const rows = Math.floor(height / side);
  const columns = Math.floor(width / side);
  const out = new Float32Array(channels * rows * columns).fill(-Infinity);
  for (let c = 0; c < channels; c++) {
    for (let row = 0; row < rows * side; row++) {
      for (let column = 0; column < columns * side; column++) {
        const to = (c * rows + Math.floor(row / side)) * columns + Math.floor(column / side);
        out[to] = Math.max(out[to], x[(c * height + row) * width + column]);
      }
    }
  }
  return { x: out, height: rows, width: columns };
}

/** Mean and maximum of each channel. */
function poolPositions(x, channels, size) {
  const mean = new Float64Array(channels);
  const max = new Float64Array(channels).fill(-Infinity);
  for (let c = 0; c < channels; c++) {
    for (let i = c * size; i < (c + 1) * size; i++) {
      mean[c] += x[i] / size;
      if (x[i] > max[c]) max[c] = x[i];
    }
  }
  return { mean, max };
}

/** Mean and maximum over the channels at every position. */
export function poolChannels(x, channels, size) {
  const mean = new Float32Array(size);
  const max = new Float32Array(size).fill(-Infinity);
  for (let i = 0; i < size; i++) {
    let sum = 0;
    for (let c = 0; c < channels; c++) {
      const value = x[c * size + i];
      sum += value;
      if (value > max[i]) max[i] = value;
    }
    mean[i] = sum / channels;
  }
  return { mean, max };
}

/** The gate of every channel; ones where neither pool is used. */
function channelGates(x, size, { channels, reduceWeight, reduceBias, expandWeight, expandBias }, use) {
  const { mean, max } = poolPositions(x, channels, size);
  const used = [[use.channel_mean, mean], [use.channel_max, max]].filter(([on]) => on);
  const gates = new Float64Array(channels);
  if (!used.length) return gates.fill(1);
  for (const [, pooled] of used) {
    const reduced = (bias, h) => bias + dot(pooled, reduceWeight, channels, 0, h * channels);
    const hidden = Float64Array.from(reduceBias, (bias, h) => Math.max(0, reduced(bias, h)));
    const { length } = hidden;
    for (let c = 0; c < channels; c++) gates[c] += expandBias[c] + dot(hidden, expandWeight, length, 0, c * length);
  }
  return gates.map(sigmoid);
}

/** What the spatial part pools, and the gate of every position; ones where neither pool is used. */
function spatialGates(x, height, width, { channels, kernel, kernelSide, spatialScale, spatialShift }, use) {
  const { mean, max } = poolChannels(x, channels, height * width);
  const mask = new Float64Array(height * width);
  if (!use.spatial_max && !use.spatial_mean) return { max, mean, mask: mask.fill(1) };
  const half = (kernelSide - 1) / 2;
  const maps = [[use.spatial_max, max], [use.spatial_mean, mean]];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      let sum = 0;
      maps.forEach(([used, map], m) => {
        if (!used) return;
        for (let a = Math.max(0, half - row); a < kernelSide && row + a - half < height; a++) {
          for (let b = Math.max(0, half - column); b < kernelSide && column + b - half < width; b++) {
            sum += kernel[(m * kernelSide + a) * kernelSide + b] * map[(row + a - half) * width + column + b - half];
          }
        }
      });
      mask[row * width + column] = sigmoid(sum * spatialScale + spatialShift);
    }
  }
  return { max, mean, mask };
}

/** One CBAM block with its switches: everything that it computes on the way. */
function runBlock(x, height, width, part, { order, ...use }) {
  const size = height * width;
  const byChannel = (maps, gates) => maps.map((value, i) => value * gates[Math.floor(i / size)]);
  const byPlace = (maps, mask) => maps.map((value, i) => value * mask[i % size]);
  if (order === "channel first") {
    const gates = channelGates(x, size, part, use);
    const refined = byChannel(x, gates);
    const spatial = spatialGates(refined, height, width, part, use);
    return { gates, ...spatial, out: byPlace(refined, spatial.mask) };
  }
  const spatial = spatialGates(x, height, width, part, use);
  const refined = byPlace(x, spatial.mask);
  const gates = channelGates(refined, size, part, use);
  return { gates, ...spatial, out: byChannel(refined, gates) };
}

function openStage(json) {
  const values = (name) => decode(json[name]).values;
  return {
    name: json.name, channels: json.weight.shape[0], kernelSide: json.kernel.shape[1], pool: json.pool,
    spatialScale: json.spatial_scale, spatialShift: json.spatial_shift,
    weight: values("weight"), scale: values("scale"), shift: values("shift"), kernel: values("kernel"),
    reduceWeight: values("reduce_weight"), reduceBias: values("reduce_bias"),
    expandWeight: values("expand_weight"), expandBias: values("expand_bias"),
  };
}

/**
 * The network of some stages and a head, as Python sends them. Returns its `stages`; `see(picture)`, what the first block is
 * given, { x, height, width }; and `run(start, given, use)`, from what the block of a stage is given to the probabilities,
 * with the switches `use` in that block.
 */
export function openNetwork(stagesJson, headJson) {
  const stages = stagesJson.map(openStage);
  const [weight, bias] = [decode(headJson.weight).values, decode(headJson.bias).values];
  const see = (picture) => {
    const { shape: [height, width, colours = 1], values } = decode(picture);
    const size = height * width;
    const byte = (i) => values[(i % size) * colours + Math.floor(i / size)];
    const x = Float32Array.from({ length: colours * size }, (_, i) => byte(i) / 255);
    return { x: convolve(x, colours, height, width, stages[0]), height, width };
  };
  const run = (start, given, use) => {
    const seen = [];
    let map = given;
    for (let i = start; i < stages.length; i++) {
      const part = stages[i];
      const { height, width } = map;
      const x = i === start ? map.x : convolve(map.x, stages[i - 1].channels, height, width, part);
      seen[i] = { x, height, width, ...runBlock(x, height, width, part, i === start ? use : UNTOUCHED) };
      map = maxPool(seen[i].out, part.channels, height, width, part.pool);
    }
    const { channels } = stages.at(-1);
    const { mean } = poolPositions(map.x, channels, map.height * map.width);
    const logits = Array.from(bias, (shift, k) => shift + dot(mean, weight, channels, 0, k * channels));
    return { seen, probabilities: softmax(logits) };
  };
  return { stages, see, run };
}
