import {
  asker, button, choice, fill, focusController, gestures, keyWords, slider, store, toggle, traitControls,
} from "../page/bind.js";
import { cameraButton, cropped, fileButton, halved, openFile, sentFile } from "../page/camera.js";
import { element, styled } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { bytes, decode, extent, largest, number, once, percent, softmax } from "../page/maths.js";
import { inWorker, latest } from "../page/network.js";
import { fit, fitPanel, layPicture, outline, paintImage, paintMap, regionPath } from "../page/paint.js";
import {
  bars, copyButton, instrument, pictureButtons, picturePanel, row, saveButton, scaleBar,
} from "../page/panels.js";

const TABLE = "viridis";
const OWN = -1; // the index of the learner's own picture
const SIDE = 512; // of a photograph in the page: the segmenter is given its means of two by two
const TALLEST = 384; // of the maps, in CSS pixels
const WORDS = 15;
const FONT = "system-ui, sans-serif";
const BACKGROUND = [10, 30, 44]; // laid over what the mask leaves out

/** A block's name as a learner reads it: "encoder block 4" for "encoder.3.gate". */
function blockName(name) {
  const [, kind, index] = /^(encoder|decoder|stage)\.?(\d+)\.(?:gate|attention)$/.exec(name) ?? [];
  if (!kind) return name.replace(/\.attention$/, "");
  return kind === "stage" ? `stage ${index}` : `${kind} ${kind === "encoder" ? "block" : "step"} ${Number(index) + 1}`;
}

function ordinal(place) {
  const teen = place % 100 > 10 && place % 100 < 14;
  return `${place}${(!teen && ["", "st", "nd", "rd"][place % 10]) || "th"}`;
}

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
const pictureOf = once(async ({ canvas, image }) => {
  if (canvas) return canvas;
  if (typeof image !== "string") return paintImage(decode(image));
  return cropped(await createImageBitmap(new Blob([bytes(image)], { type: "image/webp" })), SIDE, SIDE);
});

/** What the network is given: the values that were sent, the picture's, or, for the segmenter, means of two by two. */
function inputOf({ input, image }, canvas) {
  if (input) return { shape: input.shape, data: decode(input).values };
  if (image && typeof image !== "string") {
    const { shape: [height, width, channels = 1], values } = decode(image);
    const places = height * width;
    const data = Float32Array.from(values, (_, i) => values[(i % places) * channels + Math.floor(i / places)] / 255);
    return { shape: [channels, height, width], data };
  }
  return halved(canvas);
}

/** The maps of a stage with their gates, as the page computed them or the kernel sent them. */
function stageOf([channels, height, width], values, gates, means = null) {
  const size = height * width;
  const map = (c) => values.subarray(c * size, (c + 1) * size);
  const ranges = Array.from({ length: channels }, (_, c) => {
    const { low, high } = extent(map(c));
    return { low: Math.min(0, low), high: high > Math.min(0, low) ? high : low + 1 };
  });
  const all = { low: Math.min(...ranges.map(({ low }) => low)), high: Math.max(...ranges.map(({ high }) => high)) };
  means ??= ranges.map((_, c) => map(c).reduce((sum, value) => sum + value, 0) / size);
  return { channels, height, width, values, map, ranges, all, means, gates };
}

function sentStage({ maps, low, high, means, gates }) {
  const { shape, values } = decode(maps);
  const data = Float32Array.from(values, (level) => low + (level * (high - low)) / 255);
  return stageOf(shape, data, decode(gates).values, decode(means).values);
}

/** All maps of a stage below each other on one canvas, each in its own colours or all in one range; made once. */
function atlasOf(stage, own) {
  const name = own ? "ownAtlas" : "atlas";
  const { channels, height, width, values, ranges, all } = stage;
  if (own) {
    const size = height * width;
    const shares = () => values.map((value, i) => {
      const { low, high } = ranges[Math.floor(i / size)];
      return (value - low) / (high - low);
    });
    stage[name] ??= paintMap(shares(), channels * height, width, { table: TABLE, low: 0, high: 1 });
  } else stage[name] ??= paintMap(values, channels * height, width, { table: TABLE, ...all });
  return stage[name];
}

