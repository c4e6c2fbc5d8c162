import { bindFocus, button, choice, fill, slider, store } from "../page/bind.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { decode, number, sigmoid } from "../page/maths.js";
import { colourOf, fit, outline, paintImage, paintMap } from "../page/paint.js";
import { copyButton, saveButton, scaleBar } from "../page/panels.js";

const MAPS = "viridis";
const SIGNED = "RdBu";
const FONT = "system-ui, sans-serif";
const HEAD = 62; // the margin of the matrix: a map and its name
const ROW = 24;
const SETTINGS = ["example", "view", "moved", "leader", "turn"];

/** A number with its sign, in three figures. */
const signed = (value) => `${value < 0 ? "−" : "+"}${number(Math.abs(value))}`;
const fixed = (value, digits = 2) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;


/** weight (outputs, inputs) times a vector, plus bias. */
function layer(weight, bias, vector) {
  const inputs = vector.length;
  return Float64Array.from(bias, (start, o) => {
    let sum = start;
    for (let i = 0; i < inputs; i++) sum += weight[o * inputs + i] * vector[i];
    return sum;
  });
}

/** The means and the C x C covariances of maps (C, M): products of deviations, averaged over the M positions. */
function statistics(maps, channels) {
  const size = maps.length / channels;
  const means = new Float64Array(channels);
  for (let c = 0; c < channels; c++) {
    let sum = 0;
    for (let p = 0; p < size; p++) sum += maps[c * size + p];
    means[c] = sum / size;
  }
  const covariance = new Float64Array(channels * channels);
  for (let i = 0; i < channels; i++) {
    for (let j = i; j < channels; j++) {
      let sum = 0;
      for (let p = 0; p < size; p++) sum += (maps[i * size + p] - means[i]) * (maps[j * size + p] - means[j]);
      covariance[i * channels + j] = sum / size;
      covariance[j * channels + i] = sum / size;
    }
  }
  return { means, covariance };
}

/** The rank of each value within its map; of equal values the earlier place comes first. */
function ranks(values) {
  const order = Array.from(values, (_, p) => p).sort((one, two) => values[one] - values[two]);
  const result = new Float64Array(values.length);
  order.forEach((place, rank) => { result[place] = rank; });
  return result;
}

/** The values of one map at other places: at turn 1 largest where the leader is largest, at -1 where it is smallest. */
function rearrange(values, lead, turn) {
  const [own, its] = [ranks(values), ranks(lead)];
  const key = own.map((rank, p) => (1 - Math.abs(turn)) * rank + turn * its[p]);
  const places = Array.from(key, (_, p) => p).sort((one, two) => key[one] - key[two]);
  const sorted = Float32Array.from(values).sort();
  const result = new Float32Array(values.length);
  places.forEach((place, rank) => { result[place] = sorted[rank]; });
  return result;
}

function seMask(weights, means) {
  const hidden = layer(weights.reduce_weight, weights.reduce_bias, means).map((value) => Math.max(0, value));
  return layer(weights.expand_weight, weights.expand_bias, hidden).map(sigmoid);
}

/** The GSoP block's reduced maps (d, M): ReLU, 1x1 convolution with its batch norm folded in, ReLU. */
function reduceMaps(weights, maps, channels) {
  const size = maps.length / channels;
  const reduced = weights.reduce_bias.length;
  const result = new Float64Array(reduced * size);
  for (let d = 0; d < reduced; d++) {
    for (let p = 0; p < size; p++) {
      let sum = weights.reduce_bias[d];
      for (let c = 0; c < channels; c++) sum += weights.reduce_weight[d * channels + c] * Math.max(0, maps[c * size + p]);
      result[d * size + p] = Math.max(0, sum);
    }
  }
  return result;
}

/** The gates from the d x d covariance: each row by its own kernels, then a layer and a sigmoid. */
function gsopMask(weights, covariance) {
  const reduced = weights.reduce_bias.length;
  const expansion = weights.row_bias.length / reduced;
  const squeezed = Float64Array.from(weights.row_bias, (start, k) => {
    const row = Math.floor(k / expansion);
    let sum = start;
    for (let c = 0; c < reduced; c++) sum += weights.row_weight[k * reduced + c] * covariance[row * reduced + c];
    return sum;
  });
  return layer(weights.expand_weight, weights.expand_bias, squeezed).map(sigmoid);
}

