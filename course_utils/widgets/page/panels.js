// Parts that several widgets show: buttons with pictures, scales, saving and copying.
//
// A view saves what it shows, with the words of its status line below:
//   const map = pointPanel(keyWords());
//   instrument(house, map.node, answers);
//   keepButtons(house, describe, code);

import { button, gestures, store } from "./bind.js";
import { element, wordsIn } from "./elements.js";
import { changeInWords, number, percent } from "./maths.js";
import { fit, paintMap } from "./paint.js";

/** A figure with its name above it. `rename(words)` changes the name, `remark(words)` what is said below. */
export function panel(name, ...nodes) {
  const words = element("figcaption", { class: "cw-panel-name" }, name);
  const below = element("p", { class: "cw-panel-name" });
  const rename = (next) => { words.textContent = next; };
  const remark = (next) => {
    if (!below.parentNode) nodes.at(-1).after(below);
    below.textContent = next;
  };
  return { node: element("figure", { class: "cw-panel" }, words, ...nodes), rename, remark };
}

/** A panel that holds one canvas, with the canvas' attributes, and what stands below it. */
export function picturePanel(name, attributes, ...below) {
  const canvas = element("canvas", attributes);
  const made = panel(name, canvas);
  made.node.append(...below);
  return { ...made, canvas };
}

/** A line of words below a picture. */
export const note = (words = "", kind = "") => element("p", { class: `cw-panel-name ${kind}` }, words);

/** A panel whose canvas takes the pointer and the keys, and below it a line that says how. */
export function pointPanel(label = "", hint = gestures()) {
  const made = picturePanel("", { role: "application", "aria-label": label });
  made.node.append(note(hint, "cw-keys"));
  return made;
}

/** Lay a widget out as an instrument: the main picture, and beside it (below it on a phone) what it answers. */
export function instrument(house, main, ...answers) {
  main.classList.add("cw-main");
  house.stage.classList.add("cw-instrument");
  house.stage.append(main, element("div", { class: "cw-answer" }, ...answers));
}

/** Panels of one size in a row. */
export const row = (...nodes) => element("div", { class: "cw-row" }, ...nodes);

/** What few need, folded away below the controls. */
export function more(house, words, ...nodes) {
  const node = element("details", { class: "cw-more" }, element("summary", {}, words), ...nodes);
  house.actions.before(node);
  return node;
}

/**
 * Bars of probabilities. `show(rows)` draws them, `rows` = [{ name, value, before, chosen, words }]: `value` from 0 to
 * 1, `before` what it was (left out where nothing was changed), `words` for the value where it is no percentage.
 */
export function bars({ label }) {
  const node = element("div", { class: "cw-bars", role: "list", "aria-label": label });
  const make = () => {
    const parts = ["name", "track", "value"].map((name) => element("span", { class: `cw-bar-${name}` }));
    parts[1].append(element("span", { class: "cw-bar-fill" }), element("span", { class: "cw-bar-before" }));
    return element("div", { class: "cw-bar", role: "listitem" }, ...parts);
  };
  const show = (rows) => {
    while (node.children.length < rows.length) node.append(make());
    while (node.children.length > rows.length) node.lastChild.remove();
    rows.forEach(({ name, value, before = null, chosen = false, words: own }, i) => {
      const bar = node.children[i];
      const [words, track, numbers] = bar.children;
      bar.dataset.probability = value.toPrecision(6);
      bar.classList.toggle("cw-chosen", chosen);
      words.textContent = name;
      words.title = name;
      const change = before === null ? "" : ` ${changeInWords(value - before)}`;
      numbers.textContent = own ?? `${percent(value)}${change}`;
      const [fill, mark] = track.children;
      fill.style.width = `${100 * value}%`;
      mark.style.left = `${100 * (before ?? 0)}%`;
      mark.hidden = before === null;
    });
  };
  return { node, show };
}

/**
 * The steps of a lesson as buttons above the picture, of the trait `steps`: [{ label, set: { trait: value }, notice }].
 * A press stores the traits and says below the buttons what to notice; the button stays pressed while they hold.
 */
