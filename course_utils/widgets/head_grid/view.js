import { button, byTouch, choice, keyWords, numbersAsText, slider, store, traitControls } from "../page/bind.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { headNames, headTiles, isOff, offInCode } from "../page/heads.js";
import {
  asPicture, capital, decode, dot, largest, listed, number, once, percent, placeInWords, sharedBy, softmax,
} from "../page/maths.js";
import { createNetwork } from "../page/network.js";
import { colourOf, easel, fitPanel, outline, paintImage, paintMap, pixelsOf, writeText } from "../page/paint.js";
import { bars, instrument, more, note, panel, pictureChoice, pointPanel, scaleBar } from "../page/panels.js";
import { drawBars } from "../page/plot.js";
import { bindView } from "../page/pointing.js";

const TABLE = "magma";
const OPACITY = 0.72;
const SMALLEST = -7; // powers of two: the ends of the colours' slider
const MASKS = [
  ["none", "none: all see all"],
  ["causal", "causal: only what comes before"],
  ["window 1", "window: 1 patch each way"],
  ["window 2", "window: 2 patches each way"],
  ["window 3", "window: 3 patches each way"],
  ["padding", "padding: lower half hidden"],
];

const headName = ([layer, head]) => `layer ${layer}, head ${head}`;

/** Who may attend to whom, 1 or 0, a row for each query; null where all may. */
function allowed(mask, rows, columns) {
  const length = rows * columns + 1;
  if (mask === "none") return null;
  const may = new Uint8Array(length * length);
  const radius = Number(mask.replace("window ", ""));
  const seen = 1 + Math.ceil(rows / 2) * columns;
  for (let i = 0; i < length; i++) {
    for (let j = 0; j < length; j++) {
      const down = Math.abs(Math.floor((i - 1) / columns) - Math.floor((j - 1) / columns));
      const across = Math.abs(((i - 1) % columns) - ((j - 1) % columns));
      const near = i === 0 || j === 0 || Math.max(down, across) <= radius;
      may[i * length + j] = Number(mask === "causal" ? j <= i : mask === "padding" ? j < seen : near);
    }
  }
  return may;
}

/** A layer's weights without what the mask closes, each row summing to 1 again, and without the heads in `off`. */
function changed(weights, length, may, off) {
  const result = Float32Array.from(weights);
  for (let start = 0, row = 0; start < result.length; start += length, row++) {
    if (off.includes(Math.floor(row / length))) result.fill(0, start, start + length);
    else if (may) {
      let sum = 0;
      for (let k = 0; k < length; k++) sum += result[start + k] *= may[(row % length) * length + k];
      for (let k = 0; k < length && sum > 0; k++) result[start + k] /= sum;
    }
  }
  return result;
}

/** A picture that the network takes, and its colours on a canvas. */
const openPicture = once(({ input }) => {
  const { shape, values } = decode(input);
  return { input: { shape, data: values }, image: paintImage(asPicture(shape, values)) };
});

