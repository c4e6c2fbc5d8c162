// How a view that points at one place goes round: traits, drawing, words, buttons.

import { bindFocus, store } from "./bind.js";
import { copyButton, saveButton } from "./panels.js";

/**
 * Draw a view whose state is its traits and the place in focus, and give it its two buttons.
 *
 * Args: those of `bindFocus` but `onChange`; `traits`, whose changes it follows; `follow()`, what they change before
 * anything is drawn, false while they do not fit each other; `draw(focus)`, what is drawn without the place, and
 * `mark(focus)`, what is drawn with it, both only while the widget has a width; `describe(focus)` -> the parts of the
 * status line; `lines(focus)`, those below the saved picture, by default the first two; `code(focus)` -> the lines to
 * copy; `moved(focus)`, before a gesture is drawn; `isQuiet()`, whether a drawing is said quietly.
 * Returns what `bindFocus` does, `look(quiet)`, which marks and says, `show()`, which draws all, and `update()`, which
 * follows the traits first.
 */
export function bindView({
  model, house, traits, mark, describe, code, follow = () => {}, draw = () => {}, moved = () => {},
  isQuiet = () => false, lines = (focus) => describe(focus).slice(0, 2), trait = "query", ...others
}) {
  const look = (quiet = false) => {
    if (house.root.clientWidth === 0) return;
    mark(focus);
    house.say(describe(focus), { quiet });
  };
  const focus = bindFocus({
    model, house, trait, describe: () => describe(focus), ...others,
    onChange: (_, __, quiet) => {
      moved(focus);
      look(quiet);
    },
  });
  const show = () => {
    if (house.root.clientWidth === 0) return;
    draw(focus);
    look(isQuiet());
  };
  const take = () => {
    if (follow() === false) return false;
    focus.take();
    if (model.get(trait).length && !focus.get()) store(model, { [trait]: [] }); // there is no such place any more
    return true;
  };
  const update = () => { if (take()) show(); };
  take();
  house.listen(traits, update);
  house.whenShown(show);
  house.actions.append(
    saveButton(house, `${house.root.dataset.widget}.png`, { lines: () => lines(focus) }),
    copyButton(house, () => code(focus)),
  );
  return { ...focus, look, show, update };
}
