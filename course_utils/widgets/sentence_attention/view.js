import { button, choice, focusController, slider, store } from "../page/bind.js";
import { element, styled } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { number, softmax } from "../page/maths.js";
import { fit, outline, paintMap } from "../page/paint.js";
import { copyButton, saveButton, scaleBar } from "../page/panels.js";

const TABLE = "cividis";
const RANGE = { table: TABLE, low: 0, high: 1 };
const FONT = "system-ui, sans-serif";
const NAMES = 72; // widths of the table's columns in CSS pixels: names, query, context, the least of a word
const QUERY = 56;
const CONTEXT = 64;
const WORD = 54;
const MOST = 9; // the largest number that may be typed

const dot = (one, two) => one.reduce((sum, value, i) => sum + value * two[i], 0);
const column = (rows, j) => rows.map((row) => row[j]);
const times = (row, matrix) => matrix[0].map((_, j) => dot(row, column(matrix, j)));
const copyOf = (rows) => rows.map((row) => [...row]);

/** queries (n, d), scores (n, n), weights (n, n) and contexts (n, d) of a table of features (n, d). */
function attend({ table, looks_for: matrix, projection, sharpness }) {
  const queries = projection === "itself" ? table : table.map((row) => times(row, matrix));
  const scale = sharpness / Math.sqrt(table[0].length);
  const scores = queries.map((query) => table.map((key) => scale * dot(query, key)));
  const weights = scores.map((row) => softmax(row));
  return { queries, scores, weights, contexts: weights.map((row) => times(row, table)) };
}