/** Runs the networks that the page can run, each in a worker of its own. */
function runner(house) {
  const workers = new Map();
  house.endings.push(() => workers.forEach((worker) => worker.end()));
  return ({ key, graph, weights, classes }) => {
    if (!workers.has(key)) workers.set(key, inWorker(graph, weights));
    return async (input, edits, names) => {
      const { output, values } = await workers.get(key).run(input, edits, names);
      return { values, answer: classes.length ? softmax(Array.from(output.data)) : output.data };
    };
  };
}

/** What the untouched network makes of a scene: maps and gates of the stage, and the answer. */
async function look({ source, example, stage }, networkOf, seen) {
  if (seen.example === example && seen.stages[stage]) return seen.stages[stage];
  if (seen.example !== example) Object.assign(seen, { example, stages: {}, input: null });
  const image = await pictureOf(example);
  let found;
  if (source.graph) {
    seen.input ??= inputOf(example, image);
    const gates = source.stages[stage];
    const maps = source.graph.steps.find(({ op, inputs }) => op === "gate" && inputs[1] === gates).inputs[0];
    const { values, answer } = await networkOf(source)(seen.input, {}, [maps, gates]);
    found = { shown: stageOf(values[maps].shape, values[maps].data, values[gates].data), before: answer };
  } else {
    found = { shown: sentStage(example.stages[stage]), before: Array.from(decode(example.probabilities).values) };
  }
  seen.stages[stage] = { ...found, image };
  return seen.stages[stage];
}

const questionOf = ({ source, place, stage, edits }) =>
  ({ want: "probabilities", source: source.key, example: place, stage, edits });
const sameQuestion = (one, two) =>
  ["source", "example", "stage"].every((name) => one[name] === two[name])
  && JSON.stringify(Object.entries(one.edits ?? {}).sort()) === JSON.stringify(Object.entries(two.edits).sort());

/** The answer with the moved gates, and who gave it: "network" (none is moved), "page", "kernel" or "nobody" yet. */
async function resultOf(scene, { before }, networkOf, seen, answered) {
  const moved = Object.entries(scene.edits).map(([channel, gate]) => [Number(channel), gate]);
  if (!moved.length) return { now: before, by: "network" };
  if (scene.source.graph) {
    const { answer } = await networkOf(scene.source)(seen.input, { [scene.source.stages[scene.stage]]: moved }, []);
    return { now: answer, by: "page" };
  }
  if (answered.probabilities && sameQuestion(answered, questionOf(scene))) {
    return { now: answered.probabilities, by: "kernel" };
  }
  return { now: before, by: "nobody" };
}

/** The gates moved by hand: here at once, to the kernel when the hand rests. */
function editor(model, house) {
  let resting = 0;
  const save = () => {
    clearTimeout(resting);
    model.save_changes();
  };
  house.endings.push(() => clearTimeout(resting));
  const move = (channel, gate) => {
    const edits = { ...model.get("edits") };
    if (gate === null) delete edits[channel];
    else edits[channel] = Math.round(100 * Math.max(0, Math.min(1, gate))) / 100;
    model.set("channel", channel);
    model.set("edits", edits);
    clearTimeout(resting);
    resting = setTimeout(save, 150);
  };
  const toggle = (channel) => move(channel, model.get("edits")[channel] === 0 ? null : 0);
  return { move, toggle, save };
}

// The maps with their gates -------------------------------------------------------------------------------------------

