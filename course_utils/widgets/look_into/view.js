import { asker, button, choice, fill, focusController, slider, store } from "../page/bind.js";
import { element, styled } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { changeInWords, decode, largest, number, percent } from "../page/maths.js";
import { blend, colourOf, fit, outline, paintImage, paintMap } from "../page/paint.js";
import { copyButton, pictureButtons, saveButton, scaleBar } from "../page/panels.js";

const OPACITY = 0.6;
const LABEL = 28; // pixels before a row of the grid, for its number
const TALLEST = 336;
const MOST_HELD = 64e6; // bytes that are asked for unasked; beyond, only the layer shown is
const [AVERAGE, ROLLOUT] = [-1, -2];
const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

function render({ model, el }) {
  const house = frame({ model, el, name: "look-into" });
  const layers = model.get("layers").map((layer) => ({
    ...layer,
    queries: layer.queries && decode(layer.queries).values,
    cells: layer.cells && decode(layer.cells).values,
  }));
  const rows = layers.map((_, k) => k).filter((k) => layers[k].heads);
  const masks = new Map(); // "picture/layer" -> its numbers
  const images = new Map();
  const cellsOfGrid = new Map();
  let [held, asked, edited, order, channel] = [0, "", null, "value", 0];
  const take = (name, { values, high }) => {
    if (!values) return;
    masks.set(name, { ...decode(values), high: high && decode(high).values });
    held += masks.get(name).values.length;
  };
  for (const [name, mask] of Object.entries(model.get("masks"))) take(name, mask);

  const get = (name) => model.get(name);
  const layerNow = () => layers[get("layer")];
  const pictureNow = () => get("pictures")[get("picture")];
  const maskOf = (k) => masks.get(`${get("picture")}/${k}`);
  const moved = () => get("off").length + get("gates").length;
  const isOff = (k, head) => get("off").some(([layer, h]) => layer === k && h === head);
  const factorOf = (k, c) => get("gates").find(([layer, gate]) => layer === k && gate === c)?.[2] ?? 1;

  const askMask = asker(model, house, (answer) => {
    take(answer.name, answer.mask);
    asked = "";
    show();
  });
  const askAnswer = asker(model, house, (answer, question) => {
    if ("uploaded" in answer) {
      store(model, { picture: answer.uploaded });
      changeEdits({});
    } else if (question.picture === get("picture") && String(question.off) === String(get("off"))
      && String(question.gates) === String(get("gates"))) edited = answer.edited;
    show();
  });
  /** Ask for what is missing of the layers that are drawn, the one shown first. */
  function fetchMissing() {
    if (asked || !model.widget_manager) return;
    const wanted = [get("layer"), ...(held < MOST_HELD && layerNow().heads ? rows : [])];
    const missing = wanted.find((k) => layers[k].kind && !maskOf(k));
    if (missing === undefined) return;
    asked = `${get("picture")}/${missing}`;
    askMask({ picture: get("picture"), layer: missing });
  }

  /** The query in the weights of layer k: its window times Q plus its row; or words that say why there is none. */
  function rowOf(k) {
    const { grid: [height, width], queries, tokens } = layers[k];
    const query = focus.get();
    if (!query && get("token")) return tokens[get("token")] ?? `no ${get("token")} token among its queries`;
    if (!height) return "its queries are no patches";
    const [tall, wide] = sizeNow();
    const [y, x] = query ? [(query[0] + 0.5) / tall, (query[1] + 0.5) / wide] : [0.5, 0.5];
    const found = queries[Math.floor(y * height) * width + Math.floor(x * width)];
    return found >= 0 ? found : "this patch asks nothing here, or in several windows";
  }
  /** The weights of one query, over the keys of its window, added into `row`. */
  function addRow({ values, high, shape: [, heads, queries, keys] }, head, at, row, factor = 1) {
    const [window, i] = [Math.floor(at / queries), at % queries];
    for (let h = head < 0 ? 0 : head; h < (head < 0 ? heads : head + 1); h++) {
      const line = (window * heads + h) * queries + i;
      const unit = (factor * high[line]) / 255 / (head < 0 ? heads : 1);
      for (let key = 0; key < keys; key++) row[key] += unit * values[line * keys + key];
    }
    return row;
  }
  /** Attention rollout, Abnar and Zuidema 2020: half of each layer's average, half the token itself. */
  function rollOut(k, at) {
    let row = new Float32Array(maskOf(k).shape[3]);
    row[at] = 1;
    for (const layer of rows.filter((one) => one <= k).reverse()) {
      const mask = maskOf(layer);
      if (!mask) return null;
      const next = row.map((value) => value / 2);
      for (let token = 0; token < row.length; token++) if (row[token] > 1e-7) addRow(mask, AVERAGE, token, next, row[token] / 2);
      row = next;
    }
    return row;
  }
  /** A layer's map for the query: {values, height, width, other}, words where there is none, null while it is on its way. */
  function mapOf(k, head) {
    const layer = layers[k];
    if (!layer.kind) return layer.why;
    const mask = maskOf(k);
    if (!mask) return null;
    if (layer.kind === "map") return { values: mask.values, height: layer.grid[0], width: layer.grid[1], other: 0 };
    const at = rowOf(k);
    if (typeof at === "string") return at;
    const keys = mask.shape[3];
    const row = head === ROLLOUT ? rollOut(k, at) : addRow(mask, head, at, new Float32Array(keys));
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
  const sizeNow = () => (layerNow().grid?.[0] ? layerNow().grid : [0, 0]);

  const name = element("p", { class: "cw-panel-name" });
  const main = element("canvas", { role: "img" });
  const scale = scaleBar("");
  const thumbs = pictureButtons({ label: "Pictures", side: 44, onPress: (index) => {
    store(model, { picture: index });
    changeEdits({ off: get("off"), gates: get("gates") });
  } });
  const bars = element("div", { role: "list", "aria-label": "Class probabilities" });
  const barsName = element("p", { class: "cw-panel-name" });
  const gridName = element("p", { class: "cw-panel-name" });
  const grid = element("canvas", { role: "img" });
  const left = styled(element("div", {}, name, main, scale.node, thumbs.node), { flex: "1 1 328px", minWidth: "0", maxWidth: "400px" });
  const switcher = button("", () => {
    const k = get("layer");
    if (layerNow().heads) {
      const head = get("head");
      const others = get("off").filter(([layer, h]) => layer !== k || h !== head);
      changeEdits({ off: isOff(k, head) ? others : [...others, [k, head]], gates: get("gates") });
    } else setFactor(factorOf(k, channel) === 0 ? 1 : 0);
  }, true);
  const reset = button("Switch all back on", () => changeEdits({}));
  const actions = styled(element("div", { class: "cw-actions" }, switcher, reset), { margin: "8px 0 12px" });
  const right = styled(element("div", {}, barsName, bars, actions, gridName, grid), { flex: "1 1 328px", minWidth: "0" });
  house.stage.append(left, right);

  function setFactor(by) {
    const k = get("layer");
    const others = get("gates").filter(([layer, gate]) => layer !== k || gate !== channel);
    changeEdits({ off: get("off"), gates: by === 1 ? others : [...others, [k, channel, by]] });
  }
  function changeEdits({ off = [], gates = [] }) {
    edited = null;
    store(model, { off, gates });
    if (moved()) askAnswer({ picture: get("picture"), off, gates });
    show();
  }
  const choose = (values) => {
    store(model, { query: [], ...values });
    focus.set(null);
    channel = 0;
    show();
  };
  const layerChoice = choice({ label: "Layer", value: get("layer"), onChange: (k) => choose({ layer: Number(k), head: 0 }),
    options: layers.map(({ name: words, words: size }, k) => [k, `${k + 1}. ${words || "the model itself"}: ${size}`]) });
  const headChoice = choice({ label: "Head", options: [], value: 0, onChange: (head) => {
    store(model, { head: Number(head) });
    show();
  } });
  const tokens = [...new Set(layers.flatMap((layer) => Object.keys(layer.tokens ?? {})))];
  const tokenChoice = choice({ label: "Query while you do not point", value: get("token"), onChange: (token) => choose({ token }),
    options: [...tokens.map((one) => [one, `${one} token`]), ["", "patch in the middle"]] });
  const channelSlider = slider({ label: "Channel", min: 0, max: 1, step: 1, value: 0, show: String, onInput: (value) => {
    channel = value;
    show();
  } });
  const factorSlider = slider({ label: "Multiply its gate by", min: 0, max: 2, step: 0.1, value: 1, onInput: setFactor });
  const orderChoice = choice({ label: "Order", value: order, options: [["value", "largest gate first"], ["channel", "by channel"]],
    onChange: (value) => { order = value; show(); } });
  const file = element("input", { type: "file", accept: "image/*", onchange: async () => {
    const [chosen] = file.files;
    if (!chosen) return;
    const reader = new FileReader();
    reader.onload = () => askAnswer({ upload: reader.result.split(",")[1] ?? "", name: chosen.name, off: [], gates: [] });
    reader.readAsDataURL(chosen);
  } });
  const upload = element("span", { class: "cw-control", hidden: !get("uploads") }, element("label", {}, "Your picture", file));
  house.controls.append(layerChoice.node, headChoice.node, tokenChoice.node, channelSlider.node, factorSlider.node, orderChoice.node, upload);

  const focus = focusController({
    canvases: [main],
    rows: () => sizeNow()[0],
    columns: () => sizeNow()[1],
    locate: (_, x, y) => {
      const [tall, wide] = sizeNow();
      if (!tall || x < 0 || y < 0 || x >= 1 || y >= 1) return null;
      return [Math.floor(y * tall), Math.floor(x * wide)];
    },
    onEdge: () => house.say([...describe(), "Edge."], { again: true }),
    onChange: (query, locked) => {
      const pinned = locked ? query : [];
      if (String(pinned) !== String(get("query"))) store(model, { query: pinned });
      draw();
    },
  });
  const restore = () => {
    const query = get("query");
    const [tall, wide] = sizeNow();
    if (query.length === 2 && query[0] < tall && query[1] < wide) focus.set(query, true);
    else if (focus.isLocked()) focus.set(null);
  };
  grid.addEventListener("click", (event) => {
    const box = grid.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    if (layerNow().kind === "channels") {
      const { columns, cell, sorted } = gates();
      const at = Math.floor(y / cell) * columns + Math.floor(x / cell);
      if (x < columns * cell && at < sorted.length) channel = sorted[at];
      show();
    } else if (layerNow().heads) {
      const cell = cellSize();
      const k = rows[Math.floor(y / cell)];
      if (k === undefined) return;
      const head = Math.max(0, Math.min(layers[k].heads - 1, Math.floor((x - LABEL) / cell)));
      store(model, { layer: k, head });
      restore();
      show();
    }
  });
  const cellSize = () => {
    const most = Math.max(...rows.map((k) => layers[k].heads));
    return Math.max(12, Math.min(72, Math.floor((right.clientWidth - LABEL) / most), Math.floor(TALLEST / rows.length)));
  };
  function gates() {
    const { values } = maskOf(get("layer")) ?? { values: [] };
    const sorted = Array.from(values, (_, c) => c);
    if (order === "value") sorted.sort((one, two) => values[two] - values[one]);
    const cell = Math.max(6, Math.min(28, Math.floor(Math.sqrt((right.clientWidth * TALLEST) / (values.length || 1)))));
    return { values, sorted, cell, columns: Math.max(1, Math.floor(right.clientWidth / cell)) };
  }

  /** What is drawn for the query: the map over the picture and every layer's and head's small map. */
  function draw() {
    const layer = layerNow();
    const map = layer.kind === "channels" ? null : mapOf(get("layer"), get("head"));
    const heads = layer.kind === "weights" ? Array.from({ length: layer.heads }, (_, head) => mapOf(get("layer"), head)) : [map];
    let high = 0;
    for (const one of heads) if (one?.values) for (const value of one.values) if (value > high) high = value;
    if (layer.kind === "channels") for (const value of gates().values) high = Math.max(high, value);
    const range = { table: layer.kind === "channels" ? "viridis" : "magma", low: 0, high: high || 1 };
    scale.set(range);
    drawMain(map, range);
    if (layer.kind === "channels") drawGates(range);
    else drawGrid(range);
    house.say(describe(map));
    main.dataset.weights = map?.values?.length <= 256 ? Array.from(map.values, (value) => value.toPrecision(5)).join(",") : "";
    fetchMissing();
  }
  function drawMain(map, range) {
    const { image: encoded } = pictureNow();
    if (!images.has(encoded)) images.set(encoded, paintImage(decode(encoded)));
    const image = images.get(encoded);
    const { width, height, scale: pixels } = fit(main, Math.min(368, left.clientWidth, (368 * image.width) / image.height), image.height / image.width);
    const context = main.getContext("2d");
    context.drawImage(image, 0, 0, width, height);
    if (map?.values) blend(context, paintMap(map.values, map.height, map.width, range), [0, 0, width, height], OPACITY);
    const query = focus.get();
    const [tall, wide] = sizeNow();
    const place = query ?? (layerNow().heads && !get("token") && tall ? [tall >> 1, wide >> 1] : null);
    if (place) outline(context, (place[1] * width) / wide, (place[0] * height) / tall, width / wide, height / tall, pixels, focus.isLocked());
  }
  function drawGrid(range) {
    if (!rows.length) {
      fit(grid, 1, 1);
      return;
    }
    const cell = cellSize();
    const width = Math.max(LABEL + cell * Math.max(...rows.map((k) => layers[k].heads)), right.clientWidth);
    const { scale: pixels } = fit(grid, width, (cell * rows.length) / width);
    const context = grid.getContext("2d");
    context.setTransform(pixels, 0, 0, pixels, 0, 0);
    context.clearRect(0, 0, width, cell * rows.length);
    context.font = FONT;
    context.textBaseline = "middle";
    rows.forEach((k, row) => {
      const top = row * cell;
      context.fillStyle = house.ink(k === get("layer") ? "ink" : "soft");
      context.fillText(String(k + 1), 0, top + cell / 2);
      for (let head = 0; head < layers[k].heads; head++) {
        const map = mapOf(k, head);
        if (!map?.values) {
          context.fillStyle = house.ink("soft");
          const words = map ?? (model.widget_manager ? "choose this layer to open it" : "not opened before the page was saved");
          context.fillText(words.length > 60 ? `${words.slice(0, 58)}…` : words, LABEL, top + cell / 2, width - LABEL);
          return;
        }
        const key = `${k},${head}`;
        const kept = cellsOfGrid.get(key);
        cellsOfGrid.set(key, paintMap(map.values, map.height, map.width, range, kept));
        const x = LABEL + head * cell;
        context.imageSmoothingEnabled = false;
        context.drawImage(cellsOfGrid.get(key), x, top, cell - 2, cell - 2);
        if (isOff(k, head)) {
          context.fillStyle = house.ink("surface");
          context.globalAlpha = 0.6;
          context.fillRect(x, top, cell - 2, cell - 2);
          context.globalAlpha = 1;
          context.strokeStyle = house.ink("bad");
          context.lineWidth = 2;
          context.beginPath();
          context.moveTo(x + 2, top + 2);
          context.lineTo(x + cell - 4, top + cell - 4);
          context.stroke();
        }
        if (k === get("layer") && (head === get("head") || get("head") < 0)) outline(context, x + 1, top + 1, cell - 4, cell - 4, 1, true);
      }
    });
    context.setTransform(1, 0, 0, 1, 0, 0);
  }
  function drawGates(range) {
    const { values, sorted, cell, columns } = gates();
    const width = columns * cell;
    const tall = Math.max(1, Math.ceil(sorted.length / columns));
    const { scale: pixels } = fit(grid, width, (tall * cell) / width);
    const context = grid.getContext("2d");
    context.setTransform(pixels, 0, 0, pixels, 0, 0);
    context.clearRect(0, 0, width, tall * cell);
    sorted.forEach((c, i) => {
      const [x, y] = [(i % columns) * cell, Math.floor(i / columns) * cell];
      context.fillStyle = colourOf(values[c] * factorOf(get("layer"), c), range);
      context.fillRect(x, y, cell - 1, cell - 1);
      if (c === channel) outline(context, x + 1, y + 1, cell - 3, cell - 3, 1, true);
    });
    context.setTransform(1, 0, 0, 1, 0, 0);
  }
  const headWords = () => ({ [AVERAGE]: "average of its heads", [ROLLOUT]: "rollout up to here" })[get("head")] ?? `head ${get("head") + 1}`;

  function describe(map = layerNow().kind === "channels" ? null : mapOf(get("layer"), get("head"))) {
    const layer = layerNow();
    const title = `Layer ${get("layer") + 1}, ${layer.name || "the model itself"}`;
    let words = "the notebook is asked for this mask.";
    if (layer.kind === "channels" && maskOf(get("layer"))) {
      const gate = maskOf(get("layer")).values[channel];
      words = `gate ${number(gate)} for channel ${channel} of ${gates().values.length}`
        + `${factorOf(get("layer"), channel) === 1 ? "." : `, multiplied by ${number(factorOf(get("layer"), channel))}.`}`;
    } else if (typeof map === "string") words = `not on the picture: ${map}`;
    else if (map) {
      const best = largest(map.values);
      const place = `row ${Math.floor(best / map.width)}, column ${best % map.width} of ${map.height} × ${map.width}`;
      const query = focus.get();
      const asks = query ? `the patch in row ${query[0]}, column ${query[1]}` : get("token") ? `the ${get("token")} token` : "the patch in the middle";
      if (layer.kind === "map") words = `the gate is largest in ${place}, ${number(map.values[best])}.`;
      else words = `${headWords()}: ${asks} takes most from ${place}, ${percent(map.values[best])}; ${percent(map.other)} from tokens that are no patches.`;
    } else if (!model.widget_manager) words = "this mask was not opened before the page was saved.";
    const before = pictureNow().answer[0];
    const now = edited && [...edited].sort((one, two) => two[2] - one[2])[0];
    const answer = now ? `The answer is now ${now[1]}, ${percent(now[2])}.` : before && !moved() ? `The answer is ${before[1]}, ${percent(before[2])}.` : "";
    return [`${title}: ${words}`, answer, focus.hint()];
  }

  function showBars() {
    const before = pictureNow().answer;
    const shown = edited ?? before;
    const first = new Map(before.map(([k, , value]) => [k, value]));
    barsName.textContent = !before.length ? "This network gives no class probabilities."
      : !moved() ? "Class probabilities" : edited ? "Class probabilities, and how far they moved in points" : "Before the change; the notebook is asked";
    bars.replaceChildren(...shown.map(([k, words, value]) => {
      const bar = styled(element("span", {}), { height: "12px", borderRadius: "3px", background: `linear-gradient(to right, var(--cw-run-0) ${100 * value}%, var(--cw-line) 0)` });
      const change = edited && first.has(k) ? ` ${changeInWords(value - first.get(k))}` : "";
      const label = styled(element("span", { title: words }, words), { overflow: "hidden", whiteSpace: "nowrap", textOverflow: "ellipsis" });
      const numbers = styled(element("span", {}, `${percent(value)}${change}`), { textAlign: "right", whiteSpace: "nowrap" });
      return styled(element("div", { role: "listitem", "data-probability": value.toPrecision(6) }, label, bar, numbers),
        { display: "grid", gridTemplateColumns: "minmax(0, 9fr) minmax(0, 8fr) 104px", gap: "8px", alignItems: "center", minHeight: "22px" });
    }));
  }
  /** Everything: choices, buttons, probabilities, and what is drawn. */
  function show() {
    const layer = layerNow();
    const head = get("head");
    layerChoice.set(get("layer"));
    if (layer.heads) {
      const own = Array.from({ length: layer.heads }, (_, h) => [h, String(h + 1)]);
      fill(headChoice, [...own, [AVERAGE, "average"], ...(get("rollout") ? [[ROLLOUT, "rollout"]] : [])], head);
    }
    headChoice.node.hidden = layer.kind !== "weights";
    tokenChoice.node.hidden = layer.kind !== "weights";
    tokenChoice.set(get("token"));
    const channels = layer.kind === "channels";
    for (const { node } of [channelSlider, orderChoice]) node.hidden = !channels;
    factorSlider.node.hidden = !channels || !layer.editable;
    channelSlider.input.max = Math.max(1, gates().values.length - 1);
    channelSlider.set(channel);
    factorSlider.set(factorOf(get("layer"), channel));
    switcher.hidden = !(layer.editable && (layer.heads || channels)) || !pictureNow().answer.length;
    switcher.disabled = Boolean(layer.heads) && head < 0;
    const off = layer.heads ? isOff(get("layer"), head) : factorOf(get("layer"), channel) === 0;
    switcher.textContent = `Switch this ${layer.heads ? "head" : "channel"} ${off ? "back on" : "off"}`;
    reset.disabled = !moved();
    name.textContent = `${pictureNow().label} · layer ${get("layer") + 1}${layer.kind === "weights" ? `, ${headWords()}` : ""}`;
    scale.node.firstChild.textContent = channels ? "Gate" : layer.kind === "map" ? "Gate of each place" : "Weight, up to the largest of this layer";
    gridName.textContent = channels ? `${layer.words}; click chooses one` : rows.length ? "All layers (rows) and heads (columns); click chooses one" : "";
    grid.setAttribute("aria-label", `${gridName.textContent}. The lists Layer and Head, and the slider Channel, choose as well.`);
    main.setAttribute("aria-label", `${pictureNow().label}, with the map of layer ${get("layer") + 1} over it. Arrows move the query, Enter pins it, Escape releases it.`);
    const offers = get("pictures").map(({ label, image }) => {
      if (!images.has(image)) images.set(image, paintImage(decode(image)));
      return { key: image, label, image: images.get(image) };
    });
    thumbs.node.hidden = offers.length < 2;
    if (offers.length > 1) thumbs.show(offers, get("picture"));
    showBars();
    draw();
  }

  house.listen(["picture", "layer", "head", "token", "query", "pictures"], () => {
    restore();
    show();
  });
  house.listen(["off", "gates"], show);
  house.listen("answer", () => {
    if (get("answer").failed) asked = "";
  });

  house.actions.append(copyButton(house, code), saveButton(house, compose, "look.png"));
  function code() {
    const layer = layerNow();
    const label = JSON.stringify(layer.name);
    const place = focus.get() ? `(${focus.get().join(", ")})` : get("token") ? JSON.stringify(get("token")) : `(${sizeNow().map((side) => side >> 1).join(", ")})`;
    const named = (k) => JSON.stringify(layers[k].name);
    const edits = [
      ...[...new Set(get("off").map(([k]) => k))].map((k) => `${named(k)}: off([${get("off").filter(([one]) => one === k).map(([, head]) => head)}])`),
      ...get("gates").map(([k, c, by]) => `${named(k)}: scale(${c}, ${by})`),
    ];
    return [
      "import torch", "from course_utils.attention import edit_masks, find_tokens, off, record_masks, scale", "",
      "model.eval()  # picture: (1, C, H, W), as the model takes it",
      `with torch.no_grad(), record_masks(model, layers=${label}) as masks:`, "    before = model(picture)",
      layer.kind === "weights"
        ? `maps = find_tokens(model, picture)[${label}].look(masks[${label}], ${place})[0]  # (heads, rows, columns)`
        : `print(masks[${label}])`,
      ...(layer.kind !== "weights" ? [] : get("head") >= 0 ? [`print(maps[${get("head")}])`] : ["print(maps.mean(0))"]),
      ...edits.flatMap((edit) => [`with torch.no_grad(), edit_masks(model, {${edit}}):`, "    print(model(picture))"]),
    ].join("\n");
  }
  function compose() {
    const pixels = window.devicePixelRatio || 1;
    const sheet = element("canvas", { width: main.width + grid.width + 48 * pixels, height: Math.max(main.height, grid.height) + 72 * pixels });
    const context = sheet.getContext("2d");
    context.fillStyle = house.ink("surface");
    context.fillRect(0, 0, sheet.width, sheet.height);
    context.drawImage(main, 16 * pixels, 16 * pixels);
    context.drawImage(grid, main.width + 32 * pixels, 16 * pixels);
    context.scale(pixels, pixels);
    context.font = FONT;
    context.fillStyle = house.ink("ink");
    describe().slice(0, 2).forEach((line, i) => context.fillText(line, 16, sheet.height / pixels - 34 + 18 * i, sheet.width / pixels - 32));
    return sheet;
  }

  restore();
  house.whenShown(show);
  return house.end;
}

export default { render };
