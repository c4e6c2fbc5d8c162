// A map over a picture: its panel, its controls, and the outline of a region.

import { slider, toggle, traitControls } from "./bind.js";
import { blend, fitPanel, layPicture, mapPicture, markCell, regionPath } from "./paint.js";
import { picturePanel } from "./panels.js";

/** The colours of an outline: the true place, and what reaches a threshold. */
export const PLACE = "#ffd43b";
export const REACHED = "#fff";

function strokeRegion(context, { inside, shape, colour, thickness }, scale) {
  const path = regionPath(inside, ...shape, context.canvas.height, context.canvas.width);
  context.save();
  context.lineCap = "square";
  for (const [ink, width] of [["#000", 2 * thickness], [colour, thickness]]) {
    context.strokeStyle = ink;
    context.lineWidth = width * scale;
    context.stroke(path);
  }
  context.restore();
}

/**
 * A panel for one map. `paint` draws `values` in `size` = [rows, columns] over `picture` (left out: the map alone) as
 * `mapPicture` does, at the `ratio` and `tallest` of `fitPanel`, and outlines `regions` = [{ inside, shape, colour, thickness }];
 * `mark(size, query, pinned)` then frames one cell, at the cost of a copy and a rectangle.
 */
export function mapPanel(name, attributes) {
  const made = picturePanel(name, attributes);
  const base = document.createElement("canvas");
  const paint = ({ picture = null, values, size, ratio, tallest, opacity = 1, regions = [], ...style }) => {
    const { width, height, scale } = fitPanel(made, ratio, tallest);
    Object.assign(base, { width, height });
    const context = picture ? layPicture(base, picture) : base.getContext("2d");
    blend(context, mapPicture(values, ...size, height, width, style), [0, 0, width, height], opacity);
    for (const region of regions) strokeRegion(context, region, scale);
  };
  const mark = (size, query, pinned) => markCell(made.canvas, base, size, query, pinned);
  return { ...made, paint, mark };
}

/** The controls of a map over a picture, each of one trait: `opacity`, `own_range`, `smooth`. `refresh()` follows them. */
export function mapControls(model, ownWords) {
  const made = traitControls(model, {
    opacity: [slider, { label: "Opacity", min: 0, max: 1, step: 0.01, show: (value) => `${Math.round(100 * value)} %` }],
    own_range: [toggle, { label: ownWords }],
    smooth: [toggle, { label: "Smooth" }],
  });
  return { ...made, own: made.controls.own_range };
}
