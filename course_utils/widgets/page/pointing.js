// How a view that points at one place goes round: traits, drawing, words, buttons.

import { focusController, store } from "./bind.js";
import { keepButtons } from "./panels.js";

/**
 * Draw a view whose state is its traits and the place in focus, and give it its two buttons.
 *
 * The pinned place is a trait, [] while nothing is pinned. A place that it holds from the start, or that comes from
 * outside, is shown without a pin until the learner points anywhere.
 *
 * Args: those of `focusController` but `onChange` and `onEdge`, where `locate` may be left out for a grid of even cells
 * over the part of a canvas that `inside(canvas)` gives, [left, top, width, height] as shares, by default all of it;
 * `trait`, its name, and `toTrait(query)`, `fromTrait(values)` where it does not hold [row, column]; `traits`, whose
 * changes it follows; `follow()`, what they change before anything is drawn, false while they do not fit each other;
 * `draw(focus)`, what is drawn without the place, and `mark(focus)`, what is drawn with it, both only while the widget
 * has a width; `describe(focus)` -> the parts of the status line, said again with "Edge." when an arrow can go no
 * further; `lines(focus)`, those below the saved picture, by default the first two; `code(focus)` -> the lines to
 * copy; `moved(focus)`, before a gesture is drawn; `isQuiet()`, whether a drawing is said quietly.
 * Returns what `focusController` does, `look(quiet)`, which marks and says, `show()`, which draws all, and `update()`,
 * which follows the traits first.
 */
export function bindView({
  model, house, traits, mark, describe, code, rows, columns, follow = () => {}, draw = () => {}, moved = () => {},
  isQuiet = () => false, lines = (focus) => describe(focus).slice(0, 2), trait = "query",
  toTrait = (query) => query, fromTrait = (values) => values, inside = () => [0, 0, 1, 1], ...others
}) {
  const within = ([row, column]) => row >= 0 && column >= 0 && row < rows() && column < columns();
  const look = (quiet = false) => {
    if (house.root.clientWidth === 0) return;
    mark(focus);
    house.say(describe(focus), { quiet });
  };
  const point = (quiet) => {
    moved(focus);
    look(quiet);
  };
  const focus = focusController({
    rows,
    columns,
    locate: (canvas, x, y) => {
      const [left, top, width, height] = inside(canvas);
      const place = [Math.floor(((y - top) / height) * rows()), Math.floor(((x - left) / width) * columns())];
      return within(place) ? place : null;
    },
    onEdge: () => house.say([...describe(focus), "Edge."], { again: true }),
    onChange: (_, pinned, quiet) => {
      point(quiet);
      const stored = pinned ? toTrait(focus.get()) : [];
      if (String(stored) !== String(model.get(trait))) store(model, { [trait]: stored });
    },
    ...others,
  });
  const takePlace = () => {
    const values = model.get(trait);
    const before = focus.get();
    const query = values.length ? fromTrait(values) : null;
    if (query && within(query)) {
      if (String(query) !== String(before)) focus.set(query);
    } else if (focus.isPinned() || (before && !within(before))) focus.set(null);
    return String(before) !== String(focus.get());
  };
  const show = () => {
    if (house.root.clientWidth === 0) return;
    draw(focus);
    look(isQuiet());
  };
  const take = () => {
    if (follow() === false) return false;
    takePlace();
    if (model.get(trait).length && !focus.get()) store(model, { [trait]: [] }); // there is no such place any more
    return true;
  };
  const update = () => { if (take()) show(); };
  house.listen(trait, () => { if (takePlace()) point(true); });
  take();
  house.listen(traits, update);
  house.whenShown(show);
  keepButtons(house, () => lines(focus), () => code(focus));
  return { ...focus, look, show, update };
}
