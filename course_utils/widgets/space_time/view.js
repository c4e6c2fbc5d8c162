import { choice, focusController, slider, store } from "../page/bind.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { decode, largest, number, percent, softmax } from "../page/maths.js";
import { fit, outline, paintImage, paintMap } from "../page/paint.js";
import { copyButton, saveButton } from "../page/panels.js";

const TABLE = "magma";
const GAP = 8;
const SIDE = 118; // room for the words beside the strips, where there is room
const NARROW = 620;
const AFTER_RESIDUAL = 4; // the residual about doubles the tokens, so step 2 has its scores divided by 4
const FONT = "system-ui, sans-serif";
const ROWS = [
  { key: "joint", name: "joint", words: "all at once" },
  { key: "time", name: "divided, step 1", words: "over time" },
  { key: "space", name: "divided, step 2", words: "over space" },
  { key: "both", name: "divided, both", words: "step 1, then 2" },
];

/** The product of two token vectors that begin at `i` and `j`. */
function dot(one, i, other, j, width) {
  let sum = 0;
  for (let d = 0; d < width; d++) sum += one[i + d] * other[j + d];
  return sum;
}

/** One clip: its pictures, its tokens, and the weights that any of its queries gives. */
function openClip({ frames, tokens, moving, standing }) {
  const { shape: [count, height, width], values } = decode(frames);
  const { shape: [, places, depth], values: x } = decode(tokens);
  const [, rows, columns] = moving.shape;
  const pictures = Array.from({ length: count }, (_, t) =>
    paintImage({ shape: [height, width], values: values.subarray(t * height * width, (t + 1) * height * width) }));
  const covers = { moving: decode(moving).values, standing: decode(standing).values };

  /** The weights of the query at a frame and a place: one number for every cell of every frame, in each of four maps. */
  const look = (t, s, temperature) => {
    const unit = 1 / (Math.sqrt(depth) * temperature);
    const at = (frameIndex, place) => (frameIndex * places + place) * depth;
    const query = at(t, s);
    const joint = softmax(Float64Array.from({ length: count * places }, (_, i) => dot(x, query, x, i * depth, depth) * unit));
    const time = new Float64Array(count * places);
    const space = new Float64Array(count * places);
    const both = new Float64Array(count * places);
    // Step 1 for every place of the query's frame: step 2 asks what each of them has gathered.
    const alongTime = [];
    const gathered = new Float64Array(places * depth);
    for (let place = 0; place < places; place++) {
      const own = at(t, place);
      const weights = softmax(Float64Array.from({ length: count }, (_, k) => dot(x, own, x, at(k, place), depth) * unit));
      alongTime.push(weights);
      for (let d = 0; d < depth; d++) {
        let sum = x[own + d]; // the residual
        for (let k = 0; k < count; k++) sum += weights[k] * x[at(k, place) + d];
        gathered[place * depth + d] = sum;
      }
    }
    for (let k = 0; k < count; k++) time[k * places + s] = alongTime[s][k];
    const inFrame = softmax(Float64Array.from({ length: places }, (_, place) =>
      (dot(gathered, s * depth, gathered, place * depth, depth) * unit) / AFTER_RESIDUAL));
    for (let place = 0; place < places; place++) {
      space[t * places + place] = inFrame[place];
      for (let k = 0; k < count; k++) both[k * places + place] = inFrame[place] * alongTime[place][k];
    }
    return { joint, time, space, both };
  };
  return { count, height, width, rows, columns, places, pictures, covers, look };
}

