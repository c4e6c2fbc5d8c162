// What every widget of the course shares: colours, arrays, maps, controls, keyboard, questions to the kernel.

const COLOUR_TABLES = {
  viridis: "RAFURAJVRANXRQVYRQZaRQhbRglcRgteRgxfRg5hRw9iRxFjRxJlRxRmRxVnRxZpRxhqSBlrSBpsSBxuSB1vSB5wSCBxSCFySCJzSCN0RyV1RyZ2Ryd3Ryh4Ryp5Ryt6Ryx7Ri18Ri98RjB9RjF+RTJ/RTR/RTWARTaBRDeBRDmCQzqDQzuDQzyEQj2EQj6FQkCFQUGGQUKGQEOHQESHP0WHP0eIPkiIPkmJPUqJPUuJPUyJPE2KPE6KO1CKO1GKOlKLOlOLOVSLOVWLOFaLOFeMN1iMN1mMNlqMNluMNVyMNV2MNF6NNF+NM2CNM2GNMmKNMmONMWSNMWWNMWaNMGeNMGiNL2mNL2qNLmuOLmyOLm2OLW6OLW+OLHCOLHGOLHKOK3OOK3SOKnWOKnaOKneOKXiOKXmOKHqOKHqOKHuOJ3yOJ32OJ36OJn+OJoCOJoGOJYKOJYONJISNJIWNJIaNI4eNI4iNI4mNIomNIoqNIouNIYyNIY2MIY6MII+MIJCMIJGMH5KMH5OLH5SLH5WLH5aLHpeKHpiKHpmKHpmKHpqJHpuJHpyJHp2IHp6IHp+IHqCHH6GHH6KGH6OGIKSFIKWFIaaFIaeEIqeEI6iDI6mCJKqCJauBJqyBJ62AKK5/Ka9/KrB+K7F9LLF9LrJ8L7N7MLR6MrV6M7Z5Nbd4Nrh3OLl2Obl2O7p1Pbt0PrxzQL1yQr5xRL5wRb9vR8BuScFtS8JsTcJrT8NpUcRoU8VnVcZmV8ZlWcdkW8hiXslhYMlgYspfZMtdZ8xcacxba81Zbc5YcM5Wcs9VdNBUd9BSedFRfNJPftJOgdNMg9NLhtRJiNVHi9VGjdZEkNZDktdBldc/l9g+mtg8ndk6n9k4oto3pdo1p9szqtsyrdwwr9wust0std0rt90put4nvd4mv98kwt8ixd8hx+AfyuAezeAdz+Ec0uEb1OEa1+IZ2uIY3OIY3+MY4eMY5OMY5+QZ6eQZ7OQa7uUb8eUc8+Ue9uYf+OYh+uYi/eck",
  magma: "AAADAAAEAAAGAQAHAQEJAQELAgINAgIPAwMRBAMTBAQVBQQXBgUZBwUbCAYdCQcfCgciCwgkDAkmDQooDgoqDwssEAwvEQwxEg0zFA01FQ44Fg46Fw88GA8/GhBBGxBEHBBGHhBJHxFLIBFNIhFQIxFSJRFVJhFXKBFZKhFcKxFeLRBgLxBiMBBlMhBnNBBoNQ9qNw9sOQ9uOw9vPA9xPg9yQA9zQg90Qw91RQ92Rw93SBB4ShB5SxB5TRF6TxF7UBJ7UhJ8UxN8VRN9VxR9WBV+WhV+WxZ+XRd+Xhd/YBh/YRh/Yxl/ZRqAZhqAaBuAaRyAaxyAbB2Abh6Bbx6BcR+Bcx+BdCCBdiGBdyGBeSKBeiKBfCOBfiSBfySBgSWBgiWBhCaBhSaBhyeBiSiBiiiBjCmAjSmAjyqAkSqAkiuAlCuAlSyAlyx/mS1/mi1/nC5/ni5+ny9+oS9+ozB+pDB9pjF9pzF9qTJ8qzN8rDN7rjR7sDR7sTV6szV6tTZ5tjZ5uDd4uTd4uzh3vTl3vjl2wDp1wjp1wzt0xTx0xjxzyD1yyj5yyz5xzT9wzkBw0EFv0UJu00Jt1ENt1kRs10Vr2UZq2kdp3Ehp3Ulo3kpn4Etm4Uxm4k1l5E5k5VBj5lFi51Ji6FRh6lVg61Zg7Fhf7Vlf7lte7l1d715d8GBd8WFc8mNc82Vc82db9Ghb9Wpb9Wxb9m5b9nBb93Fb93Nc+HVc+Hdc+Xlc+Xtd+X1d+n9e+oBe+oJf+4Rg+4Zg+4hh+4pi/Ixj/I5j/JBk/JJl/JNm/ZVn/Zdo/Zlp/Ztq/Z1r/Z9s/aFu/aJv/aRw/qZx/qhz/qp0/qx1/q52/q94/rF5/rN7/rV8/rd9/rl//ruA/ryC/r6D/sCF/sKG/sSI/saJ/seL/smN/suO/c2Q/c+S/dGT/dKV/dSX/daY/dia/dqc/dyd/d2f/d+h/eGj/OOl/OWm/Oao/Oiq/Oqs/Oyu/O6w/PCx/PGz/PO1/PW3+/e5+/m7+/q9+/y/",
  cividis: "ACJNACNPACNQACRSACVUACZVACZXACdZAChbAChcACleACpgACpiACtkACxmACxnAC1pAC5rAC9tAC9vADBwADBwADFwADFwBDJwCDNwCzNwDjRwETVvFDZvFjZvGDdvGjhvHDhuHTluHzpuITtuIjtuJDxuJT1tJz1tKD5tKj9tKz9tLEBtLkFsL0JsMEJsMUNsMkRsNERsNUVsNkZsN0ZsOEdsOUhsOkhrO0lrPUprPktrP0trQExrQU1rQk1rQ05rRE9rRU9rRlBrR1FrSFFrSVJrSlNrS1RsTFRsTVVsTlZsTlZsT1dsUFhsUVhsUllsU1psVFpsVVttVlxtV11tWF1tWV5tWV9tWl9tW2BuXGFuXWFuXmJuX2NuYGRuYWRvYWVvYmZvY2ZvZGdvZWhwZmlwZ2lwaGpwaGtxaWtxamxxa21xbG1ybW5ybm9ybnBzb3BzcHFzcXJzcnN0c3N0dHR1dHV1dXV1dnZ2d3d2eHh2eXh3eXl3enp3e3t3fHt4fXx4fn14f314gH54gX94goB4g4B4hIF4hYJ4hYN4hoN4h4R4iIV4iYZ4ioZ4i4d4jIh4jYl4jol4j4p3kIt3kYx3kox3k413lI53lY93lo93l5B2mJF2mZJ2mpN2m5N2nJR2nZV1npZ1n5Z1oJd1oZh0opl0o5p0pJp0pZtzppxzp51zqJ5zqZ5yqp9yq6ByrKFxraJxrqJxr6NwsKRwsaVwsqZvs6ZvtKdvtahutqlut6ptuKttuattuqxsu61svK5rva9rvrBqv7BqwbFpwrJpw7NoxLRoxbVnxrVnx7ZmyLdlybhlyrlky7pkzLtjzbxizrxiz71h0L5g0r9g08Bf1MFe1cJe1sNd18Nc2MRb2cVa2sZa28dZ3MhY3slX38pW4MtV4cxU4sxT481S5M5R5c9Q5tBP6NFO6dJN6tNM69RL7NVK7dZI7tdH79hG8dlE8tpD89pC9NtA9dw/9t09+N47+d86+uA4++E2/eI0/eMz/eU0/eY2/ec3",
  RdBu: "ZwAfaQAfbAEfbwIgcgMgdQQheAUhewYifgcigQgjhAkjhwokigskjQwlkA0lkw4mlg8mmRAnmxAnnhEnoRIopBMopxQpqhUprRYqsBcqshkrtBwttR8utiEvuCQxuScyuyozvC00vjA2vzI3wDU4wjg6wzs7xT48xkA+x0M/yUZByklCzExDzU9EzlFG0FRH0VdJ01pK1F1L1mBN12JP2GVR2WhT2mpV221X3XBZ3nJb33Vd4Hhf4Xth4n1j5IBl5YNo5oVq54hs6Itu6o1w65By7JN07ZZ27ph475t68Z588qB+86OA9KaD9KiG9KqI9ayL9a6O9bCQ9rKT9rSW97aY97mb97ue+L2h+L+j+MGm+cOp+cWr+ceu+sqx+sy0+s62+9C5+9K8+9S+/NbB/NjE/dvH/NzI/N3K/N7M/N/O++DQ++HS++LU++PW+uTX+uXZ+ufb+ujd+enf+erh+evj+ezl+e3n+O7o+O/q+PDs+PLu9/Pw9/Ty9/X09/b29vb29PX28/X28fT28PP17vP17fL16/H06vH06PD05+/05e7z5O7z4u3z4ezz3+zy3uvy3Ory2+nx2enx2Ojx1ufx1efw0+bw0uXw0eXwzuPvzOLuyeHtx9/txN7swt3rv9zrvdrqutnpuNjotdfos9XnsNTmrtPmq9LlqdDkp8/kpM7jos3in8vhncrhmsngmMjflcbfk8XekMTdjcLcisDbh77ahLzZgLrYfbjXerbWd7TVdLLTcbDSbq7Ra6zQaKrPZajOYabNXqTMW6LLWKDKVZ7JUpzIT5rHTJjGSZbFRpTEQ5PDQZHCQI/BP43APYu/PIq+O4i9OYa8OIS7N4O6NYG5NH+5M324MXy3MHq2L3i1LXa0LHWzK3OyKXGxKG+wJ22wJWyvJGquI2itIWasIGSqH2KnHmCkHV6hHFyeGlqbGViYGFaVF1STFlGQFU+NFE2KE0uHEkmEEUeBD0V+DkN7DUB4DD51CzxyCjpvCThsCDZpBzRmBjJjBTBh",
};

