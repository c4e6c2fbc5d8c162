import { choice, fill, focusController, keyWords, slider, store, traitControls } from "../page/bind.js";
import { cropped, ownPictures, unpacked } from "../page/camera.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { capital, cellOf, extent, number, percent, plainly, resample, sumOf } from "../page/maths.js";
import { inWorker } from "../page/network.js";
import {
  colourOf, fitPanel, layered, outline, paintImage, paintMap, paintPixels, pixelsOf, writeText,
} from "../page/paint.js";
import { instrument, keepButtons, note, picturePanel, pointPanel, row, scaleBar } from "../page/panels.js";

const RANGE = { table: "magma", low: 0, high: 1 };
const [COLUMNS, ROWS] = [288, 216]; // of a picture
const PLACES = COLUMNS * ROWS;
const SIZE = 3 * PLACES; // its values, (row, column, colour)
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
//
// Whatever its category, x is a picture of COLUMNS x ROWS: a still, or a sheet of nine frames, three by three.

/** The frame of each place, of a clip's sheet and of a still. */
const STILL = new Uint8Array(PLACES);
const CLIP = Uint8Array.from({ length: PLACES }, (_, place) => {
  const [row, column] = cellOf(place, COLUMNS);
  return ACROSS * Math.floor((ACROSS * row) / ROWS) + Math.floor((ACROSS * column) / COLUMNS);
});

/** Means of the square neighbourhoods of x's values in frames of rows x columns; outside a frame nothing is counted. */
function localMean(values, { rows, columns }) {
  const reach = Math.floor(columns / 32);
  /** Running sums along an axis of `length`, whose neighbours are `step` numbers apart. */
  const pass = (from, length, step) => {
    const to = new Float32Array(from.length);
    for (let start = 0; start < from.length; start += length * step) {
      for (let first = start; first < start + step; first++) {
        let sum = 0;
        for (let i = -reach; i < length; i++) {
          if (i + reach < length) sum += from[first + (i + reach) * step];
          if (i > reach) sum -= from[first + (i - reach - 1) * step];
          const count = Math.min(i + reach, length - 1) - Math.max(i - reach, 0) + 1;
          if (i >= 0) to[first + i * step] = sum / count;
        }
      }
    }
    return to;
  };
  return pass(pass(values, columns, 3), rows, 3 * COLUMNS);
}

/** A picture as it came: a still, and nine frames that fill a sheet of the same size. */
async function openPicture({ key, title, still, clip }) {
  const [whole, sheet] = await Promise.all([still, clip].map((file) => unpacked(file, COLUMNS, ROWS)));
  return { key, title, still: whole, clip: () => sheet, inputs: {} };
}

/** A learner's picture, on a canvas of twice the size; the clip's camera moves over it as over the others. */
function ownPicture(canvas, title) {
  const clip = () => { // not made before it is asked for: a camera's frame is seldom a clip
    const sheet = element("canvas", { width: COLUMNS, height: ROWS });
    framesOf("temporal").forEach((box, i) => {
      const way = i / (ACROSS ** 2 - 1);
      sheet.getContext("2d").drawImage(canvas, way * COLUMNS, (1 - way) * ROWS, COLUMNS, ROWS, ...box);
    });
    return sheet;
  };
  return { key: OWN, title, still: cropped(canvas, COLUMNS, ROWS), clip, inputs: {} };
}

/** x of a category, made once: its colours from 0 to 1, of branches one after the other, painted, and its sides. */
function inputOf(picture, category) {
  picture.inputs[category] ??= openInput(picture, category);
  return picture.inputs[category];
}

function openInput(picture, category) {
  const painted = isClip(category) ? picture.clip() : picture.still;
  const { data } = painted.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, COLUMNS, ROWS);
  const fine = new Float32Array(SIZE);
  for (let i = 0; i < SIZE; i++) fine[i] = data[i + Math.floor(i / 3)] / 255; // without the opacity
  const input = isClip(category)
    ? { rows: ROWS / ACROSS, columns: COLUMNS / ACROSS, sheets: ACROSS ** 2, frames: CLIP, painted, x: fine }
    : { rows: ROWS, columns: COLUMNS, sheets: 1, frames: STILL, painted, x: fine };
  if (category !== "branch") return input;
  const x = new Float32Array(2 * SIZE);
  x.set(fine);
  x.set(localMean(fine, input), SIZE);
  const both = paintImage({ shape: [2 * ROWS, COLUMNS, 3], values: x.map((value) => 255 * value) });
  return { ...input, x, painted: both, sheets: 2 };
}

