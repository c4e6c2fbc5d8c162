import { bindFocus, button, choice, slider, store } from "../page/bind.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { decode, largest, number, percent } from "../page/maths.js";
import { colourOf, fit, outline, paintImage, paintMap } from "../page/paint.js";
import { copyButton, pictureButtons, pictureSheet, saveButton, scaleBar } from "../page/panels.js";

const TABLE = "magma";
const OPACITY = 0.72;
const SMALLEST = -7; // powers of two: the ends of the colours' slider
const MASKS = [
  ["none", "none: all see all"],
  ["causal", "causal: only what comes before"],
  ["window 1", "window: 1 patch each way"],
  ["window 2", "window: 2 patches each way"],
  ["window 3", "window: 3 patches each way"],
  ["padding", "padding: lower half hidden"],
];
const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

/** x (tokens, from) times a weight (to, from), plus a bias (to,). */
function linear(x, weight, bias) {
  const [to, from] = weight.shape;
  const count = x.length / from;
  const result = new Float64Array(count * to);
  for (let i = 0; i < count; i++) {
    for (let o = 0; o < to; o++) {
      let sum = bias.values[o];
      for (let c = 0; c < from; c++) sum += weight.values[o * from + c] * x[i * from + c];
      result[i * to + o] = sum;
    }
  }
  return result;
}

/** Each token to mean 0 and variance 1, then scaled and shifted. */
function layerNorm(x, weight, bias) {
  const width = weight.values.length;
  const result = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += width) {
    let mean = 0;
    let square = 0;
    for (let c = 0; c < width; c++) mean += x[start + c] / width;
    for (let c = 0; c < width; c++) square += (x[start + c] - mean) ** 2 / width;
    const scale = 1 / Math.sqrt(square + 1e-6);
    for (let c = 0; c < width; c++) result[start + c] = (x[start + c] - mean) * scale * weight.values[c] + bias.values[c];
  }
  return result;
}

/** x times the share of a normal distribution below it; the error function by Abramowitz and Stegun 7.1.26. */
function gelu(x) {
  return x.map((value) => {
    const size = Math.abs(value) / Math.SQRT2;
    const t = 1 / (1 + 0.3275911 * size);
    const series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    const erf = Math.sign(value) * (1 - series * Math.exp(-size * size));
    return 0.5 * value * (1 + erf);
  });
}

/** A softmax of a row in place, over the keys that `may` lets through from `start` on; none: all zero. */
function softmaxRow(row, may = null, start = 0) {
  const open = (k) => may === null || may[start + k] === 1;
  let largest = -Infinity;
  for (let k = 0; k < row.length; k++) if (open(k) && row[k] > largest) largest = row[k];
  let sum = 0;
  for (let k = 0; k < row.length; k++) {
    row[k] = open(k) ? Math.exp(row[k] - largest) : 0;
    sum += row[k];
  }
  if (sum > 0) for (let k = 0; k < row.length; k++) row[k] /= sum;
  return row;
}

const together = (x, y) => x.map((value, i) => value + y[i]);

/** One head: weights (L, L) of its columns of query and key; its part of the context is added into `context`. */
function attend({ query, key, value }, first, each, width, may, context) {
  const length = query.length / width;
  const weights = new Float64Array(length * length);
  for (let i = 0; i < length; i++) {
    const row = weights.subarray(i * length, (i + 1) * length);
    for (let j = 0; j < length; j++) {
      let score = 0;
      for (let c = first; c < first + each; c++) score += query[i * width + c] * key[j * width + c];
      row[j] = score / Math.sqrt(each);
    }
    softmaxRow(row, may, i * length);
    if (!context) continue;
    for (let j = 0; j < length; j++) {
      for (let c = first; c < first + each; c++) context[i * width + c] += row[j] * value[j * width + c];
    }
  }
  return weights;
}

