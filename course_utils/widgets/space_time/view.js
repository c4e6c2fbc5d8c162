import { choice, keyWords, slider, store, toggle, traitControls } from "../page/bind.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { cellOf, decode, dot, largest, number, once, percent, placeInWords, softmax, sumOf } from "../page/maths.js";
import { easel, fitPanel, frameCell, layPicture, outline, paintImage, paintMap, writeText } from "../page/paint.js";
import { instrument, note, pointPanel } from "../page/panels.js";
import { bindView } from "../page/pointing.js";

const TABLE = "magma";
const GAP = 8;
const LINE = 18; // room for the words above a row of panels
const LEAST = 340; // height of the query's frame on a phone: the film below it stays in view
const AFTER_RESIDUAL = 4; // the residual about doubles the tokens, so step 2 has its scores divided by 4
const ROWS = [
  { key: "joint", name: "Joint: all at once" },
  { key: "time", name: "Divided, step 1: over time" },
  { key: "space", name: "Divided, step 2: over space" },
  { key: "both", name: "Divided, both steps" },
];

/** One clip: its pictures, its tokens, and the weights that any of its queries gives. */
function openClip({ frames, tokens, moving, standing }) {
  const { shape: [count, height, width], values } = decode(frames);
  const { shape: [, places, depth], values: x } = decode(tokens);
  const [, rows, columns] = moving.shape;
  const size = height * width;
  const pictures = Array.from({ length: count }, (_, t) =>
    paintImage({ shape: [height, width], values: values.subarray(t * size, (t + 1) * size) }));
  const covers = { moving: decode(moving).values, standing: decode(standing).values };
  const at = (t, place) => (t * places + place) * depth;

  /** Step 1 for every place of a frame, and what each has gathered by it: step 2 compares that. */
  const overTime = (t, unit) => {
    const gathered = new Float64Array(places * depth);
    const weights = Array.from({ length: places }, (_, place) => {
      const score = (k) => dot(x, x, depth, at(t, place), at(k, place)) * unit;
      const own = softmax(Float64Array.from({ length: count }, (__, k) => score(k)));
      for (let d = 0; d < depth; d++) {
        let sum = x[at(t, place) + d]; // the residual
        for (let k = 0; k < count; k++) sum += own[k] * x[at(k, place) + d];
        gathered[place * depth + d] = sum;
      }
      return own;
    });
    return { weights, gathered };
  };
  /** The weights of the query at a frame and a place: a number for every cell of every frame, in each of four maps. */
  const look = (t, s, temperature) => {
    const unit = 1 / (Math.sqrt(depth) * temperature);
    const every = { length: count * places };
    const each = (value) => Float64Array.from(every, (_, i) => value(...cellOf(i, places)));
    const joint = softmax(each((k, place) => dot(x, x, depth, at(t, s), at(k, place)) * unit));
    const { weights, gathered } = overTime(t, unit);
    const inFrame = softmax(Float64Array.from({ length: places }, (_, place) =>
      (dot(gathered, gathered, depth, s * depth, place * depth) * unit) / AFTER_RESIDUAL));
    return {
      joint,
      time: each((k, place) => (place === s ? weights[s][k] : 0)),
      space: each((k, place) => (k === t ? inFrame[place] : 0)),
      both: each((k, place) => inFrame[place] * weights[place][k]),
    };
  };
  return { count, ratio: height / width, rows, columns, places, pictures, covers, look };
}

/** Where nothing is in focus: the middle of what moves in frame `t`, [row, column + t * columns]. */
function home({ places, columns, covers: { moving } }, t) {
  const parts = moving.subarray(t * places, (t + 1) * places);
  const whole = sumOf(parts);
  const middle = [0, 1].map((axis) =>
    Math.round(parts.reduce((sum, part, s) => sum + part * cellOf(s, columns)[axis], 0) / (whole || 1)));
  return [middle[0], t * columns + middle[1]];
}

/** The weight of a map in other frames: all of it, and that on the digit which the query stands on, if on one. */
function elsewhere({ count, places, covers }, weights, { t, s }) {
  const me = t * places + s;
  const on = covers.moving[me] >= 128 ? "moving" : covers.standing[me] >= 128 ? "standing" : "";
  let [all, same] = [0, 0];
  for (let i = 0; i < count * places; i++) {
    if (Math.floor(i / places) === t) continue;
    all += weights[i];
    if (on) same += (weights[i] * covers[on][i]) / 255;
  }
  return { on, all, same };
}

