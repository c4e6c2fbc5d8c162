// A short move where a press changes what is shown.

import { element } from "./elements.js";
import { easel } from "./paint.js";

const MILLISECONDS = 150;
const TYPED = "input:not([type='checkbox'], [type='radio']), textarea, select"; // they change with every letter or step

/** Cross-fade a widget's canvases from what they showed before a press, or a choice in a list, to what follows. */
export function fadePresses({ root, stage }) {
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  const fade = () => {
    if (still.matches || !stage.clientWidth) return;
    const [whole, place] = [root, stage].map((node) => node.getBoundingClientRect());
    const before = element("canvas");
    const context = easel(before, place.width, place.height);
    for (const canvas of stage.querySelectorAll("canvas")) {
      const { left, top, width, height } = canvas.getBoundingClientRect();
      if (width && canvas.width && canvas.height) {
        context.drawImage(canvas, left - place.left, top - place.top, width, height);
      }
    }
    const veil = element("div", { class: "cw-before", "aria-hidden": "true" });
    veil.attachShadow({ mode: "closed" }).append(before); // no part of the widget: nobody finds it among its pictures
    veil.style.left = `${place.left - whole.left - root.clientLeft}px`;
    veil.style.top = `${place.top - whole.top - root.clientTop}px`;
    root.append(veil);
    veil.animate([{ opacity: 1 }, { opacity: 0 }], MILLISECONDS).onfinish = () => veil.remove();
  };
  root.addEventListener("click", ({ target }) => { if (!target.matches(TYPED)) fade(); }, { capture: true });
  root.addEventListener("change", ({ target }) => { if (target.matches("select")) fade(); }, { capture: true });
}
