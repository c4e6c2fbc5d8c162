import { button, choice, gestures, keyWords, slider, store, toggle, traitControls } from "../page/bind.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import {
  colourIndex, decode, extent, listed, number, once, placeInWords, sigmoid, spreadInWords,
} from "../page/maths.js";
import {
  colourOf, drawHeat, easel, fit, frameCell, outline, paintImage, pixelsOf, TABLES, writeText,
} from "../page/paint.js";
import { instrument, note, scaleBar } from "../page/panels.js";
import { drawBars, drawLine } from "../page/plot.js";
import { bindView } from "../page/pointing.js";
import { ALIGN, lineSegments, scoreAll, summary } from "./formulas.js";

const TABLE = "magma";
const REACH = 3; // the plane goes from -3 to 3 on both axes
const STEPS_A_UNIT = 10;
const FIELD = 41; // points a side at which the lines of equal score are computed
const LINES = 9;
const STRIP = 50; // height of a row of bars
const TITLE = 18;
const WIDEST = 340; // of a plane or a photograph: on a phone A and B are in view together
const FEW = 24; // so many keys can be numbered below their bars
const SCORES = [
  ["additive", "additive: w · tanh(W₁q + W₂k + b)"],
  ["concat", "concat: w · tanh(W[q; k] + b)"],
  ["multiplicative", "multiplicative: q · k"],
  ["scaled_multiplicative", "scaled multiplicative: q·k/√d"],
  ["general", "general: k · Wq"],
  ["biased_general", "biased general: k · (Wq + b)"],
  ["activated_general", "activated general: tanh(k · Wq + b)"],
  ["similarity_euclidean", "similarity, euclidean: −|q − k|"],
  ["similarity_cosine", "similarity, cosine: q · k / |q||k|"],
];
const SETTINGS = [
  "temperature", "window", "gaussian", "center", "estimator", "sample", "own_range", "scores", "alignments", "chosen",
];

const plain = (name) => name.replace(/_/g, " ");
const vector = (values) => `(${Array.from(values, number).join(", ")})`;
const inTwo = (values) => vector(values.map((value) => Number(value.toFixed(2))));

/** The field's points, (x, y) after (x, y), row by row. */
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

const widthsOf = (model, numbers) =>
  Object.keys(model.get("parameters")).map(Number).filter((width) => width <= numbers).sort((one, two) => one - two);

/** What the learner has set, within what the source allows. Returns `read()`; arrays are decoded once. */
function laboratory(model) {
  const [open, decoded] = [once(openSource), once(decode)];
  return () => {
    const known = model.get("sources");
    const source = open(known.find(({ key }) => key === model.get("source")) ?? known[0]);
    const widths = widthsOf(model, source.stride);
    const width = widths.includes(model.get("width")) ? model.get("width") : widths.at(-1);
    const stored = model.get("parameters")[String(width)];
    return {
      source, widths, width,
      ...Object.fromEntries(SETTINGS.map((name) => [name, model.get(name)])),
      chosen: Math.min(model.get("chosen"), source.count - 1),
      parameter: (name) => decoded(stored[name]).values,
    };
  };
}

/** Where a step of the plane lies. */
const placeOf = ({ rows }, [row, column]) => [column, rows - 1 - row].map((step) => step / STEPS_A_UNIT - REACH);

function queryVector({ source, width }, query) {
  const { stride, keys, columns, isPlane, rest } = source;
  const start = (query[0] * columns + query[1]) * stride;
  if (!isPlane) return Float64Array.from(keys.subarray(start, start + width));
  return Float64Array.from([...placeOf(source, query).map(Math.fround), ...rest]).subarray(0, width);
}

