import { bindFocus, button, choice, slider, store } from "../page/bind.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { decode, number, percent } from "../page/maths.js";
import { blend, fit, outline, paintImage, paintMap } from "../page/paint.js";
import { copyButton, pictureButtons, saveButton, scaleBar } from "../page/panels.js";

const TABLE = "magma";
const OPACITY = 0.6;
const SHADE = 0.82;
const MOST_LAYERS = 13;
const COLDEST = -2; // powers of two: the ends of the temperature's slider
const HOTTEST = 6;
const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

/** softmax over the keys of query . key / temperature, into `row`. */
function weigh(query, offset, key, width, temperature, row) {
  let largest = -Infinity;
  for (let k = 0; k < row.length; k++) {
    let score = 0;
    for (let c = 0; c < width; c++) score += query[offset + c] * key[k * width + c];
    row[k] = score / temperature;
    if (row[k] > largest) largest = row[k];
  }
  let sum = 0;
  for (let k = 0; k < row.length; k++) {
    row[k] = Math.exp(row[k] - largest);
    sum += row[k];
  }
  for (let k = 0; k < row.length; k++) row[k] /= sum;
  return row;
}

/** All weights of an example, one row a query. */
function weighAll({ query, key, width, queries, keys }, temperature) {
  const rows = Array.from({ length: queries }, () => new Float64Array(keys));
  rows.forEach((row, i) => weigh(query.values, i * width, key.values, width, temperature, row));
  return rows;
}

