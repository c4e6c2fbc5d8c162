import { bindFocus, button, byTouch, choice, gestures, keyWords, store } from "../page/bind.js";
import { fileButton, openFile } from "../page/camera.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { decode, largest, percent, sharedBy, softmax } from "../page/maths.js";
import { inWorker, latest } from "../page/network.js";
import { fit, outline, paintImage, pixelsOf } from "../page/paint.js";
import { copyButton, panel, saveButton } from "../page/panels.js";

const HEIGHT = 48;
const STANDARD = 320;
const LONGEST = 960;
const COLUMN = 8; // pixels
const BLOCKS = ["blocks.0.attention", "blocks.1.attention"];
const HEADS = 8;
const NAMES = Array.from({ length: 2 * HEADS }, (_, i) => [Math.floor(i / HEADS) + 1, (i % HEADS) + 1]);
const FULL = 0.2; // the weight at which the colour is full
const [INK, PAPER] = ["rgb(32 28 48)", "rgb(228 224 212)"];
const GLOW = "226 74 0";
const FONTS = {
  sans: "30px 'DejaVu Sans', Verdana, sans-serif",
  bold: "bold 30px 'DejaVu Sans', Verdana, sans-serif",
  serif: "30px 'DejaVu Serif', Georgia, serif",
  mono: "30px 'DejaVu Sans Mono', Menlo, Consolas, monospace",
  times: "30px STIXGeneral, 'Times New Roman', Tinos, serif",
  italic: "italic 30px STIXGeneral, 'Times New Roman', Tinos, serif",
};

const headName = ([block, head]) => `block ${block}, head ${head}`;
const quoted = (text) => (text ? `“${text}”` : "nothing");

/** A canvas as the trait `line` holds it. */
function asLine(canvas) {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  let text = "";
  for (let i = 0; i < data.length; i += 4) text += String.fromCharCode(data[i], data[i + 1], data[i + 2]);
  return { shape: [height, width, 3], dtype: "uint8", data: btoa(text) };
}

/** An empty line of at least `wide` pixels, in a colour. */
function paper(wide, colour) {
  const width = Math.max(STANDARD, COLUMN * Math.ceil(wide / COLUMN));
  const canvas = element("canvas", { width, height: HEIGHT });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = colour;
  context.fillRect(0, 0, width, HEIGHT);
  return { canvas, context };
}

/** Words as a line; an error says what is wrong with them. */
function drawWords(words, typeface) {
  const line = words.trim();
  if (!line) throw new Error("The line is empty: type at least one letter.");
  const unknown = [...new Set(Array.from(line).filter((letter) => letter < " " || letter > "~"))];
  if (unknown.length) {
    throw new Error(`The reader knows English letters, digits and signs, but not ${unknown.join(" ")}: leave that out.`);
  }
  const { context: measure } = paper(STANDARD, PAPER);
  measure.font = FONTS[typeface];
  const box = measure.measureText(line);
  const [left, right] = [box.actualBoundingBoxLeft, box.actualBoundingBoxRight];
  const wide = left + right + 2 * COLUMN;
  if (wide > LONGEST) {
    const fits = Math.floor((line.length * LONGEST) / wide);
    throw new Error(`This line has ${line.length} letters; about ${fits} fit. Shorten it.`);
  }
  const { canvas, context } = paper(wide, PAPER);
  context.font = FONTS[typeface];
  context.fillStyle = INK;
  context.fillText(line, COLUMN + left, (HEIGHT + box.actualBoundingBoxAscent - box.actualBoundingBoxDescent) / 2);
  return asLine(canvas);
}

/** An uploaded picture as a line: scaled to its height, on white, padded with the colour of its right edge. */
async function readFile(file) {
  const bitmap = await openFile(file);
  const wide = Math.max(1, Math.round((bitmap.width * HEIGHT) / bitmap.height));
  if (wide > LONGEST) {
    throw new Error(`${file.name} is ${Math.round(bitmap.width / bitmap.height)} times as wide as it is high, at most `
      + `${LONGEST / HEIGHT} times can be read: cut out a shorter part of one line.`);
  }
  const { context: edge } = paper(wide, "#fff");
  edge.drawImage(bitmap, 0, 0, wide, HEIGHT);
  const [red, green, blue] = edge.getImageData(wide - 1, HEIGHT >> 1, 1, 1).data;
  const { canvas, context } = paper(wide, `rgb(${red} ${green} ${blue})`);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, wide, HEIGHT);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, wide, HEIGHT);
  return { ...asLine(canvas), uploaded: true };
}

