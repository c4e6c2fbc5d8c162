import { choice, focusController, store } from "../page/bind.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { number } from "../page/maths.js";
import { fit } from "../page/paint.js";
import { copyButton, saveButton } from "../page/panels.js";

const COLOURS = 6;
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [14, 4], [5, 2, 2, 2, 2, 2]];
const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 56, right: 16, top: 16, bottom: 40 };

/** A metric's name in words. */
function words(metric) {
  return metric.replace(/_/g, " ").replace(/\bacc\b/, "accuracy").replace(/\bval\b/, "validation")
    .replace(/\btrain\b/, "training");
}

/** Round steps for an axis, at most about `count` of them. */
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough * 0.999);
  const result = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) result.push(i * step);
  return { values: result, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

function sample(index) {
  const line = document.createElementNS(SVG, "line");
  const svg = document.createElementNS(SVG, "svg");
  for (const [name, value] of [["width", 32], ["height", 12], ["aria-hidden", "true"]]) svg.setAttribute(name, value);
  for (const [name, value] of [["x1", 1], ["x2", 31], ["y1", 6], ["y2", 6], ["stroke-width", 2.5]]) {
    line.setAttribute(name, value);
  }
  line.setAttribute("stroke-dasharray", dashOf(index).join(" "));
  line.style.stroke = `var(--cw-run-${index % COLOURS})`;
  svg.append(line);
  return svg;
}

function dashOf(index) {
  return DASHES[(index + Math.floor(index / COLOURS)) % DASHES.length];
}

function render({ model, el }) {
  const house = frame({ model, el, name: "training-curves" });
  const keys = "Left and right move over the epochs, up and down over the runs, Enter locks, Escape releases.";
  const canvas = element("canvas", { role: "application", "aria-label": `Training curves. ${keys}` });
  const bar = element("progress", { max: "1", value: "0", "aria-label": "Progress of the training" });
  const barWords = element("span", {});
  const progress = element("div", { class: "cw-progress" }, bar, barWords);
  const legend = element("div", { class: "cw-legend", role: "group", "aria-label": "Runs shown" });
  const heading = element("p", { class: "cw-panel-name" });
  const keysLine = element("p", { class: "cw-panel-name cw-keys" }, "Arrows move, Enter locks, Escape releases");
  const heard = element("p", { class: "cw-heard", "aria-live": "polite" });
  house.root.prepend(progress);
  house.root.append(heard);
  house.stage.append(element("div", { class: "cw-chart" }, heading, canvas, keysLine));

  /** runs[i] is a Map: seed -> Map: epoch -> metrics. */
  let runs = [];
  let received = 0;
  const apply = (entries) => {
    for (const [run, seed, epoch, values] of entries) {
      runs[run] ??= new Map();
      if (!runs[run].has(seed)) runs[run].set(seed, new Map());
      runs[run].get(seed).set(epoch, values);
    }
  };
  const load = () => {
    runs = [];
    apply(model.get("history"));
    apply(model.get("tail"));
    received = runs.reduce((sum, seeds) => sum + [...seeds.values()].reduce((n, epochs) => n + epochs.size, 0), 0);
  };
  const names = () => model.get("runs");
  const shown = () => names().map((_, i) => i).filter((i) => !model.get("hidden_runs").includes(names()[i]));

  /** For one run: [{epoch, mean, low, high, seeds}], epochs in order, gaps left out. */
  const curve = (run) => {
    const values = new Map();
    for (const epochs of (runs[run] ?? new Map()).values()) {
      for (const [epoch, metrics] of epochs) {
        const value = metrics[model.get("metric")];
        if (value === null || value === undefined) continue;
        if (!values.has(epoch)) values.set(epoch, []);
        values.get(epoch).push(value);
      }
    }
    return [...values].sort((a, b) => a[0] - b[0]).map(([epoch, all]) => ({
      epoch, mean: all.reduce((a, b) => a + b, 0) / all.length, low: Math.min(...all), high: Math.max(...all),
      seeds: all.length,
    }));
  };

  const metric = choice({
    label: "Metric", options: [], value: "", onChange: (value) => store(model, { metric: value }),
  });
  house.controls.append(metric.node, legend);

  let curves = [];
  let epochs = [];
  let view = null;
  const base = document.createElement("canvas");
  const focus = focusController({
    canvases: [canvas],
    rows: () => shown().length,
    columns: () => epochs.length,
    locate: (_, x, y) => {
      const visible = shown();
      if (!view || !epochs.length || !visible.length) return null;
      const [px, py] = [x * view.width, y * view.height];
      const gap = (i) => Math.abs(view.x(epochs[i]) - px);
      const column = epochs.reduce((best, _one, i) => (gap(i) < gap(best) ? i : best), 0);
      const far = (row) => {
        const point = curves[visible[row]].find((one) => one.epoch === epochs[column]);
        return point ? Math.abs(view.y(point.mean) - py) : Infinity;
      };
      const row = visible.reduce((best, _one, i) => (far(i) < far(best) ? i : best), 0);
      return [row, column];
    },
    onEdge: () => house.say([...describe(), "Edge."], { again: true }),
    onChange: (query, locked, quiet) => {
      mark(quiet);
      const stored = locked ? query : [];
      if (String(stored) !== String(model.get("query"))) store(model, { query: stored });
    },
  });

  const reading = (run, epoch) => {
    const point = curves[run].find((one) => one.epoch === epoch);
    if (!point) return `${names()[run]} none`;
    const band = point.seeds > 1 ? ` (${number(point.low)} to ${number(point.high)}, ${point.seeds} seeds)` : "";
    return `${names()[run]} ${number(point.mean)}${band}`;
  };
  const latestInWords = () => {
    const ends = shown().filter((run) => curves[run].length)
      .map((run) => `${reading(run, curves[run].at(-1).epoch)} at epoch ${curves[run].at(-1).epoch}`);
    return `Latest ${words(model.get("metric"))}: ${ends.join("; ")}.`;
  };
  const isShown = ([row, column]) => row < shown().length && column < epochs.length;
  const describe = () => {
    if (!epochs.length) return ["No epoch has ended yet."];
    const visible = shown();
    if (!visible.length) return ["Every run is hidden; tick a run."];
    const query = focus.get();
    if (!query || !isShown(query)) return [latestInWords()];
    const what = words(model.get("metric"));
    const epoch = epochs[query[1]];
    const first = visible[query[0]];
    const order = [first, ...visible.filter((run) => run !== first)];
    const hint = focus.hint();
    const where = `Epoch ${epoch} of ${epochs[0]} to ${epochs.at(-1)}`;
    return [`${where}, ${what}: ${order.map((run) => reading(run, epoch)).join("; ")}.`, hint];
  };

  const tell = () => {
    const latest = model.get("latest");
    const total = model.get("total");
    progress.hidden = !latest.run;
    if (!latest.run) return;
    const known = latest.epochs > 0;
    const part = known ? `epoch ${latest.epoch} of ${latest.epochs}` : `epoch ${latest.epoch}`;
    const all = total ? `; ${Math.min(received, total)} of ${total} epochs in all` : "";
    const done = total > 0 && received >= total;
    barWords.textContent = done ? `All ${total} epochs are done.` : `${latest.run}, seed ${latest.seed}: ${part}${all}.`;
    bar.hidden = done || !(total || known);
    bar.max = total || latest.epochs || 1;
    bar.value = Math.min(bar.max, total ? received : latest.epoch);
    bar.setAttribute("aria-valuetext", barWords.textContent);
  };

  const mark = (quiet = false) => {
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(base, 0, 0);
    house.say(describe(), { quiet });
    const query = focus.get();
    if (!query || !view || !isShown(query)) return;
    const epoch = epochs[query[1]];
    context.save();
    context.scale(view.scale, view.scale);
    context.strokeStyle = house.ink(focus.isLocked() ? "ink" : "soft");
    context.lineWidth = focus.isLocked() ? 2 : 1;
    context.setLineDash(focus.isLocked() ? [] : [4, 3]);
    context.beginPath();
    context.moveTo(view.x(epoch), MARGIN.top);
    context.lineTo(view.x(epoch), view.height - MARGIN.bottom);
    context.stroke();
    context.setLineDash([]);
    shown().forEach((run, row) => {
      const point = curves[run].find((one) => one.epoch === epoch);
      if (!point) return;
      context.fillStyle = house.ink(`run-${run % COLOURS}`);
      context.strokeStyle = house.ink("surface");
      context.lineWidth = 2;
      context.beginPath();
      context.arc(view.x(epoch), view.y(point.mean), row === query[0] ? 6 : 4, 0, 2 * Math.PI);
      context.fill();
      context.stroke();
    });
    context.restore();
  };

  const layOut = (cssWidth) => {
    const cssHeight = Math.round(Math.max(220, Math.min(320, cssWidth * 0.45)));
    const { scale } = fit(canvas, cssWidth, cssHeight / cssWidth);
    base.width = canvas.width;
    base.height = canvas.height;
    const latest = model.get("latest");
    const first = epochs.length ? epochs[0] : 0;
    const last = Math.max(latest.epochs ?? 0, epochs.at(-1) ?? 1, first + 1);
    const points = shown().flatMap((run) => curves[run]);
    let low = Math.min(...points.map((one) => one.low));
    let high = Math.max(...points.map((one) => one.high));
    if (!points.length) [low, high] = [0, 1];
    const size = Math.max(Math.abs(low), Math.abs(high));
    const pad = high - low > 1e-9 * size ? (high - low) * 0.06 : size * 0.06 || 0.5;
    const [bottom, top] = [low >= 0 ? Math.max(0, low - pad) : low - pad, high + pad];
    const plotWidth = cssWidth - MARGIN.left - MARGIN.right;
    const plotHeight = cssHeight - MARGIN.top - MARGIN.bottom;
    return {
      width: cssWidth, height: cssHeight, scale, first, last, bottom, top,
      x: (epoch) => MARGIN.left + ((epoch - first) / (last - first)) * plotWidth,
      y: (value) => MARGIN.top + (1 - (value - bottom) / (top - bottom)) * plotHeight,
    };
  };

  const drawAxes = (context) => {
    const { width, height, first, last, bottom, top, x, y } = view;
    context.font = "13px system-ui, sans-serif";
    context.fillStyle = house.ink("soft");
    context.strokeStyle = house.ink("line");
    context.lineWidth = 1;
    context.textBaseline = "middle";
    context.textAlign = "right";
    const rows = ticks(bottom, top, 5);
    for (const value of rows.values) {
      const at = Math.round(y(value)) + 0.5;
      context.beginPath();
      context.moveTo(MARGIN.left, at);
      context.lineTo(width - MARGIN.right, at);
      context.stroke();
      context.fillText(value.toFixed(rows.digits), MARGIN.left - 8, at);
    }
    context.textBaseline = "top";
    context.textAlign = "center";
    const columns = ticks(first, last, Math.min(10, Math.max(2, width / 80)));
    for (const value of columns.values.filter(Number.isInteger)) {
      context.fillText(value, x(value), height - MARGIN.bottom + 6);
    }
    context.fillText("epoch", (MARGIN.left + width - MARGIN.right) / 2, height - 16);
  };

  const drawCurve = (context, run) => {
    const points = curves[run];
    if (!points.length) return;
    const { x, y } = view;
    const colour = house.ink(`run-${run % COLOURS}`);
    context.fillStyle = colour;
    context.strokeStyle = colour;
    context.globalAlpha = 0.18;
    context.beginPath();
    points.forEach((one) => context.lineTo(x(one.epoch), y(one.high)));
    [...points].reverse().forEach((one) => context.lineTo(x(one.epoch), y(one.low)));
    context.fill();
    context.globalAlpha = 1;
    context.lineWidth = 2.5;
    context.lineJoin = "round";
    context.setLineDash(dashOf(run));
    context.beginPath();
    points.forEach((one) => context.lineTo(x(one.epoch), y(one.mean)));
    context.stroke();
    context.setLineDash([]);
    if (points.length === 1) {
      context.beginPath();
      context.arc(x(points[0].epoch), y(points[0].mean), 3, 0, 2 * Math.PI);
      context.fill();
    }
  };

  const draw = (quiet = false) => {
    curves = names().map((_, run) => curve(run));
    epochs = [...new Set(curves.flat().map((one) => one.epoch))].sort((a, b) => a - b);
    const width = Math.floor(canvas.parentElement.clientWidth);
    if (!width) return;
    view = layOut(width);
    const context = base.getContext("2d");
    context.setTransform(view.scale, 0, 0, view.scale, 0, 0);
    context.clearRect(0, 0, view.width, view.height);
    drawAxes(context);
    if (!epochs.length) {
      context.textAlign = "center";
      context.fillText("No epoch has ended yet.", view.width / 2, view.height / 2);
    }
    for (const run of shown()) drawCurve(context, run);
    mark(quiet);
  };

  const list = () => {
    const metrics = model.get("metrics");
    if (metric.input.options.length !== metrics.length) {
      metric.input.replaceChildren(...metrics.map((name) => element("option", { value: name }, words(name))));
    }
    metric.set(model.get("metric"));
    metric.node.hidden = !metrics.length;
    heading.textContent = `${words(model.get("metric"))} (line: mean over seeds; band: lowest to highest seed)`;
    heading.hidden = !metrics.length;
    const hidden = model.get("hidden_runs");
    if (legend.children.length !== names().length) {
      legend.replaceChildren(...names().map((name, i) => {
        const input = element("input", { type: "checkbox" });
        input.addEventListener("change", () => {
          const others = model.get("hidden_runs").filter((one) => one !== name);
          store(model, { hidden_runs: input.checked ? others : [...others, name] });
        });
        return element("span", { class: "cw-control" }, element("label", {}, input, sample(i), name));
      }));
    }
    names().forEach((name, i) => { legend.children[i].querySelector("input").checked = !hidden.includes(name); });
  };

  /** Epochs may come faster than the screen is drawn: one picture serves all that came before it. */
  let planned = 0;
  const plan = () => {
    cancelAnimationFrame(planned);
    planned = requestAnimationFrame(() => {
      load();
      list();
      tell();
      draw(!focus.get());
      const total = model.get("total");
      const done = total > 0 && received >= total;
      if (done) ended = finished ? "" : `All ${total} epochs are done.`;
      finished = done;
      if (ended) announce(`${ended} ${latestInWords()}`);
      ended = "";
    });
  };
  /** Of a training only the ends are heard, the newest first of those that come within 15 seconds of another. */
  let ended = "";
  let finished = model.get("total") > 0 && received >= model.get("total");
  let due = 0;
  let heardAt = -Infinity;
  let line = "";
  const announce = (text) => {
    line = text;
    if (due) return;
    due = setTimeout(() => {
      due = 0;
      heardAt = performance.now();
      heard.textContent = line;
    }, Math.max(0, heardAt + 15000 - performance.now()));
  };
  house.endings.push(() => clearTimeout(due));
  house.listen("latest", () => {
    const { run, seed, epoch, epochs: last } = model.get("latest");
    if (last > 0 && epoch >= last) ended = `${run}, seed ${seed}: all ${last} epochs are done.`;
  });
  const takeQuery = () => {
    const query = model.get("query");
    if (query.length === 2) focus.set(query, true);
    else if (focus.isLocked()) focus.set(null);
  };
  load();
  takeQuery();
  list();
  tell();
  house.listen(["history", "tail", "runs", "metrics", "latest", "total"], plan);
  house.listen(["metric", "hidden_runs"], () => {
    const query = focus.get();
    const epoch = query && epochs[query[1]]; // another metric may have other epochs
    const locked = focus.isLocked();
    list();
    draw();
    if (!query) return;
    const found = query[0] < shown().length && epochs.includes(epoch) ? [query[0], epochs.indexOf(epoch)] : null;
    focus.set(found, locked);
    mark();
    if (locked && String(found ?? []) !== String(model.get("query"))) store(model, { query: found ?? [] });
  });
  house.listen("query", () => {
    takeQuery();
    if (view) mark();
  });
  house.endings.push(() => cancelAnimationFrame(planned));
  house.whenShown(() => draw(true));

  const compose = () => {
    const visible = shown();
    const { scale } = view;
    const sheet = document.createElement("canvas");
    sheet.width = canvas.width + Math.round(32 * scale);
    sheet.height = canvas.height + Math.round((56 + 24 * visible.length) * scale);
    const context = sheet.getContext("2d");
    context.fillStyle = house.ink("surface");
    context.fillRect(0, 0, sheet.width, sheet.height);
    context.scale(scale, scale);
    context.drawImage(canvas, 16, 40, view.width, view.height);
    context.font = "14px system-ui, sans-serif";
    context.fillStyle = house.ink("ink");
    context.textBaseline = "middle";
    context.fillText(heading.textContent, 16, 24);
    visible.forEach((run, i) => {
      const y = view.height + 52 + 24 * i;
      context.strokeStyle = house.ink(`run-${run % COLOURS}`);
      context.lineWidth = 2.5;
      context.setLineDash(dashOf(run));
      context.beginPath();
      context.moveTo(24, y);
      context.lineTo(64, y);
      context.stroke();
      context.fillText(names()[run], 76, y);
    });
    return sheet;
  };
  const code = () => {
    const first = model.get("code") || "from course_utils.widgets import TrainingCurves\n";
    return `${first.trimEnd()}\n\nTrainingCurves(records, metric=${JSON.stringify(model.get("metric"))})\n`;
  };
  house.actions.append(saveButton(house, compose, "training-curves.png"), copyButton(house, code));
  return house.end;
}

export default { render };
