import {
  asker, button, choice, fill, focusController, gestures, keyWords, slider, store, toggle, traitControls,
} from "../page/bind.js";
import { halved, kernelPictures, ownPictures, unpacked } from "../page/camera.js";
import { element, styled } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { strokeRegion } from "../page/maps.js";
import {
  asMaps, blockName, cellOf, colourRange, decode, extent, largest, number, once, percent, placeInWords, softmax,
  strongest,
} from "../page/maths.js";
import { inWorker, latest } from "../page/network.js";
import { drawingPad } from "../page/pad.js";
import {
  fit, fitPanel, layered, layPicture, outline, paintImage, paintMap, paintTint, pixelsOf, writeText,
} from "../page/paint.js";
import { drawLine } from "../page/plot.js";
import {
  bars, instrument, keepButtons, note, pictureButtons, picturePanel, pointPanel, row, scaleBar,
} from "../page/panels.js";

const TABLE = "viridis";
const OWN = -1; // the index of the learner's own picture
const SIDE = 512; // of a photograph in the page: the segmenter is given its means of two by two
const TALLEST = 384; // of the maps, in CSS pixels
const TALLEST_ON_A_PHONE = 300; // where the answer stands below them
const WORDS = 15;
const BACKGROUND = [10, 30, 44]; // laid over what the mask leaves out

// What is shown -------------------------------------------------------------------------------------------------------

/** What the traits ask for; `mine` holds pictures that stay in this page, by source. */
function sceneOf(model, mine) {
  const ready = model.get("sources").filter(({ examples }) => examples.length);
  const source = ready.find(({ key }) => key === model.get("source")) ?? ready[0];
  const own = mine.get(source.key) ?? model.get("own")[source.key] ?? null;
  const index = Math.max(0, Math.min(model.get("example"), source.examples.length - 1));
  const place = model.get("example") === OWN && own ? OWN : index;
  const example = place === OWN ? own : source.examples[index];
  const stage = Math.min(model.get("stage"), source.stages.length - 1);
  return { source, own, place, example, stage, edits: { ...model.get("edits") } };
}

/** The picture of an example as a canvas. */
const pictureOf = once(({ canvas, image }) =>
  canvas ?? (typeof image === "string" ? unpacked(image, SIDE, SIDE) : paintImage(decode(image))));

/** What the network is given: the values that were sent, the picture's, or, for the segmenter, means of two by two. */
function inputOf({ input, image }, canvas) {
  if (input) return { shape: input.shape, data: decode(input).values };
  return image && typeof image !== "string" ? asMaps(decode(image)) : halved(canvas);
}

/** The maps of a stage with their gates, as the page computed them or the kernel sent them. */
function stageOf([channels, height, width], values, gates, means = null) {
  const size = height * width;
  const map = (c) => values.subarray(c * size, (c + 1) * size);
  const all = { table: TABLE, ...colourRange(values, TABLE) };
  const ranges = Array.from({ length: channels }, (_, c) => ({ table: TABLE, ...colourRange(map(c), TABLE) }));
  const rangeOf = (c, own) => (own ? ranges[c] : all);
  const atlases = {};
  /** All maps below each other on one canvas, each in its own colours or all in one range; made once. */
  const atlas = (own) => {
    atlases[own] ??= paintMap(values.map((value, i) => {
      const { low, high } = rangeOf(Math.floor(i / size), own);
      return (value - low) / (high - low);
    }), channels * height, width, { table: TABLE, low: 0, high: 1 });
    return atlases[own];
  };
  const meanOf = (_, c) => map(c).reduce((sum, value) => sum + value, 0) / size;
  return { channels, height, width, map, rangeOf, atlas, gates, means: means ?? ranges.map(meanOf) };
}

function sentStage({ maps, low, high, means, gates }) {
  const { shape, values } = decode(maps);
  const data = Float32Array.from(values, (level) => low + (level * (high - low)) / 255);
  return stageOf(shape, data, decode(gates).values, decode(means).values);
}