/** What the network takes of a line: (3, 48, W) from 0 to 1. */
function asInput({ shape: [height, width], values }) {
  const data = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) data[(i % 3) * height * width + Math.floor(i / 3)] = values[i] / 255;
  return { shape: [3, height, width], data };
}

/** The letters that the columns show, [{ letter, column }], by the likeliest of each: repeats are one, blanks are none. */
function lettersOf({ shape: [columns, size], data }) {
  const found = [];
  let before = 0;
  for (let column = 0; column < columns; column++) {
    const now = largest(data.subarray(column * size, (column + 1) * size));
    if (now && now !== before) {
      const probabilities = softmax(data.subarray(column * size, (column + 1) * size));
      found.push({ letter: String.fromCharCode(31 + now), column, sure: probabilities[now] });
    }
    before = now;
  }
  return found;
}

const textOf = (letters) => letters.map(({ letter }) => letter).join("").trim();

/**
 * The network beside the page. `update()` follows the traits; `now` holds the picture, the columns, the letters with
 * and without the changes, and the weights of both blocks (null until they are there); `row(name, column)` the weights of a head, or their mean.
 */
function reading(house, model, onChange) {
  const network = inWorker(model.get("graph"), model.get("weights"));
  house.endings.push(network.end);
  const made = { isOff: (name) => model.get("off").some((one) => String(one) === String(name)) };
  let plain = null; // of the line, with all heads
  /** The picture of the line, before the network has read it. */
  made.open = () => {
    const { shape, values } = decode(model.get("line"));
    made.now = { image: paintImage({ shape, values }), columns: shape[1] / COLUMN, letters: [], whole: [], weights: null };
    return asInput({ shape, values });
  };
  made.update = latest(async () => {
    const line = model.get("line");
    house.stage.setAttribute("aria-busy", "true");
    try {
      if (plain?.line !== line) {
        const input = made.open();
        onChange();
        const { output } = await network.run(input, {}, []);
        plain = { line, input, letters: lettersOf(output), image: made.now.image };
      }
      const edits = Object.fromEntries(BLOCKS.map((block, i) =>
        [block, NAMES.filter((name) => name[0] === i + 1 && made.isOff(name)).map(([, head]) => [head - 1, 0])]));
      const used = Object.fromEntries(Object.entries(edits).filter(([, list]) => list.length));
      const { output, values: weights } = await network.run(plain.input, used, BLOCKS);
      made.now = {
        image: plain.image, whole: plain.letters, letters: lettersOf(output), columns: output.shape[0],
        weights: BLOCKS.map((block) => weights[block].data),
      };
      onChange();
    } catch (error) {
      house.fail(`The network could not read this line: ${error.message}`);
    }
    house.stage.setAttribute("aria-busy", "false");
  });
  made.row = (name, column) => {
    const { columns, weights } = made.now;
    if (!weights || column === null) return null;
    if (name.length) {
      const start = ((name[1] - 1) * columns + column) * columns;
      return weights[name[0] - 1].subarray(start, start + columns);
    }
    const on = NAMES.filter((one) => !made.isOff(one));
    const mean = new Float32Array(columns);
    for (const one of on) made.row(one, column).forEach((weight, k) => { mean[k] += weight / on.length; });
    return mean;
  };
  /** What a column shows, in words: the letter that was read there, at most two columns away. */
  made.nameOf = (column) => {
    const { letters } = made.now;
    const near = letters.reduce((best, one) =>
      (Math.abs(one.column - column) < Math.abs((best?.column ?? 99) - column) ? one : best), null);
    if (!near || Math.abs(near.column - column) > 2) return `column ${column + 1}`;
    return near.letter === " " ? `the space in column ${column + 1}` : `the ${quoted(near.letter)} in column ${column + 1}`;
  };
  return made;
}

