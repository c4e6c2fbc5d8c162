import { button, choice, gestures, keyWords, slider, store, traitControls } from "../page/bind.js";
import { element, styled } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { dot, number, softmax } from "../page/maths.js";
import { matrixPanel } from "../page/matrix.js";
import { blend, easel, paintMap, writeText } from "../page/paint.js";
import { instrument, more, note, picturePanel, scaleBar } from "../page/panels.js";
import { bindView } from "../page/pointing.js";

const RANGE = { table: "cividis", low: 0, high: 1 };
const MOST = 9; // the largest number that may be typed
const FIRST = 104; // the table's column of lines and words, in CSS pixels,
const WORD = 60; // of which the words have this much
const LARGEST = 420; // side of the picture of all weights
const BESIDE = 60; // room for the words beside the picture of all weights
const SETTINGS = ["sentence", "table", "looks_for", "projection", "sharpness"];

const quoted = (word) => `“${word}”`;
const two = (value) => value.toFixed(2);
const times = (row, matrix) => matrix[0].map((_, j) => dot(row, matrix.map((other) => other[j])));

/** The traits, and queries (n, d), scores (n, n), weights (n, n) and contexts (n, d) of the features (n, d). */
function attend(model) {
  const traits = Object.fromEntries(SETTINGS.map((name) => [name, model.get(name)]));
  const { words, features, word: start } = model.get("sentences")[traits.sentence];
  const { table, looks_for: matrix, projection, sharpness } = traits;
  const fits = (rows, length) => rows.length === length && rows.every((row) => row.length === features.length);
  if (!fits(table, words.length) || !fits(matrix, features.length)) return null; // they come one after the other
  const queries = projection === "itself" ? table : table.map((row) => times(row, matrix));
  const scale = sharpness / Math.sqrt(features.length);
  const scores = queries.map((query) => table.map((key) => scale * dot(query, key)));
  const weights = scores.map((row) => softmax(row));
  const contexts = weights.map((row) => times(row, table));
  return { ...traits, words, features, start, queries, scores, weights, contexts };
}

/** A number that can be typed, of the trait `name`. `refresh()` shows the trait's, but not while it is typed in. */
function field(model, name, i, j, label) {
  const input = element("input", { type: "number", step: "0.5", min: -MOST, max: MOST, "aria-label": label });
  const value = () => model.get(name)[i][j];
  input.addEventListener("input", () => {
    if (!Number.isFinite(input.valueAsNumber)) return;
    const rows = model.get(name);
    const typed = Math.max(-MOST, Math.min(MOST, input.valueAsNumber));
    store(model, { [name]: rows.with(i, rows[i].with(j, typed)) });
  });
  input.addEventListener("change", () => { input.value = value(); });
  const refresh = () => {
    if (!input.matches(":focus")) input.value = value();
    styled(input, { color: `var(--cw-${value() ? "ink" : "soft"})`, fontWeight: value() ? "700" : "400" });
  };
  return { input, refresh };
}

const cell = (words = "", colour = "ink") => styled(element("td", {}, words), { color: `var(--cw-${colour})` });
const head = (words, scope, style = {}) => styled(element("th", { scope }, element("span", {}, words)), style);
const line = (...cells) => element("tr", {}, ...cells);

