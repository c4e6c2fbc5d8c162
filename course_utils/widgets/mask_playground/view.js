import { choice, fill, focusController, keyWords, slider, store, traitControls } from "../page/bind.js";
import { cropped, ownPictures, unpacked } from "../page/camera.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { cellOf, extent, number, percent, resample } from "../page/maths.js";
import { inWorker } from "../page/network.js";
import { colourOf, fitPanel, outline, paintImage, paintMap, pixelsOf, writeText } from "../page/paint.js";
import { copyButton, instrument, note, picturePanel, pointPanel, row, saveButton, scaleBar } from "../page/panels.js";

const RANGE = { table: "magma", low: 0, high: 1 };
const SIZE = [288, 216]; // of a picture: columns, rows
const NETWORK_SIDE = 256;
const CELL = 4; // pixels of the picture in a cell of the focus
const ACROSS = 3; // frames beside each other
const GAP = 0.02; // between frames, as a share of the panel
const OWN = "own";
const CHANNELS = ["red", "green", "blue"];
const BRANCHES = ["fine", "coarse"];
const SETTINGS = ["picture", "category", "source", "rest", "gates", "spot", "size", "moment", "window", "fine"];
const COLOUR = [0.16, 0.42, 0.56]; // what takes the place of a background
/** Of each category its question, what has a weight, and where its mask differs: frame or branch, channel, position. */
const CATEGORIES = {
  channel: { question: "what?", shared: "channel", axes: [false, true, false] },
  spatial: { question: "where?", shared: "position", axes: [false, false, true] },
  "channel & spatial": { question: "what and where?", shared: "position of each channel", axes: [false, true, true] },
  temporal: { question: "when?", shared: "frame", axes: [true, false, false] },
  "spatial & temporal": { question: "where and when?", shared: "position of each frame", axes: [true, false, true] },
  branch: { question: "which?", shared: "branch; they sum to 1", axes: [true, false, false] },
};
const SOURCES = { hand: "set by hand", picture: "made by a formula", trained: "made by a trained network" };
const RESTS = { dark: "dark", blurred: "blurred", replaced: "replaced by a colour" };
const axesOf = (category) => CATEGORIES[category].axes;
const isClip = (category) => category.includes("temporal");
/** Whether a position of x has its place in the panel of the mask. */
const hasPlaces = (category) => isClip(category) || (axesOf(category)[2] && !axesOf(category)[1]);
const isFilled = ({ category, rest }) => category === "spatial" && rest !== "dark";

// x, g and f ----------------------------------------------------------------------------------------------------------

/** Means of the square neighbourhoods of (rows, columns, 3) values; outside the picture nothing is counted. */
function localMean(values, rows, columns) {
  const reach = Math.floor(columns / 32);
  /** Running sums along an axis of `length`, whose neighbours are `step` numbers apart. */
  const pass = (from, length, step) => {
    const to = new Float64Array(from.length);
    const sums = new Float64Array(step);
    for (let start = 0; start < from.length; start += length * step) {
      sums.fill(0);
      for (let i = -reach; i < length; i++) {
        const at = start + i * step;
        const count = Math.min(i + reach, length - 1) - Math.max(i - reach, 0) + 1;
        if (i + reach < length) for (let k = 0; k < step; k++) sums[k] += from[at + reach * step + k];
        if (i > reach) for (let k = 0; k < step; k++) sums[k] -= from[at - (reach + 1) * step + k];
        if (i >= 0) for (let k = 0; k < step; k++) to[at + k] = sums[k] / count;
      }
    }
    return to;
  };
  return pass(pass(values, columns, 3), rows, 3 * columns);
}

/** The colours of a part of a canvas, (rows, columns, 3) from 0 to 1. */
function coloursOf(canvas, x, y, columns, rows) {
  const { data } = canvas.getContext("2d", { willReadFrequently: true }).getImageData(x, y, columns, rows);
  const values = new Float64Array(3 * columns * rows);
  for (let i = 0; i < values.length; i++) values[i] = data[i + Math.floor(i / 3)] / 255; // without the opacity
  return { values, rows, columns };
}

