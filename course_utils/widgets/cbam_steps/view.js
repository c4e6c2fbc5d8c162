import { button, choice, gestures, keyWords, slider, store, toggle, traitControls } from "../page/bind.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import {
  blockName, capital, cellOf, decode, extent, largest, listed, number, once, percent, placeInWords,
} from "../page/maths.js";
import { fitPanel, frameCell, layPicture, outline, paintImage, paintMap, paintTint, pixelsOf } from "../page/paint.js";
import { bars, instrument, note, panel, pictureChoice, picturePanel, scaleBar } from "../page/panels.js";
import { bindView } from "../page/pointing.js";
import { openNetwork, poolChannels, UNTOUCHED } from "./blocks.js";

const MAPS = "viridis";
const MASKS = "magma";
const TALLEST = 320; // of the main picture
const SWITCHES = ["channel_mean", "channel_max", "spatial_max", "spatial_mean"];
const STEPS = { // the number of the step in which each thing is made
  "channel first": { x: 1, gates: 2, max: 3, mean: 3, mask: 4, out: 5 },
  "spatial first": { x: 1, max: 2, mean: 2, mask: 3, gates: 4, out: 5 },
};
const IN_WORDS = {
  x: "What the block is given: the strongest channel at every position",
  max: "The largest value over the channels at every position",
  mean: "The mean over the channels at every position",
  mask: "The spatial mask",
  out: "What the block gives: the strongest channel at every position",
};

const two = (value) => value.toFixed(2);
const short = (value) => (Math.abs(value) < 1e-4 ? "0" : String(Number(value.toPrecision(2))));
const imageOf = once(({ image }) => paintImage(decode(image)));

/** What is shown, computed from the traits; the pass of each picture through the network as trained is kept. */
function laboratory(model) {
  const network = openNetwork(model.get("stages"), model.get("head"));
  const pass = once(({ image }) => network.run(0, network.see(image), UNTOUCHED));
  return () => {
    const [picture, stage] = [model.get("pictures")[model.get("picture")], model.get("stage")];
    const own = pass(picture);
    const use = Object.fromEntries(Object.keys(UNTOUCHED).map((name) => [name, model.get(name)]));
    const isTouched = Object.keys(UNTOUCHED).some((name) => use[name] !== UNTOUCHED[name]);
    const before = own.seen[stage];
    const now = isTouched ? network.run(stage, before.x, use) : own;
    const block = now.seen[stage];
    const part = network.stages[stage];
    const [channels, ...size] = before.x.shape;
    const strongest = (x) => poolChannels(x).data.subarray(0, size[0] * size[1]);
    return {
      picture, part, channels, before, block, isTouched, size, step: model.get("step"), steps: STEPS[use.order],
      half: part.spatial.padding[0], own: own.probabilities, now: now.probabilities,
      maps: { x: strongest(before.x), max: block.max, mean: block.mean, mask: block.mask, out: strongest(block.out) },
    };
  };
}

/** A frame round the places that lie at most `half` away from one. */
function frameWindow(canvas, [height, width], [row, column], half, pinned) {
  const [wide, high] = [canvas.width / width, canvas.height / height];
  const [top, bottom] = [Math.max(0, row - half) * high, Math.min(height, row + half + 1) * high];
  const [left, right] = [Math.max(0, column - half) * wide, Math.min(width, column + half + 1) * wide];
  outline(canvas.getContext("2d"), left, top, right - left, bottom - top, pixelsOf(canvas), pinned);
}

/** Black where a mask is closed, clear where it is open. */
const shade = (mask, [height, width]) =>
  paintTint([0, 0, 0], (i) => 150 * (1 - mask[i]), element("canvas", { width, height }));

/** The picture, darker where the spatial mask is closed, and below it the others to choose from. */
function mainPicture(model) {
  const view = picturePanel("", { role: "application" });
  const thumbs = pictureChoice(model, 25, imageOf);
  view.node.append(thumbs.node);
  const draw = ({ picture, step, steps }) => {
    const image = imageOf(picture);
    view.rename(`${capital(picture.label)}${steps.mask <= step ? "; dark: spatial mask closed" : ""}`);
    view.canvas.setAttribute("aria-label", `${picture.label}. ${keyWords("over the positions")}`);
    fitPanel(view, image.height / image.width, TALLEST);
    thumbs.refresh();
  };
  const mark = ({ picture, block, size, step, steps }, query, pinned) => {
    const context = layPicture(view.canvas, imageOf(picture));
    const { width, height } = view.canvas;
    if (steps.mask <= step) context.drawImage(shade(block.mask, size), 0, 0, width, height);
    frameCell(view.canvas, size, query, pinned);
  };
  return { ...view, draw, mark };
}

