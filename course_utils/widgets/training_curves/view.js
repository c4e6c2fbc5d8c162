import { choice, fill, keyWords, store, traitControls } from "../page/bind.js";
import { element, wordsIn } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { number } from "../page/maths.js";
import { easel, writeText } from "../page/paint.js";
import { instrument, panel, pointPanel } from "../page/panels.js";
import { drawAxes, drawBand, drawDot, drawLine, scalesOf, takePen, ticks } from "../page/plot.js";
import { bindView } from "../page/pointing.js";

const QUIET = 15000; // milliseconds between two lines that are read out while networks train

/** A metric's name in words. */
const wordsFor = (metric) => metric.replace(/_/g, " ").replace(/\bacc\b/, "accuracy").replace(/\bval\b/, "validation")
  .replace(/\btrain\b/, "training");

/** The epochs so far. `load()` reads them; `curve(run, metric)` -> [{ at, mean, low, high, seeds }] by epoch. */
function history(model) {
  let records = []; // [run, seed, epoch, metrics]
  const load = () => {
    const all = [...model.get("history"), ...model.get("tail")];
    records = [...new Map(all.map((one) => [String(one.slice(0, 3)), one])).values()]; // the same one again replaces it
  };
  const curve = (run, metric) => {
    const values = new Map();
    for (const [own, , epoch, { [metric]: value = null }] of records) {
      if (own === run && value !== null) values.set(epoch, [...(values.get(epoch) ?? []), value]);
    }
    return [...values].sort((one, other) => one[0] - other[0]).map(([at, all]) => ({
      at, mean: all.reduce((sum, value) => sum + value, 0) / all.length, low: Math.min(...all),
      high: Math.max(...all), seeds: all.length,
    }));
  };
  return { load, curve, received: () => records.length };
}

/** What is shown: the names of all runs, their curves, which are not hidden, the epochs, and whether seeds differ. */
function read(model, known) {
  const [names, metric, hidden] = ["runs", "metric", "hidden_runs"].map((name) => model.get(name));
  const curves = names.map((_, run) => known.curve(run, metric));
  const epochs = [...new Set(curves.flat().map(({ at }) => at))].sort((one, other) => one - other);
  const visible = names.map((_, run) => run).filter((run) => !hidden.includes(names[run]));
  const hasBands = curves.flat().some(({ seeds }) => seeds > 1);
  return { names, metric: wordsFor(metric), curves, epochs, visible, hasBands };
}

const pointOf = ({ curves }, run, epoch) => curves[run].find(({ at }) => at === epoch);

/** The size of a chart of a width in CSS pixels, where epochs and values stand on it, and its numbers. */
function layOut({ curves, visible, epochs }, width, announced) {
  const height = Math.round(Math.max(220, Math.min(320, width * 0.6)));
  const first = epochs[0] ?? 0;
  const last = Math.max(announced ?? 0, epochs.at(-1) ?? 1, first + 1);
  const points = visible.flatMap((run) => curves[run]);
  const [low, high] = points.length
    ? [Math.min(...points.map((one) => one.low)), Math.max(...points.map((one) => one.high))] : [0, 1];
  const size = Math.max(Math.abs(low), Math.abs(high));
  const pad = high - low > 1e-9 * size ? (high - low) * 0.06 : size * 0.06 || 0.5;
  const [bottom, top] = [low >= 0 ? Math.max(0, low - pad) : low - pad, high + pad];
  const columns = ticks(first, last, Math.min(10, Math.max(2, width / 80))).values.filter(Number.isInteger);
  const scales = scalesOf([56, 16, width - 16, height - 40], [first, last], [bottom, top]);
  return { ...scales, width, height, rows: ticks(bottom, top, 5), columns };
}

/** The epoch in focus as an upright line, and a dot on every run. */
function drawMark(context, house, view, shown, query, pinned) {
  const epoch = shown.epochs[query[1]];
  context.strokeStyle = house.ink(pinned ? "ink" : "soft");
  context.lineWidth = pinned ? 2 : 1;
  context.setLineDash(pinned ? [] : [4, 3]);
  drawLine(context, [[view.x(epoch), view.box[1]], [view.x(epoch), view.box[3]]]);
  shown.visible.forEach((run, row) => {
    const point = pointOf(shown, run, epoch);
    if (!point) return;
    takePen(context, house, run);
    context.setLineDash([]);
    context.strokeStyle = house.ink("surface");
    drawDot(context, view.x(epoch), view.y(point.mean), row === query[0] ? 6 : 4);
    context.stroke();
  });
}