/** The network: `run()` follows the traits; `now` has the picture, every layer's weights and the probabilities. */
function running(model) {
  const [layers, heads, graph, [rows, columns]] = ["layers", "heads", "graph", "grid"].map((name) => model.get(name));
  const network = createNetwork(graph, model.get("weights"));
  const length = rows * columns + 1;
  const modules = Array.from({ length: layers }, (_, layer) => `blocks.${layer}.attention`);
  const inputs = modules.map((name) => graph.steps.find((step) => step.name === name).inputs); // queries and keys
  const names = headNames(layers, heads);
  const made = { heads, names, rows, columns, length };
  let before = "";
  made.picture = () => model.get("pictures")[model.get("picture")];
  made.run = () => {
    const settings = JSON.stringify(["picture", "mask", "off"].map((name) => model.get(name)));
    if (settings === before) return;
    before = settings;
    const shown = openPicture(made.picture());
    const may = allowed(model.get("mask"), rows, columns);
    if (shown !== made.now?.shown) shown.whole = softmax(network.run(shown.input).output.data);
    const edits = {};
    modules.forEach((name, layer) => {
      const off = model.get("off").filter(([one]) => one === layer + 1).map(([, head]) => head - 1);
      if (may || off.length) edits[name] = (data) => changed(data, length, may, off);
    });
    const { output, values } = network.run(null, edits);
    const parts = modules.map((name, layer) => {
      const [query, key] = inputs[layer].map((input) => values[input]);
      return { weights: values[name].data, query: query.data, key: key.data, each: query.shape[1] / heads };
    });
    made.now = { shown, may, parts, probabilities: softmax(output.data) };
  };
  /** The weights of a head for a query, or for all queries on average. */
  const rowOf = ([layer, head], query) => {
    const start = (head - 1) * length * length;
    const { weights } = made.now.parts[layer - 1];
    if (query !== null) return weights.subarray(start + query * length, start + (query + 1) * length);
    const mean = new Float32Array(length);
    for (let i = 0; i < length * length; i++) mean[i % length] += weights[start + i] / length;
    return mean;
  };
  /** What is seen for a query: a row for each head, and the maps of all heads, one below the other on one canvas. */
  made.look = (query, pinned) => {
    const found = names.map((name) => rowOf(name, query));
    const maps = new Float32Array(names.length * rows * columns);
    found.forEach((row, i) => maps.set(row.subarray(1), i * rows * columns));
    const range = { table: TABLE, low: 0, high: model.get("limit") };
    const sheet = paintMap(maps, names.length * rows, columns, range, made.seen?.sheet);
    made.seen = { query, pinned, range, sheet, rows: found };
  };
  made.indexOf = ([layer, head]) => (layer - 1) * heads + head - 1;
  made.row = (name) => made.seen.rows[made.indexOf(name)];
  made.tokenAt = ([row, column]) => (row >= rows ? 0 : 1 + row * columns + column);
  made.placeOf = (token) => (token === 0 ? [rows, 0] : [Math.floor((token - 1) / columns), (token - 1) % columns]);
  made.nameOf = (token) => (token === 0 ? "the class token" : placeInWords(made.placeOf(token)));
  return made;
}

/** The mean distance in patches of a patch's weights on patches; null for the class token. */
function distance(row, token, { placeOf }) {
  if (token === null || token === 0) return null;
  const [top, left] = placeOf(token);
  let [far, mass] = [0, 0];
  for (let k = 1; k < row.length; k++) {
    const [down, across] = placeOf(k);
    far += row[k] * Math.hypot(top - down, left - across);
    mass += row[k];
  }
  return mass > 0 ? far / mass : null;
}

/** Draw a head's weights over the picture; the class token stands in a cell below it. */
function drawHead(house, model, network, canvas, name) {
  const { rows, columns, length, now: { may, shown }, seen: { query, pinned, range, sheet } } = network;
  const context = canvas.getContext("2d");
  const pixels = pixelsOf(canvas);
  const [across, down] = [canvas.width / columns, canvas.height / (rows + 1)];
  const box = (token) => {
    const [y, x] = network.placeOf(token);
    return [x * across, y * down, across, down];
  };
  context.fillStyle = house.ink("surface");
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (isOff(model, name)) {
    const style = { ink: house.ink("soft"), size: 14 * pixels, weight: 600, align: "center" };
    writeText(context, "off", canvas.width / 2, (rows * down) / 2, style);
    return;
  }
  context.imageSmoothingEnabled = false;
  context.drawImage(shown.image, 0, 0, canvas.width, rows * down);
  context.globalAlpha = OPACITY;
  context.drawImage(sheet, 0, network.indexOf(name) * rows, columns, rows, 0, 0, canvas.width, rows * down);
  context.globalAlpha = 1;
  context.fillStyle = colourOf(network.row(name)[0], range);
  context.fillRect(...box(0));
  if (query === null) return;
  if (may) {
    context.beginPath();
    for (let k = 0; k < length; k++) {
      const [x, y] = box(k);
      if (may[query * length + k]) continue;
      context.moveTo(x + 0.25 * across, y + 0.75 * down);
      context.lineTo(x + 0.75 * across, y + 0.25 * down);
    }
    [context.strokeStyle, context.lineWidth] = ["#9aa4b0", pixels];
    context.stroke();
  }
  const [x, y, wide, tall] = box(query);
  const isSmall = canvas.width < 200 * pixels; // where dashes are not seen, but cost as much as all else
  const line = isSmall ? 0.75 * pixels : pixels;
  outline(context, x + 2 * line, y + 2 * line, wide - 4 * line, tall - 4 * line, line, pinned || isSmall);
}