/** The words and their features, line by line, between the query above and the context below. */
function wordsTable(model) {
  const canvas = styled(element("canvas", { role: "application" }), { position: "absolute", left: "0" });
  const table = element("table", { class: "cw-numbers" });
  const node = styled(element("div", {}, table, canvas), { position: "relative" });
  let fields = [];
  let cells = {};
  let rows = [];
  const build = ({ words, features }) => {
    const each = (list, colour) => list.map(() => cell("", colour));
    cells = {
      query: each(features, "run-1"), context: each(features, "run-2"), score: each(words), weight: each(words),
    };
    const label = (i, f) => `${words[i]}, word ${i + 1}: ${features[f]}`;
    fields = words.map((_, i) => features.map((__, f) => field(model, "table", i, f, label(i, f))));
    rows = words.map((word, i) => line(
      head(word, "row", { color: "transparent" }), // the canvas shows it, with its line from the query
      ...fields[i].map(({ input }) => element("td", {}, input)), cells.score[i], cells.weight[i],
    ));
    const name = { textAlign: "right", paddingRight: "8px", fontWeight: "600" };
    table.replaceChildren(
      element("thead", {}, line(cell(), ...[...features, "score", "weight"].map((one) => head(one, "col")))),
      element("tbody", {},
        line(head("query", "row", { ...name, color: "var(--cw-run-1)" }), ...cells.query, cell(), cell()), ...rows,
        line(head("context", "row", { ...name, color: "var(--cw-run-2)" }), ...cells.context, cell(), cell())),
    );
  };
  /** Lines from the query to all words, as thick as their weights. */
  const drawArcs = (house, { words, weights }, place, isFocused) => {
    table.rows[0].cells[0].style.width = `${FIRST}px`;
    canvas.style.top = `${rows[0].offsetTop}px`;
    const height = rows[0].offsetHeight * words.length;
    const context = easel(canvas, FIRST, height);
    const step = height / words.length;
    const at = (i) => (i + 0.5) * step;
    const edge = FIRST - WORD;
    context.fillStyle = house.ink("line");
    if (isFocused) context.fillRect(edge, place * step + 2, WORD, step - 4);
    words.forEach((word, i) => {
      const weight = weights[place][i];
      const ink = house.ink(i === place ? "run-1" : "ink");
      writeText(context, word, edge + 6, at(i), {
        ink, weight: i === place || weight >= 0.15 ? 700 : 400, most: WORD - 8,
      });
      const bulge = Math.min(edge - 8, 14 + 12 * Math.abs(i - place)) * 1.3;
      context.strokeStyle = house.ink("run-0");
      context.globalAlpha = 0.25 + 0.75 * weight;
      context.lineWidth = 1 + 13 * weight;
      context.beginPath();
      context.moveTo(edge, at(place));
      const bent = at(i) + (i === place ? 0.4 * step : 0);
      context.bezierCurveTo(edge - bulge, at(place), edge - bulge, bent, edge, at(i));
      context.stroke();
      context.globalAlpha = 1;
    });
  };
  const draw = (house, now, place, isFocused) => {
    const { words, queries, scores, weights, contexts } = now;
    for (const { refresh } of fields.flat()) refresh();
    cells.query.forEach((one, f) => { one.textContent = number(queries[place][f]); });
    cells.context.forEach((one, f) => { one.textContent = two(contexts[place][f]); });
    words.forEach((_, i) => {
      const share = `${100 * weights[place][i]}%`;
      cells.score[i].textContent = two(scores[place][i]);
      cells.weight[i].textContent = two(weights[place][i]);
      const colour = "color-mix(in srgb, var(--cw-run-0) 35%, transparent)";
      cells.weight[i].style.background = `linear-gradient(to right, ${colour} ${share}, transparent ${share})`;
    });
    canvas.setAttribute("aria-label",
      `${words.join(" ")}. Lines join the query to all words, as thick as their weights. ${keyWords()}`);
    drawArcs(house, now, place, isFocused);
  };
  return { node, canvas, build, draw };
}

/** The weights of every query as a picture, with the words beside its rows and above its columns. */
function allWeights(house) {
  const named = picturePanel("All weights: rows are queries, columns are keys", { role: "img" });
  named.node.append(note(gestures(), "cw-keys"));
  const made = matrixPanel(house, named);
  const draw = ({ words, weights }, place, isPinned) => {
    const n = words.length;
    const side = Math.max(120, Math.min(LARGEST, made.node.clientWidth)) - BESIDE;
    const box = [BESIDE, BESIDE, side, side];
    const ink = (i, isColumn) => (i === place && !isColumn ? "run-1" : "soft");
    blend(made.begin(box, words, words, { ink }), paintMap(weights.flat(), n, n, RANGE), box);
    made.mark([place, 0], isPinned, n);
    made.canvas.dataset.weights = weights.flat().join(",");
    made.canvas.setAttribute("aria-label",
      `All weights, ${n} × ${n}: each row is a query and sums to 1, each column is a key`);
  };
  return { ...made, draw };
}

/** W_Q, which can be typed into; folded away. */
function queryMatrix(house, model) {
  const table = element("table", { class: "cw-numbers" });
  const name = note();
  more(house, "W_Q: what each word looks for", name, table);
  let fields = [];
  const build = ({ features }) => {
    const label = (i, j) => `W_Q: ${features[i]} looks for ${features[j]}`;
    fields = features.map((_, i) => features.map((__, j) => field(model, "looks_for", i, j, label(i, j))));
    const inputs = (i) => fields[i].map(({ input }) => element("td", {}, input));
    const rows = features.map((from, i) => line(head(from, "row"), ...inputs(i)));
    table.replaceChildren(
      element("thead", {}, line(cell(), ...features.map((to) => head(to, "col")))), element("tbody", {}, ...rows),
    );
    styled(table, { width: `min(100%, ${72 * (features.length + 1)}px)` });
  };
  const draw = ({ projection }) => {
    for (const { refresh } of fields.flat()) refresh();
    table.hidden = projection === "itself";
    name.textContent = table.hidden ? "Without W_Q, a word looks for its own features."
      : "A word with the feature of a row looks for the feature of a column.";
  };
  return { build, draw };
}

