// Controls, traits, focus and questions to the kernel.
//
// A trait is the only state that a view keeps: a control writes it with `store`, `house.listen` draws from it.

import { element } from "./elements.js";
import { number } from "./maths.js";

/** A labelled slider. Returns its node, its input and `set(value)`; `onInput(value)` hears the learner. */
export function slider({ label, min, max, step, value, show = number, onInput }) {
  const input = element("input", { type: "range", min, max, step });
  const words = element("span", { class: "cw-value", "aria-hidden": "true" });
  const set = (next) => {
    input.value = next;
    words.textContent = show(Number(next)); // which the browser's input may have rounded to a step
    input.setAttribute("aria-valuetext", words.textContent);
  };
  input.addEventListener("input", () => {
    set(input.value);
    onInput(Number(input.value));
  });
  set(value);
  return { node: element("span", { class: "cw-control" }, element("label", {}, label, input), words), input, set };
}

/** A labelled list of choices, `options` = [[value, words], ...]. Values are text. */
export function choice({ label, options, value, onChange }) {
  const input = element("select", {}, ...options.map(([name, words]) => element("option", { value: name }, words)));
  const set = (next) => { input.value = String(next); };
  input.addEventListener("change", () => onChange(input.value));
  set(value);
  return { node: element("span", { class: "cw-control" }, element("label", {}, label, input)), input, set };
}

/** Give a `choice` other options, and choose one of them. */
export function fill({ input, set }, options, value) {
  if (JSON.stringify(options) !== input.dataset.options) {
    input.replaceChildren(...options.map(([name, words]) => element("option", { value: name }, words)));
    input.dataset.options = JSON.stringify(options);
  }
  set(value);
}

/** A labelled checkbox. */
export function toggle({ label, value, onChange }) {
  const input = element("input", { type: "checkbox", checked: Boolean(value) });
  const set = (next) => { input.checked = Boolean(next); };
  input.addEventListener("change", () => onChange(input.checked));
  return { node: element("span", { class: "cw-control" }, element("label", {}, input, label)), input, set };
}

/** A button with words on it. */
export function button(label, onPress, primary = false) {
  return element("button", { type: "button", class: primary ? "cw-primary" : "", onclick: onPress }, label);
}

/** Put values into the model and send them. */
export function store(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  model.save_changes();
}

/**
 * Controls of traits: each stores its trait, and `refresh()` shows what the traits hold.
 *
 * `listed` = { trait: [slider | choice | toggle, options] }. `read(value)` gives what the control shows of its trait
 * and `write(value)` what the trait gets, where they differ; an `onInput` or `onChange` of its own, or
 * `put({ trait: value })` for all of them, stores more than the trait. Returns also `controls`, by trait, and all their
 * `nodes`.
 */
export function traitControls(model, listed, put = (values) => store(model, values)) {
  const same = (value) => value;
  const controls = Object.fromEntries(Object.entries(listed).map(([trait, [make, given]]) => {
    const { read = same, write = same, ...options } = given;
    const take = (value) => put({ [trait]: write(value) });
    const control = make({ value: read(model.get(trait)), onInput: take, onChange: take, ...options });
    return [trait, { ...control, refresh: () => control.set(read(model.get(trait))) }];
  }));
  const refresh = () => { for (const control of Object.values(controls)) control.refresh(); };
  return { controls, nodes: Object.values(controls).map(({ node }) => node), refresh };
}

/** How a control of text, such as a choice, shows a trait that is a list of numbers. */
export const numbersAsText = {
  read: String, write: (text) => (text ? text.split(",").map(Number) : []),
};

/** Whether the learner points with a finger: hints name only what the device has. */
export const byTouch = () => window.matchMedia("(pointer: coarse)").matches;

/** How to point, for a line below a picture. */
export const gestures = () => (byTouch()
  ? "Drag a finger over it; a tap pins and unpins."
  : "Point, or press the arrow keys; a click or Enter pins.");

/** What the keys do, for the name of the canvas that takes them; `what` moves. */
export const keyWords = (what = "the query") => `Arrow keys move ${what}, Enter pins it, Escape unpins it.`;

/**
 * One place of a grid in focus: hover focuses, click or Enter pins, arrows move, Escape or a click on it unpins.
 * A finger that drags moves the place, pinned or not, and what it showed last stays; a mouse drags what is pinned.
 *
 * Args: `canvases` (the first takes the keyboard), `rows()`, `columns()`, `locate(canvas, x, y)` -> [row, column] or
 * null with x and y from 0 to 1, `onChange(query, pinned, quiet)` with query [row, column] or null, quiet when the
 * focus merely left; `start()` -> where the keys begin (else the last place, at first the middle); `onEdge()` when an
 * arrow can go no further.
 * Returns `get()`, `isPinned()`, `set(query, pinned)`, which tells nobody, and `hint()`: what the status line says of
 * the pin, so that unpinning is heard as pinning is.
 */