export function tryThis(house, model) {
  const node = element("div", { class: "cw-steps", role: "group", "aria-label": "Try this" });
  const notice = element("p", { class: "cw-notice", "aria-live": "polite" });
  let taken = null;
  const holds = ({ set }) =>
    Object.entries(set).every(([name, value]) => JSON.stringify(model.get(name)) === JSON.stringify(value));
  const follow = () => {
    const valid = taken !== null && holds(taken);
    notice.classList.toggle("cw-past", !valid);
    for (const each of node.querySelectorAll("button")) {
      each.setAttribute("aria-pressed", String(valid && each.step === taken));
    }
  };
  const press = ({ currentTarget }) => {
    taken = currentTarget.step;
    notice.textContent = taken.notice;
    store(model, taken.set);
    follow();
  };
  const draw = () => {
    const steps = model.get("steps") ?? [];
    node.hidden = !steps.length;
    const made = steps.map((step) => Object.assign(button(step.label, press), { step }));
    node.replaceChildren(element("span", {}, "Try this:"), ...made, notice);
    house.listen([...new Set(steps.flatMap(({ set }) => Object.keys(set)))], follow);
    follow();
  };
  house.stage.before(node);
  house.listen("steps", draw);
  draw();
}

/**
 * A row of buttons, each a small picture, `side` pixels wide. `show(offers, chosen, wide)` draws them, `offers` =
 * [{ key, label, title, image }] with a canvas as image, and presses the one at the index `chosen`; `wide` is another
 * width for this time. `onPress(index)` hears the learner.
 */
export function pictureButtons({ label, side, onPress }) {
  const node = element("div", { class: "cw-thumbnails", role: "group", "aria-label": label });
  let keys = [];
  const show = (offers, chosen, wide = side) => {
    // A new button would not have the focus that the old one had.
    if (offers.length !== keys.length || offers.some(({ key }, i) => key !== keys[i])) {
      keys = offers.map(({ key }) => key);
      const picture = () => element("canvas", { "aria-hidden": "true" });
      node.replaceChildren(...offers.map((_, i) => button(picture(), () => onPress(i))));
    }
    offers.forEach(({ label: words, title = words, image }, i) => {
      const press = node.children[i];
      const small = press.firstChild;
      const { width, height } = fit(small, wide, image.height / image.width);
      const context = small.getContext("2d");
      context.imageSmoothingEnabled = image.width > width;
      context.imageSmoothingQuality = "high";
      context.drawImage(image, 0, 0, width, height);
      press.setAttribute("aria-label", words);
      press.setAttribute("aria-pressed", String(i === chosen));
      press.title = title;
    });
  };
  return { node, show };
}

/**
 * Buttons for the trait `pictures`, each with a `label`, which store the trait `picture`; `imageOf(picture)` gives a
 * canvas. `refresh()` follows the traits.
 */
export function pictureChoice(model, side, imageOf, reset = {}) {
  const onPress = (picture) => store(model, { ...reset, picture });
  const { node, show } = pictureButtons({ label: "Pictures", side, onPress });
  const refresh = () => {
    const offers = model.get("pictures").map((one, key) => ({ key, label: one.label, image: imageOf(one) }));
    node.hidden = offers.length < 2;
    show(offers, model.get("picture"));
  };
  return { node, refresh };
}

/**
 * A scale: the colour table with the numbers at its ends and in its middle. `set(range)` redraws it, `rename(words)`
 * gives it another title.
 */
export function scaleBar(title) {
  const canvas = element("canvas", { role: "img", width: "256", height: "1" });
  const ends = Array.from({ length: 3 }, () => element("span"));
  const numbers = element("div", { class: "cw-scale-numbers", "aria-hidden": "true" }, ...ends);
  const name = element("p", { class: "cw-panel-name" }, title);
  const rename = (words) => { name.textContent = words; };
  const set = ({ table, low, high }) => {
    if (table !== canvas.dataset.table) {
      paintMap(Float32Array.from({ length: 256 }, (_, i) => i + 0.5), 1, 256, { table, low: 0, high: 256 }, canvas);
      canvas.dataset.table = table;
    }
    const inWords = (value) => number(Math.abs(value) < (high - low) / 1e4 ? 0 : value); // no 2.98e-7 beside 0.8
    canvas.setAttribute("aria-label", `${name.textContent}: ${table}, from ${inWords(low)} to ${inWords(high)}`);
    [low, (low + high) / 2, high].forEach((value, i) => { ends[i].textContent = inWords(value); });
  };
  return { node: element("div", { class: "cw-scale" }, name, canvas, numbers), canvas, set, rename };
}

/** The two buttons of every view: the picture with the lines that `lines()` gives below it, and the code. */
export function keepButtons(house, lines, code) {
  house.actions.append(saveButton(house, lines), copyButton(house, code));
}