function render({ model, el }) {
  const house = frame({ model, el, name: "space-time" });
  const opened = new WeakMap();
  const clipNow = () => {
    const clips = model.get("clips");
    const json = clips[Math.min(model.get("clip"), clips.length - 1)];
    if (!opened.has(json)) opened.set(json, openClip(json));
    return opened.get(json);
  };

  const clipChoice = choice({
    label: "Clip",
    options: model.get("clips").map(({ label }, i) => [i, label]),
    value: model.get("clip"),
    onChange: (value) => store(model, { clip: Number(value) }),
  });
  const frameSlider = slider({
    label: "Frame of the query", min: 0, max: clipNow().count - 1, step: 1, value: 0, show: String,
    onInput: (t) => {
      const { columns } = clipNow();
      const [row, column] = focus.get() ?? home();
      focus.set([row, t * columns + (column % columns)], true);
      keep();
      show();
    },
  });
  const warmth = slider({
    label: "Temperature", min: 0.25, max: 4, step: 0.05, value: model.get("temperature"), show: (v) => v.toFixed(2),
    onInput: (temperature) => store(model, { temperature }),
  });
  const span = choice({
    label: "Colour range",
    options: [["own", "each row its own"], ["shared", "one for all rows"]],
    value: model.get("own_range") ? "own" : "shared",
    onChange: (value) => store(model, { own_range: value === "own" }),
  });
  house.controls.append(clipChoice.node, frameSlider.node, warmth.node, span.node);

  const canvas = element("canvas", {
    role: "application",
    "aria-label": "The clip's frames in a row, and below each the weights of the query. Arrow keys move the query over "
      + "the cells, across frames too; Enter locks, Escape releases.",
  });
  const keys = element("p", { class: "cw-panel-name cw-keys" },
    "Point at a cell of any frame: it is the query. Grey: not looked at in this step. Arrows move, also into the next frame; "
    + "Enter locks, Escape releases");
  const holder = element("div", { class: "cw-chart" }, canvas, keys);
  house.stage.append(holder);

  let layout = null;
  const measure = () => {
    const { count, height, width } = clipNow();
    const across = Math.max(200, holder.clientWidth);
    const left = across < NARROW ? 0 : SIDE;
    const words = left ? 0 : 18;
    const side = Math.floor((across - left - GAP * (count - 1)) / count);
    const tall = Math.round((side * height) / width);
    const step = tall + words + GAP;
    return { across, left, words, side, tall, step, height: 20 + (ROWS.length + 1) * step - GAP };
  };
  const boxOf = (line, t) => [layout.left + t * (layout.side + GAP), 20 + line * layout.step + layout.words];

  /** Where nothing is in focus: the middle of what moves, in the middle frame. */
  const home = () => {
    const { count, places, columns, covers: { moving } } = clipNow();
    const t = Math.floor((count - 1) / 2);
    let [sum, row, column] = [0, 0, 0];
    for (let s = 0; s < places; s++) {
      const part = moving[t * places + s];
      sum += part;
      row += part * Math.floor(s / columns);
      column += part * (s % columns);
    }
    return sum ? [Math.round(row / sum), t * columns + Math.round(column / sum)] : [0, t * columns];
  };
  const focus = focusController({
    canvases: [canvas],
    rows: () => clipNow().rows,
    columns: () => clipNow().columns * clipNow().count,
    locate: (_, x, y) => {
      const { count, rows, columns } = clipNow();
      const [left, top] = [x * layout.across - layout.left, y * layout.height - 20];
      const t = Math.floor(left / (layout.side + GAP));
      const line = Math.floor(top / layout.step);
      const [inX, inY] = [left - t * (layout.side + GAP), top - line * layout.step - layout.words];
      if (t < 0 || t >= count || line < 0 || line > ROWS.length) return null;
      if (inX < 0 || inX >= layout.side || inY < 0 || inY >= layout.tall) return null;
      return [Math.floor((inY * rows) / layout.tall), t * columns + Math.floor((inX * columns) / layout.side)];
    },
    start: home,
    onEdge: () => house.say([...describe(), "Edge."], { again: true }),
    onChange: (_, __, quiet) => {
      keep();
      show(quiet);
    },
  });
  const keep = () => {
    const { columns } = clipNow();
    const query = focus.get();
    const stored = focus.isLocked() ? [Math.floor(query[1] / columns), query[0], query[1] % columns] : [];
    if (String(stored) !== String(model.get("query"))) store(model, { query: stored });
  };

  /** The query shown: the one in focus, else the one where the keys begin. */
  const queryNow = () => {
    const { columns } = clipNow();
    const [row, column] = focus.get() ?? home();
    return { t: Math.floor(column / columns), row, column: column % columns, s: row * columns + (column % columns) };
  };
  let seen = null;
  const lookNow = () => {
    const clip = clipNow();
    const { t, s } = queryNow();
    const temperature = model.get("temperature");
    const name = `${t},${s},${temperature}`;
    if (!seen || seen.clip !== clip || seen.name !== name) seen = { clip, name, maps: clip.look(t, s, temperature) };
    return seen.maps;
  };
  const highs = () => {
    const maps = lookNow();
    const tops = ROWS.map(({ key }) => maps[key][largest(maps[key])]);
    return model.get("own_range") ? tops : tops.map(() => Math.max(...tops));
  };

  let base = null;
  /** What does not change with the query: the frames and the words. */
  const paintBase = () => {
    const clip = clipNow();
    layout = measure();
    const { scale } = fit(canvas, layout.across, layout.height / layout.across);
    base = document.createElement("canvas");
    base.width = canvas.width;
    base.height = canvas.height;
    const context = base.getContext("2d");
    context.scale(scale, scale);
    context.imageSmoothingEnabled = false;
    context.font = `13px ${FONT}`;
    context.textAlign = "center";
    context.textBaseline = "alphabetic";
    context.fillStyle = house.ink("soft");
    for (let t = 0; t < clip.count; t++) {
      const [x, y] = boxOf(0, t);
      context.fillText(`frame ${t}`, x + layout.side / 2, 13);
      context.drawImage(clip.pictures[t], x, y, layout.side, layout.tall);
    }
    context.fillStyle = house.ink("line");
    for (let line = 1; line <= ROWS.length; line++) {
      for (let t = 0; t < clip.count; t++) context.fillRect(...boxOf(line, t), layout.side, layout.tall);
    }
    sayBeside(context, 0, "the clip", "", "");
  };
  const sayBeside = (context, line, name, words, range) => {
    const [, y] = boxOf(line, 0);
    context.textAlign = "left";
    context.fillStyle = house.ink("ink");
    if (!layout.left) {
      context.font = `600 13px ${FONT}`;
      context.fillText([name, range].filter(Boolean).join(", "), 0, y - 5);
      return;
    }
    context.font = `600 13px ${FONT}`;
    context.fillText(name, 0, y + 16);
    context.font = `13px ${FONT}`;
    context.fillStyle = house.ink("soft");
    context.fillText(words, 0, y + 35);
    context.fillText(range, 0, y + 54);
  };

  const show = (quiet = false) => {
    if (!base) return;
    const clip = clipNow();
    const { rows, columns, count } = clip;
    const { t, row, column } = queryNow();
    const maps = lookNow();
    const tops = highs();
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(base, 0, 0);
    const scale = canvas.width / layout.across;
    context.scale(scale, scale);
    context.imageSmoothingEnabled = false;
    ROWS.forEach(({ key, name, words }, i) => {
      const range = { table: TABLE, low: 0, high: tops[i] };
      const painted = paintMap(maps[key], count * rows, columns, range); // each frame below the one before
      const [wide, high] = [layout.side / columns, layout.tall / rows];
      for (let k = 0; k < count; k++) {
        const [x, y] = boxOf(i + 1, k);
        if (key === "space" && k !== t) continue;
        if (key === "time") {
          context.drawImage(painted, column, k * rows + row, 1, 1, x + column * wide, y + row * high, wide, high);
        } else context.drawImage(painted, 0, k * rows, columns, rows, x, y, layout.side, layout.tall);
      }
      sayBeside(context, i + 1, name, words, `0 to ${percent(tops[i])}`);
    });
    context.setTransform(1, 0, 0, 1, 0, 0);
    for (let line = 0; line <= ROWS.length; line++) {
      const [x, y] = boxOf(line, t);
      const [wide, high] = [layout.side / columns, layout.tall / rows];
      outline(context, (x + column * wide - 2) * scale, (y + row * high - 2) * scale, (wide + 4) * scale,
        (high + 4) * scale, scale, focus.isLocked());
    }
    frameSlider.set(t);
    canvas.dataset.weights = ROWS.map(({ key }) => {
      const best = largest(maps[key]);
      return `${key} ${best} ${maps[key][best].toPrecision(6)}`;
    }).join(";");
    house.say(describe(), { quiet });
  };

  const describe = () => {
    const { count, places, columns, covers } = clipNow();
    const { t, row, column, s } = queryNow();
    const maps = lookNow();
    const me = t * places + s;
    const on = covers.moving[me] >= 128 ? "moving" : covers.standing[me] >= 128 ? "standing" : "";
    /** The weight in other frames: all of it, and that on the digit which the query stands on. */
    const elsewhere = (weights) => {
      let [all, same] = [0, 0];
      for (let i = 0; i < count * places; i++) {
        if (Math.floor(i / places) === t) continue;
        all += weights[i];
        if (on) same += (weights[i] * covers[on][i]) / 255;
      }
      return on ? `${percent(all)} (${percent(same)} on this digit)` : percent(all);
    };
    const strongest = (weights) => {
      if (weights.length === 1) return "no other cell";
      let best = me === 0 ? 1 : 0;
      weights.forEach((weight, i) => { if (i !== me && weight > weights[best]) best = i; });
      const place = best % places;
      return `frame ${Math.floor(best / places)}, row ${Math.floor(place / columns)}, column ${place % columns} with `
        + percent(weights[best]);
    };
    const where = on ? `on the digit that ${on === "moving" ? "moves" : "stands still"}` : "on the background";
    return [
      `Query: frame ${t}, row ${row}, column ${column}, ${where}.`,
      `Weight in other frames: joint ${elsewhere(maps.joint)}, over time ${elsewhere(maps.time)}, both steps `
        + `${elsewhere(maps.both)}.`,
      `Strongest besides itself: joint ${strongest(maps.joint)}; over time ${strongest(maps.time)}; over space `
        + `${strongest(maps.space)}.`,
      focus.hint(),
    ];
  };

  const takeQuery = () => {
    const query = model.get("query");
    const { columns } = clipNow();
    if (query.length) focus.set([query[1], query[0] * columns + query[2]], true);
    else if (focus.isLocked()) focus.set(null);
  };
  const redraw = () => {
    clipChoice.set(model.get("clip"));
    warmth.set(model.get("temperature"));
    span.set(model.get("own_range") ? "own" : "shared");
    if (holder.clientWidth > 0) {
      paintBase();
      show();
    }
  };
  takeQuery();
  house.listen(["clips", "clip"], () => {
    takeQuery();
    redraw();
  });
  house.listen(["temperature", "own_range"], redraw);
  house.listen("query", () => {
    takeQuery();
    show();
  });
  house.whenShown(redraw);

  const compose = () => {
    const scale = canvas.width / layout.across;
    const sheet = document.createElement("canvas");
    sheet.width = canvas.width + 32 * scale;
    sheet.height = canvas.height + 40 * scale;
    const context = sheet.getContext("2d");
    context.fillStyle = house.ink("surface");
    context.fillRect(0, 0, sheet.width, sheet.height);
    context.drawImage(canvas, 16 * scale, 8 * scale);
    context.scale(scale, scale);
    context.fillStyle = house.ink("ink");
    context.font = `13px ${FONT}`;
    const { t, row, column } = queryNow();
    context.fillText(`Query: frame ${t}, row ${row}, column ${column}; temperature ${number(model.get("temperature"))}`,
      16, layout.height + 28);
    return sheet;
  };
  const code = () => {
    const clips = model.get("clips");
    const { columns } = clipNow();
    const { t, row, column } = queryNow();
    return [
      model.get("code"),
      clips[Math.min(model.get("clip"), clips.length - 1)].code,
      "",
      `joint = identity_attention(tokens.shape[-1], "joint", temperature=${number(model.get("temperature"))})`,
      `divided = identity_attention(tokens.shape[-1], "divided", temperature=${number(model.get("temperature"))})`,
      `frame, place = ${t}, ${row} * ${columns} + ${column}  # the query`,
      "with torch.no_grad():",
      "    all_at_once = joint.mask(tokens)[0, 0, frame * tokens.shape[2] + place].view(tokens.shape[1:3])  # (T, S)",
      "    temporal, spatial = divided.mask(tokens)",
      "over_time = temporal[0, place, 0, frame]  # (T,)",
      "over_space = spatial[0, frame, 0, place]  # (S,)",
      "both = over_space * temporal[0, :, 0, frame].T  # (T, S)",
      "",
    ].join("\n");
  };
  house.actions.append(saveButton(house, compose, "space-time.png"), copyButton(house, code));
  return house.end;
}

export default { render };
