import { asker, button, choice, gestures, keyWords, slider, store, toggle, traitControls } from "../page/bind.js";
import { sentPictures } from "../page/camera.js";
import { element, styled, wordsIn } from "../page/elements.js";
import { frame } from "../page/frame.js";
import {
  capital, cellOf, colourRange, decode, dot, extent, largest, listed, once, percent, placeInWords, strongest, sumOf,
} from "../page/maths.js";
import { matrixPanel } from "../page/matrix.js";
import {
  blend, colourOf, drawArcs, fit, fitPanel, frameCell, layered, layPicture, middleOf, outline, paintImage, paintMap,
  pixelsOf, writeText,
} from "../page/paint.js";
import { bars, instrument, note, panel, pictureChoice, picturePanel, pointPanel, scaleBar } from "../page/panels.js";
import { bindView } from "../page/pointing.js";

const [TABLE, SIGNED] = ["magma", "RdBu"];
const OPACITY = 0.6;
const FAINT = 0.25; // the map while patches are blanked by hand: the picture counts then
const STRONGEST = 8;
const CELLS = [20, 12]; // least width of a token in the sequence, of up to 300 and of more, in CSS pixels
const HEAD_MARGIN = 18; // beside and above the grid of heads, for their numbers
const TALLEST = 256;
const RESET = { blanked: [], query: [] }; // what goes with a picture

/** The correlation of two maps over their cells; null where one has no spread. */
function correlation(one, other) {
  const [a, b] = [one, other].map((values) => {
    const mean = sumOf(values) / values.length;
    return Float64Array.from(values, (value) => value - mean);
  });
  const size = Math.sqrt(dot(a, a) * dot(b, b));
  return size > 0 ? dot(a, b) / size : null;
}

const counted = (count) => `${count} patch${count === 1 ? "" : "es"} blanked`;
const headInWords = (numbers) => (numbers.head() ? `head ${numbers.head()}` : "mean of the heads");

/** The colours from 0 to the largest weight of a patch in these rows. */
function weightRange(rows) {
  return { table: TABLE, low: 0, high: Math.max(...rows.map((row) => extent(row.subarray(1)).high)) || 1 };
}

/** A picture of the traits in numbers: rows of weights of all tokens, the class token first, and answers. */
const openPicture = once((picture) => {
  const [image, single] = [decode(picture.image), decode(picture.single)];
  const [attention, rollout] = [decode(picture.attention), decode(picture.rollout)];
  const [depth, count, tokens] = attention.shape;
  const part = (values, i, length) => values.subarray(i * length, (i + 1) * length);
  const rows = Array.from({ length: depth }, (_, l) => {
    const each = Array.from({ length: count }, (__, h) => part(attention.values, l * count + h, tokens));
    const mean = Float32Array.from({ length: tokens }, (__, t) => each.reduce((sum, row) => sum + row[t], 0) / count);
    return [mean, ...each]; // head 0 is their mean
  });
  const whole = Array.from(decode(picture.probabilities).values);
  const alone = Array.from({ length: tokens - 1 }, (_, i) => [...part(single.values, i, whole.length)]);
  const drops = Float32Array.from(alone, (answers) => whole[picture.asked] - answers[picture.asked]);
  const rolled = Array.from({ length: depth }, (_, l) => part(rollout.values, l, tokens));
  return {
    depth, heads: count, tokens, rows, rolled, whole, alone, drops, channels: image.shape[2] ?? 1, side: image.shape[0],
    range: weightRange(rows.flat()), rolledRange: weightRange(rolled),
    changes: Float32Array.from([0, ...drops.map((drop) => -drop)]),
    picture: paintImage(image), place: picture.place ? decode(picture.place).values : null,
  };
});

