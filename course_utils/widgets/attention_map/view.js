import { bindFocus, choice, slider, store, toggle } from "../page/bind.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { colourRange, decode, number, percent } from "../page/maths.js";
import { blend, drawMap, fit, mapPicture, markCell, paintImage, regionPath, TABLE_NAMES } from "../page/paint.js";
import { copyButton, pictureButtons, saveButton, scaleBar } from "../page/panels.js";

const MOST_THUMBNAILS = 16;

/** The learner's settings as keyword arguments of the Python class. */
function settings(model) {
  const logical = (value) => (value ? "True" : "False");
  const query = model.get("query");
  return [
    ["chosen", model.get("chosen")],
    ["opacity", number(model.get("opacity"))],
    ["table", JSON.stringify(model.get("table"))],
    ["smooth", logical(model.get("smooth"))],
    ["own_range", logical(model.get("own_range"))],
    ...(query.length ? [["query", `(${query.join(", ")})`]] : []),
  ].map(([name, value]) => `${name}=${value}`).join(", ");
}

function panel(words, attributes) {
  const canvas = element("canvas", attributes);
  const name = element("p", { class: "cw-panel-name" }, words);
  const node = element("div", { class: "cw-panel" }, name, canvas);
  return { node, name, words, canvas, base: document.createElement("canvas") };
}

