// A pad on which the pointer draws a digit.

import { element } from "./elements.js";

const STROKE = 0.09; // as a share of the side
const INK = 20 / 28; // how much of the side a drawing fills, as in the data the networks were trained on

/** Draw strokes, each a list of places [x, y] in shares of the side, in white onto a square context of this side. */
function drawStrokes(context, strokes, side) {
  Object.assign(context, { strokeStyle: "#fff", lineWidth: STROKE * side, lineCap: "round", lineJoin: "round" });
  for (const [start, ...others] of strokes) {
    context.beginPath();
    context.moveTo(start[0] * side, start[1] * side);
    for (const [x, y] of others.length ? others : [start]) context.lineTo(x * side, y * side);
    context.stroke();
  }
}

/** A drawing as a network knows digits: its box fills INK of the side, in the middle; bytes of one channel. */
export function digitOf(strokes, size) {
  const places = strokes.flat();
  const [left, top, right, bottom] = [0, 1].map((axis) => Math.min(...places.map((place) => place[axis])))
    .concat([0, 1].map((axis) => Math.max(...places.map((place) => place[axis]))));
  const zoom = (INK - STROKE) / Math.max(right - left, bottom - top, 0.05);
  const moved = strokes.map((stroke) => stroke.map(([x, y]) => [
    0.5 + zoom * (x - (left + right) / 2), 0.5 + zoom * (y - (top + bottom) / 2),
  ]));
  const large = element("canvas", { width: 8 * size, height: 8 * size });
  drawStrokes(large.getContext("2d"), moved, 8 * size);
  const small = element("canvas", { width: size, height: size });
  const context = small.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.fillRect(0, 0, size, size);
  context.drawImage(large, 0, 0, size, size);
  const { data } = context.getImageData(0, 0, size, size);
  return Uint8Array.from({ length: size * size }, (_, i) => data[4 * i]);
}

/**
 * Let the pointer draw on a square canvas, while `isOn()`. `strokes()` gives what stands there, each stroke as places
 * [x, y] in shares of the side; `onStroke(stroke)` hears each that ends. Returns `draw()`, which paints all of them.
 */
export function drawingPad(canvas, { strokes, onStroke, isOn = () => true }) {
  let stroke = null;
  const draw = () => {
    const context = canvas.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    drawStrokes(context, stroke ? [...strokes(), stroke] : strokes(), canvas.width);
  };
  const reach = ({ offsetX, offsetY }) => {
    stroke.push([offsetX / canvas.clientWidth, offsetY / canvas.clientHeight]);
    draw();
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (!isOn() || event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    stroke = [];
    reach(event);
    event.preventDefault(); // a drag selects no text
  });
  canvas.addEventListener("pointermove", (event) => { if (stroke) reach(event); });
  canvas.addEventListener("pointerup", () => {
    if (!stroke) return;
    const done = stroke;
    stroke = null;
    onStroke(done);
  });
  canvas.addEventListener("pointercancel", () => {
    stroke = null;
    if (isOn()) draw();
  });
  return draw;
}