/** What the traits choose, in numbers; `preview` is the [layer, head] under the pointer in the grid of heads. */
function numbersOf(model) {
  const get = (name) => model.get(name);
  const made = { get, preview: null, similarity: decode(get("similarity")).values };
  /** Follow the traits: `now` is the picture in them, `seen` the same in numbers, `size` the patches in a row. */
  made.follow = () => {
    made.now = get("pictures")[get("picture")] ?? get("pictures")[0];
    made.seen = openPicture(made.now);
    made.size = made.seen.side / get("cut");
  };
  made.isCut = () => get("cut") !== get("patch_size");
  made.named = () => made.now.classes[made.now.asked];
  made.layer = () => made.preview?.[0] ?? get("layer");
  made.head = () => made.preview?.[1] ?? get("head");
  made.view = () => (made.isCut() ? "sequence" : made.preview ? "attention" : get("view"));
  made.shown = () => VIEWS[made.view()];
  made.patchAt = ([row, column]) => row * made.size + column;
  made.placeOf = (patch) => placeInWords(cellOf(patch, made.size));
  made.probability = (answers) => percent(answers[made.now.asked]);
  /** Draw a patch of the picture into a box, [x, y, width, height]. */
  made.drawPatch = (context, patch, box) => {
    const side = made.seen.side / made.size;
    const [row, column] = cellOf(patch, made.size);
    context.imageSmoothingEnabled = box[2] < 4 * side;
    context.drawImage(made.seen.picture, column * side, row * side, side, side, ...box);
  };
  /** The numbers of all tokens in the map shown, the class token's first, and their colours. */
  made.map = (query) => {
    const { row, range } = made.shown().map(made, query);
    return { row, range: get("own_range") && range.table === TABLE ? weightRange([row]) : range };
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

// Views --------------------------------------------------------------------------------------------------------------

const attentionMap = (numbers) =>
  ({ row: numbers.seen.rows[numbers.layer() - 1][numbers.head()], range: numbers.seen.range });

/** The row of a positions map: of the class token, or of a patch. */
function similarityMap(numbers, query) {
  const { seen: { tokens }, similarity } = numbers;
  const start = (query ? numbers.patchAt(query) + 1 : 0) * tokens;
  return { row: similarity.subarray(start, start + tokens), range: { table: SIGNED, low: -1, high: 1 } };
}

/** What a map of weights gives to patches, and where most: "12.3 %", "row 1, column 2: 4.5 %". */
function mostOf(numbers) {
  const rest = numbers.map(null).row.subarray(1);
  const top = largest(rest);
  return [percent(sumOf(rest)), `${numbers.placeOf(top)}: ${percent(rest[top])}`];
}

function sequenceInWords(numbers) {
  const { seen, size } = numbers;
  const [cut, trained, tokens] = [numbers.get("cut"), numbers.get("patch_size"), size * size + 1];
  return [
    `${tokens - 1} patches of ${seen.channels} · ${cut} · ${cut} = ${seen.channels * cut * cut} numbers.`,
    { aside: `With the class token ${tokens} tokens, so ${(tokens ** 2).toLocaleString("en")} weights per head.` },
    numbers.isCut() ? `The network was trained with ${trained} × ${trained}.` : "",
  ];
}

/**
 * Of each view: `label` on its button; `map(numbers, query)`, the row of all tokens and its colours; `scale`, what its
 * numbers are; `value`, what a patch has of them where they are shares; `title` and `words` of the map; the `code` that
 * makes its `row`; whether it can be `compared` with occlusion.
 */
const VIEWS = {
  attention: {
    label: "Attention", scale: "Weight", value: "weight", compared: true, map: attentionMap,
    title: (numbers) =>
      `attention of the class token, layer ${numbers.layer()}, ${numbers.head() ? headInWords(numbers) : "mean"}`,
    words(numbers) {
      const [share, most] = mostOf(numbers);
      const asked = { aside: `Layer ${numbers.layer()}, ${headInWords(numbers)}:` };
      return [asked, `the class token gives ${share} to patches, most to ${most}.`];
    },
    code({ get }) {
      const head = get("head") ? `[${get("head") - 1}]` : ".mean(dim=0)";
      return `row = weights[0, ${get("layer") - 1}]${head}[0]  # the class token's`;
    },
  },
  rollout: {
    label: "Rollout", scale: "Weight", value: "share", compared: true,
    map: (numbers) => ({ row: numbers.seen.rolled[numbers.layer() - 1], range: numbers.seen.rolledRange }),
    title: (numbers) => `rollout, layers 1 to ${numbers.layer()}`,
    words(numbers) {
      const [share, most] = mostOf(numbers);
      const asked = { aside: `Rollout of layers 1 to ${numbers.layer()}, of the class token:` };
      return [asked, `${share} comes from patches, most from ${most}.`];
    },
    code: ({ get }) => `row = rollout(weights[:, : ${get("layer")}])[0, 0]`,
  },
  positions: {
    label: "Positions", scale: "Cosine", map: similarityMap,
    title: (_, query) => `positions like ${query ? `that at ${placeInWords(query)}` : "the class token's"}`,
    words(numbers, query) {
      const none = "How much the patches' position embeddings resemble the class token's. Point at a patch.";
      if (!query) return [none];
      const others = similarityMap(numbers, query).row.subarray(1)
        .map((value, patch) => (patch === numbers.patchAt(query) ? -Infinity : value));
      const best = largest(others);
      const like = `is most like that of ${numbers.placeOf(best)}: ${others[best].toFixed(2)} of 1.`;
      return [`The position of ${placeInWords(query)} ${like}`];
    },
    code: (numbers, query) => "positions = network.positions[0].detach()\n"
      + `row = torch.cosine_similarity(positions[${query ? numbers.patchAt(query) + 1 : 0}], positions, dim=1)`,
  },
  occlusion: {
    label: "Occlusion", scale: "Change of the probability",
    map: ({ seen: { changes } }) => ({ row: changes, range: { table: SIGNED, ...colourRange(changes, SIGNED) } }),
    title: (numbers) => `change of P(${numbers.named()}) by blanking each patch`,
    words(numbers) {
      const { seen, probability } = numbers;
      const most = largest(seen.drops);
      return [`Blanking ${numbers.placeOf(most)} matters most: P(${numbers.named()}) goes from `
        + `${probability(seen.whole)} to ${probability(seen.alone[most])}.`];
    },
    code: ({ now }) =>
      `row = torch.cat([torch.zeros(1), single[:, ${now.index}] - whole[${now.index}]])  # the change`,
  },
  sequence: {
    label: "Sequence", scale: "Weight", value: "weight", map: attentionMap,
    title: ({ size, get }) => `${size * size} patches of ${get("cut")} × ${get("cut")} pixels`,
    words: sequenceInWords,
    code: (numbers) => VIEWS.attention.code(numbers),
  },
};

/** What is known of the patch in focus. */
function patchInWords(numbers, query) {
  const { seen, probability } = numbers;
  const patch = numbers.patchAt(query);
  const words = `Token ${patch + 1} of ${numbers.size ** 2}, at ${placeInWords(query)}`;
  if (numbers.isCut()) return [`${words}.`];
  const { value } = numbers.shown();
  const weight = value ? `: ${value} ${percent(numbers.map(query).row[patch + 1])}` : "";
  const blanking = `Blanking it alone takes P(${numbers.named()}) from ${probability(seen.whole)} `
    + `to ${probability(seen.alone[patch])}.`;
  return [`${words}${weight}.`, { aside: blanking }];
}

/** What the answer is for what is blanked. */
function blankedInWords(numbers, live, refused) {
  const count = numbers.get("blanked").length;
  if (!count || numbers.isCut()) return "";
  const values = numbers.answer();
  const without = !live ? "this needs a running notebook; here only single patches are known."
    : refused ? "the notebook could not answer; its message stands below." : "asking the network.";
  if (!values) return `${counted(count)}: ${without}`;
  const [first, { asked, classes }] = [largest(values), numbers.now];
  const [named, now, before] = [numbers.named(), ...[values, numbers.seen.whole].map(numbers.probability)];
  const change = now === before ? `${now}, as before` : `${now} instead of ${before}`;
  const most = first === asked ? ", and is the most likely"
    : `; most likely is ${classes[first]} with ${percent(values[first])}`;
  return `${counted(count)}: ${named} has ${change}${most}.`;
}

/** How much of the map lies where it should, how well it agrees with occlusion, and that it is of the whole picture. */
function noteOf(numbers) {
  const [view, { compared }] = [numbers.view(), numbers.shown()];
  const { place, drops } = numbers.seen;
  const row = numbers.map(null).row.subarray(1);
  const r = compared ? correlation(row, drops) : null;
  const whole = numbers.get("blanked").length && (compared || view === "occlusion");
  return [
    compared && place ? `${percent(dot(row, place) / sumOf(row))} of the map lies on the true place.` : "",
    r === null ? "" : `Correlation with the drop by occlusion: ${r.toFixed(2)}.`,
    whole ? "The map is of the whole picture." : "",
  ].filter(Boolean).join(" ");
}

// Parts --------------------------------------------------------------------------------------------------------------

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

/** The chip of the class token, which has no place on the picture. */
function drawChip(context, house, x, y, side) {
  context.fillStyle = house.ink("accent");
  context.fillRect(x, y, side, side);
  const style = { ink: house.ink("on-accent"), size: Math.round(0.7 * side), weight: 600, align: "center" };
  writeText(context, "C", x + side / 2, y + side / 2, style);
}

/** The picture, the map over it, and arcs to the patches that count most. */
function mainPart(house, numbers, model) {
  const made = pointPanel();
  const { canvas } = made;
  const [scale, about] = [scaleBar("Weight"), note()];
  const thumbs = pictureChoice(model, 36, (picture) => openPicture(picture).picture, RESET);
  const foot = element("div", {}, about, scale.node, thumbs.node);
  const layer = layered(canvas);
  const drawPatches = (context, step) => {
    const gap = Math.max(1, 0.12 * step);
    for (let patch = 0; patch < numbers.size ** 2; patch++) {
      const [y, x] = cellOf(patch, numbers.size).map((at) => at * step + gap / 2);
      numbers.drawPatch(context, patch, [x, y, step - gap, step - gap]);
    }
  };
  const drawGrid = (context, step) => {
    context.fillStyle = "rgb(255 255 255 / 0.4)";
    for (let i = 1; i < numbers.size; i++) {
      context.fillRect(i * step, 0, 1, canvas.height);
      context.fillRect(0, i * step, canvas.width, 1);
    }
  };
  const drawSource = (context, query, row, pixels) => {
    const view = numbers.view();
    if (view === "occlusion" || (view === "positions" && !query) || model.get("blanking")) return;
    const chip = 20 * pixels;
    const grid = [numbers.size, numbers.size];
    const isOfPatch = view === "positions";
    const from = isOfPatch ? middleOf(canvas, grid, query) : [chip / 2, chip / 2];
    drawArcs(context, from, row.subarray(1), grid, pixels);
    if (!isOfPatch) drawChip(context, house, 0, 0, chip);
  };
  /** All but the frame of the patch in focus. */
  const paint = (query) => {
    const context = layer.begin();
    const [step, pixels] = [canvas.width / numbers.size, pixelsOf(canvas)];
    if (numbers.view() === "sequence") drawPatches(context, step);
    else {
      layPicture(layer.base, numbers.seen.picture);
      const { row, range } = numbers.map(query);
      const map = paintMap(row.subarray(1), numbers.size, numbers.size, range);
      blend(context, map, [0, 0, canvas.width, canvas.height], model.get("blanking") ? FAINT : OPACITY);
      for (const patch of model.get("blanked")) {
        const [y, x] = cellOf(patch, numbers.size).map((at) => at * step);
        hatch(context, x, y, step, pixels);
      }
      drawGrid(context, step);
      drawSource(context, query, row, pixels);
      canvas.dataset.weights = listed(row.subarray(1));
      scale.set(range);
    }
    made.rename(`${capital(numbers.now.label)}: ${numbers.shown().title(numbers, query)}`);
    about.textContent = noteOf(numbers);
  };
  const look = (query, pinned) => {
    if (numbers.view() === "positions") paint(query);
    layer.copy();
    frameCell(canvas, [numbers.size, numbers.size], query, pinned);
  };
  const refresh = () => {
    fitPanel(made, 1, 400);
    const blanking = model.get("blanking");
    made.node.lastChild.textContent = blanking
      ? "Press or drag over patches to blank them, or to show them again." : gestures();
    canvas.setAttribute("aria-label", `${numbers.now.label}. ${keyWords("the focus")} B blanks the patch.`);
    canvas.style.cursor = blanking ? "cell" : "";
    scale.node.hidden = numbers.view() === "sequence";
    scale.rename(numbers.shown().scale);
    thumbs.refresh();
  };
  return { ...made, foot, refresh, paint, look };
}

/** Blanking by hand: while `blanking` is on, a press on the picture blanks or shows a patch, a drag all it meets. */
function brushPart(numbers, query, model, canvas) {
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
    canvas.setPointerCapture(event.pointerId);
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
  for (const ending of ["pointerup", "pointercancel"]) canvas.addEventListener(ending, () => { brush = null; });
  canvas.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "b" || event.ctrlKey || event.metaKey || event.altKey || !query()) return;
    flip(query());
    event.preventDefault();
    event.stopPropagation();
  });
}