/** What `make(row, column)` gives for each frame of a clip, by its place on the sheet. */
const frames = (make) => Array.from({ length: ACROSS ** 2 }, (_, i) => make(...cellOf(i, ACROSS)));

/** A picture as it came: a still, and nine frames that fill a sheet of the same size. */
async function openPicture({ key, title, still, clip }) {
  const [whole, sheet] = await Promise.all([still, clip].map((file) => unpacked(file, ...SIZE)));
  const [wide, tall] = SIZE.map((length) => length / ACROSS);
  const part = (down, across) => coloursOf(sheet, across * wide, down * tall, wide, tall);
  return { key, title, still: [coloursOf(whole, 0, 0, ...SIZE)], clip: frames(part) };
}

/** A learner's picture, on a canvas of twice the size; the clip's camera moves over it as over the others. */
function ownPicture(canvas, title) {
  const [columns, rows] = SIZE;
  const [width, height] = SIZE.map((length) => length / ACROSS);
  const clip = () => frames((down, across) => {
    const way = (down * ACROSS + across) / (ACROSS ** 2 - 1);
    const window = element("canvas", { width, height });
    window.getContext("2d").drawImage(canvas, way * columns, (1 - way) * rows, columns, rows, 0, 0, width, height);
    return coloursOf(window, 0, 0, width, height);
  });
  const still = [coloursOf(cropped(canvas, columns, rows), 0, 0, columns, rows)];
  return { key: OWN, title, still, get clip() { return clip(); } }; // a camera's frame is seldom a clip
}

/** x of a category, made once: `sheets` frames or branches of (rows, columns, 3) values, and what else g needs. */
function inputOf(picture, category) {
  picture.inputs ??= {};
  picture.inputs[category] ??= openInput(picture, category);
  return picture.inputs[category];
}

function openInput(picture, category) {
  const sheets = isClip(category) ? picture.clip : picture.still;
  const { rows, columns } = sheets[0];
  const parts = sheets.map(({ values }) => values);
  if (category === "branch") parts.push(localMean(parts[0], rows, columns));
  const size = 3 * rows * columns;
  const x = new Float64Array(parts.length * size);
  parts.forEach((part, i) => x.set(part, i * size));
  return { x, sheets: parts.length, rows, columns, size, painted: paintSheets(x, { rows, columns, size }) };
}

/**
 * A mask of shape [sheets, channels, rows, columns], of length 1 along what it does not differ in. `strides` tell how
 * far apart its weights of two sheets, channels, positions stand: 0 along an axis of length 1.
 */
function maskOf({ sheets, rows, columns }, [bySheet, byChannel, byPlace], values = null) {
  const shape = [bySheet ? sheets : 1, byChannel ? 3 : 1, byPlace ? rows : 1, byPlace ? columns : 1];
  const plane = shape[2] * shape[3];
  const strides = [bySheet ? shape[1] * plane : 0, byChannel ? plane : 0, byPlace ? 1 : 0];
  return { shape, strides, values: values ?? new Float64Array(shape[0] * shape[1] * plane) };
}

/** `meet(i, m)` for each value of x: its place `i` there, and the place `m` of its weight in the mask. */
function eachValue({ sheets, rows, columns }, { strides: [ofSheet, ofChannel, ofPlace] }, meet) {
  for (let s = 0, i = 0; s < sheets; s++) {
    for (let place = 0; place < rows * columns; place++) {
      for (let c = 0; c < 3; c++, i++) meet(i, s * ofSheet + c * ofChannel + place * ofPlace);
    }
  }
}

const sumOf = (values) => values.reduce((sum, value) => sum + value, 0);

