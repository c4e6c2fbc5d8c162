import { button, choice, keyWords, slider, store, traitControls } from "../page/bind.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import {
  asPicture, capital, cellOf, colourRange, decode, dot, extent, largest, listed, matrixTimes, number, once, sigmoid,
  sumOf,
} from "../page/maths.js";
import { matrixPanel } from "../page/matrix.js";
import { blend, colourOf, fit, paintImage, paintMap, writeText } from "../page/paint.js";
import { bars, instrument, note, panel, picturePanel, pointPanel, row, scaleBar } from "../page/panels.js";
import { bindView } from "../page/pointing.js";

const MAPS = "viridis";
const SIGNED = "RdBu";
const HEAD = 80; // the margin of the matrix: a name and its map
const NUMBERED = 36; // pixels of a cell that has room for its number
const SETTINGS = ["example", "view", "moved", "leader", "turn"];

/** A number with its sign, in three figures. */
const signed = (value) => `${value < 0 ? "−" : "+"}${number(Math.abs(value))}`;
const fixed = (value, digits = 2) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
const short = (name) => name.replace("reduced ", "r");

/** The means of maps (C, M), their deviations, and the C x C covariances: mean products over the M positions. */
function statistics(maps, channels) {
  const size = maps.length / channels;
  const means = Float64Array.from({ length: channels }, (_, c) =>
    sumOf(maps.subarray(c * size, (c + 1) * size)) / size);
  const deviations = Float64Array.from(maps, (value, k) => value - means[Math.floor(k / size)]);
  const covariance = Float64Array.from({ length: channels ** 2 }, (_, k) => {
    const [i, j] = cellOf(k, channels);
    return dot(deviations, deviations, size, i * size, j * size) / size;
  });
  return { means, deviations, covariance };
}

/** The places of the values from the smallest on; of equal values the earlier place comes first. */
const ascending = (values) => Array.from(values.keys()).sort((one, two) => values[one] - values[two]);

/** The rank of each value. */
const ranks = (values) => Float64Array.from(ascending(ascending(values)));

/** The values of one map at other places: at turn 1 largest where the leader is largest, at -1 where it is smallest. */
function rearrange(values, lead, turn) {
  const [own, its] = [ranks(values), ranks(lead)];
  const key = own.map((rank, p) => (1 - Math.abs(turn)) * rank + turn * its[p]);
  const sorted = Float32Array.from(values).sort();
  return Float32Array.from(ranks(key), (rank) => sorted[rank]);
}

function seMask(weights, means) {
  const hidden = matrixTimes(weights.reduce_weight, means, weights.reduce_bias).map((value) => Math.max(0, value));
  return matrixTimes(weights.expand_weight, hidden, weights.expand_bias).map(sigmoid);
}

/** The GSoP block's reduced maps (d, M): ReLU, 1x1 convolution with its batch norm folded in, ReLU. */
function reduceMaps(weights, maps, channels) {
  const { reduce_bias: bias, reduce_weight: weight } = weights;
  const size = maps.length / channels;
  return Float64Array.from({ length: bias.length * size }, (_, k) => {
    const [d, p] = cellOf(k, size);
    let sum = bias[d];
    for (let c = 0; c < channels; c++) sum += weight[d * channels + c] * Math.max(0, maps[c * size + p]);
    return Math.max(0, sum);
  });
}

/** The gates from the d x d covariance: each row by its own kernels, then a layer and a sigmoid. */
function gsopMask(weights, covariance) {
  const reduced = weights.reduce_bias.length;
  const expansion = weights.row_bias.length / reduced;
  const squeezed = Float64Array.from(weights.row_bias, (start, k) =>
    start + dot(weights.row_weight, covariance, reduced, k * reduced, Math.floor(k / expansion) * reduced));
  return matrixTimes(weights.expand_weight, squeezed, weights.expand_bias).map(sigmoid);
}