/**
 * The networks: `look(scene)` gives what one makes of a scene untouched, `answer(scene, found, answered)` the answer
 * with the moved gates, and who gave it: "network" (none is moved), "page", "kernel" or "nobody" yet. Of a network that
 * the page can run, in a worker of its own, all is computed here; of another the kernel sends all.
 */
function networks(house) {
  const workers = new Map();
  const of = once(() => ({ stages: [] })); // of each example its input and its stages
  house.endings.push(() => workers.forEach((worker) => worker.end()));
  const run = async ({ source: { key, graph, weights, classes }, example }, edits, names) => {
    if (!workers.has(key)) workers.set(key, inWorker(graph, weights));
    const { output, values } = await workers.get(key).run(of(example).input, edits, names);
    return { values, answer: classes.length ? softmax(Array.from(output.data)) : output.data };
  };
  const look = async (scene) => {
    const { source, example, stage } = scene;
    const { stages } = of(example);
    if (stages[stage]) return stages[stage];
    const image = await pictureOf(example);
    if (source.graph) {
      const gates = source.stages[stage];
      const maps = source.graph.steps.find(({ op, inputs }) => op === "gate" && inputs[1] === gates).inputs[0];
      of(example).input ??= inputOf(example, image);
      const { values, answer } = await run(scene, {}, [maps, gates]);
      const { shape, data } = values[maps];
      stages[stage] = { image, shown: stageOf(shape, data, values[gates].data), before: answer };
    } else {
      const before = Array.from(decode(example.probabilities).values);
      stages[stage] = { image, shown: sentStage(example.stages[stage]), before };
    }
    return stages[stage];
  };
  const answer = async (scene, { before }, answered) => {
    const moved = Object.entries(scene.edits).map(([channel, gate]) => [Number(channel), gate]);
    if (!moved.length) return { now: before, by: "network" };
    if (scene.source.graph) {
      return { now: (await run(scene, { [scene.source.stages[scene.stage]]: moved }, [])).answer, by: "page" };
    }
    if (sameQuestion(answered, questionOf(scene))) return { now: answered.probabilities, by: "kernel" };
    return { now: before, by: "nobody" };
  };
  return { look, answer };
}

const questionOf = ({ source, place, stage, edits }) =>
  ({ want: "probabilities", source: source.key, example: place, stage, edits });
const sameQuestion = (one, two) =>
  ["source", "example", "stage", "edits"].every((name) => JSON.stringify(one[name]) === JSON.stringify(two[name]));

/**
 * The gates moved by hand: here at once, to the kernel when the hand rests. While a slider moves, `hushed`, the line of
 * the widget waits for that too, since the slider itself says its value; `tell()` says it then.
 */
function editor(model, house, tell) {
  let resting = 0;
  const save = () => {
    clearTimeout(resting);
    model.save_changes();
  };
  const rest = () => {
    const waited = made.hushed;
    made.hushed = false;
    save();
    if (waited) tell();
  };
  house.endings.push(() => clearTimeout(resting));
  const move = (channel, gate, slides = false) => {
    const edits = { ...model.get("edits") };
    if (gate === null) delete edits[channel];
    else edits[channel] = Math.round(100 * Math.max(0, Math.min(1, gate))) / 100;
    made.hushed = slides;
    model.set("channel", channel);
    model.set("edits", edits);
    clearTimeout(resting);
    resting = setTimeout(rest, slides ? 400 : 150);
  };
  const knock = (channel) => move(channel, model.get("edits")[channel] === 0 ? null : 0);
  const made = { move, knock, save, hushed: false };
  return made;
}

// The maps with their gates -------------------------------------------------------------------------------------------

/** Where the maps lie, in CSS pixels: as large as they can be below the height `most`. */
function layoutOf({ channels, height, width }, available, most) {
  for (let columns = 4; ; columns++) {
    const rows = Math.ceil(channels / columns);
    const gap = columns > 9 ? 3 : 6;
    const side = Math.floor((available - 4 - gap * (columns - 1)) / columns);
    const tall = Math.round((side * height) / width);
    const words = side >= 36 ? WORDS : 0;
    const bar = side >= 30 ? 8 : 5;
    const step = tall + 3 + bar + words + (words ? 4 : 3);
    const tallest = rows * step + 2;
    if (tallest > most && columns < channels && side > 16) continue;
    return { columns, rows, side, tall, words, bar, step, across: side + gap, width: available, height: tallest };
  }
}