/** The clip's frames in a row, and below them a row of panels for each of the four maps. */
function filmStrip(house) {
  const canvas = element("canvas", {
    role: "img", "aria-label": "The clip's frames in a row, and below each the weights of the query, joint and divided",
  });
  const node = element("div", {}, canvas, note("Grey: not looked at in this step.", "cw-keys"));
  let layout = null;
  const boxOf = (line, t) => [t * (layout.side + GAP), line * layout.step + LINE, layout.side, layout.tall];
  const layOut = ({ count, ratio }) => {
    const across = Math.max(200, node.clientWidth);
    const side = Math.floor((across - GAP * (count - 1)) / count);
    const tall = Math.round(side * ratio);
    const step = LINE + tall + GAP;
    layout = { across, side, tall, step, height: (ROWS.length + 1) * step - GAP };
  };
  const drawRow = (context, line, key, map, { rows, columns, count }, { t, row, column }, top) => {
    const painted = paintMap(map, count * rows, columns, { table: TABLE, low: 0, high: top }); // frame below frame
    const [wide, high] = [layout.side / columns, layout.tall / rows];
    for (let k = 0; k < count; k++) {
      const [x, y, ...size] = boxOf(line, k);
      context.fillRect(x, y, ...size);
      if (key === "space" && k !== t) continue;
      if (key === "time") {
        context.drawImage(painted, column, k * rows + row, 1, 1, x + column * wide, y + row * high, wide, high);
      } else context.drawImage(painted, 0, k * rows, columns, rows, x, y, ...size);
    }
  };
  const draw = (clip, maps, query, ownRange, pinned) => {
    layOut(clip);
    const tops = ROWS.map(({ key }) => maps[key][largest(maps[key])]);
    const context = easel(canvas, layout.across, layout.height);
    const [wide, high] = [layout.side / clip.columns, layout.tall / clip.rows];
    context.imageSmoothingEnabled = false;
    const style = { size: 13, line: "alphabetic" };
    clip.pictures.forEach((picture, t) => {
      const [x, y, ...size] = boxOf(0, t);
      const words = layout.side < 60 ? t + 1 : `frame ${t + 1}`;
      writeText(context, words, x + layout.side / 2, y - 5, { ...style, align: "center", ink: house.ink("soft") });
      context.drawImage(picture, x, y, ...size);
    });
    ROWS.forEach(({ key, name }, i) => {
      const top = ownRange ? tops[i] : Math.max(...tops);
      const others = `${percent(elsewhere(clip, maps[key], query).all)} in other frames`;
      const words = `${name} · ${others} · bright: ${percent(top)}`;
      writeText(context, words, 0, boxOf(i + 1, 0)[1] - 5, { ...style, ink: house.ink("ink"), most: layout.across });
      context.fillStyle = house.ink("line");
      drawRow(context, i + 1, key, maps[key], clip, query, top);
    });
    for (let line = 0; line <= ROWS.length; line++) {
      const [x, y] = boxOf(line, query.t);
      outline(context, x + query.column * wide - 2, y + query.row * high - 2, wide + 4, high + 4, 1, pinned);
    }
    canvas.dataset.weights = ROWS.map(({ key }, i) =>
      `${key} ${largest(maps[key])} ${tops[i].toPrecision(6)}`).join(";");
  };
  /** The cell below a place (0 to 1), in any row of panels. */
  const locate = ({ count, rows, columns }, x, y) => {
    const [left, top] = [x * layout.across, y * layout.height];
    const [t, line] = [Math.floor(left / (layout.side + GAP)), Math.floor(top / layout.step)];
    const [inX, inY] = [left - t * (layout.side + GAP), top - line * layout.step - LINE];
    if (t < 0 || t >= count || line < 0 || inX < 0 || inX >= layout.side || inY < 0 || inY >= layout.tall) return null;
    return [Math.floor((inY * rows) / layout.tall), t * columns + Math.floor((inX * columns) / layout.side)];
  };
  return { node, canvas, draw, locate };
}

function describe(clip, maps, query, hint) {
  const { places, columns } = clip;
  const me = query.t * places + query.s;
  const { on } = elsewhere(clip, maps.joint, query);
  const given = (key, words, who = "") => {
    const { all, same } = elsewhere(clip, maps[key], query);
    return `${percent(all)} ${words}${on ? ` (${who}${percent(same)})` : ""}`;
  };
  const strongest = (weights) => {
    const best = largest(weights.map((weight, i) => (i === me ? -1 : weight)));
    const [frameOf, place] = cellOf(best, places);
    return `frame ${frameOf + 1}, ${placeInWords(cellOf(place, columns))} with ${percent(weights[best])}`;
  };
  const where = on ? `on the digit that ${on === "moving" ? "moves" : "stands still"}` : "on the background";
  return [
    `Query: frame ${query.t + 1}, ${placeInWords([query.row, query.column])}, ${where}.`,
    { aside: `Of its weight other frames get ${given("joint", "in joint attention", "this digit: ")}, `
      + `${given("time", "in step 1")}, ${given("both", "through both steps")}.` },
    hint,
    { heard: `Strongest besides itself: joint ${strongest(maps.joint)}; over time ${strongest(maps.time)}; over space `
      + `${strongest(maps.space)}.` },
  ];
}

