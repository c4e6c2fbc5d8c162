import { choice, focusController, slider, store } from "../page/bind.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { decode, number, percent } from "../page/maths.js";
import { colourOf, fit, outline, paintMap } from "../page/paint.js";
import { copyButton, saveButton, scaleBar } from "../page/panels.js";

const TABLE = "magma";
const RANGE = { table: TABLE, low: 0, high: 1 };
const CELL = 4; // pixels of the picture in a cell of the focus
const ACROSS = 3; // frames beside each other
const GAP = 0.02; // between frames, as a share of the panel
const FONT = "system-ui, sans-serif";
const CHANNELS = ["red", "green", "blue"];
const BRANCHES = ["fine", "coarse"];
const QUESTIONS = {
  channel: "what?", spatial: "where?", "channel & spatial": "what and where?", temporal: "when?",
  "spatial & temporal": "where and when?", branch: "which?",
};
/** Where each category's mask differs: branch or frame, channel, position. */
const AXES = {
  channel: [false, true, false], spatial: [false, false, true], "channel & spatial": [false, true, true],
  temporal: [true, false, false], "spatial & temporal": [true, false, true], branch: [true, false, false],
};
const isClip = (category) => category.includes("temporal");

/** Means of the square neighbourhoods of (rows, columns, 3) values; outside the picture nothing is counted. */
function localMean(values, rows, columns) {
  const reach = Math.floor(columns / 32);
  const pass = (from, length, others, step, leap) => {
    const to = new Float64Array(from.length);
    for (let other = 0; other < others; other++) {
      for (let c = 0; c < 3; c++) {
        const start = other * leap + c;
        for (let i = 0; i < length; i++) {
          const first = Math.max(0, i - reach);
          const last = Math.min(length - 1, i + reach);
          let sum = 0;
          for (let k = first; k <= last; k++) sum += from[start + k * step];
          to[start + i * step] = sum / (last - first + 1);
        }
      }
    }
    return to;
  };
  return pass(pass(values, columns, rows, 3, 3 * columns), rows, columns, 3 * columns, 3);
}

/** x of a category: `sheets` frames or branches of (rows, columns, 3) values from 0 to 1, and what else g needs. */
function openInput({ still, clip }, category) {
  const { shape, values } = decode(isClip(category) ? clip : still);
  const [rows, columns] = shape.slice(-3);
  const size = rows * columns * 3;
  let x = Float64Array.from(values, (value) => value / 255);
  if (category === "branch") {
    const both = new Float64Array(2 * size);
    both.set(x);
    both.set(localMean(x, rows, columns), size);
    x = both;
  }
  return { x, sheets: x.length / size, rows, columns, size, painted: paintSheets(x, { rows, columns, size }) };
}

/** g: the distance from the mean colour, averaged over the axes that the mask does not have. */
function deviationMask({ x, sheets, rows, columns, size }, category) {
  const colour = [0, 0, 0];
  for (let i = 0; i < x.length; i++) colour[i % 3] += (3 * x[i]) / x.length;
  const deviation = x.map((value, i) => Math.abs(value - colour[i % 3]));
  const [bySheet, byChannel, byPlace] = AXES[category];
  if (byPlace) {
    for (let s = 0; s < sheets; s++) {
      deviation.set(localMean(deviation.subarray(s * size, (s + 1) * size), rows, columns), s * size);
    }
  }
  const shape = [bySheet ? sheets : 1, byChannel ? 3 : 1, byPlace ? rows : 1, byPlace ? columns : 1];
  const mask = emptyMask(shape);
  const [ofSheet, ofChannel, ofPlace] = stridesOf(mask);
  for (let s = 0, i = 0; s < sheets; s++) {
    for (let place = 0; place < rows * columns; place++) {
      for (let c = 0; c < 3; c++, i++) mask.values[s * ofSheet + c * ofChannel + place * ofPlace] += deviation[i];
    }
  }
  if (!mask.values.some((value) => value > 0)) mask.values.fill(1); // one colour throughout: nothing stands out
  const all = category === "branch" ? mask.values.reduce((sum, value) => sum + value, 0) : Math.max(...spread(mask.values));
  for (let i = 0; i < mask.values.length; i++) mask.values[i] /= all;
  return mask;
}