/** The chart: `draw` paints the curves and the epoch in focus; `locate` finds one. */
function chart(house) {
  const made = pointPanel(`Training curves. ${keyWords("over epochs and runs")}`);
  let view = null;
  const draw = (shown, announced, query, pinned) => {
    view = layOut(shown, Math.floor(made.node.clientWidth), announced);
    const context = easel(made.canvas, view.width, view.height);
    drawAxes(context, house, view, view.rows, view.columns, "epoch");
    if (!shown.epochs.length) {
      const style = { ink: house.ink("soft"), align: "center" };
      writeText(context, "No epoch has ended yet.", view.width / 2, view.height / 2, style);
    }
    for (const run of shown.visible) drawBand(context, house, view, run, shown.curves[run]);
    if (query) drawMark(context, house, view, shown, query, pinned);
  };
  const nearest = (count, distance) => Array.from({ length: count }, (_, i) => i)
    .reduce((best, i) => (distance(i) < distance(best) ? i : best), 0);
  const locate = (shown, x, y) => {
    const { epochs, visible } = shown;
    if (!view || !epochs.length || !visible.length) return null;
    const column = nearest(epochs.length, (i) => Math.abs(view.x(epochs[i]) - x * view.width));
    const height = (row) => pointOf(shown, visible[row], epochs[column])?.mean ?? Infinity;
    return [nearest(visible.length, (row) => Math.abs(view.y(height(row)) - y * view.height)), column];
  };
  return { ...made, draw, locate };
}

/** The runs, each with its line, its value at the epoch in focus or the latest, and a box to hide it. */
function legend(house, model) {
  const list = element("div", { class: "cw-legend", role: "group", "aria-label": "Runs shown" });
  const made = panel("", list);
  const add = (name, run) => {
    const input = element("input", { type: "checkbox" });
    input.addEventListener("change", () => {
      const others = model.get("hidden_runs").filter((one) => one !== name);
      store(model, { hidden_runs: input.checked ? others : [...others, name] });
    });
    const sample = element("canvas", { "aria-hidden": "true" });
    const value = element("span", { class: "cw-value" });
    list.append(element("div", { class: "cw-control" }, element("label", {}, input, sample, name), value));
    return { input, sample, value, run };
  };
  const entries = [];
  const draw = (shown, query) => {
    const { names, visible, curves, epochs, hasBands } = shown;
    const when = query ? `At epoch ${epochs[query[1]]}` : "Latest epoch";
    made.rename(`${when}${hasBands ? ": mean (lowest to highest seed)" : ""}`);
    entries.push(...names.slice(entries.length).map((name) => add(name, names.indexOf(name))));
    for (const { input, sample, value, run } of entries) {
      input.checked = visible.includes(run);
      const point = query ? pointOf(shown, run, epochs[query[1]]) : curves[run].at(-1);
      value.textContent = !point ? "none" : number(point.mean)
        + (point.seeds > 1 ? ` (${number(point.low)} to ${number(point.high)})` : "");
      const context = easel(sample, 32, 12);
      takePen(context, house, run);
      drawLine(context, [[0, 6], [32, 6]]);
    }
  };
  return { ...made, draw };
}

/** How far the training is, in words and as a bar. */
function progress(model) {
  const bar = element("progress", { max: "1", value: "0", "aria-label": "Progress of the training" });
  const words = element("span", {});
  const node = element("div", { class: "cw-progress" }, bar, words);
  const draw = (received) => {
    const { run, seed, epoch, epochs } = model.get("latest");
    const total = model.get("total");
    node.hidden = !run;
    if (!run) return;
    const done = total > 0 && received >= total;
    const part = epochs > 0 ? `epoch ${epoch} of ${epochs}` : `epoch ${epoch}`;
    const all = total ? `; ${Math.min(received, total)} of ${total} epochs in all` : "";
    words.textContent = done ? `All ${total} epochs are done.` : `${run}, seed ${seed}: ${part}${all}.`;
    bar.hidden = done || !(total || epochs > 0);
    bar.max = total || epochs || 1;
    bar.value = Math.min(bar.max, total ? received : epoch);
    bar.setAttribute("aria-valuetext", words.textContent);
  };
  return { node, draw };
}

/** A line that only a screen reader gets: of those that come within 15 seconds of another, the newest. */
function announcer(house) {
  const heard = element("p", { class: "cw-heard", "aria-live": "polite" });
  house.root.append(heard);
  let due = 0;
  let heardAt = -Infinity;
  let line = "";
  house.endings.push(() => clearTimeout(due));
  return (text) => {
    line = text;
    if (due) return;
    due = setTimeout(() => {
      due = 0;
      heardAt = performance.now();
      heard.textContent = line;
    }, Math.max(0, heardAt + QUIET - performance.now()));
  };
}