function render({ model, el }) {
  const house = frame({ model, el, name: "attention-map" });
  const keys = "Arrow keys move over the map, Enter locks, Escape releases.";
  const over = panel("Map over the image", { role: "application", "aria-label": `The map over the image. ${keys}` });
  const alone = panel("Map alone", { role: "img", "aria-label": "The map alone, on the same scale" });
  const thumbnails = pictureButtons({ label: "Maps", side: 48, onPress: (k) => store(model, { chosen: k }) });
  const scale = scaleBar("Value");
  const below = element("div", { class: "cw-map-foot" }, scale.node, thumbnails.node);
  over.node.append(element("p", { class: "cw-panel-name cw-keys" }, "Arrows move, Enter locks, Escape releases"));
  house.stage.append(over.node, alone.node);
  house.stage.after(below);

  let image;
  let maps;
  let place;
  let height;
  let width;
  let many;
  let picture;
  let painted;
  let placeLine;
  const load = () => {
    image = decode(model.get("picture"));
    picture = paintImage(image);
    // A wide picture gets the room: the two panels stand one above the other.
    const wide = image.shape[1] > 2.5 * image.shape[0];
    for (const { node } of [over, alone]) {
      Object.assign(node.style, { flexBasis: wide ? "100%" : "", maxWidth: wide ? "640px" : "" });
    }
    maps = decode(model.get("maps"));
    place = model.get("place").data ? decode(model.get("place")) : null;
    [many, height, width] = maps.shape;
  };
  const chosen = () => Math.min(model.get("chosen"), many - 1);
  const mapOf = (k) => maps.values.subarray(k * height * width, (k + 1) * height * width);
  const rangeOf = (k) => {
    const table = model.get("table");
    const own = model.get("own_range");
    return { table, ...colourRange(own ? mapOf(k) : maps.values, table, !own) };
  };

  const picker = choice({
    label: "Map", options: [], value: 0, onChange: (value) => store(model, { chosen: Number(value) }),
  });
  const opacity = slider({
    label: "Opacity", min: 0, max: 1, step: 0.01, value: model.get("opacity"), show: (v) => `${Math.round(100 * v)} %`,
    onInput: (value) => store(model, { opacity: value }),
  });
  const colours = choice({
    label: "Colours", options: TABLE_NAMES.map((name) => [name, name]), value: model.get("table"),
    onChange: (table) => store(model, { table }),
  });
  const span = choice({
    label: "Range", options: [["shared", ""], ["own", ""]], value: "shared",
    onChange: (value) => store(model, { own_range: value === "own" }),
  });
  const smooth = toggle({ label: "Smooth", value: model.get("smooth"), onChange: (on) => store(model, { smooth: on }) });
  house.controls.append(picker.node, opacity.node, colours.node, span.node, smooth.node);

  const focus = bindFocus({
    model,
    house,
    describe: () => describe(),
    canvases: [over.canvas, alone.canvas],
    rows: () => height,
    columns: () => width,
    onChange: (_, __, quiet) => mark(quiet),
  });

  const describe = () => {
    const values = mapOf(chosen());
    const name = model.get("names")[chosen()];
    const query = focus.get();
    let least = Infinity;
    let mass = 0;
    let top = 0;
    for (let i = 0; i < values.length; i++) {
      least = Math.min(least, values[i]);
      mass += values[i];
      if (values[i] > values[top]) top = i;
    }
    if (query) {
      const value = values[query[0] * width + query[1]];
      const share = least >= 0 && mass > 0 ? `, ${percent(value / mass)} of the map` : "";
      const hint = focus.hint();
      const where = `row ${query[0]} of 0 to ${height - 1}, column ${query[1]} of 0 to ${width - 1}`;
      return [`${name}, ${where}: ${number(value)}${share}.`, hint];
    }
    const shares = model.get("shares");
    const onPlace = shares.length ? ` ${percent(shares[chosen()])} of it lies on the true place (outlined).` : "";
    const where = `row ${Math.floor(top / width)}, column ${top % width}`;
    return [`${name}: ${height} rows, ${width} columns; from ${number(least)} to ${number(values[top])}, `
      + `strongest at ${where}.${onPlace}`];
  };

  /** The focus alone: the drawn panels are kept, so that a gesture costs two copies and a rectangle. */
  const mark = (quiet = false) => {
    const query = focus.get();
    for (const { canvas, base } of [over, alone]) markCell(canvas, base, [height, width], query, focus.isLocked());
    house.say(describe(), { quiet });
  };

  /** Lay the painted map over the image; a change of opacity needs no more than this. */
  const lay = () => {
    for (const { canvas, base } of [over, alone]) {
      const context = base.getContext("2d");
      const box = [0, 0, base.width, base.height];
      const isOver = base === over.base;
      if (isOver) {
        context.imageSmoothingEnabled = base.width < 3 * picture.width;
        context.imageSmoothingQuality = "high";
        context.drawImage(picture, ...box);
      }
      blend(context, painted, box, isOver ? model.get("opacity") : 1);
      if (place) {
        context.lineCap = "square";
        for (const [colour, thickness] of [["#000", 4], ["#ffd43b", 2]]) {
          context.strokeStyle = colour;
          context.lineWidth = (thickness * canvas.width) / parseFloat(canvas.style.width);
          context.stroke(placeLine);
        }
      }
    }
    mark();
  };

  const draw = () => {
    const range = rangeOf(chosen());
    for (const { canvas, base, node } of [over, alone]) {
      const size = fit(canvas, Math.floor(node.clientWidth), image.shape[0] / image.shape[1]);
      base.width = size.width;
      base.height = size.height;
    }
    const { width: across, height: down } = over.base;
    painted = mapPicture(mapOf(chosen()), height, width, down, across, { ...range, smooth: model.get("smooth") });
    placeLine = place ? regionPath(place.values, ...place.shape, down, across) : null;
    scale.set(range);
    lay();
  };

  const drawThumbnails = () => {
    thumbnails.node.hidden = many < 2 || many > MOST_THUMBNAILS;
    if (thumbnails.node.hidden) return;
    const [tall, wide] = image.shape;
    const offers = model.get("names").map((label, k) => {
      const small = element("canvas", { width: 96, height: Math.round((96 * tall) / wide) });
      const box = [0, 0, small.width, small.height];
      drawMap(small.getContext("2d"), mapOf(k), height, width, box, { ...rangeOf(k), smooth: model.get("smooth") });
      return { key: k, label, image: small };
    });
    thumbnails.show(offers, chosen());
    for (const press of thumbnails.node.children) press.tabIndex = -1; // the list of maps says the same in one stop
  };

  const refresh = () => {
    opacity.set(model.get("opacity"));
    colours.set(model.get("table"));
    span.set(model.get("own_range") ? "own" : "shared");
    span.node.hidden = many === 1 && model.get("table") === "RdBu";
    smooth.set(model.get("smooth"));
    picker.set(chosen());
    [...thumbnails.node.children].forEach((one, k) => one.setAttribute("aria-pressed", String(k === chosen())));
    if (house.root.clientWidth > 0) draw();
  };
  const restyle = () => {
    if (house.root.clientWidth > 0) drawThumbnails();
    refresh();
  };
  const reload = () => {
    load();
    picker.input.replaceChildren(...model.get("names").map((name, k) => element("option", { value: k }, name)));
    picker.node.hidden = many < 2;
    const [shared, own] = span.input.options;
    shared.textContent = many > 1 ? "one for all maps" : "from zero";
    own.textContent = many > 1 ? "each map's own" : "from its least value";
    for (const { name, words } of [over, alone]) name.textContent = place ? `${words}; yellow: the true place` : words;
    focus.set(null);
    focus.take();
    restyle();
  };

  reload();
  house.listen(["picture", "maps"], reload);
  house.listen(["place", "names", "shares"], reload);
  house.listen("chosen", refresh);
  house.listen("opacity", () => {
    opacity.set(model.get("opacity"));
    if (painted) lay();
  });
  house.listen(["table", "smooth", "own_range"], restyle);
  house.listen("query", () => {
    focus.take();
    if (house.root.clientWidth > 0) mark();
  });
  house.whenShown(restyle);

  const compose = () => {
    const gap = Math.round((16 * over.canvas.width) / parseFloat(over.canvas.style.width));
    const sheet = document.createElement("canvas");
    sheet.width = over.canvas.width + alone.canvas.width + 3 * gap;
    sheet.height = over.canvas.height + 5 * gap;
    const context = sheet.getContext("2d");
    context.fillStyle = house.ink("surface");
    context.fillRect(0, 0, sheet.width, sheet.height);
    context.drawImage(over.canvas, gap, gap);
    context.drawImage(alone.canvas, over.canvas.width + 2 * gap, gap);
    const range = rangeOf(chosen());
    const top = over.canvas.height + 2 * gap;
    const size = Math.round(gap * 0.85);
    context.imageSmoothingEnabled = false;
    context.drawImage(scale.canvas, over.canvas.width + 2 * gap, top, alone.canvas.width, Math.round(gap * 0.75));
    context.fillStyle = house.ink("ink");
    context.font = `${size}px system-ui, sans-serif`;
    context.textBaseline = "top";
    context.fillText(model.get("names")[chosen()], gap, top, over.canvas.width);
    context.fillText(number(range.low), over.canvas.width + 2 * gap, top + gap);
    context.textAlign = "right";
    context.fillText(number(range.high), sheet.width - gap, top + gap);
    return sheet;
  };
  const code = () => {
    const first = model.get("code") || "from course_utils.widgets import AttentionMap\n";
    return `${first.trimEnd()}\n\nAttentionMap(image, masks, ${settings(model)})\n`;
  };
  house.actions.append(saveButton(house, compose, "attention-map.png"), copyButton(house, code));
  return house.end;
}

export default { render };
