import { asker, bindFocus, button, choice, gestures, keyWords, slider, store, toggle, traitControls } from "../page/bind.js";
import { sentPictures } from "../page/camera.js";
import { element, styled, wordsIn } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { colourRange, decode, dot, extent, largest, percent, placeInWords } from "../page/maths.js";
import {
  blend, colourOf, drawArcs, fit, fitPanel, frameCell, layPicture, outline, paintImage, paintMap, pixelsOf,
} from "../page/paint.js";
import { bars, copyButton, instrument, panel, pictureButtons, picturePanel, saveButton, scaleBar } from "../page/panels.js";

const [TABLE, SIGNED] = ["magma", "RdBu"];
const OPACITY = 0.6;
const FAINT = 0.25; // the map while patches are blanked by hand: the picture counts then
const ARCS = 6;
const STRONGEST = 8;
const CELLS = [20, 12]; // least width of a token in the sequence, of up to 300 and of more, in CSS pixels
const HEAD_MARGIN = 18; // beside and above the grid of heads, for their numbers
const TALLEST = 256;
const VIEWS = {
  attention: "Attention", rollout: "Rollout", positions: "Positions", occlusion: "Occlusion", sequence: "Sequence",
};

/** The correlation of two maps over their cells; null where one has no spread. */
function correlation(one, other) {
  const [a, b] = [one, other].map((values) => {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return Float64Array.from(values, (value) => value - mean);
  });
  const size = Math.sqrt(dot(a, a) * dot(b, b));
  return size > 0 ? dot(a, b) / size : null;
}

const counted = (count) => `${count} patch${count === 1 ? "" : "es"} blanked`;
const strongest = (row, count) => Array.from(row.keys()).slice(1).sort((a, b) => row[b] - row[a]).slice(0, count);

/** The colours from 0 to the largest weight of a patch in these rows. */
function weightRange(rows) {
  return { table: TABLE, low: 0, high: Math.max(...rows.map((row) => extent(row.subarray(1)).high)) || 1 };
}

