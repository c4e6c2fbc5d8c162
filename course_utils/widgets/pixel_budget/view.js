import { button, slider, store } from "../page/bind.js";
import { element } from "../page/elements.js";
import { frame } from "../page/frame.js";
import { decode, largest, percent, softmax } from "../page/maths.js";
import { createNetwork } from "../page/network.js";
import { fitPanel, layPicture, paintImage } from "../page/paint.js";
import { copyButton, instrument, pictureButtons, picturePanel, row, saveButton } from "../page/panels.js";

const HIDDEN = [52, 76, 140]; // the colour of a pixel that the network does not see
const STROKE = 0.09; // as a share of the side
const INK = 20 / 28; // how much of the side a drawing fills, as in the data the network was trained on

/** Indices of the `count` largest scores. */
const best = (scores, count) => Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a]).slice(0, count);

/** Draw strokes, given in shares of the side, onto a square context. */
function drawStrokes(context, strokes, side) {
  Object.assign(context, { strokeStyle: "#fff", lineWidth: STROKE * side, lineCap: "round", lineJoin: "round" });
  for (const [start, ...others] of strokes) {
    context.beginPath();
    context.moveTo(start[0] * side, start[1] * side);
    for (const [x, y] of others.length ? others : [start]) context.lineTo(x * side, y * side);
    context.stroke();
  }
}

/** A drawing as the network knows digits: its box fills INK of the side, in the middle; bytes of one channel. */
function digitOf(strokes, size) {
  const places = strokes.flat();
  const [left, top, right, bottom] = [0, 1].map((axis) => Math.min(...places.map((place) => place[axis])))
    .concat([0, 1].map((axis) => Math.max(...places.map((place) => place[axis]))));
  const zoom = (INK - STROKE) / Math.max(right - left, bottom - top, 0.05);
  const moved = strokes.map((stroke) => stroke.map(([x, y]) => [
    0.5 + zoom * (x - (left + right) / 2), 0.5 + zoom * (y - (top + bottom) / 2),
  ]));
  const large = element("canvas", { width: 8 * size, height: 8 * size });
  drawStrokes(large.getContext("2d"), moved, 8 * size);
  const small = element("canvas", { width: size, height: size });
  const context = small.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.fillRect(0, 0, size, size);
  context.drawImage(large, 0, 0, size, size);
  const { data } = context.getImageData(0, 0, size, size);
  return Uint8Array.from({ length: size * size }, (_, i) => data[4 * i]);
}

/** The picture shown, its three masks and what the network answers to each: `compute()` fills `now`. */
function reader(model) {
  const network = createNetwork(model.get("graph"), model.get("weights"));
  const pictures = decode(model.get("pictures"));
  const [count, height, width] = pictures.shape;
  const pixels = height * width;
  const wanted = Object.fromEntries(["random", "fixed"].map((name) => [name, decode(model.get("scores")[name]).values]));
  const still = (index) => pictures.values.slice(index * pixels, (index + 1) * pixels);
  const answer = (values) => softmax(network.run({ shape: [1, height, width], data: values }).output.data);
  const made = { count, height, width, pixels, still, now: null };
  made.kept = () => Math.max(1, Math.floor(model.get("budget") * pixels));
  made.compute = () => {
    const drawn = model.get("drawing");
    const empty = drawn && !model.get("strokes").length;
    const picture = empty ? new Uint8Array(pixels) : drawn ? digitOf(model.get("strokes"), width) : still(model.get("picture"));
    const masks = ["random", "fixed", "dynamic"].map((name) => {
      const mask = new Uint8Array(pixels);
      for (const index of best(name === "dynamic" ? picture : wanted[name], made.kept())) mask[index] = 1;
      const shares = answer(Float64Array.from(picture, (value, i) => (mask[i] * value) / 255));
      return { name, mask, shares, top: largest(shares) };
    });
    made.now = { picture, empty, masks, label: drawn ? null : model.get("labels")[model.get("picture")] };
  };
  return made;
}

/** The main picture, on which a drawing is made. */
function padPart(model, numbers) {
  const made = picturePanel("", { role: "img" });
  const note = element("p", { class: "cw-panel-name" });
  made.node.append(note);
  const { canvas } = made;
  let stroke = null;
  const place = ({ offsetX, offsetY }) => [offsetX / canvas.clientWidth, offsetY / canvas.clientHeight];
  const draw = () => {
    const drawn = model.get("drawing");
    const { height, width } = numbers;
    canvas.classList.toggle("cw-pointed", drawn);
    made.rename(drawn ? "Your drawing" : "The whole picture");
    note.textContent = drawn ? "Draw one digit here; the network answers after each stroke."
      : "The network never sees this one, only the three beside it.";
    canvas.setAttribute("aria-label", drawn ? "Your drawing" : `A handwritten ${numbers.now.label}`);
    if (!drawn) {
      layPicture(canvas, paintImage({ shape: [height, width], values: numbers.now.picture }));
      return;
    }
    const context = canvas.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    drawStrokes(context, stroke ? [...model.get("strokes"), stroke] : model.get("strokes"), canvas.width);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (!model.get("drawing") || event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    stroke = [place(event)];
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!stroke) return;
    stroke.push(place(event));
    draw();
  });
  const finish = (keep) => {
    const done = stroke;
    stroke = null;
    if (done && keep) store(model, { strokes: [...model.get("strokes"), done] });
    else if (done) draw();
  };
  canvas.addEventListener("pointerup", () => finish(true));
  canvas.addEventListener("pointercancel", () => finish(false));
  return { ...made, draw };
}