/**
 * A mask of shape [sheets, channels, rows, columns], of length 1 along what it does not differ in; the weights of a
 * clip's positions stand as on its sheet. `strides` tell how far apart those of two sheets, channels, positions are.
 */
function maskOf({ sheets, rows, columns }, category, values = null) {
  const [bySheet, byChannel, byPlace] = axesOf(category);
  const shape = [bySheet ? sheets : 1, byChannel ? 3 : 1, byPlace ? rows : 1, byPlace ? columns : 1];
  const strides = [bySheet && !byPlace ? 1 : 0, byChannel ? (byPlace ? PLACES : 1) : 0, byPlace ? 1 : 0];
  return { shape, strides, values: values ?? new Float32Array(shape.reduce((size, length) => size * length)) };
}

/** Where in a mask the weight of a channel stands at a place of a sheet. */
const weightAt = ([ofSheet, ofChannel, ofPlace], sheet, channel, place) =>
  sheet * ofSheet + channel * ofChannel + place * ofPlace;

/** g by a formula: the distance from the mean colour, averaged over the axes that the mask does not have. */
function deviationMask(input, category) {
  const { x } = input;
  const colour = [0, 0, 0];
  for (let i = 0; i < x.length; i++) colour[i % 3] += (3 * x[i]) / x.length;
  let deviation = x.map((value, i) => Math.abs(value - colour[i % 3]));
  if (axesOf(category)[2]) deviation = localMean(deviation, input);
  const mask = maskOf(input, category);
  const values = new Float64Array(mask.values.length);
  deviation.forEach((value, i) => {
    const place = Math.floor(i / 3) % PLACES;
    const sheet = category === "branch" ? Math.floor(i / SIZE) : input.frames[place];
    values[weightAt(mask.strides, sheet, i % 3, place)] += value;
  });
  const all = category === "branch" ? sumOf(values) : extent(values).high;
  if (!all) return { ...mask, values: values.fill(1 / (category === "branch" ? 2 : 1)) }; // nothing stands out
  return { ...mask, values: values.map((value) => value / all) };
}

/** g that was learned: the segmenter's probability of a person, from the picture at the network's size and back. */
async function trainedMask(worker, input) {
  const data = new Float32Array(3 * NETWORK_SIDE ** 2);
  const plane = new Float32Array(PLACES);
  for (let c = 0; c < 3; c++) {
    for (let i = 0; i < PLACES; i++) plane[i] = input.x[3 * i + c];
    data.set(resample(plane, ROWS, COLUMNS, NETWORK_SIDE, NETWORK_SIDE), c * NETWORK_SIDE ** 2);
  }
  const { output } = await worker.run({ shape: [3, NETWORK_SIDE, NETWORK_SIDE], data });
  return maskOf(input, "spatial", resample(output.data, NETWORK_SIDE, NETWORK_SIDE, ROWS, COLUMNS));
}

const bell = (distance, deviation) => Math.exp(-(distance ** 2) / (2 * deviation ** 2));

/** A mask set by hand, from the settings alone: the picture has no say in it. */
function handMask(input, { category, gates, spot, size, moment, window, fine }) {
  const [bySheet, byChannel, byPlace] = axesOf(category);
  if (category === "branch") return maskOf(input, category, Float64Array.of(fine, 1 - fine));
  const factors = byChannel ? gates : [1];
  const times = Float64Array.from({ length: ACROSS ** 2 }, (_, sheet) => (bySheet ? bell(sheet - moment, window) : 1));
  if (!byPlace) return maskOf(input, category, Float64Array.from(bySheet ? times : factors));
  /** The spotlight along one side of the sheet, again in each frame of this length. */
  const along = (whole, length, centre) => Float64Array.from({ length: whole }, (_, i) =>
    bell((i % length) - (centre * length - 0.5), size * input.rows));
  const [lines, columns] = [along(ROWS, input.rows, spot[0]), along(COLUMNS, input.columns, spot[1])];
  const mask = maskOf(input, category);
  let i = 0;
  for (const factor of factors) {
    for (let row = 0, place = 0; row < ROWS; row++) {
      for (let column = 0; column < COLUMNS; column++, place++) {
        mask.values[i++] = factor * times[input.frames[place]] * lines[row] * columns[column];
      }
    }
  }
  return mask;
}