function drawTile(context, house, stage, atlas, layout, [x, y], channel, edits) {
  const { side, tall, bar, words } = layout;
  const gate = edits[channel] ?? stage.gates[channel];
  const out = edits[channel] === 0;
  context.globalAlpha = out ? 0.25 : 1;
  context.drawImage(atlas, 0, channel * stage.height, stage.width, stage.height, x, y, side, tall);
  context.globalAlpha = 1;
  if (out) {
    context.strokeStyle = house.ink("bad");
    context.lineWidth = 2;
    drawLine(context, [[x + 3, y + 3], [x + side - 3, y + tall - 3]]);
    drawLine(context, [[x + side - 3, y + 3], [x + 3, y + tall - 3]]);
  }
  const under = y + tall + 3;
  context.fillStyle = house.ink("line");
  context.fillRect(x, under, side, bar);
  context.fillStyle = house.ink(channel in edits ? "run-1" : "run-0");
  context.fillRect(x, under, side * gate, bar);
  if (channel in edits) {
    context.fillStyle = house.ink("ink");
    context.fillRect(x + side * stage.gates[channel] - 1, under - 1, 2, bar + 2);
  }
  if (!words) return;
  const middle = under + bar + 8;
  if (side >= 48) writeText(context, String(channel + 1), x, middle, { ink: house.ink("soft"), size: 11 });
  writeText(context, gate.toFixed(2), x + side, middle, { ink: house.ink("ink"), size: 11, align: "right" });
}

/** The grid of maps. `now()` gives what is shown, or null; `onPoint(quiet)` hears the learner point. */
function tilesPart(house, model, now, edit, onPoint, describe) {
  const scale = scaleBar("Values");
  const { canvas, node, rename } = pointPanel("", `${gestures()} Drag a bar to move its gate.`);
  node.append(styled(scale.node, { marginTop: "8px" }));
  const layer = layered(canvas);
  let layout = null;
  let sorted = [];
  let place = [];
  const cell = (channel) => cellOf(place[channel], layout.columns);
  const spot = (channel) => [2 + cell(channel)[1] * layout.across, 2 + cell(channel)[0] * layout.step];
  const shownChannel = () => Math.min(model.get("channel"), sorted.length - 1);
  /** The tile at a place of the canvas, in CSS pixels: `left` is where it begins, `onBar` whether its gate is there. */
  const tileAt = (x, y) => {
    if (!layout) return null;
    const [column, line] = [Math.floor((x - 2) / layout.across), Math.floor((y - 2) / layout.step)];
    const channel = column >= 0 && column < layout.columns ? sorted[line * layout.columns + column] : undefined;
    if (channel === undefined) return null;
    const [left, top] = spot(channel);
    return { cell: [line, column], channel, onBar: y - top > layout.tall, left };
  };
  const focus = focusController({
    canvases: [canvas],
    rows: () => layout.rows,
    columns: () => layout.columns,
    locate: (_, x, y) => tileAt(x * layout?.width, y * layout?.height)?.cell ?? null,
    start: () => cell(model.get("channel")),
    onEdge: () => house.say([...describe(), "Edge."], { again: true }),
    onChange: (query, pinned, quiet) => {
      if (query) {
        const channel = sorted[Math.min(query[0] * layout.columns + query[1], sorted.length - 1)];
        if (String(cell(channel)) !== String(query)) focus.set(cell(channel), pinned);
        model.set("channel", channel);
        if (pinned) edit.save();
      }
      onPoint(quiet);
    },
  });
  dragBars(canvas, tileAt, edit, (tile, x) => {
    focus.set(tile.cell, true);
    edit.move(tile.channel, (x - tile.left) / layout.side);
  });

  const mark = () => {
    const channel = shownChannel();
    const context = layer.copy();
    const pixels = pixelsOf(canvas);
    const box = [...spot(channel), layout.side, layout.tall].map((length) => length * pixels);
    outline(context, ...box, pixels, focus.isPinned());
    Object.assign(canvas.dataset, { channel, columns: layout.columns });
    scale.set(now().shown.rangeOf(channel, model.get("own_colours")));
  };
  const draw = () => {
    const { shown: stage } = now();
    const by = { gate: stage.gates, mean: stage.means }[model.get("order")];
    sorted = by ? strongest(by) : Array.from({ length: stage.channels }, (_, i) => i);
    sorted.forEach((channel, i) => { place[channel] = i; });
    const most = house.stage.clientWidth < 380 ? TALLEST_ON_A_PHONE : TALLEST;
    layout = layoutOf(stage, Math.max(160, Math.floor(node.clientWidth)), most);
    const { scale: pixels } = fit(canvas, layout.width, layout.height / layout.width);
    const context = layer.begin();
    context.scale(pixels, pixels);
    context.imageSmoothingEnabled = layout.side * pixels < stage.width;
    const atlas = stage.atlas(model.get("own_colours"));
    const edits = model.get("edits");
    for (const channel of sorted) drawTile(context, house, stage, atlas, layout, spot(channel), channel, edits);
    rename(`${stage.channels} maps of ${stage.height} × ${stage.width} and their gates`);
    canvas.setAttribute("aria-label", `${stage.channels} feature maps with their gates. ${keyWords("the channel")} `
      + "Delete knocks it out.");
    if (focus.get()) focus.set(cell(shownChannel()), focus.isPinned());
    mark();
  };
  return { node, draw, mark, rank: (channel) => place[channel] + 1, hint: focus.hint };
}

