// A map over a picture: its panel, its controls, and the outline of a region.

import { slider, toggle, traitControls } from "./bind.js";
import { blend, fitPanel, frameCell, layered, layPicture, mapPicture, regionPath, strokeTwice } from "./paint.js";

/** The colours of an outline: the true place, and what reaches a threshold. */
export const PLACE = "#ffd43b";
export const REACHED = "#fff";

/** The border of a region over a whole canvas, seen on every colour. */
export function strokeRegion(context, { inside, shape, colour, thickness }, scale) {
  const path = regionPath(inside, ...shape, context.canvas.height, context.canvas.width);
  context.save();
  context.lineCap = "square";
  strokeTwice(context, colour, thickness * scale, () => context.stroke(path));
  context.restore();
}

/**
 * A picture's panel for one map. `paint` draws `values` in `size` = [rows, columns] over `picture` (left out: the map
 * alone) as `mapPicture` does, at the `ratio` and `tallest` of `fitPanel`, and outlines `regions`, which `strokeRegion`
 * takes; `mark(size, query, pinned)` then frames one cell, at the cost of a copy and a rectangle.
 */
export function mapPanel(made) {
  const layer = layered(made.canvas);
  const paint = ({ picture = null, values, size, ratio, tallest, opacity = 1, regions = [], ...style }) => {
    const { width, height, scale } = fitPanel(made, ratio, tallest);
    const context = layer.begin();
    if (picture) layPicture(layer.base, picture);
    blend(context, mapPicture(values, ...size, height, width, style), [0, 0, width, height], opacity);
    for (const region of regions) strokeRegion(context, region, scale);
  };
  const mark = (size, query, pinned) => {
    layer.copy();
    frameCell(made.canvas, size, query, pinned);
  };
  return { ...made, paint, mark };
}

/** The controls of a map over a picture, each of one trait: `opacity`, `own_range`. */
export function mapControls(model, ownWords) {
  const made = traitControls(model, {
    opacity: [slider, {
      label: "Opacity", min: 0, max: 1, step: 0.01, show: (value) => `${Math.round(100 * value)} %`,
    }],
    own_range: [toggle, { label: ownWords }],
  });
  return { ...made, own: made.controls.own_range };
}