/** g by a formula: the distance from the mean colour, averaged over the axes that the mask does not have. */
function deviationMask(input, category) {
  const { x, rows, columns, size } = input;
  const colour = [0, 0, 0];
  for (let i = 0; i < x.length; i++) colour[i % 3] += (3 * x[i]) / x.length;
  const deviation = x.map((value, i) => Math.abs(value - colour[i % 3]));
  for (let start = 0; axesOf(category)[2] && start < x.length; start += size) {
    deviation.set(localMean(deviation.subarray(start, start + size), rows, columns), start);
  }
  const mask = maskOf(input, axesOf(category));
  const { values } = mask;
  eachValue(input, mask, (i, m) => { values[m] += deviation[i]; });
  const all = category === "branch" ? sumOf(values) : extent(values).high;
  if (!all) return { ...mask, values: values.fill(1 / (category === "branch" ? 2 : 1)) }; // nothing stands out
  return { ...mask, values: values.map((value) => value / all) };
}

/** g that was learned: the segmenter's probability of a person, from the picture at the network's size and back. */
async function trainedMask(worker, input) {
  const { x, rows, columns } = input;
  const data = new Float32Array(3 * NETWORK_SIDE ** 2);
  const plane = new Float32Array(rows * columns);
  for (let c = 0; c < 3; c++) {
    for (let i = 0; i < plane.length; i++) plane[i] = x[3 * i + c];
    data.set(resample(plane, rows, columns, NETWORK_SIDE, NETWORK_SIDE), c * NETWORK_SIDE ** 2);
  }
  const { output } = await worker.run({ shape: [3, NETWORK_SIDE, NETWORK_SIDE], data });
  return maskOf(input, axesOf("spatial"), resample(output.data, NETWORK_SIDE, NETWORK_SIDE, rows, columns));
}

const bell = (distance, deviation) => Math.exp(-(distance ** 2) / (2 * deviation ** 2));

/** A mask set by hand, from the settings alone: the picture has no say in it. */
function handMask(input, { category, gates, spot, size, moment, window, fine }) {
  const [bySheet, byChannel, byPlace] = axesOf(category);
  if (category === "branch") return maskOf(input, axesOf(category), Float64Array.of(fine, 1 - fine));
  const mask = maskOf(input, axesOf(category));
  const [many, channels, tall, wide] = mask.shape;
  const along = (length, centre) => Array.from({ length }, (_, i) =>
    (byPlace ? bell(i - (centre * length - 0.5), size * input.rows) : 1));
  const [lines, places] = [along(tall, spot[0]), along(wide, spot[1])];
  let i = 0;
  for (let s = 0; s < many; s++) {
    for (let c = 0; c < channels; c++) {
      const factor = (bySheet ? bell(s - moment, window) : 1) * (byChannel ? gates[c] : 1);
      for (const line of lines) for (const place of places) mask.values[i++] = factor * line * place;
    }
  }
  return mask;
}

/** What a video call puts behind the person: the values of all positions, or one colour. */
function backgroundOf(input, rest) {
  if (rest === "replaced") return COLOUR;
  if (!input.blurred) {
    input.blurred = input.x;
    for (let i = 0; i < 3; i++) input.blurred = localMean(input.blurred, input.rows, input.columns);
  }
  return input.blurred;
}

/** f: the product; over branches the products add up; where a spatial mask leaves a rest, a background fills it. */
function applyMask(input, mask, { category, rest }) {
  const { x, size } = input;
  const { values } = mask;
  const output = new Float64Array(category === "branch" ? size : x.length);
  eachValue(input, mask, (i, m) => { output[i % output.length] += values[m] * x[i]; });
  if (isFilled({ category, rest })) {
    const behind = backgroundOf(input, rest);
    for (let o = 0; o < size; o++) output[o] += (1 - values[Math.floor(o / 3)]) * behind[o % behind.length];
  }
  return output;
}

// Painting ------------------------------------------------------------------------------------------------------------