/** Dragging a gate's bar comes before hovering and pinning; a double click or Delete knocks a channel out. */
function dragBars(canvas, tileAt, edit, onDrag) {
  let dragged = null;
  let justDragged = false;
  const tileOf = ({ offsetX, offsetY }) => tileAt(offsetX, offsetY);
  const during = (name, handler) => canvas.addEventListener(name, handler, { capture: true });
  during("pointerdown", (event) => {
    justDragged = false;
    const tile = tileOf(event);
    if (!tile?.onBar || event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    dragged = tile;
    onDrag(tile, event.offsetX);
  });
  during("pointermove", (event) => {
    if (dragged) {
      event.stopImmediatePropagation();
      onDrag(dragged, event.offsetX);
    } else canvas.style.cursor = tileOf(event)?.onBar ? "ew-resize" : "pointer";
  });
  for (const name of ["pointerup", "pointercancel"]) {
    during(name, () => {
      justDragged = Boolean(dragged);
      dragged = null;
      if (justDragged) edit.save();
    });
  }
  during("click", (event) => {
    if (justDragged) event.stopImmediatePropagation();
    justDragged = false;
  });
  canvas.addEventListener("dblclick", (event) => {
    const tile = tileOf(event);
    if (tile && !tile.onBar) edit.knock(tile.channel);
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.key !== "Delete" && event.key !== "Backspace") return;
    edit.knock(Number(canvas.dataset.channel));
    event.preventDefault();
    event.stopPropagation();
  });
}

// The channel in focus, and the answer --------------------------------------------------------------------------------