/** What follows from the traits: `compute()` makes the numbers `before` and `after` the slider. */
function calculator(model) {
  const open = (layers) =>
    Object.fromEntries(Object.entries(layers).map(([name, layer]) => [name, decode(layer).values]));
  const [se, gsop, names] = [open(model.get("se")), open(model.get("gsop")), model.get("names")];
  const depth = gsop.reduce_bias.length;
  const outcome = (maps) => {
    const own = statistics(maps, names.length);
    const reduced = reduceMaps(gsop, maps, names.length);
    const its = statistics(reduced, depth);
    return { maps, own, reduced, its, se: seMask(se, own.means), gsop: gsopMask(gsop, its.covariance) };
  };
  const openMaps = once(decode);
  const untouched = once(({ values }) => outcome(values));
  const made = { names, depth };
  made.compute = () => {
    const [moved, leader, turn] = ["moved", "leader", "turn"].map((name) => model.get(name));
    const given = openMaps(model.get("examples")[model.get("example")].maps);
    const { values, shape: [, height, width] } = given;
    const size = height * width;
    const maps = Float32Array.from(values);
    const at = (c) => values.subarray(c * size, (c + 1) * size);
    if (turn !== 0) maps.set(rearrange(at(moved), at(leader), turn), moved * size);
    const before = untouched(given);
    Object.assign(made, { height, width, size, before, after: turn === 0 ? before : outcome(maps) });
    const { own, reduced, its } = made.after;
    made.shown = model.get("view") === "channels"
      ? { maps, ...own, names, range: { table: MAPS, low: 0, high: 1 } }
      : { maps: reduced, ...its, names: Array.from(its.means, (_, d) => `reduced ${d + 1}`),
        range: { table: MAPS, low: 0, high: extent(reduced).high || 1 } };
  };
  made.mapOf = (c) => made.shown.maps.subarray(c * made.size, (c + 1) * made.size);
  made.correlation = (i, j) => {
    const { covariance, names: { length: n } } = made.shown;
    const spread = Math.sqrt(covariance[i * n + i] * covariance[j * n + j]);
    return spread > 0 ? covariance[i * n + j] / spread : null;
  };
  return made;
}

/** The matrix with a name and a map at each row and column. */
function matrixPart(house, model, numbers) {
  const made = matrixPanel(house, pointPanel());
  const scale = scaleBar("Covariance");
  made.node.append(scale.node);
  const drawCell = (context, value, [x, y, side], range) => {
    context.fillStyle = colourOf(value, range);
    context.fillRect(x, y, side - 1, side - 1);
    if (side < NUMBERED) return;
    const ink = Math.abs(value) > 0.6 * range.high ? "#fff" : "#1a2029";
    const thousandths = Math.round(1000 * value);
    const words = `${thousandths < 0 ? "−" : ""}${Math.abs(thousandths)}`;
    writeText(context, words, x + side / 2, y + side / 2, { ink, size: 11, align: "center" });
  };
  const draw = () => {
    const { covariance, names, range: colours } = numbers.shown;
    const n = names.length;
    const side = Math.min(58, Math.floor((Math.max(200, made.node.clientWidth) - HEAD) / n));
    const thumb = Math.min(side - 4, 28);
    const inChannels = model.get("view") === "channels";
    const moved = inChannels && model.get("turn") !== 0 ? model.get("moved") : null;
    const words = names.map(short);
    const context = made.begin([HEAD, HEAD, n * side, n * side], words, words, {
      gap: thumb + 8, ink: (c) => (c === moved ? "run-1" : "ink"),
    });
    for (let c = 0; c < n; c++) {
      const map = paintMap(numbers.mapOf(c), numbers.height, numbers.width, colours);
      const at = HEAD + c * side + (side - thumb) / 2;
      context.drawImage(map, at, HEAD - 4 - thumb, thumb, thumb);
      context.drawImage(map, HEAD - 4 - thumb, at, thumb, thumb);
    }
    const range = { table: SIGNED, ...colourRange(covariance, SIGNED) };
    covariance.forEach((value, k) => drawCell(context, value, made.boxOf(cellOf(k, n)), range));
    scale.set(range);
    made.canvas.dataset.covariance = listed(covariance, 7);
    const what = `the ${n} ${inChannels ? "channels" : "reduced channels inside the GSoP block"}`;
    made.rename(`Covariances of ${what}${side >= NUMBERED ? ", in thousandths" : ""}`);
    made.canvas.setAttribute("aria-label", `${n} by ${n} covariances of ${what}. ${keyWords("over the cells")}`);
  };
  return { ...made, draw };
}