function render({ model, el }) {
  const house = frame({ model, el, name: "sentence-attention" });
  const SETTINGS = ["sentence", "table", "looks_for", "projection", "sharpness"];
  const state = {};
  const pull = () => {
    for (const name of SETTINGS) state[name] = model.get(name);
    state.table = copyOf(state.table);
    state.looks_for = copyOf(state.looks_for);
  };
  pull();
  const now = () => model.get("sentences")[state.sentence];
  let result = attend(state);

  const change = (values) => {
    Object.assign(state, values);
    store(model, Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Array.isArray(value) ? copyOf(value) : value])));
    show();
  };
  const original = () => ({ table: copyOf(now().table), looks_for: copyOf(now().looks_for) });

  // Controls.
  const sentenceChoice = choice({
    label: "Sentence", options: model.get("sentences").map(({ title }, i) => [i, title]), value: state.sentence,
    onChange: (value) => {
      const { table: own, looks_for: matrix } = model.get("sentences")[value];
      focus.set(null);
      store(model, { word: [], sentence: Number(value), table: copyOf(own), looks_for: copyOf(matrix) });
    },
  });
  const projectionChoice = choice({
    label: "A word's query", options: [["looks for", "what it looks for, features × W_Q"], ["itself", "its own features"]],
    value: state.projection, onChange: (projection) => change({ projection }),
  });
  const sharpness = slider({
    label: "Sharpness", min: 0, max: 8, step: 0.1, value: state.sharpness, show: (value) => `scores × ${value.toFixed(1)}`,
    onInput: (value) => change({ sharpness: value }),
  });
  const reset = button("Reset the numbers", () => change({ ...original(), sharpness: 1 }));
  const top = element("div", { class: "cw-controls" }, sentenceChoice.node, projectionChoice.node, sharpness.node);
  house.stage.before(styled(top, { marginTop: "0", marginBottom: "12px" }));

  // The words with their lines, and below them, column by column, the table.
  const canvas = element("canvas", { role: "application" });
  canvas.style.touchAction = "pan-y";
  const table = styled(element("table", {}), { tableLayout: "fixed", borderCollapse: "collapse", margin: "0" });
  const inner = element("div", {}, canvas, table);
  const wide = styled(element("div", {}, inner), { overflowX: "auto", flex: "0 0 100%", minWidth: "0" });
  const keys = element("p", { class: "cw-panel-name cw-keys" },
    "Point at a word above: it becomes the query. Click or Enter locks, arrows move, Escape releases. Type in the table.");
  const matrixTable = styled(element("table", {}), { borderCollapse: "collapse", margin: "0" });
  const matrixName = element("p", { class: "cw-panel-name" }, "");
  const matrixBox = styled(element("div", {}, matrixName, matrixTable), { flex: "1 1 320px", minWidth: "0", overflowX: "auto" });
  const all = element("canvas", { role: "img" });
  const allName = element("p", { class: "cw-panel-name" }, "");
  const scale = scaleBar("Weight");
  styled(scale.node, { width: "180px", marginTop: "8px" });
  const allBox = styled(element("div", {}, allName, all, scale.node), { flex: "0 1 240px", minWidth: "0" });
  styled(keys, { flex: "0 0 100%", marginTop: "-8px" });
  house.stage.append(wide, keys, allBox, matrixBox);

  const cellStyle = { padding: "1px 3px", textAlign: "center", font: "inherit", fontSize: "13px", color: "inherit", background: "none", border: "0", width: "auto" };
  const th = (words, scope, style = {}) =>
    styled(element("th", { scope }, words), { ...cellStyle, fontWeight: "600", overflowWrap: "normal", ...style });
  const td = (content = "", style = {}) => styled(element("td", {}, content), { ...cellStyle, ...style });
  const field = (label, read, write) => {
    const input = styled(element("input", { type: "number", step: "0.5", min: -MOST, max: MOST, "aria-label": label }), {
      width: "100%", minWidth: "0", boxSizing: "border-box", padding: "3px 2px", textAlign: "center", font: "inherit", fontSize: "13px",
      color: "inherit", background: "var(--cw-raised)", border: "1px solid var(--cw-edge)", borderRadius: "4px", margin: "0",
    });
    input.addEventListener("input", () => {
      const value = input.valueAsNumber;
      if (!Number.isFinite(value)) return;
      write(Math.max(-MOST, Math.min(MOST, value)));
    });
    input.addEventListener("change", () => { input.value = read(); });
    const refresh = () => {
      if (!input.matches(":focus")) input.value = read();
      styled(input, { color: `var(--cw-${read() ? "ink" : "soft"})`, fontWeight: read() ? "700" : "400" });
    };
    return { input, refresh };
  };

  let built = null; // the sentence that the table was built for
  let fields = [];
  let cells = {};
  function build() {
    const { words, features } = now();
    built = state.sentence;
    fields = [];
    cells = { query: [], context: [], score: [], weight: [], head: [] };
    const edit = (name, i, j, label) => {
      const one = field(label, () => state[name][i][j], (value) => {
        state[name][i][j] = value;
        change({ [name]: state[name] });
      });
      fields.push(one);
      return one.input;
    };
    const widths = element("colgroup", {}, ...[NAMES, QUERY, ...words.map(() => null), CONTEXT].map((width) => {
      const col = element("col", {});
      if (width) col.style.width = `${width}px`;
      return col;
    }));
    cells.head = words.map((word) => th(word, "col"));
    const head = element("tr", {}, th("feature", "col", { textAlign: "left" }), th("query", "col", { color: "var(--cw-run-1)" }),
      ...cells.head, th("context", "col", { color: "var(--cw-run-2)" }));
    const rows = features.map((feature, f) => {
      cells.query.push(td("", { color: "var(--cw-run-1)" }));
      cells.context.push(td("", { color: "var(--cw-run-2)", fontWeight: "600" }));
      const inputs = words.map((word, i) => td(edit("table", i, f, `${word}, word ${i + 1}: ${feature}`)));
      return element("tr", {}, th(feature, "row", { textAlign: "left", fontWeight: "400" }), cells.query[f], ...inputs, cells.context[f]);
    });
    const line = (name, words_) => {
      cells[name] = words.map(() => td(""));
      return styled(element("tr", {}, th(words_, "row", { textAlign: "left", fontWeight: "400" }), td(), ...cells[name], td()), { height: "26px" });
    };
    const last = line("weight", "weight");
    styled(last, { fontWeight: "600" });
    table.replaceChildren(widths, element("thead", {}, head), element("tbody", {}, ...rows, line("score", "score"), last));

    matrixTable.replaceChildren(
      element("thead", {}, element("tr", {}, td("", { minWidth: "72px" }), ...features.map((name) => th(name, "col", { fontWeight: "400" })))),
      element("tbody", {}, ...features.map((from, i) => element("tr", {}, th(from, "row", { textAlign: "left", fontWeight: "400" }),
        ...features.map((to, j) => td(edit("looks_for", i, j, `W_Q: ${from} looks for ${to}`), { minWidth: "50px" }))))),
    );
  }

  // The focus: one row of words.
  const focus = focusController({
    canvases: [canvas, all],
    rows: () => 1,
    columns: () => now().words.length,
    locate: (which, x, y) => {
      const place = Math.floor((which === all ? y : x) * now().words.length);
      return x < 0 || y < 0 || x >= 1 || y >= 1 ? null : [0, place];
    },
    start: () => [0, now().word],
    onEdge: () => house.say([...describe(), "Edge."], { again: true }),
    onChange: (query, locked, quiet) => {
      const stored = locked ? [query[1]] : [];
      if (String(stored) !== String(model.get("word"))) store(model, { word: stored });
      show(quiet);
    },
  });
  const shownWord = () => focus.get()?.[1] ?? now().word;

  const quoted = (word) => `“${word}”`;
  const describe = () => {
    const { words, features } = now();
    const place = shownWord();
    const weights = result.weights[place];
    const ranked = weights.map((_, i) => i).sort((one, two) => weights[two] - weights[one] || one - two).slice(0, 3);
    const least = Math.max(1 / words.length, weights[ranked[0]] / 10);
    const most = ranked.filter((i) => weights[i] > least).map((i) => `${number(weights[i])} on ${quoted(words[i])}`).join(", ");
    const context = features.map((name, f) => `${name} ${number(result.contexts[place][f])}`).join(", ");
    const hint = focus.hint();
    return [`Query ${quoted(words[place])}, word ${place + 1} of ${words.length}: `
      + `${most ? `largest weights ${most}` : `the same weight on every word, ${number(weights[0])}`}; all ${words.length} sum to 1.`,
      `Context: ${context}.`, hint];
  };

  const HEIGHT = 150;
  function drawLines() {
    const { words } = now();
    const n = words.length;
    const across = Math.max(NAMES + QUERY + CONTEXT + WORD * n, Math.floor(wide.clientWidth));
    const step = (across - NAMES - QUERY - CONTEXT) / n;
    styled(inner, { width: `${across}px` });
    styled(table, { width: `${across}px` });
    const { scale: pixels } = fit(canvas, step * n, HEIGHT / (step * n));
    styled(canvas, { marginLeft: `${NAMES + QUERY}px`, maxWidth: "none" });
    const context = canvas.getContext("2d");
    context.setTransform(pixels, 0, 0, pixels, 0, 0);
    context.clearRect(0, 0, step * n, HEIGHT);
    const place = shownWord();
    const weights = result.weights[place];
    const at = (i) => (i + 0.5) * step;
    const [upper, lower] = [30, HEIGHT - 22];
    if (focus.get()) {
      context.fillStyle = house.ink("line");
      context.beginPath();
      context.roundRect(place * step + 2, 2, step - 4, 24, 6);
      context.fill();
    }
    context.textAlign = "center";
    context.textBaseline = "middle";
    words.forEach((word, i) => {
      context.font = `${i === place ? "700" : "400"} 14px ${FONT}`;
      context.fillStyle = house.ink(i === place ? "run-1" : "soft");
      context.fillText(word, at(i), 14, step - 2);
    });
    words.forEach((_, j) => {
      context.strokeStyle = house.ink("run-0");
      context.globalAlpha = 0.25 + 0.75 * weights[j];
      context.lineWidth = 1 + 15 * weights[j];
      context.beginPath();
      context.moveTo(at(place), upper);
      context.bezierCurveTo(at(place), upper + 50, at(j), lower - 60, at(j), lower - 6);
      context.stroke();
      context.globalAlpha = 1;
    });
    words.forEach((_, j) => {
      context.font = `${weights[j] >= 0.15 ? "700" : "400"} 13px ${FONT}`;
      context.fillStyle = house.ink("ink");
      context.fillText(weights[j].toFixed(2), at(j), lower + 8);
    });
    context.setTransform(1, 0, 0, 1, 0, 0);
  }
  function drawAll() {
    const n = now().words.length;
    const side = Math.min(180, allBox.clientWidth);
    const { width, height, scale: pixels } = fit(all, side, 1);
    const context = all.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(paintMap(Float64Array.from(result.weights.flat()), n, n, RANGE), 0, 0, width, height);
    outline(context, 0, (shownWord() * height) / n, width, height / n, pixels, focus.isLocked());
    all.dataset.weights = result.weights.flat().join(",");
    all.setAttribute("aria-label", `All weights, ${n} × ${n}: a row for each query, a column for each key; each row sums to 1`);
    allName.textContent = `All weights, ${n} × ${n}: a row is a query`;
  }
  function showNumbers() {
    const { features } = now();
    const place = shownWord();
    for (const one of fields) one.refresh();
    features.forEach((_, f) => {
      cells.query[f].textContent = number(result.queries[place][f]);
      cells.context[f].textContent = result.contexts[place][f].toFixed(2);
    });
    now().words.forEach((_, i) => {
      cells.score[i].textContent = result.scores[place][i].toFixed(2);
      cells.weight[i].textContent = result.weights[place][i].toFixed(2);
      cells.head[i].style.color = i === place ? "var(--cw-run-1)" : "inherit";
    });
    sentenceChoice.set(state.sentence);
    projectionChoice.set(state.projection);
    sharpness.set(state.sharpness);
    const looking = state.projection === "looks for";
    matrixTable.hidden = !looking;
    matrixName.textContent = looking ? `W_Q, ${features.length} × ${features.length}: a word that has the row's feature looks for the column's`
      : "Without W_Q a word looks for what it is itself.";
  }
  function show(quiet = false) {
    result = attend(state);
    canvas.setAttribute("aria-label",
      `${now().words.join(" ")}. Lines from the query to all words, as thick as their weights. Arrow keys choose the query, Enter locks, Escape releases.`);
    showNumbers();
    if (house.root.clientWidth === 0) return;
    drawLines();
    drawAll();
    scale.set(RANGE);
    house.say(describe(), { quiet });
  }
  const takeWord = () => {
    const [word] = model.get("word");
    if (word !== undefined && word < now().words.length) focus.set([0, word], true);
    else if (focus.isLocked()) focus.set(null);
  };

  build();
  takeWord();
  show();
  house.listen(SETTINGS, () => {
    const { words, features } = model.get("sentences")[model.get("sentence")];
    const fits = (name, length) => {
      const rows = model.get(name);
      return rows.length === length && rows.every((row) => row.length === features.length);
    };
    if (!fits("table", words.length) || !fits("looks_for", features.length)) return; // they come one after the other
    pull();
    if (state.sentence !== built) build();
    takeWord();
    show();
  });
  house.listen("word", () => {
    takeWord();
    show();
  });
  house.whenShown(() => show());

  const compose = () => {
    const pixels = canvas.width / parseFloat(canvas.style.width);
    const sheet = element("canvas", { width: canvas.width + 32 * pixels, height: canvas.height + 64 * pixels });
    const context = sheet.getContext("2d");
    context.fillStyle = house.ink("surface");
    context.fillRect(0, 0, sheet.width, sheet.height);
    context.drawImage(canvas, 16 * pixels, 8 * pixels);
    context.scale(pixels, pixels);
    const { words } = now();
    const step = canvas.width / pixels / words.length;
    context.fillStyle = house.ink("ink");
    context.textAlign = "center";
    context.font = `600 13px ${FONT}`;
    words.forEach((word, i) => context.fillText(word, 16 + (i + 0.5) * step, 8 + HEIGHT + 12, step - 2));
    context.textAlign = "left";
    context.font = `12px ${FONT}`;
    context.fillText(describe().slice(0, 2).join(" "), 16, 8 + HEIGHT + 40, canvas.width / pixels);
    return sheet;
  };
  house.actions.append(saveButton(house, compose, "sentence-attention.png"), copyButton(house, () => codeFor(state, now(), shownWord())), reset);
  return house.end;
}

/** The lines that reproduce what is shown. */
function codeFor({ table, looks_for: matrix, projection, sharpness }, { words, features }, word) {
  const rows = (numbers) => `[${numbers.map((row) => `[${row.map(number).join(", ")}]`).join(", ")}]`;
  const looking = projection === "looks for";
  return [
    "import torch",
    "",
    "from course_utils.attention import scaled_dot_product_attention",
    "",
    `words = [${words.map((one) => JSON.stringify(one)).join(", ")}]`,
    `features = torch.tensor(${rows(table)}, dtype=torch.float32)  # one row a word: ${features.join(", ")}`,
    ...(looking ? [`looks_for = torch.tensor(${rows(matrix)}, dtype=torch.float32)  # W_Q`] : []),
    `query = features${looking ? " @ looks_for" : ""}`,
    `scale = ${number(sharpness)} * features.shape[1] ** -0.5`,
    "context, weights = scaled_dot_product_attention(query, features, features, scale=scale)",
    `for one, weight in zip(words, weights[${word}]):  # the query is "${words[word]}"`,
    '    print(f"{one:10s} {weight:.2f}")',
    "",
  ].join("\n");
}

export default { render };