/** The channel's map without and with its gate, and the gate as a slider. */
function channelPart(model, now, edit) {
  const lenses = ["Map", "Map × gate"].map((name) => picturePanel(name, { role: "img" }));
  const name = styled(element("p", {}), { flex: "0 0 100%", fontWeight: "600" });
  const gate = slider({
    label: "Gate", min: 0, max: 1, step: 0.01, value: 0, show: (value) => value.toFixed(2),
    onInput: (value) => edit.move(model.get("channel"), value, true),
  });
  const knock = button("Knock out", () => edit.knock(model.get("channel")));
  const reset = button("Reset all gates", () => {
    gate.input.focus(); // a button that disables itself would lose the focus to the page
    store(model, { edits: {} });
  });
  const hand = styled(element("div", { class: "cw-controls" }, name, gate.node, knock, reset), {
    flex: "1 1 200px", margin: "0", alignContent: "center",
  });
  const both = styled(row(...lenses.map(({ node: one }) => one)), { flex: "0 1 160px" });
  const node = styled(element("div", {}, both, hand), {
    display: "flex", flexWrap: "wrap-reverse", gap: "4px 12px", alignContent: "end",
  });
  const gated = element("canvas"); // the map times its gate, one pixel a value
  const drawLens = ({ canvas }, what, { height, width }, picture, top) => {
    fit(canvas, 74, height / width);
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = canvas.width < width;
    context.drawImage(picture, 0, top, width, height, 0, 0, canvas.width, canvas.height);
    canvas.setAttribute("aria-label", what);
  };
  const draw = () => {
    const { shown: stage } = now();
    const { height, width } = stage;
    const channel = Math.min(model.get("channel"), stage.channels - 1);
    const edits = model.get("edits");
    const factor = edits[channel] ?? stage.gates[channel];
    const [map, own] = [stage.map(channel), model.get("own_colours")];
    const { table, low, high } = stage.rangeOf(channel, own);
    if (gated.width !== width || gated.height !== height) Object.assign(gated, { width, height });
    const unit = Math.max(factor, 1e-30); // products have the colours of the values in a range so much wider
    paintMap(map, height, width, { table, low: low / unit, high: high / unit }, gated);
    const ends = extent(map);
    const peak = placeInWords(cellOf(largest(map), width));
    const words = (times) => `map of channel ${channel + 1}: ${height} x ${width}, from ${number(times * ends.low)} `
      + `to ${number(times * ends.high)}${times * ends.high > times * ends.low ? `, strongest at ${peak}` : ""}`;
    drawLens(lenses[0], words(1), stage, stage.atlas(own), channel * height);
    drawLens(lenses[1], `gate times ${words(factor)}`, stage, gated, 0);
    name.textContent = `Channel ${channel + 1} of ${stage.channels}`;
    gate.set(factor);
    gate.input.setAttribute("aria-label", `Gate of channel ${channel + 1}`);
    knock.textContent = edits[channel] === 0 ? "Bring back" : "Knock out";
    knock.setAttribute("aria-label", `${knock.textContent} channel ${channel + 1}`);
    reset.disabled = !Object.keys(edits).length;
  };
  return { node, draw };
}

/** Of two masks over the picture: how much the new one keeps, and how much of what either keeps both do. */
function maskNumbers(before, now) {
  let [kept, both, either] = [0, 0, 0];
  for (let i = 0; i < now.length; i++) {
    const [one, two] = [before[i] > 0.5, now[i] > 0.5];
    kept += two;
    both += one && two;
    either += one || two;
  }
  return { kept: kept / now.length, overlap: either ? both / either : 1 };
}

/** The photograph, dark where the mask leaves it out; once a gate is moved, with the untouched mask's outline. */
function maskPart() {
  const { canvas, node } = picturePanel("The person's mask on the photograph", { role: "img" });
  const veil = element("canvas", { width: SIDE / 2, height: SIDE / 2 });
  let numbers = null;
  const draw = ({ image, before, now, by, example }) => {
    fitPanel({ canvas, node }, 1, TALLEST - 20);
    const context = layPicture(canvas, image);
    paintTint(BACKGROUND, (i) => 225 * (1 - now[i]), veil);
    context.imageSmoothingEnabled = true;
    context.drawImage(veil, 0, 0, canvas.width, canvas.height);
    if (by !== "network") {
      const [inside, shape] = [before.map((value) => value > 0.5), [veil.height, veil.width]];
      strokeRegion(context, { inside, shape, colour: "#fff", thickness: 1 }, canvas.width / 340);
    }
    numbers = maskNumbers(before, now);
    const { kept, overlap } = numbers;
    canvas.dataset.kept = kept.toFixed(5);
    canvas.dataset.overlap = overlap.toFixed(5);
    canvas.setAttribute("aria-label", `${example.label}: the mask keeps ${percent(kept)} of the picture`);
  };
  const words = ({ by }) => ({
    answer: `he mask keeps ${percent(numbers.kept)}${by === "network" ? " of the picture" : ""}.`,
    was: `Overlap with the untouched one: ${percent(numbers.overlap)}.`,
  });
  return { node, draw, words };
}

