// Nodes of the page. Strings become text, never markup.

/** A node with attributes, listeners (`onclick`) and children; strings become text, never markup. */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** Text in which `words between backticks` are set as code; everything else stays text. */
export function prose(text) {
  return String(text).split("`").map((part, i) => (i % 2 ? element("code", {}, part) : part));
}

/** Set some of a node's styles; gives the node. */
export function styled(node, style) {
  Object.assign(node.style, style);
  return node;
}

/** The words of a part of a status line, for readers, listeners, or both. */
export const wordsIn = (part) => part.heard ?? part.aside ?? part;
