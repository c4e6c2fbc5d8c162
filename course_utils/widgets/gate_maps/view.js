import { button, choice, keyWords, slider, store, traitControls } from "../page/bind.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { mapControls, mapPanel, PLACE, REACHED } from "../page/maps.js";
import { capital, decode, extent, percent, placeInWords, plainly, python, resample } from "../page/maths.js";
import { paintImage } from "../page/paint.js";
import { instrument, note, picturePanel, pointPanel, scaleBar } from "../page/panels.js";
import { bindView } from "../page/pointing.js";

const TABLE = "magma";

/** What reaches the threshold, the share of its mass on the place, and its overlap with the place. */
function judge(large, place, threshold) {
  const { low, high } = extent(large);
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

/** What the traits hold, in numbers; `now()` says which image, stage, epoch and network are shown. */
function reader(model) {
  const pictures = decode(model.get("pictures"));
  const places = decode(model.get("places"));
  const networks = model.get("series").map((one) => ({ ...one, maps: one.maps.map(decode) }));
  const [many, height, width] = places.shape;
  const [stages, epochs] = [model.get("stages"), model.get("epochs")];
  const counts = { image: many, stage: stages.length, epoch: epochs.length, network: networks.length };
  const shownOf = ([name, count]) => [name, Math.min(model.get(name), count - 1)];
  const of = (array, image, channels) =>
    array.values.subarray(image * channels * height * width, (image + 1) * channels * height * width);
  return {
    networks, counts, shape: [height, width],
    now: () => Object.fromEntries(Object.entries(counts).map(shownOf)),
    sizeOf: (stage) => networks[0].maps[stage].shape.slice(2),
    mapOf({ maps }, { image, stage, epoch }) {
      const { shape: [, images, rows, columns], values } = maps[stage];
      const start = (epoch * images + image) * rows * columns;
      return { size: [rows, columns], values: values.subarray(start, start + rows * columns) };
    },
    valueAt(k, [row, column]) {
      const { size, values } = this.mapOf(networks[k], this.now());
      return plainly(values[row * size[1] + column]);
    },
    rangeOf(network, now) {
      const own = model.get("own_range");
      const { low, high } = extent(own ? this.mapOf(network, now).values : network.maps[now.stage].values);
      const start = own ? low : 0;
      return { table: TABLE, low: start, high: high > start ? high : start + 1 };
    },
    picture: (image) => paintImage({ shape: [height, width, 3], values: of(pictures, image, 3) }),
    place: (image) => of(places, image, 1),
  };
}

/** Share and overlap of every network, of its map as large as the place. */
const judging = (model, data) => () => {
  const now = data.now();
  return data.networks.map((network) => {
    const { values, size } = data.mapOf(network, now);
    return judge(resample(values, ...size, ...data.shape), data.place(now.image), model.get("threshold"));
  });
};

/** The network that stands large, and a small panel for each, whose name is the button that makes it large. */
function panelsPart(house, model, data, weigh) {
  const main = mapPanel(pointPanel());
  const scale = scaleBar("Weight");
  const small = data.networks.map(({ title }, k) => {
    const [figures, here] = [note(), note()];
    const attributes = { role: "img", "aria-label": `${title}: its map over the image` };
    const made = mapPanel(picturePanel("", attributes, figures, here));
    const name = button(title, () => store(model, { network: k }));
    made.node.dataset.network = String(k);
    made.node.firstChild.replaceChildren(name);
    return { ...made, name, figures, here };
  });
  const draw = () => {
    const now = data.now();
    const found = weigh();
    const [picture, inside] = [data.picture(now.image), data.place(now.image)];
    const ratio = data.shape[0] / data.shape[1];
    const shownOf = (k) => ({
      picture, ratio, ...data.mapOf(data.networks[k], now), ...data.rangeOf(data.networks[k], now),
      smooth: model.get("smooth"), opacity: model.get("opacity"),
      regions: [
        { inside, shape: data.shape, colour: PLACE, thickness: 2 },
        { inside: found[k].kept, shape: data.shape, colour: REACHED, thickness: 1 },
      ],
    });
    const { title } = data.networks[now.network];
    main.rename(`${capital(title)}; yellow: the answer, white: the threshold`);
    main.canvas.setAttribute("aria-label", `${title}: its map over the image. ${keyWords("over the map")}`);
    main.paint(shownOf(now.network));
    scale.set(data.rangeOf(data.networks[now.network], now));
    small.forEach((panel, k) => {
      panel.paint({ ...shownOf(k), tallest: small.length < 3 ? 340 : house.root.clientWidth < 640 ? 96 : 170 });
      panel.name.setAttribute("aria-pressed", String(k === now.network));
      Object.assign(panel.node.dataset, { share: found[k].share, iou: found[k].overlap });
      panel.figures.textContent = `share ${percent(found[k].share)}, IoU ${found[k].overlap.toFixed(2)}`;
    });
  };
  /** Frame a cell in every panel, and read what each network has there. */
  const mark = (query, pinned) => {
    const now = data.now();
    for (const panel of [main, ...small]) panel.mark(data.sizeOf(now.stage), query, pinned);
    small.forEach(({ here }, k) => {
      const answer = data.networks[k].answers[now.epoch]?.[now.image];
      const words = [...(answer ? [`says ${answer}`] : []), ...(query ? [`here ${data.valueAt(k, query)}`] : [])];
      here.textContent = words.join("; ") || "\u00a0";
    });
  };
  return { main, small, scale, every: [main, ...small], draw, mark };
}

function controlsPart(house, model, data) {
  const listOf = (label, words) => [choice, {
    label, options: words.map((one, i) => [i, one]), read: (i) => Math.min(i, words.length - 1), write: Number,
  }];
  const lists = {
    image: listOf("Picture", model.get("names")),
    stage: listOf("Stage", model.get("stages").map((name, i) => `${name}, ${data.sizeOf(i).join(" × ")}`)),
    epoch: listOf("After epoch", model.get("epochs")),
  };
  const { controls, nodes, refresh } = traitControls(model, {
    ...lists,
    threshold: [slider, { label: "Threshold", min: 0, max: 1, step: 0.01, show: (value) => value.toFixed(2) }],
  });
  for (const name of Object.keys(lists)) controls[name].node.hidden = data.counts[name] < 2;
  const shared = mapControls(model, "Each map in its own colours");
  house.controls.append(...nodes, ...shared.nodes);
  return () => {
    refresh();
    shared.refresh();
  };
}

function codeFor(model, data, query) {
  const first = model.get("code") || ["from course_utils.widgets import GateMaps", "",
    "widget = GateMaps(images, places, series, epochs, stages)"].join("\n");
  const looks = ["threshold", "opacity", "own_range", "smooth"].map((name) => [name, model.get(name)]);
  const lines = [...Object.entries(data.now()), ...looks, ["query", query]]
    .map(([name, value]) => `widget.${name} = ${python(value)}`);
  return `${first.trimEnd()}\n${lines.join("\n")}\nwidget\n`;
}

function render({ model, el }) {
  const house = frame({ model, el, name: "gate-maps" });
  const data = reader(model);
  const weigh = judging(model, data);
  const panels = panelsPart(house, model, data, weigh);
  const small = element("div", { class: "cw-grid" }, ...panels.small.map(({ node }) => node));
  instrument(house, panels.main.node, small, panels.scale.node);
  const refresh = controlsPart(house, model, data);

  const describe = (focus) => {
    const now = data.now();
    const query = focus.get();
    const when = `${model.get("stages")[now.stage]}, after epoch ${model.get("epochs")[now.epoch]}`;
    if (query) {
      const values = data.networks.map(({ title }, k) => `${title} ${data.valueAt(k, query)}`);
      const others = values.filter((_, k) => k !== now.network).join("; ");
      return [`At ${placeInWords(query)}: ${values[now.network]}.`, { heard: `${others}. ${when}.` }, focus.hint()];
    }
    const words = weigh().map(({ share, overlap }, k) => `${data.networks[k].title}: ${percent(share)} of the weight `
      + `framed white is on the answer, IoU ${overlap.toFixed(2)}.`);
    const others = words.filter((_, k) => k !== now.network).join(" ");
    const at = `At ${when}, threshold ${model.get("threshold").toFixed(2)}.`;
    return [words[now.network], { aside: at }, { heard: others }];
  };
  let { stage } = data.now();
  bindView({
    model, house, describe, canvases: panels.every.map(({ canvas }) => canvas), draw: panels.draw,
    traits: ["image", "stage", "epoch", "network", "threshold", "opacity", "own_range", "smooth"],
    rows: () => data.sizeOf(data.now().stage)[0], columns: () => data.sizeOf(data.now().stage)[1],
    follow() {
      if (stage !== data.now().stage && model.get("query").length) store(model, { query: [] }); // of another grid
      ({ stage } = data.now());
      refresh();
    },
    mark: (focus) => panels.mark(focus.get(), focus.isPinned()),
    code: (focus) => codeFor(model, data, focus.isPinned() ? focus.get() : []),
  });
  return house.end;
}

export default { render };