/** The classes shown: all where they are few, else the likeliest before and now. */
function classesShown(before, now) {
  if (before.length <= 12) return [...before.keys()];
  return [...new Set([...strongest(before, 6), ...strongest(now, 4)])];
}

/** The input, and the probabilities of the classes. */
function classesPart() {
  const input = picturePanel("", { role: "img" });
  const chart = bars({ label: "Class probabilities" });
  styled(chart.node, { flex: "1 1 220px", minWidth: "0" });
  const both = styled(element("div", {}, styled(input.node, { flex: "0 1 96px" }), chart.node), {
    display: "flex", flexWrap: "wrap", gap: "12px", alignItems: "flex-start",
  });
  const node = element("div", {}, both);
  const draw = ({ image, example, source, before, now, by }) => {
    fitPanel(input, image.height / image.width, 160);
    layPicture(input.canvas, image);
    input.rename(`Input: ${example.label}`);
    input.canvas.setAttribute("aria-label", `Input: ${example.label}`);
    const best = largest(now);
    chart.node.style.opacity = by === "nobody" ? 0.35 : 1;
    chart.show(classesShown(before, now).map((k) => ({
      name: source.classes[k], value: now[k], before: by === "network" ? null : before[k], chosen: k === best,
    })));
  };
  const words = ({ source, before, now }) => {
    const said = (values) => `${source.classes[largest(values)]} with ${percent(values[largest(values)])}.`;
    return { answer: `he network answers ${said(now)}`, was: { aside: `Before it was ${said(before)}` } };
  };
  return { node, draw, words };
}

// Choosing, drawing, uploading ----------------------------------------------------------------------------------------

/** A pad for one digit; `onDrawn(base64)` is given it after each stroke. */
function padPart(onDrawn) {
  const pad = styled(element("canvas", {
    width: "168", height: "168", role: "img",
    "aria-label": "Drawing pad: draw one digit with the pointer. With the keyboard, choose one of the images instead.",
  }), { touchAction: "none", cursor: "crosshair", border: "1px solid var(--cw-edge)" });
  let strokes = [];
  const draw = drawingPad(pad, {
    strokes: () => strokes,
    onStroke: (stroke) => {
      strokes.push(stroke);
      onDrawn(pad.toDataURL("image/png").split(",")[1]);
    },
  });
  draw();
  const words = note("Draw one digit; the network answers after each stroke.");
  const clear = button("Clear the pad", () => { strokes = []; draw(); });
  return element("div", { class: "cw-controls", hidden: true }, pad, element("div", {}, words, clear));
}

/** The row above: which network, which picture, and the learner's own, which the kernel sees where it must. */
function picturesPart(house, model, mine, ask, take, takeSource) {
  const sourceChoice = choice({ label: "Network", options: [], value: "", onChange: takeSource });
  const choose = (i) => store(model, { example: offered[i][0] });
  const thumbs = pictureButtons({ label: "Pictures", side: 40, onPress: choose });
  let offered = [];
  const send = (data, name, drawn = false) =>
    ask({ want: "picture", source: sceneOf(model, mine).source.key, drawn, name: name || "The picture", data });
  const pad = padPart((data) => send(data, "The drawing", true));
  const draw = button("Draw a digit", () => {
    if (!model.widget_manager) return ask({});
    pad.hidden = !pad.hidden;
    draw.setAttribute("aria-expanded", String(!pad.hidden));
  });
  draw.setAttribute("aria-expanded", "false");
  const ways = { page: ownPictures(house, [SIDE, SIDE], take), kernel: kernelPictures(house, send) };
  let way = null;
  const buttons = styled(element("div", { class: "cw-controls" }, thumbs.node, draw), { marginTop: "0" });
  const node = styled(element("div", {}, buttons, pad), { marginBottom: "12px" });
  house.listen("example", () => { if (model.get("example") !== OWN) way?.stop(); });
  const show = async () => {
    const { source, own, place } = sceneOf(model, mine);
    fill(sourceChoice, model.get("sources").map(({ key, title }) => [key, title]), source.key);
    draw.hidden = !source.draw;
    if (!source.draw) pad.hidden = true;
    if (way !== ways[source.upload]) {
      way?.stop();
      way = ways[source.upload];
      buttons.replaceChildren(thumbs.node, draw, ...(way?.nodes ?? []));
    }
    offered = [...source.examples.map((example, i) => [i, example]), ...(own ? [[OWN, own]] : [])];
    const images = await Promise.all(offered.map(([, example]) => pictureOf(example)));
    thumbs.show(offered.map(([index, example], i) => ({
      key: index === OWN ? source.key : example, title: example.label, image: images[i],
      label: index === OWN ? example.label : `Picture ${index + 1}: ${example.label}`,
    })), offered.findIndex(([index]) => index === place));
  };
  return { node, sourceChoice, show };
}