/**
 * What takes the place of x where its weight is small, all values of it: of branches the coarse one, in a video call a
 * background, else black.
 */
function behindOf(input, { category, rest }) {
  if (category === "branch") return input.x.subarray(SIZE);
  const kind = isFilled({ category, rest }) ? rest : "dark";
  input.behind ??= {};
  input.behind[kind] ??= {
    dark: () => new Float32Array(SIZE),
    replaced: () => Float32Array.from({ length: SIZE }, (_, i) => COLOUR[i % 3]),
    blurred: () => [1, 2, 3].reduce((values) => localMean(values, input), input.x),
  }[kind]();
  return input.behind[kind];
}

/** f: the product of a weight and a value; what is left of the weight goes to what stands behind. */
const applied = (weight, value, behind) => weight * value + (1 - weight) * behind;

// Painting ------------------------------------------------------------------------------------------------------------

/** f of all values, painted on a canvas of COLUMNS x ROWS, which is returned. */
function paintOutput({ x, frames: frameOf }, { values, strides: [ofSheet, ofChannel, ofPlace] }, behind, canvas) {
  return paintPixels((data) => {
    for (let place = 0, i = 0, to = 0; place < PLACES; place++) {
      let m = frameOf[place] * ofSheet + place * ofPlace;
      for (let c = 0; c < 3; c++, m += ofChannel) {
        data[to++] = 255 * applied(values[m], x[i], behind[i]);
        i++;
      }
      data[to++] = 255;
    }
  }, canvas);
}

/** What `make(row, column)` gives for each frame of a clip, by its place on the sheet. */
const frames = (make) => Array.from({ length: ACROSS ** 2 }, (_, i) => make(...cellOf(i, ACROSS)));

/** So many pictures below each other, each [x, y, width, height]: x holds its branches so, and a mask its channels. */
const below = (count) => Array.from({ length: count }, (_, i) => [0, i * ROWS, COLUMNS, ROWS]);

/** Where the frames of a picture of this category lie on it. */
const framesOf = (category) => (!isClip(category) ? below(1) : frames((down, across) =>
  [(across * COLUMNS) / ACROSS, (down * ROWS) / ACROSS, COLUMNS / ACROSS, ROWS / ACROSS]));

/** Where the sheets of a panel lie, each [x, y, width, height] as shares of the panel. */
function boxes(count) {
  if (count === 1) return [[0, 0, 1, 1]];
  if (count === 2) return [0, 1].map((i) => [0.51 * i, 0.2, 0.49, 0.49]);
  if (count === 3) return [0, 1, 2].map((c) => [0.51 * (c % 2), 0.51 * Math.floor(c / 2), 0.49, 0.49]);
  const side = (1 - (ACROSS - 1) * GAP) / ACROSS;
  return frames((down, across) => [across * (side + GAP), down * (side + GAP), side, side]);
}

const boxOn = ({ width, height }, [x, y, w, h]) => [x * width, y * height, w * width, h * height];

/**
 * The parts of a panel, each in its box with its name: `parts` of a picture, or `values`, weights that hold for a whole
 * sheet or channel, as colours with numbers.
 */
