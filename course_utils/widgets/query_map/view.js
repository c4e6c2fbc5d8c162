import { button, byTouch, choice, fill, keyWords, slider, store, traitControls } from "../page/bind.js";
import { halved, ownPictures } from "../page/camera.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import {
  capital, cellOf, decode, dot, largest, listed, number, once, percent, placeInWords, sharedBy, softmax, spreadInWords,
} from "../page/maths.js";
import { inWorker } from "../page/network.js";
import {
  blend, drawArcs, drawHeat, fitPanel, frameCell, layPicture, middleOf, paintImage, pixelsOf,
} from "../page/paint.js";
import { instrument, more, note, pictureButtons, picturePanel, pointPanel, row, scaleBar } from "../page/panels.js";
import { bindView } from "../page/pointing.js";

const TABLE = "magma";
const SHADE = 0.82;
const OWN = "own"; // the source that the learner's picture is
const SIDE = 512; // of that picture; the network is given its means of two by two
const MOST_LAYERS = 13;
const COLDEST = -2; // powers of two: the ends of the temperature's slider
const HOTTEST = 6;

/** All weights of an example, one row for each query: softmax over the keys of query . key / temperature. */
function weighAll({ query, key, width, queries, keys }, temperature) {
  return Array.from({ length: queries }, (_, i) => softmax(Float64Array.from({ length: keys }, (__, k) =>
    dot(query.values, key.values, width, i * width, k * width) / temperature)));
}

/** What every position gathers, three channels each. */
function gather(rows, value) {
  const gathered = new Float64Array(3 * rows.length);
  rows.forEach((weights, i) => {
    for (let k = 0; k < weights.length; k++) {
      for (let c = 0; c < 3; c++) gathered[3 * i + c] += weights[k] * value[3 * k + c];
    }
  });
  return gathered;
}

/** The value that fills a colour, for the input as for the output at gamma 1, at the source's own temperature. */
function fullColour(example, temperature) {
  const gathered = gather(weighAll(example, temperature), example.value.values);
  const input = example.shown.values;
  const size = (valueOf) => Math.sqrt(input.reduce((sum, _, i) => sum + valueOf(i) ** 2, 0) / input.length);
  return Math.max(4 * size((i) => input[i]), 2 * size((i) => input[i] + gathered[i])) || 1;
}

/** The positions that a stack of 3x3 convolutions reaches from a position: [top, left, bottom, right], inclusive. */
function reach([down, across], layers, { rows, columns }) {
  return [
    Math.max(0, down - layers), Math.max(0, across - layers),
    Math.min(rows - 1, down + layers), Math.min(columns - 1, across + layers),
  ];
}

/** The share of a row of weights inside a box of the query's grid; a pooled key counts by its part inside. */
function shareInside(weights, [top, left, bottom, right], { rows, columns, keyRows, keyColumns }) {
  const overlap = (index, keys, cells, first, last) => {
    const size = cells / keys;
    return Math.max(0, Math.min((index + 1) * size, last + 1) - Math.max(index * size, first)) / size;
  };
  let share = 0;
  for (let k = 0; k < weights.length; k++) {
    const down = overlap(Math.floor(k / keyColumns), keyRows, rows, top, bottom);
    if (down > 0) share += weights[k] * down * overlap(k % keyColumns, keyColumns, columns, left, right);
  }
  return share;
}

const layersInWords = (count) => `${count} layer${count > 1 ? "s" : ""} of 3×3`;

const openExample = once((example) => {
  const [query, key, value, shown] = ["query", "key", "value", "shown"].map((name) => {
    const array = example[name] ?? example.query;
    return array.values ? array : decode(array);
  });
  const [rows, columns, width] = query.shape;
  const [keyRows, keyColumns] = key.shape;
  return {
    query, key, value, shown, rows, columns, width, keyRows, keyColumns,
    queries: rows * columns, keys: keyRows * keyColumns,
    picture: example.canvas ?? paintImage(decode(example.image)),
  };
});

/**
 * What the traits choose, in numbers. `sources()`, the learner's `own` last; `source()`, `example()`; `shelf()`, the
 * source whose pictures are offered; `compute()` makes `now` again where another example or temperature is chosen: the
 * example's numbers, `all` weights, what is `gathered` with them, and the `mean` weight of each key.
 */
