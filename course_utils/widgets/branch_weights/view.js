import { bindFocus, choice, fill, gestures, keyWords, slider, store, traitControls } from "../page/bind.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { decode, percent } from "../page/maths.js";
import { easel, fitPanel, frameCell, layPicture, paintImage, paintMap } from "../page/paint.js";
import { copyButton, instrument, picturePanel, row, saveButton, scaleBar } from "../page/panels.js";

const FONT = "system-ui, sans-serif";
const TICKS = [0.02, 0.05, 0.1, 0.2]; // between two lines of the plot
const DASHES = [[], [6, 4], [2, 3], [8, 3, 2, 3]]; // lines are distinguished without their colours, too
const SQUARES = ["#9ecbff", "#ffb066", "#7fe0b8", "#f3a6d6"];
const TALL = 190; // pixels of the plot

const kernelWords = (side) => `${side}\u00a0×\u00a0${side}`; // never broken over two lines
const shortName = (name) => name.replace(/\.attention$/, "");

function openStage(json) {
  const [shares, spread, own] = [json.shares, json.spread, json.example_shares].map(decode);
  const [sizes, branches, channels] = shares.shape;
  const mean = (values, start) => values.subarray(start, start + channels).reduce((sum, one) => sum + one, 0) / channels;
  const examples = own.shape[1];
  return {
    ...json, sizes, branches, channels,
    shareOf: (size, branch, channel) => shares.values[(size * branches + branch) * channels + channel],
    meanOf: (size, branch) => mean(shares.values, (size * branches + branch) * channels),
    exampleMean: (size, example, branch) => mean(own.values, ((size * examples + example) * branches + branch) * channels),
    spreadOf: (size, branch) => spread.values[size * branches + branch],
  };
}

/** What the traits choose: `stage()`, `branch()`, `example()`, and `sorted()`, the channels in the order of the table. */
function reader(model) {
  const stages = model.get("stages").map(openStage);
  const pictures = decode(model.get("pictures"));
  const [, examples, height, width] = pictures.shape;
  const stage = () => stages[Math.min(model.get("stage"), stages.length - 1)];
  const branch = () => Math.min(model.get("branch"), stage().branches - 1);
  const example = () => Math.max(0, Math.min(model.get("example"), examples - 1));
  return {
    stages, examples, height, width, stage, branch, example, sizes: model.get("sizes"),
    picture(size) {
      const start = (size * examples + example()) * height * width;
      return paintImage({ shape: [height, width], values: pictures.values.subarray(start, start + height * width) });
    },
    sorted() {
      const { channels, shareOf, sizes } = stage();
      const order = Array.from({ length: channels }, (_, c) => c);
      const growth = (c) => shareOf(sizes - 1, branch(), c) - shareOf(0, branch(), c);
      return model.get("order") === "change" ? order.sort((one, two) => growth(two) - growth(one) || one - two) : order;
    },
  };
}

/** The table: a row for each channel, a column for each size, coloured by the share of the chosen kernel. */
function tablePart(model, data) {
  const made = picturePanel("", { role: "application" });
  const ticks = element("div", { class: "cw-ticks", "aria-hidden": "true" });
  ticks.append(...data.sizes.map((size) => element("span", {}, size)));
  const foot = element("p", { class: "cw-panel-name" }, "side of the digit, in pixels");
  const scale = scaleBar("");
  made.node.append(ticks, foot, element("p", { class: "cw-panel-name cw-keys" }, gestures()), scale.node);
  let map = null;
  let sorted = [];
  const draw = () => {
    const { channels, branches, kernels, sizes, shareOf } = data.stage();
    const even = 1 / branches;
    sorted = data.sorted();
    const values = Float32Array.from({ length: channels * sizes }, (_, k) =>
      shareOf(k % sizes, data.branch(), sorted[Math.floor(k / sizes)]) - even);
    const most = values.reduce((one, other) => Math.max(one, Math.abs(other)), 0) || 1;
    const range = { table: "RdBu", low: -most, high: most };
    map = paintMap(values, channels, sizes, range);
    fitPanel(made, Math.min(360, channels * 14) / Math.max(1, made.node.clientWidth));
    const words = kernelWords(kernels[data.branch()]);
    scale.rename(`share of ${words}, less the even share of ${even.toFixed(2)}`);
    scale.set(range);
    made.rename(`Share of the ${words} kernel in ${channels} channels, one row for each`
      + `${model.get("order") === "change" ? "; on top those that grow most" : ""}`);
    made.canvas.setAttribute("aria-label", `The share of the ${words} kernel, a row for each of ${channels} channels, `
      + `a column for each size of the digit. ${keyWords("over the cells")}`);
  };
  const mark = (query, pinned) => {
    const context = made.canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(map, 0, 0, made.canvas.width, made.canvas.height);
    frameCell(made.canvas, [map.height, map.width], query, pinned);
    if (query) made.canvas.dataset.channel = String(sorted[query[0]]);
    else delete made.canvas.dataset.channel;
  };
  return { ...made, draw, mark, channelOf: (place) => sorted[place] };
}