/** The largest of each thousand values: Math.max takes only so many arguments. */
function spread(values) {
  const tops = [];
  for (let i = 0; i < values.length; i += 1000) tops.push(Math.max(...values.subarray(i, i + 1000)));
  return tops;
}

function emptyMask(shape) {
  return { shape, values: new Float64Array(shape.reduce((product, length) => product * length, 1)) };
}

/** How far apart a mask's weights of two sheets, channels, positions stand: 0 along an axis of length 1, which serves all. */
function stridesOf({ shape: [sheets, channels, rows, columns] }) {
  const plane = rows * columns;
  return [sheets === 1 ? 0 : channels * plane, channels === 1 ? 0 : plane, rows === 1 ? 0 : 1];
}

const bell = (distance, deviation) => Math.exp(-(distance ** 2) / (2 * deviation ** 2));

/** A mask set by hand, from the settings alone: the picture has no say in it. */
function handMask({ sheets, rows, columns }, category, { gates, spot, size, moment, window, fine }) {
  if (category === "branch") return { shape: [2, 1, 1, 1], values: Float64Array.of(fine, 1 - fine) };
  const [bySheet, byChannel, byPlace] = AXES[category];
  const mask = emptyMask([bySheet ? sheets : 1, byChannel ? 3 : 1, byPlace ? rows : 1, byPlace ? columns : 1]);
  const [many, channels, tall, wide] = mask.shape;
  const down = Array.from({ length: tall }, (_, i) => (byPlace ? bell(i - (spot[0] * rows - 0.5), size * rows) : 1));
  const along = Array.from({ length: wide }, (_, j) => (byPlace ? bell(j - (spot[1] * columns - 0.5), size * rows) : 1));
  let i = 0;
  for (let s = 0; s < many; s++) {
    const when = bySheet ? bell(s - moment, window) : 1;
    for (let c = 0; c < channels; c++) {
      const factor = when * (byChannel ? gates[c] : 1);
      for (let row = 0; row < tall; row++) for (let column = 0; column < wide; column++) mask.values[i++] = factor * down[row] * along[column];
    }
  }
  return mask;
}

/** f: the product; over branches the products are added up. */
function applyMask({ x, sheets, rows, columns, size }, mask, category) {
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
  return output;
}

/** A place to paint what changes with every move: a canvas for each number, made once. */
function easels() {
  const canvases = [];
  return (number, rows, columns) => {
    canvases[number] ??= element("canvas");
    const canvas = canvases[number];
    if (canvas.width !== columns) canvas.width = columns;
    if (canvas.height !== rows) canvas.height = rows;
    return canvas;
  };
}