const tables = new Map();

/** A colour table as 256 rows of red, green, blue. */
export function colourTable(name) {
  if (!tables.has(name)) tables.set(name, bytes(COLOUR_TABLES[name]));
  return tables.get(name);
}

export const TABLE_NAMES = Object.keys(COLOUR_TABLES);

function bytes(text) {
  const characters = atob(text);
  const result = new Uint8Array(characters.length);
  for (let i = 0; i < result.length; i++) result[i] = characters.charCodeAt(i);
  return result;
}

function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

/** An array that Python's `encode` made: its shape and its values, last axis fastest. */
export function decode({ shape, dtype, data }) {
  const raw = bytes(data);
  if (dtype === "uint8") return { shape, values: raw };
  if (dtype === "float32") return { shape, values: new Float32Array(raw.buffer) };
  const bits = new Uint16Array(raw.buffer);
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) values[i] = half(bits[i]);
  return { shape, values };
}

/** A number in three figures, as Python's `.3g` would write it for everyday sizes. */
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "none";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e6)) return value.toExponential(2);
  return String(Number(value.toPrecision(3)));
}

/** A share of one, as a percentage in words. */
export function percent(value) {
  return `${(100 * value).toFixed(1)} %`;
}

/** How far a probability moved, in percentage points. */
export function changeInWords(moved) {
  if (Math.abs(moved) < 5e-4) return "±0";
  return `${moved > 0 ? "+" : "−"}${(100 * Math.abs(moved)).toFixed(1)}`;
}

