import { bindFocus, choice, slider, store } from "../page/bind.js";
import { element, styled } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { decode, percent } from "../page/maths.js";
import { fit, outline, paintImage, paintMap } from "../page/paint.js";
import { copyButton, saveButton, scaleBar } from "../page/panels.js";

const TABLE = "RdBu";
const FONT = "system-ui, sans-serif";
const TICKS = [0.02, 0.05, 0.1, 0.2]; // between two lines of the plot
const DASHES = [[], [6, 4], [2, 3], [8, 3, 2, 3]]; // lines are told apart without their colours, too

function openStage(json) {
  return {
    ...json,
    channels: json.shares.shape[2],
    shares: decode(json.shares).values,
    spread: decode(json.spread).values,
    exampleShares: decode(json.example_shares).values,
  };
}

function render({ model, el }) {
  const house = frame({ model, el, name: "branch-weights" });
  const sizes = model.get("sizes");
  const counts = model.get("counts");
  const squares = model.get("squares");
  const { shape: [, examples, height, width], values: pixels } = decode(model.get("pictures"));
  const stages = model.get("stages").map(openStage);
  const stageNow = () => stages[Math.min(model.get("stage"), stages.length - 1)];
  const branchNow = () => Math.min(model.get("branch"), stageNow().kernels.length - 1);
  const exampleNow = () => Math.max(0, Math.min(model.get("example"), examples - 1));
  const kernelWords = (side) => `${side}\u00a0×\u00a0${side}`; // never broken over two lines
  const shortName = (name) => name.replace(/\.attention$/, "");
  const shareOf = (stage, size, branch, channel) =>
    stage.shares[(size * stage.kernels.length + branch) * stage.channels + channel];
  const meanShare = (stage, size, branch) => {
    let sum = 0;
    for (let c = 0; c < stage.channels; c++) sum += shareOf(stage, size, branch, c);
    return sum / stage.channels;
  };
  const exampleShare = (stage, size, branch) => {
    let sum = 0;
    const start = ((size * examples + exampleNow()) * stage.kernels.length + branch) * stage.channels;
    for (let c = 0; c < stage.channels; c++) sum += stage.exampleShares[start + c];
    return sum / stage.channels;
  };

  const stageChoice = choice({
    label: "Block of", options: stages.map(({ name, channels }, i) => [i, `${shortName(name)}: ${channels} channels`]),
    value: model.get("stage"), onChange: (value) => store(model, { stage: Number(value) }),
  });
  const branchChoice = choice({
    label: "Share of the kernel", options: stageNow().kernels.map((side, i) => [i, kernelWords(side)]),
    value: branchNow(), onChange: (value) => store(model, { branch: Number(value) }),
  });
  const orderChoice = choice({
    label: "Sort channels", options: [["change", "by change with size"], ["channel", "in order"]],
    value: model.get("order"), onChange: (order) => store(model, { order }),
  });
  const exampleSlider = slider({
    label: "Picture", min: 0, max: examples - 1, step: 1, value: exampleNow(), show: (i) => `${i + 1} of ${examples}`,
    onInput: (example) => store(model, { example }),
  });
  const choices = styled(
    element("div", { class: "cw-controls" }, stageChoice.node, branchChoice.node, orderChoice.node, exampleSlider.node),
    { marginTop: "0", flex: "0 0 100%" },
  );

  const grid = element("canvas", { role: "application" });
  const gridName = element("p", { class: "cw-panel-name" });
  const gridKeys = element("p", { class: "cw-panel-name cw-keys" }, "Arrows move, Enter locks, Escape releases");
  const left = styled(element("div", {}, gridName, grid, gridKeys), { flex: "1 1 300px", minWidth: "0", maxWidth: "440px" });
  const plot = element("canvas", { role: "img" });
  const plotName = element("p", { class: "cw-panel-name" }, "Mean share over the channels; the band is one deviation over the pictures");
  const picture = element("canvas", { role: "img" });
  const pictureName = element("p", { class: "cw-panel-name" });
  const legend = element("p", { class: "cw-panel-name" });
  const scale = scaleBar("");
  const pictureBox = styled(element("div", {}, pictureName, picture), { flex: "0 1 150px", minWidth: "0" });
  const beside = styled(element("div", {}, legend, scale.node), { flex: "1 1 160px", minWidth: "0", display: "grid", gridTemplateColumns: "minmax(0, 1fr)", gap: "8px", alignContent: "start" });
  const lower = styled(element("div", {}, pictureBox, beside), { display: "flex", flexWrap: "wrap", gap: "16px", marginTop: "12px" });
  const right = styled(element("div", {}, plotName, plot, lower), { flex: "1 1 340px", minWidth: "0" });
  house.stage.append(choices, left, right);

  let sorted = [];
  const sort = () => {
    const stage = stageNow();
    sorted = Array.from({ length: stage.channels }, (_, c) => c);
    if (model.get("order") !== "change") return;
    const last = sizes.length - 1;
    const growth = (c) => shareOf(stage, last, branchNow(), c) - shareOf(stage, 0, branchNow(), c);
    sorted.sort((one, two) => growth(two) - growth(one) || one - two);
  };
  const sizeNow = () => focus.get()?.[1] ?? Math.floor(sizes.length / 2);

  const focus = bindFocus({
    model,
    house,
    describe: () => describe(),
    canvases: [grid],
    rows: () => stageNow().channels,
    columns: () => sizes.length,
    onChange: (_, __, quiet) => showFocus(quiet),
  });

  let map = null;
  const drawGrid = () => {
    const stage = stageNow();
    const even = 1 / stage.kernels.length;
    const values = new Float32Array(stage.channels * sizes.length);
    sorted.forEach((channel, row) => sizes.forEach((_, i) => {
      values[row * sizes.length + i] = shareOf(stage, i, branchNow(), channel) - even;
    }));
    const most = values.reduce((one, other) => Math.max(one, Math.abs(other)), 0) || 1;
    const range = { table: TABLE, low: -most, high: most };
    map = paintMap(values, stage.channels, sizes.length, range);
    scale.set(range);
    const words = kernelWords(stage.kernels[branchNow()]);
    scale.node.firstChild.textContent = `share of ${words}, less the even share of ${even.toFixed(2)}`;
    gridName.textContent = `Rows: ${stage.channels} channels; columns: side of the digit, ${sizes[0]} to ${sizes.at(-1)} pixels`;
    grid.setAttribute("aria-label", `The share of the ${words} kernel, a row for each of ${stage.channels} channels, a column `
      + "for each size of the digit. Arrow keys move over the cells, Enter locks, Escape releases.");
  };

  const drawPlot = () => {
    const stage = stageNow();
    const across = Math.max(220, right.clientWidth);
    const tall = 190;
    const { scale: dots } = fit(plot, across, tall / across);
    const context = plot.getContext("2d");
    context.setTransform(dots, 0, 0, dots, 0, 0);
    context.clearRect(0, 0, across, tall);
    const lines = stage.kernels.map((_, b) => sizes.map((__, i) => meanShare(stage, i, b)));
    const spread = (i, b) => stage.spread[i * stage.kernels.length + b];
    const every = lines.flatMap((line, b) => line.flatMap((value, i) => [value - spread(i, b), value + spread(i, b)]));
    const [least, most] = [Math.min(...every), Math.max(...every)];
    const step = TICKS.find((one) => (most - least) / one <= 5) ?? TICKS.at(-1);
    const first = Math.max(0, Math.floor(least / step + 1e-9));
    const last = Math.max(first + 1, Math.ceil(most / step - 1e-9));
    const [low, high] = [first * step, last * step];
    const x = (i) => 40 + ((across - 96) * (sizes[i] - sizes[0])) / (sizes.at(-1) - sizes[0]);
    const y = (value) => 8 + ((tall - 44) * (high - value)) / (high - low);
    context.font = `12px ${FONT}`;
    context.textBaseline = "middle";
    context.lineWidth = 1;
    for (let tick = first; tick <= last; tick++) {
      const value = tick * step;
      context.strokeStyle = house.ink("line");
      context.beginPath();
      context.moveTo(40, y(value));
      context.lineTo(across - 56, y(value));
      context.stroke();
      context.fillStyle = house.ink("soft");
      context.textAlign = "right";
      context.fillText(value.toFixed(2), 34, y(value));
    }
    context.textAlign = "center";
    sizes.forEach((size, i) => context.fillText(String(size), x(i), tall - 26));
    context.fillText("side of the digit, in pixels", (across - 16) / 2, tall - 9);
    const chosen = x(sizeNow());
    context.fillStyle = house.ink("sunken");
    context.fillRect(chosen - 7, 8, 14, tall - 44);
    stage.kernels.forEach((side, b) => {
      const ink = house.ink(`run-${b}`);
      context.fillStyle = ink;
      context.globalAlpha = 0.15;
      context.beginPath();
      sizes.forEach((_, i) => context.lineTo(x(i), y(lines[b][i] + spread(i, b))));
      for (let i = sizes.length - 1; i >= 0; i--) context.lineTo(x(i), y(lines[b][i] - spread(i, b)));
      context.fill();
      context.globalAlpha = 1;
      context.strokeStyle = ink;
      context.lineWidth = 2;
      context.setLineDash(DASHES[b % DASHES.length]);
      context.beginPath();
      sizes.forEach((_, i) => context.lineTo(x(i), y(lines[b][i])));
      context.stroke();
      context.setLineDash([]);
      context.beginPath();
      context.arc(chosen, y(lines[b][sizeNow()]), 4, 0, 7);
      context.fillStyle = ink;
      context.fill();
      context.textAlign = "left";
      context.fillText(kernelWords(side), across - 50, y(lines[b].at(-1)));
    });
    plot.setAttribute("aria-label", stage.kernels.map((side, b) =>
      `mean share of ${kernelWords(side)}: ${sizes.map((size, i) => `${lines[b][i].toFixed(3)} at ${size} pixels`).join(", ")}`)
      .join("; "));
    plot.dataset.means = lines.map((line) => line.map((value) => value.toPrecision(5)).join(",")).join(";");
  };

  /** The picture, and on its digit one square for each kernel: what it spans, in pixels of the picture. */
  const drawPicture = () => {
    const stage = stageNow();
    const i = sizeNow();
    const start = (i * examples + exampleNow()) * height * width;
    const image = paintImage({ shape: [height, width], values: pixels.subarray(start, start + height * width) });
    const { scale: dots } = fit(picture, Math.max(80, Math.floor(pictureBox.clientWidth)), height / width);
    const context = picture.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(image, 0, 0, picture.width, picture.height);
    const unit = picture.width / width;
    const [row, column, side] = squares[i][exampleNow()];
    const centre = [row + side / 2, column + side / 2];
    stage.kernels.forEach((kernel, b) => {
      const span = kernel * stage.stride;
      context.setLineDash(DASHES[b % DASHES.length].map((length) => length * dots));
      for (const [ink, thick] of [["#000", 4], [["#9ecbff", "#ffb066", "#7fe0b8", "#f3a6d6"][b % 4], 2]]) {
        context.strokeStyle = ink;
        context.lineWidth = thick * dots;
        context.strokeRect((centre[1] - span / 2) * unit, (centre[0] - span / 2) * unit, span * unit, span * unit);
      }
    });
    context.setLineDash([]);
    pictureName.textContent = `a digit of ${sizes[i]} pixels`;
    picture.setAttribute("aria-label", `A digit whose square has ${sizes[i]} pixels a side, and a square for each kernel`);
    const spans = stage.kernels.map((kernel) => `${kernelWords(kernel)}: ${kernel * stage.stride} pixels`).join(", ");
    legend.textContent = `Squares: how far the kernels of this block reach: ${spans}. Each place that they take in has itself `
      + "seen a few pixels around.";
  };

  const showFocus = (quiet = false) => {
    const { channels } = stageNow();
    const across = Math.max(160, left.clientWidth);
    const { scale: dots } = fit(grid, across, Math.min(360, channels * 9) / across);
    const context = grid.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(map, 0, 0, grid.width, grid.height);
    const query = focus.get();
    if (query) {
      const [wide, high] = [grid.width / sizes.length, grid.height / channels];
      outline(context, query[1] * wide, query[0] * high, wide, high, dots, focus.isLocked());
      grid.dataset.channel = String(sorted[query[0]]);
    } else delete grid.dataset.channel;
    drawPlot();
    drawPicture();
    house.say(describe(), { quiet });
  };

  const describe = () => {
    const stage = stageNow();
    const i = sizeNow();
    const query = focus.get();
    const branch = branchNow();
    const kernel = kernelWords(stage.kernels[branch]);
    const name = shortName(stage.name);
    const each = (shareAt) => stage.kernels.map((side, b) => `${kernelWords(side)}: ${percent(shareAt(stage, i, b))}`).join(", ");
    const last = sizes.length - 1;
    const change = (100 * (meanShare(stage, last, branch) - meanShare(stage, 0, branch))).toFixed(1).replace("-", "−");
    const words = query
      ? `${name}, channel ${sorted[query[0]]}, digits of ${sizes[i]} pixels: ${percent(shareOf(stage, i, branch, sorted[query[0]]))} `
        + `of it comes from the ${kernel} kernel.`
      : `${name}: from digits of ${sizes[0]} to ${sizes[last]} pixels the mean share of the ${kernel} kernel changes by ${change} points.`;
    return [
      words,
      `Digits of ${sizes[i]} pixels, mean over all channels and ${counts[i]} pictures, ${each(meanShare)}; in the picture shown, ${each(exampleShare)}.`,
      focus.hint(),
    ];
  };

  const refresh = () => {
    stageChoice.set(Math.min(model.get("stage"), stages.length - 1));
    branchChoice.set(branchNow());
    orderChoice.set(model.get("order"));
    exampleSlider.set(exampleNow());
    if (focus.get() && focus.get()[0] >= stageNow().channels) focus.set(null);
    if (house.root.clientWidth <= 0) return;
    sort();
    drawGrid();
    showFocus();
    if (model.get("query").length && !focus.isLocked()) store(model, { query: [] }); // the stage has no such place
  };
  focus.take();
  house.listen(["stage", "branch", "order", "example"], refresh);
  house.listen("query", () => {
    focus.take();
    if (map) showFocus();
  });
  house.whenShown(refresh);

  const compose = () => {
    const dots = grid.width / parseFloat(grid.style.width);
    const sheet = document.createElement("canvas");
    sheet.width = grid.width + plot.width + 48 * dots;
    sheet.height = Math.max(grid.height, plot.height + picture.height + 40 * dots) + 56 * dots;
    const context = sheet.getContext("2d");
    context.fillStyle = house.ink("surface");
    context.fillRect(0, 0, sheet.width, sheet.height);
    context.drawImage(grid, 16 * dots, 28 * dots);
    context.drawImage(plot, grid.width + 32 * dots, 28 * dots);
    context.drawImage(picture, grid.width + 32 * dots, plot.height + 60 * dots);
    context.scale(dots, dots);
    context.fillStyle = house.ink("ink");
    context.font = `13px ${FONT}`;
    context.fillText(gridName.textContent, 16, 18, grid.width / dots);
    context.fillText(plotName.textContent, grid.width / dots + 32, 18, plot.width / dots);
    context.fillText(pictureName.textContent, grid.width / dots + 32, plot.height / dots + 52);
    context.fillText(scale.node.firstChild.textContent, 16, sheet.height / dots - 8);
    return sheet;
  };
  const code = () => [
    model.get("code").replaceAll("{size}", String(sizes[sizeNow()])).replaceAll("{example}", String(exampleNow())),
    "with torch.no_grad(), record_masks(network) as masks:",
    "    network(picture)",
    `shares = masks[${JSON.stringify(stageNow().name)}][0, :, :, 0, 0]  # (branches, C)`,
    "print(shares.mean(dim=1))",
    "",
  ].join("\n");
  house.actions.append(saveButton(house, compose, "branch-weights.png"), copyButton(house, code));
  return house.end;
}

export default { render };