/** A button that copies lines of code; where the browser refuses, it shows them ready to copy. */
function copyButton(house, code) {
  const box = element("textarea", { readOnly: true, hidden: true, rows: "4", "aria-label": "Code" });
  house.actions.after(box);
  return button("Copy the code", async () => {
    box.value = code();
    try {
      await navigator.clipboard.writeText(box.value);
      box.hidden = true;
      house.add("Copied the code that makes this.");
    } catch {
      box.hidden = false;
      box.select();
      const words = "The browser keeps the clipboard closed: the code stands below, selected and ready to copy.";
      house.add(words);
    }
  });
}

/** A button that saves a picture of the widget as a file, and below it the lines that `lines()` gives. */
function saveButton(house, lines) {
  const fileName = `${house.root.dataset.widget}.png`;
  return button("Save the picture", () => {
    pictureSheet(house, lines()).toBlob((blob) => {
      const address = URL.createObjectURL(blob);
      element("a", { href: address, download: fileName }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10000);
      house.add(`Saved as ${fileName}.`);
    });
  });
}

const NOT_ON_A_SHEET = "input:not([type=number]), select, textarea, details, "
  + "button:not(figcaption > *), .cw-controls, .cw-keys, .cw-heard, [hidden]";

/** Draw a node onto a sheet as it stands on the page: canvases, grounds and words. `place` gives a box its pixels. */
function copyNode(context, node, place, pixels) {
  if (node.nodeType === Node.TEXT_NODE) {
    const style = getComputedStyle(node.parentElement);
    context.font = `${style.fontWeight} ${parseFloat(style.fontSize) * pixels}px ${style.fontFamily}`;
    context.fillStyle = style.color;
    for (const { index, 0: word } of node.data.matchAll(/\S+/g)) {
      const range = document.createRange();
      range.setStart(node, index);
      range.setEnd(node, index + word.length);
      const [x, y, width, height] = place(range.getBoundingClientRect());
      if (width) context.fillText(word, x, y + height / 2);
    }
    return;
  }
  if (node.nodeType !== Node.ELEMENT_NODE || node.matches(NOT_ON_A_SHEET)) return;
  const [x, y, width, height] = place(node.getBoundingClientRect());
  if (node.localName === "canvas") {
    if (width && height) context.drawImage(node, x, y, width, height);
    return;
  }
  const { backgroundColor, color, font } = getComputedStyle(node);
  context.fillStyle = backgroundColor;
  context.fillRect(x, y, width, height);
  if (node.localName === "input") {
    context.font = font.replace(/[\d.]+px/, (size) => `${parseFloat(size) * pixels}px`);
    context.fillStyle = color;
    context.fillText(node.value, x + width / 3, y + height / 2);
  }
  for (const child of node.childNodes) copyNode(context, child, place, pixels);
}

/** Lines no wider than `width`, broken between words. */
function wrap(context, words, width) {
  const lines = [];
  for (const word of words.split(" ")) {
    const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
    if (lines.length && context.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/** A picture of a widget as a canvas: what its stage shows, and lines of words below. */
function pictureSheet(house, lines) {
  const pixels = window.devicePixelRatio || 1;
  const gap = 16;
  const { left, top, width, height } = house.stage.getBoundingClientRect();
  const sheet = element("canvas", { width: Math.round((width + 2 * gap) * pixels) });
  const context = sheet.getContext("2d");
  const font = `${Math.round(13 * pixels)}px ${getComputedStyle(house.root).fontFamily}`;
  context.font = font;
  const words = lines.map(wordsIn).filter(Boolean);
  const broken = words.flatMap((line) => wrap(context, line, sheet.width - 2 * gap * pixels));
  sheet.height = Math.round((height + 3 * gap + 20 * broken.length) * pixels);
  context.fillStyle = house.ink("surface");
  context.fillRect(0, 0, sheet.width, sheet.height);
  context.textBaseline = "middle";
  context.imageSmoothingEnabled = false;
  const at = (value, edge) => Math.round((value - edge + gap) * pixels);
  const place = (box) =>
    [at(box.left, left), at(box.top, top), Math.round(box.width * pixels), Math.round(box.height * pixels)];
  copyNode(context, house.stage, place, pixels);
  context.font = font;
  context.fillStyle = house.ink("ink");
  broken.forEach((line, i) => context.fillText(line, gap * pixels, (height + 2 * gap + 20 * i + 10) * pixels));
  return sheet;
}
