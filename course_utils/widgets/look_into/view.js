import { asker, button, choice, fill, keyWords, slider, store, traitControls } from "../page/bind.js";
import { sentPictures } from "../page/camera.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { isOff, offInCode, setOff } from "../page/heads.js";
import {
  capital, cellOf, decode, extent, largest, listed, number, once, percent, placeInWords,
} from "../page/maths.js";
import {
  colourOf, drawHeat, easel, fitPanel, frameCell, layPicture, outline, paintImage, paintMap, writeText,
} from "../page/paint.js";
import { bars, instrument, panel, pictureChoice, picturePanel, pointPanel, scaleBar } from "../page/panels.js";
import { bindView } from "../page/pointing.js";

const LABEL = 28; // pixels before a row of the grid, for its number
const TALLEST = 336;
const WIDE = 2.5; // what a wider picture shows stands below it
const MOST_HELD = 64e6; // bytes that are fetched before anybody asks for them
const [AVERAGE, ROLLOUT] = [-1, -2];

const imageOf = once(({ image }) => paintImage(decode(image)));

/** The network in numbers: its layers, the masks that have arrived, and what the traits choose of them. */
function networkOf(model) {
  const get = (name) => model.get(name);
  const layers = get("layers").map((layer) => ({
    ...layer, queries: layer.queries && decode(layer.queries).values, cells: layer.cells && decode(layer.cells).values,
  }));
  const masks = new Map(); // "picture/layer" -> its numbers
  const rows = layers.map((_, k) => k).filter((k) => layers[k].heads);
  const net = { get, layers, rows, failed: new Set() };
  let held = 0;
  net.take = (name, { values, high }) => {
    if (!values) return;
    masks.set(name, { ...decode(values), high: high && decode(high).values });
    held += masks.get(name).values.length;
  };
  for (const [name, mask] of Object.entries(get("masks"))) net.take(name, mask);
  net.layer = () => layers[get("layer")];
  net.grid = () => (net.layer().grid?.[0] ? net.layer().grid : [0, 0]);
  net.picture = () => get("pictures")[get("picture")];
  /** How a layer is called: masks with heads are counted for themselves, and so are gates. */
  net.called = (k = get("layer")) => {
    const isSame = (one) => rows.includes(one) === rows.includes(k);
    return `${rows.includes(k) ? "layer" : "gates"} ${layers.slice(0, k + 1).filter((_, one) => isSame(one)).length}`;
  };
  net.mask = (k = get("layer")) => masks.get(`${get("picture")}/${k}`);
  net.factor = (c = get("channel")) =>
    get("gates").find(([layer, gate]) => layer === get("layer") && gate === c)?.[2] ?? 1;
  net.changed = () => get("off").length + get("gates").length > 0;
  net.key = (k) => `${get("picture")}/${k}`;
  /** The layer whose mask is fetched next: the one shown, what its rollout needs, the others while they are few. */
  net.missing = () => {
    const before = get("head") === ROLLOUT ? rows.filter((k) => k <= get("layer")) : [];
    const others = held < MOST_HELD && net.layer().heads ? rows : [];
    return [get("layer"), ...before, ...others]
      .find((k) => layers[k].kind && !net.mask(k) && !net.failed.has(net.key(k)));
  };
  return net;
}

/** The query in the weights of layer k: its window times Q plus its row; or words that say why there is none. */
function rowOf(net, query, k) {
  const { grid: [height, width], queries, tokens } = net.layers[k];
  const token = net.get("token");
  if (!query && token) return tokens[token] ?? `it has no ${token} token among its queries`;
  if (!height) return "its queries are no patches";
  const [tall, wide] = net.grid();
  const [y, x] = query ? [(query[0] + 0.5) / tall, (query[1] + 0.5) / wide] : [0.5, 0.5];
  const found = queries[Math.floor(y * height) * width + Math.floor(x * width)];
  return found >= 0 ? found : "this patch asks nothing here, or in several windows";
}