/** The chosen head over the picture, large: what is pointed at. */
function mainPart(house, model, network) {
  const made = pointPanel(`${keyWords()} The class token is below the picture.`);
  const draw = () => {
    const { canvas } = made;
    const [name, { query }] = [model.get("chosen"), network.seen];
    drawHead(house, model, network, canvas, name);
    const [x, y] = [(1.4 * canvas.width) / network.columns, canvas.height * (1 - 0.5 / (network.rows + 1))];
    const style = { ink: house.ink("soft"), size: 13 * pixelsOf(canvas) };
    writeText(canvas.getContext("2d"), "class token", x, y, style);
    const whose = query === null ? "mean weights" : `weights of ${network.nameOf(query)}`;
    made.rename(`${capital(headName(name))}: ${whose}`);
  };
  return { ...made, draw };
}

/** All heads, small; a click shows a head large, and the products of that key. */
function headsPart(house, model, network) {
  const { names, rows, columns } = network;
  const tiles = headTiles({
    model, names, kind: "cw-heads-grid", nameOf: headName,
    press(chosen, { offsetX, offsetY, currentTarget: canvas }) {
      const row = Math.floor((offsetY / canvas.clientHeight) * (rows + 1));
      const column = Math.floor((offsetX / canvas.clientWidth) * columns);
      store(model, { chosen, key: row < rows ? [row, column] : column === 0 ? [rows, 0] : [] });
    },
  });
  tiles.node.style.gridTemplateColumns = `repeat(${network.heads}, minmax(0, 1fr))`;
  const scale = scaleBar("Weight of a key");
  const made = panel("All heads by layer; entropy in bits", tiles.node, scale.node);
  const draw = () => tiles.draw((canvas, name, off) => {
    drawHead(house, model, network, canvas, name);
    const row = network.row(name);
    const bits = Math.log2(sharedBy(row));
    const label = `${bits.toFixed(2)} bits, most on ${network.nameOf(largest(row))}`;
    return { row, label, words: off ? "off" : bits.toFixed(1) };
  });
  const resize = () => {
    scale.set({ table: TABLE, low: 0, high: model.get("limit") });
    tiles.resize((rows + 1) / columns);
  };
  return { ...made, draw, resize };
}

/** What the network says, with and without the changes. */
function answerPart(model, network) {
  const list = bars({ label: "The network says" });
  const made = panel("The network says", list.node);
  const isChanged = () => model.get("off").length > 0 || model.get("mask") !== "none";
  const draw = () => {
    const { probabilities, shown } = network.now;
    list.show(Array.from(probabilities, (value, name) => ({
      name: name === network.picture().answer ? `${name} ✓` : String(name),
      value,
      before: isChanged() ? shown.whole[name] : null,
      chosen: name === largest(probabilities),
    })));
  };
  const words = () => {
    const { probabilities, shown } = network.now;
    const [said, first, right] = [largest(probabilities), largest(shown.whole), network.picture().answer];
    const verdict = said === right ? "which is right" : `which is wrong: it is ${right}`;
    const before = isChanged() ? `; untouched it says ${first} with ${percent(shown.whole[first])}.` : ".";
    return `The network says ${said} with ${percent(probabilities[said])}, ${verdict}${before}`;
  };
  return { ...made, draw, words };
}