/** Each sheet of (rows, columns, 3) values on a canvas of its own. */
function paintSheets(values, { rows, columns, size }) {
  return Array.from({ length: values.length / size }, (_, s) => {
    const levels = values.subarray(s * size, (s + 1) * size).map((value) => 255 * value); // the canvas rounds them
    return paintImage({ shape: [rows, columns, 3], values: levels });
  });
}

/** Where the sheets of a panel lie, each [x, y, width, height] as shares of the panel. */
function boxes(count) {
  if (count === 1) return [[0, 0, 1, 1]];
  if (count === 2) return [0, 1].map((i) => [0.51 * i, 0.2, 0.49, 0.49]);
  const side = (1 - (ACROSS - 1) * GAP) / ACROSS;
  return frames((down, across) => [across * (side + GAP), down * (side + GAP), side, side]);
}

/** The parts of a mask, each with its box and its name: frames or branches, else channels. */
function partsOf([sheets, channels, rows]) {
  if (channels === 1) return boxes(sheets).map((share, s) => ({ share, name: sheets === 2 ? BRANCHES[s] : "" }));
  const weight = (c) => [0, c / 3, 1, 1 / 3 - 0.01];
  const map = (c) => [0.51 * (c % 2), 0.51 * Math.floor(c / 2), 0.49, 0.49];
  return CHANNELS.map((name, c) => ({ share: rows > 1 ? map(c) : weight(c), name }));
}

const boxOn = ({ width, height }, [x, y, w, h]) => [x * width, y * height, w * width, h * height];

function nameUnder(house, canvas, words, [x, y, , height]) {
  const pixels = pixelsOf(canvas);
  writeText(canvas.getContext("2d"), words, x, y + height + 13 * pixels, { ink: house.ink("soft"), size: 13 * pixels });
}

function drawSheets(house, canvas, painted) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  boxes(painted.length).forEach((share, s) => {
    const box = boxOn(canvas, share);
    context.drawImage(painted[s], ...box);
    if (painted.length === 2) nameUnder(house, canvas, BRANCHES[s], box);
  });
}

/** A mask's maps; a weight that holds for a whole sheet or channel is a box of its colour with its number. */
function drawMask(house, canvas, { shape, values }) {
  const [, channels, rows, columns] = shape;
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  partsOf(shape).forEach(({ share, name }, i) => {
    const box = boxOn(canvas, share);
    const [x, y, width, height] = box;
    const pixels = pixelsOf(canvas);
    const style = { size: 13 * pixels, weight: 600 };
    if (rows > 1) {
      context.drawImage(paintMap(values.subarray(i * rows * columns), rows, columns, RANGE), ...box);
      writeText(context, name, x + 5 * pixels, y + 11 * pixels, { ...style, ink: "#fff", edge: "#000" });
      return;
    }
    context.fillStyle = colourOf(values[i], RANGE);
    context.fillRect(...box);
    const words = `${channels > 1 ? `${name} ` : ""}${values[i].toFixed(2)}`;
    const ink = values[i] > 0.6 ? "#000" : "#fff";
    writeText(context, words, x + width / 2, y + height / 2, { ...style, ink, align: "center" });
    if (channels === 1 && name) nameUnder(house, canvas, name, box);
  });
}

// Where the pointer is ------------------------------------------------------------------------------------------------

/** The cells of the focus: those of one sheet, of the whole panel, and what lies under a cell. */
function gridOf({ rows, columns, sheets }, category) {
  const [down, along] = [rows / CELL, columns / CELL];
  const across = isClip(category) ? ACROSS : 1;
  const place = ([line, column]) => {
    const sheet = Math.floor(line / down) * across + Math.floor(column / along);
    const [y, x] = [line % down, column % along].map((at) => at * CELL + CELL / 2);
    return { sheet, row: y, column: x, spot: [(y + 0.5) / rows, (x + 0.5) / columns] };
  };
  const cell = (spot, sheet) => {
    const at = (share, length, before) => Math.min(length - 1, Math.floor(share * length)) + before * length;
    const [above, before] = cellOf(isClip(category) ? sheet : 0, across);
    return [at(spot[0], down, above), at(spot[1], along, before)];
  };
  const locate = (panel, x, y) => {
    if (panel === "mask" && !hasPlaces(category)) return null;
    const all = boxes(panel === "x" || isClip(category) ? sheets : 1);
    const spots = all.map(([left, top, wide, tall]) => [(y - top) / tall, (x - left) / wide]);
    const sheet = spots.findIndex((spot) => Math.min(...spot) >= 0 && Math.max(...spot) < 1);
    return sheet < 0 ? null : cell(spots[sheet], sheet);
  };
  return { down, along, rows: down * across, columns: along * across, place, cell, locate };
}

