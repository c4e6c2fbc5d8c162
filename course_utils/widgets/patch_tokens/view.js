import { asker, button, choice, focusController, slider, store, toggle } from "../page/bind.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { colourRange, decode, largest, number, percent } from "../page/maths.js";
import { blend, colourOf, fit, markCell, outline, paintImage, paintMap } from "../page/paint.js";
import { copyButton, pictureButtons, saveButton, scaleBar } from "../page/panels.js";

const TABLE = "magma";
const SIGNED = "RdBu";
const OPACITY = 0.65;
const STRONGEST = 8;
const CELLS = [20, 12]; // least width of a token in the sequence, of up to 300 and of more, in CSS pixels
const HEAD_MARGIN = 18; // beside and above the grid of heads, for their numbers
const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
const MODES = { attention: "Attention of the class token", rollout: "Rollout", positions: "Similarity of positions" };

/** The correlation of two maps over their cells; null where one has no spread. */
function correlation(one, other) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [a, b] = [mean(one), mean(other)];
  let [both, first, second] = [0, 0, 0];
  for (let i = 0; i < one.length; i++) {
    both += (one[i] - a) * (other[i] - b);
    first += (one[i] - a) ** 2;
    second += (other[i] - b) ** 2;
  }
  return first > 0 && second > 0 ? both / Math.sqrt(first * second) : null;
}

const sameSet = (one, other) => one.length === other.length && one.every((value) => other.includes(value));
const counted = (count, word) => `${count} ${word}${count === 1 ? "" : "es"}`;