/** The line with the weights of a column as a glow. */
function drawGlow(context, { image, columns }, row, [x, y, width, height]) {
  context.imageSmoothingQuality = "high";
  context.drawImage(image, x, y, width, height);
  for (let k = 0; row && k < columns; k++) {
    context.fillStyle = `rgb(${GLOW} / ${0.8 * Math.min(1, row[k] / FULL)})`;
    context.fillRect(x + (k * width) / columns, y, width / columns, height);
  }
}

/** The main picture: the line, the arcs and the glow from the column in focus, and below it what each column is read as. */
function linePart(house, model, network, focus) {
  const canvas = element("canvas", { role: "application", "aria-label": keyWords("the column") });
  const made = panel("", canvas, element("p", { class: "cw-panel-name cw-keys" }, gestures()));
  const resize = () => {
    const { image } = network.now;
    const width = Math.floor(made.node.clientWidth);
    fit(canvas, width, (70 + (width * HEIGHT) / image.width) / width);
  };
  const drawArcs = (context, row, column, ground, pixels) => {
    const step = canvas.width / network.now.columns;
    for (let k = 0; k < row.length; k++) {
      if (row[k] < 0.25 * FULL || k === column) continue;
      const [from, to] = [(column + 0.5) * step, (k + 0.5) * step];
      const tall = Math.min(ground - 3 * pixels, 10 * pixels + Math.abs(to - from) / 5);
      context.beginPath();
      context.moveTo(from, ground);
      context.bezierCurveTo(from, ground - 1.3 * tall, to, ground - 1.3 * tall, to, ground);
      context.strokeStyle = `rgb(${GLOW})`;
      context.lineWidth = pixels * Math.min(6, 1 + (4 * row[k]) / FULL);
      context.stroke();
    }
  };
  const draw = () => {
    const { columns, letters } = network.now;
    const column = focus.column();
    const chosen = model.get("chosen");
    const row = network.row(chosen, column);
    const context = canvas.getContext("2d");
    const pixels = pixelsOf(canvas);
    const [top, bottom] = [44 * pixels, canvas.height - 26 * pixels];
    context.fillStyle = house.ink("surface");
    context.fillRect(0, 0, canvas.width, canvas.height);
    drawGlow(context, network.now, row, [0, top, canvas.width, bottom - top]);
    context.font = `600 ${16 * pixels}px ${getComputedStyle(house.root).fontFamily}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillStyle = house.ink("ink");
    const step = canvas.width / columns;
    for (const one of letters) {
      context.fillText(one.letter === " " ? "␣" : one.letter, (one.column + 0.5) * step, bottom + 14 * pixels);
    }
    if (row) {
      drawArcs(context, row, column, top, pixels);
      outline(context, column * step, top + pixels, step, bottom - top - 2 * pixels, pixels, focus.isPinned());
      canvas.dataset.weights = Array.from(row, (weight) => weight.toPrecision(6)).join(",");
    } else delete canvas.dataset.weights;
    const who = chosen.length ? headName(chosen) : "the mean of all heads";
    made.rename(row ? `What ${network.nameOf(column)} looks at: ${who}` : "The line, and what its columns are read as");
  };
  return { ...made, canvas, draw, resize };
}

/** All heads, small, each with its box to switch it off; a click shows the head's arcs. */
function headsPart(house, model, network, focus) {
  const setOff = (name, on) => {
    const others = model.get("off").filter((one) => String(one) !== String(name));
    store(model, { off: on ? others : [...others, name] });
  };
  const cells = NAMES.map((name) => {
    const canvas = element("canvas", { role: "img" });
    const input = element("input", { type: "checkbox", "aria-label": `B${headName(name).slice(1)} takes part` });
    const words = element("span", { class: "cw-heads-numbers" });
    input.addEventListener("change", () => setOff(name, input.checked));
    canvas.addEventListener("click", () =>
      store(model, { chosen: String(model.get("chosen")) === String(name) ? [] : name }));
    return { name, canvas, input, words };
  });
  const table = element("div", { class: "cw-strips", role: "group", "aria-label": "Heads" });
  table.append(...cells.map(({ canvas, input, words }) =>
    element("div", { class: "cw-heads-cell" }, canvas, element("label", { class: "cw-heads-foot" }, input, words))));
  const title = `Block.head, and how many columns share its weight. The colour is full at ${100 * FULL} % of the weight.`;
  const made = panel(title, table);
  const draw = () => {
    const column = focus.column();
    for (const { name, canvas, input, words } of cells) {
      const isOff = network.isOff(name);
      const row = isOff ? null : network.row(name, column);
      const context = canvas.getContext("2d");
      drawGlow(context, network.now, row, [0, 0, canvas.width, canvas.height]);
      if (isOff) {
        context.fillStyle = house.ink("sunken");
        context.globalAlpha = 0.8;
        context.fillRect(0, 0, canvas.width, canvas.height);
        context.globalAlpha = 1;
      }
      input.checked = !isOff;
      const most = row ? network.nameOf(largest(row)) : "";
      words.textContent = `${name.join(".")} ${isOff ? "off" : row ? `· over ${Math.round(sharedBy(row))} columns` : ""}`;
      canvas.classList.toggle("cw-chosen", String(name) === String(model.get("chosen")));
      canvas.setAttribute("aria-label", `${headName(name)}: ${isOff ? "off" : row ? `most on ${most}` : "no column yet"}`);
    }
  };
  const resize = () => {
    const { image } = network.now;
    for (const { canvas } of cells) fit(canvas, Math.floor(canvas.parentElement.clientWidth), HEIGHT / image.width);
  };
  return { ...made, draw, resize };
}

/** What is read, large, and what it was with all heads. */
function answerPart(network) {
  const now = element("p", { class: "cw-reading" });
  const before = element("p", { class: "cw-panel-name" });
  const made = panel("The network reads", now, before);
  const draw = () => {
    const { letters, whole, weights } = network.now;
    now.textContent = textOf(letters) || (weights ? "(nothing)" : "…");
    const same = textOf(letters) === textOf(whole);
    before.textContent = same ? "The same as with all heads on." : `With all heads: ${textOf(whole) || "(nothing)"}`;
    now.classList.toggle("cw-changed", !same);
  };
  return { ...made, draw };
}

/** The controls: a line to type, its typeface, a picture, and heads off and on by the block. */
function controlsPart(house, model) {
  const input = element("input", { type: "text", maxlength: "80", spellcheck: false, autocomplete: "off" });
  let pause = 0;
  const take = () => store(model, { words: input.value, query: [] });
  input.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(take, 250);
  });
  house.endings.push(() => clearTimeout(pause));
  const typed = element("span", { class: "cw-control" }, element("label", {}, "Type a line", input));
  const typeface = choice({
    label: "Typeface", options: Object.keys(FONTS).map((name) => [name, name]), value: "sans",
    onChange: (name) => store(model, { typeface: name }),
  });
  const file = fileButton(async (chosen) => {
    house.fail("");
    try {
      store(model, { line: await readFile(chosen), words: "", query: [] });
    } catch (error) {
      house.fail(error.message);
    }
  });
  const heads = choice({
    label: "Arcs of", value: "",
    options: [["", "all heads, the mean"], ...NAMES.map((name) => [String(name), headName(name)])],
    onChange: (name) => store(model, { chosen: name ? name.split(",").map(Number) : [] }),
  });
  const only = (block) => NAMES.filter((name) => name[0] === block);
  const press = (words, off) => button(words, () => store(model, { off }));
  house.controls.append(typed, typeface.node, file.node, heads.node, press("All heads on", []),
    press("Block 1 off", only(1)), press("Block 2 off", only(2)), press("All heads off", NAMES));
  const refresh = () => {
    if (document.activeElement !== input) input.value = model.get("words");
    typeface.set(model.get("typeface"));
    heads.set(String(model.get("chosen")));
  };
  return { refresh };
}

function codeFor(model, column) {
  const words = model.get("words").trim();
  const off = BLOCKS.map((_, i) => model.get("off").filter(([one]) => one === i + 1).map(([, head]) => head - 1));
  const edits = BLOCKS.flatMap((name, i) => (off[i].length ? [`"${name}": off([${off[i].join(", ")}])`] : []));
  const [block, head] = model.get("chosen").length ? model.get("chosen") : [1, 1];
  return [
    "import torch",
    "from course_utils.attention import edit_masks, off, record_masks",
    "from course_utils.data import draw_text",
    "from course_utils.models import load_network",
    "",
    'reader = load_network("text_reader").eval()',
    ...(words ? [
      `picture = draw_text(${JSON.stringify(words)}, "${model.get("typeface")}")[None]  # the page draws it a little differently`,
    ] : ["picture = torch.from_numpy(widget.picture)[None]  # widget: what explore_reader() returned"]),
    `edits = {${edits.join(", ")}}  # heads are counted from 0`,
    "with torch.no_grad(), edit_masks(reader, edits), record_masks(reader) as masks:",
    "    print(reader.read(picture))",
    `print(masks["${BLOCKS[block - 1]}"][0, ${head - 1}, ${column ?? 0}])  # ${headName([block, head])}, one column`,
  ].join("\n");
}

