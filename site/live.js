import { show } from "../course_utils/widgets/page/host.js";

(() => {
  // What scrolls sideways can be reached by the keyboard; what fits is no stop on the way.
  const scrolling = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  for (const wide of document.querySelectorAll("pre, .table-wrapper, .math-wrapper, .text_html")) scrolling.observe(wide);

  // Two landmarks of one kind need names.
  document.querySelector(".sidebar-drawer")?.setAttribute("aria-label", "The course");
  document.querySelector(".toc-drawer")?.setAttribute("aria-label", "This page");

  // A page opened from a folder may not read its neighbours, so the search shows titles alone.
  if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

  // Draw every widget of the page where its cell showed it.
  const held = document.getElementById("course-widgets");
  const { values, widgets } = JSON.parse(held?.textContent ?? "{}");
  for (const view of document.querySelectorAll("script[type='application/vnd.jupyter.widget-view+json']")) {
    const { widget, traits } = widgets[JSON.parse(view.textContent).model_id];
    const own = Object.entries(traits).map(([name, index]) => [name, structuredClone(values[index])]);
    const host = document.createElement("div");
    host.className = "course-live";
    view.after(host);
    show(host, () => courseWidgets[widget], Object.fromEntries(own));
  }
})();