// Parts ---------------------------------------------------------------------------------------------------------------

/** Which sliders a mask set by hand has. */
function slidersOf({ source, category }) {
  if (source !== "hand") return [];
  if (category === "branch") return ["fine"];
  const [bySheet, byChannel, byPlace] = axesOf(category);
  return [...(byChannel ? CHANNELS : []), ...(byPlace ? ["size"] : []), ...(bySheet ? ["moment", "window"] : [])];
}

/** The lists, and the sliders in a box that is as tall without any; `set` shows what the mask has. */
function controlsPart(house, model, change) {
  const sources = Object.entries(SOURCES).filter(([name]) => name !== "trained" || model.get("network").graph);
  const lists = traitControls(model, {
    source: [choice, { label: "Mask", options: sources }],
    rest: [choice, { label: "The rest", options: Object.entries(RESTS) }],
    category: [choice, { label: "Category", options: Object.keys(CATEGORIES).map((name) => [name, name]) }],
    picture: [choice, { label: "Picture", options: [] }],
  }, change);
  const share = { min: 0, max: 1, step: 0.01, show: (value) => value.toFixed(2) };
  const sliders = traitControls(model, {
    size: [slider, {
      label: "Spotlight", min: 0.04, max: 0.6, step: 0.01, show: (value) => `${Math.round(100 * value)} %`,
    }],
    moment: [slider, { label: "When", min: 0, max: 8, step: 1, show: (value) => `frame ${value + 1}` }],
    window: [slider, { label: "How long", min: 0.3, max: 6, step: 0.1, show: (value) => `${value.toFixed(1)} frames` }],
    fine: [slider, { label: "Fine branch", ...share }],
  }, change);
  const gates = Object.fromEntries(CHANNELS.map((name, c) => [name, slider({
    label: name[0].toUpperCase() + name.slice(1), ...share, value: 0,
    onInput: (value) => change({ gates: model.get("gates").map((gate, i) => (i === c ? value : gate)) }),
  })]));
  const made = note("This mask is made from the picture: nothing is set by hand.");
  const all = { ...gates, ...sliders.controls };
  house.controls.append(...lists.nodes);
  const node = element("div", { class: "cw-sliders" }, made, ...Object.values(all).map((one) => one.node));
  const set = (settings, pictures) => {
    fill(lists.controls.picture, pictures.map(({ key, title }) => [key, title]), settings.picture);
    lists.refresh();
    sliders.refresh();
    CHANNELS.forEach((name, c) => gates[name].set(settings.gates[c]));
    const used = slidersOf(settings);
    made.hidden = used.length > 0;
    for (const [name, one] of Object.entries(all)) one.node.hidden = !used.includes(name);
  };
  return { node, set };
}

