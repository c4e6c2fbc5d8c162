"""The modules that all widgets share: what it decodes, colours and interpolates equals numpy's and matplotlib's."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from playwright.sync_api import Browser, Page
from settle import wait_drawn

from artwork.tables import table_base64
from course_utils.widgets import AttentionMap, CourseWidget, Question, Quiz, TrainingCurves, encode
from course_utils.widgets.attention_map.widget import TABLES
from course_utils.widgets.joiner import join

PAGE = Path(__file__).parents[2] / "course_utils" / "widgets" / "page"
SOURCES = sorted(path for path in PAGE.parent.rglob("*") if path.suffix in (".js", ".css"))


@pytest.fixture(scope="module")
def module(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """`module(expression, argument)` evaluates with all exports of page/ in `shared`, the argument in `x`."""
    names, lines = [], []
    for path in sorted(PAGE.glob("*.js")):
        exported = re.findall(r"^export (?:async )?(?:function|const) (\w+)", path.read_text("utf-8"), re.MULTILINE)
        if exported:
            names += exported
            lines.append(f'import {{ {", ".join(exported)} }} from "{path.as_posix()}";\n')
    everything = tmp_path_factory.mktemp("modules") / "everything.js"
    everything.write_text("".join(lines) + f"export default {{ {', '.join(names)} }};\n", encoding="utf-8")
    context = browser.new_context()
    page: Page = context.new_page()
    page.evaluate(
        """async (source) => {
          const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
          window.shared = (await import(address)).default;
        }""",
        join(everything),
    )
    yield lambda expression, argument=None: page.evaluate(f"(x) => {{ {expression} }}", argument)
    context.close()


@pytest.mark.parametrize("name", TABLES)
def test_colour_tables_are_matplotlibs(name: str, module: Callable[..., Any]) -> None:
    rows = module("return [...shared.TABLES[x]]", name)
    expected = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]
    assert rows == expected.ravel().tolist()
    assert table_base64(name) in (PAGE / "paint.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_arrays_arrive_unchanged(dtype: str, module: Callable[..., Any]) -> None:
    draw = np.random.default_rng(0)
    if dtype == "uint8":
        array = draw.integers(0, 256, (3, 4, 5)).astype(np.uint8)
    else:
        array = (draw.normal(size=(3, 4, 5)) * 10.0 ** draw.integers(-8, 4, (3, 4, 5))).astype(dtype)
        array.flat[:3] = [0, 6e-8, -1]  # 6e-8 is below the smallest normal float16
    shape, values = module(
        "const a = shared.decode(x); return [a.shape, [...a.values]]", encode(array, dtype == "float32")
    )
    assert shape == [3, 4, 5]
    np.testing.assert_array_equal(np.array(values), array.astype(np.float64).ravel())


def test_colours_are_chosen_as_matplotlib_chooses_them(module: Callable[..., Any]) -> None:
    values = np.random.default_rng(1).uniform(-0.2, 1.2, 500)
    values[:3] = [0, 0.5, 1]
    rows = module("return x.map((v) => shared.colourIndex(v, 0, 1))", values.tolist())
    expected = matplotlib.colormaps["viridis"](values, bytes=True)
    table = matplotlib.colormaps["viridis"](np.arange(256), bytes=True)
    np.testing.assert_array_equal(table[rows], expected)


@pytest.mark.parametrize(("rows", "columns"), [(14, 21), (3, 2), (5, 7)])
def test_smooth_maps_are_bilinear_with_centres_at_half_steps(
    rows: int, columns: int, module: Callable[..., Any]
) -> None:
    values = np.random.default_rng(2).normal(size=(5, 7))
    drawn = module("return [...shared.resample(x[0], 5, 7, x[1], x[2])]", [values.ravel().tolist(), rows, columns])
    y = np.clip((np.arange(rows) + 0.5) * 5 / rows - 0.5, 0, 4)
    x = np.clip((np.arange(columns) + 0.5) * 7 / columns - 0.5, 0, 6)
    along = np.array([np.interp(x, np.arange(7), row) for row in values])
    expected = np.array([np.interp(y, np.arange(5), column) for column in along.T]).T
    np.testing.assert_allclose(np.reshape(drawn, (rows, columns)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "table", "expected"),
    [
        ([0.2, 0.7], "viridis", (0, 0.7)),
        ([-1, 3], "magma", (-1, 3)),
        ([-1, 3], "RdBu", (-3, 3)),
        ([0, 0], "RdBu", (-1, 1)),
        ([0, 0], "viridis", (0, 1)),
    ],
)
def test_the_colour_range_starts_at_zero_for_weights_and_is_centred_for_signed_values(
    values: list[float], table: str, expected: tuple[float, float], module: Callable[..., Any]
) -> None:
    span = module("return shared.colourRange(...x)", [values, table])
    assert (span["low"], span["high"]) == expected


@pytest.mark.faults("pieces of markup in labels, captions, names and answers")
def test_backticks_make_code_and_markup_stays_text(module: Callable[..., Any]) -> None:
    html = module("return shared.element('p', {}, ...shared.prose(x)).outerHTML", "a `b<c>` <img src=x>")
    assert html == "<p>a <code>b&lt;c&gt;</code> &lt;img src=x&gt;</p>"


def test_a_flood_of_events_keeps_one_request_under_way_and_sends_only_the_latest_after_it(
    module: Callable[..., Any],
) -> None:
    sent, heard = module(
        """
        const sent = [], heard = [], handlers = {}, state = {};
        const model = { widget_manager: {}, set: (n, v) => { state[n] = v; }, get: (n) => state[n],
          save_changes: () => sent.push(state.request) };
        const house = { say() {}, listen: (name, handler) => { handlers[name] = handler; }, endings: [] };
        const ask = shared.asker(model, house, (answer) => heard.push(answer.twice));
        for (let i = 0; i < 60; i++) ask({ value: i });
        const reply = () => {
          state.answer = { id: state.request.id, twice: 2 * state.request.value };
          handlers.answer();
        };
        state.answer = { id: "another view's", twice: -1 }; handlers.answer();
        reply(); reply(); reply();
        for (const end of house.endings) end();
        return [sent.map((one) => one.value), heard];
        """
    )
    assert sent == [0, 59]
    assert heard == [0, 118]


@pytest.mark.faults("kernels gone or silent")
def test_a_failed_answer_is_told_and_lets_the_next_question_through(module: Callable[..., Any]) -> None:
    sent, heard, told = module(
        """
        const sent = [], heard = [], told = [], handlers = {}, state = { error: "no picture" };
        const model = { widget_manager: {}, set: (n, v) => { state[n] = v; }, get: (n) => state[n],
          save_changes: () => sent.push(state.request.value) };
        const listen = (name, handler) => { handlers[name] = handler; };
        const house = { say() {}, fail: (text) => told.push(text), listen, endings: [] };
        const ask = shared.asker(model, house, () => heard.push(1));
        ask({ value: 1 }); ask({ value: 2 });
        state.answer = { id: state.request.id, failed: true }; handlers.answer();
        for (const end of house.endings) end();
        return [sent, heard, told];
        """
    )
    assert (sent, heard, told) == ([1, 2], [], ["no picture"])


@pytest.mark.faults("kernels gone or silent")
def test_a_kernel_that_does_not_answer_is_told_after_five_seconds_and_at_each_gesture_until_it_does(
    module: Callable[..., Any],
) -> None:
    steps = module(
        """
        const said = [], sent = [], handlers = {}, state = {}, waits = [];
        const real = window.setTimeout;
        window.setTimeout = (action, wait) => { waits.push([action, wait]); return 0; };
        const model = { widget_manager: {}, set: (n, v) => { state[n] = v; }, get: (n) => state[n],
          save_changes: () => sent.push(state.request.value) };
        const listen = (name, handler) => { handlers[name] = handler; };
        const house = { say: (text) => said.push(text), listen, endings: [] };
        const ask = shared.asker(model, house, () => said.push("answered"));
        const steps = [];
        const step = () => steps.push([[...sent], said.splice(0)]);
        ask({ value: 1 }); step();
        ask({ value: 2 }); step();
        const [action, wait] = waits.pop();
        action(); step();
        ask({ value: 3 }); step();
        state.answer = { id: state.request.id }; handlers.answer(); step();
        state.answer = { id: state.request.id }; handlers.answer(); step();
        ask({ value: 4 }); step();
        window.setTimeout = real;
        return [wait, steps];
        """
    )
    wait, (first, second, late, gesture, answered, latest, fresh) = steps
    assert wait == 5000
    assert first == second == [[1], []]
    assert late[0] == gesture[0] == [1]
    assert "No answer yet" in late[1][0] and "run again" in late[1][0]
    assert gesture[1] == late[1]
    assert answered == [[1, 3], ["answered"]] and latest == [[1, 3], ["answered"]]
    assert fresh == [[1, 3, 4], []]


@pytest.mark.faults("kernels gone or silent")
def test_without_a_kernel_the_page_says_what_is_missing(module: Callable[..., Any]) -> None:
    said = module(
        """
        const said = [];
        const house = { say: (text) => said.push(text), listen() {}, endings: [] };
        shared.asker({ set() { throw new Error("sent"); } }, house, () => {})({ value: 1 });
        return said;
        """
    )
    assert len(said) == 1
    assert "needs a running notebook" in said[0]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_modules_hold_no_address_no_comment_opener_and_no_markup_writer(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert "<!--" not in source
    assert "innerHTML" not in source
    assert "insertAdjacentHTML" not in source
    assert re.findall(r"//(?!www\.w3\.org)[a-z0-9-]+\.[a-z]", json.dumps(source)) == []


MARKUP = "<img src=x onerror=window.hacked=1> & </script><!-- `x`"


def _attention_map() -> CourseWidget:
    draw = np.random.default_rng(0)
    return AttentionMap(
        draw.random((16, 16, 3)), draw.random((3, 4, 4)), [MARKUP, "b", "c"], label=MARKUP, caption=MARKUP
    )


def _training_curves() -> CourseWidget:
    curves = TrainingCurves(total=20, label=MARKUP, caption=MARKUP)
    for run in (MARKUP, "SE"):
        for seed in (0, 1):
            for epoch in (1, 2, 3):
                measured = {"accuracy": 0.5 + 0.1 * epoch + 0.01 * seed, "train_loss": 1 / epoch}
                curves.update({"run": run, "epoch": epoch, "seed": seed, "epochs": 5, **measured})
    return curves


def _quiz() -> CourseWidget:
    questions = [Question(MARKUP, {MARKUP: MARKUP, "b": "Why b is wrong."}, right=MARKUP) for _ in range(2)]
    return Quiz(questions, label=MARKUP, caption=MARKUP)


def _prediction() -> CourseWidget:
    return Quiz([Question("What will happen?", {"This": "For it must.", "That": "No."}, right="This")], predict=True)


EVERY_WIDGET = pytest.mark.parametrize("make", [_attention_map, _training_curves, _quiz, _prediction])


@pytest.mark.faults("pieces of markup in labels, captions, names and answers")
@pytest.mark.parametrize("make", [_attention_map, _training_curves, _quiz])
def test_labels_with_markup_arrive_as_text(make: Callable, alone: Callable) -> None:
    page = alone(make())
    assert page.root.get_attribute("aria-label") == MARKUP
    assert MARKUP in page.root.inner_text() or MARKUP.replace("`", "") in page.root.inner_text()
    assert page.root.locator("img").count() == 0
    assert page.page.evaluate("window.hacked") is None
    page.assert_clean()


@EVERY_WIDGET
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_wrong(make: Callable, theme: str, alone: Callable) -> None:
    page = alone(make())
    page.theme(theme)
    assert page.violations() == []
    if page.canvas.count():
        page.hover(page.canvas, 0.5, 0.5)
        page.set(error="The input has 3 axes; add the batch axis.")
    else:
        for fieldset in page.root.locator("fieldset").all():
            fieldset.locator("input").last.check()
            fieldset.get_by_role("button").click()
    wait_drawn(page.page)
    assert page.violations() == []


@pytest.mark.parametrize(
    ("element", "attribute", "light", "dark"),
    [
        ("body", "data-theme", "light", "dark"),
        ("body", "data-jp-theme-light", "true", "false"),
        ("html", "theme", "light", "dark"),
    ],
    ids=["static site", "JupyterLab", "Colab"],
)
def test_the_host_decides_on_light_and_dark_and_without_it_the_system(
    element: str, attribute: str, light: str, dark: str, alone: Callable
) -> None:
    page = alone(_training_curves())

    def surface(value: str | None) -> str:
        page.page.evaluate(
            "([e, a, v]) => { const n = document.querySelector(e); v ? n.setAttribute(a, v) : n.removeAttribute(a); }",
            [element, attribute, value],
        )
        return page.root.evaluate("(root) => getComputedStyle(root).backgroundColor")

    found = {}
    for system in ("light", "dark"):
        page.page.emulate_media(color_scheme=system)
        found[system] = [surface(None), surface(light), surface(dark)]
    white, black = found["light"][0], found["dark"][0]
    assert white == "rgb(255, 255, 255)"
    assert black != white
    assert found == {"light": [white, white, black], "dark": [black, white, black]}


def test_forced_colours_keep_runs_apart_and_the_chosen_map_marked(alone: Callable) -> None:
    def drawn(page: Any, name: str) -> bool:
        pixels = page.pixels(page.canvas).astype(float)
        seen = pixels[..., :3] * pixels[..., 3:] / 255 + 255 - pixels[..., 3:]
        return bool((np.abs(seen - colour(page, name)).max(axis=2) < 25).any())  # bands lie below

    def colour(page: Any, name: str) -> tuple[int, ...]:
        text = page.page.evaluate(
            "(name) => { const node = document.createElement('i'); node.style.forcedColorAdjust = 'none';"
            " node.style.color = name; document.body.append(node); return getComputedStyle(node).color; }",
            name,
        )
        *parts, alpha = [float(part) for part in re.findall(r"[\d.]+", text)] + [1.0] * ("rgba" not in text)
        return tuple(round(alpha * part + (1 - alpha) * 255) for part in parts)  # as it looks on white

    page = alone(_training_curves())
    page.page.emulate_media(forced_colors="active")
    wait_drawn(page.page)
    assert len({colour(page, name) for name in ("Highlight", "LinkText", "CanvasText")}) == 3
    assert all(drawn(page, name) for name in ("Highlight", "LinkText", "CanvasText"))
    page.page.emulate_media(forced_colors="none")
    wait_drawn(page.page)
    assert not drawn(page, "LinkText")

    page = alone(_attention_map(), forced_colors="active")
    outlines = page.root.locator(".cw-thumbnails button").evaluate_all(
        "(all) => all.map((one) => getComputedStyle(one).outlineStyle)"
    )
    assert outlines == ["solid", "none", "none"]


@EVERY_WIDGET
def test_nothing_moves_for_those_who_ask_for_stillness(make: Callable, alone: Callable) -> None:
    moving = """() => [...document.querySelectorAll('.course-widget, .course-widget *')].filter((node) => {
      const style = getComputedStyle(node);
      return parseFloat(style.transitionDuration) > 0 || style.animationName !== 'none';
    }).length"""
    assert alone(make(), reduced_motion="reduce").page.evaluate(moving) == 0


@pytest.mark.parametrize(("motion", "veils"), [("no-preference", 1), ("reduce", 0)])
def test_a_press_fades_from_what_was_shown(motion: str, veils: int, alone: Callable) -> None:
    page = alone(AttentionMap(np.zeros((4, 4), np.uint8), np.eye(4).reshape(4, 2, 2)), reduced_motion=motion)
    press = "document.querySelector('.cw-thumbnails button:last-child').click()"
    count = "document.querySelectorAll('.cw-before').length"
    under = "document.elementFromPoint(innerWidth / 4, 200).matches('.cw-before')"  # which would take the next press
    assert page.page.evaluate(f"() => {{ {press}; return [{count}, {under}]; }}") == [veils, False]
    assert page.state("chosen") == 3
    wait_drawn(page.page)
    assert page.page.evaluate(f"() => {count}") == 0


@EVERY_WIDGET
def test_an_error_of_a_callback_is_shown_and_goes_away(make: Callable, alone: Callable) -> None:
    page = alone(make())
    alarm = page.root.locator("[role=alert]")
    assert not alarm.is_visible()
    page.set(error="SEBlock needs 4 axes, <b>given 3</b>.")
    assert alarm.inner_text() == "SEBlock needs 4 axes, <b>given 3</b>."
    page.set(error="")
    assert not alarm.is_visible()


@EVERY_WIDGET
def test_a_narrow_page_cuts_nothing_off(make: Callable, alone: Callable) -> None:
    page = alone(make(), viewport={"width": 360, "height": 800})
    wide = page.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360


def test_a_slider_says_the_value_that_is_used_even_between_its_steps(module: Callable[..., Any]) -> None:
    said = module("const s = shared.slider({label: 'a', min: 0, max: 9, step: 1, value: 6.5}); return s.node.innerText")
    assert said.endswith("6.5")


def test_what_a_widget_says_when_it_appears_is_not_read_aloud_and_what_a_gesture_changes_is(alone: Callable) -> None:
    page = alone(AttentionMap(np.zeros((8, 8)), np.random.default_rng(0).random((4, 4)), ["map"]))
    status = page.root.locator("[role=status]")
    assert status.get_attribute("aria-live") == "off"
    page.canvas.focus()
    page.canvas.press("Enter")
    assert status.get_attribute("aria-live") == "polite"


def test_a_page_on_a_finer_screen_is_drawn_in_its_pixels(alone: Callable) -> None:
    page = alone(
        AttentionMap(np.zeros((8, 8)), np.random.default_rng(0).random((4, 4)), ["map"]), device_scale_factor=1
    )
    before = page.canvas.evaluate("(canvas) => canvas.width")
    session = page.page.context.new_cdp_session(page.page)
    size = {"width": 1000, "height": 700, "deviceScaleFactor": 2, "mobile": False}
    session.send("Emulation.setDeviceMetricsOverride", size)
    page.page.wait_for_function("(was) => document.querySelector('canvas[tabindex]').width !== was", arg=before)
    assert page.canvas.evaluate("(canvas) => canvas.width") == 2 * before