function attention(model) {
  const made = { own: null, now: {} };
  let shelf = null; // the key of the source before one's own picture
  made.sources = () => [...model.get("sources"), ...(made.own ? [made.own] : [])];
  made.named = (key) => made.sources().find((one) => one.key === key) ?? made.sources()[0];
  made.source = () => made.named(model.get("source"));
  made.shelf = () => made.named(made.source() === made.own ? shelf : (shelf = made.source().key));
  made.example = () => made.source().examples[Math.min(model.get("example"), made.source().examples.length - 1)];
  made.compute = () => {
    const [shown, temperature] = [openExample(made.example()), model.get("temperature")];
    if (made.now.shown === shown && made.now.temperature === temperature) return;
    shown.unit ??= fullColour(shown, made.source().temperature);
    const all = weighAll(shown, temperature);
    const mean = new Float64Array(shown.keys);
    for (const weights of all) for (let k = 0; k < weights.length; k++) mean[k] += weights[k] / all.length;
    made.now = { ...shown, shown, temperature, all, mean, gathered: gather(all, shown.value.values) };
  };
  made.weightsOf = (query) => (query ? made.now.all[query[0] * made.now.columns + query[1]] : made.now.mean);
  return made;
}

const spread = (weights) => `${capital(spreadInWords(sharedBy(weights), weights.length))}.`;

/** The main picture: the weights of the query over the picture, with their scale. */
function weightsPart(numbers) {
  const made = pointPanel(keyWords());
  const { canvas } = made;
  const scale = scaleBar("Weight of a key");
  const draw = (query, pinned) => {
    const { rows, columns, keyRows, keyColumns, picture } = numbers.now;
    const weights = numbers.weightsOf(query);
    const range = { table: TABLE, low: 0, high: weights[largest(weights)] };
    const context = drawHeat(canvas, picture, weights, [keyRows, keyColumns], range);
    const from = query && middleOf(canvas, [rows, columns], query);
    if (query) drawArcs(context, from, weights, [keyRows, keyColumns], pixelsOf(canvas));
    frameCell(canvas, [rows, columns], query, pinned);
    scale.set(range);
    const what = query ? `What the query at ${placeInWords(query)}` : "The mean of what all queries";
    made.rename(`${what} ${query ? "attends" : "attend"} to`);
    made.remark(spread(weights));
    canvas.dataset.weights = listed(weights);
  };
  return { ...made, scale, draw };
}

/** What a stack of convolutions reaches from the query; the rest of the picture is dark. */
function reachPart(model, numbers) {
  const made = picturePanel("", { role: "img" });
  const count = () => layersInWords(model.get("layers"));
  const words = (query) => {
    const box = reach(query, model.get("layers"), numbers.now);
    const inside = (box[2] - box[0] + 1) * (box[3] - box[1] + 1);
    const share = shareInside(numbers.weightsOf(query), box, numbers.now);
    return `${inside} of ${numbers.now.queries} positions, with ${percent(share)} of the weight`;
  };
  const draw = (query, pinned) => {
    const { rows, columns, picture } = numbers.now;
    const { canvas } = made;
    const context = layPicture(canvas, picture);
    made.rename(`In reach of ${count()}`);
    made.remark(query ? words(query) : "No query yet: all of the picture");
    let label = "The picture; with a query, what convolutions do not reach is dark";
    if (query) {
      const [top, left, bottom, right] = reach(query, model.get("layers"), numbers.now);
      const [wide, tall] = [canvas.width / columns, canvas.height / rows];
      const shade = new Path2D();
      shade.rect(0, 0, canvas.width, canvas.height);
      shade.rect(left * wide, top * tall, (right - left + 1) * wide, (bottom - top + 1) * tall);
      context.fillStyle = `rgb(0 0 0 / ${SHADE})`;
      context.fill(shade, "evenodd");
      label = `Rows ${top + 1} to ${bottom + 1} and columns ${left + 1} to ${right + 1} are in reach of ${count()}; `
        + "the rest is dark";
    }
    frameCell(canvas, [rows, columns], query, pinned);
    canvas.setAttribute("aria-label", label);
  };
  return { ...made, draw, words: (query) => `In reach of ${count()}: ${words(query)}.` };
}

