// A matrix on a panel's canvas: words beside its rows and above its columns, its cells, and the one in focus.

import { fit, layered, outline, pixelsOf, writeText } from "./paint.js";

const SIZE = 12; // of the words
const LINE = 14; // what a word needs of a row

/** Of words `step` apart those that have room: all, or the first, the last and some between, as on an axis. */
function withRoom(count, step) {
  const [every, last] = [Math.ceil(LINE / step), count - 1];
  return Array.from({ length: count }, (_, i) => i).filter((i) => i === last || (i % every === 0 && i <= last - every));
}

/**
 * The matrix of a panel. `begin(box, rows, columns)` takes the box of the cells, [left, top, width, height] in CSS
 * pixels, and the words of its rows and columns, and returns a context in which the cells are drawn, in CSS pixels:
 * the words stand `gap` away from the box, upright above columns that are too narrow for them; `ink(i, isColumn)` is
 * their colour. `boxOf([row, column])` is where a cell lies, `inside()` where all do, as parts of the canvas.
 * `mark(cell, pinned)` frames a cell, or as many as `across` beside each other.
 */
export function matrixPanel(house, made) {
  const layer = layered(made.canvas);
  let [left, top, wide, tall, whole] = [0, 0, 1, 1, [1, 1]];
  const begin = (box, rows, columns, { gap = 4, ink = () => "soft" } = {}) => {
    [left, top] = box;
    [wide, tall] = [box[2] / columns.length, box[3] / rows.length];
    whole = [left + box[2], top + box[3]];
    const { scale } = fit(made.canvas, whole[0], whole[1] / whole[0]);
    const context = layer.begin();
    context.scale(scale, scale);
    context.imageSmoothingEnabled = false;
    const style = (i, isColumn) => ({ ink: house.ink(ink(i, isColumn)), size: SIZE });
    for (const i of withRoom(rows.length, tall)) {
      const words = { ...style(i, false), align: "right", most: left - gap };
      writeText(context, rows[i], left - gap, top + (i + 0.5) * tall, words);
    }
    const isUpright = columns.some((words) => context.measureText(words).width > wide - 2);
    for (const j of withRoom(columns.length, wide)) {
      context.save();
      context.translate(left + (j + 0.5) * wide, top - gap);
      if (isUpright) context.rotate(-Math.PI / 2);
      const place = isUpright ? { most: top - gap } : { align: "center", line: "bottom" };
      writeText(context, columns[j], 0, 0, { ...style(j, true), ...place });
      context.restore();
    }
    return context;
  };
  const boxOf = ([row, column]) => [left + column * wide, top + row * tall, wide, tall];
  const inside = () => [left / whole[0], top / whole[1], 1 - left / whole[0], 1 - top / whole[1]];
  const mark = (cell, pinned, across = 1) => {
    const [context, scale] = [layer.copy(), pixelsOf(made.canvas)];
    if (!cell) return;
    const [x, y, width, height] = boxOf(cell).map((length) => length * scale);
    outline(context, x, y, width * across, height, scale, pinned);
  };
  return { ...made, begin, boxOf, inside, mark };
}