/** The status line: the mask in words, and the numbers under the pointer. */
function wordsOf({ input, mask, output, grid, title, ...settings }, query, hint) {
  const { category, source, rest } = settings;
  const { values, strides: [ofSheet, ofChannel, ofPlace] } = mask;
  const amount = category === "branch" ? `Fine ${values[0].toFixed(2)}, coarse ${values[1].toFixed(2)}.`
    : `${percent(sumOf(values) / values.length)} of the picture gets through.`;
  const maker = {
    hand: "Set by hand: fixed, the same for every picture.", picture: `Made from this picture (${title}).`,
    trained: `Made from this picture (${title}) by a network that looks for people.`,
  }[source];
  const kind = `${category[0].toUpperCase()}${category.slice(1)} mask (${CATEGORIES[category].question})`;
  if (!query) {
    return [`${kind}:`, { aside: `one weight for each ${CATEGORIES[category].shared}.` }, amount, { aside: maker }];
  }
  const { sheet, row: line, column } = grid.place(query);
  const place = line * input.columns + column;
  const triple = (three) => (three.length === 1 ? number(three[0]) : `(${three.map(number).join(", ")})`);
  const at = (from, s) => triple([0, 1, 2].map((c) => from[s * input.size + 3 * place + c]));
  const where = `${isClip(category) ? `Frame ${sheet + 1}, row` : "Row"} ${line + 1} of ${input.rows}, `
    + `column ${column + 1} of ${input.columns}`;
  const heard = { heard: `${kind}. ${amount} ${maker}` };
  if (category === "branch") {
    return [heard, `${where}: ${number(values[0])} of fine, ${number(values[1])} of coarse.`,
      { aside: `Of ${at(input.x, 0)} and ${at(input.x, 1)} they make ${at(output, 0)}.` }, hint];
  }
  const first = sheet * ofSheet + place * ofPlace;
  const weights = Array.from({ length: mask.shape[1] }, (_, c) => values[first + c * ofChannel]);
  const filled = isFilled(settings) ? `, filled up from the ${rest} background,` : "";
  return [heard, `${where}: mask ${triple(weights)}.`,
    { aside: `Of x ${at(input.x, sheet)} it makes${filled} ${at(output, sheet)}.` }, hint];
}

/** The three panels: what passes, large, and beside it x and the mask, and what makes it. */
function panelsPart(house) {
  const panels = [pointPanel(), picturePanel("", { role: "img" }), picturePanel("", { role: "img" })];
  const [outPanel, xPanel, maskPanel] = panels;
  ["output", "x", "mask"].forEach((name, i) => { panels[i].canvas.dataset.panel = name; });
  const scale = scaleBar("Weight");
  instrument(house, outPanel.node, row(xPanel.node, maskPanel.node), scale.node, house.controls);
  house.controls.style.margin = "0";
  const drawFocus = ({ category, grid: { down, along, place } }, focus) => {
    const query = focus.get();
    if (!query) return;
    const mark = ({ canvas }, share) => {
      const [x, y, width, height] = boxOn(canvas, share);
      const [wide, tall] = [width / along, height / down];
      const [left, top] = [x + (query[1] % along) * wide, y + (query[0] % down) * tall];
      outline(canvas.getContext("2d"), left, top, wide, tall, pixelsOf(canvas), focus.isPinned());
    };
    const own = isClip(category) ? boxes(ACROSS ** 2)[place(query).sheet] : boxes(1)[0];
    for (const share of category === "branch" ? boxes(2) : [own]) mark(xPanel, share);
    if (hasPlaces(category)) mark(maskPanel, own);
    mark(outPanel, own);
  };
  const nameAll = ({ input, mask, title, ...settings }) => {
    const words = (shape) => shape.join(" × ");
    const { category, source } = settings;
    const [g, f] = source === "hand" ? ["mask", "f(mask, x)"] : ["g(x)", "f(g(x), x)"];
    const whole = [...(input.sheets > 1 ? [input.sheets] : []), 3, input.rows, input.columns];
    outPanel.rename(isFilled(settings) ? `f = ${g} · x + (1 − ${g}) · background`
      : `${f}: ${words(category === "branch" ? whole.slice(1) : whole)}`);
    xPanel.rename(`x: ${words(whole)}`);
    maskPanel.rename(`${g}: ${words(axesOf(category)[0] ? mask.shape : mask.shape.slice(1))}`);
    for (const { canvas, node } of panels) {
      canvas.setAttribute("aria-label", `${title}, ${node.querySelector("figcaption").textContent}. `
        + (canvas === outPanel.canvas ? keyWords("the place") : ""));
    }
  };
  const draw = (shown, focus) => {
    drawSheets(house, xPanel.canvas, shown.input.painted);
    drawMask(house, maskPanel.canvas, shown.mask);
    drawSheets(house, outPanel.canvas, paintSheets(shown.output, shown.input));
    drawFocus(shown, focus);
    nameAll(shown);
    scale.set(RANGE);
  };
  return { panels, draw };
}