/** The answer: probabilities for what is blanked, and what blanks. */
function answerPart(numbers, model) {
  const shown = bars({ label: "Class probabilities" });
  const made = panel("", shown.node);
  const byHand = toggle({
    label: "A click blanks patches", value: false, onChange: (blanking) => store(model, { blanking, query: [] }),
  });
  const most = button(`Blank the ${STRONGEST} strongest`, () => {
    const patches = strongest(numbers.map(null).row.subarray(1), STRONGEST);
    store(model, { blanked: patches.sort((a, b) => a - b) });
  });
  const all = button("Show all patches", () => store(model, { blanked: [] }));
  const actions = element("div", { class: "cw-actions" }, byHand.node, most, all);
  made.node.append(actions);
  const refresh = () => {
    const [{ whole }, { classes, asked }] = [numbers.seen, numbers.now];
    const [values, changed] = [numbers.answer(), model.get("blanked").length > 0];
    const complete = (list) => (1 - sumOf(whole) > 1e-3 ? [...list, Math.max(0, 1 - sumOf(list))] : list);
    const [before, now] = [complete(whole), complete(values ?? whole)];
    const besides = values ? ". The thin mark: of the whole picture" : " of the whole picture";
    made.rename(`Class probabilities${changed ? besides : ""}`);
    shown.node.classList.toggle("cw-halves", classes.every(({ length }) => length < 3)); // two columns of digits
    shown.show(now.map((value, k) => ({
      name: classes[k] ?? "all others", value, before: changed && values ? before[k] : null, chosen: k === asked,
    })));
    byHand.set(model.get("blanking"));
    most.disabled = !numbers.shown().compared;
    all.disabled = !changed && !all.matches(":focus"); // a button that is switched off while it has the focus loses it
    actions.hidden = numbers.isCut();
  };
  return { ...made, refresh };
}

