// What stands round every widget: its root, status line, errors, theme, size and listeners.

import { element, wordsIn } from "./elements.js";
import { fadePresses } from "./motion.js";
import { tryThis } from "./panels.js";

/**
 * The house of a widget: root, stage, controls, actions, status, error, caption.
 *
 * Returns the nodes, and: `say(text, { again, quiet })` for the status line, one text or several parts, of which a
 * screen reader hears those that change (`again`: the last one also when it is the same; `quiet`: none); a part
 * { heard: text } is for a screen reader alone, { aside: text } is seen only where the widget is wide;
 * `add(text)` puts words behind
 * what was said last; `fail(text)` for the error line; `listen(names, handler)` on the model; `whenShown(draw)`, which
 * draws now, at every change of size and at every change of theme; `ink(name)`, a colour of the theme for a canvas;
 * `end()`, for render to return.
 */
export function frame({ model, el, name }) {
  const root = element("div", {
    class: "course-widget", "data-widget": name, role: "group",
  });
  // JupyterLab's shortcuts take the arrow keys unless the focused element itself says that they are its own.
  root.addEventListener("focusin", (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true"));
  const stage = element("div", { class: "cw-stage" });
  const controls = element("div", { class: "cw-controls" });
  const actions = element("div", { class: "cw-actions" });
  const status = element("p", { class: "cw-status", role: "status", "aria-atomic": "false" });
  const alarm = element("p", { class: "cw-error", role: "alert", hidden: true });
  const caption = element("p", { class: "cw-caption", hidden: true });
  root.append(stage, status, alarm, controls, actions, caption);
  el.append(root);

  const endings = [() => clearTimeout(repeating)];
  const drawings = [];
  const inks = new Map();
  let repeating = 0;
  let drawing = true; // what a widget says of itself while it is made and drawn, nobody asked for
  queueMicrotask(() => { drawing = false; });
  let said = [];
  const say = (text, manner) => {
    said = [].concat(text);
    write(said, manner);
  };
  const add = (text) => write([...said, text], { again: true });
  const write = (texts, { again = false, quiet = false } = {}) => {
    clearTimeout(repeating);
    const parts = texts.map(wordsIn).map((part, i) => (i && part ? ` ${part}` : part));
    while (status.children.length < parts.length) status.append(element("span", { "aria-atomic": "true" }));
    const spans = [...status.children];
    const changed = spans.filter((span, i) => span.textContent !== (parts[i] ?? ""));
    const last = parts.findLastIndex(Boolean);
    if (changed.length || again) status.setAttribute("aria-live", quiet || drawing ? "off" : "polite");
    spans.forEach((span, i) => {
      for (const kind of ["heard", "aside"]) span.classList.toggle(`cw-${kind}`, Boolean(texts[i]?.[kind]));
    });
    for (const span of changed) span.textContent = parts[spans.indexOf(span)] ?? "";
    if (!again || changed.length || last < 0) return;
    spans[last].textContent = ""; // the same words are heard again only when they are written again
    repeating = setTimeout(() => { spans[last].textContent = parts[last]; }, 50);
  };
  const fail = (text) => {
    alarm.textContent = text;
    alarm.hidden = !text;
  };
  const listen = (names, handler) => {
    for (const one of [].concat(names)) {
      model.on(`change:${one}`, handler);
      endings.push(() => model.off(`change:${one}`, handler));
    }
  };
  const redraw = () => {
    inks.clear();
    drawing = true;
    try {
      if (root.clientWidth > 0) for (const draw of drawings) draw();
    } finally { // a drawing that failed must not silence all that is said later
      drawing = false;
    }
  };
  const ink = (key) => {
    if (!inks.has(key)) {
      const probe = element("span", {});
      probe.style.color = `var(--cw-${key})`;
      probe.style.forcedColorAdjust = "none"; // else every ink reads as the colour of text
      root.append(probe);
      inks.set(key, getComputedStyle(probe).color);
      probe.remove();
    }
    return inks.get(key);
  };
  const whenShown = (draw) => {
    drawings.push(draw);
    redraw();
  };

  const words = () => {
    root.setAttribute("aria-label", model.get("label") || name);
    caption.textContent = model.get("caption") ?? "";
    caption.hidden = !caption.textContent;
    fail(model.get("error") ?? "");
  };
  words();
  listen(["label", "caption", "error"], words);

  watchLook(root, redraw, endings);
  const end = () => {
    for (const ending of endings) ending();
    root.remove();
  };
  const house = { root, stage, controls, actions, status, say, add, fail, listen, whenShown, ink, endings, end };
  tryThis(house, model);
  fadePresses(house);
  return house;
}

/** Redraw when the widget's width, the theme or the pixels of the screen change. */
function watchLook(root, redraw, endings) {
  const gone = new AbortController();
  const watch = (feature, react, once = false) =>
    window.matchMedia(feature).addEventListener("change", react, { once, signal: gone.signal });
  // A page that is zoomed, or moved to a finer screen, has other pixels at the same width.
  const sharpen = () => {
    redraw();
    watchDensity();
  };
  const watchDensity = () => watch(`(resolution: ${window.devicePixelRatio || 1}dppx)`, sharpen, true);
  watchDensity();

  let width = 0;
  const size = new ResizeObserver(() => {
    if (root.clientWidth !== width) {
      width = root.clientWidth;
      redraw();
    }
  });
  size.observe(root);
  // A host may hide the page for the moment in which it changes its theme: what is hidden now is drawn a frame later.
  const restyle = () => {
    if (root.clientWidth > 0) redraw();
    else requestAnimationFrame(redraw);
  };
  const theme = new MutationObserver(restyle);
  for (const node of [document.documentElement, document.body]) {
    theme.observe(node, { attributeFilter: ["theme", "data-theme", "data-jp-theme-light"] });
  }
  for (const feature of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) watch(feature, restyle);
  endings.push(() => gone.abort(), () => size.disconnect(), () => theme.disconnect());
}