/** The weights of one query, over the keys of its window, added to `row`. */
function addRow({ values, high, shape: [, heads, queries, keys] }, head, at, row) {
  const [window, i] = [Math.floor(at / queries), at % queries];
  for (let h = head < 0 ? 0 : head; h < (head < 0 ? heads : head + 1); h++) {
    const line = (window * heads + h) * queries + i;
    const unit = high[line] / 255 / (head < 0 ? heads : 1);
    for (let key = 0; key < keys; key++) row[key] += unit * values[line * keys + key];
  }
  return row;
}

/** The average of all heads of a layer, made once for rollout: rows of 16 bits with their unit. */
function averageOf(mask) {
  const [, , queries, keys] = mask.shape;
  mask.average ??= Array.from({ length: queries }, (_, i) => {
    const row = addRow(mask, AVERAGE, i, new Float32Array(keys));
    const unit = (extent(row).high || 1) / 65535;
    return { unit, line: Uint16Array.from(row, (value) => Math.round(value / unit)) };
  });
  return mask.average;
}

/** Attention rollout, Abnar and Zuidema 2020: half of each layer's average, half the token itself. */
function rollOut(net, k, at) {
  let row = new Float32Array(net.mask(k).shape[3]);
  row[at] = 1;
  for (const layer of net.rows.filter((one) => one <= k).reverse()) {
    if (!net.mask(layer)) return null;
    const average = averageOf(net.mask(layer));
    const next = row.map((value) => value / 2);
    for (let token = 0; token < row.length; token++) {
      const { unit, line } = average[token];
      const share = (row[token] / 2) * unit;
      if (row[token] > 1e-7) for (let key = 0; key < line.length; key++) next[key] += share * line[key];
    }
    row = next;
  }
  return row;
}

/** A layer's map for the query: {values, height, width, other}; words where there is none; null while it comes. */
function mapOf(net, query, k, head) {
  const layer = net.layers[k];
  if (!layer.kind) return layer.why;
  const mask = net.mask(k);
  if (!mask) return null;
  if (layer.kind === "map") return { values: mask.values, height: layer.grid[0], width: layer.grid[1], other: 0 };
  const at = rowOf(net, query, k);
  if (typeof at === "string") return at;
  const keys = mask.shape[3];
  const row = head === ROLLOUT ? rollOut(net, k, at) : addRow(mask, head, at, new Float32Array(keys));
  if (!row) return null;
  const [height, width] = layer.key_grid;
  const values = new Float32Array(height * width);
  const start = Math.floor(at / mask.shape[2]) * keys;
  let other = 0;
  for (let key = 0; key < keys; key++) {
    const cell = layer.cells[start + key];
    if (cell >= 0) values[cell] += row[key];
    else other += row[key];
  }
  return { values, height, width, other };
}

const mapsOf = (net, query, k) =>
  Array.from({ length: net.layers[k].heads ?? 0 }, (_, head) => mapOf(net, query, k, head));

/** What is drawn for the query: the map shown, if there is one, and the range of colours of its layer. */
function viewOf(net, query) {
  const [layer, k] = [net.layer(), net.get("layer")];
  const gates = layer.kind === "channels";
  const map = gates ? null : mapOf(net, query, k, net.get("head"));
  const maps = mapsOf(net, query, k);
  const all = [...maps, gates ? net.mask() : map];
  const high = Math.max(0, ...all.map((one) => (one?.values ? extent(one.values).high : 0)));
  return { map, maps, range: { table: gates ? "viridis" : "magma", low: 0, high: high || 1 } };
}

/** A place of a grid of patches, which over a line of text are its columns. */
const placeOn = ([rows], [row, column]) => (rows === 1 ? `column ${column + 1}` : placeInWords([row, column]));

const headInWords = (head) => ["rollout up to here", "average of its heads"][head + 2] ?? `head ${head + 1}`;

/** Why a mask that is not there is missing. */
function missingInWords(net, k, live) {
  if (net.failed.has(net.key(k))) return "the notebook could not make this mask";
  return live ? "not here yet: choose this layer to open it" : "not opened before the page was saved";
}

