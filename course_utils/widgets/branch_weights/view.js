import { choice, fill, keyWords, slider, traitControls } from "../page/bind.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { blockName, capital, colourRange, decode, listed, percent, strongest, sumOf } from "../page/maths.js";
import { matrixPanel } from "../page/matrix.js";
import { blend, easel, fitPanel, layPicture, paintImage, paintMap, strokeTwice, writeText } from "../page/paint.js";
import { instrument, note, picturePanel, pointPanel, row, scaleBar } from "../page/panels.js";
import { DASHES, drawAxes, drawBand, drawDot, scalesOf, ticks } from "../page/plot.js";
import { bindView } from "../page/pointing.js";

const SQUARES = ["#9ecbff", "#ffb066", "#7fe0b8", "#f3a6d6"];
const TALL = 190; // pixels of the plot
const [LEFT, TOP] = [24, 18]; // room for the words beside and above the table

const kernelWords = (side) => `${side}\u00a0×\u00a0${side}`; // never broken over two lines

function openStage(json) {
  const [shares, spread, own] = [json.shares, json.spread, json.example_shares].map(decode);
  const [sizes, branches, channels] = shares.shape;
  const mean = (values, start) => sumOf(values.subarray(start, start + channels)) / channels;
  const examples = own.shape[1];
  return {
    ...json, sizes, branches, channels,
    shareOf: (size, branch, channel) => shares.values[(size * branches + branch) * channels + channel],
    meanOf: (size, branch) => mean(shares.values, (size * branches + branch) * channels),
    exampleMean: (size, example, branch) =>
      mean(own.values, ((size * examples + example) * branches + branch) * channels),
    spreadOf: (size, branch) => spread.values[size * branches + branch],
  };
}

/** What the traits choose: `stage()`, `branch()`, `example()`, and `sorted()`, the channels in the table's order. */
function reader(model) {
  const stages = model.get("stages").map(openStage);
  const pictures = decode(model.get("pictures"));
  const [, examples, height, width] = pictures.shape;
  const stage = () => stages[model.get("stage")];
  const branch = () => Math.min(model.get("branch"), stage().branches - 1); // another stage may have fewer
  const example = () => model.get("example");
  return {
    stages, examples, height, width, stage, branch, example, sizes: model.get("sizes"),
    picture(size) {
      const start = (size * examples + example()) * height * width;
      return paintImage({ shape: [height, width], values: pictures.values.subarray(start, start + height * width) });
    },
    sorted() {
      const { channels, shareOf, sizes } = stage();
      const growth = Array.from({ length: channels }, (_, c) =>
        shareOf(sizes - 1, branch(), c) - shareOf(0, branch(), c));
      return model.get("order") === "change" ? strongest(growth) : [...growth.keys()];
    },
  };
}

/** The table: a row for each channel, a column for each size, coloured by the share of the chosen kernel. */
function tablePart(house, model, data) {
  const made = matrixPanel(house, pointPanel());
  const scale = scaleBar("");
  made.canvas.after(note("Rows: channels. Columns: side of the digit, in pixels."));
  made.node.append(scale.node);
  let sorted = [];
  const draw = () => {
    const { channels, branches, kernels, sizes, shareOf } = data.stage();
    const even = 1 / branches;
    sorted = data.sorted();
    const values = Float32Array.from({ length: channels * sizes }, (_, k) =>
      shareOf(k % sizes, data.branch(), sorted[Math.floor(k / sizes)]) - even);
    const range = { table: "RdBu", ...colourRange(values, "RdBu") };
    const box = [LEFT, TOP, made.node.clientWidth - LEFT, Math.min(360, channels * 14)];
    const context = made.begin(box, sorted.map((channel) => channel + 1), data.sizes);
    blend(context, paintMap(values, channels, sizes, range), box);
    const words = kernelWords(kernels[data.branch()]);
    scale.rename(`Share of ${words} minus ${even.toFixed(2)}`);
    scale.set(range);
    made.rename(`Share of the ${words} kernel in ${channels} channels, one row for each`
      + `${model.get("order") === "change" ? "; on top those that grow most" : ""}`);
    made.canvas.setAttribute("aria-label", `The share of the ${words} kernel, a row for each of ${channels} channels, `
      + `a column for each size of the digit. ${keyWords("over the cells")}`);
  };
  const mark = (query, pinned) => {
    made.mark(query, pinned);
    if (query) made.canvas.dataset.channel = String(sorted[query[0]]);
    else delete made.canvas.dataset.channel;
  };
  return { ...made, draw, mark, channelOf: (place) => sorted[place] };
}

/** The mean share of every kernel for every size, as lines; a light bar at the size in focus. */
function plotPart(house, data) {
  const title = "Mean share over the channels; band: one standard deviation over the pictures";
  const made = picturePanel(title, { role: "img" });
  const draw = (chosen) => {
    const { kernels, meanOf, spreadOf } = data.stage();
    const { sizes } = data;
    const lines = kernels.map((_, b) => sizes.map((at, i) => {
      const [mean, spread] = [meanOf(i, b), spreadOf(i, b)];
      return { at, mean, low: mean - spread, high: mean + spread };
    }));
    const across = Math.max(220, made.node.clientWidth);
    const context = easel(made.canvas, across, TALL);
    const least = Math.min(...lines.flat().map(({ low }) => low));
    const most = Math.max(...lines.flat().map(({ high }) => high));
    const { step, digits } = ticks(least, Math.max(most, least + 0.1), 5);
    const first = Math.max(0, Math.floor(least / step));
    const last = Math.max(first + 1, Math.ceil(most / step));
    const values = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
    const box = [40, 8, across - 56, TALL - 36];
    const scales = scalesOf(box, [sizes[0], sizes.at(-1)], [values[0], values.at(-1)]);
    context.fillStyle = house.ink("sunken");
    context.fillRect(scales.x(sizes[chosen]) - 7, 8, 14, TALL - 44);
    drawAxes(context, house, scales, { values, digits }, sizes, "side of the digit, in pixels");
    lines.forEach((line, b) => {
      drawBand(context, house, scales, b, line);
      drawDot(context, scales.x(sizes[chosen]), scales.y(line[chosen].mean), 4);
      const ink = house.ink(`run-${b}`);
      writeText(context, kernelWords(kernels[b]), across - 50, scales.y(line.at(-1).mean), { ink });
    });
    const means = lines.map((line) => line.map(({ mean }) => mean));
    made.canvas.setAttribute("aria-label", kernels.map((side, b) => `mean share of ${kernelWords(side)}: `
      + sizes.map((size, i) => `${means[b][i].toFixed(3)} at ${size} pixels`).join(", ")).join("; "));
    made.canvas.dataset.means = means.map((line) => listed(line, 5)).join(";");
  };
  return { ...made, draw };
}

