// A chart of lines: its scales, its axes, its pens, a line with a band.

import { writeText } from "./paint.js";

const COLOURS = 6;

/** One dash pattern for each line, so that nobody has to rely on the colours. */
export const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [14, 4], [5, 2, 2, 2, 2, 2]];

/** Round steps for an axis, at most about `count` of them. */
export function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const values = Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
  return { step, values, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

/** Where numbers stand in a box [left, top, right, bottom] of a canvas, in CSS pixels. */
export function scalesOf(box, [first, last], [lowest, highest]) {
  const [left, top, right, bottom] = box;
  return {
    box, x: (value) => left + ((value - first) / (last - first)) * (right - left),
    y: (value) => top + ((highest - value) / (highest - lowest)) * (bottom - top),
  };
}

/** The numbers of both axes, a line for each of `rows` = { values, digits }, and the title of the lower one. */
export function drawAxes(context, house, { box: [left, , right, bottom], x, y }, rows, columns, title) {
  const words = { ink: house.ink("soft"), align: "center" };
  context.fillStyle = context.strokeStyle = house.ink("line");
  context.lineWidth = 1;
  for (const value of rows.values) {
    const at = Math.round(y(value)) + 0.5;
    drawLine(context, [[left, at], [right, at]]);
    writeText(context, value.toFixed(rows.digits), left - 6, at, { ...words, align: "right" });
  }
  for (const value of columns) writeText(context, value, x(value), bottom + 12, words);
  writeText(context, title, (left + right) / 2, bottom + 28, words);
}

export function drawLine(context, points) {
  context.beginPath();
  for (const point of points) context.lineTo(...point);
  context.stroke();
}

export function drawDot(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}

/** The colour and the dashes of line `i`. */
export function takePen(context, house, i) {
  context.fillStyle = context.strokeStyle = house.ink(`run-${i % COLOURS}`);
  context.lineWidth = 2.5;
  context.lineJoin = "round";
  context.setLineDash(DASHES[(i + Math.floor(i / COLOURS)) % DASHES.length]);
}

/** Line `i` through the means of `points` = [{ at, low, mean, high }], with its band from low to high. */
export function drawBand(context, house, { x, y }, i, points) {
  takePen(context, house, i);
  context.globalAlpha = 0.18;
  context.beginPath();
  for (const one of points) context.lineTo(x(one.at), y(one.high));
  for (const one of [...points].reverse()) context.lineTo(x(one.at), y(one.low));
  context.fill();
  context.globalAlpha = 1;
  drawLine(context, points.map((one) => [x(one.at), y(one.mean)]));
  context.setLineDash([]);
  if (points.length === 1) drawDot(context, x(points[0].at), y(points[0].mean), 3);
}

/** Bars up and down from zero in a box [left, top, width, height], from `low` to `high`; returns where zero is. */
export function drawBars(context, house, [left, top, width, height], values, { low, high, colour, edged = false }) {
  const step = width / values.length;
  const bar = step > 6 ? step - 3 : step;
  const unit = height / (high - low || 1);
  const zero = top + high * unit;
  values.forEach((value, i) => {
    const tall = Math.abs(value) * unit;
    if (tall < 0.5) return; // it lies under the line of zero
    const [x, y] = [left + i * step + (step - bar) / 2, value > 0 ? zero - tall : zero];
    context.fillStyle = colour(value);
    context.fillRect(x, y, bar, tall);
    if (!edged || step <= 6 || tall <= 2) return;
    context.strokeStyle = house.ink("edge");
    context.lineWidth = 1;
    context.strokeRect(x + 0.5, y + 0.5, bar - 1, tall - 1);
  });
  context.fillStyle = house.ink("edge");
  context.fillRect(left, zero - 0.5, width, 1);
  return zero;
}