/** Where the maps lie, in CSS pixels: as large as they can be below the greatest height. */
function layoutOf({ channels, height, width }, available) {
  for (let columns = 4; ; columns++) {
    const rows = Math.ceil(channels / columns);
    const gap = columns > 9 ? 3 : 6;
    const side = Math.floor((available - 4 - gap * (columns - 1)) / columns);
    const tall = Math.round((side * height) / width);
    const words = side >= 36 ? WORDS : 0;
    const bar = side >= 30 ? 8 : 5;
    const step = tall + 3 + bar + words + (words ? 4 : 3);
    if (rows * step + 2 > TALLEST && columns < channels && side > 16) continue;
    return { columns, rows, side, tall, words, bar, step, across: side + gap, width: available, height: rows * step + 2 };
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
    context.beginPath();
    context.moveTo(x + 3, y + 3);
    context.lineTo(x + side - 3, y + tall - 3);
    context.moveTo(x + side - 3, y + 3);
    context.lineTo(x + 3, y + tall - 3);
    context.stroke();
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
  context.font = `11px ${FONT}`;
  context.fillStyle = house.ink("soft");
  context.textAlign = "left";
  if (side >= 48) context.fillText(String(channel + 1), x, under + bar + 12);
  context.fillStyle = house.ink("ink");
  context.textAlign = "right";
  context.fillText(gate.toFixed(2), x + side, under + bar + 12);
}

/** The grid of maps. `now()` gives what is shown, or null; `onPoint(channel, quiet)` hears the learner point. */
function tilesPart(house, model, now, edit, onPoint, describe) {
  const { canvas, node, rename } = picturePanel("", { role: "application" });
  const scale = scaleBar("Values");
  const keys = element("p", { class: "cw-panel-name cw-keys" });
  node.append(keys, scale.node);
  styled(scale.node, { marginTop: "8px" });
  let layout = null;
  let base = null;
  let sorted = [];
  let place = [];
  const spot = (channel) =>
    [2 + (place[channel] % layout.columns) * layout.across, 2 + Math.floor(place[channel] / layout.columns) * layout.step];
  const cellOf = (channel) => [Math.floor(place[channel] / layout.columns), place[channel] % layout.columns];
  const tileAt = (x, y) => {
    const [left, top] = [x * layout.width - 2, y * layout.height - 2];
    const [column, line] = [Math.floor(left / layout.across), Math.floor(top / layout.step)];
    const index = line * layout.columns + column;
    if (column < 0 || line < 0 || column >= layout.columns || index >= sorted.length) return null;
    const share = (left - column * layout.across) / layout.side;
    return { row: line, column, channel: sorted[index], onBar: top - line * layout.step > layout.tall, share };
  };
  const focus = focusController({
    canvases: [canvas],
    rows: () => layout.rows,
    columns: () => layout.columns,
    locate: (_, x, y) => {
      const tile = layout && tileAt(x, y);
      return tile && [tile.row, tile.column];
    },
    start: () => cellOf(model.get("channel")),
    onEdge: () => house.say([...describe(), "Edge."], { again: true }),
    onChange: (query, pinned, quiet) => {
      if (query) {
        const channel = sorted[Math.min(query[0] * layout.columns + query[1], sorted.length - 1)];
        if (String(cellOf(channel)) !== String(query)) focus.set(cellOf(channel), pinned);
        model.set("channel", channel);
        if (pinned) edit.save();
      }
      onPoint(quiet);
    },
  });
  dragBars(canvas, (event) => {
    const box = canvas.getBoundingClientRect();
    return layout && tileAt((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  }, (tile, event) => {
    const box = canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * layout.width - 2 - tile.column * layout.across;
    focus.set([tile.row, tile.column], true);
    edit.move(tile.channel, x / layout.side);
  }, edit);

  const mark = () => {
    const channel = Math.min(model.get("channel"), sorted.length - 1);
    const context = canvas.getContext("2d");
    const pixels = canvas.width / layout.width;
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(base, 0, 0);
    const [x, y] = spot(channel);
    outline(context, x * pixels, y * pixels, layout.side * pixels, layout.tall * pixels, pixels, focus.isPinned());
    canvas.dataset.channel = String(channel);
    canvas.dataset.columns = String(layout.columns);
    scale.set({ table: TABLE, ...(model.get("own_colours") ? now().shown.ranges[channel] : now().shown.all) });
  };
  const draw = () => {
    const { shown: stage } = now();
    const order = model.get("order");
    sorted = Array.from({ length: stage.channels }, (_, i) => i);
    const by = { gate: stage.gates, mean: stage.means }[order];
    if (by) sorted.sort((one, two) => by[two] - by[one] || one - two);
    sorted.forEach((channel, i) => { place[channel] = i; });
    layout = layoutOf(stage, Math.max(160, Math.floor(node.clientWidth)));
    const { scale: pixels } = fit(canvas, layout.width, layout.height / layout.width);
    base = element("canvas", { width: canvas.width, height: canvas.height });
    const context = base.getContext("2d");
    context.scale(pixels, pixels);
    context.imageSmoothingEnabled = layout.side * pixels < stage.width;
    const atlas = atlasOf(stage, model.get("own_colours"));
    const edits = model.get("edits");
    for (const channel of sorted) drawTile(context, house, stage, atlas, layout, spot(channel), channel, edits);
    rename(`${stage.channels} maps of ${stage.height} × ${stage.width}, each with its gate below it`);
    keys.textContent = `${gestures()} Drag a bar to move its gate.`;
    canvas.setAttribute("aria-label", `${stage.channels} feature maps with their gates. ${keyWords("the channel")} `
      + "Delete knocks it out.");
    if (focus.get()) focus.set(cellOf(Math.min(model.get("channel"), stage.channels - 1)), focus.isPinned());
    mark();
  };
  const rank = (channel) => place[channel] + 1;
  return { node, canvas, draw, mark, rank, hint: focus.hint };
}

/** Dragging a gate's bar comes before hovering and pinning; a double click or Delete knocks a channel out. */
function dragBars(canvas, tileOf, onDrag, edit) {
  let dragged = null;
  let justDragged = false;
  const during = (name, handler) => canvas.addEventListener(name, handler, { capture: true });
  during("pointerdown", (event) => {
    justDragged = false;
    const tile = tileOf(event);
    if (!tile?.onBar || event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    dragged = tile;
    onDrag(tile, event);
  });
  during("pointermove", (event) => {
    if (dragged) {
      event.stopImmediatePropagation();
      onDrag(dragged, event);
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
    if (tile && !tile.onBar) edit.toggle(tile.channel);
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.key !== "Delete" && event.key !== "Backspace") return;
    edit.toggle(Number(canvas.dataset.channel));
    event.preventDefault();
    event.stopPropagation();
  });
}

// The channel in focus, and the answer --------------------------------------------------------------------------------

/** The channel's map without and with its gate, and the gate as a slider. */
function channelPart(house, model, now, edit, voice) {
  const lenses = ["map", "× gate"].map((name) => picturePanel(name, { role: "img" }));
  const name = styled(element("p", {}), { fontWeight: "600" });
  const gate = slider({
    label: "Gate", min: 0, max: 1, step: 0.01, value: 0, show: (value) => value.toFixed(2),
    onInput: (value) => {
      voice.later();
      edit.move(model.get("channel"), value);
    },
  });
  gate.input.addEventListener("change", edit.save);
  const knock = button("Knock out", () => edit.toggle(model.get("channel")));
  const reset = button("Reset all gates", () => {
    gate.input.focus(); // a button that disables itself would lose the focus to the page
    store(model, { edits: {} });
  });
  const hand = styled(element("div", { class: "cw-controls" }, name, gate.node, knock, reset), {
    flex: "1 1 200px", margin: "0", alignContent: "center",
  });
  styled(name, { flex: "0 0 100%" });
  const both = styled(row(...lenses.map(({ node: one }) => one)), { flex: "0 0 160px" });
  const node = styled(element("div", {}, both, hand), {
    display: "flex", flexWrap: "wrap-reverse", gap: "4px 12px", marginTop: "8px",
  });
  const draw = () => {
    const { shown: stage } = now();
    const channel = Math.min(model.get("channel"), stage.channels - 1);
    const edits = model.get("edits");
    const factor = edits[channel] ?? stage.gates[channel];
    const map = stage.map(channel);
    const range = { table: TABLE, ...(model.get("own_colours") ? stage.ranges[channel] : stage.all) };
    [map, map.map((value) => factor * value)].forEach((values, i) => {
      const { canvas } = lenses[i];
      fit(canvas, 74, stage.height / stage.width);
      const context = canvas.getContext("2d");
      context.imageSmoothingEnabled = canvas.width < stage.width;
      context.drawImage(paintMap(values, stage.height, stage.width, range), 0, 0, canvas.width, canvas.height);
      const { low, high } = extent(values);
      const top = largest(values);
      const place = `, strongest at row ${Math.floor(top / stage.width) + 1}, column ${(top % stage.width) + 1}`;
      canvas.setAttribute("aria-label", `${i ? "gate times map" : "map"} of channel ${channel + 1}: ${stage.height} x `
        + `${stage.width}, from ${number(low)} to ${number(high)}${high > low ? place : ""}`);
    });
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

/** The photograph with the mask: what it leaves out lies in the dark; the untouched mask's outline while a gate is moved. */
function maskPart(house) {
  const { canvas, node } = picturePanel("The person's mask on the photograph", { role: "img" });
  const veil = element("canvas", { width: SIDE / 2, height: SIDE / 2 });
  const draw = ({ image, before, now, by, example }) => {
    fitPanel({ canvas, node }, 1, TALLEST - 20);
    const context = layPicture(canvas, image);
    const brush = veil.getContext("2d");
    const pixels = brush.createImageData(veil.width, veil.height);
    for (let i = 0; i < now.length; i++) {
      pixels.data.set(BACKGROUND, 4 * i);
      pixels.data[4 * i + 3] = 225 * (1 - now[i]);
    }
    brush.putImageData(pixels, 0, 0);
    context.imageSmoothingEnabled = true;
    context.drawImage(veil, 0, 0, canvas.width, canvas.height);
    if (by !== "network") {
      const inside = before.map((value) => value > 0.5);
      const path = regionPath(inside, veil.height, veil.width, canvas.height, canvas.width);
      context.lineWidth = canvas.width / 170;
      context.strokeStyle = "#000";
      context.stroke(path);
      context.lineWidth /= 2.5;
      context.strokeStyle = "#fff";
      context.stroke(path);
    }
    const { kept, overlap } = maskNumbers(before, now);
    canvas.dataset.kept = kept.toFixed(5);
    canvas.dataset.overlap = overlap.toFixed(5);
    canvas.setAttribute("aria-label", `${example.label}: the mask keeps ${percent(kept)} of the picture`);
  };
  return { node, draw };
}

/** The classes shown: all where they are few, else the likeliest before and now. */
function classesShown(before, now) {
  const every = before.map((_, i) => i);
  if (every.length <= 12) return every;
  const best = (values, count) => [...every].sort((one, two) => values[two] - values[one]).slice(0, count);
  return [...new Set([...best(before, 6), ...best(now, 4)])];
}

/** The input, and the probabilities of the classes. */
function classesPart() {
  const input = picturePanel("", { role: "img" });
  const chart = bars({ label: "Class probabilities" });
  styled(chart.node, { flex: "1 1 220px", minWidth: "0" });
  const both = styled(element("div", {}, styled(input.node, { flex: "0 1 120px" }), chart.node), {
    display: "flex", flexWrap: "wrap", gap: "12px", alignItems: "flex-start",
  });
  const node = element("div", {}, both);
  const draw = ({ image, example, source, before, now, by }) => {
    fitPanel(input, image.height / image.width, 160);
    layPicture(input.canvas, image);
    input.rename(`input: ${example.label}`);
    input.canvas.setAttribute("aria-label", `input: ${example.label}`);
    const best = largest(now);
    chart.node.style.opacity = by === "nobody" ? 0.35 : 1;
    chart.show(classesShown(before, now).map((k) => ({
      name: source.classes[k], value: now[k], before: by === "network" ? null : before[k], chosen: k === best,
    })));
  };
  return { node, draw };
}

// Choosing, drawing, uploading ----------------------------------------------------------------------------------------

/** A pad for one digit; `onDrawn(base64)` is given it after each stroke. */
function padPart(onDrawn) {
  const pad = styled(element("canvas", {
    width: "168", height: "168", role: "img",
    "aria-label": "Drawing pad: draw one digit with the pointer. With the keyboard, choose one of the images instead.",
  }), { width: "168px", height: "168px", touchAction: "none", cursor: "crosshair", border: "1px solid var(--cw-edge)" });
  const context = pad.getContext("2d");
  const clear = () => {
    context.fillStyle = "#000";
    context.fillRect(0, 0, pad.width, pad.height);
  };
  clear();
  let stroke = null;
  const draw = (event) => {
    Object.assign(context, { strokeStyle: "#fff", lineWidth: 14, lineCap: "round" });
    context.beginPath();
    context.moveTo(...stroke);
    context.lineTo(event.offsetX, event.offsetY);
    context.stroke();
    stroke = [event.offsetX, event.offsetY];
  };
  pad.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pad.setPointerCapture(event.pointerId);
    stroke = [event.offsetX, event.offsetY];
    draw(event);
    event.preventDefault();
  });
  pad.addEventListener("pointermove", (event) => { if (stroke) draw(event); });
  pad.addEventListener("pointercancel", () => { stroke = null; });
  pad.addEventListener("pointerup", () => {
    if (!stroke) return;
    stroke = null;
    onDrawn(pad.toDataURL("image/png").split(",")[1]);
  });
  const words = element("p", { class: "cw-panel-name" }, "Draw one digit; the network answers after each stroke.");
  const node = styled(element("div", {}, pad, element("div", {}, words, button("Clear the pad", clear))), {
    display: "flex", flexWrap: "wrap", gap: "12px", marginTop: "12px",
  });
  return element("div", { hidden: true }, node);
}

/** How a learner's own picture comes in: kept in this page, or sent to the kernel where the network needs it. */
function ownPictures(house, model, mine, ask, foresee, refresh) {
  const source = () => sceneOf(model, mine).source;
  const keep = async (canvas, label, code, isOn = () => true) => {
    const own = { label, canvas, code };
    await foresee(own); // of a camera: while the frame before is drawn
    if (!isOn()) return;
    mine.set(source().key, own);
    store(model, { example: OWN });
    await refresh();
  };
  const send = (data, name, drawn) => {
    const missing = "Your own digits need a running notebook: here there is no kernel to ask.";
    if (!model.widget_manager) house.say(missing, { again: true });
    else ask({ want: "picture", source: source().key, drawn, name, data });
  };
  const upload = async (file) => {
    house.fail(model.get("error") ?? ""); // what was said of the file before is over
    try {
      if (source().upload === "page") {
        const canvas = cropped(await openFile(file), SIDE, SIDE);
        await keep(canvas, "your picture", [
          "from PIL import Image", "from torchvision.transforms.functional import pil_to_tensor", "",
          `image = person_input(pil_to_tensor(Image.open(${JSON.stringify(file.name)}).convert("RGB")) / 255)[None]`,
        ].join("\n"));
        return;
      }
      send(await sentFile(file), file.name, false);
    } catch (error) {
      house.fail(error.message);
    }
  };
  return { keep, send, upload };
}

/** The row above: which network, which picture, and the learner's own. */
function picturesPart(house, model, mine, own, takeSource) {
  const sourceChoice = choice({ label: "Network", options: [], value: "", onChange: takeSource });
  const thumbs = pictureButtons({ label: "Pictures", side: 40, onPress: (i) => store(model, { example: offered[i][0] }) });
  let offered = [];
  const pad = padPart((data) => own.send(data, "The drawing", true));
  const draw = button("Draw a digit", () => {
    if (!model.widget_manager) return own.send();
    pad.hidden = !pad.hidden;
    draw.setAttribute("aria-expanded", String(!pad.hidden));
  });
  draw.setAttribute("aria-expanded", "false");
  const file = fileButton(own.upload);
  const live = cameraButton(house, {
    size: [SIDE, SIDE],
    onFrame: (canvas, isOn) =>
      own.keep(canvas, "your camera", "# a picture of your camera, which stayed in the page", isOn),
    onStill: (canvas) => own.keep(canvas, "your picture", "# a picture of your camera, which stayed in the page"),
  });
  const sent = cameraButton(house, {
    size: [SIDE, SIDE], kernel: true,
    onStill: (canvas) => own.send(canvas.toDataURL("image/png").split(",")[1], "The picture", false),
  });
  const buttons = element("div", { class: "cw-controls" }, thumbs.node, draw, file.node, live.node, sent.node);
  const node = element("div", {}, styled(buttons, { marginTop: "0" }), pad);
  const show = async () => {
    const { source, own: taken, place } = sceneOf(model, mine);
    fill(sourceChoice, model.get("sources").map(({ key, title }) => [key, title]), source.key);
    draw.hidden = !source.draw;
    if (!source.draw) pad.hidden = true;
    file.node.hidden = !source.upload;
    live.node.hidden = source.upload !== "page";
    sent.node.hidden = source.upload !== "kernel";
    if (live.node.hidden) live.stop();
    if (sent.node.hidden) sent.stop();
    offered = [...source.examples.map((example, i) => [i, example]), ...(taken ? [[OWN, taken]] : [])];
    const images = await Promise.all(offered.map(([, example]) => pictureOf(example)));
    thumbs.show(offered.map(([index, example], i) => ({
      key: index === OWN ? source.key : example, title: example.label, image: images[i],
      label: index === OWN ? example.label : `Picture ${index + 1}: ${example.label}`,
    })), offered.findIndex(([index]) => index === place));
  };
  return { node, sourceChoice, show };
}

/** The words of the status line: the channel in focus, the answer, and how to unpin. */
function wordsOf(shown, model, tiles) {
  if (!shown) return ["The network runs for the first time."];
  const { shown: stage, source, before, now, by } = shown;
  const edits = model.get("edits");
  const channel = Math.min(model.get("channel"), stage.channels - 1);
  const own = stage.gates[channel].toFixed(2);
  const gate = channel in edits ? `gate ${edits[channel].toFixed(2)} by hand, ${own} by the network` : `gate ${own}`;
  const order = model.get("order");
  const rank = order === "channel" ? "" : ` (${ordinal(tiles.rank(channel))} of ${stage.channels} by ${order})`;
  const first = `Channel ${channel + 1} of ${blockName(source.stages[shown.stage])}${rank}: `
    + `mean ${stage.means[channel].toFixed(3)}, ${gate}.`;
  const count = Object.keys(edits).length === 1 ? "1 gate moved" : `${Object.keys(edits).length} gates moved`;
  if (by === "nobody") {
    return [{ aside: first }, model.widget_manager ? `${count}: the notebook is asked for the answer.`
      : `${count}: the answer needs a running notebook; here there is no kernel to ask.`, tiles.hint()];
  }
  if (!source.classes.length) {
    const { kept, overlap } = maskNumbers(before, now);
    const keeps = `he mask keeps ${percent(kept)} of the picture.`;
    if (by === "network") return [first, { aside: `T${keeps}` }, tiles.hint()];
    const overlaps = `It overlaps ${percent(overlap)} with the untouched one.`;
    return [{ aside: first }, `${count}: t${keeps}`, { aside: overlaps }, tiles.hint()];
  }
  const said = (values) => `${source.classes[largest(values)]} with ${percent(values[largest(values)])}`;
  if (by === "network") return [first, { aside: `The network answers ${said(before)}.` }, tiles.hint()];
  const was = `Before it was ${said(before)}.`;
  return [{ aside: first }, `${count}: the answer is ${said(now)}.`, { aside: was }, tiles.hint()];
}

/** Says the status line: at once, or, while a slider moves, when the hand rests; the slider itself says its value. */
function speaker(house, words) {
  let waiting = 0;
  const stop = () => {
    clearTimeout(waiting);
    waiting = 0;
  };
  house.endings.push(stop);
  const tell = (quiet = false) => { if (!waiting) house.say(words(), { quiet }); };
  const later = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { stop(); tell(); }, 400);
  };
  return { tell, later, now: (quiet) => { stop(); tell(quiet); } };
}

async function render({ model, el }) {
  const house = frame({ model, el, name: "channel-gates" });
  const mine = new Map();
  const seen = { example: null, stages: {}, input: null };
  const foreseen = new WeakMap(); // what the network made of examples that are not shown yet
  const networkOf = runner(house);
  let shown = null; // the last scene that was computed: all that is drawn
  let answered = model.get("answer") ?? {}; // the kernel's last answer with probabilities
  const now = () => shown;
  const edit = editor(model, house);
  const voice = speaker(house, () => wordsOf(shown, model, tiles));
  const refresh = latest(async () => {
    house.stage.setAttribute("aria-busy", "true");
    await null; // another view stores one trait after the other: what is shown follows once all of them are there
    const scene = sceneOf(model, mine);
    try {
      Object.assign(seen, foreseen.get(scene.example));
      foreseen.delete(scene.example);
      const found = await look(scene, networkOf, seen);
      const result = await resultOf(scene, found, networkOf, seen, answered);
      shown = { ...scene, ...found, ...result };
      if (result.by === "nobody" && model.widget_manager && !sameQuestion(failed, questionOf(scene))) ask(questionOf(scene));
      draw();
    } catch (error) {
      house.fail(error.message);
    }
    house.stage.setAttribute("aria-busy", "false");
  });
  let failed = {}; // the question that the kernel could not answer: it is not asked again and again
  const ask = asker(model, house, (answer, asked) => {
    if (asked.want === "probabilities") return;
    if (asked.want === "picture") answered = {}; // what was answered of the picture before
    const stages = model.get("sources").find(({ key }) => key === answer.source).stages.length;
    const other = answer.source !== model.get("source");
    store(model, { source: answer.source, example: answer.example, ...(other ? { stage: stages - 1, edits: {} } : {}) });
    refresh();
  });
  const takeSource = (key) => {
    const source = model.get("sources").find((one) => one.key === key);
    if (source.examples.length) return store(model, { source: key, example: 0, stage: source.stages.length - 1, edits: {} });
    pictured.show();
    if (model.widget_manager) {
      house.say(`Asking the notebook for ${source.title}: ${source.pending}.`);
      ask({ want: "source", source: key });
    } else house.say(`This network (${source.title}) needs a running notebook: ${source.pending}.`, { again: true });
  };
  /** Let the network look at an example that is to be shown. */
  const foresee = async (example) => {
    const coming = { example: null, stages: {}, input: null };
    await look({ ...sceneOf(model, mine), example }, networkOf, coming);
    foreseen.set(example, coming);
  };
  const own = ownPictures(house, model, mine, ask, foresee, refresh);
  const pictured = picturesPart(house, model, mine, own, takeSource);
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
    voice.now(quiet);
  };
  const tiles = tilesPart(house, model, now, edit, point, () => wordsOf(shown, model, tiles));
  const channel = channelPart(house, model, now, edit, voice);
  const [mask, classes] = [maskPart(house), classesPart()];
  house.stage.before(pictured.node);
  styled(pictured.node, { marginBottom: "12px" });
  instrument(house, element("div", {}, mask.node, classes.node, channel.node), stageChoice.node, tiles.node);
  house.controls.append(pictured.sourceChoice.node, ...looks.nodes);

  const draw = () => {
    if (!shown || house.root.clientWidth === 0) return;
    const { source, stage, by } = shown;
    fill(stageChoice, source.stages.map((name, i) =>
      [String(i), `${i + 1}. ${blockName(name)}: ${source.sizes[i][0]} maps of ${source.sizes[i].slice(1).join(" × ")}`]),
    String(stage));
    looks.refresh();
    mask.node.hidden = source.classes.length > 0;
    classes.node.hidden = !mask.node.hidden;
    (mask.node.hidden ? classes : mask).draw(shown);
    tiles.draw();
    channel.draw();
    house.stage.dataset.by = by;
    pictured.show();
    voice.tell();
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
  house.listen("answer", () => {
    const answer = model.get("answer");
    if (answer.probabilities) {
      answered = answer;
      refresh();
    } else if (answer.failed && shown?.by === "nobody") {
      failed = questionOf(shown);
      house.say("The notebook could not answer; its message stands below.");
    }
  });
  house.actions.append(
    copyButton(house, () => codeFor(shown, model.get("edits"))),
    saveButton(house, "channel-gates.png", { lines: () => wordsOf(shown, model, tiles) }),
  );
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
