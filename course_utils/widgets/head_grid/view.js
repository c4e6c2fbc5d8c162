import { bindFocus, button, byTouch, choice, gestures, keyWords, slider, store } from "../page/bind.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { decode, largest, number, percent, placeInWords, sharedBy, softmax } from "../page/maths.js";
import { createNetwork } from "../page/network.js";
import { colourOf, drawMap, fit, fitPanel, outline, paintImage, pixelsOf } from "../page/paint.js";
import {
  bars, copyButton, instrument, more, panel, pictureButtons, picturePanel, saveButton, scaleBar,
} from "../page/panels.js";

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
const capital = (words) => words[0].toUpperCase() + words.slice(1);
const fontOf = (house, size, weight = 400) => `${weight} ${Math.round(size)}px ${getComputedStyle(house.root).fontFamily}`;

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

/** The weights of a layer without what the mask closes, each row summing to 1 again, and without the heads in `off`. */
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
function openPicture(picture) {
  const { shape, values } = decode(picture.input);
  const [channels, height, width] = shape;
  const size = height * width;
  const bytes = new Uint8ClampedArray(size * channels);
  for (let i = 0; i < bytes.length; i++) bytes[i] = 255 * values[(i % channels) * size + Math.floor(i / channels)];
  return { input: { shape, data: values }, image: paintImage({ shape: [height, width, channels], values: bytes }) };
}

/** The network: `run()` follows the traits and leaves in `now` the picture, every layer's weights and the probabilities. */
function running(model) {
  const [layers, heads, graph, [rows, columns]] = ["layers", "heads", "graph", "grid"].map((name) => model.get(name));
  const network = createNetwork(graph, model.get("weights"));
  const length = rows * columns + 1;
  const names = Array.from({ length: layers }, (_, layer) => `blocks.${layer}.attention`);
  const inputs = names.map((name) => graph.steps.find((step) => step.name === name).inputs); // queries and keys
  const opened = new Map();
  const made = { layers, heads, rows, columns, length };
  made.open = (picture) => {
    if (!opened.has(picture)) opened.set(picture, openPicture(picture));
    return opened.get(picture);
  };
  made.picture = () => model.get("pictures")[Math.min(model.get("picture"), model.get("pictures").length - 1)];
  made.isOff = (layer, head) => model.get("off").some(([one, other]) => one === layer + 1 && other === head + 1);
  made.run = () => {
    const shown = made.open(made.picture());
    const may = allowed(model.get("mask"), rows, columns);
    if (shown !== made.now?.shown) shown.whole = softmax(network.run(shown.input).output.data);
    const edits = {};
    names.forEach((name, layer) => {
      const off = Array.from({ length: heads }, (_, head) => head).filter((head) => made.isOff(layer, head));
      if (may || off.length) edits[name] = (data) => changed(data, length, may, off);
    });
    const { output, values } = network.run(null, edits);
    const parts = names.map((name, layer) => {
      const [query, key] = inputs[layer].map((input) => values[input]);
      return { weights: values[name].data, query: query.data, key: key.data, each: query.shape[1] / heads };
    });
    made.now = { shown, may, parts, probabilities: softmax(output.data) };
  };
  /** The weights of a head for a query, or for all queries on average. */
  made.row = (layer, head, query) => {
    const start = head * length * length;
    const { weights } = made.now.parts[layer];
    if (query !== null) return weights.subarray(start + query * length, start + (query + 1) * length);
    const mean = new Float32Array(length);
    for (let i = 0; i < length * length; i++) mean[i % length] += weights[start + i] / length;
    return mean;
  };
  made.tokenAt = ([row, column]) => (row >= rows ? 0 : 1 + row * columns + column);
  made.placeOf = (token) => (token === 0 ? [rows, 0] : [Math.floor((token - 1) / columns), (token - 1) % columns]);
  made.nameOf = (token) => (token === 0 ? "the class token" : placeInWords(made.placeOf(token)));
  return made;
}

