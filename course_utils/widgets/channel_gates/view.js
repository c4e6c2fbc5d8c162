import { asker, button, choice, fill, focusController, slider, store } from "../page/bind.js";
import { element, styled } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { changeInWords, decode, largest, number, percent, softmax } from "../page/maths.js";
import { fit, outline, paintImage, paintMap } from "../page/paint.js";
import { copyButton, pictureButtons, saveButton, scaleBar } from "../page/panels.js";

const TABLE = "viridis";
const OWN = -1; // the index of the learner's own picture
const MOST_BYTES = 7_000_000; // a notebook's connection carries 10 MiB a message, and base64 adds a third
const GAP = 6;
const MANY = 100; // from here on the maps stand closer
const BAR = 8;
const WORDS = 15;
const ROW = 21;
const FONT = "system-ui, sans-serif";

/** How many columns keep the maps about square and, where it can be, every row full. */
function columnsFor(channels) {
  const least = Math.max(4, Math.ceil(Math.sqrt(channels * (channels > MANY ? 1 : 1.2))));
  for (let columns = least; columns <= least * 1.5; columns++) if (channels % columns === 0) return columns;
  return least;
}

/** From gates to probabilities: hidden = bias + sum of gate * contribution; then, where there is one, ReLU and a layer. */
function runTail({ bias, weight, outputBias }, contributions, gates) {
  const size = bias.length;
  const hidden = Float64Array.from(bias);
  for (let c = 0; c < gates.length; c++) {
    for (let i = 0; i < size; i++) hidden[i] += gates[c] * contributions[c * size + i];
  }
  if (!weight) return softmax([...hidden]);
  return softmax(Array.from(outputBias, (start, k) => {
    let sum = start;
    for (let i = 0; i < size; i++) if (hidden[i] > 0) sum += weight[k * size + i] * hidden[i];
    return sum;
  }));
}

/** A block's name as a learner reads it: "stage3" for "stage3.attention". */
const shortName = (name) => name.replace(/\.attention$/, "");

function ordinal(place) {
  const teen = place % 100 > 10 && place % 100 < 14;
  return `${place}${(!teen && ["", "st", "nd", "rd"][place % 10]) || "th"}`;
}

function opener() {
  const opened = new WeakMap();
  return (json, open) => {
    if (!opened.has(json)) opened.set(json, open(json));
    return opened.get(json);
  };
}

function openTail(tail) {
  return {
    bias: decode(tail.bias).values,
    weight: tail.weight && decode(tail.weight).values,
    outputBias: tail.output_bias && decode(tail.output_bias).values,
  };
}

function openStage({ maps, low, high, means, gates }) {
  const { shape: [channels, height, width], values } = decode(maps);
  const atlas = paintMap(values, channels * height, width, { table: TABLE, low: 0, high: 255 });
  return {
    channels, height, width, values, low, high, atlas, means: decode(means).values, gates: decode(gates).values,
  };
}

function openExample(example) {
  return {
    image: paintImage(decode(example.image)),
    probabilities: Array.from(decode(example.probabilities).values),
    contributions: example.contributions && decode(example.contributions).values,
  };
}