/** The products of query and key behind one weight of the chosen head; null without a query. */
function productsOf(model, network) {
  const { query } = network.seen;
  if (query === null) return null;
  const [layer, head] = model.get("chosen");
  const row = network.row([layer, head]);
  const picked = model.get("key");
  const key = picked.length ? network.tokenAt(picked) : largest(row);
  const part = network.now.parts[layer - 1];
  const [q, k] = [[part.query, query], [part.key, key]].map(([values, token]) => {
    const start = (token * network.heads + head - 1) * part.each;
    return Array.from(values.subarray(start, start + part.each));
  });
  const terms = q.map((value, c) => value * k[c]);
  const sum = dot(q, k);
  const name = `${capital(headName([layer, head]))}: ${network.nameOf(key)}`;
  const closed = network.now.may !== null && network.now.may[query * network.length + key] === 0;
  const words = closed ? `${name} is closed by the mask, so its weight is 0.`
    : isOff(model, [layer, head]) ? `${name} has no weight: this head is off.`
      : `${name} has the score ${number(sum)} ÷ √${part.each} = ${number(sum / Math.sqrt(part.each))}, `
        + `weight ${percent(row[key])}.`;
  return { q, k, terms, words };
}

function productsPart(house, model, network) {
  const canvas = element("canvas", { role: "img" });
  const sum = note();
  const key = element("span");
  const chart = panel("The numbers of query and key, blue above 0 and red below, and their products", canvas, sum);
  const fold = more(house, "Why this weight: the products of query and key", key, chart.node);
  const draw = () => {
    if (!fold.open) return;
    const shown = productsOf(model, network);
    const across = chart.node.clientWidth;
    const context = easel(canvas, across, 176);
    if (shown) drawProducts(context, house, across, shown);
    sum.textContent = shown ? shown.words : "Point at a query first.";
    canvas.setAttribute("aria-label", shown ? `Products: ${shown.terms.map(number).join(", ")}` : "No query yet");
    canvas.dataset.terms = shown ? listed(shown.terms) : "";
  };
  fold.addEventListener("toggle", draw);
  return { key, draw };
}

function drawProducts(context, house, across, { q, k, terms }) {
  const margin = 40;
  const cell = (across - margin) / terms.length;
  const most = (values) => Math.max(...values.map(Math.abs)) || 1;
  const range = { table: "RdBu", low: -most([...q, ...k]), high: most([...q, ...k]) };
  const ink = house.ink("ink");
  [["q", q], ["k", k]].forEach(([name, values], line) => {
    writeText(context, name, 0, 22 * (line + 0.5), { ink });
    values.forEach((value, c) => {
      context.fillStyle = colourOf(value, range);
      context.fillRect(margin + c * cell, 22 * line, cell - 1, 20);
    });
  });
  const [low, high] = [Math.min(0, ...terms), Math.max(0, ...terms)];
  const box = [margin, 64, across - margin, 96]; // room for a number at both ends
  const colour = (term) => colourOf(Math.sign(term) * 0.75, { table: "RdBu", low: -1, high: 1 });
  const zero = drawBars(context, house, box, terms, { low, high, colour });
  writeText(context, "q · k", 0, zero, { ink });
  const first = terms.findIndex((term) => Math.abs(term) === most(terms));
  if (first < 0) return;
  const end = zero - (terms[first] * 96) / (high - low) - Math.sign(terms[first]) * 9;
  writeText(context, number(terms[first]), margin + (first + 0.5) * cell, end, { ink, align: "center" });
}

/** The controls; `refresh()` follows the traits. */
function controlsPart(house, model, network, products) {
  const tokens = Array.from({ length: network.length }, (_, i) => (i + 1) % network.length);
  const { controls: { key }, nodes, refresh: follow } = traitControls(model, {
    chosen: [choice, {
      label: "Shown large", options: network.names.map((name) => [String(name), headName(name)]), ...numbersAsText,
    }],
    mask: [choice, { label: "Attention mask", options: MASKS }],
    limit: [slider, {
      label: "Colours end at", min: SMALLEST, max: 0, step: 0.5, show: () => number(model.get("limit")),
      read: Math.log2, write: (power) => 2 ** power,
    }],
    key: [choice, {
      label: "Key", ...numbersAsText, options: [["", "the largest weight"],
        ...tokens.map((token) => [String(network.placeOf(token)), network.nameOf(token)])],
    }],
  });
  const all = button("All heads on", () => store(model, { off: [] }));
  house.controls.append(...nodes.slice(0, 3), all);
  products.key.append(key.node);
  const refresh = () => {
    follow();
    all.disabled = model.get("off").length === 0 && !all.matches(":focus"); // a disabled button loses the focus
  };
  return { refresh };
}