const NAMES = { random: "Random", fixed: "Fixed", dynamic: "Dynamic" };

/** What is left of the picture under one mask, and the answer to it. */
function maskPart(numbers, index) {
  const made = picturePanel("", { role: "img" });
  const words = element("p", { class: "cw-panel-name" });
  made.node.append(words);
  const draw = () => {
    const { picture, empty, masks, label } = numbers.now;
    const { name, mask, shares, top } = masks[index];
    const values = new Uint8Array(3 * numbers.pixels);
    mask.forEach((seen, i) => values.set(seen ? [picture[i], picture[i], picture[i]] : HIDDEN, 3 * i));
    layPicture(made.canvas, paintImage({ shape: [numbers.height, numbers.width, 3], values }));
    made.rename(NAMES[name]);
    const verdict = label === null ? "" : top === label ? ", right" : ", wrong";
    words.textContent = empty ? "Nothing to read yet" : `Reads ${top} (${percent(shares[top])})${verdict}`;
    made.canvas.setAttribute("aria-label", `${NAMES[name]}: ${words.textContent}`);
    made.node.dataset.shares = Array.from(shares, (share) => share.toPrecision(6)).join(",");
  };
  return { ...made, draw };
}

function controlsPart(house, model, numbers) {
  const budget = slider({
    label: "Pixels kept", min: 1, max: 60, step: 1, value: 10,
    show: (value) => `${value} %: ${numbers.kept()} of ${numbers.pixels}`,
    onInput: (value) => store(model, { budget: value / 100 }),
  });
  const pen = button("Draw your own", () => store(model, { drawing: !model.get("drawing"), strokes: [] }));
  const clear = button("Clear the drawing", () => store(model, { strokes: [] }));
  house.controls.append(budget.node, pen, clear);
  const refresh = () => {
    budget.set(Math.round(100 * model.get("budget")));
    pen.textContent = model.get("drawing") ? "Back to the digits" : "Draw your own";
    clear.hidden = !model.get("drawing");
  };
  return { refresh };
}

function describe(model, numbers) {
  const { empty, masks: [random, fixed, dynamic], label } = numbers.now;
  if (empty) return ["The drawing is empty: draw a digit on the large picture."];
  return [
    `The network reads ${random.top} in random places, ${fixed.top} in fixed ones, ${dynamic.top} in dynamic ones.`,
    { aside: `It sees ${numbers.kept()} of ${numbers.pixels} pixels${label === null ? "" : ` of a ${label}`}.` },
  ];
}

function render({ model, el }) {
  const house = frame({ model, el, name: "pixel-budget" });
  const numbers = reader(model);
  numbers.compute();
  const pad = padPart(model, numbers);
  const shown = [0, 1, 2].map((index) => maskPart(numbers, index));
  const thumbs = pictureButtons({
    label: "Digits", side: 36, onPress: (picture) => store(model, { picture, drawing: false, strokes: [] }),
  });
  const legend = element("p", { class: "cw-panel-name" }, "Blue: not shown to the network. Fixed keeps the pixels that are brightest "
    + "on average over all digits, dynamic the brightest of this one.");
  instrument(house, pad.node, row(...shown.map(({ node }) => node)), legend, thumbs.node);
  const controls = controlsPart(house, model, numbers);
  const offers = Array.from({ length: numbers.count }, (_, i) => ({
    key: i, label: `A ${model.get("labels")[i]}`,
    image: paintImage({ shape: [numbers.height, numbers.width], values: numbers.still(i) }),
  }));
  const draw = () => {
    if (house.root.clientWidth === 0) return;
    for (const part of [pad, ...shown]) {
      fitPanel(part, numbers.height / numbers.width);
      part.draw();
    }
    thumbs.show(offers, model.get("drawing") ? -1 : model.get("picture"));
    controls.refresh();
    house.say(describe(model, numbers));
  };
  house.listen(["picture", "budget", "drawing", "strokes"], () => {
    numbers.compute();
    draw();
  });
  house.whenShown(draw);
  const code = () => model.get("code").replaceAll("{picture}", String(model.get("picture")))
    .replaceAll("{count}", String(numbers.kept()));
  house.actions.append(saveButton(house, "pixel-budget.png", { lines: () => describe(model, numbers) }), copyButton(house, code));
  return house.end;
}

export default { render };
