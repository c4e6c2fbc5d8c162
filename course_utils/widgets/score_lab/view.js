import { button, choice, focusController, slider, store, toggle } from "../page/bind.js";
import { element, styled } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { colourIndex, decode, largest, number } from "../page/maths.js";
import { blend, colourOf, colourTable, fit, outline, paintImage, paintMap } from "../page/paint.js";
import { copyButton, saveButton, scaleBar } from "../page/panels.js";

const TABLE = "magma";
const FONT = "system-ui, sans-serif";
const REACH = 3; // the plane goes from -3 to 3 on both axes
const STEPS_A_UNIT = 10;
const FIELD = 41; // points a side at which the lines of equal score are computed
const LINES = 9;
const OVERLAY = 0.6;
const STRIP = 50; // height of a row of bars
const TITLE = 18;
const WIDEST = 300; // of a plane or a photograph
const SCORES = [
  ["additive", "additive: w · tanh(W₁q + W₂k + b)"],
  ["concat", "concat: w · tanh(W[q; k] + b)"],
  ["multiplicative", "multiplicative: q · k"],
  ["scaled_multiplicative", "scaled multiplicative: q · k / √d"],
  ["general", "general: k · Wq"],
  ["biased_general", "biased general: k · (Wq + b)"],
  ["activated_general", "activated general: tanh(k · Wq + b)"],
  ["similarity_euclidean", "similarity, euclidean: −|q − k|"],
  ["similarity_cosine", "similarity, cosine: q · k / |q||k|"],
];
const ALIGNMENTS = ["softmax", "sparsemax", "sigmoid", "hard", "local", "reinforced"];

const plain = (name) => name.replace(/_/g, " ");

function dot(one, two, count, start = 0) {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += one[i] * two[start + i];
  return sum;
}

/** rows x columns matrix times vector, plus a bias where there is one. */
function apply(matrix, vector, rows, columns, bias) {
  return Float64Array.from({ length: rows }, (_, i) => dot(vector, matrix, columns, i * columns) + (bias ? bias[i] : 0));
}

const length = (vector, count, start = 0) => {
  let sum = 0;
  for (let i = start; i < start + count; i++) sum += vector[i] * vector[i];
  return Math.sqrt(sum);
};

/** The score of every key, `keys` holding `count` rows of `stride` numbers of which the first d are used. */
function scoreAll(name, parameter, query, keys, count, stride, d) {
  const each = (compare) => Float64Array.from({ length: count }, (_, l) => compare(l * stride));
  const of = (part) => parameter(`${name}.${part}`);
  const additive = (owner, fromQuery) => {
    const inKeys = parameter(`${owner}.key.weight`);
    const vector = parameter(`${owner}.vector.weight`);
    return (start) => {
      let sum = 0;
      for (let i = 0; i < vector.length; i++) sum += vector[i] * Math.tanh(fromQuery[i] + rowTimes(inKeys, i, start));
      return sum;
    };
  };
  const rowTimes = (matrix, row, start) => {
    let sum = 0;
    for (let i = 0; i < d; i++) sum += matrix[row * d + i] * keys[start + i];
    return sum;
  };
  if (name === "additive" || name === "agent.policy") {
    const bias = of("key.bias");
    return each(additive(name, apply(of("query.weight"), query, bias.length, d, bias)));
  }
  if (name === "concat") {
    const [joint, bias, vector] = [of("joint.weight"), of("joint.bias"), of("vector.weight")];
    const pair = new Float64Array(2 * d);
    pair.set(query.subarray(0, d));
    return each((start) => {
      for (let i = 0; i < d; i++) pair[d + i] = keys[start + i];
      const hidden = apply(joint, pair, bias.length, 2 * d, bias);
      return dot(hidden.map(Math.tanh), vector, vector.length);
    });
  }
  if (name.endsWith("general")) {
    const bias = name === "biased_general" ? of("weight.bias") : null;
    const turned = apply(of("weight.weight"), query, d, d, bias);
    if (name !== "activated_general") return each((start) => dot(turned, keys, d, start));
    const [shift] = of("scalar");
    return each((start) => Math.tanh(dot(turned, keys, d, start) + shift));
  }
  if (name === "similarity_euclidean") {
    return each((start) => {
      let sum = 0;
      for (let i = 0; i < d; i++) sum += (query[i] - keys[start + i]) ** 2;
      return -Math.sqrt(sum);
    });
  }
  if (name === "similarity_cosine") {
    const own = Math.max(length(query, d), 1e-12);
    return each((start) => dot(query, keys, d, start) / own / Math.max(length(keys, d, start), 1e-12));
  }
  const scale = name === "scaled_multiplicative" ? 1 / Math.sqrt(d) : 1;
  return each((start) => dot(query, keys, d, start) * scale);
}

