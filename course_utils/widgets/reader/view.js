import { button, byTouch, choice, keyWords, numbersAsText, store, traitControls } from "../page/bind.js";
import { openFile, readingPictures } from "../page/camera.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { headNames, headTiles, isOff, offInCode } from "../page/heads.js";
import { asMaps, capital, decode, largest, listed, percent, sharedBy } from "../page/maths.js";
import { inWorker, latest } from "../page/network.js";
import { atSize, fit, layered, outline, paintImage, paintTint, pixelsOf, writeText } from "../page/paint.js";
import { instrument, note, panel, pointPanel } from "../page/panels.js";
import { bindView } from "../page/pointing.js";

const HEIGHT = 48;
const STANDARD = 320;
const LONGEST = 960;
const COLUMN = 8; // pixels
const BLOCKS = ["blocks.0.attention", "blocks.1.attention"];
const NAMES = headNames(BLOCKS.length, 8);
const FULL = 0.2; // the weight at which the colour is full
const [INK, PAPER] = ["rgb(32 28 48)", "rgb(228 224 212)"];
const GLOW = [226, 74, 0];
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
    const words = "The reader knows English letters, digits and signs. Leave out what it does not know:";
    throw new Error(`${words} ${unknown.join(" ")}`);
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

/** The letters that the columns show, [{ letter, column }]: the likeliest of each, repeats once, blanks not. */
function lettersOf({ shape: [columns, size], data }) {
  const found = [];
  let before = 0;
  for (let column = 0; column < columns; column++) {
    const now = largest(data.subarray(column * size, (column + 1) * size));
    if (now && now !== before) found.push({ letter: String.fromCharCode(31 + now), column });
    before = now;
  }
  return found;
}

const textOf = (letters) => letters.map(({ letter }) => letter).join("").trim();

/**
 * The network beside the page. `update()` follows the traits; `own` is a line that the camera sees (`isLive`: at this
 * moment), which is no trait, since traits go to the kernel; `now` holds the picture, the columns, the letters with and
 * without the changes, and the weights of both blocks (null until they are there); `look(column)` sets `seen`.
 */
