// Starts the widgets of a page that Python wrote; a module that several of them use is loaded once.

import { show } from "./host.js";

const { modules, shown } = JSON.parse(document.querySelector("script[type='application/json']").textContent);
const loaded = [];
const load = (source) => import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
for (const host of document.querySelectorAll("[data-shown]")) {
  const { module, state } = shown[host.dataset.shown];
  show(host, () => (loaded[module] ??= load(modules[module])), state);
}