function softmaxOver(scores, open) {
  let top = -Infinity;
  scores.forEach((score, l) => { if (open[l] && score > top) top = score; });
  const powers = scores.map((score, l) => (open[l] ? Math.exp(score - top) : 0));
  const sum = powers.reduce((total, power) => total + power, 0);
  return sum > 0 ? powers.map((power) => power / sum) : powers;
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

/** The gradient of one softmax weight with respect to each score. */
const softmaxGradient = (weights, j) => weights.map((weight, l) => weights[j] * ((l === j ? 1 : 0) - weight));

/**
 * Weights of scores that are already divided by the temperature, and `gradient(j)`, that of weight j with respect to
 * these scores.
 */
function alignScores(name, scores, { offsets, window, gaussian, estimator, sample, chances }) {
  const count = scores.length;
  const every = new Uint8Array(count).fill(1);
  if (name === "softmax") {
    const weights = softmaxOver(scores, every);
    return { weights, gradient: (j) => softmaxGradient(weights, j) };
  }
  if (name === "sparsemax") {
    const weights = sparsemax(scores);
    const kept = weights.reduce((total, weight) => total + (weight > 0), 0);
    return {
      weights,
      gradient: (j) => weights.map((weight, l) => (weights[j] > 0 && weight > 0 ? (l === j ? 1 : 0) - 1 / kept : 0)),
    };
  }
  if (name === "sigmoid") {
    const weights = scores.map((score) => 1 / (1 + Math.exp(-score)));
    return { weights, gradient: (j) => weights.map((weight, l) => (l === j ? weight * (1 - weight) : 0)) };
  }
  if (name === "hard") {
    const chance = softmaxOver(scores, every);
    const [point] = uniforms(sample, 1);
    let drawn = 0;
    for (let sum = chance[0]; sum <= point && drawn < count - 1; sum += chance[drawn]) drawn++;
    const gradient = estimator === "straight_through"
      ? (j) => softmaxGradient(chance, j)
      : (j) => chance.map((p, l) => (j === drawn ? (l === j ? 1 : 0) - p : 0));
    return { weights: chance.map((_, l) => (l === drawn ? 1 : 0)), gradient, chance, drawn };
  }
  if (name === "local") {
    const inside = offsets.map((one) => one.every((part) => Math.abs(part) <= window));
    const shares = softmaxOver(scores, inside);
    const factor = Float64Array.from(offsets, (one) =>
      (gaussian ? Math.exp((-2 * one.reduce((sum, part) => sum + part * part, 0)) / (window * window)) : 1));
    return {
      weights: shares.map((share, l) => share * factor[l]),
      gradient: (j) => softmaxGradient(shares, j).map((value) => value * factor[j]),
      kept: inside.filter(Boolean).length,
    };
  }
  const coins = uniforms(sample, count + 1).subarray(1);
  const keep = Array.from(coins, (coin, l) => coin < chances[l]);
  const weights = softmaxOver(scores, keep);
  return { weights, gradient: (j) => softmaxGradient(weights, j), keep, kept: keep.filter(Boolean).length };
}

/** Entropy in bits of the weights as shares of their sum; null where they sum to 0. */
function entropy(weights, total) {
  if (!(total > 0)) return null;
  let bits = 0;
  for (const weight of weights) if (weight > 0) bits -= (weight / total) * Math.log2(weight / total);
  return bits;
}

/** The segments of the line on which a field (side x side, row by row) has a level: marching squares. */
function lineSegments(field, side, level, visit) {
  for (let r = 0; r + 1 < side; r++) {
    for (let c = 0; c + 1 < side; c++) {
      const at = r * side + c;
      const nw = field[at];
      const ne = field[at + 1];
      const sw = field[at + side];
      const se = field[at + side + 1];
      const above = (nw > level) + (ne > level) + (se > level) + (sw > level);
      if (above === 0 || above === 4) continue;
      const places = [];
      if (nw > level !== ne > level) places.push(c + (level - nw) / (ne - nw), r);
      if (ne > level !== se > level) places.push(c + 1, r + (level - ne) / (se - ne));
      if (sw > level !== se > level) places.push(c + (level - sw) / (se - sw), r + 1);
      if (nw > level !== sw > level) places.push(c, r + (level - nw) / (sw - nw));
      for (let i = 0; i < places.length; i += 4) visit(places[i], places[i + 1], places[i + 2], places[i + 3]);
    }
  }
}

const FIELD_POINTS = Float64Array.from({ length: 2 * FIELD * FIELD }, (_, i) => {
  const point = i >> 1;
  const step = i % 2 ? Math.floor(point / FIELD) : point % FIELD;
  const along = (2 * REACH * step) / (FIELD - 1) - REACH;
  return i % 2 ? -along : along;
});

function openSource(source) {
  const { shape: [count, stride], values: keys } = decode(source.keys);
  const image = source.image && paintImage(decode(source.image));
  const { shape: [, depth], values } = decode(source.values);
  const [rows, columns] = source.steps;
  const rest = source.rest && decode(source.rest).values;
  return { ...source, count, stride, keys, values, depth, image, rows, columns, rest, isPlane: !image };
}

function render({ model, el }) {
  const house = frame({ model, el, name: "score-lab" });
  const SETTINGS = [
    "source", "scores", "alignments", "width", "temperature", "window", "gaussian", "center", "estimator", "sample",
    "chosen", "query", "locked",
  ];
  let state = {};
  let source;
  let parameters;
  let query; // what is shown: the place in focus, else the pinned one
  let results = [];

  const pull = () => {
    state = Object.fromEntries(SETTINGS.map((name) => [name, model.get(name)]));
    query = state.query;
  };
  const load = () => {
    const known = model.get("sources");
    source = openSource(known.find(({ key }) => key === state.source) ?? known[0]);
    const stored = model.get("parameters")[String(state.width)];
    const opened = new Map();
    parameters = (name) => {
      if (!opened.has(name)) opened.set(name, decode(stored[name]).values);
      return opened.get(name);
    };
  };
  const widthsOf = (stride) => Object.keys(model.get("parameters")).map(Number).filter((width) => width <= stride)
    .sort((one, two) => one - two);
  const widths = () => widthsOf(source.stride);

  /** Where a step of the plane lies. */
  const placeOf = ([row, column]) => [column, source.rows - 1 - row].map((step) => step / STEPS_A_UNIT - REACH);

  // The numbers.
  function queryVector() {
    const { stride, keys, columns, isPlane, rest } = source;
    const vector = new Float64Array(stride);
    if (isPlane) {
      vector.set(placeOf(query).map(Math.fround));
      vector.set(rest, 2);
    } else {
      const start = (query[0] * columns + query[1]) * stride;
      for (let i = 0; i < stride; i++) vector[i] = keys[start + i];
    }
    return vector.subarray(0, state.width);
  }
  function offsetsOf() {
    const { count, columns, isPlane } = source;
    if (isPlane) return Array.from({ length: count }, (_, l) => [l - state.center]);
    return Array.from({ length: count }, (_, l) => [Math.floor(l / columns) - query[0], (l % columns) - query[1]]);
  }
  function compute(vector, i) {
    const { keys, count, stride, values, depth } = source;
    const d = state.width;
    const name = state.alignments[i];
    const scores = scoreAll(state.scores[i], parameters, vector, keys, count, stride, d);
    const chances = name === "reinforced"
      && scoreAll("agent.policy", parameters, vector, keys, count, stride, d).map((logit) => 1 / (1 + Math.exp(-logit)));
    const aligned = alignScores(name, scores.map((score) => score / state.temperature), {
      ...state, chances, offsets: name === "local" ? offsetsOf() : null,
    });
    const total = aligned.weights.reduce((sum, weight) => sum + weight, 0);
    const context = new Float64Array(depth);
    aligned.weights.forEach((weight, l) => {
      for (let c = 0; c < depth; c++) context[c] += weight * values[l * depth + c];
    });
    const gradient = aligned.gradient(state.chosen).map((value) => value / state.temperature);
    return { ...aligned, scores, total, context, gradient, bits: entropy(aligned.weights, total) };
  }

  // Controls above the panels.
  const change = (values) => {
    Object.assign(state, values);
    store(model, values);
    showAll();
  };
  const sourceChoice = choice({
    label: "Keys", options: model.get("sources").map(({ key, title }) => [key, title]), value: "",
    onChange: (key) => {
      const next = model.get("sources").find((one) => one.key === key);
      const possible = widthsOf(next.keys.shape[1]);
      focus.set(null);
      query = next.start;
      change({
        source: key,
        query: next.start,
        locked: false,
        chosen: next.image ? next.start[0] * next.steps[1] + next.start[1] : 0,
        width: next.image ? possible.at(-1) : possible[0],
      });
    },
  });
  const widthSlider = slider({
    label: "d", min: 0, max: 0, step: 1, value: 0, show: (i) => (source ? String(widths()[i]) : ""),
    onInput: (i) => change({ width: widths()[i] }),
  });
  const temperature = slider({
    label: "Temperature", min: 0.1, max: 5, step: 0.1, value: 1, show: (value) => value.toFixed(1),
    onInput: (value) => change({ temperature: value }),
  });
  const top = element("div", { class: "cw-controls" }, sourceChoice.node, widthSlider.node, temperature.node);
  styled(top, { flex: "0 0 100%", marginTop: "0" });

  // Controls below, those that the two alignments have a use for.
  const window_ = slider({
    label: "Window", min: 0.5, max: 13, step: 0.5, value: 2, onInput: (value) => change({ window: value }),
  });
  const center = slider({
    label: "Center", min: 0, max: 11, step: 0.5, value: 0, show: (value) => `key ${number(value)}`,
    onInput: (value) => change({ center: value }),
  });
  const gaussian = toggle({ label: "Gaussian", value: false, onChange: (on) => change({ gaussian: on }) });
  const estimator = choice({
    label: "Gradient of hard", value: "straight_through",
    options: [["straight_through", "straight-through"], ["reinforce", "REINFORCE"]],
    onChange: (name) => change({ estimator: name }),
  });
  const again = button("Sample again", () => change({ sample: state.sample + 1 }));
  const chosen = slider({
    label: "Gradient of the weight of key", min: 0, max: 11, step: 1, value: 0, show: String,
    onInput: (value) => change({ chosen: value }),
  });
  house.controls.append(chosen.node, window_.node, center.node, gaussian.node, estimator.node, again);

  const setAt = (list, i, value) => list.map((old, j) => (i === j ? value : old));
  const panels = ["A", "B"].map((letter, i) => {
    const score = choice({
      label: `${letter}: score`, options: SCORES, value: "",
      onChange: (value) => change({ scores: setAt(state.scores, i, value) }),
    });
    const alignment = choice({
      label: "alignment", options: ALIGNMENTS.map((name) => [name, name]), value: "",
      onChange: (value) => change({ alignments: setAt(state.alignments, i, value) }),
    });
    alignment.input.setAttribute("aria-label", `${letter}: alignment`);
    styled(score.node.firstChild, { fontWeight: "600" });
    styled(score.input, { fontWeight: "400", flex: "1 1 auto" });
    const place = element("canvas", { role: i ? "img" : "application" });
    styled(place, { touchAction: "none", cursor: "crosshair", margin: "0 auto" });
    const strips = element("canvas", { role: "img" });
    const words = styled(element("span", {}), { flex: "1 1 0" });
    const swatch = styled(element("span", { "aria-hidden": "true" }), {
      flex: "none", width: "36px", height: "36px", borderRadius: "6px", border: "1px solid var(--cw-edge)",
      forcedColorAdjust: "none",
    });
    const sums = styled(element("div", {}, swatch, words), { display: "flex", gap: "8px", minHeight: "40px" });
    const choices = styled(element("div", {}, score.node, alignment.node), {
      display: "flex", flexWrap: "wrap", gap: "4px 12px", marginBottom: "8px",
    });
    const node = styled(element("div", {}, choices, place, sums, strips), { flex: "1 1 300px", minWidth: "0" });
    styled(sums, { margin: "8px 0" });
    return { letter, node, score, alignment, place, strips, words, swatch };
  });
  const scale = scaleBar("Weights, one scale for A and B");
  const keysLine = element("p", { class: "cw-panel-name cw-keys" },
    "Point to move the query, click or Enter pins it; drag it or use the arrows; Escape releases it. "
    + "A click on a bar chooses the key whose gradient is shown.");
  const foot = styled(element("div", {}, scale.node, styled(keysLine, { flex: "1 1 300px" })), {
    flex: "0 0 100%", display: "flex", flexWrap: "wrap", gap: "8px 24px",
  });
  house.stage.append(top, ...panels.map(({ node }) => node), foot);

  // Dragging a pinned query comes before hovering and pinning; a press without a move is a click.
  let dragging = false;
  let dragged = false;
  for (const { place, strips } of panels) {
    const during = (name, handler) => place.addEventListener(name, handler, { capture: true });
    during("pointerdown", (event) => {
      dragged = false;
      dragging = event.button === 0 && focus.isLocked();
      if (dragging) place.setPointerCapture(event.pointerId);
    });
    during("pointermove", (event) => {
      if (!dragging) return;
      const box = place.getBoundingClientRect();
      const clamp = (share) => Math.max(0, Math.min(1, share));
      const next = stepAt(clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height));
      if (String(next) === String(query)) return;
      dragged = true;
      query = next;
      focus.set(next, true);
      showNumbers();
    });
    for (const name of ["pointerup", "pointercancel"]) {
      during(name, () => {
        if (dragging && dragged) pin(query, true);
        dragging = false;
      });
    }
    during("click", (event) => {
      if (dragged) event.stopImmediatePropagation();
      dragged = false;
    });
    strips.addEventListener("click", (event) => {
      const box = strips.getBoundingClientRect();
      const key = Math.floor(((event.clientX - box.left) / box.width) * source.count);
      change({ chosen: Math.max(0, Math.min(source.count - 1, key)) });
    });
  }
  const pin = (place, locked) => {
    Object.assign(state, { query: place, locked });
    store(model, { query: place, locked });
  };
  /** The step of the plane nearest to a place (0 to 1), or the picture's cell under it. */
  const stepAt = (x, y) => [y, x].map((share, axis) => {
    const steps = axis ? source.columns : source.rows;
    return source.isPlane ? Math.round(share * (steps - 1)) : Math.min(steps - 1, Math.floor(share * steps));
  });
  const focus = focusController({
    canvases: panels.map(({ place }) => place),
    rows: () => source.rows,
    columns: () => source.columns,
    locate: (_, x, y) => (x < 0 || y < 0 || x >= 1 || y >= 1 ? null : stepAt(x, y)),
    start: () => state.query,
    onEdge: () => house.say([...describe(), "Edge."], { again: true }),
    onChange: (next, locked, quiet) => {
      const wasLocked = state.locked;
      query = next ?? state.query;
      if (locked) pin(next, true);
      else if (wasLocked) pin(query, false);
      showNumbers(quiet);
    },
  });

  // The plane.
  let planeSide = 0;
  const toPixel = ([x, y]) => [x, -y].map((value) => ((value + REACH) / (2 * REACH)) * planeSide);
  function drawPlane(context, i, top_) {
    const { scores, weights, context: mean } = results[i];
    context.fillStyle = house.ink("surface");
    context.fillRect(0, 0, planeSide, planeSide);
    context.strokeStyle = house.ink("line");
    context.lineWidth = 1;
    context.beginPath();
    for (let step = -REACH; step <= REACH; step++) {
      const [across, down] = toPixel([step, step]);
      context.moveTo(across, 0);
      context.lineTo(across, planeSide);
      context.moveTo(0, down);
      context.lineTo(planeSide, down);
    }
    context.stroke();
    const [middle] = toPixel([0, 0]);
    context.strokeStyle = house.ink("edge");
    context.strokeRect(-1, middle, planeSide + 2, 0);
    context.strokeRect(middle, -1, 0, planeSide + 2);
    if (state.width === 2) drawLines(context, i);
    context.font = `10px ${FONT}`;
    context.fillStyle = house.ink("soft");
    for (const step of [-2, -1, 1, 2]) {
      const [across, down] = toPixel([step, step]);
      context.textAlign = "center";
      context.textBaseline = "top";
      context.fillText(String(step), across, middle + 3);
      context.textAlign = "right";
      context.textBaseline = "middle";
      context.fillText(String(step), middle - 4, down);
    }

    const end = toPixel(placeOf(query));
    context.strokeStyle = house.ink("run-0");
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(middle, middle);
    context.lineTo(...end);
    context.stroke();

    context.font = `600 11px ${FONT}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const rows = colourTable(TABLE);
    for (let l = 0; l < source.count; l++) {
      const [x, y] = toPixel([source.values[2 * l], source.values[2 * l + 1]]);
      const none = weights[l] === 0;
      context.beginPath();
      context.arc(x, y, 10, 0, 2 * Math.PI);
      context.fillStyle = none ? house.ink("surface") : colourOf(weights[l], { table: TABLE, low: 0, high: top_ });
      context.fill();
      context.setLineDash(none ? [2, 2] : []);
      context.strokeStyle = house.ink("edge");
      context.lineWidth = 1.5;
      context.stroke();
      context.setLineDash([]);
      if (l === state.chosen) {
        context.beginPath();
        context.arc(x, y, 14, 0, 2 * Math.PI);
        context.strokeStyle = house.ink("ink");
        context.lineWidth = 2;
        context.stroke();
      }
      const start = 3 * colourIndex(weights[l], 0, top_);
      const bright = 0.3 * rows[start] + 0.59 * rows[start + 1] + 0.11 * rows[start + 2] > 120;
      context.fillStyle = none ? house.ink("soft") : bright ? "#000" : "#fff";
      context.fillText(String(l), x, y + 0.5);
    }
    drawQuery(context, end);
    drawContext(context, toPixel(mean));
    context.canvas.setAttribute("aria-label", `${panels[i].letter}: ${plane(i, scores, weights)} ${i ? "" : KEYS}`.trim());
  }
  const KEYS = "Arrow keys move the query, Enter pins it, Escape releases it.";
  const plane = (i, scores, weights) => {
    const best = largest(weights);
    return `${source.isPlane ? `${source.count} keys in the plane` : `${source.rows} by ${source.columns} cells of a photograph`}`
      + ` weighed by ${plain(state.scores[i])} and ${state.alignments[i]}; most to key ${best}, ${number(weights[best])}.`;
  };
  function drawLines(context, i) {
    const field = scoreAll(state.scores[i], parameters, queryVector(), FIELD_POINTS, FIELD * FIELD, 2, 2);
    let [low, high] = [Infinity, -Infinity];
    for (const value of field) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (!(high - low > 1e-9)) return;
    context.save();
    const step = planeSide / (FIELD - 1);
    context.strokeStyle = house.ink("soft");
    for (let n = 1; n <= LINES; n++) {
      context.globalAlpha = 0.2 + (0.7 * n) / LINES;
      context.lineWidth = 0.6 + n / LINES;
      context.beginPath();
      lineSegments(field, FIELD, low + ((high - low) * n) / (LINES + 1), (x1, y1, x2, y2) => {
        context.moveTo(x1 * step, y1 * step);
        context.lineTo(x2 * step, y2 * step);
      });
      context.stroke();
    }
    context.restore();
  }
  function drawQuery(context, [x, y]) {
    context.save();
    context.translate(x, y);
    context.rotate(Math.PI / 4);
    context.fillStyle = house.ink("run-0");
    context.fillRect(-7, -7, 14, 14);
    context.strokeStyle = house.ink("surface");
    context.lineWidth = 2;
    context.strokeRect(-7, -7, 14, 14);
    context.restore();
    const focused = focus.get();
    if (focused) outline(context, x - 14, y - 14, 28, 28, 0.5, focus.isLocked());
    context.font = `600 13px ${FONT}`;
    context.textAlign = "left";
    label(context, "q", x > planeSide - 26 ? x - 24 : x + 14, y - 10, "run-0");
  }
  function drawContext(context, [x, y]) {
    const size = 8;
    const [cx, cy] = [x, y].map((value) => Math.max(size, Math.min(planeSide - size, value)));
    for (const [ink, thickness] of [["surface", 7], ["run-1", 3]]) {
      context.strokeStyle = house.ink(ink);
      context.lineWidth = thickness;
      context.beginPath();
      context.moveTo(cx - size, cy);
      context.lineTo(cx + size, cy);
      context.moveTo(cx, cy - size);
      context.lineTo(cx, cy + size);
      context.stroke();
    }
    context.font = `600 13px ${FONT}`;
    context.textAlign = "left";
    const outside = cx !== x || cy !== y ? " (outside)" : "";
    const wide = context.measureText(`c${outside}`).width + 12;
    label(context, `c${outside}`, cx + wide > planeSide ? cx - wide - 4 : cx + 11, cy - 9, "run-1");
  }
  function label(context, text, x, y, ink) {
    context.textBaseline = "middle";
    context.lineWidth = 4;
    context.lineJoin = "round";
    context.strokeStyle = house.ink("surface");
    context.strokeText(text, x, y);
    context.fillStyle = house.ink(ink);
    context.fillText(text, x, y);
  }

  // The photograph, brought to the size of its place once, not at every move.
  let photograph = null;
  function scaled({ width, height }) {
    if (photograph?.of !== source.image || photograph.canvas.width !== width || photograph.canvas.height !== height) {
      const canvas = element("canvas", { width, height });
      const context = canvas.getContext("2d");
      context.imageSmoothingQuality = "high";
      context.drawImage(source.image, 0, 0, width, height);
      photograph = { of: source.image, canvas };
    }
    return photograph.canvas;
  }
  function drawPicture(context, i, top_, pixels) {
    const { rows, columns } = source;
    const [width, height] = [context.canvas.width, context.canvas.height];
    context.drawImage(scaled(context.canvas), 0, 0);
    const map = paintMap(results[i].weights, rows, columns, { table: TABLE, low: 0, high: top_ });
    blend(context, map, [0, 0, width, height], OVERLAY);
    const cell = ([row, column]) => [(column * width) / columns, (row * height) / rows, width / columns, height / rows];
    const [x, y, wide, tall] = cell([Math.floor(state.chosen / columns), state.chosen % columns]);
    context.strokeStyle = "#4dd0ff";
    context.lineWidth = 2 * pixels;
    context.strokeRect(x + 2 * pixels, y + 2 * pixels, wide - 4 * pixels, tall - 4 * pixels);
    outline(context, ...cell(query), pixels, focus.isLocked());
    context.canvas.setAttribute("aria-label",
      `${panels[i].letter}: ${plane(i, results[i].scores, results[i].weights)} ${i ? "" : KEYS}`.trim());
  }

  // Three rows of bars: scores, weights, gradient; below them the keys' numbers, where there is room.
  const bars = { width: 0, named: 0, height: 0 };
  function drawStrips({ strips, letter }, i, ranges) {
    const { scores, weights, gradient } = results[i];
    const { width, named, height } = bars;
    const context = strips.getContext("2d");
    const pixels = strips.width / width;
    context.setTransform(pixels, 0, 0, pixels, 0, 0);
    context.clearRect(0, 0, width, height);
    const step = width / source.count;
    const bar = step > 6 ? step - 3 : step;
    context.fillStyle = house.ink("sunken");
    context.fillRect(state.chosen * step, 0, Math.max(step, 2), height);
    const { low, high } = span(scores);
    const rows = [
      [`scores e, from ${number(span(scores, false).low)} to ${number(span(scores, false).high)}`, scores, low, high,
        () => house.ink("soft")],
      [`weights a, bars up to ${number(ranges.weight)} in A and B`, weights, 0, ranges.weight,
        (value) => colourOf(value, { table: TABLE, low: 0, high: ranges.weight })],
      [`gradient of a of key ${state.chosen} by each e, ±${number(ranges.gradient)} in A and B`, gradient,
        -ranges.gradient, ranges.gradient, (value) => house.ink(value > 0 ? "run-0" : "run-1")],
    ];
    rows.forEach(([title, values, least, most, colour], row) => {
      const start = row * (STRIP + TITLE);
      const zero = start + TITLE + (STRIP - 4) * (most / (most - least));
      context.font = `12px ${FONT}`;
      context.textAlign = "left";
      context.textBaseline = "middle";
      context.fillStyle = house.ink("soft");
      context.fillText(title, 0, start + TITLE / 2, width);
      const unit = (STRIP - 4) / (most - least);
      values.forEach((value, l) => {
        const tall = Math.abs(value) * unit;
        if (value === 0) return;
        const x = l * step + (step - bar) / 2;
        context.fillStyle = colour(value);
        context.fillRect(x, value > 0 ? zero - tall : zero, bar, Math.max(tall, 0.5));
        if (row === 1 && step > 6 && tall > 2) {
          context.strokeStyle = house.ink("edge");
          context.lineWidth = 1;
          context.strokeRect(x + 0.5, zero - tall + 0.5, bar - 1, tall - 1);
        }
      });
      context.fillStyle = house.ink("edge");
      context.fillRect(0, zero - 0.5, width, 1);
    });
    if (named) {
      context.font = `11px ${FONT}`;
      context.textAlign = "center";
      for (let l = 0; l < source.count; l++) {
        context.fillStyle = house.ink(l === state.chosen ? "ink" : "soft");
        context.fillText(String(l), (l + 0.5) * step, height - named / 2);
      }
    }
    const listed = source.count <= 24 ? `: ${[...weights].map((weight, l) => `key ${l} ${number(weight)}`).join(", ")}` : "";
    strips.setAttribute("aria-label", `${letter}: scores, weights and gradient of every key${listed}.`);
    Object.assign(strips.dataset, {
      scores: listOf(scores), weights: listOf(weights), gradient: listOf(gradient), context: listOf(results[i].context),
    });
  }
  const listOf = (values) => Array.from(values, (value) => value.toPrecision(7)).join(",");
  const span = (values, zero = true) => {
    let [low, high] = zero ? [0, 0] : [Infinity, -Infinity];
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return zero && high === low ? { low, high: low + 1 } : { low, high };
  };

  const spread = ({ bits }) => (bits === null ? "no weight at all"
    : `entropy ${number(bits)} bits, like ${number(2 ** bits)} equal keys`);
  const vector = (values) => `(${Array.from(values, number).join(", ")})`;
  const extra = (i) => {
    const { drawn, chance, kept } = results[i];
    if (state.alignments[i] === "hard") return `; it drew key ${drawn}, whose chance was ${number(chance[drawn])}`;
    if (state.alignments[i] === "local") return `; ${kept} of ${source.count} keys lie in the window`;
    if (state.alignments[i] === "reinforced") return `; the untrained agent keeps ${kept} of ${source.count} keys`;
    return "";
  };
  function showSums({ words, swatch }, i) {
    const { total, context } = results[i];
    const what = source.isPlane ? "context c" : "context, a colour (red, green, blue)";
    words.textContent = `sum of weights ${number(total)} · ${spread(results[i])} · ${what} = ${vector(context)}${extra(i)}`;
    swatch.hidden = source.isPlane;
    const channel = (value) => Math.round(255 * Math.max(0, Math.min(1, value)));
    if (!source.isPlane) swatch.style.background = `rgb(${Array.from(context, channel).join(" ")})`;
  }

  function describe() {
    const where = source.isPlane ? `at ${vector(placeOf(query))}` : `at row ${query[0]}, column ${query[1]}`;
    const said = panels.map(({ letter }, i) => {
      const { weights, total, context } = results[i];
      const best = largest(weights);
      return `${letter}, ${plain(state.scores[i])} and ${state.alignments[i]}: most to key ${best}, ${number(weights[best])}; `
        + `sum ${number(total)}, ${spread(results[i])}; context ${vector(context)}${extra(i)}.`;
    });
    return [`Query ${where}, d = ${state.width}.`, ...said, focus.hint()];
  }

  function showNumbers(quiet = false) {
    const vectorNow = queryVector();
    results = panels.map((_, i) => compute(vectorNow, i));
    const highest = (name) => Math.max(...results.map((result) => Math.max(...result[name].map(Math.abs))));
    const ranges = { weight: highest("weights") || 1, gradient: highest("gradient") || 1 };
    panels.forEach((panel, i) => {
      const context = panel.place.getContext("2d");
      const pixels = panel.place.width / parseFloat(panel.place.style.width);
      if (source.isPlane) {
        context.setTransform(pixels, 0, 0, pixels, 0, 0);
        drawPlane(context, i, ranges.weight);
      } else {
        context.setTransform(1, 0, 0, 1, 0, 0);
        drawPicture(context, i, ranges.weight, pixels);
      }
      drawStrips(panel, i, ranges);
      showSums(panel, i);
    });
    if (scale.top !== ranges.weight) scale.set({ table: TABLE, low: 0, high: ranges.weight });
    scale.top = ranges.weight;
    house.say(describe(), { quiet });
  }

  function showAll() {
    load();
    const uses = (...names) => state.alignments.some((name) => names.includes(name));
    state.chosen = Math.min(state.chosen, source.count - 1);
    sourceChoice.set(source.key);
    sourceChoice.node.hidden = model.get("sources").length < 2;
    widthSlider.input.max = widths().length - 1;
    widthSlider.set(widths().indexOf(state.width));
    temperature.set(state.temperature);
    chosen.input.max = source.count - 1;
    chosen.set(state.chosen);
    window_.set(state.window);
    window_.node.hidden = !uses("local");
    gaussian.set(state.gaussian);
    gaussian.node.hidden = !uses("local");
    center.input.max = source.count - 1;
    center.set(state.center);
    center.node.hidden = !uses("local") || !source.isPlane;
    estimator.set(state.estimator);
    estimator.node.hidden = !uses("hard");
    again.hidden = !uses("hard", "reinforced");
    if (house.root.clientWidth === 0) return;
    panels.forEach(({ score, alignment, place, strips, node }, i) => {
      score.set(state.scores[i]);
      alignment.set(state.alignments[i]);
      const width = Math.floor(node.clientWidth);
      planeSide = Math.min(width, WIDEST);
      fit(place, planeSide, source.isPlane ? 1 : source.image.height / source.image.width);
      const named = source.count <= 24 ? 14 : 0;
      Object.assign(bars, { width, named, height: 3 * (STRIP + TITLE) + named });
      fit(strips, width, bars.height / width);
    });
    showNumbers();
  }
  const takeAll = () => {
    pull();
    load();
    focus.set(state.locked ? state.query : null, state.locked);
    showAll();
  };

  pull();
  load();
  focus.set(state.locked ? state.query : null, state.locked);
  const mine = (name) => JSON.stringify(state[name]) === JSON.stringify(model.get(name));
  house.listen(["sources", "parameters"], takeAll);
  for (const name of SETTINGS) house.listen(name, () => { if (!mine(name)) takeAll(); });
  house.whenShown(showAll);

  const compose = () => {
    const [first] = panels;
    const pixels = first.place.width / parseFloat(first.place.style.width);
    const gap = Math.round(16 * pixels);
    const wide = Math.max(first.place.width, first.strips.width);
    const head = Math.round(24 * pixels);
    const sheet = document.createElement("canvas");
    sheet.width = 2 * wide + 3 * gap;
    sheet.height = head + first.place.height + first.strips.height + 4 * gap + head;
    const context = sheet.getContext("2d");
    context.fillStyle = house.ink("surface");
    context.fillRect(0, 0, sheet.width, sheet.height);
    context.textBaseline = "top";
    context.font = `600 ${Math.round(13 * pixels)}px ${FONT}`;
    panels.forEach(({ letter, place, strips }, i) => {
      const x = gap + i * (wide + gap);
      context.fillStyle = house.ink("ink");
      context.fillText(`${letter}: ${plain(state.scores[i])}, ${state.alignments[i]}`, x, gap, wide);
      context.drawImage(place, x, gap + head);
      context.drawImage(strips, x, gap + head + place.height + gap);
    });
    const under = sheet.height - head - gap / 2;
    context.drawImage(scale.canvas, gap, under, wide / 2, head / 2);
    context.font = `${Math.round(12 * pixels)}px ${FONT}`;
    context.fillText(`weights, from 0 to ${number(scale.top)}`, gap + wide / 2 + gap / 2, under);
    return sheet;
  };
  const code = () => {
    const listing = panels.map(({ letter }, i) => {
      const name = state.alignments[i];
      const { drawn, keep } = results[i];
      const options = {
        hard: `, estimator="${state.estimator}"`,
        local: `, center=center, window=${state.window}${state.gaussian ? ", gaussian=True" : ""}`
          + (source.isPlane ? "" : `, shape=(${source.rows}, ${source.columns})`),
        reinforced: ", keep=keep",
      }[name] ?? "";
      const before = {
        local: source.isPlane ? `center = torch.tensor([[${state.center}]])\n` : `center = torch.tensor([[[${query.join(", ")}]]])\n`,
        reinforced: `keep = torch.zeros(1, 1, ${source.count}, dtype=torch.bool)\nkeep[..., `
          + `[${(keep ?? []).flatMap((kept, l) => (kept ? [l] : [])).join(", ")}]] = True  # what the agent tossed\n`,
      }[name] ?? "";
      const after = name === "hard" ? `  # draws anew; the page drew key ${drawn}` : "";
      return `\n# ${letter}\nscores = lab_score("${state.scores[i]}", ${state.width})(query, keys) / ${state.temperature}\n`
        + `${before}weights = align("${name}", scores${options})${after}\ncontext = weights @ values\n`;
    });
    const uses = listing.join("").includes("torch.") ? "import torch\n\n" : "";
    return `${uses}from course_utils.attention import align\nfrom course_utils.widgets.score_lab.explore import lab_inputs, lab_score\n\n`
      + `query, keys, values = lab_inputs("${source.key}", ${state.width}, (${query.join(", ")}))\n${listing.join("")}`;
  };
  house.actions.append(saveButton(house, compose, "score-lab.png"), copyButton(house, code));
  return house.end;
}

export default { render };