/** The axes of the plot: where a size and a share stand, in CSS pixels, and the lines of the grid. */
function axes(lines, spreads, sizes, across) {
  const every = lines.flatMap((line, b) => line.flatMap((value, i) => [value - spreads[b][i], value + spreads[b][i]]));
  const [least, most] = [Math.min(...every), Math.max(...every)];
  const step = TICKS.find((one) => (most - least) / one <= 5) ?? TICKS.at(-1);
  const first = Math.max(0, Math.floor(least / step + 1e-9));
  const last = Math.max(first + 1, Math.ceil(most / step - 1e-9));
  return {
    ticks: Array.from({ length: last - first + 1 }, (_, k) => (first + k) * step),
    x: (i) => 40 + ((across - 96) * (sizes[i] - sizes[0])) / (sizes.at(-1) - sizes[0]),
    y: (value) => 8 + ((TALL - 44) * (last * step - value)) / ((last - first) * step),
  };
}

function drawAxes(context, house, { ticks, x, y }, sizes, across) {
  context.font = `12px ${FONT}`;
  context.textBaseline = "middle";
  context.lineWidth = 1;
  context.textAlign = "right";
  for (const value of ticks) {
    context.fillStyle = house.ink("line");
    context.fillRect(40, y(value) - 0.5, across - 96, 1);
    context.fillStyle = house.ink("soft");
    context.fillText(value.toFixed(2), 34, y(value));
  }
  context.textAlign = "center";
  sizes.forEach((size, i) => context.fillText(String(size), x(i), TALL - 26));
  context.fillText("side of the digit, in pixels", (across - 16) / 2, TALL - 9);
}

/** One kernel's line with its band, and a dot at the size in focus. */
function drawLine(context, ink, { x, y }, line, spread, dashes, chosen) {
  context.fillStyle = ink;
  context.strokeStyle = ink;
  context.globalAlpha = 0.15;
  context.beginPath();
  line.forEach((value, i) => context.lineTo(x(i), y(value + spread[i])));
  for (let i = line.length - 1; i >= 0; i--) context.lineTo(x(i), y(line[i] - spread[i]));
  context.fill();
  context.globalAlpha = 1;
  context.lineWidth = 2;
  context.setLineDash(dashes);
  context.beginPath();
  line.forEach((value, i) => context.lineTo(x(i), y(value)));
  context.stroke();
  context.setLineDash([]);
  context.beginPath();
  context.arc(x(chosen), y(line[chosen]), 4, 0, 7);
  context.fill();
}

function plotPart(house, data) {
  const made = picturePanel("Mean share over the channels; the band is one deviation over the pictures", { role: "img" });
  const draw = (chosen) => {
    const { kernels, meanOf, spreadOf } = data.stage();
    const { sizes } = data;
    const across = Math.max(220, made.node.clientWidth);
    const context = easel(made.canvas, across, TALL);
    const lines = kernels.map((_, b) => sizes.map((__, i) => meanOf(i, b)));
    const spreads = kernels.map((_, b) => sizes.map((__, i) => spreadOf(i, b)));
    const places = axes(lines, spreads, sizes, across);
    drawAxes(context, house, places, sizes, across);
    context.fillStyle = house.ink("sunken");
    context.fillRect(places.x(chosen) - 7, 8, 14, TALL - 44);
    context.textAlign = "left";
    kernels.forEach((side, b) => {
      drawLine(context, house.ink(`run-${b}`), places, lines[b], spreads[b], DASHES[b % DASHES.length], chosen);
      context.fillText(kernelWords(side), across - 50, places.y(lines[b].at(-1)));
    });
    const listed = (line) => sizes.map((size, i) => `${line[i].toFixed(3)} at ${size} pixels`).join(", ");
    const label = kernels.map((side, b) => `mean share of ${kernelWords(side)}: ${listed(lines[b])}`).join("; ");
    made.canvas.setAttribute("aria-label", label);
    made.canvas.dataset.means = lines.map((line) => line.map((value) => value.toPrecision(5)).join(",")).join(";");
  };
  return { ...made, draw };
}

/** The picture, and on its digit one square for each kernel: what it spans, in pixels of the picture. */
function picturePart(model, data) {
  const made = picturePanel("", { role: "img" });
  const shares = element("p", {});
  const legend = element("p", { class: "cw-panel-name" });
  const draw = (size, words) => {
    const { kernels, stride } = data.stage();
    const { scale: dots } = fitPanel(made, data.height / data.width, 180);
    const context = layPicture(made.canvas, data.picture(size));
    const unit = made.canvas.width / data.width;
    const [top, left, side] = model.get("squares")[size][data.example()];
    kernels.forEach((kernel, b) => {
      const span = kernel * stride;
      context.setLineDash(DASHES[b % DASHES.length].map((length) => length * dots));
      for (const [ink, thick] of [["#000", 4], [SQUARES[b % SQUARES.length], 2]]) {
        context.strokeStyle = ink;
        context.lineWidth = thick * dots;
        const [x, y] = [left, top].map((start) => (start + side / 2 - span / 2) * unit);
        context.strokeRect(x, y, span * unit, span * unit);
      }
    });
    context.setLineDash([]);
    made.rename(`A digit of ${data.sizes[size]} pixels`);
    made.canvas.setAttribute("aria-label",
      `A digit whose square has ${data.sizes[size]} pixels on a side, and a square for each kernel`);
    shares.textContent = words;
    const spans = kernels.map((kernel) => `${kernelWords(kernel)}: ${kernel * stride} pixels`).join(", ");
    legend.textContent = `Squares: how far the kernels of this block reach: ${spans}. Each place in them has itself seen `
      + "a few pixels around it.";
  };
  return { node: row(made.node, element("div", {}, shares, legend)), draw };
}