function drawParts(house, { canvas, layer }, { picture, parts, values, names = [] }) {
  const context = layer.begin();
  const pixels = pixelsOf(canvas);
  const size = 13 * pixels;
  const strips = values && names === CHANNELS;
  const shares = strips ? names.map((_, c) => [0, c / 3, 1, 1 / 3 - 0.01]) : boxes((parts ?? values).length);
  shares.forEach((share, i) => {
    const [x, y, width, height] = boxOn(canvas, share);
    if (picture) {
      context.drawImage(picture, ...parts[i], x, y, width, height);
      const style = { size, weight: 600, ink: "#fff", edge: "#000" };
      if (names === CHANNELS) writeText(context, names[i], x + 5 * pixels, y + 11 * pixels, style);
    } else {
      context.fillStyle = colourOf(values[i], RANGE);
      context.fillRect(x, y, width, height);
      const words = `${strips ? `${names[i]} ` : ""}${values[i].toFixed(2)}`;
      const style = { size, weight: 600, align: "center", ink: values[i] > 0.6 ? "#000" : "#fff" };
      writeText(context, words, x + width / 2, y + height / 2, style);
    }
    if (names === BRANCHES) writeText(context, names[i], x, y + height + size, { size, ink: house.ink("soft") });
  });
}

// Where the pointer is ------------------------------------------------------------------------------------------------

/** The cells of the focus: those of one frame, of the whole picture, and what lies under a cell. */
function gridOf({ rows, columns, sheets, frames: frameOf }, category) {
  const [down, along] = [rows / CELL, columns / CELL];
  const place = (query) => {
    const [row, column] = query.map((at) => at * CELL + CELL / 2); // on the sheet
    const [line, across] = [row % rows, column % columns];
    const at = row * COLUMNS + column;
    return { at, sheet: frameOf[at], row: line, column: across, spot: [(line + 0.5) / rows, (across + 0.5) / columns] };
  };
  const cell = (spot, sheet) => {
    const at = (share, length, before) => Math.min(length - 1, Math.floor(share * length)) + before * length;
    const [above, before] = cellOf(isClip(category) ? sheet : 0, ACROSS);
    return [at(spot[0], down, above), at(spot[1], along, before)];
  };
  const locate = (panel, x, y) => {
    if (panel === "mask" && !hasPlaces(category)) return null;
    const all = boxes(panel === "x" || isClip(category) ? sheets : 1);
    const spots = all.map(([left, top, wide, tall]) => [(y - top) / tall, (x - left) / wide]);
    const sheet = spots.findIndex((spot) => Math.min(...spot) >= 0 && Math.max(...spot) < 1);
    return sheet < 0 ? null : cell(spots[sheet], sheet);
  };
  return { down, along, place, cell, locate };
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
    label: capital(name), ...share, value: 0,
    onInput: (value) => change({ gates: model.get("gates").map((gate, i) => (i === c ? value : gate)) }),
  })]));
  const made = note("This mask is made from the picture. Pointing reads its weight there, and moves nothing.");
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
function wordsOf({ input, mask, behind, grid, title, ...settings }, query, hint) {
  const { category, source, rest } = settings;
  const { values } = mask;
  const amount = category === "branch" ? `Fine ${values[0].toFixed(2)}, coarse ${values[1].toFixed(2)}.`
    : `${percent(sumOf(values) / values.length)} of the picture gets through.`;
  const maker = {
    hand: "Set by hand: fixed, the same for every picture.", picture: `Made from this picture (${title}).`,
    trained: `Made from this picture (${title}) by a network that looks for people.`,
  }[source];
  const kind = `${capital(category)} mask (${CATEGORIES[category].question})`;
  if (!query) {
    return [`${kind}:`, { aside: `one weight for each ${CATEGORIES[category].shared}.` }, amount, { aside: maker }];
  }
  const { at, sheet, row: line, column } = grid.place(query);
  const triple = (three) => (three.length === 1 ? plainly(three[0]) : `(${three.map(plainly).join(", ")})`);
  const colours = (from) => [...from.subarray(3 * at, 3 * at + 3)];
  const weights = [0, 1, 2].map((c) => values[weightAt(mask.strides, sheet, c, at)]);
  const x = colours(input.x);
  const made = triple(colours(behind).map((value, c) => applied(weights[c], x[c], value)));
  const where = `${isClip(category) ? `Frame ${sheet + 1}, row` : "Row"} ${line + 1} of ${input.rows}, `
    + `column ${column + 1} of ${input.columns}`;
  if (category === "branch") {
    return [{ heard: `${kind}. ${amount} ${maker}` },
      `${where}: ${number(values[0])} of fine, ${number(values[1])} of coarse.`,
      { aside: `Of ${triple(x)} and ${triple(colours(behind))} they make ${made}.` }, hint];
  }
  const filled = isFilled(settings) ? `, filled up from the ${rest} background,` : "";
  return [{ heard: `${kind}.` }, amount, { heard: maker },
    `${where}: mask ${triple(weights.slice(0, mask.shape[1]))}.`,
    { aside: `Of x ${triple(x)} it makes${filled} ${made}.` }, hint];
}