function render({ model, el }) {
  const house = frame({ model, el, name: "space-time" });
  const open = once(openClip);
  const clipNow = () => open(model.get("clips")[model.get("clip")]);
  let maps = null; // of the query shown
  const main = pointPanel(`The query's frame. ${keyWords()}`);
  const film = filmStrip(house);
  /** The query as the trait holds it, of the place in the row of frames where the keys walk. */
  const toTrait = ([row, column]) => [Math.floor(column / clipNow().columns), row, column % clipNow().columns];
  /** The query shown: the one in focus, else the one where the keys begin. */
  const queryOf = (focus) => {
    const [t, row, column] = toTrait(focus.get() ?? home(clipNow(), model.get("frame")));
    return { t, row, column, s: row * clipNow().columns + column };
  };
  const { controls, nodes, refresh } = traitControls(model, {
    frame: [slider, {
      label: "Frame of the query", min: 0, max: clipNow().count - 1, step: 1, show: (t) => String(t + 1),
      onInput(t) {
        const place = view.get();
        if (place) view.set([place[0], t * clipNow().columns + (place[1] % clipNow().columns)], view.isPinned());
        store(model, { frame: t, ...(view.isPinned() ? { query: toTrait(view.get()) } : {}) });
      },
    }],
    clip: [choice, { label: "Clip", options: model.get("clips").map(({ label }, i) => [i, label]), write: Number }],
    temperature: [slider, {
      label: "Temperature", min: 0.25, max: 4, step: 0.05, show: (value) => value.toFixed(2),
    }],
    own_range: [toggle, { label: "Each row in its own colours" }],
  });
  instrument(house, main.node, film.node);
  house.controls.append(...nodes);
  const view = bindView({
    model, house, canvases: [main.canvas, film.canvas], traits: ["clips", "clip", "temperature", "own_range"],
    rows: () => clipNow().rows, columns: () => clipNow().columns * clipNow().count,
    locate: (canvas, x, y) => {
      const { rows, columns } = clipNow();
      if (canvas === film.canvas) return film.locate(clipNow(), x, y);
      if (x < 0 || y < 0 || x >= 1 || y >= 1) return null;
      return [Math.floor(y * rows), queryOf(view).t * columns + Math.floor(x * columns)];
    },
    start: () => home(clipNow(), model.get("frame")), toTrait,
    fromTrait: ([t, row, column]) => [row, t * clipNow().columns + column],
    moved: (focus) => { if (focus.isPinned()) store(model, { frame: queryOf(focus).t }); },
    follow: refresh,
    draw: () => fitPanel(main, clipNow().ratio, house.root.clientWidth < 640 ? LEAST : undefined),
    mark(focus) {
      const clip = clipNow();
      const query = queryOf(focus);
      maps = clip.look(query.t, query.s, model.get("temperature"));
      controls.frame.set(query.t);
      main.rename(`Frame ${query.t + 1} of ${clip.count}: the cell that you point at is the query`);
      layPicture(main.canvas, clip.pictures[query.t]);
      frameCell(main.canvas, [clip.rows, clip.columns], [query.row, query.column], focus.isPinned());
      film.draw(clip, maps, query, model.get("own_range"), focus.isPinned());
    },
    describe: (focus) => describe(clipNow(), maps, queryOf(focus), focus.hint()),
    code: (focus) => codeFor(model, queryOf(focus), clipNow()),
  });
  house.listen("frame", () => view.look());
  return house.end;
}

/** The lines that reproduce what is shown. */
function codeFor(model, { t, row, column }, { columns }) {
  const block = (mode) =>
    `${mode} = identity_attention(tokens.shape[-1], "${mode}", temperature=${number(model.get("temperature"))})`;
  return [
    model.get("code"),
    model.get("clips")[model.get("clip")].code,
    "",
    block("joint"),
    block("divided"),
    `frame, place = ${t}, ${row} * ${columns} + ${column}  # the query; frames, rows and columns count from 0`,
    "with torch.no_grad():",
    "    all_at_once = joint.mask(tokens)[0, 0, frame * tokens.shape[2] + place].view(tokens.shape[1:3])  # (T, S)",
    "    temporal, spatial = divided.mask(tokens)",
    "over_time = temporal[0, place, 0, frame]  # (T,)",
    "over_space = spatial[0, frame, 0, place]  # (S,)",
    "both = over_space * temporal[0, :, 0, frame].T  # (T, S)",
    "",
  ].join("\n");
}

export default { render };