export const sigmoid = (value) => 1 / (1 + Math.exp(-value));

export function softmax(scores) {
  let top = -Infinity;
  for (const score of scores) top = Math.max(top, score);
  const powers = scores.map((score) => Math.exp(score - top));
  let sum = 0;
  for (const power of powers) sum += power;
  return powers.map((power) => power / sum);
}

/** The index of the largest value, the first of several. */
export function largest(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

/** The range that a colour table needs for these values: symmetric round 0 for RdBu, from 0 for weights. */
export function colourRange(values, table, fromZero = true) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (table === "RdBu") {
    const size = Math.max(Math.abs(low), Math.abs(high)) || 1;
    return { low: -size, high: size };
  }
  if (fromZero && low > 0) low = 0;
  return high > low ? { low, high } : { low, high: low + 1 };
}

/** The row of the colour table for a value, as matplotlib chooses it. */
export function colourIndex(value, low, high) {
  return Math.max(0, Math.min(255, Math.floor(((value - low) / (high - low)) * 256)));
}

/** The colour of a value as CSS text. */
export function colourOf(value, { table, low, high }) {
  const rows = colourTable(table);
  const start = 3 * colourIndex(value, low, high);
  return `rgb(${rows[start]} ${rows[start + 1]} ${rows[start + 2]})`;
}