/** The latest of the runs, from the third on for a screen reader alone: the list beside the chart shows them all. */
function latestInWords({ names, metric, curves, visible }) {
  const ends = visible.filter((run) => curves[run].length)
    .map((run) => `${names[run]} ${number(curves[run].at(-1).mean)} at epoch ${curves[run].at(-1).at}`);
  const others = ends.slice(2).join("; ");
  return [`Latest ${metric}: ${ends.slice(0, 2).join("; ")}.`, ...(others ? [{ heard: `${others}.` }] : [])];
}

function describe(shown, query, hint) {
  const { names, metric, epochs, visible } = shown;
  if (!epochs.length) return ["No epoch has ended yet."];
  if (!visible.length) return ["Every run is hidden; tick a run."];
  if (!query) return latestInWords(shown);
  const [row, column] = query;
  const reading = (run) => {
    const point = pointOf(shown, run, epochs[column]);
    const hasBand = run === visible[row] && point?.seeds > 1;
    return `${names[run]} ${point ? number(point.mean) : "none"}`
      + (hasBand ? ` (${number(point.low)} to ${number(point.high)}, ${point.seeds} seeds)` : "");
  };
  const others = visible.filter((run) => run !== visible[row]).map(reading).join("; ");
  return [`Epoch ${epochs[column]} of ${epochs.at(-1)}, ${metric}: ${reading(visible[row])}.`, hint,
    ...(others ? [{ heard: `${others}.` }] : [])];
}

/** Draw what comes while networks train: one picture for all that came before it; the ends are read out. */
function follow(house, model, known, draw, latest) {
  const announce = announcer(house);
  const isDone = () => model.get("total") > 0 && known.received() >= model.get("total");
  let ended = "";
  let finished = isDone();
  let planned = 0;
  house.endings.push(() => cancelAnimationFrame(planned));
  house.listen("latest", () => {
    const { run, seed, epoch, epochs } = model.get("latest");
    if (epochs > 0 && epoch >= epochs) ended = `${run}, seed ${seed}: all ${epochs} epochs are done.`;
  });
  house.listen(["history", "tail", "runs", "metrics", "latest", "total"], () => {
    cancelAnimationFrame(planned);
    planned = requestAnimationFrame(() => {
      known.load();
      draw();
      if (isDone()) ended = finished ? "" : `All ${model.get("total")} epochs are done.`;
      finished = isDone();
      if (ended) announce(`${ended} ${latest().map(wordsIn).join(" ")}`);
      ended = "";
    });
  });
}

function render({ model, el }) {
  const house = frame({ model, el, name: "training-curves" });
  const known = history(model);
  known.load();
  let shown = read(model, known);
  const plot = chart(house);
  const runs = legend(house, model);
  const bar = progress(model);
  const { controls: { metric } } = traitControls(model, { metric: [choice, { label: "Metric", options: [] }] });
  house.root.prepend(bar.node);
  house.stage.classList.add("cw-wide");
  instrument(house, plot.node, runs.node, metric.node);

  let arriving = false;
  house.listen(["metric", "hidden_runs"], () => {
    const before = view.get();
    const epoch = before && shown.epochs[before[1]]; // another metric may have other epochs
    const { epochs, visible } = read(model, known);
    const isThere = before && before[0] < visible.length && epochs.includes(epoch);
    const found = isThere ? [before[0], epochs.indexOf(epoch)] : null;
    view.set(found, view.isPinned());
    if (model.get("query").length) store(model, { query: found ?? [] });
  });
  const words = (focus) => describe(shown, focus.get(), focus.hint());
  const view = bindView({
    model, house, canvases: [plot.canvas], traits: ["metric", "hidden_runs"],
    rows: () => shown.visible.length, columns: () => shown.epochs.length,
    locate: (_, x, y) => plot.locate(shown, x, y), describe: words, lines: words, isQuiet: () => arriving,
    follow() {
      shown = read(model, known);
      const metrics = model.get("metrics");
      fill(metric, metrics.map((name) => [name, wordsFor(name)]), model.get("metric"));
      plot.rename(`${shown.metric}${shown.hasBands ? " (line: mean over seeds; band: lowest to highest)" : ""}`);
      metric.node.hidden = !metrics.length;
      bar.draw(known.received());
    },
    mark(focus) {
      runs.draw(shown, focus.get());
      plot.draw(shown, model.get("latest").epochs, focus.get(), focus.isPinned());
    },
    code() {
      const first = model.get("code") || "from course_utils.widgets import TrainingCurves\n";
      return `${first.trimEnd()}\n\nTrainingCurves(records, metric=${JSON.stringify(model.get("metric"))})\n`;
    },
  });
  follow(house, model, known, () => {
    arriving = !view.get();
    view.update();
    arriving = false;
  }, () => latestInWords(shown));
  return house.end;
}

export default { render };