/** The cell's two maps, the product of their deviations, and the picture. */
function lensesPart(model, numbers) {
  const lenses = Array.from({ length: 4 }, () => picturePanel("", { role: "img" }));
  const [first, second, product, picture] = lenses;
  const name = note();
  const node = element("div", {}, name, element("div", { class: "cw-lenses" }, ...lenses.map((one) => one.node)));
  const show = (one, map, words, label = words) => {
    fit(one.canvas, Math.max(1, Math.floor(one.node.clientWidth)), numbers.height / numbers.width);
    blend(one.canvas.getContext("2d"), map, [0, 0, one.canvas.width, one.canvas.height]);
    one.rename(capital(words));
    one.canvas.setAttribute("aria-label", label);
  };
  const drawCell = ([i, j]) => {
    const { means, deviations, covariance, names, range } = numbers.shown;
    const { height, width, size } = numbers;
    for (const [one, c] of [[first, i], [second, j]]) {
      const { low, high } = extent(numbers.mapOf(c));
      show(one, paintMap(numbers.mapOf(c), height, width, range), `${names[c]}: mean ${means[c].toFixed(3)}`,
        `Map of ${names[c]}: mean ${number(means[c])}, from ${number(low)} to ${number(high)}; `
        + `colours from ${number(range.low)} to ${number(range.high)}`);
    }
    const products = Float64Array.from({ length: size }, (_, p) => deviations[i * size + p] * deviations[j * size + p]);
    const { low, high } = extent(products);
    const colours = { table: SIGNED, ...colourRange(products, SIGNED) };
    const value = covariance[i * names.length + j];
    show(product, paintMap(products, height, width, colours), `product, ±${number(colours.high)}`,
      `Product of the deviations of ${names[i]} and ${names[j]}: from ${number(low)} to ${number(high)}, `
      + `mean ${number(value)}`);
    product.canvas.dataset.mean = value.toPrecision(7);
    const what = "the mean of the product of their deviations";
    name.textContent = `${capital(names[i])} with ${names[j]}: ${what} is ${signed(value)}`;
  };
  const drawPicture = () => {
    const moved = model.get("moved");
    const words = model.get("turn") !== 0 && moved < 3 ? `, ${numbers.names[moved]} rearranged` : "";
    const colours = asPicture([3, numbers.height, numbers.width], numbers.after.maps);
    show(picture, paintImage(colours), `The picture${words}`);
  };
  return { node, drawCell, drawPicture };
}

/** The gates of both blocks; the thin mark is the gate with the slider at 0. */
function gatesPart(numbers) {
  const blocks = [["se", "SE: from the means"], ["gsop", "GSoP: from the covariances"]].map(([block, words]) => {
    const made = bars({ label: `Gates of ${words}` });
    made.node.classList.add("cw-brief");
    return { block, ...made, figure: panel(words, made.node) };
  });
  const node = element("div", {}, row(...blocks.map(({ figure }) => figure.node)),
    note("Gates from 0 to 1. The thin mark: with the slider at 0."));
  const draw = () => {
    for (const { block, show, node: list } of blocks) {
      show(numbers.names.map((name, c) => {
        const [value, before] = [numbers.after[block][c], numbers.before[block][c]];
        return { name, value, before, words: value.toFixed(2) };
      }));
      list.dataset[block] = listed(numbers.after[block], 7);
    }
  };
  return { node, draw };
}

/** The controls; `rest()` is called when the hand leaves the slider alone. */
function controlsPart(house, model, numbers, rest) {
  const made = { sliding: false };
  let resting = 0;
  const slide = (turn) => {
    made.sliding = true;
    store(model, { turn });
    made.sliding = false;
    clearTimeout(resting);
    resting = setTimeout(rest, 300);
  };
  house.endings.push(() => clearTimeout(resting));
  const { names } = numbers;
  const numbered = (list) => list.map((words, k) => [k, words]);
  const { controls, nodes, refresh } = traitControls(model, {
    moved: [choice, { label: "Rearrange", options: numbered(names), write: Number }],
    leader: [choice, { label: "by", options: numbered(names), write: Number }],
    turn: [slider, {
      label: "Avoid or follow", min: -1, max: 1, step: 0.05, show: (value) => fixed(value), onInput: slide,
    }],
    example: [choice, {
      label: "Picture", options: numbered(model.get("examples").map(({ label }) => label)), write: Number,
    }],
    view: [choice, {
      label: "Covariances of", onChange: (name) => store(model, { query: [], view: name }),
      options: [["channels", `the ${names.length} channels`], ["reduced", `GSoP's ${numbers.depth} reduced channels`]],
    }],
  });
  const back = button("Put back", () => {
    controls.turn.input.focus(); // a button that disables itself would lose the focus to the page
    store(model, { turn: 0 });
  });
  house.controls.append(...nodes.slice(0, 3), back, ...nodes.slice(3));
  made.refresh = () => {
    refresh();
    controls.turn.input.setAttribute("aria-label",
      `${names[model.get("moved")]} avoids or follows ${names[model.get("leader")]}`);
    back.disabled = model.get("turn") === 0;
  };
  return made;
}