/** What the mask says, in words: the first part of the status line, and what only a screen reader hears. */
function maskInWords(net, { map }, query, live) {
  const { kind } = net.layer();
  if (kind === "channels" && net.mask()) {
    const [channel, factor] = [net.get("channel"), net.factor()];
    const { length } = net.mask().values;
    return [`gate ${number(net.mask().values[channel])} for channel ${channel + 1} of ${length}`
      + `${factor === 1 ? "." : `, multiplied by ${number(factor)}.`}`];
  }
  if (typeof map === "string") return [`not on the picture: ${map}`];
  if (!map) return [`${missingInWords(net, net.get("layer"), live)}.`];
  const best = largest(map.values);
  const place = placeOn([map.height], cellOf(best, map.width));
  if (kind === "map") return [`the gate is largest at ${place}: ${number(map.values[best])}.`];
  const token = net.get("token");
  const asks = query ? placeOn(net.grid(), query) : token ? `the ${token} token`
    : `the ${net.grid()[0] === 1 ? "column" : "patch"} in the middle`;
  const from = place === asks ? "itself" : place;
  return [`${headInWords(net.get("head"))}: ${asks} takes most from ${from}, ${percent(map.values[best])}.`,
    `The map has ${map.height} × ${map.width} cells; ${percent(map.other)} come from tokens that are no patches.`];
}

/** The main picture with the map over it, its scale, and buttons for the other pictures. */
function mainPart(house, model, net) {
  const made = pointPanel();
  const keys = made.node.lastChild;
  const scale = scaleBar("");
  const thumbs = pictureChoice(model, 44, imageOf);
  made.node.append(scale.node, thumbs.node);
  const { canvas } = made;
  const draw = ({ map, range }, query, pinned) => {
    const image = imageOf(net.picture());
    if (map?.values) drawHeat(canvas, image, map.values, [map.height, map.width], range);
    else layPicture(canvas, image);
    const [tall, wide] = net.grid();
    const place = query ?? (net.layer().heads && !net.get("token") && tall ? [tall >> 1, wide >> 1] : null);
    if (tall) frameCell(canvas, [tall, wide], place, pinned);
    scale.set(range);
    canvas.dataset.weights = map?.values?.length <= 256 ? listed(map.values, 5) : "";
  };
  const refresh = () => {
    const image = imageOf(net.picture());
    const { kind } = net.layer();
    fitPanel(made, image.height / image.width, 400);
    house.stage.classList.toggle("cw-stacked", image.width > WIDE * image.height);
    const [title, place] = [net.picture().label, net.called()];
    made.rename(`${title}, ${place}${kind === "weights" ? `, ${headInWords(net.get("head"))}` : ""}`);
    scale.rename({ channels: "Gate", map: "Gate of each place" }[kind] ?? "Weight of a key");
    keys.hidden = !net.grid()[0];
    canvas.setAttribute("aria-label", `${title}, with the map of ${place} over it. ${keyWords()}`);
    thumbs.refresh();
  };
  return { ...made, draw, refresh };
}

