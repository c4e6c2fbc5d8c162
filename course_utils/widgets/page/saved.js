// Starts the one widget of a saved page.

import { load, pageData, show } from "./host.js";

const { esm, state } = pageData();
show(document.querySelector("main"), () => load(esm), state);