/** One bar for each channel, from the top; the trained network's gate as a mark where a switch has moved it. */
function drawGates(canvas, ink, gates, own) {
  const scale = pixelsOf(canvas);
  const context = canvas.getContext("2d");
  context.fillStyle = ink("sunken");
  context.fillRect(0, 0, canvas.width, canvas.height);
  const step = canvas.height / gates.length;
  gates.forEach((gate, c) => {
    context.fillStyle = ink("run-0");
    context.fillRect(0, c * step, canvas.width * gate, Math.max(1, step - scale));
    if (Math.abs(gate - own[c]) < 1e-3) return;
    context.fillStyle = ink("ink");
    context.fillRect(canvas.width * own[c] - scale, c * step, 2 * scale, Math.max(1, step - scale));
  });
}

/** The tiles: everything that the block computes, in the order in which it does. */
function strip(house) {
  const names = Object.keys(STEPS["channel first"]);
  const tiles = Object.fromEntries(names.map((name) => {
    const view = picturePanel("", { role: "img" });
    const range = note();
    view.node.append(range);
    return [name, { ...view, range }];
  }));
  const mapNames = names.filter((name) => name !== "gates");
  const node = element("div", { class: "cw-cbam-strip" });
  const scales = { maps: scaleBar("Values of the maps"), mask: scaleBar("Spatial mask") };
  const bases = {};
  const draw = ({ maps, size: [height, width], steps, step, channels, block, before }) => {
    node.replaceChildren(...Object.keys(steps).map((name) => tiles[name].node));
    const most = { table: MAPS, low: 0, high: extent(maps.x).high || 1 };
    const ranges = {
      x: most, max: most, out: most, mean: { ...most, high: extent(maps.mean).high || 1 },
      mask: { table: MASKS, low: 0, high: 1 },
    };
    const words = {
      x: "x", gates: `${channels} gates`, max: "max", mean: "mean, own scale", mask: "spatial mask", out: "output",
    };
    for (const name of names) {
      const { canvas, range, rename, node: tile } = tiles[name];
      rename(`${steps[name]} · ${words[name]}`);
      tile.style.visibility = steps[name] > step ? "hidden" : "visible";
      fitPanel(tiles[name], height / width);
      const { low, high } = extent(maps[name] ?? block.gates);
      range.textContent = `${short(low)} to ${short(high)}`;
      canvas.setAttribute("aria-label", `${IN_WORDS[name] ?? `${channels} channel gates`}: ${range.textContent}`);
      if (maps[name]) bases[name] = paintMap(maps[name], height, width, ranges[name]);
    }
    drawGates(tiles.gates.canvas, house.ink, block.gates, before.gates);
    scales.maps.set(most);
    scales.mask.set(ranges.mask);
    tiles.mask.canvas.dataset.mask = listed(block.mask.slice(0, 400));
    tiles.gates.canvas.dataset.gates = listed(block.gates);
  };
  const mark = ({ size, half }, query, pinned) => {
    for (const name of mapNames) {
      const { canvas } = tiles[name];
      layPicture(canvas, bases[name]);
      if (!query) continue;
      if (name === "max" || name === "mean") frameWindow(canvas, size, query, half, pinned);
      else frameCell(canvas, size, query, pinned);
    }
  };
  const canvases = mapNames.map((name) => tiles[name].canvas);
  return { node, canvases, scales: [scales.maps.node, scales.mask.node], draw, mark };
}

/** What the network answers, and below it the switches that change it. */
function answer(model, order) {
  const chances = bars({ label: "Class probabilities" });
  chances.node.style.setProperty("--cw-bar-names", "16px");
  chances.node.classList.add("cw-halves");
  const view = panel("Class probabilities", chances.node);
  const { controls: toggles, refresh } = traitControls(model, Object.fromEntries(
    SWITCHES.map((name) => [name, [toggle, { label: name.split("_")[1] }]])));
  for (const [name, { input }] of Object.entries(toggles)) {
    const [part, pool] = name.split("_");
    input.setAttribute("aria-label", `${pool} in the ${part} part`);
  }
  const group = (words, names) => element("div", { class: "cw-controls", role: "group", "aria-label": words },
    element("span", {}, words), ...names.map((name) => toggles[name].node));
  const undo = button("Back to CBAM", () => {
    order.focus(); // a button that disables itself would lose the focus to the page
    store(model, UNTOUCHED);
  });
  const groups = [group("Channel pools", SWITCHES.slice(0, 2)), group("Spatial pools", SWITCHES.slice(2))];
  groups[1].append(undo);
  const draw = ({ now, own, isTouched }) => {
    refresh();
    const best = largest(now);
    chances.show(now.map((value, k) => (
      { name: String(k), value, before: isTouched ? own[k] : null, chosen: k === best })));
    view.rename(`Class probabilities${isTouched ? " (line: as trained; change in points)" : ""}`);
    undo.disabled = !isTouched;
  };
  return { nodes: [view.node, ...groups], draw };
}