/** What every position gathers, three channels each. */
function gather(rows, value) {
  const gathered = new Float64Array(3 * rows.length);
  rows.forEach((row, i) => {
    for (let k = 0; k < row.length; k++) {
      for (let c = 0; c < 3; c++) gathered[3 * i + c] += row[k] * value[3 * k + c];
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

/** How many keys a row of weights spreads over: the number of equal weights with the same entropy. */
function keysInEffect(row) {
  let entropy = 0;
  for (const weight of row) if (weight > 0) entropy -= weight * Math.log(weight);
  return Math.exp(entropy);
}

/** The positions that a stack of 3x3 convolutions reaches from a position: [top, left, bottom, right], inclusive. */
function reach([row, column], layers, rows, columns) {
  return [
    Math.max(0, row - layers), Math.max(0, column - layers),
    Math.min(rows - 1, row + layers), Math.min(columns - 1, column + layers),
  ];
}

/** The share of a row of weights inside a box of the query's grid; a pooled key counts by its part inside. */
function shareInside(row, [top, left, bottom, right], { rows, columns, keyRows, keyColumns }) {
  const overlap = (index, keys, cells, first, last) => {
    const size = cells / keys;
    return Math.max(0, Math.min((index + 1) * size, last + 1) - Math.max(index * size, first)) / size;
  };
  let share = 0;
  for (let k = 0; k < row.length; k++) {
    const down = overlap(Math.floor(k / keyColumns), keyRows, rows, top, bottom);
    if (down > 0) share += row[k] * down * overlap(k % keyColumns, keyColumns, columns, left, right);
  }
  return share;
}

const inLayers = (count) => `${count} layer${count > 1 ? "s" : ""} of 3×3 convolution`;

function render({ model, el }) {
  const house = frame({ model, el, name: "query-map" });
  const keysOf = "Arrow keys move the query, Enter locks it, Escape releases it.";
  const panel = (words, attributes) => {
    const canvas = element("canvas", attributes);
    const name = element("p", { class: "cw-panel-name" }, words);
    const node = element("div", { class: "cw-panel" }, name, canvas);
    return { node, name, canvas };
  };
  const weightsPanel = panel("Weights of the query over all keys", { role: "application", "aria-label": keysOf });
  const reachPanel = panel("", { role: "img" });
  const outputPanel = panel("", { role: "img" });
  const panels = [weightsPanel, reachPanel, outputPanel];
  weightsPanel.node.append(element("p", { class: "cw-panel-name cw-keys" }, "Keys: arrows, Enter, Escape"));
  house.stage.append(...panels.map(({ node }) => node));
  Object.assign(house.stage.style, { display: "grid", gridTemplateColumns: "repeat(auto-fit, minmax(min(180px, 100%), 1fr))" });
  const scale = scaleBar("Weight of a key");
  const thumbs = pictureButtons({ label: "Pictures", side: 44, onPress: (example) => store(model, { example, query: [] }) });
  const about = element("p", { class: "cw-caption" });
  house.stage.after(element("div", { class: "cw-map-foot" }, scale.node, thumbs.node), about);

  const opened = new Map();
  const open = (example) => {
    if (!opened.has(example)) {
      const [query, key, value, shown] = ["query", "key", "value", "shown"].map((name) => decode(example[name]));
      const [rows, columns, width] = query.shape;
      const [keyRows, keyColumns] = key.shape;
      opened.set(example, {
        query, key, value, shown, rows, columns, width, keyRows, keyColumns,
        queries: rows * columns,
        keys: keyRows * keyColumns,
        picture: paintImage(decode(example.image)),
      });
    }
    return opened.get(example);
  };
  const sourceNow = () => model.get("sources").find(({ key }) => key === model.get("source")) ?? model.get("sources")[0];
  const exampleNow = () => sourceNow().examples[Math.min(model.get("example"), sourceNow().examples.length - 1)];

  let shown; // the example in numbers
  let all; // its weights at this temperature
  let gathered; // what all positions gather with them
  let mean; // the weight of each key, averaged over the queries

  const spread = () => {
    shown = open(exampleNow());
    shown.unit ??= fullColour(shown, sourceNow().temperature);
    all = weighAll(shown, model.get("temperature"));
    gathered = gather(all, shown.value.values);
    mean = new Float64Array(shown.keys);
    for (const row of all) for (let k = 0; k < row.length; k++) mean[k] += row[k] / all.length;
  };
  const rowNow = () => {
    const query = focus.get();
    return query ? all[query[0] * shown.columns + query[1]] : mean;
  };

  const sources = choice({
    label: "Features of", options: [], value: "",
    onChange: (key) => {
      const source = model.get("sources").find((one) => one.key === key);
      store(model, { source: key, example: 0, query: [], temperature: source.temperature, gamma: source.gamma });
    },
  });
  const temperatureWords = (value) => {
    const root = Math.sqrt(shown?.width ?? 0);
    return `${number(value)}${Math.abs(value - root) < 1e-6 && shown.width > 1 ? ` = √${shown.width}` : ""}`;
  };
  const temperature = slider({
    label: "Temperature", min: COLDEST, max: HOTTEST, step: 0.05, value: 0,
    show: () => temperatureWords(model.get("temperature")),
    onInput: (power) => store(model, { temperature: Math.round(1000 * 2 ** power) / 1000 }),
  });
  const plain = button("as SAGAN: 1", () => store(model, { temperature: 1 }));
  const scaled = button("", () => store(model, { temperature: Math.sqrt(shown.width) }));
  const gamma = slider({
    label: "γ (gamma)", min: 0, max: 1, step: 0.01, value: 0, show: () => model.get("gamma").toFixed(2),
    onInput: (value) => store(model, { gamma: value }),
  });
  const layers = slider({
    label: "Layers of 3×3", min: 1, max: MOST_LAYERS, step: 1, value: 1, show: String,
    onInput: (value) => store(model, { layers: value }),
  });
  const heat = element("span", { class: "cw-control" }, temperature.node, plain, scaled);
  heat.style.flexWrap = "wrap";
  house.controls.append(sources.node, heat, gamma.node, layers.node);

  const focus = bindFocus({
    model,
    house,
    describe: () => describe(),
    canvases: panels.map(({ canvas }) => canvas),
    rows: () => shown.rows,
    columns: () => shown.columns,
    onChange: (_, __, quiet) => look(quiet),
  });

  const describe = () => {
    const query = focus.get();
    const row = rowNow();
    let top = 0;
    for (let k = 1; k < row.length; k++) if (row[k] > row[top]) top = k;
    const where = `row ${Math.floor(top / shown.keyColumns)}, column ${top % shown.keyColumns}`;
    const spreads = `spread like ${number(keysInEffect(row))} equal weights over ${row.length} keys`;
    if (!query) {
      return [`No query: the mean weight of each key over all ${shown.queries} queries; largest ${percent(row[top])} at `
        + `${where}. Point at a position.`];
    }
    const box = reach(query, model.get("layers"), shown.rows, shown.columns);
    const within = (box[2] - box[0] + 1) * (box[3] - box[1] + 1);
    return [
      `Query at row ${query[0]}, column ${query[1]}: the largest weight, ${percent(row[top])}, is on ${where}; `
        + `${spreads}.`,
      `In reach of ${inLayers(model.get("layers"))}: ${within} of ${shown.queries} positions, with `
        + `${percent(shareInside(row, box, shown))} of the weights.`,
      focus.hint(),
    ];
  };

  const mark = ({ canvas }) => {
    const query = focus.get();
    if (!query) return;
    const context = canvas.getContext("2d");
    const [across, down] = [canvas.width / shown.columns, canvas.height / shown.rows];
    const pixels = canvas.width / parseFloat(canvas.style.width);
    outline(context, query[1] * across, query[0] * down, across, down, pixels, focus.isLocked());
  };
  const layPicture = ({ canvas }) => {
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = canvas.width < 4 * shown.picture.width;
    context.imageSmoothingQuality = "high";
    context.drawImage(shown.picture, 0, 0, canvas.width, canvas.height);
    return context;
  };
  const drawWeights = () => {
    const row = rowNow();
    let high = 0;
    for (const weight of row) if (weight > high) high = weight;
    const range = { table: TABLE, low: 0, high };
    const { canvas } = weightsPanel;
    const map = paintMap(row, shown.keyRows, shown.keyColumns, range);
    blend(layPicture(weightsPanel), map, [0, 0, canvas.width, canvas.height], OPACITY);
    mark(weightsPanel);
    scale.set(range);
    canvas.dataset.weights = Array.from(row, (weight) => weight.toPrecision(6)).join(",");
  };
  const drawReach = () => {
    const query = focus.get();
    const { canvas, name } = reachPanel;
    const context = layPicture(reachPanel);
    const count = model.get("layers");
    name.textContent = `In reach of ${count} layer${count > 1 ? "s" : ""} of 3×3`;
    const box = query && reach(query, count, shown.rows, shown.columns);
    if (box) {
      const [across, down] = [canvas.width / shown.columns, canvas.height / shown.rows];
      const [x, y] = [box[1] * across, box[0] * down];
      const [wide, tall] = [(box[3] - box[1] + 1) * across, (box[2] - box[0] + 1) * down];
      const shade = new Path2D();
      shade.rect(0, 0, canvas.width, canvas.height);
      shade.rect(x, y, wide, tall);
      context.fillStyle = `rgb(0 0 0 / ${SHADE})`;
      context.fill(shade, "evenodd");
    }
    mark(reachPanel);
    canvas.setAttribute("aria-label", box
      ? `Rows ${box[0]} to ${box[2]} and columns ${box[1]} to ${box[3]} are in reach of ${inLayers(count)}; the rest is dark`
      : "The picture; with a query, what convolutions do not reach is dark");
  };
  const drawOutput = () => {
    const factor = model.get("gamma");
    const colours = Uint8ClampedArray.from({ length: 3 * shown.queries }, (_, i) =>
      127.5 + (127.5 * (shown.shown.values[i] + factor * gathered[i])) / shown.unit);
    const { canvas, name } = outputPanel;
    const context = canvas.getContext("2d");
    const map = paintImage({ shape: [shown.rows, shown.columns, 3], values: colours });
    blend(context, map, [0, 0, canvas.width, canvas.height]);
    mark(outputPanel);
    name.textContent = `Output x ${factor < 0 ? "−" : "+"} ${Math.abs(factor).toFixed(2)} v(o), 3 channels`;
    canvas.setAttribute("aria-label", `The output at gamma ${factor.toFixed(2)}, three channels as red, green and blue`);
  };

  /** The query alone has moved: the weights of all queries are kept. */
  const look = (quiet = false) => {
    if (house.root.clientWidth === 0) return;
    drawWeights();
    drawReach();
    drawOutput();
    house.say(describe(), { quiet });
  };

  const drawThumbs = () => {
    const { examples } = sourceNow();
    thumbs.node.hidden = examples.length < 2;
    const offers = examples.map((example) => ({ key: example, label: example.label, image: open(example).picture }));
    thumbs.show(offers, examples.indexOf(exampleNow()));
  };
  const refresh = () => {
    const source = sourceNow();
    const options = JSON.stringify(model.get("sources").map(({ key, title }) => [key, title]));
    if (sources.input.dataset.options !== options) {
      sources.input.replaceChildren(...JSON.parse(options).map(([key, title]) => element("option", { value: key }, title)));
      sources.input.dataset.options = options;
    }
    sources.node.hidden = model.get("sources").length < 2;
    sources.set(source.key);
    about.textContent = source.about;
    temperature.set(Math.log2(model.get("temperature")));
    scaled.textContent = `as a transformer: √${shown.width}`;
    scaled.hidden = shown.width === 1;
    gamma.input.min = Math.min(0, source.gamma);
    gamma.input.max = Math.max(1, Math.ceil(100 * source.gamma) / 100);
    gamma.set(model.get("gamma"));
    layers.set(model.get("layers"));
  };
  const draw = () => {
    if (house.root.clientWidth === 0) return;
    const ratio = shown.picture.height / shown.picture.width;
    for (const { canvas, node } of panels) fit(canvas, Math.floor(node.clientWidth), ratio);
    drawThumbs();
    look();
  };
  const reload = () => {
    spread();
    focus.take();
    refresh();
    draw();
  };

  reload();
  house.listen("sources", () => {
    opened.clear();
    reload();
  });
  house.listen(["source", "example", "temperature"], reload);
  house.listen("gamma", () => {
    refresh();
    if (house.root.clientWidth === 0) return;
    drawOutput();
  });
  house.listen("layers", () => {
    refresh();
    look();
  });
  house.listen("query", () => {
    focus.take();
    look();
  });
  house.whenShown(draw);

  const compose = () => {
    const pixels = weightsPanel.canvas.width / parseFloat(weightsPanel.canvas.style.width);
    const gap = Math.round(16 * pixels);
    const line = Math.round(20 * pixels);
    const sheet = document.createElement("canvas");
    sheet.width = panels.reduce((sum, { canvas }) => sum + canvas.width + gap, gap);
    sheet.height = 2 * gap + 5 * line + weightsPanel.canvas.height;
    const context = sheet.getContext("2d");
    context.fillStyle = house.ink("surface");
    context.fillRect(0, 0, sheet.width, sheet.height);
    context.fillStyle = house.ink("ink");
    context.textBaseline = "top";
    context.font = `${Math.round(13 * pixels)}px ${FONT}`;
    let x = gap;
    for (const { canvas, name } of panels) {
      context.fillText(name.textContent, x, gap / 2, canvas.width);
      context.drawImage(canvas, x, gap / 2 + line);
      x += canvas.width + gap;
    }
    let y = gap + line + weightsPanel.canvas.height;
    context.imageSmoothingEnabled = false;
    context.drawImage(scale.canvas, gap, y, weightsPanel.canvas.width, Math.round(12 * pixels));
    context.fillText(`${scale.canvas.getAttribute("aria-label")}; temperature ${temperatureWords(model.get("temperature"))}`,
      gap, y + line, sheet.width - 2 * gap);
    y += 2 * line + gap / 2;
    for (const part of describe().slice(0, 2)) { // a picture has no lock
      context.fillText(part, gap, y, sheet.width - 2 * gap);
      y += line;
    }
    return sheet;
  };
  const exactly = (value) => (value !== 1 && value === Math.sqrt(shown.width) ? `${shown.width} ** 0.5` : String(value));
  const code = () => {
    const query = focus.get() ?? [Math.floor(shown.rows / 2), Math.floor(shown.columns / 2)];
    const { rows, columns, keyRows, keyColumns } = shown;
    return [
      exampleNow().code,
      "",
      `scores = query @ key.T / ${exactly(model.get("temperature"))}  # (${rows * columns}, ${keyRows * keyColumns})`,
      "weights = scores.softmax(dim=1)  # over the keys",
      `output = x + ${model.get("gamma")} * (weights @ value)`,
      `print(weights[${query[0]} * ${columns} + ${query[1]}].view(${keyRows}, ${keyColumns}))  # the map shown`,
    ].join("\n");
  };
  house.actions.append(saveButton(house, compose, "query-map.png"), copyButton(house, code));
  return house.end;
}

export default { render };