function render({ model, el }) {
  const house = frame({ model, el, name: "patch-tokens" });
  const panel = (attributes) => {
    const canvas = element("canvas", attributes);
    const name = element("p", { class: "cw-panel-name" });
    const node = element("div", { class: "cw-panel" }, name, canvas);
    return { node, name, canvas, base: document.createElement("canvas") };
  };
  const keysOf = "Arrow keys move over the patches, Enter locks, Escape releases, B blanks the patch.";
  const picturePanel = panel({ role: "img" });
  const mapPanel = panel({ role: "application", "aria-label": keysOf });
  const dropPanel = panel({ role: "img" });
  const panels = [picturePanel, mapPanel, dropPanel];
  const thumbs = pictureButtons({
    label: "Pictures", side: 36, onPress: (picture) => store(model, { blanked: [], query: [], picture }),
  });
  const mapScale = scaleBar("Colours of the map");
  const dropScale = scaleBar("Change of the probability");
  picturePanel.node.append(thumbs.node);
  mapPanel.node.append(mapScale.node);
  dropPanel.node.append(dropScale.node);
  const keyWords = element("p", { class: "cw-panel-name cw-keys" });
  mapPanel.node.append(keyWords);
  for (const node of [thumbs.node, mapScale.node, dropScale.node]) node.style.marginTop = "8px";
  const part = (words, canvas, basis) => {
    const name = element("p", { class: "cw-panel-name" }, words);
    const node = element("div", {}, name, canvas);
    Object.assign(node.style, { flex: `1 1 ${basis}`, minWidth: "0" });
    return { node, name, canvas };
  };
  const heads = part("", element("canvas", { role: "img" }), "280px");
  heads.base = document.createElement("canvas");
  heads.node.style.maxWidth = "340px";
  const bars = part("", element("canvas", { role: "img" }), "280px");
  const strip = part("", element("canvas", { role: "img" }), "100%");
  strip.base = document.createElement("canvas");
  house.stage.append(...panels.map(({ node }) => node), strip.node, heads.node, bars.node);

  const opened = new Map();
  const open = (picture) => {
    if (!opened.has(picture)) {
      const image = decode(picture.image);
      const single = decode(picture.single);
      const [attention, rollout] = [decode(picture.attention), decode(picture.rollout)];
      const [depth, count, tokens] = attention.shape;
      const rows = Array.from({ length: depth }, (_, l) => Array.from({ length: count + 1 }, (_, h) => {
        const row = new Float32Array(tokens);
        const [first, last] = h ? [h - 1, h - 1] : [0, count - 1]; // head 0 is their mean
        for (let one = first; one <= last; one++) {
          const start = (l * count + one) * tokens;
          for (let t = 0; t < tokens; t++) row[t] += attention.values[start + t] / (last - first + 1);
        }
        return row;
      }));
      const classes = picture.classes.length;
      const whole = Array.from(decode(picture.probabilities).values);
      const alone = Array.from({ length: tokens - 1 }, (_, p) =>
        Array.from(single.values.subarray(p * classes, (p + 1) * classes)));
      opened.set(picture, {
        depth, heads: count, tokens, rows, whole, alone,
        channels: image.shape[2] ?? 1,
        side: image.shape[0],
        grid: Math.round(Math.sqrt(tokens - 1)),
        rolled: Array.from({ length: depth }, (_, l) => rollout.values.subarray(l * tokens, (l + 1) * tokens)),
        drops: Float32Array.from(alone, (answers) => whole[picture.asked] - answers[picture.asked]),
        picture: paintImage(image),
      });
    }
    return opened.get(picture);
  };
  const similarity = decode(model.get("similarity"));

  let now; // the picture in the traits
  let seen; // the same in numbers
  let preview = null; // [layer, head] under the pointer in the grid of heads
  let size; // patches in a row, as the picture is cut
  let row; // the numbers of all tokens in the map shown, the class token first
  let range;

  const isCut = () => model.get("cut") !== model.get("patch_size");
  const named = () => now.classes[now.asked];
  const layerNow = () => (preview ? preview[0] : Math.min(model.get("layer"), seen.depth));
  const headNow = () => (preview ? preview[1] : Math.min(model.get("head"), seen.heads));
  const viewNow = () => (preview ? "attention" : model.get("view"));
  const patchAt = ([line, column]) => line * size + column;

  const largestWeight = (rows) => {
    let high = 0;
    for (const one of rows) for (let t = 1; t < one.length; t++) if (one[t] > high) high = one[t];
    return { table: TABLE, low: 0, high: high || 1 };
  };
  const takeMap = () => {
    const view = viewNow();
    if (view === "positions") {
      const query = focus.get();
      const start = (query && !isCut() ? patchAt(query) + 1 : 0) * seen.tokens;
      row = similarity.values.subarray(start, start + seen.tokens);
      range = { table: SIGNED, low: -1, high: 1 };
      return;
    }
    row = view === "rollout" ? seen.rolled[layerNow() - 1] : seen.rows[layerNow() - 1][headNow()];
    if (view === "rollout") seen.rolledRange ??= largestWeight(seen.rolled);
    else seen.range ??= largestWeight(seen.rows.flat());
    range = model.get("own_range") ? largestWeight([row]) : view === "rollout" ? seen.rolledRange : seen.range;
  };

  /** The probabilities to show for what is blanked, and who knows them. */
  const answerNow = () => {
    const blanked = model.get("blanked");
    if (!blanked.length) return { by: "whole", values: seen.whole };
    if (blanked.length === 1) return { by: "single", values: seen.alone[blanked[0]] };
    const { picture, blanked: patches, probabilities } = model.get("answered");
    if (picture === model.get("picture") && sameSet(patches ?? [], blanked)) return { by: "kernel", values: probabilities };
    return { by: model.widget_manager ? "waiting" : "none", values: null };
  };
  const ask = asker(model, house, () => drawAnswer());
  const asked = () => JSON.stringify([model.get("picture"), model.get("blanked")]);
  let refused = ""; // what the notebook could not answer
  const askIfNeeded = () => {
    const { by } = answerNow();
    if (by === "waiting") ask({ picture: model.get("picture"), blanked: model.get("blanked") });
  };

  const cuts = choice({
    label: "Patch", options: model.get("cuts").map((cut) => [cut, `${cut} × ${cut} pixels`]), value: model.get("cut"),
    onChange: (cut) => store(model, { cut: Number(cut), query: [] }),
  });
  const views = choice({
    label: "Map", options: Object.entries(MODES), value: model.get("view"),
    onChange: (view) => store(model, { view }),
  });
  const layer = slider({
    label: "Layer", min: 1, max: 1, step: 1, value: 1, show: String,
    onInput: (value) => store(model, { layer: value }),
  });
  const head = slider({
    label: "Head", min: 0, max: 1, step: 1, value: 0, show: (value) => (value ? String(value) : "mean"),
    onInput: (value) => store(model, { head: value }),
  });
  const own = toggle({
    label: "Each map its own colours", value: model.get("own_range"), onChange: (on) => store(model, { own_range: on }),
  });
  const strongPress = button(`Blank the ${STRONGEST} strongest of this map`, () => {
    const order = Array.from(row.keys()).slice(1).sort((a, b) => row[b] - row[a]);
    store(model, { blanked: order.slice(0, STRONGEST).map((token) => token - 1).sort((a, b) => a - b) });
  });
  const blankPress = button("Blank the locked patch", () => { if (focus.get()) toggleBlank(focus.get()); });
  const showPress = button("Show all patches", () => store(model, { blanked: [] }));
  house.controls.append(cuts.node, views.node, layer.node, head.node, own.node, blankPress, strongPress, showPress);

  const stripCell = (x, y) => {
    const { across, cell, tall, tokens } = strip.layout;
    const scale = strip.canvas.width / parseFloat(strip.canvas.style.width);
    const [left, top] = [(x * strip.canvas.width) / scale, (y * strip.canvas.height) / scale];
    const token = Math.floor(top / tall) * across + Math.floor(left / cell);
    return left >= across * cell || token >= tokens ? null : token;
  };
  const cellAt = (canvas, x, y) => {
    if (x < 0 || y < 0 || x >= 1 || y >= 1) return null;
    if (canvas !== strip.canvas) return [Math.floor(y * size), Math.floor(x * size)];
    const token = stripCell(x, y);
    return token ? [Math.floor((token - 1) / size), (token - 1) % size] : null;
  };
  const focus = focusController({
    canvases: [mapPanel.canvas, dropPanel.canvas, strip.canvas],
    rows: () => size,
    columns: () => size,
    locate: cellAt,
    onEdge: () => house.say([...describe(), "Edge."], { again: true }),
    onChange: (query, locked, quiet) => {
      look(quiet);
      const stored = locked ? query : [];
      if (String(stored) !== String(model.get("query"))) store(model, { query: stored });
    },
  });
  function toggleBlank(place) {
    if (isCut()) return;
    const patch = patchAt(place);
    const blanked = model.get("blanked");
    const next = blanked.includes(patch) ? blanked.filter((one) => one !== patch) : [...blanked, patch];
    store(model, { blanked: next.sort((a, b) => a - b) });
  }
  const placeOn = (canvas, event) => {
    const box = canvas.getBoundingClientRect();
    return cellAt(canvas, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  };
  const glance = (query) => {
    if (focus.isLocked() || String(query) === String(focus.get())) return;
    focus.set(query);
    look();
  };
  // On the picture a press blanks or shows a patch, and a drag does the same to all that it meets.
  let brush = null;
  const paint = (event) => {
    const place = placeOn(picturePanel.canvas, event);
    glance(place);
    if (brush !== null && place && !isCut() && model.get("blanked").includes(patchAt(place)) !== brush) toggleBlank(place);
  };
  picturePanel.canvas.addEventListener("pointerdown", (event) => {
    const place = placeOn(picturePanel.canvas, event);
    if (event.button !== 0 || !place || isCut()) return;
    brush = !model.get("blanked").includes(patchAt(place));
    paint(event);
    event.preventDefault(); // a drag selects no text
  });
  picturePanel.canvas.addEventListener("pointermove", (event) => {
    for (const one of brush === null ? [event] : event.getCoalescedEvents?.() ?? [event]) paint(one);
  });
  picturePanel.canvas.addEventListener("pointerleave", () => glance(null));
  const lift = () => { brush = null; };
  for (const ending of ["pointerup", "pointercancel"]) {
    window.addEventListener(ending, lift);
    house.endings.push(() => window.removeEventListener(ending, lift));
  }
  mapPanel.canvas.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "b" || event.ctrlKey || event.metaKey || event.altKey || !focus.get()) return;
    toggleBlank(focus.get());
    event.preventDefault();
    event.stopPropagation();
  });

  const headAt = (event) => {
    const box = heads.canvas.getBoundingClientRect();
    const side = (box.width - HEAD_MARGIN) / (seen.heads + 1);
    const l = Math.floor((event.clientY - box.top - HEAD_MARGIN) / side);
    const h = Math.floor((event.clientX - box.left - HEAD_MARGIN) / side);
    return l < 0 || h < 0 || l >= seen.depth || h > seen.heads ? null : [l + 1, h];
  };
  const peek = (next) => {
    if (String(next) === String(preview)) return;
    preview = next;
    drawMap();
    drawStrip();
    look();
  };
  heads.canvas.addEventListener("pointermove", (event) => peek(headAt(event)));
  heads.canvas.addEventListener("pointerleave", () => peek(null));
  heads.canvas.addEventListener("click", (event) => {
    const chosen = headAt(event);
    if (chosen) store(model, { layer: chosen[0], head: chosen[1], view: "attention" });
  });

  const describe = () => {
    const query = focus.get();
    const patches = size * size;
    const lock = focus.hint();
    const token = query && `Patch at row ${query[0]}, column ${query[1]}: token ${patchAt(query) + 1} of ${patches}`;
    if (isCut()) {
      const cut = model.get("cut");
      const words = `Patches of ${cut} × ${cut}: ${patches} patches of ${seen.channels} · ${cut} · ${cut} = `
        + `${seen.channels * cut * cut} numbers; with the class token ${patches + 1} tokens, so `
        + `${((patches + 1) ** 2).toLocaleString("en")} weights a head. This network was trained with `
        + `${model.get("patch_size")} × ${model.get("patch_size")}; its maps are shown at that size.`;
      return [words, query ? `${token}.` : "", "", "", lock];
    }
    const rest = row.subarray(1);
    const top = largest(rest);
    const where = `row ${Math.floor(top / size)}, column ${top % size}`;
    const by = headNow() ? `head ${headNow()}` : "mean of the heads";
    const share = percent(rest.reduce((sum, value) => sum + value, 0));
    let map;
    if (viewNow() === "attention") {
      map = `Layer ${layerNow()}, ${by}: the class token gives ${share} to patches, most, ${percent(rest[top])}, to ${where}.`;
    } else if (viewNow() === "rollout") {
      map = `Rollout of layers 1 to ${layerNow()}: ${share} of the class token comes from patches, most, `
        + `${percent(rest[top])}, from ${where}.`;
    } else {
      const others = rest.map((value, patch) => (query && patch === patchAt(query) ? -Infinity : value));
      const like = largest(others);
      map = "Cosine of position embeddings, 1 for the same direction, 0 for none in common"
        + `${query ? `: most like it row ${Math.floor(like / size)}, column ${like % size}, ${others[like].toFixed(2)}.`
          : ": those of the patches with that of the class token. Point at a patch."}`;
    }
    let about = "";
    if (query) {
      const patch = patchAt(query);
      const [before, after] = [seen.whole[now.asked], seen.alone[patch][now.asked]];
      const value = viewNow() === "positions" ? "" : `, ${viewNow() === "rollout" ? "share" : "weight"} ${percent(rest[patch])}`;
      const gone = model.get("blanked").includes(patch) ? ", blanked now" : "";
      about = `${token}${gone}${value}; blanking it alone takes the probability of ${named()} from ${percent(before)} to `
        + `${percent(after)}.`;
    }
    const r = viewNow() === "positions" ? null : correlation(rest, seen.drops);
    const agree = r === null ? "" : `Correlation of this map with the fall by blanking: ${r.toFixed(2)}.`;
    const kept = viewNow() === "positions" ? "Occlusion is" : "Maps, occlusion and correlation are";
    const whole = model.get("blanked").length ? `${kept} of the whole picture.` : "";
    return [map, about, blankedWords(), `${agree} ${whole}`.trim(), lock];
  };
  let hadBlanks = false;
  const blankedWords = () => {
    const count = model.get("blanked").length;
    const { by, values } = answerNow();
    if (!count) return hadBlanks ? `No patch blanked: ${percent(seen.whole[now.asked])} for ${named()}.` : "";
    hadBlanks = true;
    const what = `${counted(count, "patch")} blanked`;
    if (by === "none") return `${what}: this needs a running notebook; here only single patches are known.`;
    if (by === "waiting" && refused === asked()) return `${what}: the notebook could not answer; its message stands below.`;
    if (by === "waiting") return `${what}: asking the network.`;
    const first = largest(values);
    const answer = `${percent(values[now.asked])} for ${named()}, without blanks ${percent(seen.whole[now.asked])}`;
    return `${what}: ${answer}; most likely ${now.classes[first]} with ${percent(values[first])}.`;
  };

  const layPicture = (context, width, height) => {
    context.imageSmoothingEnabled = width < 4 * seen.side;
    context.imageSmoothingQuality = "high";
    context.drawImage(seen.picture, 0, 0, width, height);
  };
  const hatch = (context, x, y, width, height, scale) => {
    context.save();
    context.beginPath();
    context.rect(x, y, width, height);
    context.clip();
    context.fillStyle = "#7b7f86";
    context.fillRect(x, y, width, height);
    context.strokeStyle = "#33373d";
    context.lineWidth = scale;
    context.beginPath();
    for (let at = -height; at < width; at += 5 * scale) {
      context.moveTo(x + at, y + height);
      context.lineTo(x + at + height, y);
    }
    context.stroke();
    context.restore();
  };
  const resized = ({ canvas, base }) => {
    if (base.width !== canvas.width) base.width = canvas.width;
    if (base.height !== canvas.height) base.height = canvas.height;
    return base.getContext("2d");
  };
  /** Lines between the patches, and round them from line 0 on. */
  const grid = (context, canvas, first, colour) => {
    const step = canvas.width / size;
    context.strokeStyle = colour;
    context.lineWidth = Math.max(1, canvas.width / parseFloat(canvas.style.width) / 2);
    context.beginPath();
    for (let i = first; i <= size - first; i++) {
      context.moveTo(i * step, 0);
      context.lineTo(i * step, canvas.height);
      context.moveTo(0, i * step);
      context.lineTo(canvas.width, i * step);
    }
    context.stroke();
  };
  const drawPicture = () => {
    const { canvas, name } = picturePanel;
    const context = resized(picturePanel);
    const scale = canvas.width / parseFloat(canvas.style.width);
    layPicture(context, canvas.width, canvas.height);
    const step = canvas.width / size;
    const blanked = isCut() ? [] : model.get("blanked");
    for (const patch of blanked) {
      hatch(context, (patch % size) * step, Math.floor(patch / size) * step, step, step, scale);
    }
    grid(context, canvas, 1, "rgb(255 255 255 / 0.55)");
    name.textContent = isCut() ? now.label : `${now.label}: click to blank`;
    canvas.style.cursor = isCut() ? "default" : "pointer";
    canvas.setAttribute("aria-label", `${now.label}, cut into ${size} × ${size} patches, ${blanked.length} of them blanked`);
  };
  /** The titles of what is shown; while patches are blanked they say that maps and occlusion are not of what is left. */
  const nameMaps = () => {
    if (isCut()) {
      mapPanel.name.textContent = `${size * size} patches of ${model.get("cut")} × ${model.get("cut")}`;
      return;
    }
    const query = focus.get();
    const whole = model.get("blanked").length > 0;
    const by = headNow() ? `head ${headNow()}` : `mean${whole ? "" : " of heads"}`;
    mapPanel.name.textContent = {
      attention: `${whole ? "Whole picture" : "Attention"}: layer ${layerNow()}, ${by}`,
      rollout: `${whole ? "Whole picture: rollout to layer" : "Rollout, layers 1 to"} ${layerNow()}`,
      positions: `Positions like ${query ? `row ${query[0]}, column ${query[1]}` : "the class token's"}`,
    }[viewNow()];
    dropPanel.name.textContent = `${whole ? "Whole picture" : "Occlusion"}: change of P(${named()})`;
    heads.name.textContent = whole ? "Whole picture: layers down, heads across" : "Layers down, heads across: point or click";
  };
  const drawMap = () => {
    const { canvas } = mapPanel;
    const context = resized(mapPanel);
    nameMaps();
    if (isCut()) {
      drawPatches(context, canvas);
      return;
    }
    takeMap();
    layPicture(context, canvas.width, canvas.height);
    const map = paintMap(row.subarray(1), size, size, range);
    blend(context, map, [0, 0, canvas.width, canvas.height], viewNow() === "positions" ? 1 : OPACITY);
    mapScale.set(range);
    canvas.dataset.weights = Array.from(row.subarray(1), (value) => value.toPrecision(6)).join(",");
  };
  /** The patches apart from one another, as in the lesson's figure. */
  const drawPatches = (context, canvas) => {
    context.clearRect(0, 0, canvas.width, canvas.height);
    const step = canvas.width / size;
    const gap = Math.max(1, 0.12 * step);
    const side = seen.side / size;
    context.imageSmoothingEnabled = step < 4 * side;
    for (let r = 0; r < size; r++) {
      for (let c = 0; c < size; c++) {
        const box = [c * step + gap / 2, r * step + gap / 2, step - gap, step - gap];
        context.drawImage(seen.picture, c * side, r * side, side, side, ...box);
      }
    }
  };
  const drawDrops = () => {
    const { canvas } = dropPanel;
    const context = resized(dropPanel);
    const changes = seen.drops.map((drop) => -drop);
    const signed = { table: SIGNED, ...colourRange(changes, SIGNED) };
    blend(context, paintMap(changes, size, size, signed), [0, 0, canvas.width, canvas.height]);
    grid(context, canvas, 0, "rgb(128 128 128 / 0.4)");
    const most = largest(seen.drops);
    canvas.setAttribute("aria-label", `Change of the probability of ${named()} by blanking each patch alone; it falls most, `
      + `by ${percent(seen.drops[most])}, at row ${Math.floor(most / size)}, column ${most % size}`);
    canvas.dataset.drops = Array.from(seen.drops, (value) => value.toPrecision(6)).join(",");
    dropScale.set(signed);
  };
  const drawStrip = () => {
    const { canvas, name } = strip;
    const tokens = size * size + 1;
    const wide = Math.floor(strip.node.clientWidth);
    const across = Math.min(tokens, Math.floor(wide / CELLS[tokens > 300 ? 1 : 0]));
    const lines = Math.ceil(tokens / across);
    const cell = Math.min(28, wide / across);
    const tall = (isCut() ? 1 : 1.7) * cell + 5;
    strip.layout = { across, cell, tall, tokens };
    const { scale } = fit(canvas, wide, (lines * tall) / wide);
    const context = resized(strip);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const side = seen.side / size;
    const blanked = isCut() ? [] : model.get("blanked");
    for (let t = 0; t < tokens; t++) {
      const [x, y] = [(t % across) * cell * scale, Math.floor(t / across) * tall * scale];
      const width = (cell - 1) * scale;
      if (t === 0) {
        context.fillStyle = house.ink("accent");
        context.fillRect(x, y, width, width);
        context.fillStyle = house.ink("on-accent");
        context.font = `600 ${Math.round(0.7 * width)}px ${FONT}`;
        context.textAlign = "center";
        context.textBaseline = "middle";
        context.fillText("C", x + width / 2, y + width / 2);
      } else if (blanked.includes(t - 1)) {
        hatch(context, x, y, width, width, scale);
      } else {
        const [r, c] = [Math.floor((t - 1) / size), (t - 1) % size];
        context.imageSmoothingEnabled = width < 4 * side;
        context.drawImage(seen.picture, c * side, r * side, side, side, x, y, width, width);
      }
      if (isCut()) continue;
      context.fillStyle = colourOf(row[t], range);
      context.fillRect(x, y + cell * scale, width, 0.65 * cell * scale);
    }
    name.textContent = `The sequence: class token C, then ${tokens - 1} patches row by row`
      + `${isCut() ? "" : ", the map's number below each"}`;
    canvas.setAttribute("aria-label", name.textContent);
  };
  const headBox = (l, h) => {
    const { canvas } = heads;
    const margin = (HEAD_MARGIN * canvas.width) / parseFloat(canvas.style.width);
    const side = (canvas.width - margin) / (seen.heads + 1);
    return [margin + h * side + 1, margin + l * side + 1, side - 2, side - 2];
  };
  const drawHeads = () => {
    const { canvas, node } = heads;
    const wide = Math.floor(node.clientWidth);
    const tall = HEAD_MARGIN + ((wide - HEAD_MARGIN) * seen.depth) / (seen.heads + 1);
    const { scale } = fit(canvas, wide, tall / wide);
    const context = resized(heads);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = house.ink("soft");
    context.font = `${Math.round(11 * scale)}px ${FONT}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const middle = (HEAD_MARGIN / 2) * scale;
    for (let l = 0; l < seen.depth; l++) {
      const [, y, , height] = headBox(l, 0);
      context.fillText(String(l + 1), middle, y + height / 2);
    }
    for (let h = 0; h <= seen.heads; h++) {
      const [x, , width] = headBox(0, h);
      context.fillText(h ? String(h) : width < 36 * scale ? "m" : "mean", x + width / 2, middle);
    }
    seen.range ??= largestWeight(seen.rows.flat());
    seen.rows.forEach((line, l) => line.forEach((one, h) => {
      const style = model.get("own_range") ? largestWeight([one]) : seen.range;
      blend(context, paintMap(one.subarray(1), size, size, style), headBox(l, h));
    }));
    canvas.setAttribute("aria-label", `The class token's attention in ${seen.depth} layers and ${seen.heads} heads`);
  };
  const drawBars = () => {
    const { canvas, name, node } = bars;
    const { by, values } = answerNow();
    const others = 1 - seen.whole.reduce((sum, value) => sum + value, 0) > 1e-3;
    const names = [...now.classes, ...(others ? ["all others"] : [])];
    const complete = (list) => (others ? [...list, Math.max(0, 1 - list.reduce((sum, value) => sum + value, 0))] : list);
    const wide = Math.floor(node.clientWidth);
    const { scale } = fit(canvas, wide, (20 * names.length) / wide);
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.font = `${Math.round(13 * scale)}px ${FONT}`;
    context.textBaseline = "middle";
    const left = Math.min(0.4 * canvas.width, 8 * scale + Math.max(...names.map((word) => context.measureText(word).width)));
    const full = canvas.width - left - 64 * scale;
    const [whole, shown] = [complete(seen.whole), values && complete(values)];
    names.forEach((word, k) => {
      const y = 20 * scale * k;
      context.textAlign = "left";
      context.fillStyle = house.ink(k === now.asked ? "accent" : "ink");
      context.fillText(word, 0, y + 10 * scale, left - 8 * scale);
      if (shown) {
        context.fillStyle = house.ink(k === now.asked ? "accent" : "edge");
        context.fillRect(left, y + 4 * scale, full * shown[k], 12 * scale);
        context.textAlign = "right";
        context.fillStyle = house.ink("ink");
        context.fillText(percent(shown[k]), canvas.width, y + 10 * scale);
      }
      context.fillStyle = house.ink("ink");
      context.fillRect(left + full * whole[k] - scale, y + 2 * scale, 2 * scale, 16 * scale);
    });
    name.textContent = `Class probabilities${by === "whole" ? "" : "; the stroke is that of the whole picture"}`;
    canvas.dataset.by = by;
    canvas.dataset.probabilities = shown ? values.map((value) => value.toPrecision(5)).join(",") : "";
    canvas.setAttribute("aria-label", shown
      ? `Probabilities: ${names.map((word, k) => `${word} ${percent(shown[k])}`).join(", ")}` : "No probabilities yet");
  };

  /** The patch in focus alone has moved. */
  const look = (quiet = false) => {
    if (house.root.clientWidth === 0) return;
    const query = focus.get();
    const locked = focus.isLocked();
    if (viewNow() === "positions" && !isCut()) {
      drawMap();
      drawStrip();
    }
    for (const { canvas, base } of isCut() ? panels.slice(0, 2) : panels) {
      if (isCut()) canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
      markCell(canvas, base, [size, size], query, locked);
    }
    const context = strip.canvas.getContext("2d");
    context.clearRect(0, 0, strip.canvas.width, strip.canvas.height);
    context.drawImage(strip.base, 0, 0);
    if (query) {
      const { across, cell, tall } = strip.layout;
      const scale = strip.canvas.width / parseFloat(strip.canvas.style.width);
      const token = patchAt(query) + 1;
      const [x, y] = [(token % across) * cell * scale, Math.floor(token / across) * tall * scale];
      outline(context, x, y, (cell - 1) * scale, (tall - 5) * scale, scale, locked);
    }
    if (!isCut()) markHead();
    blankPress.disabled = isCut() || !locked;
    house.say(describe(), { quiet });
  };
  const markHead = () => {
    const context = heads.canvas.getContext("2d");
    context.clearRect(0, 0, heads.canvas.width, heads.canvas.height);
    context.drawImage(heads.base, 0, 0);
    if (viewNow() !== "attention") return;
    const scale = heads.canvas.width / parseFloat(heads.canvas.style.width);
    outline(context, ...headBox(layerNow() - 1, headNow()), scale / 1.5, !preview);
  };
  const drawAnswer = () => {
    if (house.root.clientWidth === 0) return;
    drawPicture();
    nameMaps();
    drawStrip();
    drawBars();
    // A button that is switched off while it has the focus loses it.
    showPress.disabled = (model.get("blanked").length === 0 || isCut()) && !showPress.matches(":focus");
    look();
  };

  const drawThumbs = () => {
    const pictures = model.get("pictures");
    thumbs.node.hidden = pictures.length < 2;
    const offers = pictures.map((picture) => ({ key: picture, label: picture.label, image: open(picture).picture }));
    thumbs.show(offers, pictures.indexOf(now));
  };
  const refresh = () => {
    now = model.get("pictures")[model.get("picture")] ?? model.get("pictures")[0];
    seen = open(now);
    size = seen.side / model.get("cut");
    cuts.set(model.get("cut"));
    views.set(model.get("view"));
    layer.input.max = String(seen.depth);
    head.input.max = String(seen.heads);
    layer.set(model.get("layer"));
    head.set(model.get("head"));
    own.set(model.get("own_range"));
    const cut = isCut();
    keyWords.textContent = `Keys: arrows, Enter, Escape${cut ? "" : "; B blanks"}`;
    for (const { node } of [views, layer, head, own]) node.hidden = cut;
    layer.node.hidden ||= model.get("view") === "positions";
    head.node.hidden ||= model.get("view") !== "attention";
    own.node.hidden ||= model.get("view") === "positions";
    picturePanel.canvas.style.touchAction = cut ? "" : "none"; // a finger paints here, and scrolls beside it
    strongPress.disabled = model.get("view") === "positions";
    for (const node of [blankPress, strongPress, showPress, dropPanel.node, heads.node, bars.node, mapScale.node]) node.hidden = cut;
  };
  const draw = () => {
    if (house.root.clientWidth === 0) return;
    for (const { canvas, node } of isCut() ? panels.slice(0, 2) : panels) fit(canvas, Math.floor(node.clientWidth), 1);
    drawThumbs();
    if (!isCut()) {
      drawDrops();
      drawHeads();
    }
    drawMap();
    drawAnswer();
  };
  const takeQuery = () => {
    const query = model.get("query");
    if (query.length === 2 && Math.max(...query) < size) focus.set(query, true);
    else if (focus.isLocked() || (focus.get() && Math.max(...focus.get()) >= size)) focus.set(null);
  };
  const reload = () => {
    refresh();
    takeQuery();
    draw();
  };
  reload();
  askIfNeeded();
  house.listen(["picture", "cut", "view", "layer", "head", "own_range"], reload);
  house.listen("pictures", () => {
    opened.clear();
    reload();
    askIfNeeded();
  });
  house.listen("query", () => {
    takeQuery();
    look();
  });
  house.listen(["picture", "blanked"], () => {
    askIfNeeded();
    drawAnswer();
  });
  house.listen("answer", () => {
    refused = model.get("answer").failed ? asked() : "";
    drawAnswer();
  });
  house.listen("answered", drawAnswer);
  house.whenShown(draw);

  const compose = () => {
    const pixels = picturePanel.canvas.width / parseFloat(picturePanel.canvas.style.width);
    const [gap, line] = [Math.round(16 * pixels), Math.round(20 * pixels)];
    const shown = isCut() ? panels.slice(0, 2) : panels;
    const sheet = document.createElement("canvas");
    sheet.width = Math.max(strip.canvas.width + 2 * gap, shown.reduce((sum, { canvas }) => sum + canvas.width + gap, gap));
    const lower = isCut() ? 0 : Math.max(heads.canvas.height, bars.canvas.height) + line + gap;
    const words = describe().slice(0, 4).filter(Boolean);
    const top = gap / 2 + line;
    const side = picturePanel.canvas.height;
    sheet.height = top + side + 2 * line + gap + strip.canvas.height + gap + lower + words.length * line + gap;
    const context = sheet.getContext("2d");
    context.fillStyle = house.ink("surface");
    context.fillRect(0, 0, sheet.width, sheet.height);
    context.fillStyle = house.ink("ink");
    context.textBaseline = "top";
    context.font = `${Math.round(13 * pixels)}px ${FONT}`;
    let x = gap;
    for (const { canvas, name } of shown) {
      context.fillText(name.textContent, x, gap / 2, canvas.width);
      context.drawImage(canvas, x, top);
      const bar = { [1]: mapScale, [2]: dropScale }[panels.indexOf(panels.find((one) => one.canvas === canvas))];
      if (bar && !isCut()) {
        context.drawImage(bar.canvas, x, top + side + line / 4, canvas.width, line / 2);
        context.fillText(bar.canvas.getAttribute("aria-label"), x, top + side + line, canvas.width);
      }
      x += canvas.width + gap;
    }
    let y = top + side + 2 * line + gap;
    context.drawImage(strip.canvas, gap, y);
    y += strip.canvas.height + gap;
    if (!isCut()) {
      context.fillText(heads.name.textContent.replace(": point or click", ""), gap, y, heads.canvas.width);
      context.fillText(bars.name.textContent, 2 * gap + heads.canvas.width, y, bars.canvas.width);
      context.drawImage(heads.canvas, gap, y + line);
      context.drawImage(bars.canvas, 2 * gap + heads.canvas.width, y + line);
      y += lower;
    }
    for (const word of words) {
      context.fillText(word, gap, y, sheet.width - 2 * gap);
      y += line;
    }
    return sheet;
  };
  const code = () => {
    const [at, by] = [model.get("layer") - 1, model.get("head")];
    const query = focus.get();
    const lines = {
      attention: `row = weights[0, ${at}]${by ? `[${by - 1}]` : ".mean(dim=0)"}[0]  # the class token's`,
      rollout: `row = rollout(weights[:, : ${at + 1}])[0, 0]`,
      positions: "positions = network.positions[0].detach()\n"
        + `row = torch.cosine_similarity(positions[${query ? patchAt(query) + 1 : 0}], positions, dim=1)`,
    };
    const cut = model.get("cut");
    if (isCut()) {
      return `${now.code.split("\nwith torch")[0]}\npatches = torch.nn.functional.unfold(image[None], ${cut}, stride=${cut})\n`
        + "print(patches.transpose(1, 2).shape)  # a row a patch";
    }
    return [
      now.code, "", lines[model.get("view")],
      `print(row[1:].view(${size}, ${size}))  # the map shown`,
      "print(single.shape)  # of each blanked patch",
    ].join("\n");
  };
  house.actions.append(saveButton(house, compose, "patch-tokens.png"), copyButton(house, code));
  return house.end;
}

export default { render };