/** The words of the status line: the channel in focus, the answer as `words(shown)` says it, and how to unpin. */
function wordsOf(shown, model, tiles, words) {
  if (!shown) return ["The network runs for the first time."];
  const { shown: stage, source, by } = shown;
  const edits = model.get("edits");
  const channel = Math.min(model.get("channel"), stage.channels - 1);
  const own = stage.gates[channel].toFixed(2);
  const gate = channel in edits ? `gate ${edits[channel].toFixed(2)} by hand, ${own} by the network` : `gate ${own}`;
  const order = model.get("order");
  const rank = order === "channel" ? "" : `, place ${tiles.rank(channel)} of ${stage.channels} by ${order}`;
  const first = `Channel ${channel + 1} of ${blockName(source.stages[shown.stage])}: ${gate}.`;
  const mean = { aside: `Its mean is ${stage.means[channel].toFixed(3)}${rank}.` };
  const { answer, was } = words(shown);
  if (by === "network") return [first, mean, `T${answer}`, tiles.hint()];
  const count = Object.keys(edits).length === 1 ? "1 gate moved" : `${Object.keys(edits).length} gates moved`;
  const waits = model.widget_manager ? "waiting for the notebook's answer."
    : "to see the answer, run this cell in a notebook.";
  return [{ aside: first }, mean, `${count}: ${by === "nobody" ? waits : `t${answer}`}`,
    ...(by === "nobody" ? [] : [was]), tiles.hint()];
}

