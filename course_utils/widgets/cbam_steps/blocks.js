// A network of convolutions with CBAM, run in the page: what every block computes on the way. Runs without a page.

import { asMaps, decode, sigmoid, softmax } from "../page/maths.js";
import { convolution, linear, mean, pool } from "../page/network.js";

/** CBAM as it was trained. */
export const UNTOUCHED = {
  order: "channel first", channel_mean: true, channel_max: true, spatial_max: true, spatial_mean: true,
};

/** A layer as Python sends it, `weight` and `bias`, as the operations of page/network.js take it. */
function openLayer(json) {
  const [{ shape, values: weight }, { values: bias }] = [json.weight, json.bias].map(decode);
  const half = ((shape[3] ?? 1) - 1) / 2;
  const padding = [half, half, half, half];
  return { outputs: shape[0], kernel: shape.slice(2), stride: [1, 1], padding, tensors: { weight, bias } };
}

/** Runs a layer; the result is its own, so that it can be kept. */
const apply = (operation, x, layer) => operation([x], { ...layer });

/** Mean and maximum over the channels at every position, one map after the other: max, mean. */
export function poolChannels({ shape: [channels, height, width], data }) {
  const size = height * width;
  const both = new Float32Array(2 * size).fill(-Infinity, 0, size);
  for (let k = 0; k < channels * size; k++) {
    const i = k % size;
    both[i] = Math.max(both[i], data[k]);
    both[size + i] += data[k] / channels;
  }
  return { shape: [2, height, width], data: both };
}

/** The gate of every channel; ones where neither pool is used. */
function channelGates(x, { reduce, expand }, use) {
  const [channels, ...kernel] = x.shape;
  const used = [
    ...(use.channel_mean ? [mean([x])] : []),
    ...(use.channel_max ? [{ shape: [channels], data: pool([x], { kernel, kind: "max" }).data }] : []),
  ];
  const logits = used.map((pooled) => {
    const hidden = apply(linear, pooled, reduce);
    return apply(linear, { ...hidden, data: hidden.data.map((value) => Math.max(0, value)) }, expand).data;
  });
  return Float32Array.from({ length: channels }, (_, c) =>
    (used.length ? sigmoid(logits.reduce((sum, one) => sum + one[c], 0)) : 1));
}

/** What the spatial part pools, and the gate of every position; ones where neither pool is used. */
function spatialGates(x, { spatial }, use) {
  const { shape, data } = poolChannels(x);
  const size = shape[1] * shape[2];
  const seen = data.slice();
  if (!use.spatial_max) seen.fill(0, 0, size);
  if (!use.spatial_mean) seen.fill(0, size);
  const { data: logits } = apply(convolution, { shape, data: seen }, spatial);
  const isUsed = use.spatial_max || use.spatial_mean;
  return { max: data.subarray(0, size), mean: data.subarray(size), mask: logits.map(isUsed ? sigmoid : () => 1) };
}

/** One CBAM block with its switches: everything that it computes on the way. */
function runBlock(x, part, { order, ...use }) {
  const size = x.shape[1] * x.shape[2];
  const times = (map, factor) => ({ ...map, data: map.data.map((value, i) => value * factor(i)) });
  const byChannel = (map, gates) => times(map, (i) => gates[Math.floor(i / size)]);
  const byPlace = (map, mask) => times(map, (i) => mask[i % size]);
  if (order === "channel first") {
    const gates = channelGates(x, part, use);
    const refined = byChannel(x, gates);
    const spatial = spatialGates(refined, part, use);
    return { gates, ...spatial, out: byPlace(refined, spatial.mask) };
  }
  const spatial = spatialGates(x, part, use);
  const refined = byPlace(x, spatial.mask);
  const gates = channelGates(refined, part, use);
  return { gates, ...spatial, out: byChannel(refined, gates) };
}

/**
 * The network of some stages and a head, as Python sends them. Returns its `stages`; `see(picture)`, the map that the
 * first block is given; and `run(start, given, use)`, from what the block of a stage is given to the probabilities,
 * with the switches `use` in that block.
 */
export function openNetwork(stagesJson, headJson) {
  const stages = stagesJson.map(({ name, pool: side, ...layers }) => ({
    name, side, ...Object.fromEntries(Object.entries(layers).map(([key, layer]) => [key, openLayer(layer)])),
  }));
  const head = openLayer(headJson);
  const featureMap = (x, part) => {
    const { shape, data } = apply(convolution, x, part.convolution);
    return { shape, data: data.map((value) => Math.max(0, value)) };
  };
  const see = (picture) => featureMap(asMaps(decode(picture)), stages[0]);
  const run = (start, given, use) => {
    const seen = [];
    let x = given;
    for (let i = start; i < stages.length; i++) {
      if (i > start) x = featureMap(x, stages[i]);
      seen[i] = { x, ...runBlock(x, stages[i], i === start ? use : UNTOUCHED) };
      x = pool([seen[i].out], { kernel: [stages[i].side, stages[i].side], kind: "max" });
    }
    return { seen, probabilities: softmax(Array.from(apply(linear, mean([x]), head).data)) };
  };
  return { stages, see, run };
}