/** All layers and heads as small maps: pointing at one previews it, a click keeps it. */
function headsPart(house, numbers, model, onPreview) {
  const made = matrixPanel(house, picturePanel("Layers down, heads across: point or click", { role: "img" }));
  const { canvas, node } = made;
  const refresh = () => {
    const { depth, heads, rows, range, tokens } = numbers.seen;
    node.hidden = numbers.view() === "sequence";
    if (node.hidden) return;
    const step = Math.min((TALLEST - HEAD_MARGIN) / depth, (node.clientWidth - HEAD_MARGIN) / (heads + 1));
    const names = rows[0].map((_, h) => (h ? String(h) : step < 36 ? "m" : "mean"));
    const box = [HEAD_MARGIN, HEAD_MARGIN, step * (heads + 1), step * depth];
    const context = made.begin(box, rows.map((_, l) => String(l + 1)), names);
    const side = Math.sqrt(tokens - 1);
    rows.forEach((line, l) => line.forEach((row, h) => {
      const [x, y] = made.boxOf([l, h]);
      const colours = model.get("own_range") ? weightRange([row]) : range;
      context.drawImage(paintMap(row.subarray(1), side, side, colours), x + 1, y + 1, step - 2, step - 2);
    }));
    canvas.setAttribute("aria-label", `The class token's attention in ${depth} layers and ${heads} heads`);
  };
  const look = () => {
    if (node.hidden) return;
    made.mark(numbers.view() === "attention" ? [numbers.layer() - 1, numbers.head()] : null, !numbers.preview);
  };
  const headAt = ({ offsetX, offsetY }) => {
    const [left, top, wide, tall] = made.boxOf([0, 0]);
    const [l, h] = [Math.floor((offsetY - top) / tall), Math.floor((offsetX - left) / wide)];
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
function sequencePart(house, numbers) {
  const made = picturePanel("", { role: "img" });
  const { canvas, node } = made;
  const layer = layered(canvas);
  let layout = { across: 1, cell: 1, tall: 1, tokens: 0 };
  /** Where a token stands, in CSS pixels. */
  const spot = (token) => {
    const [line, column] = cellOf(token, layout.across);
    return [column * layout.cell, line * layout.tall];
  };
  const refresh = () => {
    node.hidden = numbers.view() !== "sequence";
    if (node.hidden) return;
    const [tokens, wide, cut] = [numbers.size ** 2 + 1, Math.floor(node.clientWidth), numbers.isCut()];
    const across = Math.min(tokens, Math.floor(wide / CELLS[tokens > 300 ? 1 : 0]));
    const cell = Math.min(28, wide / across);
    const tall = (cut ? 1 : 1.7) * cell + 5;
    layout = { across, cell, tall, tokens };
    const { scale } = fit(canvas, wide, (Math.ceil(tokens / across) * tall) / wide);
    const context = layer.begin();
    context.scale(scale, scale);
    const [side, { row, range }] = [cell - 1, numbers.map(null)];
    for (let t = 0; t < tokens; t++) {
      const [x, y] = spot(t);
      if (t === 0) drawChip(context, house, x, y, side);
      else if (!cut && numbers.get("blanked").includes(t - 1)) hatch(context, x, y, side, 1);
      else numbers.drawPatch(context, t - 1, [x, y, side, side]);
      if (cut) continue;
      context.fillStyle = colourOf(row[t], range);
      context.fillRect(x, y + cell, side, 0.65 * cell);
    }
    made.rename(`Class token C, then ${tokens - 1} patches row by row${cut ? "" : "; below each its weight"}`);
    canvas.setAttribute("aria-label", "The sequence: the class token, then the patches row by row");
  };
  const look = (query, pinned) => {
    if (node.hidden) return;
    const [context, scale] = [layer.copy(), pixelsOf(canvas)];
    if (!query) return;
    const box = [...spot(numbers.patchAt(query) + 1), layout.cell - 1, layout.tall - 5];
    outline(context, ...box.map((length) => length * scale), scale, pinned);
  };
  /** The patch at a place of the canvas, x and y from 0 to 1. */
  const patchAt = (x, y) => {
    const { across, cell, tall, tokens } = layout;
    const left = x * parseFloat(canvas.style.width);
    const token = Math.floor((y * parseFloat(canvas.style.height)) / tall) * across + Math.floor(left / cell);
    return token > 0 && token < tokens && left < across * cell ? cellOf(token - 1, numbers.size) : null;
  };
  return { ...made, refresh, look, patchAt };
}

/** Above the picture what chooses its map; at its foot the patches' size; below, one's own picture and the colours. */
function controlsPart(house, numbers, model, foot) {
  const views = Object.entries(VIEWS).map(([view, { label }]) =>
    [view, button(label, () => store(model, { view, cut: model.get("patch_size") }))]);
  const { controls: { cut, layer, head, own_range: own }, refresh: follow } = traitControls(model, {
    cut: [choice, {
      label: "Patch", options: model.get("cuts").map((size) => [size, `${size} × ${size} pixels`]),
      onChange: (size) => store(model, { cut: Number(size), query: [] }),
    }],
    layer: [slider, { label: "Layer", min: 1, max: numbers.seen.depth, step: 1, show: String }],
    head: [slider, {
      label: "Head", min: 0, max: numbers.seen.heads, step: 1, show: (one) => (one ? String(one) : "mean"),
    }],
    own_range: [toggle, { label: "Each map in its own colours" }],
  });
  const pictures = sentPictures(house, model, RESET);
  house.controls.append(...pictures.nodes, own.node);
  house.stage.before(element("div", { class: "cw-tabs" },
    element("div", { role: "group", "aria-label": "Show" }, ...views.map(([, one]) => one)),
    element("div", {}, layer.node, head.node)));
  foot.prepend(cut.node);
  const refresh = () => {
    const shown = numbers.view();
    for (const [view, one] of views) {
      one.setAttribute("aria-pressed", String(shown === view));
      one.classList.toggle("cw-primary", shown === view);
    }
    follow();
    pictures.refresh();
    const weights = !numbers.isCut() && Boolean(numbers.shown().value);
    cut.node.hidden = shown !== "sequence";
    layer.node.hidden = own.node.hidden = !weights;
    head.node.hidden = !weights || shown === "rollout";
  };
  return { refresh };
}

/** The lines that make what is shown; they count from 0. */
function codeFor(numbers, query) {
  const { now, size, get } = numbers;
  const cut = get("cut");
  const lines = numbers.isCut() ? [
    now.code.split("\nwith torch")[0],
    `patches = torch.nn.functional.unfold(image[None], ${cut}, stride=${cut})`,
    "print(patches.transpose(1, 2).shape)  # one row for each patch",
  ] : [
    now.code, "", VIEWS[get("view")].code(numbers, query), `print(row[1:].view(${size}, ${size}))  # the map shown`,
    "print(single.shape)  # the probabilities with each patch blanked",
  ];
  return lines.join("\n");
}

function render({ model, el }) {
  const house = frame({ model, el, name: "patch-tokens" });
  const numbers = numbersOf(model);
  numbers.follow();
  const main = mainPart(house, numbers, model);
  const answer = answerPart(numbers, model);
  const heads = headsPart(house, numbers, model, () => {
    main.paint(view.get());
    view.look();
  });
  const sequence = sequencePart(house, numbers);
  instrument(house, main.node, answer.node, heads.node, sequence.node);
  house.stage.append(main.foot); // below the picture where there is room beside it, else below the answer
  styled(house.stage, { gridTemplateRows: "auto 1fr" });
  styled(house.stage.children[1], { gridRow: "span 2" });
  brushPart(numbers, () => view.get(), model, main.canvas);
  const controls = controlsPart(house, numbers, model, main.foot);

  const question = () => ({ picture: model.get("picture"), blanked: model.get("blanked") });
  const asked = () => JSON.stringify(question());
  let refused = ""; // what the notebook could not answer
  const ask = asker(model, house, () => view.show(), () => {
    refused = asked();
    view.show();
  });
  const askIfNeeded = () => { if (!numbers.answer() && model.widget_manager) ask(question()); };
  const describe = (focus) => {
    const query = focus.get();
    const blanked = blankedInWords(numbers, Boolean(model.widget_manager), refused === asked());
    const map = numbers.shown().words(numbers, query);
    const pointed = query && numbers.view() !== "positions" ? patchInWords(numbers, query) : null;
    const first = blanked ? (pointed ?? []).slice(0, 1).map((aside) => ({ aside })) : pointed ?? map;
    const unsaid = first === map ? "" : map.map(wordsIn).join(" ");
    return [...first, blanked, { heard: `${unsaid} ${noteOf(numbers)}`.trim() }, focus.hint()];
  };
  const view = bindView({
    model, house, describe, lines: describe, follow: numbers.follow,
    traits: ["pictures", "picture", "cut", "view", "layer", "head", "own_range", "blanking", "blanked", "answered"],
    canvases: [main.canvas, sequence.canvas], rows: () => numbers.size, columns: () => numbers.size,
    locate: (canvas, x, y) => {
      if (x < 0 || y < 0 || x >= 1 || y >= 1) return null;
      if (canvas === sequence.canvas) return sequence.patchAt(x, y);
      return [y, x].map((at) => Math.floor(at * numbers.size));
    },
    draw(focus) {
      for (const part of [main, answer, heads, sequence, controls]) part.refresh();
      main.paint(focus.get());
    },
    mark: (focus) => { for (const part of [main, heads, sequence]) part.look(focus.get(), focus.isPinned()); },
    code: (focus) => codeFor(numbers, focus.get()),
  });
  askIfNeeded();
  house.listen(["pictures", "picture", "blanked"], askIfNeeded);
  return house.end;
}

export default { render };
