// Shows a widget on a page without a kernel: a saved page, the gallery, the site.

/** A widget's model where there is no kernel: its traits, and who listens to them. */
function standIn(state) {
  const handlers = new Map();
  return {
    get: (name) => state[name],
    set(name, value) {
      if (JSON.stringify(state[name]) === JSON.stringify(value)) return;
      state[name] = value;
      for (const handler of [...(handlers.get(`change:${name}`) ?? [])]) handler();
    },
    on(name, handler) { handlers.set(name, [...(handlers.get(name) ?? []), handler]); },
    off(name, handler) { handlers.set(name, (handlers.get(name) ?? []).filter((one) => one !== handler)); },
    save_changes() {},
    send() {},
  };
}

/** Draw a widget in a node of the page; `load()` gives its module. */
export async function show(host, load, state) {
  host.model = standIn(state);
  try {
    const { default: widget } = await load();
    await widget.render({ model: host.model, el: host });
    host.dataset.ready = "true";
  } catch (error) {
    host.textContent = `This widget could not start: ${error.message}`;
  }
}