function controlsOf(model) {
  const { controls, nodes, refresh } = traitControls(model, {
    step: [slider, { label: "Step", min: 1, max: 5, step: 1, show: (value) => `${value} of 5` }],
    stage: [choice, {
      label: "Block of", onChange: (value) => store(model, { stage: Number(value), query: [] }),
      options: model.get("stages").map(({ name, convolution: { bias } }, i) =>
        [i, `${blockName(name)}: ${bias.shape[0]} channels`]),
    }],
    order: [choice, {
      label: "Order", options: [["channel first", "channel, then spatial"], ["spatial first", "spatial, then channel"]],
    }],
  });
  return { nodes, order: controls.order.input, draw: refresh };
}

function describe({ before, block, maps, own, now, part, isTouched, size: [, width] }, query, hint) {
  const name = capital(blockName(part.name));
  const i = query ? query[0] * width + query[1] : largest(block.mask);
  const place = placeInWords(cellOf(i, width));
  const was = isTouched ? ` (CBAM's own: ${two(before.mask[i])})` : "";
  const { low, high } = extent(block.gates);
  const words = query
    ? [`${name}, ${place}:`,
      { aside: `max ${number(block.max[i])} and mean ${number(block.mean[i])} over the channels;` },
      `its mask here is ${two(block.mask[i])}${was}.`]
    : [`${name}: channel gates from ${two(low)} to ${two(high)};`, `spatial mask up to ${two(block.mask[i])}.`,
      { aside: `It is highest in ${place}.` }];
  const said = (values) => `${largest(values)} (${percent(values[largest(values)])})`;
  const then = isTouched ? `With this block changed the network answers ${said(now)}; as trained, ${said(own)}.`
    : `The network answers ${said(now)}.`;
  const strongest = query ? `The strongest channel is ${number(maps.x[i])} before the block and `
    + `${number(maps.out[i])} after it.` : "";
  return [...words, { aside: then }, hint, { heard: strongest }];
}

function render({ model, el }) {
  const house = frame({ model, el, name: "cbam-steps" });
  const look = laboratory(model);
  let shown = look();
  const controls = controlsOf(model);
  const main = mainPicture(model);
  const tiles = strip(house);
  const answers = answer(model, controls.order);
  const hint = note(`${gestures()} The frame in max and mean holds what one spatial gate is made from; `
    + "x and output show the strongest channel.", "cw-keys");
  const foot = element("div", { class: "cw-map-foot cw-cbam-foot" }, ...tiles.scales, hint);
  const steps = element("div", { class: "cw-controls" }, ...controls.nodes);
  instrument(house, main.node, ...answers.nodes, steps);
  house.stage.append(tiles.node, foot);

  bindView({
    model, house, canvases: [main.canvas, ...tiles.canvases], rows: () => shown.size[0], columns: () => shown.size[1],
    traits: ["picture", "stage", "step", ...Object.keys(UNTOUCHED)],
    follow() {
      shown = look();
      for (const part of [controls, answers]) part.draw(shown);
    },
    draw() {
      for (const part of [main, tiles]) part.draw(shown);
    },
    mark(focus) {
      for (const part of [main, tiles]) part.mark(shown, focus.get(), focus.isPinned());
    },
    describe: (focus) => describe(shown, focus.get(), focus.hint()),
    lines: (focus) => describe(shown, focus.get(), focus.hint()).slice(0, 4), code: () => codeFor(model, shown),
  });
  return house.end;
}

/** The lines that reproduce what is shown. */
function codeFor(model, { picture, part }) {
  const used = (of) => SWITCHES.filter((name) => name.startsWith(of) && model.get(name))
    .map((name) => JSON.stringify(name.split("_")[1]));
  const tuple = (names) => `(${names.join(", ")}${names.length === 1 ? "," : ""})`;
  return [
    model.get("code"),
    picture.code,
    `block = network.get_submodule(${JSON.stringify(part.name)})`,
    `settings = {"order": ${JSON.stringify(model.get("order"))}, "channel_pools": ${tuple(used("channel"))}, `
      + `"spatial_pools": ${tuple(used("spatial"))}}`,
    "with torch.no_grad(), switched(block, **settings), record_masks(network) as masks:",
    "    probabilities = network(image).softmax(1)",
    "print(probabilities)",
    "",
  ].join("\n");
}

export default { render };