/** All layers and heads as small maps, or all gates of a layer as cells; a click chooses one. */
function gridPart(house, net, model) {
  const made = picturePanel("", { role: "img" });
  const { canvas, node } = made;
  const strips = new Map();
  let side = 12; // pixels of a head's cell; measured when the layout may have changed, not at every hover
  let room = 0; // pixels of the widest row, or of the panel where that is wider
  const measure = () => {
    const most = Math.max(1, ...net.rows.map((k) => net.layers[k].heads));
    const [across, down] = [(node.clientWidth - LABEL) / most, TALLEST / net.rows.length].map(Math.floor);
    side = Math.max(12, Math.min(72, across, down));
    room = Math.max(LABEL + side * most, node.clientWidth);
  };
  const gates = () => {
    const { values } = net.mask() ?? { values: [] };
    const sorted = Array.from(values, (_, c) => c).sort((one, two) => values[two] - values[one]);
    const even = Math.floor(Math.sqrt((node.clientWidth * TALLEST) / (values.length || 1)));
    const side = Math.max(6, Math.min(28, even));
    return { values, sorted, side, columns: Math.max(1, Math.floor(node.clientWidth / side)) };
  };
  /** All heads of a layer one below the other, painted at once: that is quicker than one by one. */
  const paintRow = (k, maps, range) => {
    const [{ height, width }] = maps;
    const strip = new Float32Array(maps.length * height * width);
    maps.forEach(({ values }, head) => strip.set(values, head * height * width));
    strips.set(k, paintMap(strip, maps.length * height, width, range, strips.get(k)));
    return strips.get(k);
  };
  const drawHeads = ({ range, maps: ofLayer }, query) => {
    const context = easel(canvas, room, side * net.rows.length);
    context.imageSmoothingEnabled = false;
    net.rows.forEach((k, row) => {
      const y = row * side;
      const isShown = k === net.get("layer");
      writeText(context, row + 1, 0, y + side / 2, { ink: house.ink(isShown ? "ink" : "soft") });
      const maps = isShown ? ofLayer : mapsOf(net, query, k);
      if (!maps[0]?.values) {
        const words = maps[0] ?? missingInWords(net, k, Boolean(model.widget_manager));
        const short = words.length > 60 ? `${words.slice(0, 58)}…` : words;
        writeText(context, short, LABEL, y + side / 2, { ink: house.ink("soft"), most: room - LABEL });
        return;
      }
      const [strip, { height, width }] = [paintRow(k, maps, range), maps[0]];
      maps.forEach((_, head) => {
        const x = LABEL + head * side;
        context.drawImage(strip, 0, head * height, width, height, x, y, side - 2, side - 2);
        if (isOff(model, [k, head])) drawOff(context, x, y, side - 2);
        const chosen = isShown && (head === net.get("head") || net.get("head") < 0);
        if (chosen) outline(context, x + 1, y + 1, side - 4, side - 4, 1, true);
      });
    });
  };
  const drawOff = (context, x, y, wide) => {
    context.globalAlpha = 0.8;
    context.fillStyle = house.ink("surface");
    context.fillRect(x, y, wide, wide);
    context.globalAlpha = 1;
    writeText(context, "off", x + 2, y + wide / 2, { ink: house.ink("bad"), most: wide - 4 });
  };
  const drawGates = ({ range }) => {
    const { values, sorted, side, columns } = gates();
    const context = easel(canvas, columns * side, Math.max(1, Math.ceil(sorted.length / columns) * side));
    sorted.forEach((c, i) => {
      const [x, y] = [(i % columns) * side, Math.floor(i / columns) * side];
      context.fillStyle = colourOf(values[c] * net.factor(c), range);
      context.fillRect(x, y, side - 1, side - 1);
      if (c === net.get("channel")) outline(context, x + 1, y + 1, side - 3, side - 3, 1, true);
    });
  };
  canvas.addEventListener("click", ({ offsetX: x, offsetY: y }) => {
    if (net.layer().kind === "channels") {
      const { columns, side, sorted } = gates();
      const at = Math.floor(y / side) * columns + Math.floor(x / side);
      if (x < columns * side && at < sorted.length) store(model, { channel: sorted[at] });
      return;
    }
    const k = net.rows[Math.floor(y / side)];
    if (k === undefined) return;
    const head = Math.max(0, Math.min(net.layers[k].heads - 1, Math.floor((x - LABEL) / side)));
    store(model, { layer: k, head });
  });
  const draw = (view, query) => {
    if (net.layer().kind === "channels") drawGates(view);
    else if (net.rows.length) drawHeads(view, query);
  };
  const refresh = () => {
    const words = net.layer().kind === "channels" ? `${net.layer().words}, the largest first: click to choose one`
      : "Layers down, heads across: click to choose one";
    made.rename(words);
    canvas.setAttribute("aria-label", `${words}. The controls below choose as well.`);
    node.hidden = net.layer().kind !== "channels" && !net.rows.length;
    measure();
  };
  return { ...made, draw, refresh };
}

