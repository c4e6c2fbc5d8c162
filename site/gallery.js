// Starts every widget of the gallery; a module that several of them use is loaded once.

import { load, pageData, show } from "../course_utils/widgets/page/host.js";

const page = pageData();
const loaded = new Map();
for (const host of document.querySelectorAll("[data-exhibit]")) {
  const { widget, state } = page.exhibits[host.dataset.exhibit];
  if (!loaded.has(widget)) loaded.set(widget, load(page.modules[widget]));
  show(host, () => loaded.get(widget), state);
}