/** The lists and the slider; `refresh()` follows the traits. */
function controlsPart(house, model, data) {
  const { controls, nodes, refresh: follow } = traitControls(model, {
    stage: [choice, {
      label: "Block of",
      options: data.stages.map(({ name, channels }, i) => [i, `${shortName(name)}: ${channels} channels`]),
      read: (stage) => Math.min(stage, data.stages.length - 1), write: Number,
    }],
    branch: [choice, { label: "Share of the kernel", options: [], read: data.branch, write: Number }],
    order: [choice, { label: "Sort channels", options: [["change", "by change with size"], ["channel", "in order"]] }],
    example: [slider, {
      label: "Picture", min: 0, max: data.examples - 1, step: 1, show: (i) => `${i + 1} of ${data.examples}`,
      read: data.example,
    }],
  });
  house.controls.append(...nodes);
  const refresh = () => {
    fill(controls.branch, data.stage().kernels.map((side, i) => [i, kernelWords(side)]), data.branch());
    follow();
  };
  return { refresh };
}

function codeFor(model, data, size) {
  return [
    model.get("code").replaceAll("{size}", String(data.sizes[size])).replaceAll("{example}", String(data.example())),
    "with torch.no_grad(), record_masks(network) as masks:",
    "    network(picture)",
    `shares = masks[${JSON.stringify(data.stage().name)}][0, :, :, 0, 0]  # (branches, C)`,
    "print(shares.mean(dim=1))",
    "",
  ].join("\n");
}

function render({ model, el }) {
  const house = frame({ model, el, name: "branch-weights" });
  const data = reader(model);
  const table = tablePart(model, data);
  const plot = plotPart(house, data);
  const picture = picturePart(model, data);
  instrument(house, table.node, plot.node, picture.node);
  const controls = controlsPart(house, model, data);

  const sizeNow = () => focus.get()?.[1] ?? Math.floor(data.sizes.length / 2);
  const each = (meanOf) => data.stage().kernels.map((side, b) => `${kernelWords(side)}: ${percent(meanOf(b))}`).join(", ");
  const inPicture = () => each((b) => data.stage().exampleMean(sizeNow(), data.example(), b));
  const describe = () => {
    const { name, kernels, sizes, shareOf, meanOf } = data.stage();
    const [query, size, branch] = [focus.get(), sizeNow(), data.branch()];
    const side = data.sizes[size];
    const [block, kernel] = [shortName(name), kernelWords(kernels[branch])];
    const change = (100 * (meanOf(sizes - 1, branch) - meanOf(0, branch))).toFixed(1).replace("-", "−");
    const words = query
      ? `Channel ${table.channelOf(query[0]) + 1}, digits of ${side} pixels: `
        + `${percent(shareOf(size, branch, table.channelOf(query[0])))} from ${kernel}.`
      : `From digits of ${data.sizes[0]} to ${data.sizes.at(-1)} pixels the mean share of ${kernel} `
        + `changes by ${change} points.`;
    const means = each((b) => meanOf(size, b));
    const heard = `${block}: digits of ${side} pixels, mean over all channels and ${model.get("counts")[size]} pictures, `
      + `${means}; in the picture shown, ${inPicture()}.`;
    return [words, { heard }, focus.hint()];
  };
  const look = (quiet = false) => {
    if (house.root.clientWidth === 0) return;
    table.mark(focus.get(), focus.isPinned());
    plot.draw(sizeNow());
    picture.draw(sizeNow(), `In this picture, ${inPicture()}.`);
    house.say(describe(), { quiet });
  };
  const focus = bindFocus({
    model, house, describe, canvases: [table.canvas], rows: () => data.stage().channels, columns: () => data.sizes.length,
    onChange: (_, __, quiet) => look(quiet),
  });
  const draw = () => {
    controls.refresh();
    if (house.root.clientWidth === 0) return;
    table.draw();
    look();
  };
  const refresh = () => {
    focus.take();
    draw();
  };

  refresh();
  house.listen(["branch", "order", "example"], draw);
  house.listen("stage", () => {
    refresh();
    if (model.get("query").length && !focus.get()) store(model, { query: [] }); // the stage has no such place
  });
  house.whenShown(draw);
  const code = () => codeFor(model, data, sizeNow());
  house.actions.append(saveButton(house, "branch-weights.png", { lines: describe }), copyButton(house, code));
  return house.end;
}

export default { render };