async function render({ model, el }) {
  const house = frame({ model, el, name: "reader" });
  const focus = { column: () => (focus.get() ? focus.get()[1] : null) }; // the rest is filled in below
  const network = reading(house, model, () => {
    focus.take();
    draw();
  });
  const line = linePart(house, model, network, focus);
  const answer = answerPart(network);
  const heads = headsPart(house, model, network, focus);
  line.node.classList.add("cw-main");
  house.stage.classList.add("cw-line");
  house.stage.append(line.node, element("div", { class: "cw-answer" }, answer.node, heads.node));
  const controls = controlsPart(house, model);

  const describe = () => {
    const { letters, whole, weights } = network.now;
    if (!weights) return ["Reading the line …"];
    const column = focus.column();
    const chosen = model.get("chosen");
    const count = model.get("off").length;
    const without = count ? ` without ${count} of 16 heads, and ${quoted(textOf(whole))} with all of them` : "";
    const read = `It reads ${quoted(textOf(letters))}${without}.`;
    if (column === null) return [read, byTouch() ? "Touch a letter." : "Point at a letter."];
    const row = network.row(chosen, column);
    const top = largest(row);
    const who = chosen.length ? `B${headName(chosen).slice(1)}` : "The heads' mean";
    const most = row[top] > 0 ? `gives most weight, ${percent(row[top])}, to ${network.nameOf(top)}` : "is off";
    return [{ aside: `Query: ${network.nameOf(column)}.` }, `${who} ${most}.`, { aside: read }, focus.hint()];
  };
  /** The column alone has moved, or another head is chosen: the network's numbers are kept. */
  const look = (quiet = false) => {
    if (house.root.clientWidth === 0) return;
    line.draw();
    heads.draw();
    house.say(describe(), { quiet });
  };
  const draw = () => {
    if (house.root.clientWidth === 0) return;
    line.resize();
    heads.resize();
    answer.draw();
    look();
  };
  Object.assign(focus, bindFocus({
    model, house, describe, canvases: [line.canvas], rows: () => 1, columns: () => model.get("line").shape[1] / COLUMN,
    toTrait: ([, column]) => [column], fromTrait: ([column]) => [0, column],
    onChange: (_, __, quiet) => look(quiet),
  }));
  house.listen(["words", "typeface"], () => {
    controls.refresh();
    house.fail("");
    if (!model.get("words") && model.get("line").uploaded) return; // the picture has just taken their place
    try {
      store(model, { line: drawWords(model.get("words"), model.get("typeface")) });
    } catch (error) {
      house.fail(error.message);
    }
  });
  house.listen(["line", "off"], network.update);
  house.listen("chosen", () => {
    controls.refresh();
    look();
  });
  network.open();
  controls.refresh();
  house.whenShown(draw);
  house.actions.append(saveButton(house, "reader.png", { lines: () => describe().slice(0, 2) }),
    copyButton(house, () => codeFor(model, focus.column())));
  await network.update();
  return house.end;
}

export default { render };