/** The answer: bars of probabilities, and what switches the head or the channel that is shown off and on. */
function answerPart(house, net, model) {
  const shown = bars({ label: "Class probabilities" });
  const made = panel("", shown.node);
  let edited = {}; // { asked, rows }: the kernel's answer to the edits of the traits
  const question = () => ({ picture: net.get("picture"), off: net.get("off"), gates: net.get("gates") });
  const now = () => (net.changed() && edited.asked === JSON.stringify(question()) ? edited.rows : null);
  const setFactor = (by) => {
    const [k, c] = [net.get("layer"), net.get("channel")];
    const others = net.get("gates").filter(([layer, gate]) => layer !== k || gate !== c);
    store(model, { gates: by === 1 ? others : [...others, [k, c, by]] });
  };
  const switcher = button("", () => {
    if (!net.layer().heads) return setFactor(net.factor() === 0 ? 1 : 0);
    const name = [net.get("layer"), net.get("head")];
    return setOff(model, name, !isOff(model, name));
  }, true);
  const reset = button("Switch all back on", () => store(model, { off: [], gates: [] }));
  made.node.append(element("div", { class: "cw-actions" }, switcher, reset));
  const ask = asker(model, house, ({ edited: rows }, { picture, off, gates }) => {
    edited = { asked: JSON.stringify({ picture, off, gates }), rows };
    house.redraw();
  });
  const askIfChanged = () => { if (net.changed() && !now()) ask(question()); };
  const refresh = () => {
    const before = net.picture().answer;
    const rows = now() ?? before;
    const waits = model.widget_manager ? "waiting for the notebook" : "those after it need a running notebook";
    const first = new Map(before.map(([k, , value]) => [k, value]));
    made.rename(!before.length ? "This network gives no class probabilities."
      : !net.changed() ? "Class probabilities" : now() ? "Class probabilities. The thin mark: before the change"
        : `Class probabilities before the change; ${waits}`);
    shown.show(rows.map(([k, name, value]) => ({ name, value, before: now() ? first.get(k) : null })));
    const { heads, kind, editable } = net.layer();
    switcher.hidden = !(editable && (heads || kind === "channels")) || !before.length;
    switcher.disabled = Boolean(heads) && net.get("head") < 0;
    const off = heads ? isOff(model, [net.get("layer"), net.get("head")]) : net.factor() === 0;
    switcher.textContent = `Switch this ${heads ? "head" : "channel"} ${off ? "back on" : "off"}`;
    reset.hidden = switcher.hidden;
    reset.disabled = !net.changed() && !reset.matches(":focus"); // a disabled button loses the focus
  };
  const describe = () => {
    const [, name, value] = [...(now() ?? net.picture().answer)].sort((one, two) => two[2] - one[2])[0] ?? [];
    if (!name || (net.changed() && !now())) return "";
    return `The answer is ${net.changed() ? "now " : ""}${name}, ${percent(value)}.`;
  };
  return { ...made, refresh, describe, askIfChanged, setFactor };
}

/** The lists, sliders and the upload below the picture. `refresh()` follows the traits. */
function controlsPart(house, net, model, setFactor) {
  const line = net.rows.every((k) => net.layers[k].grid?.[0] === 1);
  const named = [...new Set(net.layers.flatMap((layer) => Object.keys(layer.tokens ?? {})))];
  const { controls: { head, token, channel }, nodes, refresh: follow } = traitControls(model, {
    layer: [choice, {
      label: "Layer", onChange: (k) => store(model, { layer: Number(k), head: 0, channel: 0 }),
      options: net.layers.map(({ name, words }, k) =>
        [k, `${net.called(k)}, ${name || "the model itself"}: ${words}`]),
    }],
    head: [choice, { label: "Head", options: [], write: Number }],
    token: [choice, {
      label: "Query when not pointing", onChange: (one) => store(model, { token: one, query: [] }),
      options: [...named.map((one) => [one, `${one} token`]), ["", `${line ? "column" : "patch"} in the middle`]],
    }],
    channel: [slider, {
      label: "Channel", min: 1, max: 1, step: 1, show: String, read: (k) => k + 1, write: (k) => k - 1,
    }],
  });
  const factor = slider({ label: "Multiply its gate by", min: 0, max: 2, step: 0.1, value: 1, onInput: setFactor });
  const own = sentPictures(house, model, { off: [], gates: [] });
  house.controls.append(...own.nodes, ...nodes, factor.node);
  const refresh = () => {
    const { kind, heads: count, editable } = net.layer();
    const extra = [[AVERAGE, "average"], ...(net.get("rollout") ? [[ROLLOUT, "rollout"]] : [])];
    if (count) fill(head, [...Array.from({ length: count }, (_, h) => [h, String(h + 1)]), ...extra], net.get("head"));
    channel.input.max = Math.max(1, net.mask()?.values.length ?? 1);
    follow();
    head.node.hidden = token.node.hidden = kind !== "weights";
    channel.node.hidden = kind !== "channels";
    factor.node.hidden = kind !== "channels" || !editable;
    factor.set(net.factor());
    own.refresh();
  };
  return { refresh };
}