/** A map as a canvas of one pixel a value: a new one, or `canvas`, which has that size. */
export function paintMap(values, height, width, { table, low, high }, canvas = blank(height, width)) {
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  const rows = colourTable(table);
  for (let i = 0; i < height * width; i++) {
    const start = 3 * colourIndex(values[i], low, high);
    picture.data[4 * i] = rows[start];
    picture.data[4 * i + 1] = rows[start + 1];
    picture.data[4 * i + 2] = rows[start + 2];
    picture.data[4 * i + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

/** An image (H, W) or (H, W, 3) of bytes as a canvas of one pixel a pixel. */
export function paintImage({ shape, values }) {
  const [height, width, channels = 1] = shape;
  const canvas = blank(height, width);
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) picture.data[4 * i + c] = values[i * channels + Math.min(c, channels - 1)];
    picture.data[4 * i + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

function blank(height, width) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

/** Bilinear values on a finer grid; pixel centres stand at half steps, the edge is held. */
export function resample(values, height, width, rows, columns) {
  const result = new Float32Array(rows * columns);
  const across = weights(width, columns);
  const down = weights(height, rows);
  for (let r = 0; r < rows; r++) {
    const [top, bottom, y] = down[r];
    for (let c = 0; c < columns; c++) {
      const [left, right, x] = across[c];
      const above = values[top * width + left] * (1 - x) + values[top * width + right] * x;
      const below = values[bottom * width + left] * (1 - x) + values[bottom * width + right] * x;
      result[r * columns + c] = above * (1 - y) + below * y;
    }
  }
  return result;
}

function weights(from, to) {
  return Array.from({ length: to }, (_, i) => {
    const place = Math.max(0, Math.min(from - 1, ((i + 0.5) * from) / to - 0.5));
    const first = Math.floor(place);
    return [first, Math.min(from - 1, first + 1), place - first];
  });
}

/** A map as a canvas to be scaled without smoothing into a box: its cells, or bilinear values at the box's size. */
export function mapPicture(values, height, width, boxHeight, boxWidth, { smooth = false, ...range }) {
  if (!smooth) return paintMap(values, height, width, range);
  return paintMap(resample(values, height, width, boxHeight, boxWidth), boxHeight, boxWidth, range);
}

/** Lay a picture over a box of a canvas, `opacity` from 0 to 1. */
export function blend(context, picture, [x, y, width, height], opacity = 1) {
  context.save();
  context.imageSmoothingEnabled = false;
  context.globalAlpha = opacity;
  context.drawImage(picture, x, y, width, height);
  context.restore();
}

/** Draw a map into a box of a canvas: blocky, or smooth by bilinear values; `opacity` blends it over what is there. */
export function drawMap(context, values, height, width, box, { opacity = 1, ...style }) {
  blend(context, mapPicture(values, height, width, box[3], box[2], style), box, opacity);
}

/** Give a canvas the pixels of its place on the screen, `ratio` = height / width; returns its size in pixels. */
export function fit(canvas, cssWidth, ratio) {
  const scale = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(cssWidth * scale));
  const height = Math.max(1, Math.round(cssWidth * ratio * scale));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  canvas.style.width = `${cssWidth}px`;
  canvas.style.height = `${height / scale}px`;
  return { width, height, scale };
}

/** A rectangle that is seen on every colour: white within black; dashed while it is not locked. */
export function outline(context, x, y, width, height, scale, locked) {
  context.save();
  context.setLineDash(locked ? [] : [4 * scale, 3 * scale]);
  context.lineWidth = 4 * scale;
  context.strokeStyle = "#000";
  context.strokeRect(x, y, width, height);
  context.lineWidth = 2 * scale;
  context.strokeStyle = "#fff";
  context.strokeRect(x, y, width, height);
  context.restore();
}

/** Copy what was painted onto a canvas, and frame the cell [row, column] of a grid of `rows` x `columns`, if one is given. */
export function markCell(canvas, base, [rows, columns], query, locked) {
  const context = canvas.getContext("2d");
  context.drawImage(base, 0, 0);
  if (!query) return;
  const [width, height] = [canvas.width / columns, canvas.height / rows];
  const scale = canvas.width / parseFloat(canvas.style.width);
  outline(context, query[1] * width, query[0] * height, width, height, scale, locked);
}

/** The border between pixels that are in a region and those that are not, scaled to a box. */
export function regionPath(inside, height, width, boxHeight, boxWidth) {
  const path = new Path2D();
  const at = (row, column) => row >= 0 && row < height && column >= 0 && column < width && Boolean(inside[row * width + column]);
  const x = (column) => (column * boxWidth) / width;
  const y = (row) => (row * boxHeight) / height;
  for (let row = 0; row <= height; row++) {
    for (let column = 0; column <= width; column++) {
      if (at(row, column) !== at(row - 1, column)) {
        path.moveTo(x(column), y(row));
        path.lineTo(x(column + 1), y(row));
      }
      if (at(row, column) !== at(row, column - 1)) {
        path.moveTo(x(column), y(row));
        path.lineTo(x(column), y(row + 1));
      }
    }
  }
  return path;
}

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

/**
 * The house of a widget: root, stage, controls, actions, status, error, caption.
 *
 * Returns the nodes, and: `say(text, { again, quiet })` for the status line, one text or several parts, of which a
 * screen reader hears those that change (`again`: the last one also when it is the same; `quiet`: none);
 * `add(text)` puts words behind
 * what was said last; `fail(text)` for the error line; `listen(names, handler)` on the model; `whenShown(draw)`, which
 * draws now, at every change of size and at every change of theme; `ink(name)`, a colour of the theme ready for a canvas;
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
  root.append(stage, controls, status, alarm, actions, caption);
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
    const parts = texts.map((part, i) => (i && part ? ` ${part}` : part));
    while (status.children.length < parts.length) status.append(element("span", { "aria-atomic": "true" }));
    const spans = [...status.children];
    const changed = spans.filter((span, i) => span.textContent !== (parts[i] ?? ""));
    const last = spans[parts.length - 1];
    if (changed.length || again) status.setAttribute("aria-live", quiet || drawing ? "off" : "polite");
    for (const span of changed) span.textContent = parts[spans.indexOf(span)] ?? "";
    if (!again || changed.length) return;
    last.textContent = ""; // the same words are heard again only when they come anew
    repeating = setTimeout(() => { last.textContent = parts.at(-1); }, 50);
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

  // A page that is zoomed, or moved to a finer screen, has other pixels at the same width.
  let density;
  const watchDensity = () => {
    density = window.matchMedia(`(resolution: ${window.devicePixelRatio || 1}dppx)`);
    density.addEventListener("change", sharpen, { once: true });
  };
  const sharpen = () => {
    redraw();
    watchDensity();
  };
  watchDensity();
  endings.push(() => density.removeEventListener("change", sharpen));

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
  endings.push(() => size.disconnect(), () => theme.disconnect());
  for (const feature of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
    const media = window.matchMedia(feature);
    media.addEventListener("change", restyle);
    endings.push(() => media.removeEventListener("change", restyle));
  }
  const end = () => {
    for (const ending of endings) ending();
    root.remove();
  };
  return { root, stage, controls, actions, status, say, add, fail, listen, whenShown, ink, endings, end };
}

/** Put values into the model and send them. */
export function store(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  model.save_changes();
}

/**
 * One place of a grid in focus: hover focuses, click or Enter locks, arrows move, Escape releases.
 *
 * Args: `canvases` (the first takes the keyboard), `rows()`, `columns()`, `locate(canvas, x, y)` -> [row, column] or
 * null with x and y from 0 to 1, `onChange(query, locked, quiet)` with query [row, column] or null, quiet when the
 * focus merely left; `start()` -> where the keys begin (else the last place, at first the middle); `onEdge()` when an
 * arrow can go no further.
 * Returns `get()`, `isLocked()`, `set(query, locked)`, which tells nobody, and `hint(word)`: what the status line says of
 * the lock, so that a release is heard as a lock is.
 */
export function focusController({ canvases, rows, columns, locate, onChange, onEdge, start = null }) {
  const main = canvases[0];
  let query = null;
  let last = null;
  let locked = false;
  let released = false;
  const show = () => {
    if (query) main.dataset.query = query.join(",");
    else delete main.dataset.query;
    main.dataset.locked = String(locked);
  };
  const set = (next, lock = false) => {
    query = next;
    last = next ?? last;
    locked = Boolean(next) && lock;
    released = false;
    show();
  };
  const change = (next, lock, quiet = false) => {
    const same = String(next) === String(query) && lock === locked;
    if (same) return;
    const held = locked;
    set(next, lock);
    released = held && !locked;
    onChange(query, locked, quiet);
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
  const keys = {
    ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
  };
  main.tabIndex = 0;
  show();
  for (const canvas of canvases) {
    canvas.addEventListener("pointermove", (event) => { if (!locked) change(place(event), false); });
    canvas.addEventListener("pointerleave", () => { if (!locked) change(null, false); });
    canvas.addEventListener("click", (event) => {
      const next = place(event);
      if (locked && String(next) === String(query)) change(query, false);
      else if (next) change(next, true);
    });
  }
  main.addEventListener("keydown", (event) => {
    const step = keys[event.key];
    if (step) {
      const before = query;
      const next = query ? within([query[0] + step[0], query[1] + step[1]]) : begin();
      if (next) change(next, locked);
      if (before && String(query) === String(before)) onEdge();
    } else if (event.key === "Enter" || event.key === " ") {
      const next = query ?? begin();
      if (next) change(next, !locked);
    } else if (event.key === "Escape") {
      change(null, false);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  main.addEventListener("blur", () => { if (!locked) change(null, false, true); });
  const hint = (word = "Locked") => (locked ? `${word}; Escape releases.` : released ? "Released." : "");
  return { get: () => query, isLocked: () => locked, set, hint };
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

/**
 * Ask the kernel for what it alone can compute. Returns `ask(question)`.
 *
 * One request is under way at a time; of those that come meanwhile only the latest is sent afterwards, so that a flood
 * of events leaves no lag. `onAnswer(answer, question)` hears each answer that did not fail. Where none comes within
 * five seconds the status line says so, and again at each further gesture until one comes.
 */
export function asker(model, house, onAnswer) {
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
    if (!answer.failed) onAnswer(answer, question);
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