function codeFor(model, network, query) {
  const [layer, head] = model.get("chosen");
  const mask = model.get("mask");
  const edits = offInCode(model.get("off").map(([one, other]) => [`blocks.${one - 1}.attention`, other - 1]));
  if (mask !== "none") edits.unshift('"blocks.*.attention": masked');
  return [
    "import torch",
    "from course_utils.attention import edit_masks, off, record_masks",
    ...(mask === "none" ? [] : ["from course_utils.widgets.head_grid.explore import token_mask"]),
    network.picture().code,
    ...(mask === "none" ? [] : [
      `mask = token_mask("${mask}", ${network.rows}, ${network.columns})`,
      "def masked(weights):  # what a softmax over the open keys alone gives",
      "    return weights * mask / (weights * mask).sum(dim=-1, keepdim=True)",
    ]),
    `edits = {${edits.join(", ")}}  # heads are counted from 0`,
    "with torch.no_grad(), edit_masks(network, edits), record_masks(network) as masks:",
    "    probabilities = network(image).softmax(1)[0]",
    `weights = masks["blocks.${layer - 1}.attention"][0, ${head - 1}]  # (queries, keys), the class token first`,
    "print(probabilities)",
    `print(${query === null ? "weights.mean(dim=0)" : `weights[${query}]`})  # the map shown`,
  ].join("\n");
}

function render({ model, el }) {
  const house = frame({ model, el, name: "head-grid" });
  const network = running(model);
  const main = mainPart(house, model, network);
  const heads = headsPart(house, model, network);
  const answer = answerPart(model, network);
  const products = productsPart(house, model, network);
  const thumbs = pictureChoice(model, 36, (picture) => openPicture(picture).image);
  instrument(house, main.node, answer.node, heads.node);
  house.stage.classList.add("cw-heads");
  main.node.append(thumbs.node);
  const controls = controlsPart(house, model, network, products);

  const tokenOf = (focus) => (focus.get() ? network.tokenAt(focus.get()) : null);
  const describe = (focus) => {
    const query = tokenOf(focus);
    const name = model.get("chosen");
    const row = network.row(name);
    const far = distance(row, query, network);
    const top = largest(row);
    const whose = query === null ? "No query yet, so the mean over all." : `Query: ${network.nameOf(query)}.`;
    const off = isOff(model, name);
    const seen = off ? "is off" : `gives most weight, ${percent(row[top])}, to ${network.nameOf(top)}`;
    const away = far === null ? "" : `, ${far.toFixed(1)} patches away on average`;
    const spread = off ? "" : `Entropy ${Math.log2(sharedBy(row)).toFixed(2)} bits${away}.`;
    return [{ aside: whose }, `${capital(headName(name))} ${seen}.`, { aside: `${spread} ${answer.words()}` },
      { heard: productsOf(model, network)?.words ?? "" },
      query === null ? (byTouch() ? "Touch a patch." : "Point at a patch.") : focus.hint()];
  };
  bindView({
    model, house, describe, canvases: [main.canvas], rows: () => network.rows + 1, columns: () => network.columns,
    traits: ["picture", "mask", "off", "chosen", "key", "limit"],
    locate: (_, x, y) => {
      if (x < 0 || y < 0 || x >= 1 || y >= 1) return null;
      const row = Math.floor(y * (network.rows + 1));
      return row === network.rows ? [row, 0] : [row, Math.floor(x * network.columns)];
    },
    moved(focus) {
      const [row, column] = focus.get() ?? [0, 0];
      if (row === network.rows && column > 0) focus.set([row, 0], focus.isPinned()); // it is one cell
    },
    follow() {
      network.run();
      controls.refresh();
    },
    draw() {
      fitPanel(main, (network.rows + 1) / network.columns, 380);
      heads.resize();
      thumbs.refresh();
      answer.draw();
    },
    mark(focus) {
      network.look(tokenOf(focus), focus.isPinned());
      for (const part of [main, products, heads]) part.draw();
    },
    code: (focus) => codeFor(model, network, tokenOf(focus)),
  });
  return house.end;
}

export default { render };
