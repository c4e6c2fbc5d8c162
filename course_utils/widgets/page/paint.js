// What is painted on a canvas: colour tables, maps, images, outlines.

import { element } from "./elements.js";
import { bytes, cellOf, colourIndex, once, resample, strongest } from "./maths.js";

/** Colour tables, each as 256 rows of red, green, blue. */
export const TABLES = Object.fromEntries(Object.entries({
  viridis: "RAFURAJVRANXRQVYRQZaRQhbRglcRgteRgxfRg5hRw9iRxFjRxJlRxRmRxVnRxZpRxhqSBlrSBpsSBxuSB1vSB5wSCBxSCFySCJzSCN0RyV1RyZ2Ryd3Ryh4Ryp5Ryt6Ryx7Ri18Ri98RjB9RjF+RTJ/RTR/RTWARTaBRDeBRDmCQzqDQzuDQzyEQj2EQj6FQkCFQUGGQUKGQEOHQESHP0WHP0eIPkiIPkmJPUqJPUuJPUyJPE2KPE6KO1CKO1GKOlKLOlOLOVSLOVWLOFaLOFeMN1iMN1mMNlqMNluMNVyMNV2MNF6NNF+NM2CNM2GNMmKNMmONMWSNMWWNMWaNMGeNMGiNL2mNL2qNLmuOLmyOLm2OLW6OLW+OLHCOLHGOLHKOK3OOK3SOKnWOKnaOKneOKXiOKXmOKHqOKHqOKHuOJ3yOJ32OJ36OJn+OJoCOJoGOJYKOJYONJISNJIWNJIaNI4eNI4iNI4mNIomNIoqNIouNIYyNIY2MIY6MII+MIJCMIJGMH5KMH5OLH5SLH5WLH5aLHpeKHpiKHpmKHpmKHpqJHpuJHpyJHp2IHp6IHp+IHqCHH6GHH6KGH6OGIKSFIKWFIaaFIaeEIqeEI6iDI6mCJKqCJauBJqyBJ62AKK5/Ka9/KrB+K7F9LLF9LrJ8L7N7MLR6MrV6M7Z5Nbd4Nrh3OLl2Obl2O7p1Pbt0PrxzQL1yQr5xRL5wRb9vR8BuScFtS8JsTcJrT8NpUcRoU8VnVcZmV8ZlWcdkW8hiXslhYMlgYspfZMtdZ8xcacxba81Zbc5YcM5Wcs9VdNBUd9BSedFRfNJPftJOgdNMg9NLhtRJiNVHi9VGjdZEkNZDktdBldc/l9g+mtg8ndk6n9k4oto3pdo1p9szqtsyrdwwr9wust0std0rt90put4nvd4mv98kwt8ixd8hx+AfyuAezeAdz+Ec0uEb1OEa1+IZ2uIY3OIY3+MY4eMY5OMY5+QZ6eQZ7OQa7uUb8eUc8+Ue9uYf+OYh+uYi/eck",
  magma: "AAADAAAEAAAGAQAHAQEJAQELAgINAgIPAwMRBAMTBAQVBQQXBgUZBwUbCAYdCQcfCgciCwgkDAkmDQooDgoqDwssEAwvEQwxEg0zFA01FQ44Fg46Fw88GA8/GhBBGxBEHBBGHhBJHxFLIBFNIhFQIxFSJRFVJhFXKBFZKhFcKxFeLRBgLxBiMBBlMhBnNBBoNQ9qNw9sOQ9uOw9vPA9xPg9yQA9zQg90Qw91RQ92Rw93SBB4ShB5SxB5TRF6TxF7UBJ7UhJ8UxN8VRN9VxR9WBV+WhV+WxZ+XRd+Xhd/YBh/YRh/Yxl/ZRqAZhqAaBuAaRyAaxyAbB2Abh6Bbx6BcR+Bcx+BdCCBdiGBdyGBeSKBeiKBfCOBfiSBfySBgSWBgiWBhCaBhSaBhyeBiSiBiiiBjCmAjSmAjyqAkSqAkiuAlCuAlSyAlyx/mS1/mi1/nC5/ni5+ny9+oS9+ozB+pDB9pjF9pzF9qTJ8qzN8rDN7rjR7sDR7sTV6szV6tTZ5tjZ5uDd4uTd4uzh3vTl3vjl2wDp1wjp1wzt0xTx0xjxzyD1yyj5yyz5xzT9wzkBw0EFv0UJu00Jt1ENt1kRs10Vr2UZq2kdp3Ehp3Ulo3kpn4Etm4Uxm4k1l5E5k5VBj5lFi51Ji6FRh6lVg61Zg7Fhf7Vlf7lte7l1d715d8GBd8WFc8mNc82Vc82db9Ghb9Wpb9Wxb9m5b9nBb93Fb93Nc+HVc+Hdc+Xlc+Xtd+X1d+n9e+oBe+oJf+4Rg+4Zg+4hh+4pi/Ixj/I5j/JBk/JJl/JNm/ZVn/Zdo/Zlp/Ztq/Z1r/Z9s/aFu/aJv/aRw/qZx/qhz/qp0/qx1/q52/q94/rF5/rN7/rV8/rd9/rl//ruA/ryC/r6D/sCF/sKG/sSI/saJ/seL/smN/suO/c2Q/c+S/dGT/dKV/dSX/daY/dia/dqc/dyd/d2f/d+h/eGj/OOl/OWm/Oao/Oiq/Oqs/Oyu/O6w/PCx/PGz/PO1/PW3+/e5+/m7+/q9+/y/",
  cividis: "ACJNACNPACNQACRSACVUACZVACZXACdZAChbAChcACleACpgACpiACtkACxmACxnAC1pAC5rAC9tAC9vADBwADBwADFwADFwBDJwCDNwCzNwDjRwETVvFDZvFjZvGDdvGjhvHDhuHTluHzpuITtuIjtuJDxuJT1tJz1tKD5tKj9tKz9tLEBtLkFsL0JsMEJsMUNsMkRsNERsNUVsNkZsN0ZsOEdsOUhsOkhrO0lrPUprPktrP0trQExrQU1rQk1rQ05rRE9rRU9rRlBrR1FrSFFrSVJrSlNrS1RsTFRsTVVsTlZsTlZsT1dsUFhsUVhsUllsU1psVFpsVVttVlxtV11tWF1tWV5tWV9tWl9tW2BuXGFuXWFuXmJuX2NuYGRuYWRvYWVvYmZvY2ZvZGdvZWhwZmlwZ2lwaGpwaGtxaWtxamxxa21xbG1ybW5ybm9ybnBzb3BzcHFzcXJzcnN0c3N0dHR1dHV1dXV1dnZ2d3d2eHh2eXh3eXl3enp3e3t3fHt4fXx4fn14f314gH54gX94goB4g4B4hIF4hYJ4hYN4hoN4h4R4iIV4iYZ4ioZ4i4d4jIh4jYl4jol4j4p3kIt3kYx3kox3k413lI53lY93lo93l5B2mJF2mZJ2mpN2m5N2nJR2nZV1npZ1n5Z1oJd1oZh0opl0o5p0pJp0pZtzppxzp51zqJ5zqZ5yqp9yq6ByrKFxraJxrqJxr6NwsKRwsaVwsqZvs6ZvtKdvtahutqlut6ptuKttuattuqxsu61svK5rva9rvrBqv7BqwbFpwrJpw7NoxLRoxbVnxrVnx7ZmyLdlybhlyrlky7pkzLtjzbxizrxiz71h0L5g0r9g08Bf1MFe1cJe1sNd18Nc2MRb2cVa2sZa28dZ3MhY3slX38pW4MtV4cxU4sxT481S5M5R5c9Q5tBP6NFO6dJN6tNM69RL7NVK7dZI7tdH79hG8dlE8tpD89pC9NtA9dw/9t09+N47+d86+uA4++E2/eI0/eMz/eU0/eY2/ec3",
  RdBu: "ZwAfaQAfbAEfbwIgcgMgdQQheAUhewYifgcigQgjhAkjhwokigskjQwlkA0lkw4mlg8mmRAnmxAnnhEnoRIopBMopxQpqhUprRYqsBcqshkrtBwttR8utiEvuCQxuScyuyozvC00vjA2vzI3wDU4wjg6wzs7xT48xkA+x0M/yUZByklCzExDzU9EzlFG0FRH0VdJ01pK1F1L1mBN12JP2GVR2WhT2mpV221X3XBZ3nJb33Vd4Hhf4Xth4n1j5IBl5YNo5oVq54hs6Itu6o1w65By7JN07ZZ27ph475t68Z588qB+86OA9KaD9KiG9KqI9ayL9a6O9bCQ9rKT9rSW97aY97mb97ue+L2h+L+j+MGm+cOp+cWr+ceu+sqx+sy0+s62+9C5+9K8+9S+/NbB/NjE/dvH/NzI/N3K/N7M/N/O++DQ++HS++LU++PW+uTX+uXZ+ufb+ujd+enf+erh+evj+ezl+e3n+O7o+O/q+PDs+PLu9/Pw9/Ty9/X09/b29vb29PX28/X28fT28PP17vP17fL16/H06vH06PD05+/05e7z5O7z4u3z4ezz3+zy3uvy3Ory2+nx2enx2Ojx1ufx1efw0+bw0uXw0eXwzuPvzOLuyeHtx9/txN7swt3rv9zrvdrqutnpuNjotdfos9XnsNTmrtPmq9LlqdDkp8/kpM7jos3in8vhncrhmsngmMjflcbfk8XekMTdjcLcisDbh77ahLzZgLrYfbjXerbWd7TVdLLTcbDSbq7Ra6zQaKrPZajOYabNXqTMW6LLWKDKVZ7JUpzIT5rHTJjGSZbFRpTEQ5PDQZHCQI/BP43APYu/PIq+O4i9OYa8OIS7N4O6NYG5NH+5M324MXy3MHq2L3i1LXa0LHWzK3OyKXGxKG+wJ22wJWyvJGquI2itIWasIGSqH2KnHmCkHV6hHFyeGlqbGViYGFaVF1STFlGQFU+NFE2KE0uHEkmEEUeBD0V+DkN7DUB4DD51CzxyCjpvCThsCDZpBzRmBjJjBTBh",
}).map(([name, text]) => [name, bytes(text)]));