async function render({ model, el }) {
  const house = frame({ model, el, name: "channel-gates" });
  const mine = new Map();
  const network = networks(house);
  let shown = null; // the last scene that was computed: all that is drawn
  let answered = model.get("answer") ?? {}; // the kernel's last answer with probabilities
  let failed = {}; // the question that the kernel could not answer: it is not asked again and again
  const now = () => shown;
  const describe = () => wordsOf(shown, model, tiles, answer().words);
  const tell = (quiet = false) => { if (!edit.hushed) house.say(describe(), { quiet }); };
  const edit = editor(model, house, tell);
  const refresh = latest(async () => {
    house.stage.setAttribute("aria-busy", "true");
    await null; // another view stores one trait after the other: what is shown follows once all of them are there
    const scene = sceneOf(model, mine);
    try {
      const found = await network.look(scene);
      const result = await network.answer(scene, found, answered);
      shown = { ...scene, ...found, ...result };
      const question = questionOf(scene);
      if (result.by === "nobody" && model.widget_manager && !sameQuestion(failed, question)) ask(question);
      draw();
    } catch (error) {
      house.fail(error.message);
    }
    house.stage.setAttribute("aria-busy", "false");
  });
  const ask = asker(model, house, (found, asked) => {
    if (asked.want === "probabilities") answered = found;
    else {
      if (asked.want === "picture") answered = {}; // what was answered of the picture before
      const { source, example } = found;
      const stages = model.get("sources").find(({ key }) => key === source).stages.length;
      store(model, { example, ...(source !== model.get("source") ? { source, stage: stages - 1, edits: {} } : {}) });
    }
    refresh();
  }, (asked) => {
    if (asked.want !== "probabilities") return;
    failed = asked;
    house.say("The notebook could not answer; its message stands below.");
  });
  const takeSource = (key) => {
    const source = model.get("sources").find((one) => one.key === key);
    const stage = source.stages.length - 1;
    if (source.examples.length) return store(model, { source: key, example: 0, stage, edits: {} });
    pictured.show();
    if (model.widget_manager) house.say(`Asking the notebook for ${source.title}: ${source.pending}.`);
    return ask({ want: "source", source: key });
  };
  const take = async (canvas, { label, code }, isOn = () => true) => {
    const example = { label, canvas, code: `${code}\nimage = person_input(picture)[None]` };
    await network.look({ ...sceneOf(model, mine), example }); // of a camera: while the frame before is drawn
    if (!isOn()) return;
    mine.set(sceneOf(model, mine).source.key, example);
    store(model, { example: OWN });
    await refresh();
  };
  const pictured = picturesPart(house, model, mine, ask, take, takeSource);
  const stageChoice = choice({
    label: "Gates of", options: [], value: "", onChange: (value) => store(model, { stage: Number(value), edits: {} }),
  });
  const looks = traitControls(model, {
    order: [choice, { label: "Sort", options: [["channel", "in order"], ["gate", "by gate"], ["mean", "by mean"]] }],
    own_colours: [toggle, { label: "Each map in its own colours" }],
  });
  const point = (quiet) => {
    tiles.mark();
    channel.draw();
    edit.hushed = false;
    tell(quiet);
  };
  const tiles = tilesPart(house, model, now, edit, point, describe);
  const channel = channelPart(model, now, edit);
  const [mask, classes] = [maskPart(), classesPart()];
  const answer = () => (shown?.source.classes.length ? classes : mask);
  house.stage.before(pictured.node);
  instrument(house, element("div", {}, stageChoice.node, tiles.node),
    element("div", {}, mask.node, classes.node), channel.node);
  house.stage.classList.add("cw-gates");
  house.controls.append(pictured.sourceChoice.node, ...looks.nodes);

  const draw = () => {
    if (!shown || house.root.clientWidth === 0) return;
    const { source, stage, by } = shown;
    fill(stageChoice, source.stages.map((name, i) =>
      [String(i), `${blockName(name)}: ${source.sizes[i][0]} gates`]), String(stage));
    looks.refresh();
    for (const part of [mask, classes]) part.node.hidden = part !== answer();
    answer().draw(shown);
    tiles.draw();
    channel.draw();
    house.stage.dataset.by = by;
    pictured.show();
    tell();
  };

  house.listen(["source", "example", "stage", "edits", "own"], () => {
    if (shown) {
      tiles.draw();
      channel.draw();
    }
    refresh();
  });
  house.listen("channel", () => { if (shown) point(true); });
  house.listen(["order", "own_colours"], draw);
  house.listen("sources", pictured.show);
  keepButtons(house, describe, () => codeFor(shown, model.get("edits")));
  house.whenShown(draw);
  await refresh();
  return house.end;
}

/** The lines that reproduce what is shown. */
function codeFor({ source, example, stage }, edits) {
  const [name, after] = [source.stages[stage], source.classes.length ? ".softmax(1)" : ""];
  const lines = [
    source.code, example.code, "",
    "with torch.no_grad(), record_masks(network) as masks:",
    `    untouched = network(image)${after}`,
    `print(masks["${name}"].flatten())  # the gates`,
    "print(untouched)",
  ];
  const moved = Object.entries(edits);
  if (moved.length) {
    lines.push(
      "",
      `gates = {${moved.map(([channel, gate]) => `${channel}: ${gate}`).join(", ")}}  # channel, counted from 0: gate`,
      "",
      "",
      "def move(mask):",
      "    mask = mask.clone()",
      "    for channel, gate in gates.items():",
      "        mask[:, channel] = gate",
      "    return mask",
      "",
      "",
      `with torch.no_grad(), edit_masks(network, {"${name}": move}):`,
      `    moved = network(image)${after}`,
      "print(moved)",
    );
  }
  return lines.join("\n");
}

export default { render };