/** The mean distance in patches of a patch's weights on patches; null for the class token. */
function distance(row, token, columns) {
  if (token === null || token === 0) return null;
  let [far, mass] = [0, 0];
  for (let k = 1; k < row.length; k++) {
    const down = Math.floor((token - 1) / columns) - Math.floor((k - 1) / columns);
    far += row[k] * Math.hypot(down, ((token - 1) % columns) - ((k - 1) % columns));
    mass += row[k];
  }
  return mass > 0 ? far / mass : null;
}

/** Draw a head's weights over the picture; the class token stands in a cell below it. */
function drawHead(house, model, network, canvas, [layer, head], query, pinned) {
  const { rows, columns, length, now } = network;
  const row = network.row(layer, head, query);
  const range = { table: TABLE, low: 0, high: model.get("limit") };
  const context = canvas.getContext("2d");
  const pixels = pixelsOf(canvas);
  const [across, down] = [canvas.width / columns, canvas.height / (rows + 1)];
  const box = (token) => {
    const [y, x] = network.placeOf(token);
    return [x * across, y * down, across, down];
  };
  context.fillStyle = house.ink("surface");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = false;
  context.drawImage(now.shown.image, 0, 0, canvas.width, rows * down);
  if (network.isOff(layer, head)) {
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = house.ink("soft");
    context.font = fontOf(house, 14 * pixels, 600);
    [context.textAlign, context.textBaseline] = ["center", "middle"];
    context.fillText("off", canvas.width / 2, (rows * down) / 2);
    return row;
  }
  drawMap(context, row.subarray(1), rows, columns, [0, 0, canvas.width, rows * down], { ...range, opacity: OPACITY });
  context.fillStyle = colourOf(row[0], range);
  context.fillRect(...box(0));
  if (now.may && query !== null) {
    context.beginPath();
    for (let k = 0; k < length; k++) {
      const [x, y] = box(k);
      if (now.may[query * length + k]) continue;
      context.moveTo(x + 0.25 * across, y + 0.75 * down);
      context.lineTo(x + 0.75 * across, y + 0.25 * down);
    }
    [context.strokeStyle, context.lineWidth] = ["#9aa4b0", pixels];
    context.stroke();
  }
  if (query !== null) {
    const [x, y, wide, tall] = box(query);
    const line = canvas.width > 200 * pixels ? pixels : 0.75 * pixels;
    outline(context, x + 2 * line, y + 2 * line, wide - 4 * line, tall - 4 * line, line, pinned);
  }
  return row;
}

/** The chosen head over the picture, large: what is pointed at. */
function mainPart(house, model, network, focus) {
  const label = `${keyWords()} The class token is below the picture.`;
  const made = picturePanel("", { role: "application", "aria-label": label });
  made.node.append(element("p", { class: "cw-panel-name cw-keys" }, gestures()));
  const draw = () => {
    const [layer, head] = model.get("chosen");
    const query = focus.token();
    drawHead(house, model, network, made.canvas, [layer - 1, head - 1], query, focus.isPinned());
    const context = made.canvas.getContext("2d");
    const { width, height } = made.canvas;
    context.fillStyle = house.ink("soft");
    context.font = fontOf(house, 13 * pixelsOf(made.canvas));
    [context.textAlign, context.textBaseline] = ["left", "middle"];
    context.fillText("class token", (1.4 * width) / network.columns, height * (1 - 0.5 / (network.rows + 1)));
    const whose = query === null ? "mean weights" : `weights of ${network.nameOf(query)}`;
    made.rename(`${capital(headName([layer, head]))}: ${whose}`);
  };
  return { ...made, draw };
}

