import { choice, fill, focusController, gestures, keyWords, slider, store, traitControls } from "../page/bind.js";
import { cropped, ownPictures } from "../page/camera.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { bytes, largest, number, percent, resample } from "../page/maths.js";
import { inWorker } from "../page/network.js";
import { colourOf, fitPanel, outline, paintMap, pixelsOf } from "../page/paint.js";
import { copyButton, instrument, picturePanel, row, saveButton, scaleBar } from "../page/panels.js";

const RANGE = { table: "magma", low: 0, high: 1 };
const SIZE = [288, 216]; // of a picture: columns, rows
const NETWORK_SIDE = 256;
const CELL = 4; // pixels of the picture in a cell of the focus
const ACROSS = 3; // frames beside each other
const GAP = 0.02; // between frames, as a share of the panel
const OWN = "own";
const FONT = "system-ui, sans-serif";
const CHANNELS = ["red", "green", "blue"];
const BRANCHES = ["fine", "coarse"];
const SETTINGS = ["picture", "category", "source", "rest", "gates", "spot", "size", "moment", "window", "fine"];
const COLOUR = [0.16, 0.42, 0.56]; // what takes the place of a background
const QUESTIONS = {
  channel: "what?", spatial: "where?", "channel & spatial": "what and where?", temporal: "when?",
  "spatial & temporal": "where and when?", branch: "which?",
};
const SHARED = {
  channel: "one weight for each channel", spatial: "one weight for each position",
  "channel & spatial": "one weight for each position of each channel", temporal: "one weight for each frame",
  "spatial & temporal": "one weight for each position of each frame", branch: "one weight for each branch; they sum to 1",
};
const SOURCES = { hand: "set by hand", picture: "made by a formula", trained: "made by a trained network" };
const RESTS = { dark: "dark", blurred: "blurred", replaced: "replaced by a colour" };
/** Where each category's mask differs: branch or frame, channel, position. */
const AXES = {
  channel: [false, true, false], spatial: [false, false, true], "channel & spatial": [false, true, true],
  temporal: [true, false, false], "spatial & temporal": [true, false, true], branch: [true, false, false],
};
const isClip = (category) => category.includes("temporal");

// x, g and f ----------------------------------------------------------------------------------------------------------

/** Means of the square neighbourhoods of (rows, columns, 3) values; outside the picture nothing is counted. */
function localMean(values, rows, columns) {
  const reach = Math.floor(columns / 32);
  /** Running sums along an axis of `length`, whose neighbours are `step` numbers apart: those are added side by side. */
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
  for (let i = 0, o = 0; o < values.length; i += 4, o += 3) {
    values[o] = data[i] / 255;
    values[o + 1] = data[i + 1] / 255;
    values[o + 2] = data[i + 2] / 255;
  }
  return { values, rows, columns };
}

/** A picture as it came: a still, and nine frames that fill a sheet of the same size. */
async function openPicture({ key, title, still, clip }) {
  const canvas = async (file) => cropped(await createImageBitmap(new Blob([bytes(file)], { type: "image/jpeg" })), ...SIZE);
  const sheet = await canvas(clip);
  const [wide, tall] = SIZE.map((length) => length / ACROSS);
  const frames = Array.from({ length: ACROSS ** 2 }, (_, i) =>
    coloursOf(sheet, (i % ACROSS) * wide, Math.floor(i / ACROSS) * tall, wide, tall));
  return { key, title, still: [coloursOf(await canvas(still), 0, 0, ...SIZE)], clip: frames };
}

/** A learner's picture, on a canvas of twice the size; the clip's camera moves over it as over the others. */
function ownPicture(canvas, title) {
  const [columns, rows] = SIZE;
  const clip = () => Array.from({ length: ACROSS ** 2 }, (_, i) => {
    const way = i / (ACROSS ** 2 - 1);
    const window = element("canvas", { width: columns / ACROSS, height: rows / ACROSS });
    const { width, height } = window;
    window.getContext("2d").drawImage(canvas, way * columns, (1 - way) * rows, columns, rows, 0, 0, width, height);
    return coloursOf(window, 0, 0, width, height);
  });
  const still = [coloursOf(cropped(canvas, columns, rows), 0, 0, columns, rows)];
  return { key: OWN, title, still, get clip() { return clip(); } }; // a camera's frame is seldom a clip
}