const painted = new WeakMap(); // a canvas -> the pixels that were painted on it last
const scaled = new WeakMap(); // a canvas -> the picture that was laid on it last, at its size there
let brief = null; // the canvas of maps that are drawn at once
const ARCS = 5; // from a place to others
const LEAST = 8; // CSS pixels of a frame's side
const MOST_PIXELS = 16384; // of a canvas' side, in every browser

/** A colour table as 256 pixels, each the four bytes of red, green, blue and full opacity. */
const pixelTable = once((rows) => {
  const bytesOf = Uint8Array.from({ length: 1024 }, (_, i) => (i % 4 === 3 ? 255 : rows[3 * (i >> 2) + (i % 4)]));
  return new Uint32Array(bytesOf.buffer);
});

/** The colour of a value as CSS text. */
export function colourOf(value, { table, low, high }) {
  const rows = TABLES[table];
  const start = 3 * colourIndex(value, low, high);
  return `rgb(${rows[start]} ${rows[start + 1]} ${rows[start + 2]})`;
}

/** Set the pixels of a canvas to those that `fill` writes into 4 bytes each: red, green, blue, opacity. */
export function paintPixels(fill, canvas) {
  const before = painted.get(canvas); // of a canvas that is painted again: new ones would have to be cleared first
  const fits = before?.width === canvas.width && before.height === canvas.height;
  const picture = fits ? before : new ImageData(canvas.width, canvas.height);
  painted.set(canvas, picture);
  fill(picture.data);
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

/** One colour on a canvas, as opaque at its pixel `i` as `opacity(i)` says, from 0 to 255. */
export function paintTint(colour, opacity, canvas) {
  return paintPixels((data) => {
    for (let i = 0; i < data.length / 4; i++) {
      data.set(colour, 4 * i);
      data[4 * i + 3] = opacity(i);
    }
  }, canvas);
}

/** A map as a canvas of one pixel a value: a new one, or `canvas`, which has that size. */
export function paintMap(values, height, width, { table, low, high }, canvas = element("canvas", { height, width })) {
  const colours = pixelTable(TABLES[table]);
  return paintPixels((data) => {
    const pixels = new Uint32Array(data.buffer);
    for (let i = 0; i < pixels.length; i++) pixels[i] = colours[colourIndex(values[i], low, high)];
  }, canvas);
}

/** An image (H, W) or (H, W, 3) of bytes as a canvas of one pixel a pixel. */
export function paintImage({ shape: [height, width, channels = 1], values }) {
  return paintPixels((data) => {
    for (let i = 0; i < height * width; i++) {
      for (let c = 0; c < 3; c++) data[4 * i + c] = values[i * channels + Math.min(c, channels - 1)];
      data[4 * i + 3] = 255;
    }
  }, element("canvas", { height, width }));
}

/**
 * A map as a canvas to be scaled without smoothing into a box: its cells, or bilinear values at the box's size. The
 * next map is painted on the same canvas.
 */
export function mapPicture(values, height, width, boxHeight, boxWidth, { smooth = false, ...range }) {
  const [rows, columns] = smooth ? [boxHeight, boxWidth] : [height, width];
  if (brief?.height !== rows || brief.width !== columns) brief = element("canvas", { height: rows, width: columns });
  return paintMap(smooth ? resample(values, height, width, rows, columns) : values, rows, columns, range, brief);
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

/**
 * Give a canvas the pixels of its place on the screen, `ratio` = height / width; returns its size in pixels. A widget
 * in a column without width computes sides that are no numbers: even then a canvas has a pixel, or copying it fails.
 */
export function fit(canvas, cssWidth, ratio) {
  const scale = window.devicePixelRatio || 1;
  const pixels = (length) => Math.max(1, Math.min(MOST_PIXELS, Math.round(length * scale) || 1));
  const [width, height] = [pixels(cssWidth), pixels(cssWidth * ratio)];
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  canvas.style.width = `${cssWidth}px`;
  canvas.style.height = `${height / scale}px`;
  return { width, height, scale };
}

/** An empty canvas of a size in CSS pixels; returns its context as if new, but it draws in CSS pixels. */
export function easel(canvas, width, height) {
  const { scale } = fit(canvas, width, height / width);
  const context = canvas.getContext("2d");
  context.reset();
  context.scale(scale, scale);
  return context;
}

/** Give a panel's canvas the panel's width, and no more height than `tallest`; returns its size in pixels. */
export function fitPanel({ canvas, node }, ratio, tallest = 420) {
  return fit(canvas, Math.max(1, Math.floor(Math.min(node.clientWidth, tallest / ratio))), ratio);
}

/** Lay a picture over a whole canvas, smooth unless its pixels are large; returns the canvas' context. */
export function layPicture(canvas, picture) {
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = width < 4 * picture.width;
  if (context.imageSmoothingEnabled) context.drawImage(atSize(canvas, picture, height, width), 0, 0);
  else context.drawImage(picture, 0, 0, width, height);
  return context;
}

/** A picture scaled smoothly for a canvas: once for all hovers, since it takes longer than all else that they draw. */
export function atSize(canvas, picture, height, width) {
  const before = scaled.get(canvas);
  const isSame = before?.picture === picture && before.turn === picture.turn; // a camera paints its canvases again
  if (isSame && before.copy.height === height && before.copy.width === width) return before.copy;
  const copy = element("canvas", { height, width });
  const context = copy.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, width, height);
  scaled.set(canvas, { picture, copy, turn: picture.turn });
  return copy;
}

/** A picture with a map of `rows` x `columns` values over it; returns the canvas' context. */
export function drawHeat(canvas, picture, values, [rows, columns], { opacity = 0.6, ...style }) {
  const context = layPicture(canvas, picture);
  drawMap(context, values, rows, columns, [0, 0, canvas.width, canvas.height], { opacity, ...style });
  return context;
}

/** Words at a place of a canvas: `align` of the words and `line` of the letters stand there, at `most` so wide. */
export function writeText(
  context, words, x, y, { ink, size = 12, weight = 400, align = "left", line = "middle", most, edge = null },
) {
  context.font = `${weight} ${size}px system-ui, sans-serif`;
  context.textAlign = align;
  context.textBaseline = line;
  Object.assign(context, { fillStyle: ink, strokeStyle: edge, lineWidth: size / 4 });
  if (edge) context.strokeText(words, x, y, most);
  context.fillText(words, x, y, most);
}

/** Stroke in a colour, within black of twice the width: seen on every ground. */
export function strokeTwice(context, colour, width, stroke) {
  for (const [ink, wide] of [["#000", 2 * width], [colour, width]]) {
    Object.assign(context, { strokeStyle: ink, lineWidth: wide });
    stroke();
  }
}

/** A rectangle that is seen on every colour: white within black; dashed while it is not pinned. */
export function outline(context, x, y, width, height, scale, pinned) {
  context.save();
  context.setLineDash(pinned ? [] : [4 * scale, 3 * scale]);
  strokeTwice(context, "#fff", 2 * scale, () => context.strokeRect(x, y, width, height));
  context.restore();
}

/** How many pixels of a canvas that stands on the page make a CSS pixel. */
export const pixelsOf = (canvas) => canvas.width / parseFloat(canvas.style.width);

/** Frame the cell [row, column] of a grid of `rows` x `columns` over a canvas, if one is given: where it can be seen. */
export function frameCell(canvas, [rows, columns], query, pinned) {
  if (!query) return;
  const [pixels, [x, y]] = [pixelsOf(canvas), middleOf(canvas, [rows, columns], query)];
  const [width, height] = [canvas.width / columns, canvas.height / rows].map((side) => Math.max(side, LEAST * pixels));
  outline(canvas.getContext("2d"), x - width / 2, y - height / 2, width, height, pixels, pinned);
}

/** The middle of a cell of a grid of `rows` x `columns` over a canvas. */
export const middleOf = ({ width, height }, [rows, columns], [row, column]) =>
  [((column + 0.5) * width) / columns, ((row + 0.5) * height) / rows];

/** Arcs from a place of a canvas to the cells of a grid over it that have the largest `weights`, its own aside. */
export function drawArcs(context, [x, y], weights, [rows, columns], scale) {
  const at = (i) => middleOf(context.canvas, [rows, columns], cellOf(i, columns));
  const best = strongest(weights).filter((i) => weights[i] > 0 && String(at(i)) !== String([x, y])).slice(0, ARCS);
  context.lineCap = "round";
  for (const one of best) {
    const [right, down] = at(one);
    const bend = 0.18 * Math.hypot(right - x, down - y);
    for (const [ink, wider] of [["rgb(0 0 0 / 0.55)", 2], ["#fff", 0]]) {
      context.strokeStyle = ink;
      context.lineWidth = (wider + 0.75 + (3.5 * weights[one]) / weights[best[0]]) * scale;
      context.beginPath();
      context.moveTo(x, y);
      context.quadraticCurveTo((x + right) / 2 + bend, (y + down) / 2 - bend, right, down);
      context.stroke();
    }
  }
}

/** What is painted of a canvas once, after `begin()`, and copied back by `copy()` before something is framed. */
export function layered(canvas) {
  const base = element("canvas");
  const begin = () => {
    Object.assign(base, { width: canvas.width, height: canvas.height });
    return base.getContext("2d");
  };
  const copy = () => {
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(base, 0, 0);
    return context;
  };
  return { base, begin, copy };
}

/** The border between pixels that are in a region and those that are not, scaled to a box. */
export function regionPath(inside, height, width, boxHeight, boxWidth) {
  const path = new Path2D();
  const at = (row, column) =>
    row >= 0 && row < height && column >= 0 && column < width && Boolean(inside[row * width + column]);
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