async function render({ model, el }) {
  const house = frame({ model, el, name: "mask-playground" });
  const settings = () => Object.fromEntries(SETTINGS.map((name) => [name, model.get(name)]));
  const pictures = new Map();
  let shown = null; // the settings, with the input, its mask, the output and the grid of the focus
  let worker = null;
  house.endings.push(() => worker?.end());
  const pictureNow = () => pictures.get(model.get("picture")) ?? pictures.values().next().value;
  const inputNow = () => inputOf(pictureNow(), model.get("category"));
  const grid = () => gridOf(inputNow(), model.get("category"));
  const change = (values) => {
    if (values.category) focus.set(null);
    // The network gives one weight for each position, and only such a mask has a rest that can be filled.
    if (values.source === "trained" || (values.rest ?? "dark") !== "dark") values.category = "spatial";
    else if (values.category && values.category !== "spatial") {
      values.rest = "dark";
      if (model.get("source") === "trained") values.source = "picture";
    }
    store(model, values);
  };

  const { panels, draw } = panelsPart(house);
  const controls = controlsPart(house, model, change);
  house.controls.after(controls.node);

  /** What the pointer would change: by hand, the spotlight and the window follow it. */
  const followed = (query) => {
    const [, , byPlace] = axesOf(model.get("category"));
    const { sheet, spot } = grid().place(query);
    return { ...(byPlace ? { spot } : {}), ...(isClip(model.get("category")) ? { moment: sheet } : {}) };
  };
  const maskNow = (input, now) => {
    if (now.source === "hand") return handMask(input, focus.get() ? { ...now, ...followed(focus.get()) } : now);
    if (now.source === "trained") return input.trained ?? null;
    input.made ??= deviationMask(input, now.category);
    return input.made;
  };
  /** Let the network make the mask of an input, where it has not. */
  const train = async (input) => {
    const { graph, weights } = model.get("network");
    worker ??= inWorker(graph, weights);
    input.trained ??= await trainedMask(worker, input);
  };
  const describe = () => (shown ? wordsOf(shown, focus.get(), focus.hint()) : []);
  const focus = focusController({
    canvases: panels.map(({ canvas }) => canvas),
    rows: () => grid().rows,
    columns: () => grid().columns,
    locate: (canvas, x, y) => grid().locate(canvas.dataset.panel, x, y),
    start: () => grid().cell(model.get("spot"), Math.round(model.get("moment"))),
    onEdge: () => house.say([...describe(), "Edge."], { again: true }),
    onChange: (query, pinned, quiet) => {
      const kept = query && pinned;
      if (kept && model.get("source") === "hand") store(model, followed(query));
      showPanels(!kept && quiet);
    },
  });

  function showPanels(quiet = false) {
    if (house.root.clientWidth === 0) return;
    const [now, input] = [settings(), inputNow()];
    const mask = maskNow(input, now);
    if (!mask) {
      house.stage.setAttribute("aria-busy", "true");
      train(input).then(() => showPanels(quiet), (error) => house.fail(error.message));
      return;
    }
    const output = applyMask(input, mask, now);
    shown = { ...now, input, mask, output, grid: grid(), title: pictureNow().title };
    draw(shown, focus);
    house.stage.setAttribute("aria-busy", "false");
    house.say(describe(), { quiet });
  }
  const showAll = () => {
    if (house.root.clientWidth === 0) return;
    // A spotlight that was set elsewhere, by a step or by the kernel, is not the pinned one.
    const moved = ([name, value]) => JSON.stringify(model.get(name)) !== JSON.stringify(value);
    if (focus.isPinned() && settings().source === "hand" && Object.entries(followed(focus.get())).some(moved)) {
      focus.set(null);
    }
    controls.set(settings(), [...pictures.values()]);
    const { rows, columns } = inputNow();
    for (const panel of panels) fitPanel(panel, rows / columns);
    showPanels();
  };
  /** A learner's picture takes its place among the others; the next frame waits until this one is shown. */
  const take = async (canvas, { label }, isOn = () => true) => {
    const picture = ownPicture(canvas, label);
    const input = inputOf(picture, model.get("category"));
    if (model.get("source") === "trained") await train(input);
    if (!isOn()) return;
    pictures.set(OWN, picture);
    if (model.get("picture") === OWN) showAll();
    else store(model, { picture: OWN });
  };
  const own = ownPictures(house, SIZE.map((length) => 2 * length), take);
  house.controls.append(...own.nodes);
  house.listen("picture", () => { if (model.get("picture") !== OWN) own.stop(); });
  const open = async () => {
    for (const picture of await Promise.all(model.get("pictures").map(openPicture))) pictures.set(picture.key, picture);
  };
  await open();
  if (model.get("source") === "trained") await train(inputNow());

  house.listen(SETTINGS, showAll);
  house.listen("pictures", () => open().then(showAll));
  house.actions.append(
    saveButton(house, "mask-playground.png", { lines: describe }),
    copyButton(house, () => `${model.get("code")}\n${codeFor(settings(), inputNow())}`),
  );
  house.whenShown(showAll);
  return house.end;
}