/** All heads, small, each with its box to switch it off; a click shows a head large, and the products of that key. */
function headsPart(house, model, network, focus) {
  const { layers, heads, rows, columns } = network;
  const setOff = (name, on) => {
    const others = model.get("off").filter((one) => String(one) !== String(name));
    store(model, { off: on ? others : [...others, name] });
  };
  const cells = Array.from({ length: layers * heads }, (_, i) => {
    const place = [Math.floor(i / heads), i % heads];
    const name = [place[0] + 1, place[1] + 1];
    const canvas = element("canvas", { role: "img" });
    const input = element("input", { type: "checkbox", "aria-label": `${capital(headName(name))} takes part` });
    const numbers = element("span", { class: "cw-heads-numbers" });
    input.addEventListener("change", () => setOff(name, input.checked));
    canvas.addEventListener("click", ({ offsetX, offsetY }) => {
      const row = Math.floor((offsetY / canvas.clientHeight) * (rows + 1));
      const column = Math.floor((offsetX / canvas.clientWidth) * columns);
      store(model, { chosen: name, key: row < rows ? [row, column] : column === 0 ? [rows, 0] : [] });
    });
    return { place, name, canvas, input, numbers };
  });
  const table = element("div", { class: "cw-heads-grid", role: "group", "aria-label": "Heads" });
  table.style.gridTemplateColumns = `repeat(${heads}, minmax(0, 1fr))`;
  table.append(...cells.map(({ canvas, input, numbers }) =>
    element("div", { class: "cw-heads-cell" }, canvas, element("label", { class: "cw-heads-foot" }, input, numbers))));
  const scale = scaleBar("Weight of a key");
  const made = panel("Every head, layer by layer; its spread in bits", table, scale.node);
  const draw = () => {
    scale.set({ table: TABLE, low: 0, high: model.get("limit") });
    const query = focus.token();
    for (const { place, name, canvas, input, numbers } of cells) {
      const row = drawHead(house, model, network, canvas, place, query, focus.isPinned());
      const bits = Math.log2(sharedBy(row));
      const isOff = network.isOff(...place);
      input.checked = !isOff;
      numbers.textContent = isOff ? "off" : bits.toFixed(1);
      canvas.classList.toggle("cw-chosen", String(name) === String(model.get("chosen")));
      canvas.setAttribute("aria-label", `${capital(headName(name))}: ${isOff ? "off"
        : `${bits.toFixed(2)} bits, most on ${network.nameOf(largest(row))}`}`);
      canvas.dataset.weights = Array.from(row, (weight) => weight.toPrecision(6)).join(",");
    }
  };
  const resize = () => {
    for (const { canvas } of cells) fit(canvas, Math.floor(canvas.parentElement.clientWidth), (rows + 1) / columns);
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
function productsOf(model, network, query) {
  if (query === null) return null;
  const [layer, head] = model.get("chosen");
  const row = network.row(layer - 1, head - 1, query);
  const picked = model.get("key");
  const key = picked.length ? network.tokenAt(picked) : largest(row);
  const part = network.now.parts[layer - 1];
  const cut = (values, token) => {
    const start = (token * network.heads + head - 1) * part.each;
    return Array.from(values.subarray(start, start + part.each));
  };
  const [q, k] = [cut(part.query, query), cut(part.key, key)];
  const terms = q.map((value, c) => value * k[c]);
  const sum = terms.reduce((total, term) => total + term, 0);
  const name = `${capital(headName([layer, head]))}: ${network.nameOf(key)}`;
  const closed = network.now.may !== null && network.now.may[query * network.length + key] === 0;
  const words = closed ? `${name} is closed by the mask, so its weight is 0.`
    : network.isOff(layer - 1, head - 1) ? `${name} has no weight: this head is off.`
      : `${name} has the score ${number(sum)} ÷ √${part.each} = ${number(sum / Math.sqrt(part.each))}, `
        + `weight ${percent(row[key])}.`;
  return { q, k, terms, sum, words };
}

function productsPart(house, model, network, focus) {
  const canvas = element("canvas", { role: "img" });
  const sum = element("p", { class: "cw-panel-name" });
  const chart = panel("The numbers of query and key, blue above 0 and red below, and their products", canvas, sum);
  const draw = () => {
    if (!chart.node.clientWidth) return;
    fit(canvas, chart.node.clientWidth, 176 / chart.node.clientWidth);
    const made = productsOf(model, network, focus.token());
    sum.textContent = made ? made.words : "Point at a query first.";
    canvas.setAttribute("aria-label", made ? `Products: ${made.terms.map(number).join(", ")}` : "No query yet");
    canvas.dataset.terms = made ? made.terms.map((term) => term.toPrecision(6)).join(",") : "";
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (made) drawProducts(house, canvas, made);
  };
  return { ...chart, draw };
}

function drawProducts(house, canvas, { q, k, terms }) {
  const context = canvas.getContext("2d");
  const pixels = pixelsOf(canvas);
  const margin = 40 * pixels;
  const cell = (canvas.width - margin) / terms.length;
  const tall = 22 * pixels;
  const most = (values) => Math.max(...values.map(Math.abs)) || 1;
  const range = { table: "RdBu", low: -most([...q, ...k]), high: most([...q, ...k]) };
  context.font = fontOf(house, 12 * pixels);
  context.textBaseline = "middle";
  [["q", q], ["k", k]].forEach(([name, values], line) => {
    context.fillStyle = house.ink("ink");
    context.fillText(name, 0, (line + 0.5) * tall);
    values.forEach((value, c) => {
      context.fillStyle = colourOf(value, range);
      context.fillRect(margin + c * cell, line * tall, cell - pixels, tall - 2 * pixels);
    });
  });
  const [top, bottom] = [2 * tall + 20 * pixels, canvas.height - 16 * pixels]; // room for a number at both ends
  const unit = (bottom - top) / (Math.max(0, ...terms) - Math.min(0, ...terms) || 1);
  const middle = top + Math.max(0, ...terms) * unit;
  context.fillStyle = house.ink("ink");
  context.fillText("q · k", 0, middle);
  context.fillStyle = house.ink("edge");
  context.fillRect(margin, middle, canvas.width - margin, pixels);
  terms.forEach((term, c) => {
    context.fillStyle = colourOf(Math.sign(term) * 0.75, { table: "RdBu", low: -1, high: 1 });
    const size = Math.abs(term) * unit;
    context.fillRect(margin + (c + 0.15) * cell, term > 0 ? middle - size : middle, 0.7 * cell, size);
  });
  const top1 = terms.findIndex((term) => Math.abs(term) === most(terms));
  if (top1 < 0) return;
  context.fillStyle = house.ink("ink");
  context.textAlign = "center";
  const away = Math.sign(terms[top1]) * 9 * pixels;
  context.fillText(number(terms[top1]), margin + (top1 + 0.5) * cell, middle - terms[top1] * unit - away);
}

/** The controls; `refresh()` follows the traits. */
function controlsPart(house, model, network, products) {
  const { layers, heads, length } = network;
  const mask = choice({
    label: "Attention mask", options: MASKS, value: "none", onChange: (name) => store(model, { mask: name }),
  });
  const names = Array.from({ length: layers * heads }, (_, i) => [Math.floor(i / heads) + 1, (i % heads) + 1]);
  const chosen = choice({
    label: "Shown large", options: names.map((name) => [String(name), headName(name)]), value: "1,1",
    onChange: (name) => store(model, { chosen: name.split(",").map(Number) }),
  });
  const tokens = Array.from({ length }, (_, i) => (i + 1) % length);
  const key = choice({
    label: "Key", value: "",
    options: [["", "the largest weight"], ...tokens.map((token) => [String(network.placeOf(token)), network.nameOf(token)])],
    onChange: (name) => store(model, { key: name ? name.split(",").map(Number) : [] }),
  });
  const limit = slider({
    label: "Colours end at", min: SMALLEST, max: 0, step: 0.5, value: 0, show: () => number(model.get("limit")),
    onInput: (power) => store(model, { limit: 2 ** power }),
  });
  const all = button("All heads on", () => store(model, { off: [] }));
  house.controls.append(chosen.node, mask.node, limit.node, all);
  const fold = more(house, "Why this weight: the products of query and key", key.node, products.node);
  fold.addEventListener("toggle", products.draw);
  const refresh = () => {
    mask.set(model.get("mask"));
    chosen.set(String(model.get("chosen")));
    key.set(String(model.get("key")));
    limit.set(Math.log2(model.get("limit")));
    all.disabled = model.get("off").length === 0 && !all.matches(":focus"); // a disabled button loses the focus
  };
  return { refresh };
}

function codeFor(model, network, query) {
  const [layer, head] = model.get("chosen");
  const mask = model.get("mask");
  const off = new Map();
  for (const [one, other] of model.get("off")) off.set(one, [...(off.get(one) ?? []), other - 1]);
  const edits = [...off].map(([one, heads]) => `"blocks.${one - 1}.attention": off([${heads.join(", ")}])`);
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
  const focus = { token: () => (focus.get() ? network.tokenAt(focus.get()) : null) }; // the rest is filled in below
  const main = mainPart(house, model, network, focus);
  const heads = headsPart(house, model, network, focus);
  const answer = answerPart(model, network);
  const products = productsPart(house, model, network, focus);
  const thumbs = pictureButtons({ label: "Pictures", side: 36, onPress: (picture) => store(model, { picture }) });
  instrument(house, main.node, answer.node, heads.node);
  house.stage.classList.add("cw-heads");
  main.node.append(thumbs.node);
  const controls = controlsPart(house, model, network, products);

  const describe = () => {
    const query = focus.token();
    const name = model.get("chosen");
    const row = network.row(name[0] - 1, name[1] - 1, query);
    const far = distance(row, query, network.columns);
    const top = largest(row);
    const whose = query === null ? "No query yet, so the mean over all." : `Query: ${network.nameOf(query)}.`;
    const isOff = network.isOff(name[0] - 1, name[1] - 1);
    const seen = isOff ? "is off" : `gives most weight, ${percent(row[top])}, to ${network.nameOf(top)}`;
    const spread = isOff ? ""
      : `${Math.log2(sharedBy(row)).toFixed(2)} bits${far === null ? "" : `, ${far.toFixed(1)} patches away on average`}.`;
    const why = productsOf(model, network, query);
    return [{ aside: whose }, `${capital(headName(name))} ${seen}.`, { aside: `${spread} ${answer.words()}` },
      { heard: why ? why.words : "" },
      query === null ? (byTouch() ? "Touch a patch." : "Point at a patch.") : focus.hint()];
  };
  /** The query alone has moved, or another head is chosen: the network's numbers are kept. */
  const look = (quiet = false) => {
    if (house.root.clientWidth === 0) return;
    for (const part of [main, heads, products]) part.draw();
    house.say(describe(), { quiet });
  };
  const draw = () => {
    if (house.root.clientWidth === 0) return;
    fitPanel(main, (network.rows + 1) / network.columns, 380);
    heads.resize();
    const pictures = model.get("pictures");
    thumbs.node.hidden = pictures.length < 2;
    const offers = pictures.map((one) => ({ key: one, label: one.label, image: network.open(one).image }));
    thumbs.show(offers, pictures.indexOf(network.picture()));
    answer.draw();
    look();
  };
  const reload = () => {
    network.run();
    controls.refresh();
    draw();
  };
  Object.assign(focus, bindFocus({
    model, house, describe, canvases: [main.canvas], rows: () => network.rows + 1, columns: () => network.columns,
    locate: (_, x, y) => {
      if (x < 0 || y < 0 || x >= 1 || y >= 1) return null;
      const row = Math.floor(y * (network.rows + 1));
      return row === network.rows ? [row, 0] : [row, Math.floor(x * network.columns)];
    },
    onChange: (query, pinned, quiet) => {
      if (query && query[0] === network.rows && query[1] > 0) focus.set([network.rows, 0], pinned); // it is one cell
      look(quiet);
    },
  }));
  focus.take();
  reload();
  house.listen(["picture", "mask", "off"], reload);
  house.listen(["chosen", "key", "limit"], () => {
    controls.refresh();
    look();
  });
  house.whenShown(draw);
  house.actions.append(saveButton(house, "head-grid.png", { lines: () => describe().slice(0, 2) }),
    copyButton(house, () => codeFor(model, network, focus.token())));
  return house.end;
}

export default { render };
