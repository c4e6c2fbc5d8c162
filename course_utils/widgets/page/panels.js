// Parts that several widgets show: buttons with pictures, scales, saving and copying.
//
// A view saves what it shows, with the words of its status line below:
//   saveButton(house, () => pictureSheet(house, describe(), [house.stage, scale.node]), "query-map.png")

import { button } from "./bind.js";
import { element } from "./elements.js";
import { number } from "./maths.js";
import { fit, paintMap } from "./paint.js";

/**
 * A row of buttons, each a small picture. `show(offers, chosen)` draws them, `offers` = [{ key, label, title, image }] with
 * a canvas as image, and presses the one at the index `chosen`; `onPress(index)` hears the learner.
 */
export function pictureButtons({ label, side, onPress }) {
  const node = element("div", { class: "cw-thumbnails", role: "group", "aria-label": label });
  let keys = [];
  const show = (offers, chosen) => {
    // A new button would not have the focus that the old one had.
    if (offers.length !== keys.length || offers.some(({ key }, i) => key !== keys[i])) {
      keys = offers.map(({ key }) => key);
      node.replaceChildren(...offers.map((_, i) => button(element("canvas", { "aria-hidden": "true" }), () => onPress(i))));
    }
    offers.forEach(({ label: words, title = words, image }, i) => {
      const press = node.children[i];
      const small = press.firstChild;
      const { width, height } = fit(small, side, image.height / image.width);
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

/** A scale: the colour table with the numbers at its ends (and at its middle for RdBu). `set(range)` redraws it. */
export function scaleBar(title) {
  const canvas = element("canvas", { role: "img", width: "256", height: "1" });
  const numbers = element("div", { class: "cw-scale-numbers", "aria-hidden": "true" });
  const name = element("p", { class: "cw-panel-name" }, title);
  const set = ({ table, low, high }) => {
    const ramp = Float32Array.from({ length: 256 }, (_, i) => i + 0.5);
    canvas.getContext("2d").drawImage(paintMap(ramp, 1, 256, { table, low: 0, high: 256 }), 0, 0);
    canvas.setAttribute("aria-label", `${title}: ${table}, from ${number(low)} to ${number(high)}`);
    const shown = [low, (low + high) / 2, high].map((value) => element("span", {}, number(value)));
    numbers.replaceChildren(...shown);
  };
  return { node: element("div", { class: "cw-scale" }, name, canvas, numbers), canvas, set };
}

/** A button that copies lines of code; where the browser refuses, it shows them ready to copy. */
export function copyButton(house, code) {
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

/** A button that saves the picture which `draw()` returns as a canvas. */
export function saveButton(house, draw, fileName) {
  return button("Save the picture", () => {
    draw().toBlob((blob) => {
      const address = URL.createObjectURL(blob);
      element("a", { href: address, download: fileName }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10000);
      house.add(`Saved as ${fileName}.`);
    });
  });
}

const ON_A_SHEET = "canvas:not(button canvas), .cw-panel-name:not(.cw-keys), .cw-heads-name, .cw-heads-numbers, "
  + ".cw-scale-numbers span";

/** A picture of some nodes of a widget as a canvas: their canvases and names where they stand, and lines of words below. */
export function pictureSheet(house, lines, nodes = [house.stage]) {
  const pixels = window.devicePixelRatio || 1;
  const gap = 16;
  const boxes = nodes.map((node) => node.getBoundingClientRect());
  const left = Math.min(...boxes.map((box) => box.left));
  const top = Math.min(...boxes.map((box) => box.top));
  const width = Math.max(...boxes.map((box) => box.right)) - left;
  const height = Math.max(...boxes.map((box) => box.bottom)) - top;
  const sheet = element("canvas", {
    width: Math.round((width + 2 * gap) * pixels), height: Math.round((height + 3 * gap + 20 * lines.length) * pixels),
  });
  const context = sheet.getContext("2d");
  const font = (size) => { context.font = `${Math.round(size * pixels)}px ${getComputedStyle(house.root).fontFamily}`; };
  context.fillStyle = house.ink("surface");
  context.fillRect(0, 0, sheet.width, sheet.height);
  context.fillStyle = house.ink("ink");
  context.textBaseline = "top";
  context.imageSmoothingEnabled = false;
  for (const node of nodes.flatMap((one) => [...one.querySelectorAll(ON_A_SHEET)])) {
    const box = node.getBoundingClientRect();
    if (!box.width || !box.height) continue;
    const [x, y] = [Math.round((box.left - left + gap) * pixels), Math.round((box.top - top + gap) * pixels)];
    if (node.localName === "canvas") {
      context.drawImage(node, x, y, Math.round(box.width * pixels), Math.round(box.height * pixels));
    } else {
      font(parseFloat(getComputedStyle(node).fontSize));
      const words = node.classList.contains("cw-heads-numbers") ? node.textContent.split(" ") : [node.textContent];
      words.forEach((word, i) => context.fillText(word, x, y + 16 * i * pixels, Math.ceil(box.width * pixels)));
    }
  }
  font(13);
  lines.forEach((line, i) =>
    context.fillText(line, gap * pixels, (height + 2 * gap + 20 * i) * pixels, sheet.width - 2 * gap * pixels));
  return sheet;
}