/** The whole network: every layer's queries, keys and weights, and the probabilities; `off` holds "layer,head" from 1. */
function run({ tensor, layers, heads }, tokens, may, off) {
  const [length, width] = tokens.shape;
  const each = width / heads;
  const made = [];
  let x = Float64Array.from(tokens.values);
  for (let layer = 0; layer < layers; layer++) {
    const part = (name) => [tensor(`blocks.${layer}.${name}.weight`), tensor(`blocks.${layer}.${name}.bias`)];
    const normed = layerNorm(x, ...part("attention_norm"));
    const [query, key, value] = ["query", "key", "value"].map((name) => linear(normed, ...part(`attention.${name}`)));
    const context = new Float64Array(length * width);
    const weights = [];
    for (let head = 0; head < heads; head++) {
      const knocked = off.has(`${layer + 1},${head + 1}`);
      weights.push(attend({ query, key, value }, head * each, each, width, may, knocked ? null : context));
    }
    x = together(x, linear(context, ...part("attention.output")));
    const hidden = gelu(linear(layerNorm(x, ...part("mlp_norm")), ...part("widen")));
    x = together(x, linear(hidden, ...part("narrow")));
    made.push({ query, key, weights });
  }
  const read = layerNorm(x.slice(0, width), tensor("norm.weight"), tensor("norm.bias"));
  return { layers: made, probabilities: softmaxRow(linear(read, tensor("head.weight"), tensor("head.bias"))) };
}

/** Who may attend to whom, 1 or 0, a row a query; null where all may. */
function allowed(mask, rows, columns) {
  const length = rows * columns + 1;
  if (mask === "none") return null;
  const may = new Uint8Array(length * length);
  const radius = Number(mask.replace("window ", ""));
  const seen = 1 + Math.ceil(rows / 2) * columns;
  for (let i = 0; i < length; i++) {
    for (let j = 0; j < length; j++) {
      const down = Math.abs(Math.floor((i - 1) / columns) - Math.floor((j - 1) / columns));
      const across = Math.abs(((i - 1) % columns) - ((j - 1) % columns));
      const near = i === 0 || j === 0 || Math.max(down, across) <= radius;
      may[i * length + j] = Number(mask === "causal" ? j <= i : mask === "padding" ? j < seen : near);
    }
  }
  return may;
}

/** Entropy in bits, and the mean distance in patches of a patch's weights over patches (null for the class token). */
function measure(row, token, columns) {
  let entropy = 0;
  let far = 0;
  let mass = 0;
  for (let k = 0; k < row.length; k++) {
    if (row[k] <= 0) continue;
    entropy -= row[k] * Math.log2(row[k]);
    if (token === 0 || k === 0) continue;
    const down = Math.floor((token - 1) / columns) - Math.floor((k - 1) / columns);
    const across = ((token - 1) % columns) - ((k - 1) % columns);
    far += row[k] * Math.hypot(down, across);
    mass += row[k];
  }
  return { entropy, distance: mass > 0 ? far / mass : null };
}

const listed = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);
const headName = ([layer, head]) => `layer ${layer}, head ${head}`;
const unbroken = (words) => words.replaceAll(" %", "\u00a0%"); // a line does not end between a number and its sign
const capital = (words) => words[0].toUpperCase() + words.slice(1);

