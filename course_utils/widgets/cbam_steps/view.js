import { button, choice, focusController, slider, store, toggle } from "../page/bind.js";
import { element, styled } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { changeInWords, decode, largest, number, percent, sigmoid, softmax } from "../page/maths.js";
import { fit, outline, paintImage, paintMap } from "../page/paint.js";
import { copyButton, pictureButtons, saveButton, scaleBar } from "../page/panels.js";

const MAPS = "viridis";
const MASKS = "magma";
const ROW = 21;
const FONT = "system-ui, sans-serif";
const SWITCHES = ["channel_mean", "channel_max", "spatial_max", "spatial_mean"];


/** 3x3 convolution with padding 1, batch norm, ReLU: (before, h, w) -> (after, h, w). */
function convolve(x, before, height, width, { weight, scale, shift }, after) {
  const wide = width + 2;
  const padded = new Float32Array(before * (height + 2) * wide);
  for (let c = 0; c < before; c++) {
    for (let row = 0; row < height; row++) {
      const from = (c * height + row) * width;
      padded.set(x.subarray(from, from + width), (c * (height + 2) + row + 1) * wide + 1);
    }
  }
  const size = height * width;
  const out = new Float32Array(after * size);
  const sums = new Float64Array(size);
  for (let o = 0; o < after; o++) {
    sums.fill(0);
    for (let c = 0; c < before; c++) {
      for (let k = 0; k < 9; k++) {
        const factor = weight[(o * before + c) * 9 + k];
        const start = (c * (height + 2) + Math.floor(k / 3)) * wide + (k % 3);
        for (let row = 0; row < height; row++) {
          const from = start + row * wide;
          const to = row * width;
          for (let column = 0; column < width; column++) sums[to + column] += factor * padded[from + column];
        }
      }
    }
    for (let i = 0; i < size; i++) out[o * size + i] = Math.max(0, sums[i] * scale[o] + shift[o]);
  }
  return out;
}

function maxPool(x, channels, height, width, side) {
  if (side < 2) return { x, height, width };
  const rows = Math.floor(height / side);
  const columns = Math.floor(width / side);
  const out = new Float32Array(channels * rows * columns);
  let i = 0;
  for (let c = 0; c < channels; c++) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        let top = -Infinity;
        for (let a = 0; a < side; a++) {
          for (let b = 0; b < side; b++) {
            top = Math.max(top, x[(c * height + row * side + a) * width + column * side + b]);
          }
        }
        out[i++] = top;
      }
    }
  }
  return { x: out, height: rows, width: columns };
}

/** The gate of every channel; ones where neither pool is used. */
function channelGates(x, size, part, use) {
  const { channels, reduceWeight, reduceBias, expandWeight, expandBias } = part;
  const gates = new Float64Array(channels);
  if (!use.channel_mean && !use.channel_max) return gates.fill(1);
  const hiddenSize = reduceBias.length;
  const pooled = { channel_mean: new Float64Array(channels), channel_max: new Float64Array(channels) };
  for (let c = 0; c < channels; c++) {
    let sum = 0;
    let top = -Infinity;
    for (let i = c * size; i < (c + 1) * size; i++) {
      sum += x[i];
      if (x[i] > top) top = x[i];
    }
    pooled.channel_mean[c] = sum / size;
    pooled.channel_max[c] = top;
  }
  for (const name of ["channel_mean", "channel_max"]) {
    if (!use[name]) continue;
    const hidden = Float64Array.from({ length: hiddenSize }, (_, h) => {
      let sum = reduceBias[h];
      for (let c = 0; c < channels; c++) sum += reduceWeight[h * channels + c] * pooled[name][c];
      return Math.max(0, sum);
    });
    for (let c = 0; c < channels; c++) {
      gates[c] += expandBias[c];
      for (let h = 0; h < hiddenSize; h++) gates[c] += expandWeight[c * hiddenSize + h] * hidden[h];
    }
  }
  return gates.map(sigmoid);
}