/** Returns what asks the kernel for the masks that are missing, one after the other. */
function fetcher(house, net, model) {
  let asked = "";
  const settle = () => {
    asked = "";
    house.redraw();
  };
  const ask = asker(model, house, ({ name, mask }) => {
    net.take(name, mask);
    settle();
  }, ({ picture, layer }) => {
    net.failed.add(`${picture}/${layer}`);
    settle();
  });
  return () => {
    const layer = asked || !model.widget_manager ? undefined : net.missing();
    if (layer === undefined) return;
    asked = net.key(layer);
    ask({ picture: net.get("picture"), layer });
  };
}

/** The lines that make what is shown with the package; they count from 0. */
function codeFor(net, query) {
  const layer = net.layer();
  const named = (k) => JSON.stringify(net.layers[k].name);
  const label = named(net.get("layer"));
  const place = query ? `(${query.join(", ")})` : net.get("token") ? JSON.stringify(net.get("token"))
    : `(${net.grid().map((side) => side >> 1).join(", ")})`;
  const edits = [
    ...offInCode(net.get("off").map(([k, head]) => [net.layers[k].name, head])),
    ...net.get("gates").map(([k, c, by]) => `${named(k)}: scale(${c}, ${by})`),
  ];
  return [
    "import torch", "from course_utils.attention import edit_masks, find_tokens, off, record_masks, scale", "",
    "model.eval()  # picture: (1, C, H, W), as the model takes it",
    `with torch.no_grad(), record_masks(model, layers=${label}) as masks:`, "    before = model(picture)",
    ...(layer.kind === "weights" ? [
      `maps = find_tokens(model, picture)[${label}].look(masks[${label}], ${place})[0]  # (heads, rows, columns)`,
      net.get("head") >= 0 ? `print(maps[${net.get("head")}])` : "print(maps.mean(0))",
    ] : [`print(masks[${label}])`]),
    ...edits.flatMap((edit) => [`with torch.no_grad(), edit_masks(model, {${edit}}):`, "    print(model(picture))"]),
  ].join("\n");
}

function render({ model, el }) {
  const house = frame({ model, el, name: "look-into" });
  const net = networkOf(model);
  const fetchMissing = fetcher(house, net, model);
  const main = mainPart(house, model, net);
  const answer = answerPart(house, net, model);
  const grid = gridPart(house, net, model);
  instrument(house, main.node, answer.node, grid.node);
  const controls = controlsPart(house, net, model, answer.setFactor);

  let size = String(net.grid());
  house.listen(["layer", "pictures"], () => {
    if (size !== String(net.grid()) && net.get("query").length) store(model, { query: [] }); // a place of another grid
    size = String(net.grid());
  });
  house.listen(["off", "gates", "picture"], answer.askIfChanged);
  let shown = null; // what is drawn of the query
  const words = (focus) => {
    const [first, ...rest] = maskInWords(net, shown, focus.get(), Boolean(model.widget_manager));
    const title = `${capital(net.called())}, ${net.layer().name || "the model itself"}`;
    const heard = rest.map((part) => ({ heard: part }));
    return [{ aside: `${title}:` }, first, { aside: answer.describe() }, ...heard, focus.hint()];
  };
  const view = bindView({
    model, house, canvases: [main.canvas], rows: () => net.grid()[0], columns: () => net.grid()[1],
    traits: ["picture", "layer", "head", "token", "channel", "pictures", "off", "gates"],
    draw() {
      for (const part of [main, answer, grid, controls]) part.refresh();
      fetchMissing();
    },
    mark(focus) {
      shown = viewOf(net, focus.get());
      main.draw(shown, focus.get(), focus.isPinned());
      grid.draw(shown, focus.get());
    },
    describe: words,
    lines: words,
    code: (focus) => codeFor(net, focus.get()),
  });
  house.redraw = view.show;
  return house.end;
}

export default { render };