/** x of a category: `sheets` frames or branches of (rows, columns, 3) values, and what else g needs. */
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

function emptyMask(shape) {
  return { shape, values: new Float64Array(shape.reduce((product, length) => product * length, 1)) };
}

/** How far apart a mask's weights of two sheets, channels, positions stand: 0 along an axis of length 1. */
function stridesOf({ shape: [sheets, channels, rows, columns] }) {
  const plane = rows * columns;
  return [sheets === 1 ? 0 : channels * plane, channels === 1 ? 0 : plane, rows === 1 ? 0 : 1];
}

const shapeOf = ({ sheets, rows, columns }, [bySheet, byChannel, byPlace]) =>
  [bySheet ? sheets : 1, byChannel ? 3 : 1, byPlace ? rows : 1, byPlace ? columns : 1];

/** g by a formula: the distance from the mean colour, averaged over the axes that the mask does not have. */
function deviationMask(input, category) {
  const { x, sheets, rows, columns, size } = input;
  const colour = [0, 0, 0];
  for (let i = 0; i < x.length; i++) colour[i % 3] += (3 * x[i]) / x.length;
  const deviation = x.map((value, i) => Math.abs(value - colour[i % 3]));
  if (AXES[category][2]) {
    for (let s = 0; s < sheets; s++) {
      deviation.set(localMean(deviation.subarray(s * size, (s + 1) * size), rows, columns), s * size);
    }
  }
  const mask = emptyMask(shapeOf(input, AXES[category]));
  const [ofSheet, ofChannel, ofPlace] = stridesOf(mask);
  for (let s = 0, i = 0; s < sheets; s++) {
    for (let place = 0; place < rows * columns; place++) {
      for (let c = 0; c < 3; c++, i++) mask.values[s * ofSheet + c * ofChannel + place * ofPlace] += deviation[i];
    }
  }
  if (!mask.values.some((value) => value > 0)) mask.values.fill(1); // one colour throughout: nothing stands out
  const all = category === "branch" ? mask.values.reduce((sum, value) => sum + value, 0) : mask.values[largest(mask.values)];
  for (let i = 0; i < mask.values.length; i++) mask.values[i] /= all;
  return mask;
}

/** g that was learned: the segmenter's probability of a person, from the picture at the network's size and back. */
async function trainedMask(worker, { x, rows, columns }) {
  const places = NETWORK_SIDE ** 2;
  const data = new Float32Array(3 * places);
  const plane = new Float32Array(rows * columns);
  for (let c = 0; c < 3; c++) {
    for (let i = 0; i < plane.length; i++) plane[i] = x[3 * i + c];
    data.set(resample(plane, rows, columns, NETWORK_SIDE, NETWORK_SIDE), c * places);
  }
  const { output } = await worker.run({ shape: [3, NETWORK_SIDE, NETWORK_SIDE], data });
  const values = new Float64Array(resample(output.data, NETWORK_SIDE, NETWORK_SIDE, rows, columns));
  return { shape: [1, 1, rows, columns], values };
}

const bell = (distance, deviation) => Math.exp(-(distance ** 2) / (2 * deviation ** 2));