/** The output: the input plus gamma times what was gathered, three channels as colours. */
function outputPart(model, numbers) {
  const made = picturePanel("", { role: "img" }, note("Three channels, as red, green and blue"));
  const draw = (query, pinned) => {
    const { rows, columns, queries, shown, gathered } = numbers.now;
    const factor = model.get("gamma");
    const colours = Uint8ClampedArray.from({ length: 3 * queries }, (_, i) =>
      127.5 + (127.5 * (shown.shown.values[i] + factor * gathered[i])) / shown.unit);
    const { canvas } = made;
    const map = paintImage({ shape: [rows, columns, 3], values: colours });
    blend(canvas.getContext("2d"), map, [0, 0, canvas.width, canvas.height]);
    frameCell(canvas, [rows, columns], query, pinned);
    made.rename(`Output: x ${factor < 0 ? "−" : "+"} ${Math.abs(factor).toFixed(2)} · W_O c`);
    canvas.setAttribute("aria-label",
      `The output at gamma ${factor.toFixed(2)}, three channels as red, green and blue`);
  };
  return { ...made, draw };
}

/** The controls: source, temperature with its two known values, gamma, and layers. `refresh()` follows the traits. */
function controlsPart(house, model, numbers, show) {
  const sources = choice({ label: "Features of", options: [], value: "", onChange: (key) => show(key, 0) });
  const heatInWords = (value) => {
    const { width } = numbers.now;
    return `${number(value)}${Math.abs(value - Math.sqrt(width)) < 1e-6 && width > 1 ? ` = √${width}` : ""}`;
  };
  const { controls: { layers, gamma, temperature }, refresh: follow } = traitControls(model, {
    layers: [slider, { label: "Layers of 3×3", min: 1, max: MOST_LAYERS, step: 1, show: String }],
    gamma: [slider, { label: "γ (gamma)", min: 0, max: 1, step: 0.01, show: () => model.get("gamma").toFixed(2) }],
    temperature: [slider, {
      label: "Temperature", min: COLDEST, max: HOTTEST, step: 0.05, show: () => heatInWords(model.get("temperature")),
      read: Math.log2, write: (power) => Math.round(1000 * 2 ** power) / 1000,
    }],
  });
  const plain = button("as SAGAN: 1", () => store(model, { temperature: 1 }));
  const scaled = button("", () => store(model, { temperature: Math.sqrt(numbers.now.width) }));
  const heat = element("span", { class: "cw-control cw-wrap" }, temperature.node, plain, scaled);
  house.controls.append(sources.node, layers.node, gamma.node, heat);
  const about = element("p", { class: "cw-caption" });
  more(house, "Where queries, keys and values come from", about);
  const refresh = () => {
    const source = numbers.source();
    fill(sources, numbers.sources().map(({ key, title }) => [key, title]), source.key);
    sources.node.hidden = numbers.sources().length < 2;
    about.textContent = source.about;
    scaled.textContent = `as a transformer: √${numbers.now.width}`;
    scaled.hidden = numbers.now.width === 1;
    gamma.input.min = Math.min(0, source.gamma);
    gamma.input.max = Math.max(1, Math.ceil(100 * source.gamma) / 100);
    follow();
  };
  return { refresh };
}

/** The learner's own pictures, with features made in this page; `follow()` takes up a further one. */
function ownPart(house, model, numbers, show, follow) {
  const { graph, weights, code, ...words } = model.get("network");
  if (!graph) return;
  let worker = null;
  house.endings.push(() => worker?.end());
  const take = async (canvas, { label, code: opening }, isOn = null) => {
    worker ??= inWorker(graph, weights);
    const { output: { shape: [places, width], data } } = await worker.run(halved(canvas));
    if (isOn?.() === false) return;
    const side = Math.sqrt(places);
    const features = { shape: [side, side, width], values: data };
    const colours = { shape: [side, side, 3], values: data.filter((_, i) => i % width < 3) };
    const example = { label, canvas, query: features, value: colours, shown: colours, code: `${opening}\n${code}` };
    numbers.own = { key: OWN, ...words, examples: [example], isLive: Boolean(isOn) };
    if (model.get("source") === OWN) follow();
    else show(OWN, 0);
  };
  const own = ownPictures(house, [SIDE, SIDE], take);
  house.controls.prepend(...own.nodes);
  house.listen("source", () => { if (model.get("source") !== OWN) own.stop(); });
}

