// Scores, alignments and their gradients, as `course_utils.attention` computes them. Runs without a page.

import { dot, largest, matrixTimes, sigmoid, softmax } from "../page/maths.js";

const norm = (vector, count, start = 0) => Math.max(Math.sqrt(dot(vector, vector, count, start, start)), 1e-12);

const additive = (of, query) => {
  const [inKeys, bias, vector] = [of("key.weight"), of("key.bias"), of("vector.weight")];
  const d = query.length;
  const fromQuery = matrixTimes(of("query.weight"), query, bias);
  return (keys, start) => {
    let sum = 0;
    for (let i = 0; i < vector.length; i++) {
      sum += vector[i] * Math.tanh(fromQuery[i] + dot(inKeys, keys, d, i * d, start));
    }
    return sum;
  };
};

const general = (biased) => (of, query) => {
  const turned = matrixTimes(of("weight.weight"), query, biased && of("weight.bias"));
  return (keys, start) => dot(turned, keys, turned.length, 0, start);
};

/** For each score: (of, query) -> (keys, start) -> the score of the key there; `of` gives its parameters. */
const COMPARE = {
  additive,
  "agent.policy": additive,
  concat: (of, query) => {
    const [joint, bias, vector] = [of("joint.weight"), of("joint.bias"), of("vector.weight")];
    const d = query.length;
    const pair = new Float64Array(2 * d);
    pair.set(query);
    return (keys, start) => {
      for (let i = 0; i < d; i++) pair[d + i] = keys[start + i];
      return dot(matrixTimes(joint, pair, bias).map(Math.tanh), vector);
    };
  },
  multiplicative: (_, query) => (keys, start) => dot(query, keys, query.length, 0, start),
  scaled_multiplicative: (_, query) => (keys, start) =>
    dot(query, keys, query.length, 0, start) / Math.sqrt(query.length),
  general: general(false),
  biased_general: general(true),
  activated_general: (of, query) => {
    const compare = general(false)(of, query);
    const [shift] = of("scalar");
    return (keys, start) => Math.tanh(compare(keys, start) + shift);
  },
  similarity_euclidean: (_, query) => (keys, start) =>
    -Math.sqrt(query.reduce((sum, value, i) => sum + (value - keys[start + i]) ** 2, 0)),
  similarity_cosine: (_, query) => {
    const d = query.length;
    const own = norm(query, d);
    return (keys, start) => dot(query, keys, d, 0, start) / own / norm(keys, d, start);
  },
};

/** The score of every key: `keys` holds `count` rows of `stride` numbers, of which the query's length is used. */
export function scoreAll(name, parameter, query, keys, count, stride) {
  const compare = COMPARE[name]((part) => parameter(`${name}.${part}`), query);
  return Float64Array.from({ length: count }, (_, l) => compare(keys, l * stride));
}

function sparsemax(scores) {
  const sorted = Float64Array.from(scores).sort().reverse();
  let sum = 0;
  let tau = 0;
  for (let k = 0; k < sorted.length; k++) {
    sum += sorted[k];
    if (sorted[k] * (k + 1) <= sum - 1) break;
    tau = (sum - 1) / (k + 1);
  }
  return scores.map((score) => Math.max(score - tau, 0));
}

/** Even numbers in [0, 1) that depend on the seed alone (mulberry32). */
function uniforms(seed, count) {
  let state = seed >>> 0;
  return Float64Array.from({ length: count }, () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  });
}

const counted = (list) => list.filter(Boolean).length;

/** The gradient of one softmax weight with respect to each score. */
const softmaxGradient = (weights, j) => weights.map((weight, l) => weights[j] * (Number(l === j) - weight));

/**
 * For each alignment: (scores, options) -> { weights, gradient(j) }, the gradient of weight j with respect to each
 * score; `kept`, how many keys took part; hard: the key `drawn` and every key's `chance`; reinforced: which keys it may
 * `keep`.
 */
export const ALIGN = {
  softmax: (scores) => {
    const weights = softmax(scores);
    return { weights, gradient: (j) => softmaxGradient(weights, j) };
  },
  sparsemax: (scores) => {
    const weights = sparsemax(scores);
    const kept = counted([...weights]);
    const slope = (j, l) => (weights[j] > 0 && weights[l] > 0 ? Number(l === j) - 1 / kept : 0);
    return { weights, gradient: (j) => weights.map((_, l) => slope(j, l)) };
  },
  sigmoid: (scores) => {
    const weights = scores.map(sigmoid);
    return { weights, gradient: (j) => weights.map((weight, l) => (l === j ? weight * (1 - weight) : 0)) };
  },
  hard: (scores, { estimator, sample }) => {
    const chance = softmax(scores);
    const [point] = uniforms(sample, 1);
    let drawn = 0;
    for (let sum = chance[0]; sum <= point && drawn < chance.length - 1; sum += chance[drawn]) drawn++;
    const gradient = estimator === "straight_through"
      ? (j) => softmaxGradient(chance, j)
      : (j) => chance.map((p, l) => (j === drawn ? Number(l === j) - p : 0));
    return { weights: chance.map((_, l) => Number(l === drawn)), gradient, chance, drawn };
  },
  local: (scores, { offsets, window, gaussian }) => {
    const inside = offsets.map((one) => one.every((part) => Math.abs(part) <= window));
    const shares = softmax(scores, inside);
    const factor = offsets.map((one) => (gaussian ? Math.exp((-2 * dot(one, one)) / (window * window)) : 1));
    return {
      weights: shares.map((share, l) => share * factor[l]),
      gradient: (j) => softmaxGradient(shares, j).map((value) => value * factor[j]),
      kept: counted(inside),
    };
  },
  reinforced: (scores, { sample, chances }) => {
    const coins = uniforms(sample, scores.length + 1).subarray(1);
    const keep = Array.from(coins, (coin, l) => coin < chances[l]);
    const weights = softmax(scores, keep);
    return { weights, gradient: (j) => softmaxGradient(weights, j), keep, kept: counted(keep) };
  },
};

/** Sum, the key with the most, and entropy in bits of the weights as shares of their sum (null where it is 0). */
export function summary(weights) {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (!(total > 0)) return { total, best: 0, bits: null };
  let bits = 0;
  for (const weight of weights) if (weight > 0) bits -= (weight / total) * Math.log2(weight / total);
  return { total, best: largest(weights), bits };
}

/** The segments of the line on which a field (side x side, row by row) has a level: marching squares. */
export function lineSegments(field, side, level, visit) {
  for (let r = 0; r + 1 < side; r++) {
    for (let c = 0; c + 1 < side; c++) {
      const at = r * side + c;
      const [nw, ne, sw, se] = [field[at], field[at + 1], field[at + side], field[at + side + 1]];
      const isHigh = nw > level;
      if (ne > level === isHigh && sw > level === isHigh && se > level === isHigh) continue;
      const places = [];
      if (nw > level !== ne > level) places.push(c + (level - nw) / (ne - nw), r);
      if (ne > level !== se > level) places.push(c + 1, r + (level - ne) / (se - ne));
      if (sw > level !== se > level) places.push(c + (level - sw) / (se - sw), r + 1);
      if (nw > level !== sw > level) places.push(c, r + (level - nw) / (sw - nw));
      for (let i = 0; i < places.length; i += 4) visit(places[i], places[i + 1], places[i + 2], places[i + 3]);
    }
  }
}