/** Each sheet of (rows, columns, 3) values on a canvas of its own. */
function paintSheets(values, { rows, columns, size }, easel = easels()) {
  return Array.from({ length: values.length / size }, (_, sheet) => {
    const canvas = easel(sheet, rows, columns);
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

const shapeWords = (shape) => shape.join(" × ");
const triple = (values) => (values.length === 1 ? number(values[0]) : `(${values.map(number).join(", ")})`);

function render({ model, el }) {
  const house = frame({ model, el, name: "mask-playground" });
  const SETTINGS = ["picture", "category", "source", "gates", "spot", "size", "moment", "window", "fine"];
  const state = {};
  const pull = () => SETTINGS.forEach((name) => { state[name] = model.get(name); });
  pull();

  // What is shown: x is opened once for each picture and category, the mask and the product anew.
  const inputs = new Map();
  const made = new Map();
  const inputNow = () => {
    const key = `${state.picture}/${state.category}`;
    if (!inputs.has(key)) {
      inputs.set(key, openInput(model.get("pictures").find((one) => one.key === state.picture), state.category));
    }
    return inputs.get(key);
  };
  const dynamicMask = () => {
    const key = `${state.picture}/${state.category}`;
    if (!made.has(key)) made.set(key, deviationMask(inputNow(), state.category));
    return made.get(key);
  };
  let shown = null; // { input, mask, output }
  const compute = () => {
    const input = inputNow();
    const mask = state.source === "hand" ? handMask(input, state.category, withPreview()) : dynamicMask();
    shown = { input, mask, output: applyMask(input, mask, state.category) };
  };

  // Controls.
  const change = (values) => {
    Object.assign(state, values);
    store(model, values);
    showAll();
  };
  const categoryChoice = choice({
    label: "Category", options: Object.keys(QUESTIONS).map((name) => [name, name]), value: state.category, onChange: (category) => { focus.set(null); change({ category }); },
  });
  const pictureChoice = choice({
    label: "Picture", options: model.get("pictures").map(({ key, title }) => [key, title]), value: state.picture,
    onChange: (picture) => change({ picture }),
  });
  const sourceChoice = choice({
    label: "Mask", options: [["hand", "set by hand"], ["picture", "made by g(x), from the picture"]], value: state.source,
    onChange: (source) => change({ source }),
  });
  const share = (value) => value.toFixed(2);
  const sliders = {};
  CHANNELS.forEach((label, c) => {
    sliders[label] = slider({
      label: label[0].toUpperCase() + label.slice(1), min: 0, max: 1, step: 0.01, value: state.gates[c], show: share,
      onInput: (value) => change({ gates: state.gates.map((gate, i) => (i === c ? value : gate)) }),
    });
  });
  const plain = (name, label, min, max, step, show = number) => {
    sliders[name] = slider({
      label, min, max, step, value: state[name], show, onInput: (value) => change({ [name]: value }),
    });
  };
  plain("size", "Spotlight", 0.04, 0.6, 0.01, (value) => `${Math.round(100 * value)} % of H`);
  plain("moment", "When", 0, 8, 1, (value) => `frame ${value}`);
  plain("window", "How long", 0.3, 6, 0.1, (value) => `${value.toFixed(1)} frames`);
  plain("fine", "Fine branch", 0, 1, 0.01, share);
  const relevant = (name) => {
    if (state.source !== "hand") return false;
    const [bySheet, byChannel, byPlace] = AXES[state.category];
    if (CHANNELS.includes(name)) return byChannel;
    if (name === "size") return byPlace;
    if (name === "fine") return state.category === "branch";
    return bySheet && state.category !== "branch";
  };
  house.controls.append(
    ...[categoryChoice, pictureChoice, sourceChoice, ...Object.values(sliders)].map(({ node, input }) => {
      Object.assign(node.style, { width: "100%", flexWrap: "wrap", gap: "0 8px" });
      Object.assign(node.querySelector("label").style, { flexDirection: "column", alignItems: "flex-start", gap: "0" });
      if (input.type !== "range") node.querySelector("label").style.width = input.style.width = "100%";
      return node;
    }),
  );
  Object.assign(house.controls.style, { flex: "1 0 152px", maxWidth: "200px", margin: "0", alignContent: "flex-start" });
  house.stage.append(house.controls);
  const setControls = () => {
    categoryChoice.set(state.category);
    pictureChoice.set(state.picture);
    sourceChoice.set(state.source);
    CHANNELS.forEach((name, c) => sliders[name].set(state.gates[c]));
    for (const name of ["size", "moment", "window", "fine"]) sliders[name].set(state[name]);
    for (const [name, { node }] of Object.entries(sliders)) node.hidden = !relevant(name);
  };

  // Panels.
  const panels = ["x", "mask", "output"].map((name) => {
    const canvas = element("canvas", { role: name === "x" ? "application" : "img" });
    const words = element("p", { class: "cw-panel-name" }, name);
    const node = element("div", { class: "cw-panel" }, words, canvas);
    canvas.style.touchAction = "pan-y";
    words.style.whiteSpace = "pre-line";
    node.style.flexBasis = "160px";
    house.stage.append(node);
    return { canvas, words, node, name };
  });
  const [xPanel, maskPanel, outPanel] = panels;
  const [maskEasel, outEasel] = [easels(), easels()];
  const scale = scaleBar("Weight");
  const keys = element("p", { class: "cw-panel-name cw-keys" }, "");
  maskPanel.node.append(scale.node);
  Object.assign(keys.style, { flex: "0 0 100%", marginTop: "-8px" });
  house.stage.append(keys);
  Object.assign(scale.node.style, { width: "100%", marginTop: "8px" });

  /** Where the sheets of a panel lie, each [x, y, width, height] as shares of the panel. */
  const boxes = (count) => {
    if (count === 1) return [[0, 0, 1, 1]];
    if (count === 2) return [0, 1].map((i) => [0.51 * i, 0.2, 0.49, 0.49]);
    const side = (1 - (ACROSS - 1) * GAP) / ACROSS;
    const at = (place) => place * (side + GAP);
    return Array.from({ length: count }, (_, i) => [at(i % ACROSS), at(Math.floor(i / ACROSS)), side, side]);
  };
  const cellsOf = ({ rows, columns }) => [rows / CELL, columns / CELL];
  /** The sheet, and the pixel in it, of a cell. The two branches lie on top of each other: what is read is both. */
  const placeOf = ([row, column]) => {
    const { rows, columns } = inputNow();
    const [down, along] = cellsOf(inputNow());
    const sheet = isClip(state.category) ? Math.floor(row / down) * ACROSS + Math.floor(column / along) : 0;
    const middle = Math.floor(CELL / 2);
    return {
      sheet, row: (row % down) * CELL + middle, column: (column % along) * CELL + middle,
      spot: [((row % down) * CELL + middle + 0.5) / rows, ((column % along) * CELL + middle + 0.5) / columns],
    };
  };
  const gridSize = () => cellsOf(inputNow()).map((length) => length * (isClip(state.category) ? ACROSS : 1));
  const hasMap = () => AXES[state.category][2] && !AXES[state.category][1];
  const locate = (canvas, x, y) => {
    if (x < 0 || y < 0 || x >= 1 || y >= 1) return null;
    if (canvas === maskPanel.canvas && !hasMap() && !isClip(state.category)) return null;
    const [down, along] = cellsOf(inputNow());
    const all = boxes(canvas === xPanel.canvas || isClip(state.category) ? inputNow().sheets : 1);
    const sheet = all.findIndex(([left, upper, width, height]) => x >= left && x < left + width && y >= upper && y < upper + height);
    if (sheet < 0) return null;
    const [left, upper, width, height] = all[sheet];
    const [row, column] = [Math.floor(((y - upper) / height) * down), Math.floor(((x - left) / width) * along)];
    return isClip(state.category) ? [row + Math.floor(sheet / ACROSS) * down, column + (sheet % ACROSS) * along] : [row, column];
  };

  /** The settings with what the focus would change: by hand, the spotlight and the window follow the pointer. */
  const withPreview = () => {
    const query = focus.get();
    if (!query || state.source !== "hand") return state;
    const { sheet, spot } = placeOf(query);
    return { ...state, ...followed(sheet, spot) };
  };
  const followed = (sheet, spot) => {
    const [bySheet, , byPlace] = AXES[state.category];
    return { ...(byPlace ? { spot } : {}), ...(bySheet && state.category !== "branch" ? { moment: sheet } : {}) };
  };

  // A press keeps what the pointer previews; with the button held it is dragged along.
  let pressed = false;
  let dragged = false;
  for (const { canvas } of panels) {
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return locate(canvas, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    };
    canvas.addEventListener("pointerdown", (event) => {
      dragged = false;
      pressed = event.button === 0 && Boolean(at(event));
      if (pressed) canvas.setPointerCapture(event.pointerId);
    }, { capture: true });
    canvas.addEventListener("pointermove", (event) => {
      if (!pressed) return;
      event.stopImmediatePropagation();
      const query = at(event);
      if (!query || String(query) === String(focus.get())) return;
      dragged = true;
      focus.set(query, true);
      keep(query);
    }, { capture: true });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, () => { pressed = false; }, { capture: true });
    }
    canvas.addEventListener("click", (event) => {
      if (dragged) event.stopImmediatePropagation();
      dragged = false;
    }, { capture: true });
  }
  const keep = (query) => {
    if (state.source === "hand") {
      const { sheet, spot } = placeOf(query);
      const kept = followed(sheet, spot);
      if (Object.keys(kept).length) {
        Object.assign(state, kept);
        store(model, kept);
        setControls();
      }
    }
    showPanels();
  };
  const focus = focusController({
    canvases: panels.map(({ canvas }) => canvas),
    rows: () => gridSize()[0],
    columns: () => gridSize()[1],
    locate,
    start: () => {
      const { spot, moment, category } = state;
      const [down, along] = cellsOf(inputNow());
      const sheet = isClip(category) ? Math.round(moment) : 0;
      const [row, column] = [Math.min(down - 1, Math.floor(spot[0] * down)), Math.min(along - 1, Math.floor(spot[1] * along))];
      return [row + Math.floor(sheet / ACROSS) * down, column + (sheet % ACROSS) * along];
    },
    onEdge: () => house.say([...describe(), "Edge."], { again: true }),
    onChange: (query, locked, quiet) => {
      if (query && locked) keep(query);
      else showPanels(quiet);
    },
  });

  const contextOf = ({ canvas }) => canvas.getContext("2d");
  const pixelsOf = ({ canvas }) => canvas.width / parseFloat(canvas.style.width);

  function drawSheets(panel, painted) {
    const context = contextOf(panel);
    const { width, height } = panel.canvas;
    context.clearRect(0, 0, width, height);
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    boxes(painted.length).forEach(([x, y, w, h], s) => {
      context.drawImage(painted[s], x * width, y * height, w * width, h * height);
      if (painted.length === 2) nameUnder(context, panel, BRANCHES[s], x * width, (y + h) * height);
    });
  }
  function nameUnder(context, panel, words, x, y) {
    context.font = `${13 * pixelsOf(panel)}px ${FONT}`;
    context.textAlign = "left";
    context.fillStyle = house.ink("soft");
    context.fillText(words, x, y + 18 * pixelsOf(panel));
  }
  /** A weight that holds for a whole sheet or channel: a box of its colour with its number. */
  function block(context, value, words, [x, y, width, height], pixels) {
    context.fillStyle = colourOf(value, RANGE);
    context.fillRect(x, y, width, height);
    context.fillStyle = value > 0.6 ? "#000" : "#fff";
    context.font = `600 ${13 * pixels}px ${FONT}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(words, x + width / 2, y + height / 2);
    context.textBaseline = "alphabetic";
  }
  function drawMask() {
    const context = contextOf(maskPanel);
    const { width, height } = maskPanel.canvas;
    const pixels = pixelsOf(maskPanel);
    const [sheets, channels, rows, columns] = shown.mask.shape;
    const { values } = shown.mask;
    context.clearRect(0, 0, width, height);
    context.imageSmoothingEnabled = true;
    const map = (index, x, y, w, h) => {
      const part = values.subarray(index * rows * columns, (index + 1) * rows * columns);
      context.drawImage(paintMap(part, rows, columns, RANGE, maskEasel(index, rows, columns)), x, y, w, h);
    };
    if (rows > 1 && channels === 1) {
      boxes(sheets).forEach(([x, y, w, h], s) => map(s, x * width, y * height, w * width, h * height));
    } else if (rows > 1) {
      CHANNELS.forEach((name, c) => {
        const [x, y] = [(c % 2) * 0.51 * width, Math.floor(c / 2) * 0.51 * height];
        map(c, x, y, 0.49 * width, 0.49 * height);
        context.font = `600 ${12 * pixels}px ${FONT}`;
        context.textAlign = "left";
        context.lineWidth = 3 * pixels;
        context.strokeStyle = "#000";
        context.strokeText(name, x + 5 * pixels, y + 15 * pixels);
        context.fillStyle = "#fff";
        context.fillText(name, x + 5 * pixels, y + 15 * pixels);
      });
    } else if (channels > 1) {
      CHANNELS.forEach((name, c) => {
        block(context, values[c], `${name} ${share(values[c])}`, [0, (c / 3) * height, width, height / 3 - 2 * pixels], pixels);
      });
    } else {
      boxes(sheets).forEach(([x, y, w, h], s) => {
        block(context, values[s], share(values[s]), [x * width, y * height, w * width, h * height], pixels);
        if (sheets === 2) nameUnder(context, maskPanel, BRANCHES[s], x * width, (y + h) * height);
      });
    }
  }
  function drawFocus() {
    const query = focus.get();
    if (!query) return;
    const [down, along] = cellsOf(inputNow());
    const mark = (panel, [x, y, w, h]) => {
      const { width, height } = panel.canvas;
      const cell = [(w * width) / along, (h * height) / down];
      const [row, column] = [query[0] % down, query[1] % along];
      outline(contextOf(panel), x * width + column * cell[0], y * height + row * cell[1], ...cell, pixelsOf(panel), focus.isLocked());
    };
    const clip = isClip(state.category);
    const own = clip ? [boxes(ACROSS ** 2)[placeOf(query).sheet]] : boxes(1);
    for (const box of state.category === "branch" ? boxes(2) : own) mark(xPanel, box);
    if (hasMap() || clip) mark(maskPanel, own[0]);
    mark(outPanel, own[0]);
  }

  const ownShape = (shape) => (shape[0] === 1 && !AXES[state.category][0] ? shape.slice(1) : shape);
  const sharedWords = {
    channel: "one weight a channel, the same at every position",
    spatial: "one weight a position, the same in every channel",
    "channel & spatial": "one weight for each position of each channel",
    temporal: "one weight a frame, the same for the whole frame",
    "spatial & temporal": "one weight for each position of each frame",
    branch: "one weight a branch; the weights sum to 1",
  };
  const describe = () => {
    const { input, mask, output } = shown;
    const hand = state.source === "hand";
    const { title } = model.get("pictures").find((one) => one.key === state.picture);
    const kind = `${state.category[0].toUpperCase()}${state.category.slice(1)} mask`;
    const through = mask.values.reduce((sum, value) => sum + value, 0) / mask.values.length;
    const amount = state.category === "branch"
      ? `Fine ${share(mask.values[0])}, coarse ${share(mask.values[1])}.` : `It lets ${percent(through)} through.`;
    const first = `${kind} (${QUESTIONS[state.category]}), ${shapeWords(ownShape(mask.shape))}: ${sharedWords[state.category]}. ${amount} `
      + (hand ? "Set by hand: fixed, the same for every picture." : `Made from this picture (${title}).`);
    const query = focus.get();
    if (!query) return [first];
    const { sheet, row, column } = placeOf(query);
    const place = row * input.columns + column;
    const at = (values, s) => [0, 1, 2].map((c) => values[s * input.size + 3 * place + c]);
    const frameWords = isClip(state.category) ? `Frame ${sheet}, row` : "Row";
    const where = `${frameWords} ${row} of 0 to ${input.rows - 1}, column ${column} of 0 to ${input.columns - 1}`;
    const hint = focus.hint();
    if (state.category === "branch") {
      return [first, `${where}: ${number(mask.values[0])} × fine ${triple(at(input.x, 0))} + ${number(mask.values[1])} × `
        + `coarse ${triple(at(input.x, 1))} = ${triple(at(output, 0))}.`, hint];
    }
    const [ofSheet, ofChannel, ofPlace] = stridesOf(mask);
    const start = sheet * ofSheet + place * ofPlace;
    const weights = Array.from({ length: mask.shape[1] }, (_, c) => mask.values[start + c * ofChannel]);
    return [first, `${where}: mask ${triple(weights)} × x ${triple(at(input.x, sheet))} = ${triple(at(output, sheet))}.`, hint];
  };

  function showPanels(quiet = false) {
    if (house.root.clientWidth === 0) return;
    compute();
    const { input, mask, output } = shown;
    drawSheets(xPanel, input.painted);
    drawMask();
    drawSheets(outPanel, paintSheets(output, input, outEasel));
    drawFocus();
    const hand = state.source === "hand";
    const xShape = input.sheets > 1 ? [input.sheets, 3, input.rows, input.columns] : [3, input.rows, input.columns];
    const outShape = state.category === "branch" ? xShape.slice(1) : xShape;
    const apart = isClip(state.category) ? "\n" : " "; // a clip's long shape has a line of its own in every panel
    xPanel.words.textContent = `x:${apart}${shapeWords(xShape)}`;
    maskPanel.words.textContent = `${hand ? "mask" : "g(x)"}:${apart}${shapeWords(ownShape(mask.shape))}`;
    outPanel.words.textContent = `${hand ? "f(mask, x)" : "f(g(x), x)"}:${apart}${shapeWords(outShape)}`;
    xPanel.canvas.setAttribute("aria-label", `${xPanel.words.textContent}. Arrow keys move, Enter locks, Escape releases.`);
    maskPanel.canvas.setAttribute("aria-label", maskPanel.words.textContent);
    outPanel.canvas.setAttribute("aria-label", outPanel.words.textContent);
    const follows = hand && (AXES[state.category][2] || isClip(state.category));
    keys.textContent = follows ? "Point: the mask follows. Click or Enter keeps it, arrows move, Escape releases."
      : "Point to read values. Click or Enter locks, arrows move, Escape releases.";
    house.say(describe(), { quiet });
  }
  function showAll() {
    setControls();
    if (house.root.clientWidth === 0) return;
    const { rows, columns } = inputNow();
    for (const { canvas, node } of panels) fit(canvas, Math.floor(node.clientWidth), rows / columns);
    scale.set(RANGE);
    showPanels();
  }

  house.listen(SETTINGS, () => {
    const before = state.category;
    pull();
    if (state.category !== before) focus.set(null);
    showAll();
  });
  house.listen("pictures", () => {
    inputs.clear();
    made.clear();
    showAll();
  });
  house.whenShown(showAll);

  const compose = () => {
    const gap = Math.round(16 * pixelsOf(xPanel));
    const { width, height } = xPanel.canvas;
    const sheet = element("canvas", { width: 3 * width + 4 * gap, height: height + 4 * gap });
    const context = sheet.getContext("2d");
    context.fillStyle = house.ink("surface");
    context.fillRect(0, 0, sheet.width, sheet.height);
    context.textBaseline = "top";
    panels.forEach(({ canvas, words }, i) => {
      const x = gap + i * (width + gap);
      context.drawImage(canvas, x, 2 * gap);
      context.fillStyle = house.ink("ink");
      context.font = `${Math.round(0.85 * gap)}px ${FONT}`;
      context.fillText(words.textContent, x, Math.round(0.7 * gap), width);
    });
    const x = width + 2 * gap;
    const y = height + Math.round(2.4 * gap);
    context.drawImage(scale.canvas, x, y, width, Math.round(0.5 * gap));
    context.font = `${Math.round(0.75 * gap)}px ${FONT}`;
    context.fillText("weight 0", x, y + Math.round(0.6 * gap));
    context.textAlign = "right";
    context.fillText("1", x + width, y + Math.round(0.6 * gap));
    return sheet;
  };
  house.actions.append(
    saveButton(house, compose, "mask-playground.png"),
    copyButton(house, () => `${model.get("code")}\n${codeFor(state, inputNow())}`),
  );
  return house.end;
}

/** The lines that reproduce what is shown. */
function codeFor(state, { sheets, rows, columns }) {
  const { picture, category, source, gates, spot, size, moment, window, fine } = state;
  const lines = [`x = playground_input("${picture}", "${category}")`];
  if (source === "picture") lines.push(`mask = deviation_mask(x, "${category}")`);
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
  lines.push(category === "branch" ? "output = (mask * x).sum(dim=0)" : "output = mask * x");
  lines.push('print("x", tuple(x.shape), "mask", tuple(mask.shape), "output", tuple(output.shape))');
  return `${lines.join("\n")}\n`;
}

export default { render };