function render({ model, el }) {
  const house = frame({ model, el, name: "head-grid" });
  const title = (words, ...more) => element("p", { class: "cw-panel-name" }, words, ...more);

  const pictureCanvas = element("canvas", {
    role: "application",
    "aria-label": "The query: arrow keys move it, Enter locks it, so that it stays when Tab goes on, Escape releases it; the class token "
      + "is below the picture.",
  });
  const barsCanvas = element("canvas", { role: "img" });
  const termsCanvas = element("canvas", { role: "img" });
  const termsName = title("");
  const termsSum = element("p", { class: "cw-panel-name cw-heads-sum" });
  const thumbs = pictureButtons({ label: "Pictures", side: 44, onPress: (picture) => store(model, { picture }) });
  thumbs.node.style.marginTop = "8px";
  const left = element("div", { class: "cw-heads-left" },
    element("div", { class: "cw-heads-top" },
      element("div", { class: "cw-heads-picture" }, title("Query"), pictureCanvas),
      element("div", { class: "cw-heads-bars" }, title("The network says"), barsCanvas)),
    termsName, termsCanvas, termsSum, thumbs.node);
  const gridName = title("Weights of the query, entropy, distance in patches");
  const table = element("div", { class: "cw-heads-grid", role: "group", "aria-label": "Heads" });
  const scale = scaleBar("Weight of a key");
  const right = element("div", { class: "cw-heads-right" }, gridName, table, scale.node);
  house.stage.classList.add("cw-heads");
  house.stage.append(left, right);

  const layers = model.get("layers");
  const heads = model.get("heads");
  const [rows, columns] = model.get("grid");
  const length = rows * columns + 1;
  const tokenAt = ([row, column]) => (row >= rows ? 0 : 1 + row * columns + column);
  const placeOf = (token) => (token === 0 ? [rows, 0] : [Math.floor((token - 1) / columns), (token - 1) % columns]);
  const tokenName = (token) => {
    if (token === 0) return "the class token";
    const [row, column] = placeOf(token);
    return `row ${row}, column ${column}`;
  };

  const tensors = new Map();
  const tensor = (name) => {
    if (!tensors.has(name)) tensors.set(name, decode(model.get("parameters")[name]));
    return tensors.get(name);
  };
  const network = { tensor, layers, heads };
  const width = tensor("head.weight").shape[1];
  const each = width / heads;

  const opened = new Map();
  const open = (picture) => {
    if (!opened.has(picture)) {
      const tokens = decode(picture.tokens);
      const { probabilities } = run(network, tokens, null, new Set());
      opened.set(picture, { tokens, image: paintImage(decode(picture.image)), whole: probabilities });
    }
    return opened.get(picture);
  };
  const pictureNow = () => model.get("pictures")[Math.min(model.get("picture"), model.get("pictures").length - 1)];
  const offNow = () => new Set(model.get("off").map(String));

  let shown; // the picture in numbers
  let may; // who may attend to whom
  let result; // what the network makes of it
  let measured; // entropy and distance of every head and query
  let means; // the same, averaged over the queries, with the mean weights
  let hovered = null; // the layer, head and key under the pointer

  const compute = () => {
    shown = open(pictureNow());
    may = allowed(model.get("mask"), rows, columns);
    result = run(network, shown.tokens, may, offNow());
    measured = result.layers.map(({ weights }) => weights.map((all) =>
      Array.from({ length }, (_, i) => measure(all.subarray(i * length, (i + 1) * length), i, columns))));
    means = result.layers.map(({ weights }, layer) => weights.map((all, head) => {
      const row = new Float64Array(length);
      for (let i = 0; i < all.length; i++) row[i % length] += all[i] / length;
      const ones = measured[layer][head];
      const far = ones.filter(({ distance }) => distance !== null);
      return {
        row,
        entropy: ones.reduce((sum, { entropy }) => sum + entropy / length, 0),
        distance: far.length ? far.reduce((sum, { distance }) => sum + distance / far.length, 0) : null,
      };
    }));
  };
  const queryNow = () => (focus.get() ? tokenAt(focus.get()) : null);
  /** What one head does with the query in focus, or with all queries on average. */
  const seen = (layer, head) => {
    const query = queryNow();
    if (query === null) return means[layer][head];
    const row = result.layers[layer].weights[head].subarray(query * length, (query + 1) * length);
    return { row, ...measured[layer][head][query] };
  };

  const cells = Array.from({ length: layers }, (_, layer) => Array.from({ length: heads }, (_, head) => {
    const canvas = element("canvas", { role: "img" });
    const label = `${capital(headName([layer + 1, head + 1]))} takes part`;
    const input = element("input", { type: "checkbox", "aria-label": label });
    const numbers = element("span", { class: "cw-heads-numbers" });
    input.addEventListener("change", () => {
      const name = [layer + 1, head + 1];
      const others = model.get("off").filter((one) => String(one) !== String(name));
      store(model, { off: input.checked ? others : [...others, name] });
    });
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      const row = Math.min(rows, Math.max(0, Math.floor(y * (rows + 1))));
      const column = Math.min(columns - 1, Math.max(0, Math.floor(x * columns)));
      return row === rows && column > 0 ? null : [row, column];
    };
    canvas.addEventListener("pointermove", (event) => {
      const key = at(event);
      const before = String(hovered?.key);
      hovered = key && { chosen: [layer + 1, head + 1], key };
      if (before !== String(hovered?.key)) explain();
    });
    canvas.addEventListener("pointerleave", () => {
      hovered = null;
      explain(true);
    });
    canvas.addEventListener("click", (event) => store(model, { chosen: [layer + 1, head + 1], key: at(event) ?? [] }));
    return { canvas, input, numbers };
  }));
  table.style.gridTemplateColumns = `auto repeat(${heads}, minmax(0, 1fr))`;
  table.append(element("span", {}), ...Array.from({ length: heads }, (_, head) =>
    element("span", { class: "cw-heads-name" }, `head ${head + 1}`)));
  cells.forEach((row, layer) => table.append(
    element("span", { class: "cw-heads-name" }, `layer ${layer + 1}`),
    ...row.map(({ canvas, input, numbers }) =>
      element("div", { class: "cw-heads-cell" }, canvas, element("div", { class: "cw-heads-foot" }, input, numbers)))));

  const focus = bindFocus({
    model,
    house,
    describe: () => describe(),
    canvases: [pictureCanvas],
    rows: () => rows + 1,
    columns: () => columns,
    locate: (_, x, y) => {
      if (x < 0 || y < 0 || x >= 1 || y >= 1) return null;
      const row = Math.floor(y * (rows + 1));
      return row === rows ? [rows, 0] : [row, Math.floor(x * columns)];
    },
    onChange: (query, locked, quiet) => {
      if (query && query[0] === rows && query[1] > 0) focus.set([rows, 0], locked); // the class token is one cell
      look(quiet);
    },
  });

  const mask = choice({
    label: "Attention mask", options: MASKS, value: "none", onChange: (name) => store(model, { mask: name }),
  });
  const chosen = choice({
    label: "Products of",
    options: cells.flatMap((row, layer) => row.map((_, head) => {
      const name = [layer + 1, head + 1];
      return [String(name), headName(name)];
    })),
    value: "1,1",
    onChange: (name) => store(model, { chosen: name.split(",").map(Number) }),
  });
  const keys = choice({
    label: "with key",
    options: [["", "the largest weight"], ...Array.from({ length }, (_, i) => {
      const token = (i + 1) % length;
      return [String(placeOf(token)), tokenName(token)];
    })],
    value: "",
    onChange: (name) => store(model, { key: name ? name.split(",").map(Number) : [] }),
  });
  const limit = slider({
    label: "Colours end at", min: SMALLEST, max: 0, step: 0.5, value: 0,
    show: () => number(model.get("limit")),
    onInput: (power) => store(model, { limit: 2 ** power }),
  });
  const all = button("All heads on", () => store(model, { off: [] }));
  house.controls.append(mask.node, all, chosen.node, keys.node, limit.node);

  /** The products behind one weight: of the head and key under the pointer, else of the chosen ones. */
  const products = () => {
    const query = queryNow();
    if (query === null) return null;
    const [layer, head] = hovered?.chosen ?? model.get("chosen");
    const { row } = seen(layer - 1, head - 1);
    const picked = hovered?.key ?? model.get("key");
    const key = picked.length ? tokenAt(picked) : largest(row);
    const made = result.layers[layer - 1];
    const cut = (values, token) => {
      const start = token * width + (head - 1) * each;
      return Array.from(values.subarray(start, start + each));
    };
    const [q, k] = [cut(made.query, query), cut(made.key, key)];
    const terms = q.map((value, c) => value * k[c]);
    const closed = may !== null && may[query * length + key] === 0;
    return { layer, head, key, q, k, terms, sum: terms.reduce((sum, term) => sum + term, 0), weight: row[key], closed };
  };

  const answerWords = () => {
    const { probabilities } = result;
    const said = largest(probabilities);
    const first = largest(shown.whole);
    const right = pictureNow().answer;
    const off = [...model.get("off")].sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(headName);
    const changed = off.length > 0 || model.get("mask") !== "none";
    const verdict = said === right ? "rightly" : `wrongly, it is ${right}`;
    return [
      off.length ? `Off: ${listed(off)}.` : "",
      `The network says ${said} with ${percent(probabilities[said])}, ${verdict}`,
      changed ? `; untouched it says ${first} with ${percent(shown.whole[first])}.` : ".",
    ].filter(Boolean).join(" ").replace(" ;", ";").replace(" .", ".");
  };
  const productWords = () => {
    const made = products();
    if (!made) return "";
    const name = `${capital(headName([made.layer, made.head]))} and ${tokenName(made.key)}`;
    if (made.closed) return `${name}: the mask forbids it, weight 0.`;
    return `${name}: ${each} products sum to ${number(made.sum)}, divided by √${each} that is a score of `
      + `${number(made.sum / Math.sqrt(each))}, weight ${percent(made.weight)}.`;
  };
  const describe = () => {
    const query = queryNow();
    const every = cells.flatMap((row, layer) => row.map((_, head) =>
      ({ name: headName([layer + 1, head + 1]), ...seen(layer, head) })));
    const sharp = every.reduce((best, one) => (one.entropy < best.entropy ? one : best));
    const even = every.reduce((best, one) => (one.entropy > best.entropy ? one : best));
    const top = largest(sharp.row);
    const whose = query === null ? "No query: mean weights over all queries" : `Query: ${tokenName(query)}`;
    return [
      `${whose}. Sharpest is ${sharp.name}: ${sharp.entropy.toFixed(2)} bits, ${percent(sharp.row[top])} on `
        + `${tokenName(top)}; most even is ${even.name}: ${even.entropy.toFixed(2)} bits.`,
      productWords(),
      answerWords(),
      focus.hint(),
    ];
  };

  const layPicture = (canvas) => {
    const context = canvas.getContext("2d");
    const side = (canvas.height * rows) / (rows + 1);
    context.fillStyle = house.ink("surface");
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = false;
    context.drawImage(shown.image, 0, 0, canvas.width, side);
    return context;
  };
  const pixelsOf = (canvas) => canvas.width / parseFloat(canvas.style.width);
  const boxOf = (canvas, token) => {
    const [across, down] = [canvas.width / columns, canvas.height / (rows + 1)];
    const [row, column] = placeOf(token);
    return [column * across, row * down, across, down];
  };
  const frameClass = (context, canvas) => {
    const [x, y, wide, tall] = boxOf(canvas, 0);
    const line = pixelsOf(canvas);
    context.strokeStyle = house.ink("edge");
    context.lineWidth = line;
    context.strokeRect(x + line / 2, y + line / 2, wide - line, tall - line);
  };
  const mark = (context, canvas, thickness) => {
    const [x, y, wide, tall] = boxOf(canvas, queryNow());
    const inset = 2 * thickness; // the class token stands at the edge, where half a line would be cut off
    outline(context, x + inset, y + inset, wide - 2 * inset, tall - 2 * inset, thickness, focus.isLocked());
  };
  const cross = (context, [x, y, wide, tall]) => {
    context.moveTo(x + 0.25 * wide, y + 0.75 * tall);
    context.lineTo(x + 0.75 * wide, y + 0.25 * tall);
  };

  let base = null; // the picture at the size of a head's map, drawn once
  const drawBase = () => {
    const { canvas } = cells[0][0];
    base = document.createElement("canvas");
    base.width = canvas.width;
    base.height = canvas.height;
    layPicture(base);
  };
  /** The maps of all heads in one canvas, one below the other, a pixel a patch: quicker than a canvas each. */
  const paintMaps = () => {
    const values = new Float64Array(layers * heads * (length - 1));
    cells.forEach((row, layer) => row.forEach((_, head) =>
      values.set(seen(layer, head).row.subarray(1), (layer * heads + head) * (length - 1))));
    return paintMap(values, layers * heads * rows, columns, { table: TABLE, low: 0, high: model.get("limit") });
  };
  const drawHead = (layer, head, maps) => {
    const { canvas, numbers } = cells[layer][head];
    const { row, entropy, distance } = seen(layer, head);
    const context = canvas.getContext("2d");
    const range = { table: TABLE, low: 0, high: model.get("limit") };
    const query = queryNow();
    const pixels = pixelsOf(canvas);
    context.drawImage(base, 0, 0);
    const size = [0, 0, canvas.width, (canvas.height * rows) / (rows + 1)];
    context.globalAlpha = OPACITY;
    context.imageSmoothingEnabled = false;
    context.drawImage(maps, 0, (layer * heads + head) * rows, columns, rows, ...size);
    context.globalAlpha = 1;
    context.fillStyle = colourOf(row[0], range);
    context.fillRect(...boxOf(canvas, 0));
    frameClass(context, canvas);
    if (may && query !== null) {
      context.beginPath();
      for (let k = 0; k < length; k++) if (may[query * length + k] === 0) cross(context, boxOf(canvas, k));
      context.strokeStyle = "#9aa4b0";
      context.stroke();
    }
    if (query !== null) mark(context, canvas, 0.75 * pixels);
    if (model.get("off").some((one) => String(one) === `${layer + 1},${head + 1}`)) {
      context.fillStyle = house.ink("surface");
      context.globalAlpha = 0.75;
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.globalAlpha = 1;
      context.fillStyle = house.ink("ink");
      context.font = `600 ${Math.round(14 * pixels)}px ${FONT}`;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText("off", canvas.width / 2, size[3] / 2);
    }
    numbers.textContent = `${entropy.toFixed(1)}\u00a0bits${distance === null ? "" : ` ${distance.toFixed(1)}\u00a0away`}`;
    canvas.dataset.weights = Array.from(row, (weight) => weight.toPrecision(6)).join(",");
    canvas.dataset.entropy = entropy.toPrecision(6);
    canvas.dataset.distance = distance === null ? "" : distance.toPrecision(6);
  };
  const nameHeads = () => cells.forEach((row, layer) => row.forEach(({ canvas }, head) => {
    const { row: weights, entropy } = seen(layer, head);
    const top = largest(weights);
    const name = capital(headName([layer + 1, head + 1]));
    canvas.setAttribute("aria-label", `${name}: ${entropy.toFixed(2)} bits, most on ${tokenName(top)}`);
  }));

  const drawPicture = () => {
    const context = layPicture(pictureCanvas);
    const pixels = pixelsOf(pictureCanvas);
    const box = boxOf(pictureCanvas, 0);
    context.fillStyle = house.ink("sunken");
    context.fillRect(...box);
    frameClass(context, pictureCanvas);
    context.fillStyle = house.ink("soft");
    context.font = `${Math.round(13 * pixels)}px ${FONT}`;
    context.textBaseline = "middle";
    context.fillText("class token", box[0] + 1.4 * box[2], box[1] + box[3] / 2);
    const query = queryNow();
    if (query !== null) mark(context, pictureCanvas, pixels);
  };

  const drawBars = () => {
    const context = barsCanvas.getContext("2d");
    const pixels = pixelsOf(barsCanvas);
    const { probabilities } = result;
    const count = probabilities.length;
    const line = barsCanvas.height / count;
    const [start, end] = [22 * pixels, barsCanvas.width - 66 * pixels];
    context.fillStyle = house.ink("surface");
    context.fillRect(0, 0, barsCanvas.width, barsCanvas.height);
    context.textBaseline = "middle";
    for (let name = 0; name < count; name++) {
      const y = (name + 0.5) * line;
      const right = name === pictureNow().answer;
      context.font = `${right ? 700 : 400} ${Math.round(12 * pixels)}px ${FONT}`;
      context.fillStyle = house.ink("ink");
      context.textAlign = "left";
      context.fillText(right ? `${name} ✓` : String(name), 0, y);
      context.fillStyle = house.ink(right ? "good" : "run-1");
      context.fillRect(start + 6 * pixels, y - 0.32 * line, (end - start) * probabilities[name], 0.64 * line);
      context.strokeStyle = house.ink("ink");
      context.lineWidth = pixels;
      const before = (end - start) * shown.whole[name];
      if (before > 1) context.strokeRect(start + 6 * pixels, y - 0.38 * line, before, 0.76 * line);
      context.fillStyle = house.ink("soft");
      context.textAlign = "right";
      context.fillText(percent(probabilities[name]), barsCanvas.width, y);
    }
    const said = largest(probabilities);
    const every = Array.from(probabilities, (one, name) => `${name}: ${percent(one)}`).join(", ");
    barsCanvas.setAttribute("aria-label", `Bars: the network says ${said} with ${percent(probabilities[said])}; `
      + `the right answer is ${pictureNow().answer}; outlines: untouched. ${every}`);
    barsCanvas.dataset.probabilities = Array.from(probabilities, (one) => one.toPrecision(6)).join(",");
  };

  const drawTerms = () => {
    const context = termsCanvas.getContext("2d");
    const pixels = pixelsOf(termsCanvas);
    const made = products();
    context.fillStyle = house.ink("surface");
    context.fillRect(0, 0, termsCanvas.width, termsCanvas.height);
    if (!made) {
      termsName.textContent = "Products behind a weight: point at a query first";
      termsSum.textContent = "";
      termsCanvas.setAttribute("aria-label", "Nothing yet: there is no query");
      delete termsCanvas.dataset.terms;
      return;
    }
    const { q, k, terms, sum } = made;
    const margin = 40 * pixels;
    const cell = (termsCanvas.width - margin) / each;
    const tall = 22 * pixels;
    const most = (values) => Math.max(...values.map(Math.abs)) || 1;
    const range = { table: "RdBu", low: -most([...q, ...k]), high: most([...q, ...k]) };
    context.font = `${Math.round(12 * pixels)}px ${FONT}`;
    context.textBaseline = "middle";
    [["q", q], ["k", k]].forEach(([name, values], line) => {
      context.fillStyle = house.ink("ink");
      context.textAlign = "left";
      context.fillText(name, 0, (line + 0.5) * tall);
      values.forEach((value, c) => {
        context.fillStyle = colourOf(value, range);
        context.fillRect(margin + c * cell, line * tall, cell - pixels, tall - 2 * pixels);
      });
    });
    const [top, bottom] = [2 * tall + 20 * pixels, termsCanvas.height - 16 * pixels]; // room for a number at both ends
    const [high, low] = [Math.max(0, ...terms), Math.min(0, ...terms)];
    const unit = (bottom - top) / (high - low || 1);
    const middle = top + high * unit;
    context.fillStyle = house.ink("ink");
    context.fillText("q · k", 0, middle);
    context.fillStyle = house.ink("edge");
    context.fillRect(margin, middle, termsCanvas.width - margin, pixels);
    terms.forEach((term, c) => {
      context.fillStyle = colourOf(Math.sign(term) * 0.75, { table: "RdBu", low: -1, high: 1 });
      const tall = Math.abs(term) * unit;
      context.fillRect(margin + (c + 0.15) * cell, term > 0 ? middle - tall : middle, 0.7 * cell, tall);
    });
    const largest = terms.findIndex((term) => Math.abs(term) === most(terms));
    if (largest >= 0) {
      const away = Math.sign(terms[largest]) * 9 * pixels;
      context.fillStyle = house.ink("ink");
      context.textAlign = "center";
      context.fillText(number(terms[largest]), margin + (largest + 0.5) * cell, middle - terms[largest] * unit - away);
    }
    termsName.textContent =
      unbroken(`Layer ${made.layer}, head ${made.head}: why ${tokenName(made.key)} weighs ${percent(made.weight)}`);
    termsSum.textContent = made.closed
      ? `${each} products sum to ${number(sum)}, but the mask forbids this key: weight 0`
      : unbroken(`${each} products sum to ${number(sum)}; ÷ √${each} = ${number(sum / Math.sqrt(each))}; `
        + `softmax over the keys: ${percent(made.weight)}`);
    termsCanvas.setAttribute("aria-label",
      `The ${each} numbers of query and key, blue above 0, red below, and their products: ${terms.map(number).join(", ")}`);
    termsCanvas.dataset.terms = terms.map((term) => term.toPrecision(6)).join(",");
  };

  /** Only the products have changed. */
  const explain = (quiet = false) => {
    if (house.root.clientWidth === 0) return;
    drawTerms();
    house.say(describe(), { quiet });
  };
  /** The query alone has moved: the network's numbers are kept. */
  const look = (quiet = false) => {
    if (house.root.clientWidth === 0) return;
    drawPicture();
    const maps = paintMaps();
    cells.forEach((row, layer) => row.forEach((_, head) => drawHead(layer, head, maps)));
    drawTerms();
    nameHeads();
    house.say(describe(), { quiet });
  };
  const draw = () => {
    if (house.root.clientWidth === 0) return;
    const wide = (canvas) => Math.floor(canvas.parentElement.clientWidth);
    fit(pictureCanvas, Math.min(240, wide(pictureCanvas)), (rows + 1) / columns);
    fit(barsCanvas, wide(barsCanvas), parseFloat(pictureCanvas.style.height) / wide(barsCanvas));
    fit(termsCanvas, Math.floor(left.clientWidth), 176 / Math.floor(left.clientWidth));
    for (const row of cells) for (const { canvas } of row) fit(canvas, wide(canvas), (rows + 1) / columns);
    drawBase();
    drawThumbs();
    drawBars();
    scale.set({ table: TABLE, low: 0, high: model.get("limit") });
    look();
  };

  const drawThumbs = () => {
    const pictures = model.get("pictures");
    thumbs.node.hidden = pictures.length < 2;
    const offers = pictures.map((picture) => ({ key: picture, label: picture.label, image: open(picture).image }));
    thumbs.show(offers, pictures.indexOf(pictureNow()));
  };
  const refresh = () => {
    mask.set(model.get("mask"));
    chosen.set(String(model.get("chosen")));
    keys.set(String(model.get("key")));
    limit.set(Math.log2(model.get("limit")));
    // A button that is switched off while it has the focus loses it.
    all.disabled = model.get("off").length === 0 && !all.matches(":focus");
    const off = offNow();
    cells.forEach((row, layer) => row.forEach(({ input }, head) => { input.checked = !off.has(`${layer + 1},${head + 1}`); }));
  };
  const reload = () => {
    compute();
    refresh();
    draw();
  };
  focus.take();
  reload();
  house.listen(["picture", "mask", "off"], reload);
  house.listen("limit", () => {
    refresh();
    draw();
  });
  house.listen(["chosen", "key"], () => {
    refresh();
    explain();
  });
  house.listen("query", () => {
    focus.take();
    look();
  });
  house.whenShown(draw);

  const code = () => {
    const [layer, head] = model.get("chosen");
    const name = model.get("mask");
    const query = queryNow();
    const off = model.get("off").map(([of, which]) =>
      `    network.blocks[${of - 1}].attention.output.weight[:, ${(which - 1) * each} : ${which * each}] = 0  # ${headName([of, which])}`);
    return [
      "import functools",
      "",
      "import torch",
      "from course_utils.attention import record_masks",
      ...(name === "none" ? [] : ["from course_utils.widgets.head_grid.explore import token_mask"]),
      pictureNow().code,
      ...(name === "none" ? [] : [
        `mask = token_mask("${name}", ${rows}, ${columns})`,
        "for block in network.blocks:",
        "    block.attention.forward = functools.partial(block.attention.forward, attn_mask=mask)",
      ]),
      "with torch.no_grad(), record_masks(network) as masks:",
      ...off,
      "    probabilities = network(image).softmax(1)[0]",
      `weights = masks["blocks.${layer - 1}.attention"][0, ${head - 1}]  # ${headName([layer, head])}: (queries, keys), class token first`,
      "print(probabilities)",
      `print(${query === null ? "weights.mean(dim=0)" : `weights[${query}]`})  # the map shown`,
    ].filter((line, i) => line !== "import functools" || name !== "none").join("\n").replace(/^\n/, "");
  };
  house.actions.append(saveButton(house, () => pictureSheet(house, describe().slice(0, 3)), "head-grid.png"), copyButton(house, code));
  return house.end;
}

export default { render };