/** The picture, and on its digit one square for each kernel: what it spans, in pixels of the picture. */
function picturePart(model, data) {
  const made = picturePanel("", { role: "img" });
  const shares = element("p", {});
  const legend = note();
  const draw = (size, words) => {
    const { kernels, stride } = data.stage();
    const { scale: dots } = fitPanel(made, data.height / data.width, 180);
    const context = layPicture(made.canvas, data.picture(size));
    const unit = made.canvas.width / data.width;
    const [top, left, side] = model.get("squares")[size][data.example()];
    kernels.forEach((kernel, b) => {
      const span = kernel * stride;
      context.setLineDash(DASHES[b % DASHES.length].map((length) => length * dots));
      const [x, y] = [left, top].map((start) => (start + side / 2 - span / 2) * unit);
      strokeTwice(context, SQUARES[b % SQUARES.length], 2 * dots, () =>
        context.strokeRect(x, y, span * unit, span * unit));
    });
    context.setLineDash([]);
    made.rename(`A digit of ${data.sizes[size]} pixels`);
    made.canvas.setAttribute("aria-label",
      `A digit whose square has ${data.sizes[size]} pixels on a side, and a square for each kernel`);
    shares.textContent = words.replaceAll(" %", "\u00a0%");
    const spans = kernels.map((kernel) => `${kernelWords(kernel)}: ${kernel * stride} pixels`).join(", ");
    legend.textContent = `Squares: how far the kernels of this block reach: ${spans}. Each place in them has itself `
      + "seen a few pixels around it.";
  };
  return { node: row(made.node, element("div", {}, shares, legend)), draw };
}

/** The lists and the slider; `refresh()` follows the traits. */
function controlsPart(house, model, data) {
  const { controls, nodes, refresh: follow } = traitControls(model, {
    stage: [choice, {
      label: "Block of",
      options: data.stages.map(({ name, channels }, i) => [i, `${blockName(name)}: ${channels} channels`]),
      write: Number,
    }],
    branch: [choice, { label: "Share of the kernel", options: [], read: data.branch, write: Number }],
    order: [choice, {
      label: "Sort channels", options: [["change", "by change with size"], ["channel", "in order"]],
    }],
    example: [slider, {
      label: "Picture", min: 0, max: data.examples - 1, step: 1, show: (i) => `${i + 1} of ${data.examples}`,
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
  const table = tablePart(house, model, data);
  const plot = plotPart(house, data);
  const picture = picturePart(model, data);
  instrument(house, table.node, plot.node, picture.node);
  const controls = controlsPart(house, model, data);

  const sizeOf = (focus) => focus.get()?.[1] ?? Math.floor(data.sizes.length / 2);
  const each = (meanOf) =>
    data.stage().kernels.map((side, b) => `${kernelWords(side)}: ${percent(meanOf(b))}`).join(", ");
  const inPicture = (size) => each((b) => data.stage().exampleMean(size, data.example(), b));
  const describe = (focus) => {
    const { name, kernels, sizes, shareOf, meanOf } = data.stage();
    const [query, size, branch] = [focus.get(), sizeOf(focus), data.branch()];
    const side = data.sizes[size];
    const [block, kernel] = [capital(blockName(name)), kernelWords(kernels[branch])];
    const change = (100 * (meanOf(sizes - 1, branch) - meanOf(0, branch))).toFixed(1).replace("-", "−");
    const words = query
      ? `Channel ${table.channelOf(query[0]) + 1}, digits of ${side} pixels: `
        + `${percent(shareOf(size, branch, table.channelOf(query[0])))} from ${kernel}.`
      : `From digits of ${data.sizes[0]} to ${data.sizes.at(-1)} pixels the mean share of ${kernel} `
        + `changes by ${change} points.`;
    const heard = `${block}: digits of ${side} pixels, mean over all channels and ${model.get("counts")[size]} `
      + `pictures, ${each((b) => meanOf(size, b))}; in the picture shown, ${inPicture(size)}.`;
    return [words, { heard }, focus.hint()];
  };
  bindView({
    model, house, describe, canvases: [table.canvas], inside: table.inside,
    traits: ["stage", "branch", "order", "example"],
    rows: () => data.stage().channels, columns: () => data.sizes.length, follow: controls.refresh, draw: table.draw,
    mark(focus) {
      const size = sizeOf(focus);
      table.mark(focus.get(), focus.isPinned());
      plot.draw(size);
      picture.draw(size, `In this picture, ${inPicture(size)}.`);
    },
    code: (focus) => codeFor(model, data, sizeOf(focus)),
  });
  return house.end;
}

export default { render };
