import { bindFocus, choice, slider, store, toggle } from "../page/bind.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { decode, number, percent, resample } from "../page/maths.js";
import { blend, fit, mapPicture, markCell, paintImage, regionPath } from "../page/paint.js";
import { copyButton, saveButton, scaleBar } from "../page/panels.js";

const TABLE = "magma";

/** Least and largest of some values. */
function ends(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** What reaches the threshold, the share of its mass on the place, and its overlap with the place. */
function judge(large, place, threshold) {
  const [low, high] = ends(large);
  const kept = new Uint8Array(large.length);
  let mass = 0;
  let onPlace = 0;
  let both = 0;
  let either = 0;
  for (let i = 0; i < large.length; i++) {
    kept[i] = large[i] - low >= threshold * (high - low) ? 1 : 0;
    if (kept[i]) mass += large[i];
    if (kept[i] && place[i]) onPlace += large[i];
    const here = kept[i] && high > low;
    if (here && place[i]) both++;
    if (here || place[i]) either++;
  }
  return { kept, share: mass > 0 ? onPlace / mass : 0, overlap: either > 0 ? both / either : 0 };
}

function stroke(context, path, scale, dark, light) {
  context.save();
  context.lineCap = "square";
  for (const [colour, thickness] of [[dark, 4], [light, 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = thickness * scale;
    context.stroke(path);
  }
  context.restore();
}

function render({ model, el }) {
  const house = frame({ model, el, name: "gate-maps" });
  const pictures = decode(model.get("pictures"));
  const places = decode(model.get("places"));
  const [, height, width] = places.shape;
  const epochs = model.get("epochs");
  const stages = model.get("stages");
  const networks = model.get("series").map((one) => ({ ...one, maps: one.maps.map(decode) }));

  const indexOf = (name, count) => Math.min(model.get(name), count - 1);
  const shown = () => ({
    image: indexOf("image", places.shape[0]), stage: indexOf("stage", stages.length), epoch: indexOf("epoch", epochs.length),
  });
  const sizeOf = (stage) => networks[0].maps[stage].shape.slice(2);
  const mapOf = (network, { image, stage, epoch }) => {
    const { shape: [, many, rows, columns], values } = network.maps[stage];
    const start = (epoch * many + image) * rows * columns;
    return { rows, columns, values: values.subarray(start, start + rows * columns) };
  };

  const keys = "Arrow keys move over the map, Enter locks, Escape releases.";
  const panels = networks.map((network, k) => {
    const over = element("canvas", k === 0
      ? { role: "application", "aria-label": `${network.title}: its map over the image. ${keys}` }
      : { role: "img", "aria-label": `${network.title}: its map over the image` });
    const alone = element("canvas", { role: "img", "aria-label": `${network.title}: its map alone` });
    const scale = scaleBar("Weight");
    scale.node.style.width = "100%";
    const figures = element("p", { class: "cw-panel-name" });
    const node = element(
      "div", { class: "cw-panel", "data-network": String(k) },
      element("p", { class: "cw-panel-name" }, network.title), over, figures, alone, scale.node,
    );
    node.style.maxWidth = "280px";
    alone.style.marginTop = "8px";
    scale.node.style.marginTop = "4px";
    return { node, network, over, alone, scale, figures, base: [document.createElement("canvas"), document.createElement("canvas")] };
  });
  house.stage.append(...panels.map((panel) => panel.node));
  Object.assign(house.stage.style, {
    display: "grid", gap: "12px", gridTemplateColumns: "repeat(auto-fit, minmax(128px, 1fr))",
  });
  const legend = element("p", { class: "cw-panel-name" }, "Yellow: the answer's place. White: what reaches the threshold.");
  house.stage.after(legend);
  legend.style.marginTop = "8px";

  const pick = choice({
    label: "Picture", options: model.get("names").map((name, i) => [i, name]), value: model.get("image"),
    onChange: (value) => store(model, { image: Number(value) }),
  });
  const stagePick = choice({
    label: "Stage", options: stages.map((name, i) => [i, `${name}, ${sizeOf(i).join(" x ")}`]), value: model.get("stage"),
    onChange: (value) => store(model, { stage: Number(value) }),
  });
  const epochPick = choice({
    label: "After epoch", options: epochs.map((epoch, i) => [i, epoch]), value: model.get("epoch"),
    onChange: (value) => store(model, { epoch: Number(value) }),
  });
  const threshold = slider({
    label: "Threshold", min: 0, max: 1, step: 0.01, value: model.get("threshold"), show: (v) => v.toFixed(2),
    onInput: (value) => store(model, { threshold: value }),
  });
  const opacity = slider({
    label: "Opacity", min: 0, max: 1, step: 0.01, value: model.get("opacity"), show: (v) => `${Math.round(100 * v)} %`,
    onInput: (value) => store(model, { opacity: value }),
  });
  const span = toggle({
    label: "Each map its own colours", value: model.get("own_range"), onChange: (on) => store(model, { own_range: on }),
  });
  pick.node.hidden = places.shape[0] < 2;
  stagePick.node.hidden = stages.length < 2;
  epochPick.node.hidden = epochs.length < 2;
  house.controls.append(pick.node, stagePick.node, epochPick.node, threshold.node, opacity.node, span.node);

  const focus = bindFocus({
    model,
    house,
    describe: () => describe(),
    canvases: panels.flatMap((panel) => [panel.over, panel.alone]),
    rows: () => sizeOf(shown().stage)[0],
    columns: () => sizeOf(shown().stage)[1],
    onChange: (_, __, quiet) => mark(quiet),
  });

  const describe = () => {
    const now = shown();
    const where = `${stages[now.stage]}, after epoch ${epochs[now.epoch]}`;
    const query = focus.get();
    if (query) {
      const values = panels.map(({ network }) => {
        const map = mapOf(network, now);
        return `${network.title} ${number(map.values[query[0] * map.columns + query[1]])}`;
      });
      return [`${where}, row ${query[0]}, column ${query[1]}: ${values.join("; ")}.`, focus.hint()];
    }
    const words = panels.map(({ network, found }) =>
      `${network.title}: ${percent(found.share)} of what reaches it on the answer, IoU ${found.overlap.toFixed(2)}`);
    return [`${where}, threshold ${model.get("threshold").toFixed(2)}.`, `${words.join("; ")}.`];
  };

  /** Share and overlap of every panel; the enlarged map is kept until another one is shown. */
  const weigh = () => {
    const now = shown();
    const place = places.values.subarray(now.image * height * width, (now.image + 1) * height * width);
    for (const panel of panels) {
      const key = `${now.image} ${now.stage} ${now.epoch}`;
      if (panel.key !== key) {
        const { values, rows, columns } = mapOf(panel.network, now);
        panel.large = resample(values, rows, columns, height, width);
        panel.key = key;
      }
      panel.found = judge(panel.large, place, model.get("threshold"));
      panel.node.dataset.share = String(panel.found.share);
      panel.node.dataset.iou = String(panel.found.overlap);
      const answer = panel.network.answers[now.epoch]?.[now.image];
      const words = [`share ${percent(panel.found.share)}`, `IoU ${panel.found.overlap.toFixed(2)}`];
      panel.figures.replaceChildren(words.join(", "), ...(answer ? [element("br"), `says ${answer}`] : []));
    }
    return place;
  };

  const rangeOf = (network, now) => {
    const { values } = model.get("own_range") ? mapOf(network, now) : network.maps[now.stage];
    const [low, high] = ends(values);
    const start = model.get("own_range") ? low : 0;
    return { table: TABLE, low: start, high: high > start ? high : start + 1 };
  };

  const mark = (quiet = false) => {
    const query = focus.get();
    const grid = sizeOf(shown().stage);
    for (const { over, alone, base } of panels) {
      [over, alone].forEach((canvas, i) => markCell(canvas, base[i], grid, query, focus.isLocked()));
    }
    house.say(describe(), { quiet });
  };

  const draw = () => {
    const now = shown();
    const place = weigh();
    const size = 3 * height * width;
    const picture = paintImage({
      shape: [height, width, 3], values: pictures.values.subarray(now.image * size, (now.image + 1) * size),
    });
    for (const panel of panels) {
      const { over, alone, base, network, scale } = panel;
      const map = mapOf(network, now);
      const range = rangeOf(network, now);
      [over, alone].forEach((canvas, i) => {
        const box = fit(canvas, Math.floor(panel.node.clientWidth), height / width);
        Object.assign(base[i], { width: box.width, height: box.height });
        const context = base[i].getContext("2d");
        const whole = [0, 0, box.width, box.height];
        if (i === 0) {
          context.imageSmoothingEnabled = false;
          context.drawImage(picture, ...whole);
        }
        const layer = mapPicture(map.values, map.rows, map.columns, box.height, box.width, { ...range, smooth: i === 0 });
        blend(context, layer, whole, i === 0 ? model.get("opacity") : 1);
        stroke(context, regionPath(place, height, width, box.height, box.width), box.scale, "#000", "#ffd43b");
        if (i === 0) {
          const path = regionPath(panel.found.kept, height, width, box.height, box.width);
          stroke(context, path, box.scale / 2, "#000", "#fff");
        }
      });
      scale.set(range);
    }
    mark();
  };

  const refresh = () => {
    const now = shown();
    pick.set(now.image);
    stagePick.set(now.stage);
    epochPick.set(now.epoch);
    threshold.set(model.get("threshold"));
    opacity.set(model.get("opacity"));
    span.set(model.get("own_range"));
    if (house.root.clientWidth > 0) draw();
  };
  focus.take();
  house.listen(["image", "epoch", "threshold", "opacity", "own_range"], refresh);
  house.listen("stage", () => {
    focus.set(null);
    if (model.get("query").length) store(model, { query: [] });
    refresh();
  });
  house.listen("query", () => {
    focus.take();
    if (house.root.clientWidth > 0) mark();
  });
  house.whenShown(refresh);

  const compose = () => {
    const scale = panels[0].over.width / parseFloat(panels[0].over.style.width);
    const [gap, line] = [12 * scale, 18 * scale];
    const across = panels[0].over.width;
    const down = panels[0].over.height;
    const sheet = element("canvas", {
      width: Math.round(panels.length * (across + gap) + gap), height: Math.round(2 * down + 4 * gap + 5 * line),
    });
    const context = sheet.getContext("2d");
    context.fillStyle = house.ink("surface");
    context.fillRect(0, 0, sheet.width, sheet.height);
    context.fillStyle = house.ink("ink");
    context.textBaseline = "top";
    context.font = `${13 * scale}px system-ui, sans-serif`;
    const now = shown();
    const top = gap + line;
    context.fillText(`${stages[now.stage]}, after epoch ${epochs[now.epoch]}, threshold ${model.get("threshold").toFixed(2)}`, gap, gap / 2);
    panels.forEach(({ network, over, alone, scale: bar, found }, k) => {
      const left = gap + k * (across + gap);
      context.fillText(network.title, left, top, across);
      context.drawImage(over, left, top + line);
      context.fillText(`share ${percent(found.share)}, IoU ${found.overlap.toFixed(2)}`, left, top + 2 * gap + down + line / 2, across);
      context.drawImage(alone, left, top + 2 * line + down + gap);
      const range = rangeOf(network, now);
      const foot = top + 2 * line + 2 * down + 1.5 * gap;
      context.drawImage(bar.canvas, left, foot, across, gap);
      context.fillText(`${number(range.low)} to ${number(range.high)}`, left, foot + 1.2 * gap, across);
    });
    return sheet;
  };
  const code = () => {
    const first = model.get("code") || "from course_utils.widgets import GateMaps\n\nwidget = GateMaps(images, places, series, epochs, stages)";
    const now = shown();
    const lines = [
      ["image", now.image], ["stage", now.stage], ["epoch", now.epoch], ["threshold", number(model.get("threshold"))],
      ["opacity", number(model.get("opacity"))], ["own_range", model.get("own_range") ? "True" : "False"],
      ["query", `[${model.get("query").join(", ")}]`],
    ].map(([name, value]) => `widget.${name} = ${value}`);
    return `${first.trimEnd()}\n${lines.join("\n")}\nwidget\n`;
  };
  house.actions.append(saveButton(house, compose, "gate-maps.png"), copyButton(house, code));
  return house.end;
}

export default { render };
