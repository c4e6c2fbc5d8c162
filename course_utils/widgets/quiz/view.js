import { button, store } from "../page/bind.js";
import { element, prose } from "../page/elements.js";
import { frame } from "../page/frame.js";

let groups = 0;
const page = Math.random().toString(36).slice(2);

function render({ model, el }) {
  const house = frame({ model, el, name: "quiz" });
  const questions = model.get("questions");
  const predict = model.get("predict");
  const list = element("div", { class: "cw-quiz" });
  house.stage.replaceWith(list);

  const blocks = questions.map((question, index) => {
    const group = `cw-${page}-${++groups}`;
    const inputs = question.options.map((_, i) => element("input", { type: "radio", name: group, value: i }));
    const marks = question.options.map(() => element("span", { class: "cw-mark", hidden: true }));
    const options = question.options.map((text, i) =>
      element("label", { class: "cw-option" }, inputs[i], element("span", {}, ...prose(text)), marks[i]));
    const verdict = element("div", { class: "cw-verdict", "aria-live": "polite", tabindex: "-1" });
    let explained = null;
    const chosen = () => inputs.findIndex((input) => input.checked);
    const check = button(predict ? "Keep this prediction" : "Check", () => {
      if (chosen() < 0) {
        const which = questions.length > 1 ? `Question ${index + 1}: choose` : "Choose";
        house.say(`${which} an option first.`, { again: true });
        return;
      }
      if (chosen() === explained) {
        house.say(`The same choice: ${explained === question.right ? "right" : "not yet"}.`, { again: true });
      }
      store(model, { answered: model.get("answered").map((old, i) => (i === index ? chosen() : old)) });
    });
    const title = questions.length > 1 ? [`${index + 1}. `] : [];
    const legend = element("legend", {}, ...title, ...prose(question.text));
    list.append(element("fieldset", {}, legend, ...options, check, verdict));

    const show = () => {
      const choice = model.get("answered")[index];
      const open = choice === null || choice === undefined;
      if (explained === choice || (open && explained === null)) return;
      explained = open ? null : choice;
      if (!open) inputs[choice].checked = true;
      for (const [i, label] of options.entries()) {
        const right = !open && i === question.right && (predict || choice === i);
        if (right) label.dataset.mark = "right";
        else if (!open && i === choice) label.dataset.mark = "wrong";
        else delete label.dataset.mark;
        const words = [...(i === choice ? ["your choice"] : []), ...(right ? ["right"] : [])].join(", ");
        marks[i].hidden = !words;
        // A colon, heard and not seen, keeps the mark apart from the option's own words.
        marks[i].replaceChildren(...(words ? [element("span", { class: "cw-heard" }, ": "), words] : []));
      }
      const pressed = check.matches(":focus");
      verdict.replaceChildren();
      delete verdict.dataset.right;
      if (predict) {
        for (const input of inputs) input.disabled = !open;
        check.hidden = !open;
      }
      if (open) return;
      const right = choice === question.right;
      verdict.dataset.right = String(right);
      const word = right ? "Right. " : predict ? "Not what happens. " : "Not yet. ";
      const line = (head, text) => element("p", {}, element("strong", {}, head), ...prose(text));
      verdict.append(line(word, question.explanations[choice]));
      if (predict && !right) {
        verdict.append(line(`${question.options[question.right]}: `, question.explanations[question.right]));
      }
      if (check.hidden && pressed) verdict.focus(); // the button that had the focus is gone
    };
    return show;
  });

  const show = () => {
    for (const one of blocks) one();
    const answered = model.get("answered");
    const done = answered.filter((one) => one !== null && one !== undefined).length;
    const right = answered.filter((one, i) => one === questions[i].right).length;
    if (predict) house.say(done ? "Your prediction is kept." : "Choose what you expect, then see what happens.");
    else house.say(`${done} of ${questions.length} answered, ${right} right.`);
  };
  show();
  house.listen("answered", show);
  return house.end;
}

export default { render };