export function focusController({ canvases, rows, columns, locate, onChange, onEdge, start = null }) {
  const main = canvases[0];
  let query = null;
  let last = null;
  let pinned = false;
  let unpinned = false;
  let down = null; // where a finger or a mouse button came down
  let dragged = false; // the finger left that place: the click that may follow pins nothing
  const show = () => {
    if (query) main.dataset.query = query.join(",");
    else delete main.dataset.query;
    main.dataset.locked = String(pinned);
  };
  const set = (next, pin = false) => {
    query = next;
    last = next ?? last;
    pinned = Boolean(next) && pin;
    unpinned = false;
    show();
  };
  const change = (next, pin, quiet = false) => {
    const same = String(next) === String(query) && pin === pinned;
    if (same) return;
    const held = pinned;
    set(next, pin);
    unpinned = held && !pinned;
    onChange(query, pinned, quiet);
  };
  const within = ([row, column]) =>
    [[row, rows()], [column, columns()]].map(([value, size]) => Math.max(0, Math.min(size - 1, value)));
  const begin = () => {
    if (!rows() || !columns()) return null;
    return within(start ? start() : last ?? [Math.floor((rows() - 1) / 2), Math.floor((columns() - 1) / 2)]);
  };
  const place = (event) => {
    const box = event.target.getBoundingClientRect();
    return locate(event.target, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  };
  const onMove = (event) => {
    const next = place(event);
    const drags = event.pointerType === "touch" || (pinned && event.buttons === 1);
    if (!drags) {
      if (!pinned) change(next, false);
    } else if (next && (dragged || String(next) !== String(down))) {
      dragged = true;
      change(next, pinned);
    }
  };
  const onClick = (event) => {
    const next = place(event);
    if (dragged || !next) return;
    change(next, !(pinned && String(next) === String(query)));
  };
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const onKey = (event) => {
    const step = steps[event.key];
    if (step) {
      const before = query;
      const next = query ? within([query[0] + step[0], query[1] + step[1]]) : begin();
      if (next) change(next, pinned);
      if (before && String(query) === String(before)) onEdge();
    } else if (event.key === "Enter" || event.key === " ") {
      const next = query ?? begin();
      if (next) change(next, !pinned);
    } else if (event.key === "Escape") {
      change(null, false);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  main.tabIndex = 0;
  main.classList.add("cw-pointed");
  show();
  for (const canvas of canvases) {
    canvas.addEventListener("pointerdown", (event) => {
      down = place(event);
      dragged = false;
    });
    canvas.addEventListener("pointermove", onMove);
    canvas.addEventListener("pointerleave", (event) => {
      if (!pinned && event.pointerType !== "touch") change(null, false);
    });
    canvas.addEventListener("click", onClick);
  }
  main.addEventListener("keydown", onKey);
  main.addEventListener("blur", () => { if (!pinned && !byTouch()) change(null, false, true); });
  const hint = () => {
    if (!pinned) return { aside: unpinned ? "Unpinned." : "" };
    return { aside: byTouch() ? "Pinned; tap it again to unpin." : "Pinned; Escape unpins." };
  };
  return { get: () => query, isPinned: () => pinned, set, hint };
}

/**
 * Ask the kernel for what it alone can compute. Returns `ask(question)`.
 *
 * One request is under way at a time; of those that come meanwhile only the latest is sent afterwards, so that a flood
 * of events leaves no lag. `onAnswer(answer, question)` hears each answer, `onFailure(question)` a failure. Where none
 * comes within five seconds the status line says so, and again at each further gesture until one comes.
 */
export function asker(model, house, onAnswer, onFailure = () => {}) {
  const view = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
  let count = 0;
  let current = null;
  let waiting = null;
  let patience = 0;
  let late = false;
  const tellLate = () => {
    late = true;
    house.say("No answer yet: the kernel is busy, or it is gone and this cell must be run again.", { again: true });
  };
  const send = (question) => {
    current = { id: `${view}-${++count}`, question };
    late = false;
    store(model, { request: { ...question, id: current.id } });
    clearTimeout(patience);
    patience = setTimeout(tellLate, 5000);
  };
  house.listen("answer", () => {
    const answer = model.get("answer");
    if (!current || answer.id !== current.id) return;
    const { question } = current;
    clearTimeout(patience);
    current = null;
    if (answer.failed) {
      house.fail(model.get("error")); // which a further try has hidden, and which may be the same again
      onFailure(question);
    } else onAnswer(answer, question);
    if (waiting) {
      const next = waiting;
      waiting = null;
      send(next);
    }
  });
  house.endings.push(() => clearTimeout(patience));
  return (question) => {
    const missing = "This needs a running notebook: here there is no kernel to ask.";
    if (!model.widget_manager) house.say(missing, { again: true });
    else if (current) {
      waiting = question;
      if (late) tellLate();
    } else send(question);
  };
}