/** Scores, weights, gradient, context and sums of combination `i` (0: A, 1: B) for a query. */
function compute(lab, i, query) {
  const { source, parameter, temperature, chosen, center } = lab;
  const { keys, count, stride, values, depth, columns, isPlane } = source;
  const own = queryVector(lab, query);
  const scoreBy = (name) => scoreAll(name, parameter, own, keys, count, stride);
  const scores = scoreBy(lab.scores[i]);
  const offset = (l) => (isPlane ? [l - center] : [Math.floor(l / columns) - query[0], (l % columns) - query[1]]);
  const name = lab.alignments[i];
  const aligned = ALIGN[name](scores.map((score) => score / temperature), {
    ...lab,
    offsets: name === "local" ? Array.from({ length: count }, (_, l) => offset(l)) : null,
    chances: name === "reinforced" ? scoreBy("agent.policy").map(sigmoid) : null,
  });
  const context = new Float64Array(depth);
  aligned.weights.forEach((weight, l) => {
    for (let c = 0; c < depth; c++) context[c] += weight * values[l * depth + c];
  });
  const gradient = aligned.gradient(chosen).map((value) => value / temperature);
  return { ...aligned, ...summary(aligned.weights), scores, context, gradient };
}

// The plane. Its drawings take a plot: { context, side, ink }, in CSS pixels.

const toPixel = ({ side }, place) => [place[0], -place[1]].map((value) => ((value + REACH) / (2 * REACH)) * side);

function stroke({ context, ink }, colour, thickness, ...lines) {
  context.strokeStyle = ink(colour);
  context.lineWidth = thickness;
  for (const line of lines) drawLine(context, line);
}

/** Words on a halo, so that they can be read on everything. */
function write({ context, ink }, text, x, y, colour) {
  writeText(context, text, x, y, { ink: ink(colour), size: 13, weight: 600, edge: ink("surface") });
}

function drawGround(plot) {
  const { context, side, ink } = plot;
  context.fillStyle = ink("surface");
  context.fillRect(0, 0, side, side);
  const lines = (step) => {
    const [across, down] = toPixel(plot, [step, step]);
    return [[[across, 0], [across, side]], [[0, down], [side, down]]];
  };
  for (let step = -REACH; step <= REACH; step++) stroke(plot, "line", 1, ...lines(step));
  stroke(plot, "edge", 1, ...lines(0));
  const style = { ink: ink("soft"), size: 10 };
  for (const step of [-2, -1, 1, 2]) {
    const [across, down] = toPixel(plot, [step, step]);
    writeText(context, step, across, side / 2 + 3, { ...style, align: "center", line: "top" });
    writeText(context, step, side / 2 - 4, down, { ...style, align: "right" });
  }
}

