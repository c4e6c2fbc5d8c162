import { button, slider, store } from "../page/bind.js";
import { frame } from "../page/frame.js";
import { decode, largest, percent, softmax, strongest } from "../page/maths.js";
import { createNetwork } from "../page/network.js";
import { digitOf, drawingPad } from "../page/pad.js";
import { fitPanel, layPicture, paintImage } from "../page/paint.js";
import { instrument, keepButtons, note, pictureButtons, picturePanel, row } from "../page/panels.js";

const HIDDEN = [52, 76, 140]; // the colour of a pixel that the network does not see

/** The picture shown, its three masks and what the network answers to each: `compute()` fills `now`. */
function reader(model) {
  const network = createNetwork(model.get("graph"), model.get("weights"));
  const pictures = decode(model.get("pictures"));
  const [count, height, width] = pictures.shape;
  const pixels = height * width;
  const { random, fixed } = model.get("scores");
  const wanted = { random: decode(random).values, fixed: decode(fixed).values };
  const still = (index) => pictures.values.slice(index * pixels, (index + 1) * pixels);
  const answer = (values) => softmax(network.run({ shape: [1, height, width], data: values }).output.data);
  const made = { count, height, width, pixels, still, now: null };
  made.kept = () => Math.max(1, Math.floor(model.get("budget") * pixels));
  made.compute = () => {
    const drawn = model.get("drawing");
    const empty = drawn && !model.get("strokes").length;
    const drawing = () => (empty ? new Uint8Array(pixels) : digitOf(model.get("strokes"), width));
    const picture = drawn ? drawing() : still(model.get("picture"));
    const masks = Object.entries({ ...wanted, dynamic: picture }).map(([name, scores]) => {
      const mask = new Uint8Array(pixels);
      for (const index of strongest(scores, made.kept())) mask[index] = 1;
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
  const { canvas } = made;
  const drawPad = drawingPad(canvas, {
    strokes: () => model.get("strokes"), isOn: () => model.get("drawing"),
    onStroke: (stroke) => store(model, { strokes: [...model.get("strokes"), stroke] }),
  });
  const draw = () => {
    const drawn = model.get("drawing");
    const { height, width } = numbers;
    canvas.classList.toggle("cw-pointed", drawn);
    made.rename(drawn ? "Your drawing" : "The whole picture");
    made.remark(drawn ? "Draw one digit here; the network answers after each stroke."
      : "The network never sees this one, only the three masked ones.");
    canvas.setAttribute("aria-label", drawn ? "Your drawing" : `A handwritten ${numbers.now.label}`);
    if (drawn) drawPad();
    else layPicture(canvas, paintImage({ shape: [height, width], values: numbers.now.picture }));
  };
  return { ...made, draw };
}

const NAMES = { random: "Random", fixed: "Fixed", dynamic: "Dynamic" };

/** What is left of the picture under one mask, and the answer to it. */
function maskPart(numbers, index) {
  const made = picturePanel("", { role: "img" });
  const draw = () => {
    const { picture, empty, masks, label } = numbers.now;
    const { name, mask, shares, top } = masks[index];
    const values = new Uint8Array(3 * numbers.pixels);
    mask.forEach((seen, i) => values.set(seen ? [picture[i], picture[i], picture[i]] : HIDDEN, 3 * i));
    layPicture(made.canvas, paintImage({ shape: [numbers.height, numbers.width, 3], values }));
    made.rename(NAMES[name]);
    const verdict = label === null ? "" : top === label ? ", right" : ", wrong";
    const words = empty ? "Nothing to read yet" : `Reads ${top} (${percent(shares[top])})${verdict}`;
    made.remark(words);
    made.canvas.setAttribute("aria-label", `${NAMES[name]}: ${words}`);
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
  const legend = note("Blue: not shown to the network. Fixed keeps the pixels that are brightest on average over all "
    + "digits, dynamic the brightest of this one.");
  instrument(house, pad.node, row(...shown.map(({ node }) => node)), house.controls, legend, thumbs.node);
  house.stage.classList.add("cw-budget");
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
  keepButtons(house, () => describe(model, numbers), code);
  return house.end;
}

export default { render };