/** The lines that reproduce what is shown. */
function codeFor(state, { sheets, rows, columns }) {
  const { picture, category, source, rest, gates, spot, size, moment, window, fine } = state;
  const lines = [picture === OWN ? `# x: your own picture, a tensor (3, ${rows}, ${columns}); it stayed in the page`
    : `x = playground_input("${picture}", "${category}")`];
  if (source === "picture") lines.push(`mask = deviation_mask(x, "${category}")`);
  else if (source === "trained") lines.push("mask = person_mask(x)");
  else if (category === "branch") lines.push(`mask = torch.tensor([${fine}, 1 - ${fine}])[:, None, None, None]`);
  else {
    const [bySheet, byChannel, byPlace] = axesOf(category);
    const factors = [];
    if (bySheet) {
      lines.push(`times = torch.exp(-((torch.arange(${sheets}) - ${moment}) ** 2) / (2 * ${window}**2))`);
      factors.push("times[:, None, None, None]");
    }
    if (byChannel) factors.push(`torch.tensor([${gates.join(", ")}])[:, None, None]`);
    if (byPlace) {
      lines.push(
        `rows, columns = torch.arange(${rows})[:, None], torch.arange(${columns})`,
        `down, across = rows - ${number(spot[0] * rows - 0.5)}, columns - ${number(spot[1] * columns - 0.5)}`,
        `spotlight = torch.exp(-(down**2 + across**2) / (2 * ${number(size * rows)}**2))`,
      );
      factors.push("spotlight[None]");
    }
    lines.push(`mask = ${factors.join(" * ")}`);
  }
  const behind = isFilled(state) && {
    blurred: "local_mean(local_mean(local_mean(x)))", replaced: `torch.tensor([${COLOUR.join(", ")}])[:, None, None]`,
  }[rest];
  if (behind) lines.push(`background = ${behind}`);
  if (category === "branch") lines.push("output = (mask * x).sum(dim=0)");
  else lines.push(`output = mask * x${behind ? " + (1 - mask) * background" : ""}`);
  lines.push('print("x", tuple(x.shape), "mask", tuple(mask.shape), "output", tuple(output.shape))');
  return `${lines.join("\n")}\n`;
}

export default { render };