/** What the spatial part pools, and the gate of every position; ones where neither pool is used. */
function spatialGates(x, height, width, part, use) {
  const { channels, kernel, kernelSide, spatialScale, spatialShift } = part;
  const size = height * width;
  const most = new Float32Array(size);
  const mean = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    let sum = 0;
    let top = -Infinity;
    for (let c = 0; c < channels; c++) {
      const value = x[c * size + i];
      sum += value;
      if (value > top) top = value;
    }
    most[i] = top;
    mean[i] = sum / channels;
  }
  const mask = new Float64Array(size);
  if (!use.spatial_max && !use.spatial_mean) return { most, mean, mask: mask.fill(1) };
  const half = (kernelSide - 1) / 2;
  const maps = [[use.spatial_max, most], [use.spatial_mean, mean]];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      let sum = 0;
      maps.forEach(([used, map], m) => {
        if (!used) return;
        for (let a = Math.max(0, half - row); a < kernelSide && row + a - half < height; a++) {
          for (let b = Math.max(0, half - column); b < kernelSide && column + b - half < width; b++) {
            sum += kernel[(m * kernelSide + a) * kernelSide + b] * map[(row + a - half) * width + column + b - half];
          }
        }
      });
      mask[row * width + column] = sigmoid(sum * spatialScale + spatialShift);
    }
  }
  return { most, mean, mask };
}

/** One CBAM block with its switches: everything that it computes on the way. */
function runBlock(x, height, width, part, { order, ...use }) {
  const size = height * width;
  const scaled = (maps, factor) => maps.map((value, i) => value * factor(i));
  const byChannel = (gates) => (i) => gates[Math.floor(i / size)];
  const byPlace = (mask) => (i) => mask[i % size];
  if (order === "channel first") {
    const gates = channelGates(x, size, part, use);
    const refined = scaled(x, byChannel(gates));
    const spatial = spatialGates(refined, height, width, part, use);
    return { gates, ...spatial, out: scaled(refined, byPlace(spatial.mask)) };
  }
  const spatial = spatialGates(x, height, width, part, use);
  const refined = scaled(x, byPlace(spatial.mask));
  const gates = channelGates(refined, size, part, use);
  return { gates, ...spatial, out: scaled(refined, byChannel(gates)) };
}

function openStage(json) {
  const part = {
    name: json.name, channels: json.weight.shape[0], kernelSide: json.kernel.shape[1], pool: json.pool,
    spatialScale: json.spatial_scale, spatialShift: json.spatial_shift,
  };
  const names = {
    weight: "weight", scale: "scale", shift: "shift", kernel: "kernel", reduceWeight: "reduce_weight",
    reduceBias: "reduce_bias", expandWeight: "expand_weight", expandBias: "expand_bias",
  };
  for (const [name, key] of Object.entries(names)) part[name] = decode(json[key]).values;
  return part;
}

/** The strongest channel at every position. */
function strongest(x, channels, size) {
  const out = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    let top = -Infinity;
    for (let c = 0; c < channels; c++) top = Math.max(top, x[c * size + i]);
    out[i] = top;
  }
  return out;
}

const UNTOUCHED = {
  order: "channel first", channel_mean: true, channel_max: true, spatial_max: true, spatial_mean: true,
};