function reading(house, model, onChange) {
  const network = inWorker(model.get("graph"), model.get("weights"));
  house.endings.push(network.end);
  const made = { own: null };
  const glow = element("canvas");
  let plain = null; // of the line, with all heads
  made.line = () => made.own ?? model.get("line");
  /** The picture of the line, before the network has read it. */
  made.open = () => {
    const line = decode(model.get("line"));
    const [image, columns] = [paintImage(line), line.shape[1] / COLUMN];
    made.now = { image, columns, letters: [], whole: [], weights: null };
  };
  made.update = latest(async () => {
    const line = made.line();
    house.stage.setAttribute("aria-busy", String(!made.own));
    try {
      if (plain?.line !== line) {
        if (!made.own) { // a frame of the camera is shown with its reading
          made.open();
          onChange();
        }
        const pixels = decode(line);
        const input = asMaps(pixels);
        const { output } = await network.run(input, {}, []);
        plain = { line, input, letters: lettersOf(output), image: paintImage(pixels) };
      }
      const edits = {};
      for (const [block, head] of model.get("off")) (edits[BLOCKS[block - 1]] ??= []).push([head - 1, 0]);
      const { output, values: weights } = await network.run(plain.input, edits, BLOCKS);
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
  /** What is seen of a column: the row shown large, of a head or the mean of all, those of all heads, and the glow. */
  made.look = (column) => {
    const { columns, weights } = made.now;
    const isSeen = weights && column !== null;
    const rowOf = ([block, head]) => {
      const start = ((head - 1) * columns + column) * columns;
      return weights[block - 1].subarray(start, start + columns);
    };
    const each = NAMES.map((name) => (!isSeen || isOff(model, name) ? null : rowOf(name)));
    const on = each.filter(Boolean);
    const mean = () => Float32Array.from({ length: columns },
      (_, k) => on.reduce((sum, row) => sum + row[k], 0) / (on.length || 1));
    const chosen = model.get("chosen");
    const shown = !isSeen ? null : chosen.length ? rowOf(chosen) : mean();
    made.seen = { column, rows: [shown, ...each], glow };
    paintGlow(made.seen.rows, columns, glow);
  };
  /** What a column shows, in words: the letter that was read there, at most two columns away. */
  made.nameOf = (column) => {
    const { letters } = made.now;
    const near = letters.reduce((best, one) =>
      (Math.abs(one.column - column) < Math.abs((best?.column ?? 99) - column) ? one : best), null);
    if (!near || Math.abs(near.column - column) > 2) return `column ${column + 1}`;
    return `the ${near.letter === " " ? "space" : quoted(near.letter)} in column ${column + 1}`;
  };
  return made;
}

/** Rows of weights as a glow, a pixel for each weight; `layGlow` lays one of them over a line. */
function paintGlow(rows, columns, canvas) {
  Object.assign(canvas, { width: columns, height: rows.length });
  const weightOf = (i) => rows[Math.floor(i / columns)]?.[i % columns] ?? 0;
  paintTint(GLOW, (i) => 255 * 0.8 * Math.min(1, weightOf(i) / FULL), canvas);
}

/** Lay row `i` of what is seen as a glow over a line that stands at `top`. */
function layGlow(context, { seen: { glow } }, i, top, height) {
  context.imageSmoothingEnabled = false;
  context.drawImage(glow, 0, i, glow.width, 1, 0, top, context.canvas.width, height);
}

/** The arcs from a column to those that have a weight of its row. */
function drawColumnArcs(context, step, row, column, ground, pixels) {
  for (let k = 0; k < row.length; k++) {
    if (row[k] < 0.25 * FULL || k === column) continue;
    const [from, to] = [(column + 0.5) * step, (k + 0.5) * step];
    const tall = Math.min(ground - 3 * pixels, 10 * pixels + Math.abs(to - from) / 5);
    context.beginPath();
    context.moveTo(from, ground);
    context.bezierCurveTo(from, ground - 1.3 * tall, to, ground - 1.3 * tall, to, ground);
    context.strokeStyle = `rgb(${GLOW.join(" ")})`;
    context.lineWidth = pixels * Math.min(6, 1 + (4 * row[k]) / FULL);
    context.stroke();
  }
}

/** The main picture: the line, arcs and glow from the column in focus, and below what each column is read as. */
function linePart(house, model, network) {
  const made = pointPanel(keyWords("the column"));
  const { canvas } = made;
  const edges = () => [44 * pixelsOf(canvas), canvas.height - 26 * pixelsOf(canvas)]; // of the line on the canvas
  const layer = layered(canvas);
  /** The line and its letters, which are the same for every column. */
  const resize = () => {
    const { image, letters, columns } = network.now;
    const width = Math.floor(made.node.clientWidth);
    fit(canvas, width, (70 + (width * HEIGHT) / image.width) / width);
    const context = layer.begin();
    const pixels = pixelsOf(canvas);
    context.fillStyle = house.ink("surface");
    context.fillRect(0, 0, canvas.width, canvas.height);
    const [top, bottom] = edges();
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, top, canvas.width, bottom - top);
    const style = { ink: house.ink("ink"), size: 16 * pixels, weight: 600, align: "center" };
    for (const { letter, column } of letters) {
      const x = ((column + 0.5) * canvas.width) / columns;
      writeText(context, letter === " " ? "␣" : letter, x, bottom + 14 * pixels, style);
    }
  };
  const draw = (pinned) => {
    const { now: { columns }, seen: { column, rows: [row] } } = network;
    const chosen = model.get("chosen");
    const context = layer.copy();
    const [pixels, step, [top, bottom]] = [pixelsOf(canvas), canvas.width / columns, edges()];
    layGlow(context, network, 0, top, bottom - top);
    if (row) {
      drawColumnArcs(context, step, row, column, top, pixels);
      outline(context, column * step, top + pixels, step, bottom - top - 2 * pixels, pixels, pinned);
      canvas.dataset.weights = listed(row);
    } else delete canvas.dataset.weights;
    const who = chosen.length ? headName(chosen) : "the mean of all heads";
    made.rename(row ? `What ${network.nameOf(column)} looks at: ${who}` : "The line, and what its columns are read as");
  };
  return { ...made, draw, resize };
}

/** All heads, small; a click shows the head's arcs. */
function headsPart(house, model, network) {
  const press = (name) => store(model, { chosen: String(model.get("chosen")) === String(name) ? [] : name });
  const tiles = headTiles({ model, names: NAMES, kind: "cw-strips", nameOf: headName, press });
  const title = "Block.head, and how many columns share its weight. "
    + `The colour is full at ${100 * FULL} % of the weight.`;
  const draw = () => tiles.draw((canvas, name, off) => {
    const i = 1 + NAMES.indexOf(name);
    const row = network.seen.rows[i];
    const context = canvas.getContext("2d");
    context.drawImage(atSize(canvas, network.now.image, canvas.height, canvas.width), 0, 0);
    layGlow(context, network, i, 0, canvas.height);
    if (off) {
      context.fillStyle = house.ink("sunken");
      context.globalAlpha = 0.8;
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.globalAlpha = 1;
    }
    const shared = row ? `· over ${Math.round(sharedBy(row))} columns` : "";
    return {
      words: `${name.join(".")} ${off ? "off" : shared}`,
      label: row ? `most on ${network.nameOf(largest(row))}` : "no column yet",
    };
  });
  const resize = () => tiles.resize(HEIGHT / network.now.image.width);
  return { ...panel(title, tiles.node), draw, resize };
}

/** What is read, large, and what it was with all heads. */
function answerPart(network) {
  const now = element("p", { class: "cw-reading" });
  const before = note();
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

/** The controls: a line to type, its typeface, a picture, the camera, and heads off and on by the block. */
function controlsPart(house, model, network) {
  const input = element("input", { type: "text", maxlength: "80", spellcheck: false, autocomplete: "off" });
  let pause = 0;
  const draw = () => store(model, { words: input.value, query: [] });
  input.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(draw, 250);
  });
  house.endings.push(() => clearTimeout(pause));
  const typed = element("span", { class: "cw-control" }, element("label", {}, "Type a line", input));
  const { controls: { typeface, chosen }, refresh: follow } = traitControls(model, {
    typeface: [choice, { label: "Typeface", options: Object.keys(FONTS).map((name) => [name, name]) }],
    chosen: [choice, {
      label: "Arcs of", ...numbersAsText,
      options: [["", "all heads, the mean"], ...NAMES.map((name) => [String(name), headName(name)])],
    }],
  });
  const take = (canvas, isOn) => {
    const isFirst = !network.own;
    Object.assign(network, { own: asLine(canvas), isLive: isOn() });
    if (isFirst) store(model, { words: "", query: [] });
    return network.update();
  };
  const onFile = async (file) => store(model, { line: await readFile(file), words: "", query: [] });
  const pictures = readingPictures(house, [STANDARD, HEIGHT], onFile, take);
  const only = (block) => NAMES.filter((name) => name[0] === block);
  const press = (words, off) => button(words, () => store(model, { off }));
  house.controls.append(typed, typeface.node, ...pictures.nodes, chosen.node, press("All heads on", []),
    press("Block 1 off", only(1)), press("Block 2 off", only(2)), press("All heads off", NAMES));
  const refresh = () => {
    if (document.activeElement !== input) input.value = model.get("words");
    follow();
  };
  /** Another line takes the place of the camera's. */
  const forget = () => {
    network.own = null;
    pictures.stop();
  };
  return { refresh, forget };
}

const pictureIn = (own) => (own
  ? "# picture: (1, 3, 48, W) from 0 to 1, what your camera saw; it stayed in the page"
  : "picture = torch.from_numpy(widget.picture)[None]  # widget: what explore_reader() returned");

function codeFor(model, column, own) {
  const words = model.get("words").trim();
  const edits = offInCode(model.get("off").map(([one, other]) => [BLOCKS[one - 1], other - 1]));
  const [block, head] = model.get("chosen").length ? model.get("chosen") : [1, 1];
  return [
    "import torch",
    "from course_utils.attention import edit_masks, off, record_masks",
    "from course_utils.data import draw_text",
    "from course_utils.models import load_network",
    "",
    'reader = load_network("text_reader").eval()',
    words
      ? `picture = draw_text(${JSON.stringify(words)}, "${model.get("typeface")}")[None]  # drawn a little differently`
      : pictureIn(own),
    `edits = {${edits.join(", ")}}  # heads are counted from 0`,
    "with torch.no_grad(), edit_masks(reader, edits), record_masks(reader) as masks:",
    "    print(reader.read(picture))",
    `print(masks["${BLOCKS[block - 1]}"][0, ${head - 1}, ${column ?? 0}])  # ${headName([block, head])}, one column`,
  ].join("\n");
}

async function render({ model, el }) {
  const house = frame({ model, el, name: "reader" });
  const network = reading(house, model, () => view.update());
  network.open();
  const line = linePart(house, model, network);
  const answer = answerPart(network);
  const heads = headsPart(house, model, network);
  instrument(house, line.node, answer.node, heads.node);
  house.stage.classList.replace("cw-instrument", "cw-line");
  const controls = controlsPart(house, model, network);

  const columnOf = (focus) => (focus.get() ? focus.get()[1] : null);
  const describe = (focus) => {
    const { letters, whole, weights } = network.now;
    if (!weights) return ["Reading the line …"];
    const column = columnOf(focus);
    const chosen = model.get("chosen");
    const count = model.get("off").length;
    const without = count ? ` without ${count} of 16 heads, and ${quoted(textOf(whole))} with all of them` : "";
    const read = `It reads ${quoted(textOf(letters))}${without}.`;
    if (column === null) return [read, byTouch() ? "Touch a letter." : "Point at a letter."];
    const [row] = network.seen.rows;
    const top = largest(row);
    const who = chosen.length ? capital(headName(chosen)) : "The heads' mean";
    const most = row[top] > 0 ? `gives most weight, ${percent(row[top])}, to ${network.nameOf(top)}` : "is off";
    return [{ aside: `Query: ${network.nameOf(column)}.` }, `${who} ${most}.`, { aside: read }, focus.hint()];
  };
  const view = bindView({
    model, house, describe, canvases: [line.canvas], traits: "chosen", follow: controls.refresh,
    rows: () => 1, columns: () => network.line().shape[1] / COLUMN,
    toTrait: ([, column]) => [column], fromTrait: ([column]) => [0, column],
    draw() {
      for (const part of [line, heads]) part.resize();
      answer.draw();
    },
    mark(focus) {
      network.look(columnOf(focus));
      line.draw(focus.isPinned());
      heads.draw();
    },
    isQuiet: () => Boolean(network.own && network.isLive),
    code: (focus) => codeFor(model, columnOf(focus), network.own),
  });
  house.listen(["words", "typeface"], () => {
    controls.refresh();
    house.fail("");
    if (!model.get("words") && (network.own || model.get("line").uploaded)) return; // a picture has taken their place
    try {
      const line = drawWords(model.get("words"), model.get("typeface"));
      controls.forget();
      store(model, { line });
      network.update();
    } catch (error) {
      house.fail(error.message);
    }
  });
  house.listen("line", controls.forget);
  house.listen(["line", "off"], network.update);
  await network.update();
  return house.end;
}

export default { render };