/** The places where a key would get the same score; there are such lines where keys have two numbers. */
function drawLevels({ context, side, ink }, { scores, parameter }, i, query) {
  const field = scoreAll(scores[i], parameter, query, FIELD_POINTS, FIELD * FIELD, 2);
  const { low, high } = extent(field);
  if (!(high - low > 1e-9)) return;
  context.save();
  const step = side / (FIELD - 1);
  context.strokeStyle = ink("soft");
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

function drawKey({ context, ink }, [x, y], words, weight, top, isChosen) {
  const none = weight === 0;
  const disc = (radius) => {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
  };
  disc(10);
  context.fillStyle = none ? ink("surface") : colourOf(weight, { table: TABLE, low: 0, high: top });
  context.fill();
  context.setLineDash(none ? [2, 2] : []);
  context.strokeStyle = ink("edge");
  context.lineWidth = 1.5;
  context.stroke();
  context.setLineDash([]);
  if (isChosen) {
    disc(14);
    context.strokeStyle = ink("ink");
    context.lineWidth = 2;
    context.stroke();
  }
  const [red, green, blue] = TABLES[TABLE].subarray(3 * colourIndex(weight, 0, top));
  const onDisc = 0.3 * red + 0.59 * green + 0.11 * blue > 120 ? "#000" : "#fff";
  const style = { ink: none ? ink("soft") : onDisc, size: 11, weight: 600, align: "center" };
  writeText(context, words, x, y + 0.5, style);
}

function drawQuery(plot, [x, y], focus) {
  const { context, side, ink } = plot;
  stroke(plot, "run-0", 2, [toPixel(plot, [0, 0]), [x, y]]);
  context.save();
  context.translate(x, y);
  context.rotate(Math.PI / 4);
  context.fillStyle = ink("run-0");
  context.fillRect(-7, -7, 14, 14);
  context.strokeStyle = ink("surface");
  context.lineWidth = 2;
  context.strokeRect(-7, -7, 14, 14);
  context.restore();
  if (focus.get()) outline(context, x - 14, y - 14, 28, 28, 0.5, focus.isPinned());
  write(plot, "q", x > side - 26 ? x - 24 : x + 14, y - 10, "run-0");
}

function drawContext(plot, [x, y]) {
  const { context, side } = plot;
  const size = 8;
  const [cx, cy] = [x, y].map((value) => Math.max(size, Math.min(side - size, value)));
  for (const [colour, thickness] of [["surface", 7], ["run-1", 3]]) {
    stroke(plot, colour, thickness, [[cx - size, cy], [cx + size, cy]], [[cx, cy - size], [cx, cy + size]]);
  }
  const [words, wide] = cx !== x || cy !== y ? ["c (outside)", 84] : ["c", 20];
  write(plot, words, cx + wide > side ? cx - wide - 4 : cx + 11, cy - 9, "run-1");
}

function drawPlane(plot, lab, i, { weights, context: mean }, { top, query, focus }) {
  const { source: { values, count }, width, chosen } = lab;
  drawGround(plot);
  if (width === 2) drawLevels(plot, lab, i, queryVector(lab, query));
  const end = toPixel(plot, placeOf(lab.source, query));
  for (let l = 0; l < count; l++) {
    drawKey(plot, toPixel(plot, values.subarray(2 * l)), String(l + 1), weights[l], top, l === chosen);
  }
  drawQuery(plot, end, focus);
  drawContext(plot, toPixel(plot, mean));
}

/** The photograph under its weights; a light frame round the cell whose gradient is shown. */
function drawPicture(canvas, { source: { image, rows, columns }, chosen }, { weights }, { top, query, focus }) {
  const context = drawHeat(canvas, image, weights, [rows, columns], { table: TABLE, low: 0, high: top });
  const [wide, tall] = [canvas.width / columns, canvas.height / rows];
  const pixels = pixelsOf(canvas);
  context.strokeStyle = "#4dd0ff";
  context.lineWidth = 2 * pixels;
  context.strokeRect((chosen % columns) * wide + 2 * pixels, Math.floor(chosen / columns) * tall + 2 * pixels,
    wide - 4 * pixels, tall - 4 * pixels);
  frameCell(canvas, [rows, columns], query, focus.isPinned());
}

// The bars.

const withZero = (values) => {
  const { low, high } = extent(values);
  return low >= 0 && high <= 0 ? { low: 0, high: 1 } : { low: Math.min(low, 0), high: Math.max(high, 0) };
};

/** Three rows of bars: scores, weights, gradient; below them the keys' numbers, where there is room. */
function drawStrips(strips, house, { chosen, source: { count } }, result, { width, top, steepest }) {
  const { scores, weights, gradient } = result;
  const { ink } = house;
  const height = 3 * (STRIP + TITLE) + (count <= FEW ? 14 : 0);
  const context = easel(strips, width, height);
  const step = width / count;
  context.fillStyle = ink("sunken");
  context.fillRect(chosen * step, 0, Math.max(step, 2), height);
  const { low, high } = extent(scores);
  const rows = [
    [`scores e, from ${number(low)} to ${number(high)}`, scores, { ...withZero(scores), colour: () => ink("soft") }],
    [`weights a; full height ${number(top)}`, weights, {
      low: 0, high: top, edged: true, colour: (value) => colourOf(value, { table: TABLE, low: 0, high: top }),
    }],
    [`gradient of weight ${chosen + 1} by each score; full height ±${number(steepest)}`, gradient, {
      low: -steepest, high: steepest, colour: (value) => ink(value > 0 ? "run-0" : "run-1"),
    }],
  ];
  rows.forEach(([title, values, style], i) => {
    const start = i * (STRIP + TITLE);
    writeText(context, title, 0, start + TITLE / 2, { ink: ink("soft"), most: width });
    drawBars(context, house, [0, start + TITLE, width, STRIP - 4], values, style);
  });
  for (let l = 0; count <= FEW && l < count; l++) {
    const style = { ink: ink(l === chosen ? "ink" : "soft"), size: 11, align: "center" };
    writeText(context, l + 1, (l + 0.5) * step, height - 7, style);
  }
}

// In words.

const cellOf = ({ columns }, l) => [Math.floor(l / columns), l % columns];
const nameOfKey = (source, l) => (source.isPlane ? `key ${l + 1}` : placeInWords(cellOf(source, l)));

/** Three lines about a combination: sum and context, spread, and what its alignment did. */
function sumsInWords({ source, alignments }, i, { total, bits, context, weights, drawn, chance, kept }) {
  const name = alignments[i];
  const did = {
    sparsemax: () => `${weights.filter((weight) => weight > 0).length} of ${source.count} keys have a weight above 0.`,
    hard: () => `Drew ${nameOfKey(source, drawn)}, with a chance of ${number(chance[drawn])}.`,
    local: () => `${kept} of ${source.count} keys lie in the window.`,
    reinforced: () => `The untrained agent keeps ${kept} of ${source.count} keys.`,
  };
  return [
    `The weights sum to ${number(total)}; context ${inTwo(context)}.`,
    bits === null ? "No key has any weight."
      : `Entropy ${number(bits)} bits: ${spreadInWords(2 ** bits, source.count)}.`,
    did[name]?.() ?? "",
  ];
}

const describe = (lab, results, query, focus) => {
  const { source } = lab;
  const where = source.isPlane ? `at ${vector(placeOf(source, query))}` : `in ${placeInWords(query)}`;
  const most = results.map(({ best, weights, bits }, i) =>
    `${"AB"[i]} on ${bits === null ? "no key" : `${nameOfKey(source, best)}, ${number(weights[best])}`}`);
  const heard = results.map((result, i) =>
    `${"AB"[i]}: ${sumsInWords(lab, i, result).filter(Boolean).join(" ")}`).join(" ");
  return [{ aside: `Query ${where}.` }, `Most weight: ${most.join("; ")}.`, focus.hint(), { heard }];
};

/** The lines that reproduce what is shown. */
function codeFor(lab, results, query) {
  const { source, width, temperature, window, gaussian, center, estimator, scores, alignments } = lab;
  const place = query.join(", ");
  const listing = results.map(({ drawn, keep }, i) => {
    const name = alignments[i];
    const options = {
      hard: `, estimator="${estimator}"`,
      local: `, center=center, window=${window}${gaussian ? ", gaussian=True" : ""}`
        + (source.isPlane ? "" : `, shape=(${source.rows}, ${source.columns})`),
      reinforced: ", keep=keep",
    }[name] ?? "";
    const kept = (keep ?? []).flatMap((isKept, l) => (isKept ? [l] : [])).join(", ");
    const before = {
      local: `center = torch.tensor(${source.isPlane ? `[[${center}]]` : `[[[${place}]]]`})\n`,
      reinforced: `keep = torch.zeros(1, 1, ${source.count}, dtype=torch.bool)\n`
        + `keep[..., [${kept}]] = True  # what the agent keeps\n`,
    }[name] ?? "";
    const after = name === "hard" ? `  # draws again; the page drew key ${drawn}` : "";
    return `\n# ${"AB"[i]}\nscores = lab_score("${scores[i]}", ${width})(query, keys) / ${temperature}\n`
      + `${before}weights = align("${name}", scores${options})${after}\ncontext = weights @ values\n`;
  }).join("");
  return `${listing.includes("torch.") ? "import torch\n\n" : ""}from course_utils.attention import align\n`
    + "from course_utils.widgets.score_lab.explore import lab_inputs, lab_score\n\n"
    + "# rows, columns and keys count from 0\n"
    + `query, keys, values = lab_inputs("${source.key}", ${width}, (${place}))\n${listing}`;
}

// The parts.

/** A or B: `node` holds its score, its alignment and the plane or photograph, `below` its sums and its bars. */
function comparison(house, model, i) {
  const letter = "AB"[i];
  const named = (part, options) => {
    const made = choice({
      label: part === "score" ? letter : "", options, value: "",
      onChange: (value) => store(model, { [`${part}s`]: model.get(`${part}s`).with(i, value) }),
    });
    made.input.setAttribute("aria-label", `${letter}: ${part}`);
    return made;
  };
  const score = named("score", SCORES);
  const alignment = named("alignment", Object.keys(ALIGN).map((name) => [name, name]));
  const heading = element("div", { class: "cw-lab-head" }, score.node, alignment.node);
  const place = element("canvas", { role: i ? "img" : "application", class: "cw-pointed cw-lab-place" });
  const strips = element("canvas", { role: "img" });
  const lines = [0, 1, 2].map(() => element("div", {}));
  const swatch = element("span", { class: "cw-lab-swatch", "aria-hidden": "true" });
  const sums = element("div", { class: "cw-lab-head" }, swatch, element("div", {}, ...lines));
  const scale = scaleBar("Weights");
  const node = element("div", {}, heading, place);
  const below = element("div", {}, sums, scale.node, strips);
  strips.addEventListener("click", ({ offsetX }) => {
    const { count } = laid.source;
    store(model, { chosen: Math.max(0, Math.min(count - 1, Math.floor((offsetX * count) / strips.clientWidth))) });
  });

  let laid = null; // { source, side, width }: what is shown, in a panel as wide as it was when all was drawn last
  const layOut = ({ source, scores, alignments }) => {
    score.set(scores[i]);
    alignment.set(alignments[i]);
    swatch.hidden = source.isPlane;
    const [side, width] = [Math.min(node.clientWidth, WIDEST), below.clientWidth].map(Math.floor);
    laid = { source, side, width };
    sums.style.minHeight = `${width > 380 ? 80 : source.isPlane ? 100 : 120}px`; // no jump between settings
    const what = source.isPlane ? `${source.count} keys in the plane` : "the cells of a photograph";
    place.setAttribute("aria-label", `${letter}: ${what}, weighted by ${plain(scores[i])} with ${alignments[i]}. `
      + (i ? "" : keyWords()));
  };
  const draw = (lab, result, shown) => {
    const { source, side, width } = laid;
    if (source.isPlane) drawPlane({ context: easel(place, side, side), side, ink: house.ink }, lab, i, result, shown);
    else {
      fit(place, side, source.image.height / source.image.width);
      drawPicture(place, lab, result, shown);
    }
    drawStrips(strips, house, lab, result, { ...shown, width });
  };
  const tell = (lab, result, { top }) => {
    const { source, count = source.count } = laid;
    scale.set({ table: TABLE, low: 0, high: top });
    sumsInWords(lab, i, result).forEach((words, n) => { lines[n].textContent = words; });
    const channel = (value) => Math.round(255 * Math.max(0, Math.min(1, value)));
    if (!source.isPlane) swatch.style.background = `rgb(${Array.from(result.context, channel).join(" ")})`;
    const each = count > FEW ? [] : Array.from(result.weights, (one, l) => `key ${l + 1} ${one.toFixed(3)}`);
    strips.setAttribute("aria-label", `${letter}: scores, weights and gradient of every key. ${each.join(", ")}`);
    strips.dataset.weights = listed(result.weights, 7);
    strips.result = result; // tests of the page read it here
  };
  return { node, below, place, layOut, draw, tell };
}

/** What both panels share. `draw(lab)` shows the settings, and only the controls that an alignment listens to. */
function controlsOf(model) {
  const takeSource = (key) => {
    const { start: [row, column], steps, image, keys } = model.get("sources").find((one) => one.key === key);
    const possible = widthsOf(model, keys.shape[1]);
    const chosen = image ? row * steps[1] + column : 0;
    store(model, { source: key, query: [], width: possible.at(image ? -1 : 0), chosen, own_range: Boolean(image) });
  };
  let [width, widths] = [0, []]; // the one in use, and those to choose from
  const counted = { min: 0, max: 11, show: (value) => `key ${number(value + 1)}` };
  const { controls, refresh } = traitControls(model, {
    source: [choice, {
      label: "Keys", options: model.get("sources").map(({ key, title }) => [key, title]), onChange: takeSource,
    }],
    width: [slider, {
      label: "d", min: 0, max: 0, step: 1, show: (i) => String(widths[i] ?? ""),
      read: () => widths.indexOf(width), write: (i) => widths[i],
    }],
    temperature: [slider, { label: "Temperature", min: 0.1, max: 5, step: 0.1, show: (value) => value.toFixed(1) }],
    chosen: [slider, { label: "Gradient of the weight of", ...counted, step: 1 }],
    own_range: [toggle, { label: "A and B have their own scales" }],
    window: [slider, { label: "Window", min: 0.5, max: 13, step: 0.5 }],
    center: [slider, { label: "Center", ...counted, step: 0.5 }],
    gaussian: [toggle, { label: "Gaussian" }],
    estimator: [choice, {
      label: "Gradient of hard", options: [["straight_through", "straight-through"], ["reinforce", "REINFORCE"]],
    }],
  });
  const again = button("Sample again", () => store(model, { sample: model.get("sample") + 1 }));
  const nodes = (...names) => names.map((name) => controls[name].node);
  const options = element("div", { class: "cw-controls cw-lab-options" },
    ...nodes("window", "center", "gaussian", "estimator"));
  const draw = (lab) => {
    const uses = (...names) => lab.alignments.some((name) => names.includes(name));
    ({ width, widths } = lab);
    for (const name of ["chosen", "center"]) controls[name].input.max = lab.source.count - 1;
    controls.width.input.max = widths.length - 1;
    refresh();
    controls.source.node.hidden = model.get("sources").length < 2;
    for (const node of nodes("window", "gaussian")) node.hidden = !uses("local");
    controls.center.node.hidden = !uses("local") || !lab.source.isPlane;
    controls.estimator.node.hidden = !uses("hard");
    again.hidden = !uses("hard", "reinforced");
  };
  return { nodes: [...nodes("source", "width", "temperature", "chosen", "own_range"), again, options], draw };
}

function render({ model, el }) {
  const house = frame({ model, el, name: "score-lab" });
  const read = laboratory(model);
  let lab = read();
  let results = [];
  const panels = [0, 1].map((i) => comparison(house, model, i));
  const controls = controlsOf(model);
  house.stage.classList.add("cw-twins");
  instrument(house, panels[0].node, panels[1].node);
  house.stage.append(...panels.map(({ below }) => below),
    note(`${gestures()} Press a bar to see the gradient of that key's weight.`, "cw-keys"));
  house.controls.append(...controls.nodes);

  const queryOf = (focus) => focus.get() ?? lab.source.start;
  const names = () => ["A", "B"].map((letter, i) => `${letter}: ${plain(lab.scores[i])} with ${lab.alignments[i]}.`);
  const words = (focus) => describe(lab, results, queryOf(focus), focus);
  bindView({
    model, house, canvases: panels.map(({ place }) => place),
    traits: ["sources", "parameters", "source", "width", ...SETTINGS],
    rows: () => lab.source.rows, columns: () => lab.source.columns, start: () => lab.source.start,
    /** The step of the plane nearest to a place (0 to 1), or the photograph's cell under it. */
    locate: (_, x, y) => (x < 0 || y < 0 || x >= 1 || y >= 1 ? null : [y, x].map((share, axis) => {
      const steps = axis ? lab.source.columns : lab.source.rows;
      return lab.source.isPlane ? Math.round(share * (steps - 1)) : Math.floor(share * steps);
    })),
    follow() {
      lab = read();
      controls.draw(lab);
    },
    draw() {
      for (const panel of panels) panel.layOut(lab);
    },
    mark(focus) {
      const query = queryOf(focus);
      results = panels.map((_, i) => compute(lab, i, query));
      const shown = results.map((result) => {
        const compared = lab.own_range ? [result] : results;
        const most = (name) => Math.max(...compared.map((one) => Math.max(...one[name].map(Math.abs)))) || 1;
        return { query, focus, top: most("weights"), steepest: most("gradient") };
      });
      for (const act of ["draw", "tell"]) { // all words after all pictures: the page is laid out once
        panels.forEach((panel, i) => panel[act](lab, results[i], shown[i]));
      }
    },
    describe: words, lines: (focus) => [names().join(" "), ...words(focus).slice(0, 2)],
    code: (focus) => codeFor(lab, results, queryOf(focus)),
  });
  return house.end;
}

export default { render };
