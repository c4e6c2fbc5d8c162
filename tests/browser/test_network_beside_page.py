"""The engine in Chromium: beside the page in a worker, and in the page where no worker may start."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import course_utils.widgets
from course_utils.attention import edit_masks
from course_utils.models import load_network
from course_utils.models.page_graph import page_graph
from course_utils.widgets.joiner import join

ENGINE = Path(course_utils.widgets.__file__).with_name("page") / "network.js"
RUN = """async ({ source, graph, weights, shape, data, edits, names, blocked }) => {
  if (blocked) window.Worker = class { constructor() { setTimeout(() => this.onerror()); } postMessage() {} };
  const { inWorker, latest } = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  const network = inWorker(graph, weights);
  const input = { shape, data: Float32Array.from(data) };
  const [plain, edited, again] = await Promise.all([
    network.run(input, {}, names), network.run(input, edits), network.run(input, {}, names),
  ]);
  const refused = await network.run(input, { nothing: [[0, 0]] }).catch((error) => error.message);
  let runs = 0;
  const once = latest(async () => { runs += 1; await network.run(input, edits); });
  await Promise.all(Array.from({ length: 9 }, once));
  network.end();
  return {
    plain: [...plain.output.data], edited: [...edited.output.data], again: [...again.output.data],
    gate: [...plain.values[names[0]].data], refused, runs,
  };
}"""


@pytest.mark.parametrize("blocked", [False, True], ids=["in a worker", "without one"])
def test_a_network_beside_the_page_answers_as_torch_does(browser, blocked):
    network = load_network("se_cued_digits")
    graph, weights = page_graph(network).values()
    x = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0))
    name = "stage1.attention"
    with torch.no_grad(), edit_masks(network, {name: lambda gates: gates.index_fill(1, torch.tensor([2, 5]), 0.25)}):
        moved = network(x[None])[0].numpy()
    with torch.no_grad():
        plain = network(x[None])[0].numpy()
    page = browser.new_page()
    found = page.evaluate(
        RUN,
        {
            "source": join(ENGINE) + "\nexport { inWorker, latest };",
            "graph": graph,
            "weights": weights,
            "shape": list(x.shape),
            "data": x.flatten().tolist(),
            "edits": {name: [[2, 0.25], [5, 0.25]]},
            "names": [name],
            "blocked": blocked,
        },
    )
    page.close()
    np.testing.assert_allclose(found["plain"], plain, atol=1e-4)
    np.testing.assert_allclose(found["edited"], moved, atol=1e-4)
    assert found["again"] == found["plain"]
    assert len(found["gate"]) == network.get_submodule(name).expand.out_features
    assert 'no step "nothing"' in found["refused"], json.dumps(found["refused"])
    assert found["runs"] == 2