/** A picture of the traits in numbers: rows of weights of all tokens, the class token first, and answers. */
function openPicture(picture) {
  const [image, single] = [decode(picture.image), decode(picture.single)];
  const [attention, rollout] = [decode(picture.attention), decode(picture.rollout)];
  const [depth, count, tokens] = attention.shape;
  const rows = Array.from({ length: depth }, (_, l) => Array.from({ length: count + 1 }, (__, h) => {
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
  const alone = Array.from({ length: tokens - 1 }, (_, p) => [...single.values.subarray(p * classes, (p + 1) * classes)]);
  const rolled = Array.from({ length: depth }, (_, l) => rollout.values.subarray(l * tokens, (l + 1) * tokens));
  return {
    depth, heads: count, tokens, rows, rolled, whole, alone, channels: image.shape[2] ?? 1, side: image.shape[0],
    range: weightRange(rows.flat()), rolledRange: weightRange(rolled),
    changes: Float32Array.from([0, ...alone.map((answers) => answers[picture.asked] - whole[picture.asked])]),
    picture: paintImage(image),
  };
}

/** What the traits choose, in numbers; `preview` is the [layer, head] under the pointer in the grid of heads. */
function numbersOf(model) {
  const get = (name) => model.get(name);
  const opened = new Map();
  const similarity = decode(get("similarity"));
  const made = { get, preview: null, forget: () => opened.clear() };
  made.open = (picture) => {
    if (!opened.has(picture)) opened.set(picture, openPicture(picture));
    return opened.get(picture);
  };
  /** Follow the traits: `now` is the picture in them, `seen` the same in numbers, `size` the patches in a row. */
  made.follow = () => {
    made.now = get("pictures")[get("picture")] ?? get("pictures")[0];
    made.seen = made.open(made.now);
    made.size = made.seen.side / get("cut");
  };
  made.isCut = () => get("cut") !== get("patch_size");
  made.named = () => made.now.classes[made.now.asked];
  made.layer = () => made.preview?.[0] ?? Math.min(get("layer"), made.seen.depth);
  made.head = () => made.preview?.[1] ?? Math.min(get("head"), made.seen.heads);
  made.view = () => (made.isCut() ? "sequence" : made.preview ? "attention" : get("view"));
  made.patchAt = ([row, column]) => row * made.size + column;
  /** The numbers of all tokens in the map shown, the class token's first, and their colours. */
  made.map = (query) => {
    const { seen } = made;
    const view = made.view();
    if (view === "positions") {
      const start = (query ? made.patchAt(query) + 1 : 0) * seen.tokens;
      return { row: similarity.values.subarray(start, start + seen.tokens), range: { table: SIGNED, low: -1, high: 1 } };
    }
    if (view === "occlusion") return { row: seen.changes, range: { table: SIGNED, ...colourRange(seen.changes, SIGNED) } };
    const row = view === "rollout" ? seen.rolled[made.layer() - 1] : seen.rows[made.layer() - 1][made.head()];
    return { row, range: get("own_range") ? weightRange([row]) : view === "rollout" ? seen.rolledRange : seen.range };
  };
  /** The probabilities for what is blanked; null while nobody knows them. */
  made.answer = () => {
    const blanked = get("blanked");
    if (blanked.length < 2) return blanked.length ? made.seen.alone[blanked[0]] : made.seen.whole;
    const { picture, blanked: patches = [], probabilities } = get("answered");
    const same = patches.length === blanked.length && blanked.every((one) => patches.includes(one));
    return picture === get("picture") && same ? probabilities : null;
  };
  return made;
}

const headInWords = (numbers) => (numbers.head() ? `head ${numbers.head()}` : "mean of the heads");

// Words ------------------------------------------------------------------------------------------------------------------

/** What the map is of, for its title. */
function titleOf(numbers, query) {
  const { now, size } = numbers;
  const cut = numbers.get("cut");
  const words = {
    attention: `attention of the class token, layer ${numbers.layer()}, ${headInWords(numbers)}`,
    rollout: `rollout, layers 1 to ${numbers.layer()}`,
    positions: `positions like ${query ? `that at ${placeInWords(query)}` : "the class token's"}`,
    occlusion: `change of P(${numbers.named()}) by blanking each patch`,
    sequence: `${size * size} patches of ${cut} × ${cut} pixels`,
  }[numbers.view()];
  return `${now.label}: ${words}`;
}

/** What the map says, in words. */
function mapInWords(numbers, query) {
  const { seen, size } = numbers;
  const view = numbers.view();
  const cut = numbers.get("cut");
  if (view === "sequence") {
    const weights = ((size * size + 1) ** 2).toLocaleString("en");
    const trained = numbers.get("patch_size");
    return `${size * size} patches of ${seen.channels} · ${cut} · ${cut} = ${seen.channels * cut * cut} numbers; with the `
      + `class token ${size * size + 1} tokens, so ${weights} weights per head.`
      + (numbers.isCut() ? ` The network was trained with ${trained} × ${trained}.` : "");
  }
  const rest = numbers.map(query).row.subarray(1);
  const place = (index) => placeInWords([Math.floor(index / size), index % size]);
  if (view === "positions") {
    if (!query) return "How much the patches' position embeddings resemble the class token's. Point at a patch.";
    const others = rest.map((value, patch) => (patch === numbers.patchAt(query) ? -Infinity : value));
    const best = largest(others);
    return `The position of ${placeInWords(query)} is most like that of ${place(best)}: ${others[best].toFixed(2)} of 1.`;
  }
  if (view === "occlusion") {
    const most = largest(rest.map((value) => -value));
    return `Blanking one patch matters most at ${place(most)}: it takes the probability of ${numbers.named()} from `
      + `${percent(seen.whole[numbers.now.asked])} to ${percent(seen.alone[most][numbers.now.asked])}.`;
  }
  const share = percent(rest.reduce((sum, value) => sum + value, 0));
  const top = largest(rest);
  const most = `most ${view === "rollout" ? "from" : "to"} ${place(top)}: ${percent(rest[top])}.`;
  const from = `Rollout of layers 1 to ${numbers.layer()}: ${share} of the class token comes from patches`;
  if (view === "rollout") return `${from}, ${most}`;
  const asked = { aside: `Layer ${numbers.layer()}, ${headInWords(numbers)}:` };
  return [asked, `the class token gives ${share} to patches, ${most}`];
}

/** What is known of the patch in focus. */
function patchInWords(numbers, query) {
  const patch = numbers.patchAt(query);
  const words = `Patch at ${placeInWords(query)}: token ${patch + 1} of ${numbers.size ** 2}`;
  if (numbers.isCut()) return [`${words}.`];
  const chance = (answers) => percent(answers[numbers.now.asked]);
  const value = { attention: "weight", sequence: "weight", rollout: "share" }[numbers.view()];
  const weight = value ? `, ${value} ${percent(numbers.map(query).row[patch + 1])}` : "";
  const blanking = `Blanking it alone takes the probability of ${numbers.named()} from ${chance(numbers.seen.whole)} to `
    + `${chance(numbers.seen.alone[patch])}.`;
  return [`${words}${weight}.`, { aside: blanking }];
}

/** What the answer is for what is blanked. */
function blankedInWords(numbers, live, refused) {
  const count = numbers.get("blanked").length;
  if (!count || numbers.isCut()) return "";
  const values = numbers.answer();
  if (!values && !live) return `${counted(count)}: this needs a running notebook; here only single patches are known.`;
  if (!values && refused) return `${counted(count)}: the notebook could not answer; its message stands below.`;
  if (!values) return `${counted(count)}: asking the network.`;
  const [first, { asked, classes }] = [largest(values), numbers.now];
  const whole = percent(numbers.seen.whole[asked]);
  return `${counted(count)}: ${percent(values[asked])} for ${numbers.named()}, without blanks ${whole}; most likely `
    + `${classes[first]} with ${percent(values[first])}.`;
}

/** How well the map agrees with occlusion, and that it is of the whole picture. */
function noteOf(numbers, query) {
  const view = numbers.view();
  const r = view === "attention" || view === "rollout"
    ? correlation(numbers.map(query).row.subarray(1), numbers.seen.changes.subarray(1).map((value) => -value)) : null;
  return [
    r === null ? "" : `Correlation with the drop by occlusion: ${r.toFixed(2)}.`,
    numbers.get("blanked").length && view !== "sequence" && view !== "positions" ? "The map is of the whole picture." : "",
  ].filter(Boolean).join(" ");
}

// Parts ------------------------------------------------------------------------------------------------------------------

/** A patch that is blanked. */
function hatch(context, x, y, side, scale) {
  context.fillStyle = "#7b7f86";
  context.fillRect(x, y, side, side);
  context.strokeStyle = "#33373d";
  context.lineWidth = scale;
  context.beginPath();
  for (let at = 0; at < side; at += 5 * scale) { // from each side to the one beside it, and so within the patch
    context.moveTo(x + at, y + side);
    context.lineTo(x + side, y + at);
    context.moveTo(x, y + side - at);
    context.lineTo(x + side - at, y);
  }
  context.stroke();
}

/** What is painted of a canvas once, and copied back at each hover before something is framed. */
function layered(canvas) {
  const base = document.createElement("canvas");
  const begin = () => {
    [base.width, base.height] = [canvas.width, canvas.height];
    return base.getContext("2d");
  };
  const copy = () => {
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(base, 0, 0);
    return context;
  };
  return { base, begin, copy, scale: () => pixelsOf(canvas) };
}

/** The chip of the class token, which has no place on the picture. */
function drawChip(context, house, x, y, side) {
  context.fillStyle = house.ink("accent");
  context.fillRect(x, y, side, side);
  context.fillStyle = house.ink("on-accent");
  context.font = `600 ${Math.round(0.7 * side)}px ${getComputedStyle(house.root).fontFamily}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText("C", x + side / 2, y + side / 2);
}

/** The picture, the map over it, and arcs to the patches that count most. */
function mainPart(house, numbers, focus, model) {
  const views = Object.entries(VIEWS).map(([view, words]) =>
    [view, button(words, () => store(model, { view, cut: model.get("patch_size") }))]);
  const tabs = element("div", { class: "cw-actions", role: "group", "aria-label": "Show" }, ...views.map(([, one]) => one));
  styled(tabs, { margin: "0 0 12px" });
  const made = picturePanel("", { role: "application" });
  const scale = scaleBar("Weight");
  const note = element("p", { class: "cw-panel-name" });
  const keys = element("p", { class: "cw-panel-name cw-keys" });
  const thumbs = pictureButtons({
    label: "Pictures", side: 36, onPress: (picture) => store(model, { blanked: [], query: [], picture }),
  });
  const foot = element("div", {}, note, scale.node, thumbs.node);
  made.node.append(keys);
  const { canvas } = made;
  const layer = layered(canvas);
  const drawPatches = (context, step) => {
    const gap = Math.max(1, 0.12 * step);
    const side = numbers.seen.side / numbers.size;
    context.imageSmoothingEnabled = step < 4 * side;
    for (let patch = 0; patch < numbers.size ** 2; patch++) {
      const [r, c] = [Math.floor(patch / numbers.size), patch % numbers.size];
      const box = [c * step + gap / 2, r * step + gap / 2, step - gap, step - gap];
      context.drawImage(numbers.seen.picture, c * side, r * side, side, side, ...box);
    }
  };
  const drawGrid = (context, step) => {
    context.fillStyle = "rgb(255 255 255 / 0.4)";
    for (let i = 1; i < numbers.size; i++) {
      context.fillRect(i * step, 0, 1, canvas.height);
      context.fillRect(0, i * step, canvas.width, 1);
    }
  };
  const drawSource = (context, query, row, step, pixels) => {
    const view = numbers.view();
    if (view === "occlusion" || (view === "positions" && !query) || model.get("blanking")) return;
    const chip = 20 * pixels;
    const at = (patch) => [(patch % numbers.size + 0.5) * step, (Math.floor(patch / numbers.size) + 0.5) * step];
    const own = view === "positions" ? numbers.patchAt(query) + 1 : 0;
    const from = own ? at(own - 1) : [chip / 2, chip / 2];
    const best = strongest(row, ARCS + 1).filter((token) => token !== own && row[token] > 0).slice(0, ARCS);
    drawArcs(context, from, best.map((token) => [...at(token - 1), row[token] / (row[best[0]] || 1)]), pixels);
    if (!own) drawChip(context, house, 0, 0, chip);
  };
  /** All but the frame of the patch in focus. */
  const paint = () => {
    const context = layer.begin();
    const [step, pixels] = [canvas.width / numbers.size, layer.scale()];
    if (numbers.view() === "sequence") drawPatches(context, step);
    else {
      layPicture(layer.base, numbers.seen.picture);
      const { row, range } = numbers.map(focus.get());
      const map = paintMap(row.subarray(1), numbers.size, numbers.size, range);
      blend(context, map, [0, 0, canvas.width, canvas.height], model.get("blanking") ? FAINT : OPACITY);
      for (const patch of model.get("blanked")) {
        hatch(context, (patch % numbers.size) * step, Math.floor(patch / numbers.size) * step, step, pixels);
      }
      drawGrid(context, step);
      drawSource(context, focus.get(), row, step, pixels);
      canvas.dataset.weights = Array.from(row.subarray(1), (value) => value.toPrecision(6)).join(",");
      scale.set(range);
    }
    made.rename(titleOf(numbers, focus.get()));
    note.textContent = noteOf(numbers, focus.get());
  };
  const look = () => {
    if (numbers.view() === "positions" || numbers.view() === "sequence") paint();
    layer.copy();
    frameCell(canvas, [numbers.size, numbers.size], focus.get(), focus.isPinned());
  };
  const refresh = () => {
    fitPanel(made, 1, 400);
    for (const [view, one] of views) {
      one.setAttribute("aria-pressed", String(numbers.view() === view));
      one.classList.toggle("cw-primary", numbers.view() === view);
    }
    const blanking = model.get("blanking");
    keys.textContent = blanking ? "Press or drag over patches to blank them, or to show them again." : gestures();
    canvas.setAttribute("aria-label", `${numbers.now.label}. ${keyWords("the focus")} B blanks the patch.`);
    canvas.style.cursor = blanking ? "cell" : "";
    scale.node.hidden = numbers.view() === "sequence";
    const named = { positions: "Cosine", occlusion: "Change of the probability" };
    scale.node.firstChild.textContent = named[numbers.view()] ?? "Weight";
    const pictures = model.get("pictures");
    thumbs.node.hidden = pictures.length < 2;
    const offers = pictures.map((one) => ({ key: one, label: one.label, image: numbers.open(one).picture }));
    thumbs.show(offers, pictures.indexOf(numbers.now));
  };
  return { ...made, tabs, foot, refresh, paint, look };
}

/** Blanking by hand: while `blanking` is on, a press on the picture blanks or shows a patch, a drag all that it meets. */
function brushPart(house, numbers, focus, model, canvas) {
  let brush = null;
  const placeOn = ({ offsetX, offsetY }) =>
    [offsetY / canvas.clientHeight, offsetX / canvas.clientWidth].map((at) => Math.floor(at * numbers.size));
  const flip = (place) => {
    if (numbers.isCut()) return;
    const [patch, blanked] = [numbers.patchAt(place), model.get("blanked")];
    const next = blanked.includes(patch) ? blanked.filter((one) => one !== patch) : [...blanked, patch];
    store(model, { blanked: next.sort((a, b) => a - b) });
  };
  const paint = (event) => {
    const place = placeOn(event);
    const inside = Math.min(...place) >= 0 && Math.max(...place) < numbers.size;
    if (inside && model.get("blanked").includes(numbers.patchAt(place)) !== brush) flip(place);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || numbers.isCut() || !model.get("blanking")) return;
    brush = !model.get("blanked").includes(numbers.patchAt(placeOn(event)));
    paint(event);
    event.preventDefault(); // a drag selects no text
  });
  canvas.addEventListener("pointermove", (event) => {
    if (brush !== null) for (const one of event.getCoalescedEvents?.() ?? [event]) paint(one);
  });
  canvas.parentElement.addEventListener("click", (event) => { // a press that blanked pins nothing
    if (event.target === canvas && model.get("blanking")) event.stopPropagation();
  }, true);
  const lift = () => { brush = null; };
  for (const ending of ["pointerup", "pointercancel"]) {
    window.addEventListener(ending, lift);
    house.endings.push(() => window.removeEventListener(ending, lift));
  }
  canvas.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "b" || event.ctrlKey || event.metaKey || event.altKey || !focus.get()) return;
    flip(focus.get());
    event.preventDefault();
    event.stopPropagation();
  });
}

/** The answer: probabilities for what is blanked, and what blanks. */
function answerPart(numbers, focus, model) {
  const shown = bars({ label: "Class probabilities" });
  const made = panel("", shown.node);
  const byHand = toggle({
    label: "A click blanks patches", value: false, onChange: (blanking) => store(model, { blanking, query: [] }),
  });
  const most = button(`Blank the ${STRONGEST} strongest`, () => {
    const patches = strongest(numbers.map(focus.get()).row, STRONGEST).map((token) => token - 1);
    store(model, { blanked: patches.sort((a, b) => a - b) });
  });
  const all = button("Show all patches", () => store(model, { blanked: [] }));
  const actions = element("div", { class: "cw-actions" }, byHand.node, most, all);
  made.node.append(actions);
  const refresh = () => {
    const [{ whole }, { classes, asked }] = [numbers.seen, numbers.now];
    const [values, changed] = [numbers.answer(), model.get("blanked").length > 0];
    const left = (list) => Math.max(0, 1 - list.reduce((sum, value) => sum + value, 0));
    const complete = (list) => (left(whole) > 1e-3 ? [...list, left(list)] : list);
    const [before, now] = [complete(whole), complete(values ?? whole)];
    made.rename(!changed ? "Class probabilities" : values ? "Class probabilities; the stroke is the whole picture's"
      : "Class probabilities of the whole picture");
    shown.show(now.map((value, k) => ({
      name: classes[k] ?? "all others", value, before: changed && values ? before[k] : null, chosen: k === asked,
    })));
    byHand.set(model.get("blanking"));
    most.disabled = !["attention", "rollout"].includes(numbers.view());
    all.disabled = !changed && !all.matches(":focus"); // a button that is switched off while it has the focus loses it
    actions.hidden = numbers.isCut();
  };
  return { ...made, refresh };
}

/** All layers and heads as small maps: pointing at one previews it, a click keeps it. */
function headsPart(house, numbers, model, onPreview) {
  const made = picturePanel("Layers down, heads across: point or click", { role: "img" });
  const { canvas, node } = made;
  const layer = layered(canvas);
  const width = () => {
    const { depth, heads } = numbers.seen;
    return Math.min(node.clientWidth, HEAD_MARGIN + ((TALLEST - HEAD_MARGIN) * (heads + 1)) / depth);
  };
  const box = (l, h, pixels) => {
    const side = (canvas.width / pixels - HEAD_MARGIN) / (numbers.seen.heads + 1);
    return [HEAD_MARGIN + h * side + 1, HEAD_MARGIN + l * side + 1, side - 2, side - 2].map((value) => value * pixels);
  };
  const refresh = () => {
    const { depth, heads, rows, range } = numbers.seen;
    node.hidden = numbers.view() === "sequence";
    if (node.hidden) return;
    const { scale } = fit(canvas, width(), (HEAD_MARGIN + ((width() - HEAD_MARGIN) * depth) / (heads + 1)) / width());
    const context = layer.begin();
    context.fillStyle = house.ink("soft");
    context.font = `${Math.round(11 * scale)}px ${getComputedStyle(house.root).fontFamily}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (let l = 0; l < depth; l++) {
      const [, y, , tall] = box(l, 0, scale);
      context.fillText(String(l + 1), (HEAD_MARGIN / 2) * scale, y + tall / 2);
    }
    for (let h = 0; h <= heads; h++) {
      const [x, , wide] = box(0, h, scale);
      context.fillText(h ? String(h) : wide < 36 * scale ? "m" : "mean", x + wide / 2, (HEAD_MARGIN / 2) * scale);
    }
    rows.forEach((line, l) => line.forEach((row, h) => {
      const style = model.get("own_range") ? weightRange([row]) : range;
      const side = Math.sqrt(numbers.seen.tokens - 1);
      blend(context, paintMap(row.subarray(1), side, side, style), box(l, h, scale));
    }));
    canvas.setAttribute("aria-label", `The class token's attention in ${depth} layers and ${heads} heads`);
    look();
  };
  const look = () => {
    if (node.hidden) return;
    const [context, scale] = [layer.copy(), layer.scale()];
    if (numbers.view() !== "attention") return;
    outline(context, ...box(numbers.layer() - 1, numbers.head(), scale), scale / 1.5, !numbers.preview);
  };
  const headAt = ({ offsetX, offsetY }) => {
    const side = (parseFloat(canvas.style.width) - HEAD_MARGIN) / (numbers.seen.heads + 1);
    const [l, h] = [Math.floor((offsetY - HEAD_MARGIN) / side), Math.floor((offsetX - HEAD_MARGIN) / side)];
    return l < 0 || h < 0 || l >= numbers.seen.depth || h > numbers.seen.heads ? null : [l + 1, h];
  };
  const peek = (next) => {
    if (String(next) === String(numbers.preview)) return;
    numbers.preview = next;
    onPreview();
  };
  canvas.addEventListener("pointermove", (event) => { if (event.pointerType !== "touch") peek(headAt(event)); });
  canvas.addEventListener("pointerleave", () => peek(null));
  canvas.addEventListener("click", (event) => {
    const chosen = headAt(event);
    if (chosen) store(model, { layer: chosen[0], head: chosen[1], view: "attention" });
  });
  return { ...made, refresh, look };
}

/** The tokens in a row, as the network reads them, each with the map's number below it. */
function sequencePart(house, numbers, focus) {
  const made = picturePanel("", { role: "img" });
  const { canvas, node } = made;
  const layer = layered(canvas);
  let layout = { across: 1, cell: 1, tall: 1, tokens: 0 };
  const refresh = () => {
    node.hidden = numbers.view() !== "sequence";
    if (node.hidden) return;
    const [tokens, wide, cut] = [numbers.size ** 2 + 1, Math.max(1, Math.floor(node.clientWidth)), numbers.isCut()];
    const across = Math.max(1, Math.min(tokens, Math.floor(wide / CELLS[tokens > 300 ? 1 : 0])));
    const cell = Math.min(28, wide / across);
    const tall = (cut ? 1 : 1.7) * cell + 5;
    layout = { across, cell, tall, tokens };
    const { scale } = fit(canvas, wide, (Math.ceil(tokens / across) * tall) / wide);
    const context = layer.begin();
    const [side, width, { row, range }] = [numbers.seen.side / numbers.size, (cell - 1) * scale, numbers.map(focus.get())];
    context.imageSmoothingEnabled = width < 4 * side;
    for (let t = 0; t < tokens; t++) {
      const [x, y] = [(t % across) * cell * scale, Math.floor(t / across) * tall * scale];
      const [r, c] = [Math.floor((t - 1) / numbers.size), (t - 1) % numbers.size];
      if (t === 0) drawChip(context, house, x, y, width);
      else if (!cut && numbers.get("blanked").includes(t - 1)) hatch(context, x, y, width, scale);
      else context.drawImage(numbers.seen.picture, c * side, r * side, side, side, x, y, width, width);
      if (cut) continue;
      context.fillStyle = colourOf(row[t], range);
      context.fillRect(x, y + cell * scale, width, 0.65 * cell * scale);
    }
    made.rename(`Class token C, then ${tokens - 1} patches row by row${cut ? "" : "; below each its weight"}`);
    canvas.setAttribute("aria-label", "The sequence: the class token, then the patches row by row");
    look();
  };
  const look = () => {
    if (node.hidden) return;
    const [context, scale] = [layer.copy(), layer.scale()];
    if (!focus.get()) return;
    const { across, cell, tall } = layout;
    const token = numbers.patchAt(focus.get()) + 1;
    const [x, y] = [(token % across) * cell * scale, Math.floor(token / across) * tall * scale];
    outline(context, x, y, (cell - 1) * scale, (tall - 5) * scale, scale, focus.isPinned());
  };
  /** The patch at a place of the canvas, x and y from 0 to 1. */
  const patchAt = (x, y) => {
    const { across, cell, tall, tokens } = layout;
    const left = x * parseFloat(canvas.style.width);
    const token = Math.floor((y * parseFloat(canvas.style.height)) / tall) * across + Math.floor(left / cell);
    const there = token > 0 && token < tokens && left < across * cell;
    return there ? [Math.floor((token - 1) / numbers.size), (token - 1) % numbers.size] : null;
  };
  return { ...made, refresh, look, patchAt };
}

/** The learner's own picture, patch size, layer, head and colours. */
function controlsPart(house, numbers, model) {
  const { controls: { cut, layer, head, own_range: own }, nodes, refresh: follow } = traitControls(model, {
    cut: [choice, {
      label: "Patch", options: model.get("cuts").map((size) => [size, `${size} × ${size} pixels`]),
      onChange: (size) => store(model, { cut: Number(size), query: [] }),
    }],
    layer: [slider, { label: "Layer", min: 1, max: numbers.seen.depth, step: 1, show: String }],
    head: [slider, { label: "Head", min: 0, max: numbers.seen.heads, step: 1, show: (one) => (one ? String(one) : "mean") }],
    own_range: [toggle, { label: "Each map its own colours" }],
  });
  const pictures = sentPictures(house, model, { blanked: [], query: [] });
  house.controls.append(...pictures.nodes, ...nodes);
  const refresh = () => {
    const view = numbers.view();
    layer.input.max = numbers.seen.depth;
    head.input.max = numbers.seen.heads;
    follow();
    pictures.refresh();
    const weights = !numbers.isCut() && ["attention", "rollout", "sequence"].includes(view);
    cut.node.hidden = view !== "sequence";
    layer.node.hidden = own.node.hidden = !weights;
    head.node.hidden = !weights || view === "rollout";
  };
  return { refresh };
}

/** The lines that make what is shown; they count from 0. */
function codeFor(numbers, query) {
  const { now, size, get } = numbers;
  const [at, by, cut] = [get("layer") - 1, get("head"), get("cut")];
  if (numbers.isCut()) {
    return `${now.code.split("\nwith torch")[0]}\npatches = torch.nn.functional.unfold(image[None], ${cut}, stride=${cut})\n`
      + "print(patches.transpose(1, 2).shape)  # one row for each patch";
  }
  const attention = `row = weights[0, ${at}]${by ? `[${by - 1}]` : ".mean(dim=0)"}[0]  # the class token's`;
  const line = {
    rollout: `row = rollout(weights[:, : ${at + 1}])[0, 0]`,
    positions: "positions = network.positions[0].detach()\n"
      + `row = torch.cosine_similarity(positions[${query ? numbers.patchAt(query) + 1 : 0}], positions, dim=1)`,
    occlusion: `row = torch.cat([torch.zeros(1), single[:, ${now.index}] - whole[${now.index}]])  # the change`,
  }[get("view")] ?? attention;
  return [now.code, "", line, `print(row[1:].view(${size}, ${size}))  # the map shown`,
    "print(single.shape)  # the probabilities with each patch blanked"].join("\n");
}

function render({ model, el }) {
  const house = frame({ model, el, name: "patch-tokens" });
  const numbers = numbersOf(model);
  const focus = {}; // filled below, when the canvases that it listens to are there
  numbers.follow();
  const main = mainPart(house, numbers, focus, model);
  const answer = answerPart(numbers, focus, model);
  const heads = headsPart(house, numbers, model, () => drawMap());
  const sequence = sequencePart(house, numbers, focus);
  instrument(house, main.node, answer.node, heads.node, sequence.node);
  house.stage.before(main.tabs);
  house.stage.append(main.foot); // below the picture where there is room beside it, else below the answer
  styled(house.stage, { gridTemplateRows: "auto 1fr" });
  styled(house.stage.children[1], { gridRow: "span 2" });
  brushPart(house, numbers, focus, model, main.canvas);
  const controls = controlsPart(house, numbers, model);

  const asked = () => JSON.stringify([model.get("picture"), model.get("blanked")]);
  let refused = ""; // what the notebook could not answer
  const ask = asker(model, house, () => draw(), () => {
    refused = asked();
    draw();
  });
  const askIfNeeded = () => {
    if (!numbers.answer() && model.widget_manager) ask({ picture: model.get("picture"), blanked: model.get("blanked") });
  };
  const describe = () => {
    const query = focus.get();
    const blanked = blankedInWords(numbers, Boolean(model.widget_manager), refused === asked());
    const map = [].concat(mapInWords(numbers, query));
    const first = query && numbers.view() !== "positions" ? patchInWords(numbers, query) : blanked ? [] : map;
    const unsaid = first === map ? "" : map.map(wordsIn).join(" ");
    return [...first, blanked, { heard: `${unsaid} ${noteOf(numbers, query)}`.trim() }, focus.hint()];
  };
  /** The patch in focus alone has moved. */
  const look = (quiet = false) => {
    if (house.root.clientWidth === 0) return;
    for (const part of [main, heads, sequence]) part.look();
    house.say(describe(), { quiet });
  };
  const drawMap = () => {
    main.paint();
    look();
  };
  const draw = () => {
    if (house.root.clientWidth === 0) return;
    for (const part of [main, answer, heads, sequence, controls]) part.refresh();
    drawMap();
  };
  Object.assign(focus, bindFocus({
    model, house, describe, canvases: [main.canvas, sequence.canvas], rows: () => numbers.size, columns: () => numbers.size,
    locate: (canvas, x, y) => {
      if (x < 0 || y < 0 || x >= 1 || y >= 1) return null;
      if (canvas === sequence.canvas) return sequence.patchAt(x, y);
      return [Math.floor(y * numbers.size), Math.floor(x * numbers.size)];
    },
    onChange: (_, __, quiet) => look(quiet),
  }));

  const reload = () => {
    numbers.follow();
    focus.take();
    draw();
  };
  reload();
  askIfNeeded();
  house.listen(["picture", "cut", "view", "layer", "head", "own_range", "blanking", "answered"], reload);
  house.listen("pictures", () => {
    numbers.forget();
    reload();
  });
  house.listen(["pictures", "picture", "blanked"], () => {
    askIfNeeded();
    draw();
  });
  house.whenShown(draw);
  const save = saveButton(house, "patch-tokens.png", { lines: describe });
  house.actions.append(save, copyButton(house, () => codeFor(numbers, focus.get())));
  return house.end;
}

export default { render };