function codeFor(model, numbers, query) {
  const { rows, columns, keyRows, keyColumns, width } = numbers.now;
  const [down, across] = query ?? [Math.floor(rows / 2), Math.floor(columns / 2)];
  const temperature = model.get("temperature");
  const divisor = temperature !== 1 && temperature === Math.sqrt(width) ? `${width} ** 0.5` : String(temperature);
  return [
    numbers.example().code,
    "",
    `scores = query @ key.T / ${divisor}  # (${rows * columns}, ${keyRows * keyColumns})`,
    "weights = scores.softmax(dim=1)  # over the keys",
    `output = x + ${model.get("gamma")} * (weights @ value)`,
    `row, column = ${down}, ${across}  # of the query, counted from 0`,
    `print(weights[row * ${columns} + column].view(${keyRows}, ${keyColumns}))  # the map shown`,
  ].join("\n");
}

function render({ model, el }) {
  const house = frame({ model, el, name: "query-map" });
  const numbers = attention(model);
  const weights = weightsPart(numbers);
  const reached = reachPart(model, numbers);
  const output = outputPart(model, numbers);
  const parts = [weights, reached, output];
  /** Another picture: of another source with what that begins with. */
  const show = (key, example) => {
    const { temperature, gamma } = numbers.named(key);
    store(model, { source: key, example, query: [], ...(key === model.get("source") ? {} : { temperature, gamma }) });
  };
  const thumbs = pictureButtons({
    label: "Pictures", side: 36,
    onPress: (i) => (i < numbers.shelf().examples.length ? show(numbers.shelf().key, i) : show(OWN, 0)),
  });
  const made = note();
  instrument(house, weights.node, row(reached.node, output.node), weights.scale.node, thumbs.node, made);
  numbers.compute();
  const controls = controlsPart(house, model, numbers, show);
  const follow = () => {
    numbers.compute();
    controls.refresh();
  };

  const describe = (focus) => {
    const query = focus.get();
    const shares = numbers.weightsOf(query);
    const top = largest(shares);
    const most = `${percent(shares[top])}, to ${placeInWords(cellOf(top, numbers.now.keyColumns))}`;
    if (!query) {
      return [`No query yet: all ${numbers.now.queries} on average give most weight, ${most}.`,
        byTouch() ? "Touch a position." : "Point at a position."];
    }
    return [`Query at ${placeInWords(query)}: it gives most weight, ${most}.`,
      { heard: `${spread(shares)} ${reached.words(query)}` }, focus.hint()];
  };
  const drawThumbs = () => {
    made.textContent = numbers.source() === numbers.own ? numbers.own.made : "";
    const examples = [...numbers.shelf().examples, ...(numbers.own?.examples ?? [])];
    thumbs.node.hidden = examples.length < 2;
    thumbs.show(examples.map((example) => ({
      key: example.canvas ? OWN : example, label: example.label, image: openExample(example).picture,
    })), examples.indexOf(numbers.example()));
  };
  const view = bindView({
    model, house, describe, follow, canvases: parts.map(({ canvas }) => canvas),
    traits: ["sources", "source", "example", "temperature", "gamma", "layers"],
    rows: () => numbers.now.rows, columns: () => numbers.now.columns,
    isQuiet: () => numbers.source().isLive, // nobody could listen to what all frames say
    draw() {
      const { height, width } = numbers.now.picture;
      for (const part of parts) fitPanel(part, height / width);
      drawThumbs();
    },
    mark: (focus) => { for (const part of parts) part.draw(focus.get(), focus.isPinned()); },
    code: (focus) => codeFor(model, numbers, focus.get()),
  });
  ownPart(house, model, numbers, show, () => {
    follow();
    view.show();
  });
  return house.end;
}

export default { render };
