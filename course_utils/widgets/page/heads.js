// The heads of a network that runs in the page: small pictures of all of them, and the lines that switch some off.

import { store } from "./bind.js";
import { element } from "./elements.js";
import { capital } from "./maths.js";
import { fit } from "./paint.js";

/** Whether the trait `off` has the head `name` = [layer, head]. */
export const isOff = (model, name) => model.get("off").some((one) => String(one) === String(name));

/** Take a head out of the network, or back into it. */
export function setOff(model, name, off) {
  const others = model.get("off").filter((one) => String(one) !== String(name));
  store(model, { off: off ? [...others, name] : others });
}

/** All heads as [layer, head], counted from 1. */
export const headNames = (layers, heads) =>
  Array.from({ length: layers * heads }, (_, i) => [Math.floor(i / heads) + 1, (i % heads) + 1]);

/**
 * A picture of every head of `names`, with a box below it that takes it out of the trait `off` and back into it; the
 * one in the trait `chosen` is framed. `nameOf(name)` says it in words, `press(name, event)` hears a click on a
 * picture.
 *
 * `resize(ratio)` gives the pictures their pixels. `draw(paint)` paints them: `paint(canvas, name, isOff)` gives the
 * `words` beside the box, the `label` of the picture and, if it has one, its `row` of weights.
 */
export function headTiles({ model, names, kind, nameOf, press }) {
  const cells = names.map((name) => ({
    name, canvas: element("canvas", { role: "img", onclick: (event) => press(name, event) }),
    input: element("input", {
      type: "checkbox", "aria-label": `${capital(nameOf(name))} takes part`,
      onchange: ({ currentTarget }) => setOff(model, name, !currentTarget.checked),
    }),
    numbers: element("span", { class: "cw-heads-numbers" }),
  }));
  const node = element("div", { class: kind, role: "group", "aria-label": "Heads" },
    ...cells.map(({ canvas, input, numbers }) => element("div", { class: "cw-heads-cell" }, canvas,
      element("label", { class: "cw-heads-foot" }, input, numbers))));
  const draw = (paint) => {
    for (const { name, canvas, input, numbers } of cells) {
      const off = isOff(model, name);
      const { words, label, row } = paint(canvas, name, off);
      input.checked = !off;
      numbers.textContent = words;
      canvas.classList.toggle("cw-chosen", String(name) === String(model.get("chosen")));
      canvas.setAttribute("aria-label", `${capital(nameOf(name))}: ${off ? "off" : label}`);
      canvas.weights = row; // tests of the page read them here
    }
  };
  const resize = (ratio) => {
    for (const { canvas } of cells) fit(canvas, Math.floor(canvas.parentElement.clientWidth), ratio);
  };
  return { node, draw, resize };
}

/** What `edit_masks` is given for heads that are off, [[module, head], ...] from 0: an entry for each module. */
export function offInCode(off) {
  const heads = new Map();
  for (const [module, head] of off) heads.set(module, [...(heads.get(module) ?? []), head]);
  return [...heads].map(([module, some]) => `${JSON.stringify(module)}: off([${some.join(", ")}])`);
}