/** The three panels: what passes, large, with the sliders below it, and beside it x and the mask, and what makes it. */
function panelsPart(house, sliders) {
  const panels = [pointPanel(), picturePanel("", { role: "img" }), picturePanel("", { role: "img" })]
    .map((made) => ({ ...made, layer: layered(made.canvas) }));
  const [outPanel, xPanel, maskPanel] = panels;
  ["output", "x", "mask"].forEach((name, i) => { panels[i].canvas.dataset.panel = name; });
  const scale = scaleBar("Weight");
  const beside = row(xPanel.node, maskPanel.node);
  instrument(house, element("div", {}, outPanel.node, sliders), beside, scale.node, house.controls);
  const output = element("canvas", { width: COLUMNS, height: ROWS });
  const maps = element("canvas", { width: COLUMNS });

  const nameAll = ({ input: { sheets, rows, columns }, mask, title, ...settings }) => {
    const words = (shape) => shape.join(" × ");
    const { category, source } = settings;
    const [g, f] = source === "hand" ? ["mask", "f(mask, x)"] : ["g(x)", "f(g(x), x)"];
    const whole = [...(sheets > 1 ? [sheets] : []), 3, rows, columns];
    outPanel.rename(isFilled(settings) ? `f = ${g} · x + (1 − ${g}) · background`
      : `${f}: ${words(category === "branch" ? whole.slice(1) : whole)}`);
    xPanel.rename(`x: ${words(whole)}`);
    maskPanel.rename(`${g}: ${words(axesOf(category)[0] ? mask.shape : mask.shape.slice(1))}`);
    for (const { canvas, node } of panels) {
      canvas.setAttribute("aria-label", `${title}, ${node.querySelector("figcaption").textContent}. `
        + (canvas === outPanel.canvas ? keyWords("the place") : ""));
    }
  };
  /** What a change of the settings draws: x, and all names. */
  const drawInput = (shown) => {
    const { category, input } = shown;
    for (const panel of panels) fitPanel(panel, ROWS / COLUMNS);
    const [parts, names] = category === "branch" ? [below(2), BRANCHES] : [framesOf(category)];
    drawParts(house, xPanel, { picture: input.painted, parts, names });
    nameAll(shown);
    scale.set(RANGE);
  };
  /** What a new mask draws: itself, and what passes. */
  const drawMask = ({ category, input, mask, behind }) => {
    const [, byChannel, byPlace] = axesOf(category);
    const names = byChannel ? CHANNELS : category === "branch" ? BRANCHES : [];
    if (byPlace) {
      const tall = (byChannel ? 3 : 1) * ROWS;
      if (maps.height !== tall) maps.height = tall;
      const picture = paintMap(mask.values, tall, COLUMNS, RANGE, maps);
      drawParts(house, maskPanel, { picture, parts: byChannel ? below(3) : framesOf(category), names });
    } else drawParts(house, maskPanel, { values: mask.values, names });
    const picture = paintOutput(input, mask, behind, output);
    drawParts(house, outPanel, { picture, parts: framesOf(category) });
  };
  /** All that is drawn, with the cell in focus framed. */
  const mark = ({ category, grid: { down, along, place } }, focus) => {
    for (const { layer } of panels) layer.copy();
    const query = focus.get();
    if (!query) return;
    const around = ({ canvas }, share) => {
      const [x, y, width, height] = boxOn(canvas, share);
      const [wide, tall] = [width / along, height / down];
      const [left, top] = [x + (query[1] % along) * wide, y + (query[0] % down) * tall];
      outline(canvas.getContext("2d"), left, top, wide, tall, pixelsOf(canvas), focus.isPinned());
    };
    const own = isClip(category) ? boxes(ACROSS ** 2)[place(query).sheet] : boxes(1)[0];
    for (const share of category === "branch" ? boxes(2) : [own]) around(xPanel, share);
    if (hasPlaces(category)) around(maskPanel, own);
    around(outPanel, own);
  };
  return { panels, drawInput, drawMask, mark };
}