function render({ model, el }) {
  const house = frame({ model, el, name: "channel-gates" });
  const hasKernel = () => Boolean(model.widget_manager);
  const opened = opener();
  const state = {};
  const NAMES = ["source", "example", "stage", "order", "channel", "edits"];
  const pull = (name) => { state[name] = name === "edits" ? { ...model.get(name) } : model.get(name); };
  NAMES.forEach(pull);

  // What is shown, looked up in the traits.
  const sourceNow = () => {
    const ready = model.get("sources").filter(({ examples }) => examples.length);
    return ready.find(({ key }) => key === state.source) ?? ready[0];
  };
  const exampleNow = () => {
    const source = sourceNow();
    const own = model.get("own")[source.key];
    return (state.example === OWN && own) || source.examples[Math.max(0, state.example)] || source.examples[0];
  };
  const stageIndex = () => Math.min(state.stage, sourceNow().stages.length - 1);
  const stageNow = () => opened(exampleNow().stages[stageIndex()], openStage);
  const editCount = () => Object.keys(state.edits).length;
  const gateOf = (channel) => state.edits[channel] ?? stageNow().gates[channel];
  const isExact = () => {
    const source = sourceNow();
    return stageIndex() === source.stages.length - 1 && Boolean(source.tail) && Boolean(exampleNow().contributions);
  };

  const gatesNow = () => {
    const gates = Float64Array.from(stageNow().gates);
    for (const [channel, gate] of Object.entries(state.edits)) gates[channel] = gate;
    return gates;
  };
  const question = () => ({
    want: "probabilities", source: state.source, example: state.example, stage: stageIndex(), edits: { ...state.edits },
  });
  const sameQuestion = (one, two) =>
    ["source", "example", "stage"].every((name) => one[name] === two[name])
    && JSON.stringify(Object.entries(one.edits ?? {}).sort()) === JSON.stringify(Object.entries(two.edits).sort());

  let answered = model.get("answer") ?? {}; // the kernel's last answer with probabilities

  /** The probabilities shown, and who computed them. */
  function result() {
    const example = opened(exampleNow(), openExample);
    const before = example.probabilities;
    if (!editCount()) return { before, now: before, by: "network" };
    if (isExact()) {
      return { before, now: runTail(opened(sourceNow().tail, openTail), example.contributions, gatesNow()), by: "page" };
    }
    if (answered.probabilities && sameQuestion(answered, question())) {
      return { before, now: answered.probabilities, by: "kernel" };
    }
    return { before, now: before, by: "nobody" };
  }

  // Controls above the maps.
  const sourceChoice = choice({ label: "Images from", options: [], value: "", onChange: (key) => takeSource(key) });
  const stageChoice = choice({
    label: "Gates of", options: [], value: "", onChange: (value) => change({ stage: Number(value), edits: {} }),
  });
  const orderChoice = choice({
    label: "Sort channels",
    options: [["channel", "in order"], ["gate", "by gate"], ["mean", "by mean"]],
    value: state.order,
    onChange: (order) => change({ order }),
  });
  const reset = button("Reset all gates", () => {
    gateSlider.input.focus(); // a button that disables itself would lose the focus to the page
    change({ edits: {} });
  });
  let offered = []; // [index, example] of each small picture
  const thumbs = pictureButtons({ label: "Pictures", side: 40, onPress: (i) => change({ example: offered[i][0] }) });
  const needsKernel = (what) =>
    house.say(`${what} needs a running notebook: here there is no kernel to ask.`, { again: true });
  const drawButton = button("Draw a digit", () => {
    if (!hasKernel()) return needsKernel("Drawing");
    padBox.hidden = !padBox.hidden;
    drawButton.setAttribute("aria-expanded", String(!padBox.hidden));
  });
  drawButton.setAttribute("aria-expanded", "false");
  const file = element("input", {
    type: "file", accept: "image/*", hidden: true, "aria-label": "Upload a picture", onchange: () => upload(),
  });
  const uploadButton = button("Upload a picture", () => {
    if (!hasKernel()) return needsKernel("An upload");
    file.click();
  });
  const pad = styled(element("canvas", {
    width: "168", height: "168", role: "img",
    "aria-label": "Drawing pad: draw one digit with the pointer. With the keyboard, choose one of the images instead.",
  }), { width: "168px", height: "168px", touchAction: "none", cursor: "crosshair", border: "1px solid var(--cw-edge)" });
  const clearPad = () => {
    const context = pad.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, pad.width, pad.height);
  };
  const padWords = element("p", { class: "cw-panel-name" }, "Draw one digit; the network answers after each stroke.");
  const padBox = element("div", { hidden: true }, styled(
    element("div", {}, pad, element("div", {}, padWords, button("Clear the pad", clearPad))),
    { display: "flex", flexWrap: "wrap", gap: "12px", marginTop: "12px" },
  ));
  clearPad();

  const choices = element("div", { class: "cw-controls" }, sourceChoice.node, stageChoice.node, orderChoice.node);
  styled(choices, { marginTop: "0" });
  const pictures = styled(element("div", {}, thumbs.node, drawButton, uploadButton, file), {
    display: "flex", flexWrap: "wrap", alignItems: "center", gap: "8px 12px", marginTop: "12px",
  });
  const top = styled(element("div", {}, choices, pictures, padBox), { flex: "0 0 100%" });

  // The maps on the left, what is in focus on the right.
  const grid = styled(element("canvas", { role: "application" }), { touchAction: "pan-y" });
  const gridName = element("p", { class: "cw-panel-name" }, "");
  const gridKeys = element("p", { class: "cw-panel-name cw-keys" },
    "Arrows move, Enter locks, Escape releases, Delete knocks out; the Gate slider sets the gate");
  const left = styled(element("div", {}, gridName, grid, gridKeys), { flex: "1 1 340px", minWidth: "0" });
  const lenses = ["input", "map", "gate × map"].map((name) => {
    const canvas = element("canvas", { role: "img", "aria-label": name });
    const words = element("p", { class: "cw-panel-name" }, name);
    return { canvas, words, node: styled(element("div", {}, canvas, words), { flex: "1 1 0", minWidth: "0" }) };
  });
  const lensRow = styled(element("div", {}, ...lenses.map(({ node }) => node)), { display: "flex", gap: "8px" });
  const channelName = styled(element("p", {}), { fontWeight: "600", marginTop: "8px" });
  const scale = scaleBar("values of all maps of this stage");
  styled(scale.node, { marginTop: "8px", width: "100%" });
  const gateSlider = slider({
    label: "Gate", min: 0, max: 1, step: 0.01, value: 0, show: (value) => value.toFixed(2),
    onInput: (gate) => {
      talkLater();
      moveGate(state.channel, gate);
    },
  });
  gateSlider.input.addEventListener("change", () => push());
  styled(gateSlider.input, { width: "100px" });
  const knock = button("Knock out", () => toggleKnock(state.channel));
  const gateRow = styled(element("div", {}, gateSlider.node, knock), {
    display: "flex", flexWrap: "wrap", alignItems: "center", gap: "8px 12px", marginTop: "4px",
  });
  const bars = element("canvas", { role: "img" });
  const barsName = styled(element("p", { class: "cw-panel-name" }), { marginTop: "12px" });
  const right = styled(element("div", {}, lensRow, scale.node, channelName, gateRow, barsName, bars), {
    flex: "1 1 240px", minWidth: "0", maxWidth: "420px",
  });
  house.stage.append(top, left, right);

  const ask = asker(model, house, (answer, asked) => {
    pictureUnderWay = false;
    if (asked.want === "probabilities") return;
    if (asked.want === "picture") answered = {}; // what was answered of the picture before
    const otherNetwork = asked.want === "source" || answer.source !== state.source;
    change({ source: answer.source, example: answer.example, ...(otherNetwork ? lastStage(answer.source) : {}) });
  });
  let pictureUnderWay = false;
  house.listen("answer", () => { pictureUnderWay = false; }); // also where it failed, or another view asked
  const askForPicture = (what) => {
    pictureUnderWay = true;
    ask(what);
  };
  const lastStage = (key) => ({
    stage: model.get("sources").find((source) => source.key === key).stages.length - 1, edits: {},
  });

  // Changes of state: here at once, to the kernel now or when the hand rests.
  let resting = 0;
  const push = () => {
    clearTimeout(resting);
    store(model, Object.fromEntries(NAMES.map((name) => [name, name === "edits" ? { ...state.edits } : state[name]])));
  };
  const pushLater = () => {
    clearTimeout(resting);
    resting = setTimeout(push, 150);
  };
  house.endings.push(() => clearTimeout(resting));
  function change(values) {
    talkNow();
    Object.assign(state, values);
    push();
    showAll();
  }
  /** While the slider moves the status waits for the hand to rest; the slider itself says its value. */
  let talking = 0;
  const talkNow = () => {
    clearTimeout(talking);
    talking = 0;
  };
  const talkLater = () => {
    clearTimeout(talking);
    talking = setTimeout(() => {
      talking = 0;
      tell();
    }, 400);
  };
  house.endings.push(talkNow);
  function moveGate(channel, gate) {
    state.edits[channel] = Math.round(100 * Math.max(0, Math.min(1, gate))) / 100;
    afterEdit(channel);
  }
  function toggleKnock(channel) {
    talkNow();
    if (state.edits[channel] === 0) delete state.edits[channel];
    else state.edits[channel] = 0;
    afterEdit(channel);
  }
  function afterEdit(channel) {
    state.channel = channel;
    paintTile(channel);
    showFocus();
    showResult();
    pushLater();
  }

  function takeSource(key) {
    const source = model.get("sources").find((one) => one.key === key);
    if (source.examples.length) {
      change({ source: key, example: 0, ...lastStage(key) });
      return;
    }
    sourceChoice.set(state.source);
    if (!hasKernel()) {
      house.say(`The ${source.title} need a running notebook, to fetch ${source.pending}.`);
      return;
    }
    house.say(`Asking the notebook for the ${source.title}: ${source.pending}.`);
    askForPicture({ want: "source", source: key });
  }

  async function upload() {
    const [chosen] = file.files;
    file.value = "";
    if (!chosen) return;
    house.fail(model.get("error") ?? ""); // what was said of the file before is over
    if (chosen.size > MOST_BYTES) {
      house.fail(`${chosen.name} has ${(chosen.size / 1e6).toFixed(1)} MB, at most ${MOST_BYTES / 1e6} MB can be sent to `
        + "the notebook; make it smaller, 1000 pixels a side are plenty.");
      return;
    }
    const reader = new FileReader();
    reader.onload = () => {
      const data = String(reader.result);
      house.say(`Sent ${chosen.name} to the notebook.`);
      askForPicture({
        want: "picture", source: state.source, drawn: false, name: chosen.name, data: data.slice(data.indexOf(",") + 1),
      });
    };
    reader.onerror = () => house.fail(`${chosen.name} could not be read by the browser; choose it again.`);
    reader.readAsDataURL(chosen);
  }

  let stroke = null;
  pad.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pad.setPointerCapture(event.pointerId);
    stroke = [event.offsetX, event.offsetY];
    drawStroke(event);
    event.preventDefault();
  });
  pad.addEventListener("pointermove", (event) => { if (stroke) drawStroke(event); });
  pad.addEventListener("pointercancel", () => { stroke = null; });
  pad.addEventListener("pointerup", () => {
    if (!stroke) return;
    stroke = null;
    const data = pad.toDataURL("image/png");
    askForPicture({
      want: "picture", source: state.source, drawn: true, name: "The drawing", data: data.slice(data.indexOf(",") + 1),
    });
  });
  function drawStroke(event) {
    const context = pad.getContext("2d");
    context.strokeStyle = "#fff";
    context.lineWidth = 14;
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(...stroke);
    context.lineTo(event.offsetX, event.offsetY);
    context.stroke();
    stroke = [event.offsetX, event.offsetY];
  }

  // The grid of maps: geometry in CSS pixels.
  let layout = null;
  let base = null;
  let sorted = [];
  let place = [];
  function measure() {
    const { channels, height, width } = stageNow();
    const columns = columnsFor(channels);
    const rows = Math.ceil(channels / columns);
    const available = Math.max(160, left.clientWidth);
    const gap = channels > MANY ? 3 : GAP;
    const side = Math.floor((available - 4 - gap * (columns - 1)) / columns);
    const tall = Math.round((side * height) / width);
    const words = side >= 36 ? WORDS : 0;
    const bar = side >= 24 ? BAR : 4;
    const step = tall + 3 + bar + words + (words ? 4 : 3);
    const across = side + gap;
    return { columns, rows, side, tall, words, bar, step, across, width: available, height: rows * step + 2 };
  }
  const cellOf = (channel) => [Math.floor(place[channel] / layout.columns), place[channel] % layout.columns];
  const spot = (channel) => {
    const index = place[channel];
    return [2 + (index % layout.columns) * layout.across, 2 + Math.floor(index / layout.columns) * layout.step];
  };
  function arrange() {
    const stage = stageNow();
    sorted = Array.from({ length: stage.channels }, (_, i) => i);
    const by = { gate: stage.gates, mean: stage.means }[state.order];
    if (by) sorted.sort((one, two) => by[two] - by[one] || one - two);
    place = [];
    sorted.forEach((channel, i) => { place[channel] = i; });
    if (state.channel >= stage.channels) state.channel = sorted[0];
  }
  function paintGrid() {
    layout = measure();
    const { scale: pixels } = fit(grid, layout.width, layout.height / layout.width);
    base = document.createElement("canvas");
    base.width = grid.width;
    base.height = grid.height;
    const context = base.getContext("2d");
    context.scale(pixels, pixels);
    context.imageSmoothingEnabled = false;
    for (const channel of sorted) drawTile(context, channel);
  }
  function paintTile(channel) {
    drawTile(base.getContext("2d"), channel);
  }
  function drawTile(context, channel) {
    const stage = stageNow();
    const [x, y] = spot(channel);
    const { side, tall, bar, words, step } = layout;
    const gate = gateOf(channel);
    const out = state.edits[channel] === 0;
    context.clearRect(x - 1, y - 1, side + 2, step);
    context.globalAlpha = out ? 0.25 : 1;
    context.drawImage(stage.atlas, 0, channel * stage.height, stage.width, stage.height, x, y, side, tall);
    context.globalAlpha = 1;
    if (out) {
      context.strokeStyle = house.ink("bad");
      context.lineWidth = 2;
      context.beginPath();
      context.moveTo(x + 3, y + 3);
      context.lineTo(x + side - 3, y + tall - 3);
      context.moveTo(x + side - 3, y + 3);
      context.lineTo(x + 3, y + tall - 3);
      context.stroke();
    }
    const under = y + tall + 3;
    context.fillStyle = house.ink("line");
    context.fillRect(x, under, side, bar);
    context.fillStyle = house.ink(channel in state.edits ? "run-1" : "run-0");
    context.fillRect(x, under, side * gate, bar);
    if (channel in state.edits) {
      context.fillStyle = house.ink("ink");
      context.fillRect(x + side * stage.gates[channel] - 1, under - 1, 2, bar + 2);
    }
    if (words) {
      context.font = `11px ${FONT}`;
      context.textBaseline = "alphabetic";
      context.fillStyle = house.ink("soft");
      context.textAlign = "left";
      if (side >= 48) context.fillText(String(channel), x, under + bar + 12);
      context.fillStyle = house.ink("ink");
      context.textAlign = "right";
      context.fillText(gate.toFixed(2), x + side, under + bar + 12);
    }
  }
  function showGrid() {
    const context = grid.getContext("2d");
    context.clearRect(0, 0, grid.width, grid.height);
    context.drawImage(base, 0, 0);
    const pixels = grid.width / layout.width;
    const [x, y] = spot(state.channel);
    if (focus.get()) {
      outline(context, x * pixels, y * pixels, layout.side * pixels, layout.tall * pixels, pixels, focus.isLocked());
    } else {
      context.strokeStyle = house.ink("accent");
      context.lineWidth = 2 * pixels;
      context.strokeRect(x * pixels, y * pixels, layout.side * pixels, layout.tall * pixels);
    }
    grid.dataset.channel = String(state.channel);
  }

  /** The tile under a place (0 to 1), and whether it is the gate's bar that is touched. */
  function tileAt(x, y) {
    const left_ = x * layout.width - 2;
    const top_ = y * layout.height - 2;
    const column = Math.floor(left_ / layout.across);
    const row = Math.floor(top_ / layout.step);
    const index = row * layout.columns + column;
    if (column < 0 || row < 0 || column >= layout.columns || index >= sorted.length) return null;
    const share = (left_ - column * layout.across) / layout.side;
    return { row, column, channel: sorted[index], onBar: top_ - row * layout.step > layout.tall, share };
  }
  const tileOf = (event) => {
    const box = grid.getBoundingClientRect();
    return tileAt((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  };

  // Dragging a bar comes before hovering and locking.
  let dragged = null;
  let justDragged = false;
  const during = (name, handler) => grid.addEventListener(name, handler, { capture: true });
  during("pointerdown", (event) => {
    justDragged = false;
    const tile = tileOf(event);
    if (!tile || !tile.onBar || event.button !== 0) return;
    grid.setPointerCapture(event.pointerId);
    dragged = tile;
    talkNow();
    focus.set([tile.row, tile.column], true);
    moveGate(tile.channel, tile.share);
  });
  during("pointermove", (event) => {
    if (dragged) {
      event.stopImmediatePropagation();
      const box = grid.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * layout.width - 2 - dragged.column * layout.across;
      moveGate(dragged.channel, x / layout.side);
    } else grid.style.cursor = tileOf(event)?.onBar ? "ew-resize" : "pointer";
  });
  for (const name of ["pointerup", "pointercancel"]) {
    during(name, () => {
      if (!dragged) return;
      dragged = null;
      justDragged = true;
      push();
    });
  }
  during("click", (event) => {
    if (justDragged) event.stopImmediatePropagation();
    justDragged = false;
  });
  grid.addEventListener("dblclick", (event) => {
    const tile = tileOf(event);
    if (tile && !tile.onBar) toggleKnock(tile.channel);
  });
  grid.addEventListener("keydown", (event) => {
    if (event.key !== "Delete" && event.key !== "Backspace") return;
    toggleKnock(state.channel);
    event.preventDefault();
    event.stopPropagation();
  });
  const focus = focusController({
    canvases: [grid],
    rows: () => layout.rows,
    columns: () => layout.columns,
    locate: (_, x, y) => {
      const tile = tileAt(x, y);
      return tile && [tile.row, tile.column];
    },
    start: () => cellOf(state.channel),
    onEdge: () => house.say([...describe(), "Edge."], { again: true }),
    onChange: (query, locked, quiet) => {
      talkNow();
      if (query) {
        const index = Math.min(query[0] * layout.columns + query[1], sorted.length - 1);
        state.channel = sorted[index];
        const cell = cellOf(state.channel);
        if (String(cell) !== String(query)) focus.set(cell, locked);
        if (locked) pushLater();
      }
      showFocus();
      tell(undefined, quiet);
    },
  });

  function showLens(canvas, paint, height, width) {
    const across = Math.max(40, Math.floor((right.clientWidth - 16) / 3));
    fit(canvas, across, height / width);
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(paint, 0, 0, canvas.width, canvas.height);
  }
  function showFocus() {
    const stage = stageNow();
    const { channel } = state;
    const gate = gateOf(channel);
    const size = stage.height * stage.width;
    const scaled = new Float32Array(size);
    const unit = (stage.high - stage.low) / 255;
    for (let i = 0; i < size; i++) scaled[i] = gate * (stage.low + unit * stage.values[channel * size + i]);
    const range = { table: TABLE, low: stage.low, high: stage.high };
    const map = document.createElement("canvas");
    map.width = stage.width;
    map.height = stage.height;
    map.getContext("2d").drawImage(stage.atlas, 0, -channel * stage.height);
    showLens(lenses[1].canvas, map, stage.height, stage.width);
    showLens(lenses[2].canvas, paintMap(scaled, stage.height, stage.width, range), stage.height, stage.width);
    const value = (i) => stage.low + unit * stage.values[channel * size + i];
    let [least, top] = [0, 0];
    for (let i = 1; i < size; i++) {
      if (value(i) < value(least)) least = i;
      if (value(i) > value(top)) top = i;
    }
    const where = `, strongest at row ${Math.floor(top / stage.width)}, column ${top % stage.width}`;
    const inWords = (factor) => `of channel ${channel}: ${stage.height} x ${stage.width}, from ${number(factor * value(least))}`
      + ` to ${number(factor * value(top))}${factor * value(top) > factor * value(least) ? where : ""}`;
    lenses[1].canvas.setAttribute("aria-label", `map ${inWords(1)}`);
    lenses[2].canvas.setAttribute("aria-label", `gate times map ${inWords(gate)}`);
    gateSlider.input.setAttribute("aria-label", `Gate of channel ${channel}`);
    channelName.textContent = `Channel ${channel} · mean ${stage.means[channel].toFixed(3)}`;
    gateSlider.set(gate);
    knock.textContent = state.edits[channel] === 0 ? "Bring back" : "Knock out";
    knock.setAttribute("aria-label", `${knock.textContent} channel ${channel}`);
    showGrid();
  }

  /** The classes shown: all where they are few, else the likeliest before and now. */
  function classesShown(before, now) {
    const every = before.map((_, i) => i);
    if (every.length <= 12) return every;
    const best = (values, count) => [...every].sort((one, two) => values[two] - values[one]).slice(0, count);
    return [...new Set([...best(before, 6), ...best(now, 4)])];
  }
  function showResult() {
    const outcome = result();
    const { before, now, by } = outcome;
    if (by === "nobody" && hasKernel() && !pictureUnderWay) ask(question());
    const names = sourceNow().classes;
    const shown = classesShown(before, now);
    const width = Math.max(200, right.clientWidth);
    const height = shown.length * ROW;
    const { scale: pixels } = fit(bars, width, height / width);
    const context = bars.getContext("2d");
    context.setTransform(pixels, 0, 0, pixels, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = `13px ${FONT}`;
    const labelWidth = Math.min(110, Math.max(...shown.map((k) => context.measureText(names[k]).width)) + 2);
    const start = labelWidth + 8;
    const end = width - 120;
    const best = largest(now);
    context.textBaseline = "middle";
    shown.forEach((k, i) => {
      const middle = i * ROW + ROW / 2;
      context.font = `${k === best ? "600 " : ""}13px ${FONT}`;
      context.fillStyle = house.ink("ink");
      context.textAlign = "left";
      context.fillText(shorten(context, names[k], labelWidth), 0, middle);
      context.fillStyle = house.ink("line");
      context.fillRect(start, middle - 6, end - start, 12);
      context.globalAlpha = by === "nobody" ? 0.35 : 1;
      context.fillStyle = house.ink("run-0");
      context.fillRect(start, middle - 6, (end - start) * now[k], 12);
      context.globalAlpha = 1;
      const moved = now[k] - before[k];
      if (Math.abs(moved) >= 5e-4) {
        context.fillStyle = house.ink("ink");
        context.fillRect(start + (end - start) * before[k] - 1, middle - 8, 2, 16);
      }
      context.fillStyle = house.ink("ink");
      context.textAlign = "right";
      context.fillText(by === "nobody" ? "?" : percent(now[k]), width - 52, middle);
      context.fillStyle = house.ink(Math.abs(moved) >= 5e-4 ? "ink" : "soft");
      context.fillText(by === "nobody" ? "" : changeInWords(moved), width, middle);
    });
    const inWords = by === "nobody" ? "not known; the notebook must compute them" : shown.map((k) =>
      `${names[k]} ${percent(now[k])}${editCount() ? `, change ${changeInWords(now[k] - before[k])}` : ""}`).join("; ");
    bars.setAttribute("aria-label", `Class probabilities: ${inWords}`);
    barsName.textContent = editCount() ? "Class probabilities (change in points)" : "Class probabilities";
    bars.dataset.probabilities = by === "nobody" ? "" : now.map((value) => value.toPrecision(7)).join(",");
    bars.dataset.by = by;
    reset.disabled = !editCount();
    tell(outcome);
  }
  function shorten(context, text, width) {
    let kept = text;
    while (kept.length > 1 && context.measureText(kept).width > width) kept = `${kept.slice(0, -2)}…`;
    return kept;
  }

  function tell(outcome = result(), quiet = false) {
    if (!talking) house.say(describe(outcome), { quiet });
  }
  /** The status line in parts: the channel in focus; the answer, and who computed it; how to release the focus. */
  function describe({ before, now, by } = result()) {
    const stage = stageNow();
    const { channel } = state;
    const names = sourceNow().classes;
    const said = (values) => `${names[largest(values)]} with ${percent(values[largest(values)])}`;
    const own = stage.gates[channel].toFixed(2);
    const gate = gateOf(channel).toFixed(2);
    const moved = channel in state.edits ? `gate ${gate} by hand, ${own} by the network` : `gate ${own}`;
    const rank = state.order === "channel" ? `0 to ${stage.channels - 1}`
      : `${ordinal(place[channel] + 1)} of ${stage.channels} by ${state.order}`;
    const name = shortName(sourceNow().stages[stageIndex()]);
    const first = `Channel ${channel} of ${name} (${rank}): mean ${stage.means[channel].toFixed(3)}, ${moved}.`;
    const count = editCount() === 1 ? "1 gate moved" : `${editCount()} gates moved`;
    const second = {
      network: `The network answers ${said(before)}; no gate is moved.`,
      page: `${count}: the answer is ${said(now)}, before it was ${said(before)}. Computed exactly in this page.`,
      kernel: `${count}: the answer is ${said(now)}, before it was ${said(before)}. Computed by the notebook, since later `
        + "layers follow this stage.",
      nobody: hasKernel()
        ? `${count}: later layers follow this stage, so the notebook is asked for the answer.`
        : `${count}: later layers follow this stage, so the answer needs a running notebook; here there is no kernel to ask.`,
    }[by];
    return [first, second, focus.hint()];
  }

  function showChoices() {
    const source = sourceNow();
    const sizes = source.examples[0]?.stages.map(({ maps: { shape } }) => shape) ?? [];
    fill(sourceChoice, model.get("sources").map(({ key, title }) => [key, title]), source.key);
    fill(stageChoice, source.stages.map((name, i) =>
      [String(i), `${shortName(name)}: ${sizes[i][0]} maps of ${sizes[i][1]} × ${sizes[i][2]}`]), String(stageIndex()));
    orderChoice.set(state.order);
    drawButton.hidden = !source.draw;
    uploadButton.hidden = !source.upload;
    if (!source.draw) {
      padBox.hidden = true;
      drawButton.setAttribute("aria-expanded", "false");
    }
    const own = model.get("own")[source.key];
    offered = [...source.examples.map((example, i) => [i, example]), ...(own ? [[OWN, own]] : [])];
    if (state.example === OWN && !own) state.example = 0;
    thumbs.show(
      offered.map(([index, example]) => ({
        key: example, title: example.label, image: opened(example, openExample).image,
        label: index === OWN ? example.label : `Picture ${index + 1}: ${example.label}`,
      })),
      offered.findIndex(([index]) => index === state.example),
    );
  }

  function showAll() {
    showChoices();
    arrange();
    const stage = stageNow();
    const example = exampleNow();
    gridName.textContent = `${stage.channels} maps with their gates; with the pointer: drag a bar, double-click knocks out`;
    grid.setAttribute("aria-label", `${stage.channels} feature maps with their gates. Arrows move, Enter locks, Delete knocks `
      + "a channel out, Escape releases.");
    scale.set({ table: TABLE, low: stage.low, high: stage.high });
    const { image } = opened(example, openExample);
    showLens(lenses[0].canvas, image, image.height, image.width);
    lenses[0].canvas.setAttribute("aria-label", `input: ${example.label}`);
    lenses[0].words.textContent = `input: ${example.label}`;
    paintGrid();
    if (focus.get()) focus.set(cellOf(state.channel), focus.isLocked());
    showFocus();
    showResult();
  }

  house.listen("sources", showChoices);
  house.listen("own", () => {
    answered = {};
    if (state.example === OWN) showAll();
    else showChoices();
  });
  // Another view stores one trait after the other: what is shown follows once all of them are there.
  const heard = new Set();
  for (const name of NAMES) {
    house.listen(name, () => {
      heard.add(name);
      if (heard.size > 1) return;
      queueMicrotask(() => {
        const news = [...heard].filter((one) => JSON.stringify(state[one]) !== JSON.stringify(model.get(one)));
        heard.clear();
        news.forEach(pull);
        if (news.length) showAll();
      });
    });
  }
  house.listen("answer", () => {
    const answer = model.get("answer");
    if (answer.probabilities) {
      answered = answer;
      showResult();
    } else if (answer.failed && result().by === "nobody") {
      house.say("The notebook could not answer; its message stands below.");
    }
  });

  house.actions.append(
    reset,
    copyButton(house, () => codeFor(sourceNow(), exampleNow(), sourceNow().stages[stageIndex()], state.edits)),
    saveButton(house, () => picture(), "channel-gates.png"),
  );

  /** The picture to save: the maps, the channel in focus, the probabilities and the status line. */
  function picture() {
    const pixels = window.devicePixelRatio || 1;
    const canvas = document.createElement("canvas");
    const wide = layout.width + right.clientWidth + 48;
    const tall = Math.max(layout.height, 190 + lenses[1].canvas.height / pixels + bars.height / pixels) + 90;
    canvas.width = wide * pixels;
    canvas.height = tall * pixels;
    const context = canvas.getContext("2d");
    context.scale(pixels, pixels);
    context.fillStyle = house.ink("surface");
    context.fillRect(0, 0, wide, tall);
    const put = (source, x, y) => context.drawImage(source, x, y, source.width / pixels, source.height / pixels);
    const write = (text, x, y, font = `13px ${FONT}`) => {
      context.font = font;
      context.fillStyle = house.ink("ink");
      context.fillText(text, x, y);
    };
    put(grid, 16, 16);
    const x = layout.width + 32;
    lenses.forEach(({ canvas: lens, words }, i) => {
      const at = x + (i * (right.clientWidth + 8)) / 3;
      put(lens, at, 16);
      context.font = `13px ${FONT}`;
      write(shorten(context, words.textContent, right.clientWidth / 3 - 8), at, 32 + lenses[1].canvas.height / pixels);
    });
    let y = lenses[1].canvas.height / pixels + 64;
    write(`${channelName.textContent} · gate ${gateOf(state.channel).toFixed(2)}`, x, y, `600 13px ${FONT}`);
    const { low, high } = stageNow();
    y += 12;
    context.drawImage(scale.canvas, x, y, right.clientWidth, 10);
    write(`${number(low)} to ${number(high)}: values of all maps of this stage`, x, y + 26);
    write(barsName.textContent, x, y + 62);
    put(bars, x, y + 72);
    let line = "";
    let bottom = tall - 44;
    for (const word of house.status.textContent.split(" ")) {
      if (context.measureText(`${line} ${word}`).width > wide - 32) {
        write(line, 16, bottom);
        line = "";
        bottom += 18;
      }
      line = line ? `${line} ${word}` : word;
    }
    write(line, 16, bottom);
    return canvas;
  }

  house.whenShown(showAll);
  return house.end;
}

/** The lines that reproduce what is shown. */
function codeFor(source, example, stage, edits) {
  const lines = [source.code, example.code, ""];
  if (source.records) {
    lines.push(
      "with torch.no_grad(), record_masks(network) as masks:",
      "    untouched = network(image).softmax(1)",
      `print(masks["${stage}"].flatten())  # the gates`,
    );
  } else lines.push("with torch.no_grad():", "    untouched = network(image).softmax(1)");
  lines.push("print(untouched)");
  const moved = Object.entries(edits);
  if (moved.length) {
    lines.push(
      "",
      `gates = {${moved.map(([channel, gate]) => `${channel}: ${gate}`).join(", ")}}  # channel: gate, moved by hand`,
      "",
      "",
      "def move(block, inputs, output):  # the block's output is gate times map",
      "    output = output.clone()",
      "    for channel, gate in gates.items():",
      "        output[:, channel] = gate * inputs[0][:, channel]",
      "    return output",
      "",
      "",
      `hook = network.get_submodule("${stage}").register_forward_hook(move)`,
      "with torch.no_grad():",
      "    moved = network(image).softmax(1)",
      "hook.remove()",
      "print(moved)",
    );
  }
  return lines.join("\n");
}

export default { render };