/** What the slider did to the two masks. */
function slideInWords(model, numbers) {
  const [moved, leader, turn] = ["moved", "leader", "turn"].map((name) => model.get(name));
  const { names, before, after } = numbers;
  if (turn === 0) return "The slider stands at 0: nothing is rearranged.";
  if (moved === leader) return `${capital(names[moved])} follows itself: choose two channels.`;
  const furthest = (block) => {
    const moves = Array.from(after[block], (gate, c) => gate - before[block][c]);
    const c = largest(moves.map(Math.abs));
    return { channel: names[c], move: moves[c] };
  };
  const [se, gsop] = [furthest("se"), furthest("gsop")];
  const still = Math.abs(se.move) < 5e-4 ? "no gate of SE moves" : `SE moves ${se.channel} by ${fixed(se.move, 3)}`;
  const does = turn > 0 ? "follows" : "avoids";
  return `${capital(names[moved])} ${does} ${names[leader]} (${fixed(turn)}), every mean as before: ${still}; `
    + `GSoP's gate of ${gsop.channel} moves most, by ${fixed(gsop.move, 3)}.`;
}

function cellInWords(numbers, [i, j]) {
  const { covariance, names } = numbers.shown;
  const value = covariance[i * names.length + j];
  if (i === j) return `Variance of ${names[i]}: ${number(value)}.`;
  const relation = numbers.correlation(i, j);
  return `Covariance of ${names[i]} and ${names[j]}: ${signed(value)}, `
    + `${relation === null ? "no correlation: one of them is constant" : `correlation ${fixed(relation)}`}.`;
}

function codeFor(model, numbers) {
  const settings = ["moved", "leader", "turn"].map((name) => `${name}=${model.get(name)}`).join(", ");
  return [
    model.get("code").trimEnd(),
    `x = rearrange(${model.get("examples")[model.get("example")].code}, ${settings})  # channels counted from 0`,
    "print(covariance_pool(x)[0])  # the channels' covariances",
    "print(se.mask(x).flatten())",
    "print(gsop.mask(x).flatten())",
    "",
  ].join("\n");
}

function render({ model, el }) {
  const house = frame({ model, el, name: "covariance" });
  const numbers = calculator(model);
  const matrix = matrixPart(house, model, numbers);
  const gates = gatesPart(numbers);
  const lenses = lensesPart(model, numbers);
  instrument(house, matrix.node, gates.node, lenses.node);
  const controls = controlsPart(house, model, numbers, () => house.say(describe(view), { again: true }));

  const count = () => numbers.shown.names.length;
  const cell = (focus) => {
    const pair = model.get("view") === "channels" ? [model.get("leader"), model.get("moved")] : [0, 1];
    return (focus.get() ?? pair).map((place) => Math.min(place, count() - 1));
  };
  const describe = (focus) =>
    [cellInWords(numbers, cell(focus)), { aside: slideInWords(model, numbers) }, focus.hint()];
  const view = bindView({
    model, house, describe, canvases: [matrix.canvas], traits: SETTINGS,
    rows: count, columns: count, inside: matrix.inside, start: () => cell(view),
    isQuiet: () => controls.sliding,
    follow() {
      numbers.compute();
      controls.refresh();
    },
    draw() {
      for (const part of [gates, matrix]) part.draw();
      lenses.drawPicture();
    },
    mark(focus) {
      matrix.mark(cell(focus), focus.isPinned());
      lenses.drawCell(cell(focus));
    },
    code: () => codeFor(model, numbers),
  });
  return house.end;
}

export default { render };