async function render({ model, el }) {
  const house = frame({ model, el, name: "mask-playground" });
  const settings = () => Object.fromEntries(SETTINGS.map((name) => [name, model.get(name)]));
  const pictures = new Map();
  let shown = null; // the settings, with the input, its mask, what stands behind and the grid of the focus
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

  const controls = controlsPart(house, model, change);
  const { panels, drawInput, drawMask, mark } = panelsPart(house, controls.node);

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
    rows: () => ROWS / CELL,
    columns: () => COLUMNS / CELL,
    locate: (canvas, x, y) => grid().locate(canvas.dataset.panel, x, y),
    start: () => grid().cell(model.get("spot"), Math.round(model.get("moment"))),
    onEdge: () => house.say([...describe(), "Edge."], { again: true }),
    onChange: (query, pinned, quiet) => {
      const kept = query && pinned;
      if (kept && model.get("source") === "hand") store(model, followed(query));
      show(true, !kept && quiet);
    },
  });

  /** Draw what the settings or, where only the place in focus has `moved`, what the place has changed. */
  function show(moved = false, quiet = false) {
    if (house.root.clientWidth === 0) return;
    const [now, input] = [settings(), inputNow()];
    const made = maskNow(input, now);
    if (!made) {
      house.stage.setAttribute("aria-busy", "true");
      train(input).then(() => show(), (error) => house.fail(error.message));
      return;
    }
    const before = shown?.mask;
    shown = { ...now, input, mask: made, behind: behindOf(input, now), grid: grid(), title: pictureNow().title };
    if (!moved) {
      controls.set(now, [...pictures.values()]);
      drawInput(shown);
    }
    if (!moved || made !== before) drawMask(shown);
    mark(shown, focus);
    house.stage.setAttribute("aria-busy", "false");
    house.say(describe(), { quiet });
  }
  /** A learner's picture takes its place among the others; the next frame waits until this one is shown. */
  const take = async (canvas, { label }, isOn = () => true) => {
    const picture = ownPicture(canvas, label);
    const input = inputOf(picture, model.get("category"));
    const trained = model.get("source") === "trained" ? train(input) : null;
    await new Promise((done) => { setTimeout(done); }); // else the picture and what stands behind it are one long task
    behindOf(input, settings());
    await trained;
    if (!isOn()) return;
    pictures.set(OWN, picture);
    if (model.get("picture") === OWN) show();
    else store(model, { picture: OWN });
  };
  const own = ownPictures(house, [2 * COLUMNS, 2 * ROWS], take);
  house.controls.append(...own.nodes);
  house.listen("picture", () => { if (model.get("picture") !== OWN) own.stop(); });
  const open = async () => {
    for (const picture of await Promise.all(model.get("pictures").map(openPicture))) pictures.set(picture.key, picture);
  };
  await open();
  if (model.get("source") === "trained") await train(inputNow());

  // A spotlight or a moment that was set elsewhere, by a step or by the kernel, is not the pinned one.
  for (const name of ["spot", "moment"]) {
    house.listen(name, () => {
      const pinned = focus.isPinned() && model.get("source") === "hand" ? followed(focus.get())[name] : undefined;
      if (pinned !== undefined && String(pinned) !== String(model.get(name))) focus.set(null);
    });
  }
  house.listen(SETTINGS, () => show());
  house.listen("pictures", () => open().then(() => show()));
  keepButtons(house, describe, () => `${model.get("code")}\n${codeFor(settings(), inputNow())}`);
  house.whenShown(() => show());
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