function extent(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return { low, high };
}

function panel(words) {
  const canvas = element("canvas", { role: "img", "aria-label": words });
  const name = element("p", { class: "cw-panel-name" }, words);
  const node = element("div", {}, canvas, name);
  Object.assign(node.style, { flex: "1 1 40%", minWidth: "0" });
  return { node, canvas, name };
}

function render({ model, el }) {
  const house = frame({ model, el, name: "covariance" });
  const state = {};
  const pull = () => SETTINGS.forEach((name) => { state[name] = model.get(name); });
  pull();

  let examples;
  let names;
  let blocks;
  const load = () => {
    names = model.get("names");
    examples = model.get("examples").map(({ label, maps, code }) => ({ label, code, ...decode(maps) }));
    const open = (weights) => Object.fromEntries(Object.entries(weights).map(([name, one]) => [name, decode(one).values]));
    blocks = { se: open(model.get("se")), gsop: open(model.get("gsop")) };
  };

  /** Everything that follows from the settings, computed once for each change. */
  let now;
  let height;
  let width;
  const compute = () => {
    const example = examples[state.example];
    const channels = names.length;
    [, height, width] = example.shape;
    const size = height * width;
    const outcome = (maps) => {
      const own = statistics(maps, channels);
      const reduced = reduceMaps(blocks.gsop, maps, channels);
      const its = statistics(reduced, blocks.gsop.reduce_bias.length);
      return { maps, own, reduced, its, se: seMask(blocks.se, own.means), gsop: gsopMask(blocks.gsop, its.covariance) };
    };
    const before = now?.example === state.example ? now.before : outcome(example.values);
    const maps = Float32Array.from(example.values);
    const at = (c) => example.values.subarray(c * size, (c + 1) * size);
    if (state.turn !== 0) maps.set(rearrange(at(state.moved), at(state.leader), state.turn), state.moved * size);
    now = { example: state.example, before, after: state.turn === 0 ? before : outcome(maps) };
  };
  const shown = () => {
    const { maps, own, reduced, its } = now.after;
    if (state.view === "channels") return { maps, ...own, names };
    return { maps: reduced, ...its, names: Array.from(its.means, (_, d) => `reduced ${d}`) };
  };
  const cell = () => {
    const count = shown().names.length;
    const asked = focus.get() ?? last ?? (state.view === "channels" ? [state.leader, state.moved] : [0, 1]);
    return asked.map((place) => Math.min(place, count - 1));
  };
  const correlation = ({ covariance, names: all }, i, j) => {
    const n = all.length;
    const spread = Math.sqrt(covariance[i * n + i] * covariance[j * n + j]);
    return spread > 0 ? covariance[i * n + j] / spread : null;
  };

  // The matrix on the left.
  const matrix = element("canvas", { role: "application" });
  const matrixName = element("p", { class: "cw-panel-name" });
  const keys = element("p", { class: "cw-panel-name cw-keys" }, "Arrows move, Enter locks, Escape releases");
  const matrixScale = scaleBar("covariance");
  const left = element("div", {}, matrixName, matrix, keys, matrixScale.node);
  Object.assign(left.style, { flex: "1.25 1 380px", minWidth: "0" });

  // The cell's maps on the right.
  const [first, second, product, picture] = ["first", "second", "product", "picture"].map(panel);
  const lenses = element("div", {}, first.node, second.node, product.node, picture.node);
  Object.assign(lenses.style, { display: "flex", flexWrap: "wrap", gap: "8px" });
  const cellName = element("p", {});
  Object.assign(cellName.style, { fontWeight: "600", marginBottom: "6px" });
  const right = element("div", {}, cellName, lenses);
  Object.assign(right.style, { flex: "1 1 280px", minWidth: "0" });

  // The masks below.
  const bars = element("canvas", { role: "img" });
  const barsName = element("p", { class: "cw-panel-name" }, "Gates from 0 to 1; the thin mark is the gate with the slider at 0");
  const foot = element("div", {}, barsName, bars);
  Object.assign(foot.style, { flex: "1 1 100%", minWidth: "0" });

  const exampleChoice = choice({
    label: "Picture", options: [], value: 0, onChange: (value) => change({ example: Number(value) }),
  });
  const viewChoice = choice({ label: "Covariances of", options: [], value: "channels", onChange: (view) => change({ view }) });
  const top = element("div", { class: "cw-controls" }, exampleChoice.node, viewChoice.node);
  Object.assign(top.style, { flex: "0 0 100%", marginTop: "0" });
  const movedChoice = choice({ label: "Move the values of", options: [], value: 1, onChange: (v) => change({ moved: Number(v) }) });
  const leaderChoice = choice({ label: "after", options: [], value: 0, onChange: (v) => change({ leader: Number(v) }) });
  const turn = slider({
    label: "Turn", min: -1, max: 1, step: 0.05, value: 0, show: (value) => fixed(value),
    onInput: (value) => {
      state.turn = value;
      refresh(true);
      later();
    },
  });
  turn.input.style.width = "180px";
  const back = button("Put back", () => {
    turn.input.focus(); // a button that disables itself would lose the focus to the page
    change({ turn: 0 });
  });
  const turnRow = element("div", { class: "cw-controls" }, movedChoice.node, leaderChoice.node, turn.node, back);
  Object.assign(turnRow.style, { flex: "0 0 100%", marginTop: "0" });
  house.stage.append(top, left, right, turnRow, foot);

  let last = null;
  let resting = 0;
  const push = () => store(model, Object.fromEntries(SETTINGS.map((name) => [name, state[name]])));
  const later = () => {
    clearTimeout(resting);
    resting = setTimeout(() => {
      push();
      house.say(describe(), { again: true }); // heard once, when the hand rests
    }, 300);
  };
  house.endings.push(() => clearTimeout(resting));
  function change(values) {
    clearTimeout(resting);
    if ("view" in values) {
      last = null;
      focus.set(null);
      store(model, { query: [] });
    }
    Object.assign(state, values);
    push();
    refresh();
  }

  // The matrix: geometry in CSS pixels.
  let side = 0;
  let base = null;
  const paintMatrix = () => {
    const { maps, covariance, names: all } = shown();
    const n = all.length;
    const size = height * width;
    const available = Math.max(200, left.clientWidth);
    side = Math.min(58, Math.floor((available - HEAD - 2) / n));
    const whole = HEAD + n * side + 2;
    const { scale } = fit(matrix, whole, 1);
    base = document.createElement("canvas");
    base.width = matrix.width;
    base.height = matrix.height;
    const context = base.getContext("2d");
    context.scale(scale, scale);
    context.imageSmoothingEnabled = false;
    const limit = Math.max(...Array.from(covariance, Math.abs)) || 1;
    const range = { table: SIGNED, low: -limit, high: limit };
    const tones = { table: MAPS, ...mapRange() };
    const thumb = Math.min(side - 4, 40);
    context.font = `11px ${FONT}`;
    for (let c = 0; c < n; c++) {
      const map = paintMap(maps.subarray(c * size, (c + 1) * size), height, width, tones);
      const at = HEAD + c * side + (side - thumb) / 2;
      context.drawImage(map, at, 18, thumb, thumb);
      context.drawImage(map, HEAD - 4 - thumb, at, thumb, thumb);
      context.fillStyle = house.ink(state.view === "channels" && c === state.moved && state.turn !== 0 ? "run-1" : "ink");
      context.textAlign = "center";
      context.textBaseline = "alphabetic";
      context.fillText(short(all[c]), HEAD + (c + 0.5) * side, 13, side - 5);
    }
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        const [x, y] = [HEAD + j * side, HEAD + i * side];
        const value = covariance[i * n + j];
        context.fillStyle = colourOf(value, range);
        context.fillRect(x, y, side - 1, side - 1);
        if (side >= 36) {
          context.fillStyle = Math.abs(value) > 0.6 * limit ? "#fff" : "#1a2029";
          context.textAlign = "center";
          context.textBaseline = "middle";
          const thousandths = Math.round(1000 * value);
          context.fillText(`${thousandths < 0 ? "−" : ""}${Math.abs(thousandths)}`, x + side / 2, y + side / 2);
        }
      }
    }
    matrixScale.set(range);
    matrix.dataset.covariance = Array.from(covariance, (value) => value.toPrecision(7)).join(",");
    const what = state.view === "channels" ? `the ${n} channels` : `the ${n} reduced channels inside the GSoP block`;
    matrixName.textContent = `Covariances of ${what}${side >= 36 ? ", in thousandths" : ""}`;
    matrix.setAttribute("aria-label", `${n} by ${n} covariances of ${what}. Arrows move, Enter locks, Escape releases.`);
  };
  const short = (name) => name.replace("reduced ", "r");
  const mapRange = () => (state.view === "channels" ? { low: 0, high: 1 } : { low: 0, high: extent(shown().maps).high || 1 });

  const mark = () => {
    const context = matrix.getContext("2d");
    context.clearRect(0, 0, matrix.width, matrix.height);
    context.drawImage(base, 0, 0);
    const pixels = matrix.width / parseFloat(matrix.style.width);
    const [i, j] = cell();
    const at = [(HEAD + j * side) * pixels, (HEAD + i * side) * pixels, (side - 1) * pixels, (side - 1) * pixels];
    if (focus.get()) outline(context, ...at, pixels, focus.isLocked());
    else {
      context.strokeStyle = house.ink("accent");
      context.lineWidth = 2 * pixels;
      context.strokeRect(...at);
    }
  };

  const lens = (one, map, words, label) => {
    fit(one.canvas, Math.floor(one.node.clientWidth), height / width);
    const context = one.canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(map, 0, 0, one.canvas.width, one.canvas.height);
    one.name.textContent = words;
    one.canvas.setAttribute("aria-label", label ?? words);
  };
  const paintLenses = () => {
    const { maps, means, covariance, names: all } = shown();
    const size = height * width;
    const [i, j] = cell();
    const tones = { table: MAPS, ...mapRange() };
    for (const [one, c] of [[first, i], [second, j]]) {
      const map = maps.subarray(c * size, (c + 1) * size);
      lens(one, paintMap(map, height, width, tones), `${all[c]}: mean ${means[c].toFixed(3)}`,
        `Map of ${all[c]}: mean ${number(means[c])}, from ${number(extent(map).low)} to ${number(extent(map).high)}; `
        + `colours from ${number(tones.low)} to ${number(tones.high)}`);
    }
    const products = new Float64Array(size);
    for (let p = 0; p < size; p++) products[p] = (maps[i * size + p] - means[i]) * (maps[j * size + p] - means[j]);
    const { low, high } = extent(products);
    const limit = Math.max(-low, high) || 1;
    const value = covariance[i * all.length + j];
    lens(product, paintMap(products, height, width, { table: SIGNED, low: -limit, high: limit }),
      `product of deviations, ±${number(limit)}`,
      `Product of the deviations of ${all[i]} and ${all[j]}: from ${number(low)} to ${number(high)}, mean ${number(value)}`);
    product.canvas.dataset.mean = value.toPrecision(7);
    cellName.textContent = `${all[i]} with ${all[j]}: covariance ${signed(value)}`;
  };
  const paintPicture = () => {
    const size = height * width;
    const values = new Uint8ClampedArray(3 * size);
    for (let p = 0; p < size; p++) for (let c = 0; c < 3; c++) values[3 * p + c] = 255 * now.after.maps[c * size + p];
    const moved = state.turn !== 0 && state.moved < 3 ? `, ${names[state.moved]} rearranged` : "";
    lens(picture, paintImage({ shape: [height, width, 3], values }), `the picture${moved}`);
  };

  const paintBars = () => {
    const { before, after } = now;
    const across = Math.max(280, foot.clientWidth);
    const narrow = across < 520;
    const half = narrow ? across : (across - 32) / 2;
    const tall = 22 + names.length * ROW;
    const { scale } = fit(bars, across, (narrow ? 2 * tall + 12 : tall) / across);
    const context = bars.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, across, 2 * tall + 12);
    ["se", "gsop"].forEach((block, k) => {
      const [x, y] = narrow ? [0, k * (tall + 12)] : [k * (half + 32), 0];
      context.textBaseline = "middle";
      context.textAlign = "left";
      context.font = `600 13px ${FONT}`;
      context.fillStyle = house.ink("ink");
      context.fillText({ se: "SE: from the means", gsop: "GSoP: from the covariances" }[block], x, y + 9);
      const [start, end] = [x + 58, x + half - 44];
      names.forEach((name, c) => {
        const middle = y + 22 + c * ROW + ROW / 2;
        const gate = after[block][c];
        context.font = `13px ${FONT}`;
        context.fillStyle = house.ink("ink");
        context.textAlign = "left";
        context.fillText(name, x, middle, 54);
        context.fillStyle = house.ink("line");
        context.fillRect(start, middle - 7, end - start, 14);
        context.fillStyle = house.ink(k ? "run-1" : "run-0");
        context.fillRect(start, middle - 7, (end - start) * gate, 14);
        context.fillStyle = house.ink("ink");
        context.fillRect(start + (end - start) * before[block][c] - 1, middle - 10, 2, 20);
        context.textAlign = "right";
        context.fillText(gate.toFixed(2), x + half, middle);
      });
      bars.dataset[block] = Array.from(after[block], (gate) => gate.toPrecision(7)).join(",");
    });
    const listed = (mask) => names.map((name, c) => `${name} ${mask[c].toFixed(2)}`).join(", ");
    bars.setAttribute("aria-label", `Gates. SE: ${listed(after.se)}. GSoP: ${listed(after.gsop)}.`);
  };

  const furthest = (block) => {
    const moves = Array.from(now.after[block], (gate, c) => gate - now.before[block][c]);
    const c = moves.reduce((best, move, k) => (Math.abs(move) > Math.abs(moves[best]) ? k : best), 0);
    return { channel: names[c], move: moves[c] };
  };
  /** The status line in parts: the cell; the slider, and what it did to the two masks; how to release the focus. */
  const describe = () => {
    const stats = shown();
    const [i, j] = cell();
    const { covariance, names: all } = stats;
    const value = covariance[i * all.length + j];
    const relation = correlation(stats, i, j);
    const same = i === j ? `Variance of ${all[i]}: ${number(value)}.` : `Covariance of ${all[i]} and ${all[j]}: ${signed(value)}, `
      + `${relation === null ? "no correlation: one of them is constant" : `correlation ${fixed(relation)}`}.`;
    let slid = "The slider stands at 0: nothing is rearranged.";
    if (state.turn !== 0 && state.moved === state.leader) slid = `${names[state.moved]} follows itself: choose two channels.`;
    else if (state.turn !== 0) {
      const [se, gsop] = [furthest("se"), furthest("gsop")];
      const still = Math.abs(se.move) < 5e-4 ? "no gate of SE moves" : `SE moves ${se.channel} by ${fixed(se.move, 3)}`;
      slid = `${names[state.moved]} ${state.turn > 0 ? "follows" : "flees"} ${names[state.leader]} (${fixed(state.turn)}), every `
        + `mean as before: ${still}; GSoP moves most ${gsop.channel}, by ${fixed(gsop.move, 3)}.`;
    }
    return [same, slid, focus.hint()];
  };

  const focus = bindFocus({
    model,
    house,
    describe: () => describe(),
    canvases: [matrix],
    rows: () => shown().names.length,
    columns: () => shown().names.length,
    locate: (_, x, y) => {
      const whole = parseFloat(matrix.style.width);
      const place = [y, x].map((at) => Math.floor((at * whole - HEAD) / side));
      return place.every((at) => at >= 0 && at < shown().names.length) ? place : null;
    },
    start: () => cell(),
    onChange: (query, locked, quiet) => {
      last = query ?? last;
      mark();
      paintLenses();
      house.say(describe(), { quiet });
    },
  });

  const controls = () => {
    fill(exampleChoice, examples.map(({ label }, k) => [String(k), label]), state.example);
    fill(viewChoice, [
      ["channels", `the ${names.length} channels`], ["reduced", `GSoP's ${blocks.gsop.reduce_bias.length} reduced channels`],
    ], state.view);
    const channels = names.map((name, c) => [String(c), name]);
    fill(movedChoice, channels, state.moved);
    fill(leaderChoice, channels, state.leader);
    turn.set(state.turn);
    turn.input.setAttribute("aria-label", `Turn ${names[state.moved]} after ${names[state.leader]}`);
    back.disabled = state.turn === 0;
  };
  const draw = () => {
    paintMatrix();
    mark();
    paintLenses();
    paintPicture();
    paintBars();
  };
  function refresh(quiet = false) {
    compute();
    controls();
    if (house.root.clientWidth > 0) draw();
    house.say(describe(), { quiet });
  }
  const takeQuery = () => {
    const query = model.get("query");
    if (query.length) {
      last = query;
      focus.set(query, true);
    } else if (focus.isLocked()) focus.set(null);
  };

  load();
  takeQuery();
  refresh();
  house.listen(["examples", "names", "se", "gsop"], () => {
    load();
    now = null;
    refresh();
  });
  house.listen(SETTINGS, () => {
    if (SETTINGS.every((name) => state[name] === model.get(name))) return;
    pull();
    refresh();
  });
  house.listen("query", () => {
    takeQuery();
    if (house.root.clientWidth > 0) draw();
    house.say(describe());
  });
  house.whenShown(draw);

  const compose = () => {
    const pixels = window.devicePixelRatio || 1;
    const across = parseFloat(matrix.style.width) + right.clientWidth + 48;
    const lensSide = (right.clientWidth - 8) / 2;
    const lensTall = (lensSide * height) / width + 22;
    const upper = Math.max(parseFloat(matrix.style.height), 2 * lensTall + 24) + 16;
    const sheet = document.createElement("canvas");
    const wide = Math.max(across, bars.width / pixels + 32);
    const tall = upper + bars.height / pixels + 64;
    sheet.width = wide * pixels;
    sheet.height = tall * pixels;
    const context = sheet.getContext("2d");
    context.scale(pixels, pixels);
    context.fillStyle = house.ink("surface");
    context.fillRect(0, 0, wide, tall);
    const write = (words, x, y, most, weight = "") => {
      context.font = `${weight}13px ${FONT}`;
      context.fillStyle = house.ink("ink");
      context.fillText(words, x, y, most);
    };
    context.drawImage(matrix, 16, 16, matrix.width / pixels, matrix.height / pixels);
    const x = parseFloat(matrix.style.width) + 32;
    write(cellName.textContent, x, 28, right.clientWidth, "600 ");
    [first, second, product, picture].forEach(({ canvas, name }, k) => {
      const [atX, atY] = [x + (k % 2) * (lensSide + 8), 40 + Math.floor(k / 2) * lensTall];
      context.drawImage(canvas, atX, atY, lensSide, lensTall - 22);
      write(name.textContent, atX, atY + lensTall - 8, lensSide);
    });
    context.drawImage(bars, 16, upper + 8, bars.width / pixels, bars.height / pixels);
    write(describe()[1], 16, tall - 22, wide - 32);
    return sheet;
  };
  const code = () => {
    const lines = [
      model.get("code").trimEnd(),
      `x = rearrange(${examples[state.example].code}, moved=${state.moved}, leader=${state.leader}, turn=${state.turn})`,
      "print(covariance_pool(x)[0])  # the channels' covariances",
      "print(se.mask(x).flatten())",
      "print(gsop.mask(x).flatten())",
    ];
    return `${lines.join("\n")}\n`;
  };
  house.actions.append(copyButton(house, code), saveButton(house, compose, "covariance.png"));
  return house.end;
}

export default { render };