function controlsOf(model) {
  const original = (i) => {
    const { table, looks_for: matrix } = model.get("sentences")[i];
    return { table, looks_for: matrix };
  };
  const { nodes, refresh } = traitControls(model, {
    sentence: [choice, {
      label: "Sentence", options: model.get("sentences").map(({ title }, i) => [i, title]),
      onChange: (i) => store(model, { word: [], sentence: Number(i), ...original(i) }),
    }],
    projection: [choice, {
      label: "Query", options: [["looks for", "what it looks for, × W_Q"], ["itself", "its own features"]],
    }],
    sharpness: [slider, {
      label: "Sharpness", min: 0, max: 8, step: 0.1, show: (value) => `scores × ${value.toFixed(1)}`,
    }],
  });
  const reset = button("Reset the numbers", () => store(model, { ...original(model.get("sentence")), sharpness: 1 }));
  return { nodes: [...nodes, reset], refresh };
}

function describe({ words, features, weights, contexts }, place, hint) {
  const own = weights[place];
  const ranked = own.map((_, i) => i).sort((one, other) => own[other] - own[one] || one - other).slice(0, 3);
  const least = Math.max(1 / words.length, own[ranked[0]] / 10);
  const most = ranked.filter((i) => own[i] > least).map((i) => `${two(own[i])} on ${quoted(words[i])}`);
  const context = features.map((name, f) => `${name} ${two(contexts[place][f])}`).join(", ");
  return [
    `Query ${quoted(words[place])}, word ${place + 1} of ${words.length}: `
      + `${most.length ? `largest weight ${most.join(", ")}` : `the same weight on every word, ${two(own[0])}`}.`,
    { aside: `Context: ${context}.` }, hint,
  ];
}

function render({ model, el }) {
  const house = frame({ model, el, name: "sentence-attention" });
  let now = attend(model);
  const table = wordsTable(model);
  const all = allWeights(house);
  const matrix = queryMatrix(house, model);
  const controls = controlsOf(model);
  const scale = scaleBar("Weight");
  scale.set(RANGE);
  const hint = note("The word that you point at is the query. You can type other numbers.");
  instrument(house, all.node, table.node, hint, scale.node);
  house.controls.append(...controls.nodes);

  const placeOf = (focus) => focus.get()?.[0] ?? now.start;
  let built = null;
  bindView({
    model, house, canvases: [table.canvas, all.canvas], traits: SETTINGS,
    rows: () => now.words.length, columns: () => 1,
    inside: (canvas) => (canvas === all.canvas ? all.inside() : [0, 0, 1, 1]),
    start: () => [now.start, 0], trait: "word", toTrait: ([row]) => [row], fromTrait: ([row]) => [row, 0],
    follow() {
      const next = attend(model);
      if (!next) return false;
      now = next;
      if (now.words !== built) for (const part of [table, matrix]) part.build(now);
      built = now.words;
      controls.refresh();
      matrix.draw(now);
      return true;
    },
    mark(focus) {
      table.draw(house, now, placeOf(focus), Boolean(focus.get()));
      all.draw(now, placeOf(focus), focus.isPinned());
    },
    describe: (focus) => describe(now, placeOf(focus), focus.hint()), code: (focus) => codeFor(now, placeOf(focus)),
  });
  return house.end;
}

/** The lines that reproduce what is shown. */
function codeFor({ table, looks_for: matrix, projection, sharpness, words, features }, word) {
  const rows = (numbers) => `[${numbers.map((row) => `[${row.map(number).join(", ")}]`).join(", ")}]`;
  const looking = projection === "looks for";
  return [
    "import torch",
    "",
    "from course_utils.attention import scaled_dot_product_attention",
    "",
    `words = [${words.map((one) => JSON.stringify(one)).join(", ")}]`,
    `features = torch.tensor(${rows(table)}, dtype=torch.float32)  # one row for each word: ${features.join(", ")}`,
    ...(looking ? [`looks_for = torch.tensor(${rows(matrix)}, dtype=torch.float32)  # W_Q`] : []),
    `query = features${looking ? " @ looks_for" : ""}`,
    `scale = ${number(sharpness)} * features.shape[1] ** -0.5`,
    "context, weights = scaled_dot_product_attention(query, features, features, scale=scale)",
    `for one, weight in zip(words, weights[${word}]):  # the query is "${words[word]}", counted from 0`,
    '    print(f"{one:10s} {weight:.2f}")',
    "",
  ].join("\n");
}

export default { render };