/** A mask set by hand, from the settings alone: the picture has no say in it. */
function handMask(input, { category, gates, spot, size, moment, window, fine }) {
  if (category === "branch") return { shape: [2, 1, 1, 1], values: Float64Array.of(fine, 1 - fine) };
  const { rows, columns } = input;
  const [bySheet, byChannel, byPlace] = AXES[category];
  const mask = emptyMask(shapeOf(input, AXES[category]));
  const [many, channels, tall, wide] = mask.shape;
  const along = (length, centre, whole) =>
    Array.from({ length }, (_, i) => (byPlace ? bell(i - (centre * whole - 0.5), size * rows) : 1));
  const [lines, places] = [along(tall, spot[0], rows), along(wide, spot[1], columns)];
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

/** f: the product; over branches the products add up; with one weight for each position, a background fills the rest. */
function applyMask(input, mask, { category, rest }) {
  const { x, sheets, rows, columns, size } = input;
  const sum = category === "branch";
  const output = new Float64Array(sum ? size : x.length);
  const [ofSheet, ofChannel, ofPlace] = stridesOf(mask);
  const { values } = mask;
  for (let s = 0, i = 0; s < sheets; s++) {
    let o = sum ? 0 : i;
    for (let place = 0; place < rows * columns; place++) {
      const start = s * ofSheet + place * ofPlace;
      for (let c = 0; c < 3; c++, i++, o++) output[o] += values[start + c * ofChannel] * x[i];
    }
  }
  if (category === "spatial" && rest !== "dark") {
    const behind = backgroundOf(input, rest);
    const step = behind.length > 3 ? 3 : 0;
    for (let place = 0, o = 0; o < output.length; place++) {
      for (let c = 0; c < 3; c++, o++) output[o] += (1 - values[place]) * behind[step * place + c];
    }
  }
  return output;
}

// Painting ------------------------------------------------------------------------------------------------------------

/** Each sheet of (rows, columns, 3) values on a canvas of its own. */
function paintSheets(values, { rows, columns, size }) {
  return Array.from({ length: values.length / size }, (_, sheet) => {
    const canvas = element("canvas", { width: columns, height: rows });
    const context = canvas.getContext("2d");
    const picture = context.createImageData(columns, rows);
    const { data } = picture; // it rounds by itself
    for (let i = sheet * size, o = 0; o < data.length; i += 3, o += 4) {
      data[o] = 255 * values[i];
      data[o + 1] = 255 * values[i + 1];
      data[o + 2] = 255 * values[i + 2];
      data[o + 3] = 255;
    }
    context.putImageData(picture, 0, 0);
    return canvas;
  });
}

/** Where the sheets of a panel lie, each [x, y, width, height] as shares of the panel. */
function boxes(count) {
  if (count === 1) return [[0, 0, 1, 1]];
  if (count === 2) return [0, 1].map((i) => [0.51 * i, 0.2, 0.49, 0.49]);
  const side = (1 - (ACROSS - 1) * GAP) / ACROSS;
  const at = (place) => place * (side + GAP);
  return Array.from({ length: count }, (_, i) => [at(i % ACROSS), at(Math.floor(i / ACROSS)), side, side]);
}

const boxOn = ({ width, height }, [x, y, w, h]) => [x * width, y * height, w * width, h * height];

function nameUnder(house, canvas, words, [x, y, , height]) {
  const context = canvas.getContext("2d");
  context.font = `${13 * pixelsOf(canvas)}px ${FONT}`;
  context.textAlign = "left";
  context.fillStyle = house.ink("soft");
  context.fillText(words, x, y + height + 18 * pixelsOf(canvas));
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

/** A weight that holds for a whole sheet or channel: a box of its colour with its number. */
function drawWeight(canvas, value, words, [x, y, width, height]) {
  const context = canvas.getContext("2d");
  context.fillStyle = colourOf(value, RANGE);
  context.fillRect(x, y, width, height);
  context.fillStyle = value > 0.6 ? "#000" : "#fff";
  context.font = `600 ${13 * pixelsOf(canvas)}px ${FONT}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(words, x + width / 2, y + height / 2);
  context.textBaseline = "alphabetic";
}

function drawMask(house, canvas, { shape: [sheets, channels, rows, columns], values }) {
  const context = canvas.getContext("2d");
  const pixels = pixelsOf(canvas);
  context.clearRect(0, 0, canvas.width, canvas.height);
  const map = (index, box) => {
    const part = values.subarray(index * rows * columns, (index + 1) * rows * columns);
    context.drawImage(paintMap(part, rows, columns, RANGE), ...box);
  };
  if (rows > 1 && channels === 1) boxes(sheets).forEach((share, s) => map(s, boxOn(canvas, share)));
  else if (rows > 1) {
    CHANNELS.forEach((name, c) => {
      const box = boxOn(canvas, [(c % 2) * 0.51, Math.floor(c / 2) * 0.51, 0.49, 0.49]);
      map(c, box);
      context.font = `600 ${12 * pixels}px ${FONT}`;
      context.textAlign = "left";
      Object.assign(context, { lineWidth: 3 * pixels, strokeStyle: "#000", fillStyle: "#fff" });
      context.strokeText(name, box[0] + 5 * pixels, box[1] + 15 * pixels);
      context.fillText(name, box[0] + 5 * pixels, box[1] + 15 * pixels);
    });
  } else if (channels > 1) {
    CHANNELS.forEach((name, c) =>
      drawWeight(canvas, values[c], `${name} ${values[c].toFixed(2)}`, boxOn(canvas, [0, c / 3, 1, 1 / 3 - 0.01])));
  } else {
    boxes(sheets).forEach((share, s) => {
      drawWeight(canvas, values[s], values[s].toFixed(2), boxOn(canvas, share));
      if (sheets === 2) nameUnder(house, canvas, BRANCHES[s], boxOn(canvas, share));
    });
  }
}

// Where the pointer is ------------------------------------------------------------------------------------------------

/** The cells of the focus: those of one sheet, of the whole panel, and what lies under a cell. */
function gridOf({ rows, columns, sheets }, category) {
  const [down, along] = [rows / CELL, columns / CELL];
  const across = isClip(category) ? ACROSS : 1;
  const place = ([line, column]) => {
    const sheet = isClip(category) ? Math.floor(line / down) * ACROSS + Math.floor(column / along) : 0;
    const [y, x] = [(line % down) * CELL + CELL / 2, (column % along) * CELL + CELL / 2];
    return { sheet, row: y, column: x, spot: [(y + 0.5) / rows, (x + 0.5) / columns] };
  };
  const cell = (spot, sheet) => [
    Math.min(down - 1, Math.floor(spot[0] * down)) + Math.floor(sheet / ACROSS) * down * (across > 1),
    Math.min(along - 1, Math.floor(spot[1] * along)) + (sheet % ACROSS) * along * (across > 1),
  ];
  const locate = (panel, x, y) => {
    if (x < 0 || y < 0 || x >= 1 || y >= 1) return null;
    if (panel === "mask" && !isClip(category) && (!AXES[category][2] || AXES[category][1])) return null;
    const all = boxes(panel === "x" || isClip(category) ? sheets : 1);
    const sheet = all.findIndex(([left, upper, w, h]) => x >= left && x < left + w && y >= upper && y < upper + h);
    if (sheet < 0) return null;
    const [left, upper, width, height] = all[sheet];
    const [line, column] = [Math.floor(((y - upper) / height) * down), Math.floor(((x - left) / width) * along)];
    return isClip(category) ? [line + Math.floor(sheet / ACROSS) * down, column + (sheet % ACROSS) * along] : [line, column];
  };
  return { down, along, rows: down * across, columns: along * across, place, cell, locate };
}

// Parts ---------------------------------------------------------------------------------------------------------------

/** Which sliders a mask set by hand has. */
function slidersOf({ source, category }) {
  if (source !== "hand") return [];
  if (category === "branch") return ["fine"];
  const [bySheet, byChannel, byPlace] = AXES[category];
  return [...(byChannel ? CHANNELS : []), ...(byPlace ? ["size"] : []), ...(bySheet ? ["moment", "window"] : [])];
}

/** The lists, and the sliders in a box that is as tall without any; `set(settings, pictures)` shows what the mask has. */
function controlsPart(house, model, change) {
  const sources = Object.entries(SOURCES).filter(([name]) => name !== "trained" || model.get("network").graph);
  const lists = traitControls(model, {
    source: [choice, { label: "Mask", options: sources }],
    rest: [choice, { label: "The rest", options: Object.entries(RESTS) }],
    category: [choice, { label: "Category", options: Object.keys(QUESTIONS).map((name) => [name, name]) }],
    picture: [choice, { label: "Picture", options: [] }],
  }, change);
  const share = { min: 0, max: 1, step: 0.01, show: (value) => value.toFixed(2) };
  const sliders = traitControls(model, {
    size: [slider, { label: "Spotlight", ...share, min: 0.04, max: 0.6, show: (value) => `${Math.round(100 * value)} %` }],
    moment: [slider, { label: "When", min: 0, max: 8, step: 1, show: (value) => `frame ${value + 1}` }],
    window: [slider, { label: "How long", min: 0.3, max: 6, step: 0.1, show: (value) => `${value.toFixed(1)} frames` }],
    fine: [slider, { label: "Fine branch", ...share }],
  }, change);
  const gates = Object.fromEntries(CHANNELS.map((name, c) => [name, slider({
    label: name[0].toUpperCase() + name.slice(1), ...share, value: 0,
    onInput: (value) => change({ gates: model.get("gates").map((gate, i) => (i === c ? value : gate)) }),
  })]));
  const note = element("p", { class: "cw-panel-name" }, "This mask is made from the picture: nothing is set by hand.");
  const all = { ...gates, ...sliders.controls };
  house.controls.append(...lists.nodes);
  const node = element("div", { class: "cw-sliders" }, note, ...Object.values(all).map((one) => one.node));
  const set = (settings, pictures) => {
    fill(lists.controls.picture, pictures.map(({ key, title }) => [key, title]), settings.picture);
    lists.refresh();
    sliders.refresh();
    CHANNELS.forEach((name, c) => gates[name].set(settings.gates[c]));
    const used = slidersOf(settings);
    note.hidden = used.length > 0;
    for (const [name, one] of Object.entries(all)) one.node.hidden = !used.includes(name);
  };
  return { node, set };
}

/** The status line: the mask in words, and the numbers under the pointer. */
function wordsOf({ input, mask, output }, settings, title, query, grid, hint) {
  const { category, source, rest } = settings;
  const through = mask.values.reduce((sum, value) => sum + value, 0) / mask.values.length;
  const amount = category === "branch"
    ? `Fine ${mask.values[0].toFixed(2)}, coarse ${mask.values[1].toFixed(2)}.` : `${percent(through)} of the picture gets through.`;
  const maker = {
    hand: "Set by hand: fixed, the same for every picture.", picture: `Made from this picture (${title}).`,
    trained: `Made from this picture (${title}) by a network that looks for people.`,
  }[source];
  const kind = `${category[0].toUpperCase()}${category.slice(1)} mask (${QUESTIONS[category]})`;
  if (!query) return [`${kind}:`, { aside: `${SHARED[category]}.` }, amount, { aside: maker }];
  const { sheet, row: line, column } = grid.place(query);
  const place = line * input.columns + column;
  const triple = (values) => (values.length === 1 ? number(values[0]) : `(${values.map(number).join(", ")})`);
  const at = (values, s) => triple([0, 1, 2].map((c) => values[s * input.size + 3 * place + c]));
  const where = `${isClip(category) ? `Frame ${sheet + 1}, row` : "Row"} ${line + 1} of ${input.rows}, `
    + `column ${column + 1} of ${input.columns}`;
  const heard = { heard: `${kind}. ${amount} ${maker}` };
  if (category === "branch") {
    return [heard, `${where}: ${number(mask.values[0])} of fine, ${number(mask.values[1])} of coarse.`,
      { aside: `Of ${at(input.x, 0)} and ${at(input.x, 1)} they make ${at(output, 0)}.` }, hint];
  }
  const [ofSheet, ofChannel, ofPlace] = stridesOf(mask);
  const start = sheet * ofSheet + place * ofPlace;
  const weights = Array.from({ length: mask.shape[1] }, (_, c) => mask.values[start + c * ofChannel]);
  const filled = category === "spatial" && rest !== "dark" ? `, filled up from the ${rest} background,` : "";
  return [heard, `${where}: mask ${triple(weights)}.`,
    { aside: `Of x ${at(input.x, sheet)} it makes${filled} ${at(output, sheet)}.` }, hint];
}

/** The three panels: what passes, large, and beside it x and the mask, and what makes it. */
function panelsPart(house) {
  const panels = ["output", "x", "mask"].map((name) =>
    picturePanel(name, { role: name === "output" ? "application" : "img", "data-panel": name }));
  const [outPanel, xPanel, maskPanel] = panels;
  const scale = scaleBar("Weight");
  outPanel.node.append(element("p", { class: "cw-panel-name cw-keys" }, gestures()));
  instrument(house, outPanel.node, row(xPanel.node, maskPanel.node), scale.node, house.controls);
  house.controls.style.margin = "0";
  const drawFocus = (category, focus, { down, along, place }) => {
    const query = focus.get();
    if (!query) return;
    const mark = ({ canvas }, share) => {
      const [x, y, width, height] = boxOn(canvas, share);
      const cell = [width / along, height / down];
      outline(canvas.getContext("2d"), x + (query[1] % along) * cell[0], y + (query[0] % down) * cell[1], ...cell,
        pixelsOf(canvas), focus.isPinned());
    };
    const own = isClip(category) ? boxes(ACROSS ** 2)[place(query).sheet] : boxes(1)[0];
    for (const share of category === "branch" ? boxes(2) : [own]) mark(xPanel, share);
    if (isClip(category) || (AXES[category][2] && !AXES[category][1])) mark(maskPanel, own);
    mark(outPanel, own);
  };
  const nameAll = ({ input, mask }, { category, source, rest }, title) => {
    const words = (shape) => shape.join(" × ");
    const [g, f] = source === "hand" ? ["mask", "f(mask, x)"] : ["g(x)", "f(g(x), x)"];
    const whole = input.sheets > 1 ? [input.sheets, 3, input.rows, input.columns] : [3, input.rows, input.columns];
    outPanel.rename(category === "spatial" && rest !== "dark" ? `f = ${g} · x + (1 − ${g}) · background`
      : `${f}: ${words(category === "branch" ? whole.slice(1) : whole)}`);
    xPanel.rename(`x: ${words(whole)}`);
    maskPanel.rename(`${g}: ${words(mask.shape[0] === 1 && !AXES[category][0] ? mask.shape.slice(1) : mask.shape)}`);
    for (const { canvas, node } of panels) {
      canvas.setAttribute("aria-label", `${title}, ${node.querySelector("figcaption").textContent}. `
        + (canvas === outPanel.canvas ? keyWords("the place") : ""));
    }
  };
  const draw = (shown, settings, title, focus, grid) => {
    drawSheets(house, xPanel.canvas, shown.input.painted);
    drawMask(house, maskPanel.canvas, shown.mask);
    drawSheets(house, outPanel.canvas, paintSheets(shown.output, shown.input));
    drawFocus(settings.category, focus, grid);
    nameAll(shown, settings, title);
    scale.set(RANGE);
  };
  return { panels, draw };
}

async function render({ model, el }) {
  const house = frame({ model, el, name: "mask-playground" });
  const settings = () => Object.fromEntries(SETTINGS.map((name) => [name, model.get(name)]));
  const pictures = new Map();
  let inputs = new Map(); // x of each picture and category, with the masks that were made from it
  let shown = null; // { input, mask, output }
  let worker = null;
  house.endings.push(() => worker?.end());
  const pictureNow = () => pictures.get(model.get("picture")) ?? pictures.values().next().value;
  const inputNow = () => {
    const key = `${pictureNow().key}/${model.get("category")}`;
    if (!inputs.has(key)) inputs.set(key, openInput(pictureNow(), model.get("category")));
    return inputs.get(key);
  };
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

  const parts = panelsPart(house);
  const { panels } = parts;
  const controls = controlsPart(house, model, change);
  house.controls.after(controls.node);

  /** What the pointer would change: by hand, the spotlight and the window follow it. */
  const followed = (query) => {
    const [bySheet, , byPlace] = AXES[model.get("category")];
    const { sheet, spot } = grid().place(query);
    return { ...(byPlace ? { spot } : {}), ...(bySheet && model.get("category") !== "branch" ? { moment: sheet } : {}) };
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
  const keep = (query) => {
    if (model.get("source") === "hand") store(model, followed(query));
    showPanels();
  };
  const describe = () => (shown ? wordsOf(shown, settings(), pictureNow().title, focus.get(), grid(), focus.hint()) : []);
  const focus = focusController({
    canvases: panels.map(({ canvas }) => canvas),
    rows: () => grid().rows,
    columns: () => grid().columns,
    locate: (canvas, x, y) => grid().locate(canvas.dataset.panel, x, y),
    start: () => grid().cell(model.get("spot"), isClip(model.get("category")) ? Math.round(model.get("moment")) : 0),
    onEdge: () => house.say([...describe(), "Edge."], { again: true }),
    onChange: (query, pinned, quiet) => (query && pinned ? keep(query) : showPanels(quiet)),
  });

  function showPanels(quiet = false) {
    if (house.root.clientWidth === 0) return;
    const now = settings();
    const input = inputNow();
    const mask = maskNow(input, now);
    if (!mask) {
      house.stage.setAttribute("aria-busy", "true");
      train(input).then(() => showPanels(quiet), (error) => house.fail(error.message));
      return;
    }
    shown = { input, mask, output: applyMask(input, mask, now) };
    parts.draw(shown, now, pictureNow().title, focus, grid());
    house.stage.setAttribute("aria-busy", "false");
    house.say(describe(), { quiet });
  }
  const showAll = () => {
    if (house.root.clientWidth === 0) return;
    controls.set(settings(), [...pictures.values()]);
    const { rows, columns } = inputNow();
    for (const panel of panels) fitPanel(panel, rows / columns);
    showPanels();
  };
  /** A learner's picture takes its place among the others; the next frame waits until this one is shown. */
  const take = async (canvas, { label }, isOn = () => true) => {
    const picture = ownPicture(canvas, label);
    const input = openInput(picture, model.get("category"));
    if (model.get("source") === "trained") await train(input);
    if (!isOn()) return;
    pictures.set(OWN, picture);
    inputs.delete(`${OWN}/${model.get("category")}`);
    inputs = new Map([...inputs].filter(([key]) => !key.startsWith(`${OWN}/`)));
    inputs.set(`${OWN}/${model.get("category")}`, input);
    if (model.get("picture") === OWN) showAll();
    else store(model, { picture: OWN });
  };
  const own = ownPictures(house, SIZE.map((length) => 2 * length), take);
  house.controls.append(...own.nodes);
  house.listen("picture", () => { if (model.get("picture") !== OWN) own.stop(); });
  const open = async () => {
    for (const picture of await Promise.all(model.get("pictures").map(openPicture))) pictures.set(picture.key, picture);
    inputs.clear();
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
    const [bySheet, byChannel, byPlace] = AXES[category];
    const factors = [];
    if (bySheet) {
      lines.push(`times = torch.exp(-((torch.arange(${sheets}) - ${moment}) ** 2) / (2 * ${window}**2))`);
      factors.push("times[:, None, None, None]");
    }
    if (byChannel) factors.push(`torch.tensor([${gates.join(", ")}])[:, None, None]`);
    if (byPlace) {
      lines.push(
        `rows, columns = torch.arange(${rows})[:, None], torch.arange(${columns})`,
        `distance = (rows - ${number(spot[0] * rows - 0.5)}) ** 2 + (columns - ${number(spot[1] * columns - 0.5)}) ** 2`,
        `spotlight = torch.exp(-distance / (2 * ${number(size * rows)}**2))`,
      );
      factors.push("spotlight[None]");
    }
    lines.push(`mask = ${factors.join(" * ")}`);
  }
  const behind = category === "spatial" && {
    blurred: "local_mean(local_mean(local_mean(x)))", replaced: `torch.tensor([${COLOUR.join(", ")}])[:, None, None]`,
  }[rest];
  if (behind) lines.push(`background = ${behind}`);
  if (category === "branch") lines.push("output = (mask * x).sum(dim=0)");
  else lines.push(`output = mask * x${behind ? " + (1 - mask) * background" : ""}`);
  lines.push('print("x", tuple(x.shape), "mask", tuple(mask.shape), "output", tuple(output.shape))');
  return `${lines.join("\n")}\n`;
}

export default { render };