function render({ model, el }) {
  const house = frame({ model, el, name: "cbam-steps" });
  const stages = model.get("stages").map(openStage);
  const head = { weight: decode(model.get("head").weight).values, bias: decode(model.get("head").bias).values };
  const shortName = (name) => name.replace(/\.attention$/, "");
  const stageNow = () => Math.min(model.get("stage"), stages.length - 1);
  const pictureNow = () => Math.min(model.get("picture"), model.get("pictures").length - 1);
  const useNow = () => Object.fromEntries(["order", ...SWITCHES].map((name) => [name, model.get(name)]));
  const isTouched = () => Object.entries(useNow()).some(([name, value]) => value !== UNTOUCHED[name]);

  // The network runs here. The untouched pass of each picture is kept.
  const passes = new Map();
  const runFrom = (start, x, height, width, use) => {
    const seen = [];
    let map = { x, height, width };
    for (let i = start; i < stages.length; i++) {
      const part = stages[i];
      const before = i === start ? map.x : convolve(map.x, stages[i - 1].channels, map.height, map.width, part, part.channels);
      const block = runBlock(before, map.height, map.width, part, i === start ? use : UNTOUCHED);
      seen[i] = { x: before, height: map.height, width: map.width, ...block };
      map = maxPool(block.out, part.channels, map.height, map.width, part.pool);
    }
    const { channels } = stages.at(-1);
    const size = map.height * map.width;
    const means = Float64Array.from({ length: channels }, (_, c) => {
      let sum = 0;
      for (let i = c * size; i < (c + 1) * size; i++) sum += map.x[i];
      return sum / size;
    });
    const logits = Array.from(head.bias, (bias, k) =>
      means.reduce((sum, value, c) => sum + head.weight[k * channels + c] * value, bias));
    return { seen, probabilities: softmax(logits) };
  };
  const passOf = (index) => {
    if (!passes.has(index)) {
      const { shape: [height, width, colours = 1], values } = decode(model.get("pictures")[index].image);
      const x = new Float32Array(colours * height * width);
      for (let i = 0; i < height * width; i++) {
        for (let c = 0; c < colours; c++) x[c * height * width + i] = values[i * colours + c] / 255;
      }
      const first = convolve(x, colours, height, width, stages[0], stages[0].channels);
      passes.set(index, runFrom(0, first, height, width, UNTOUCHED));
    }
    return passes.get(index);
  };
  let shown = null;
  const compute = () => {
    const own = passOf(pictureNow());
    const { x, height, width } = own.seen[stageNow()];
    const now = isTouched() ? runFrom(stageNow(), x, height, width, useNow()) : own;
    shown = { own, now, before: own.seen[stageNow()], block: now.seen[stageNow()] };
    shown.part = stages[stageNow()];
    shown.strongIn = strongest(x, shown.part.channels, height * width);
    shown.strongOut = strongest(shown.block.out, shown.part.channels, height * width);
  };

  // Controls.
  const thumbs = pictureButtons({ label: "Pictures", side: 40, onPress: (picture) => store(model, { picture }) });
  const offers = model.get("pictures").map(({ label, image }, i) => (
    { key: i, label: `Picture ${i + 1}: ${label}`, title: label, image: paintImage(decode(image)) }));
  const stageChoice = choice({
    label: "Block of",
    options: stages.map(({ name, channels }, i) => [i, `${shortName(name)}: ${channels} channels`]),
    value: stageNow(),
    onChange: (value) => store(model, { stage: Number(value), query: [] }),
  });
  const orderChoice = choice({
    label: "Order", options: [["channel first", "channel, then spatial"], ["spatial first", "spatial, then channel"]],
    value: model.get("order"), onChange: (order) => store(model, { order }),
  });
  const stepSlider = slider({
    label: "Step", min: 1, max: 5, step: 1, value: model.get("step"), show: (value) => `${value} of 5`,
    onInput: (step) => store(model, { step }),
  });
  const pools = {
    channel_mean: "mean", channel_max: "max", spatial_max: "max", spatial_mean: "mean",
  };
  const toggles = Object.fromEntries(SWITCHES.map((name) => {
    const part = name.split("_")[0];
    const made = toggle({ label: pools[name], value: model.get(name), onChange: (on) => store(model, { [name]: on }) });
    made.input.setAttribute("aria-label", `${pools[name]} in the ${part} part`);
    return [name, made];
  }));
  const group = (words, names) => styled(
    element("span", { role: "group", "aria-label": words }, element("span", {}, words), ...names.map((n) => toggles[n].node)),
    { display: "inline-flex", flexWrap: "wrap", alignItems: "center", gap: "4px 12px" },
  );
  const undo = button("Back to CBAM", () => {
    orderChoice.input.focus(); // a button that disables itself would lose the focus to the page
    store(model, UNTOUCHED);
  });
  const first = element("div", { class: "cw-controls" }, stageChoice.node, stepSlider.node, orderChoice.node);
  const second = element("div", { class: "cw-controls" },
    group("Channel part pools by", SWITCHES.slice(0, 2)), group("Spatial part pools by", SWITCHES.slice(2)), undo);
  styled(first, { marginTop: "8px" });
  styled(second, { marginTop: "4px" });
  const top = styled(element("div", {}, thumbs.node, first, second), { flex: "0 0 100%" });

  // The tiles: one for each thing that the block computes.
  const tile = (words, attributes) => {
    const canvas = element("canvas", attributes);
    const name = element("p", { class: "cw-panel-name" }, words);
    const note = element("p", { class: "cw-panel-name" }, "");
    return { canvas, name, note, node: styled(element("div", {}, name, canvas, note), { flex: "1 1 120px", minWidth: "0", maxWidth: "200px" }) };
  };
  const keysWords = "Arrow keys move over the positions, Enter locks, Escape releases.";
  const tiles = {
    x: tile("", { role: "application", "aria-label": `What the block is given: the strongest channel at every position. ${keysWords}` }),
    gates: tile("", { role: "img" }),
    most: tile("", { role: "img" }),
    mean: tile("", { role: "img" }),
    mask: tile("", { role: "img" }),
    out: tile("", { role: "img" }),
  };
  const strip = styled(element("div", {}), { display: "flex", flexWrap: "wrap", gap: "12px", flex: "0 0 100%" });
  const keys = element("p", { class: "cw-panel-name cw-keys" },
    "x and output show the strongest channel at every position. Point at a position: the frame in max and mean holds what its "
    + "spatial gate is made of. Arrows move, Enter locks, Escape releases");
  styled(keys, { flex: "0 0 100%" });
  const mapScale = scaleBar("values of the maps");
  const maskScale = scaleBar("spatial mask");
  const scales = styled(element("div", {}, mapScale.node, maskScale.node), { display: "grid", gridTemplateColumns: "minmax(0, 1fr)", gap: "8px", alignContent: "start", flex: "0 1 240px" });
  const bars = element("canvas", { role: "img" });
  const barsName = element("p", { class: "cw-panel-name" }, "Class probabilities");
  const answer = styled(element("div", {}, barsName, bars), { flex: "1 1 320px", minWidth: "0", maxWidth: "420px" });
  const picture = tile("the picture", { role: "img" });
  styled(picture.node, { flex: "0 1 160px" });
  house.stage.append(top, strip, keys, picture.node, answer, scales);

  const STEP_NAMES = { x: "1", gates: "2", most: "3", mean: "3", mask: "4", out: "5" };
  const SWAPPED = { x: "1", most: "2", mean: "2", mask: "3", gates: "4", out: "5" };
  const stepOf = () => (model.get("order") === "channel first" ? STEP_NAMES : SWAPPED);

  const mapTiles = ["x", "most", "mean", "mask", "out"];
  const focus = focusController({
    canvases: mapTiles.map((name) => tiles[name].canvas),
    rows: () => shown.before.height,
    columns: () => shown.before.width,
    locate: (_, x, y) => (x < 0 || y < 0 || x >= 1 || y >= 1 ? null
      : [Math.floor(y * shown.before.height), Math.floor(x * shown.before.width)]),
    onEdge: () => house.say([...describe(), "Edge."], { again: true }),
    onChange: (query, locked, quiet) => {
      mark(quiet);
      const stored = locked ? query : [];
      if (String(stored) !== String(model.get("query"))) store(model, { query: stored });
    },
  });

  const bases = {};
  const paintTile = (name, values, range) => {
    const { height, width } = shown.before;
    const { canvas, node } = tiles[name];
    fit(canvas, Math.max(60, Math.floor(node.clientWidth)), height / width);
    bases[name] = paintMap(values, height, width, range);
    const least = values.reduce((one, other) => Math.min(one, other));
    const high = values.reduce((one, other) => Math.max(one, other));
    tiles[name].note.textContent = `${number(least)} to ${number(high)}`;
    return [least, high];
  };

  const draw = () => {
    compute();
    const { block, strongIn, strongOut, part, before } = shown;
    const order = model.get("order") === "channel first" ? ["x", "gates", "most", "mean", "mask", "out"]
      : ["x", "most", "mean", "mask", "gates", "out"];
    if (order.some((name, i) => strip.children[i] !== tiles[name].node)) {
      const held = document.activeElement;
      strip.replaceChildren(...order.map((name) => tiles[name].node));
      if (held?.isConnected && held !== document.activeElement) held.focus();
    }
    const numbers = stepOf();
    const words = {
      x: "x", gates: `${part.channels} gates`, most: "max", mean: "mean", mask: "spatial mask", out: "output",
    };
    for (const name of order) {
      tiles[name].name.textContent = `${numbers[name]} · ${words[name]}`;
      tiles[name].node.style.visibility = Number(numbers[name]) > model.get("step") ? "hidden" : "visible";
    }
    const range = { table: MAPS, low: 0, high: strongIn.reduce((one, other) => Math.max(one, other)) || 1 };
    mapScale.set(range);
    maskScale.set({ table: MASKS, low: 0, high: 1 });
    paintTile("x", strongIn, range);
    paintTile("most", block.most, range);
    paintTile("mean", block.mean, { ...range, high: block.mean.reduce((one, other) => Math.max(one, other)) || 1 });
    tiles.mean.note.textContent += ", own colours";
    paintTile("out", strongOut, range);
    const [least, high] = paintTile("mask", block.mask, { table: MASKS, low: 0, high: 1 });
    tiles.mask.canvas.setAttribute("aria-label", `The spatial mask: from ${number(least)} to ${number(high)}`);
    tiles.most.canvas.setAttribute("aria-label", "The largest value over the channels at every position");
    tiles.mean.canvas.setAttribute("aria-label", "The mean over the channels at every position");
    tiles.out.canvas.setAttribute("aria-label", "What the block gives: the strongest channel at every position");
    drawGates();
    drawBars();
    const { image, label } = model.get("pictures")[pictureNow()];
    picture.source = paintImage(decode(image));
    picture.canvas.setAttribute("aria-label", label);
    picture.note.textContent = label;
    fit(picture.canvas, Math.max(60, Math.floor(picture.node.clientWidth)), picture.source.height / picture.source.width);
    tiles.mask.canvas.dataset.mask = [...block.mask.slice(0, 400)].map((v) => v.toPrecision(6)).join(",");
    tiles.gates.canvas.dataset.gates = [...block.gates].map((v) => v.toPrecision(6)).join(",");
    if (focus.get() && (focus.get()[0] >= before.height || focus.get()[1] >= before.width)) focus.set(null);
    mark();
    if (model.get("query").length && !focus.isLocked()) store(model, { query: [] }); // the stage has no such place
  };

  /** One bar a channel, in order from the top; the network's own gate as a mark where a switch has moved it. */
  function drawGates() {
    const { gates } = shown.block;
    const own = shown.before.gates;
    const { canvas, node, note } = tiles.gates;
    const { scale } = fit(canvas, Math.max(60, Math.floor(node.clientWidth)), shown.before.height / shown.before.width);
    const context = canvas.getContext("2d");
    context.fillStyle = house.ink("sunken");
    context.fillRect(0, 0, canvas.width, canvas.height);
    const step = canvas.height / gates.length;
    gates.forEach((gate, c) => {
      context.fillStyle = house.ink("run-0");
      context.fillRect(0, c * step, canvas.width * gate, Math.max(1, step - scale));
      if (Math.abs(gate - own[c]) < 1e-3) return;
      context.fillStyle = house.ink("ink");
      context.fillRect(canvas.width * own[c] - scale, c * step, 2 * scale, Math.max(1, step - scale));
    });
    const [least, high] = [Math.min(...gates), Math.max(...gates)];
    note.textContent = `${number(least)} to ${number(high)}`;
    canvas.setAttribute("aria-label", `${gates.length} channel gates, from ${number(least)} to ${number(high)}; `
      + `widest: channel ${largest(gates)}`);
  }

  function drawBars() {
    const now = shown.now.probabilities;
    const own = shown.own.probabilities;
    const width = Math.max(200, answer.clientWidth);
    const height = now.length * ROW;
    const { scale } = fit(bars, width, height / width);
    const context = bars.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.textBaseline = "middle";
    const [start, end] = [22, width - 112];
    now.forEach((value, k) => {
      const middle = k * ROW + ROW / 2;
      context.font = `${k === largest(now) ? "600 " : ""}13px ${FONT}`;
      context.fillStyle = house.ink("ink");
      context.textAlign = "left";
      context.fillText(String(k), 0, middle);
      context.fillStyle = house.ink("line");
      context.fillRect(start, middle - 6, end - start, 12);
      context.fillStyle = house.ink("run-0");
      context.fillRect(start, middle - 6, (end - start) * value, 12);
      const moved = value - own[k];
      context.fillStyle = house.ink("ink");
      if (Math.abs(moved) >= 5e-4) context.fillRect(start + (end - start) * own[k] - 1, middle - 8, 2, 16);
      context.textAlign = "right";
      context.fillText(percent(value), width - 52, middle);
      context.fillStyle = house.ink(Math.abs(moved) >= 5e-4 ? "ink" : "soft");
      context.fillText(changeInWords(moved), width, middle);
    });
    barsName.textContent = isTouched() ? "Class probabilities (change in points)" : "Class probabilities";
    const said = now.map((value, k) => `${k} ${percent(value)}${isTouched() ? ` (${changeInWords(value - own[k])})` : ""}`);
    bars.setAttribute("aria-label", `${barsName.textContent}: ${said.join("; ")}`);
    bars.dataset.probabilities = now.map((value) => value.toPrecision(7)).join(",");
    undo.disabled = !isTouched();
  }

  /** A frame round a cell that is wide enough to be seen. */
  const frameCell = (context, [row, column], wide, high, scale) => {
    const side = Math.max(wide, 9 * scale);
    outline(context, (column + 0.5) * wide - side / 2, (row + 0.5) * high - side / 2, side, side, scale, focus.isLocked());
  };
  const mark = (quiet = false) => {
    const { height, width } = shown.before;
    const query = focus.get();
    const half = (shown.part.kernelSide - 1) / 2;
    for (const name of mapTiles) {
      const { canvas } = tiles[name];
      const context = canvas.getContext("2d");
      context.imageSmoothingEnabled = false;
      context.drawImage(bases[name], 0, 0, canvas.width, canvas.height);
      if (!query) continue;
      const scale = canvas.width / parseFloat(canvas.style.width);
      const [wide, high] = [canvas.width / width, canvas.height / height];
      if (name === "most" || name === "mean") {
        const rows = [Math.max(0, query[0] - half), Math.min(height, query[0] + half + 1)];
        const columns = [Math.max(0, query[1] - half), Math.min(width, query[1] + half + 1)];
        outline(context, columns[0] * wide, rows[0] * high, (columns[1] - columns[0]) * wide,
          (rows[1] - rows[0]) * high, scale, focus.isLocked());
      } else frameCell(context, query, wide, high, scale);
    }
    const context = picture.canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(picture.source, 0, 0, picture.canvas.width, picture.canvas.height);
    if (query) {
      const scale = picture.canvas.width / parseFloat(picture.canvas.style.width);
      const [wide, high] = [picture.canvas.width / width, picture.canvas.height / height];
      frameCell(context, query, wide, high, scale);
    }
    house.say(describe(), { quiet });
  };

  const describe = () => {
    const { before, block, strongIn, strongOut, own, now, part } = shown;
    const { width } = before;
    const query = focus.get();
    const name = shortName(part.name);
    const two = (value) => value.toFixed(2);
    const place = (i) => `row ${Math.floor(i / width)}, column ${i % width}`;
    let words;
    if (query) {
      const i = query[0] * width + query[1];
      const was = isTouched() ? ` (CBAM's own: ${two(before.mask[i])})` : "";
      words = `${name}, ${place(i)}: the strongest channel is ${number(strongIn[i])} before the block and `
        + `${number(strongOut[i])} after it; the spatial part pools max ${number(block.most[i])} and mean `
        + `${number(block.mean[i])}; its mask here is ${two(block.mask[i])}${was}.`;
    } else {
      const i = largest(block.mask);
      words = `${name}: channel gates from ${two(Math.min(...block.gates))} to ${two(Math.max(...block.gates))}; `
        + `spatial mask up to ${two(block.mask[i])}, at ${place(i)}.`;
    }
    const said = (values) => `${largest(values)} with ${percent(values[largest(values)])}`;
    const then = isTouched()
      ? `With this block changed the network answers ${said(now.probabilities)}; with CBAM as trained, ${said(own.probabilities)}.`
      : `The network answers ${said(now.probabilities)}.`;
    return [words, then, focus.hint()];
  };

  const takeQuery = () => {
    const query = model.get("query");
    if (query.length) focus.set(query, true);
    else if (focus.isLocked()) focus.set(null);
  };
  const refresh = () => {
    stageChoice.set(stageNow());
    orderChoice.set(model.get("order"));
    stepSlider.set(model.get("step"));
    for (const name of SWITCHES) toggles[name].set(model.get(name));
    thumbs.show(offers, pictureNow());
    if (house.root.clientWidth > 0) draw();
  };
  // Several traits that change together are drawn once.
  let pending = false;
  const later = () => {
    if (pending) return;
    pending = true;
    queueMicrotask(() => {
      pending = false;
      refresh();
    });
  };
  takeQuery();
  house.listen(["picture", "stage", "step", "order", ...SWITCHES], later);
  house.listen("query", () => {
    takeQuery();
    if (shown) mark();
  });
  house.whenShown(refresh);

  const compose = () => {
    const scale = tiles.x.canvas.width / parseFloat(tiles.x.canvas.style.width);
    const wide = 880;
    const side = 130;
    const sheet = document.createElement("canvas");
    const tall = 40 + side + 40 + Math.max(side, shown.now.probabilities.length * ROW) + 32;
    sheet.width = wide * scale;
    sheet.height = tall * scale;
    const context = sheet.getContext("2d");
    context.scale(scale, scale);
    context.fillStyle = house.ink("surface");
    context.fillRect(0, 0, wide, tall);
    context.imageSmoothingEnabled = false;
    context.font = `13px ${FONT}`;
    const put = (canvas, words, x, y, width) => {
      context.fillStyle = house.ink("ink");
      context.fillText(words, x, y - 6, width);
      context.drawImage(canvas, x, y, width, (width * canvas.height) / canvas.width);
    };
    const visible = [...strip.children].filter((node) => node.style.visibility !== "hidden");
    visible.forEach((node, i) =>
      put(node.querySelector("canvas"), node.firstChild.textContent, 16 + i * (side + 13), 36, side));
    put(picture.canvas, picture.note.textContent, 16, 36 + side + 40, side);
    put(bars, barsName.textContent, 40 + side, 36 + side + 40, answer.clientWidth);
    return sheet;
  };
  const code = () => {
    const used = (part) => SWITCHES.filter((name) => name.startsWith(part) && model.get(name))
      .map((name) => JSON.stringify(name.split("_")[1]));
    const tuple = (names) => `(${names.join(", ")}${names.length === 1 ? "," : ""})`;
    return [
      model.get("code"),
      model.get("pictures")[pictureNow()].code,
      `block = network.get_submodule(${JSON.stringify(shown.part.name)})`,
      `settings = {"order": ${JSON.stringify(model.get("order"))}, "channel_pools": ${tuple(used("channel"))}, `
        + `"spatial_pools": ${tuple(used("spatial"))}}`,
      "with torch.no_grad(), switched(block, **settings), record_masks(network) as masks:",
      "    probabilities = network(image).softmax(1)",
      "print(probabilities)",
      "",
    ].join("\n");
  };
  house.actions.append(saveButton(house, compose, "cbam-steps.png"), copyButton(house, code));
  return house.end;
}

export default { render };
