import { choice, fill, keyWords, store, traitControls } from "../page/bind.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { mapControls, mapPanel, PLACE } from "../page/maps.js";
import {
  cellOf, colourRange, decode, extent, largest, once, percent, placeInWords, plainly, python,
} from "../page/maths.js";
import { drawMap, paintImage } from "../page/paint.js";
import { instrument, pictureButtons, picturePanel, pointPanel, scaleBar } from "../page/panels.js";
import { bindView } from "../page/pointing.js";

const MOST_THUMBNAILS = 16;
const WIDE = 2.5; // of a wider picture the two panels stand one above the other

/** The learner's settings as keyword arguments of the Python class. */
function settings(model, query) {
  const named = ["chosen", "opacity", "table", "smooth", "own_range"]
    .map((name) => `${name}=${python(model.get(name))}`);
  return [...named, ...(query ? [`query=(${query.join(", ")})`] : [])].join(", ");
}

const read = once(decode);
const pictureOf = once((image) => paintImage(read(image)));

/** The traits in numbers: `load()` reads them; `now()` is the map shown, `mapOf(k)` any, `rangeOf(k)` its colours. */
function reader(model) {
  const made = {};
  made.load = () => {
    const [maps, image] = [read(model.get("maps")), read(model.get("picture"))];
    const [many, height, width] = maps.shape;
    const place = model.get("place").data ? read(model.get("place")) : null;
    const [picture, ratio] = [pictureOf(model.get("picture")), image.shape[0] / image.shape[1]];
    Object.assign(made, { maps, many, size: [height, width], place, picture, ratio });
  };
  made.now = () => Math.min(model.get("chosen"), made.many - 1);
  made.mapOf = (k) => {
    const count = made.size[0] * made.size[1];
    return made.maps.values.subarray(k * count, (k + 1) * count);
  };
  made.rangeOf = (k) => {
    const [table, own] = [model.get("table"), model.get("own_range")];
    return { table, ...colourRange(own ? made.mapOf(k) : made.maps.values, table, !own) };
  };
  made.load();
  return made;
}

function describeMap(model, data, query) {
  const values = data.mapOf(data.now());
  const name = model.get("names")[data.now()];
  const { low, high } = extent(values);
  if (query) {
    const value = values[query[0] * data.size[1] + query[1]];
    const mass = values.reduce((sum, one) => sum + one, 0);
    const share = low >= 0 && value >= 0.0005 * mass && mass > 0 ? `, ${percent(value / mass)} of the map` : "";
    return [`${name}, ${placeInWords(query)}: ${plainly(value)}${share}.`];
  }
  const top = largest(values);
  const shares = model.get("shares");
  const onPlace = shares.length ? `${percent(shares[data.now()])} of it lies on the true place.` : "";
  const where = placeInWords(cellOf(top, data.size[1]));
  const range = `${data.size.join(" × ")} values from ${plainly(low)} to ${plainly(high)}.`;
  return [`${name}: strongest at ${where}.`, { aside: range }, { aside: onPlace }];
}

function panelsPart(house, model, data) {
  const over = mapPanel(pointPanel(`The map over the image. ${keyWords("over the map")}`));
  const attributes = { role: "img", "aria-label": "The map alone, on the same scale" };
  const alone = mapPanel(picturePanel("", attributes));
  const scale = scaleBar("Value");
  const draw = () => {
    const shown = {
      values: data.mapOf(data.now()), size: data.size, ratio: data.ratio, smooth: model.get("smooth"),
      ...data.rangeOf(data.now()),
      regions: data.place ? [{ inside: data.place.values, shape: data.place.shape, colour: PLACE, thickness: 2 }] : [],
    };
    house.stage.classList.toggle("cw-stacked", 1 / data.ratio > WIDE);
    over.paint({ ...shown, picture: data.picture, opacity: model.get("opacity") });
    alone.paint(shown);
    scale.set(shown);
    const place = data.place ? "; yellow: the true place" : "";
    over.rename(`Map over the image${place}`);
    alone.rename(`Map alone${place}`);
  };
  return { over, alone, scale, draw };
}

/** Small pictures of all maps; the list of maps says the same in one stop of the Tab key. */
function thumbnailsPart(model, data) {
  const buttons = pictureButtons({ label: "Maps", side: 44, onPress: (k) => store(model, { chosen: k }) });
  const draw = () => {
    buttons.node.hidden = data.many < 2 || data.many > MOST_THUMBNAILS;
    if (buttons.node.hidden) return;
    const side = Math.max(44, Math.min(120, Math.floor(buttons.node.clientWidth / data.many) - 12));
    const offers = model.get("names").map((label, k) => {
      const small = element("canvas", { width: 2 * side, height: Math.round(2 * side * data.ratio) });
      const style = { ...data.rangeOf(k), smooth: model.get("smooth") };
      drawMap(small.getContext("2d"), data.mapOf(k), ...data.size, [0, 0, small.width, small.height], style);
      return { key: k, label, image: small };
    });
    buttons.show(offers, data.now(), side);
    for (const press of buttons.node.children) press.tabIndex = -1;
  };
  return { node: buttons.node, draw };
}

function controlsPart(house, model, data) {
  const { controls: { chosen }, nodes, refresh: follow } = traitControls(model, {
    chosen: [choice, { label: "Map", options: [], read: () => data.now(), write: Number }],
  });
  const shared = mapControls(model, "Each map in its own colours");
  house.controls.append(...nodes, ...shared.nodes);
  return () => {
    fill(chosen, model.get("names").map((name, k) => [k, name]), data.now());
    chosen.node.hidden = data.many < 2;
    follow();
    shared.own.node.hidden = data.many === 1 && model.get("table") === "RdBu";
    shared.own.node.querySelector("label").lastChild.textContent =
      data.many > 1 ? "Each map in its own colours" : "Colours from its least value";
    shared.refresh();
  };
}

function render({ model, el }) {
  const house = frame({ model, el, name: "attention-map" });
  const data = reader(model);
  const { over, alone, scale, draw: drawPanels } = panelsPart(house, model, data);
  const thumbnails = thumbnailsPart(model, data);
  instrument(house, over.node, alone.node, scale.node, thumbnails.node);
  const refresh = controlsPart(house, model, data);
  bindView({
    model, house, canvases: [over.canvas, alone.canvas], rows: () => data.size[0], columns: () => data.size[1],
    traits: ["picture", "maps", "place", "names", "shares", "chosen", "table", "smooth", "own_range", "opacity"],
    follow() {
      data.load();
      refresh();
    },
    draw() {
      thumbnails.draw();
      drawPanels();
    },
    mark: (focus) => { for (const one of [over, alone]) one.mark(data.size, focus.get(), focus.isPinned()); },
    describe: (focus) => [...describeMap(model, data, focus.get()), focus.hint()],
    code(focus) {
      const first = model.get("code") || "from course_utils.widgets import AttentionMap\n";
      const made = settings(model, focus.isPinned() ? focus.get() : null);
      return `${first.trimEnd()}\n\nAttentionMap(image, masks, ${made})\n`;
    },
  });
  return house.end;
}

export default { render };
