// Pictures that a learner gives, as a file or by the camera. They stay in the page, unless the kernel must see them.
//
//   const own = ownPictures(house, [512, 512], async (canvas, { label }, isOn) => { ... });
//   house.controls.append(...own.nodes);

import { asker, button, store } from "./bind.js";
import { element } from "./elements.js";
import { bytes } from "./maths.js";

const MOST_BYTES = 20_000_000;
const MOST_PIXELS = 40_000_000;
const MOST_SENT = 7_000_000; // a notebook's connection carries 10 MiB a message, and base64 adds a third
const SMALLER = "make it smaller, 1000 pixels per side are plenty.";
const megabytes = ({ size }) => `${(size / 1e6).toFixed(1)} MB`;

/** The middle of a bitmap or a video's frame on white, `mirrored` or not: a new canvas of this size, or `to`. */
export function cropped(source, columns, rows, { to = null, mirrored = false } = {}) {
  const [width, height] = [source.videoWidth || source.width, source.videoHeight || source.height];
  const scale = Math.min(width / columns, height / rows);
  const [wide, tall] = [columns * scale, rows * scale];
  const canvas = to ?? element("canvas", { width: columns, height: rows });
  canvas.turn = (canvas.turn ?? 0) + 1; // the same canvas, another picture
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, columns, rows);
  if (mirrored) context.setTransform(-1, 0, 0, 1, columns, 0);
  else context.resetTransform();
  if (!to) context.imageSmoothingQuality = "high"; // which takes ten times as long where it enlarges
  context.drawImage(source, (width - wide) / 2, (height - tall) / 2, wide, tall, 0, 0, columns, rows);
  return canvas;
}

/** A picture file in base64 as a canvas of this size. */
export async function unpacked(text, columns, rows) {
  return cropped(await createImageBitmap(new Blob([bytes(text)])), columns, rows);
}

/** Means of two by two pixels of a square canvas, (3, side / 2, side / 2) from 0 to 1: what the segmenter is given. */
export function halved(canvas) {
  const side = canvas.width;
  const half = side / 2;
  const { data: pixels } = canvas.getContext("2d").getImageData(0, 0, side, side);
  const data = new Float32Array(3 * half * half);
  for (let c = 0, to = 0; c < 3; c++) {
    for (let y = 0; y < half; y++) {
      for (let x = 0; x < half; x++, to++) {
        const at = 4 * (2 * y * side + 2 * x) + c;
        data[to] = (pixels[at] + pixels[at + 4] + pixels[at + 4 * side] + pixels[at + 4 * side + 4]) / 1020;
      }
    }
  }
  return { shape: [3, half, half], data };
}

/** A button for a picture file: `onFile(file)` hears each that is chosen. */
function fileButton(onFile) {
  const input = element("input", {
    type: "file", accept: "image/*", hidden: true, "aria-label": "Upload a picture",
    onchange() {
      const [file] = input.files;
      input.value = "";
      if (file) onFile(file);
    },
  });
  return element("span", {}, button("Upload a picture", () => input.click()), input);
}

/** The bitmap of a picture file; an error says in words why there is none. */
export async function openFile(file) {
  const refuse = (what) => { throw new Error(`${file.name} has ${what}; ${SMALLER}`); };
  if (file.size > MOST_BYTES) refuse(`${megabytes(file)}, more than ${MOST_BYTES / 1e6}`);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name} is not a picture that this browser can read; save it as PNG or JPEG, and take that.`);
  }
  if (bitmap.width * bitmap.height > MOST_PIXELS) refuse(`${bitmap.width} × ${bitmap.height} pixels`);
  return bitmap;
}

/** The bytes of a picture file as base64 text, for the kernel; an error says in words why there are none. */
async function sentFile(file) {
  if (file.size > MOST_SENT) {
    const most = `at most ${MOST_SENT / 1e6} MB can be sent to the notebook`;
    throw new Error(`${file.name} has ${megabytes(file)}, ${most}; ${SMALLER}`);
  }
  return new Promise((done, refuse) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.split(",")[1] ?? "");
    reader.onerror = () => refuse(new Error(`${file.name} could not be read by the browser; choose it again.`));
    reader.readAsDataURL(file);
  });
}

/** Why the camera did not open, in words for the learner. */
function refusal(error) {
  const instead = "Upload a picture instead.";
  if (!window.isSecureContext) {
    return `Browsers open the camera only on pages that come by https or from this computer. ${instead}`;
  }
  return {
    NotAllowedError: "The camera was not allowed: permission was refused, in this browser or by the page around the "
      + "widget. Allow it beside the page's address and press again, or upload a picture.",
    NotReadableError: "The camera cannot be read: another program may be using it. Close that one and press again.",
  }[error?.name] ?? `No camera was found. ${instead}`;
}

/**
 * A button that opens the camera, and then one that stops it and one that keeps the picture shown.
 *
 * `onFrame(canvas, isOn)` is given one frame of `size` [columns, rows] after the other, `mirrored` or not, the next but
 * one when the promise that it returns is fulfilled; its canvas is reused three frames later; `isOn()` says whether the
 * camera runs. `onStill(canvas)` is given the one that is kept. With `kernel` in the place of `onFrame` nothing leaves
 * the page but what is kept, not mirrored, and the button says where it goes. Returns `node` and `stop()`.
 */
function cameraButton(house, { size: [width, height], onFrame, onStill, kernel = false, mirrored = !kernel }) {
  const video = element("video", { muted: true, playsInline: true });
  const preview = element("canvas", { width, height, role: "img", "aria-label": "What the camera sees, mirrored" });
  Object.assign(preview.style, { width: "160px", transform: "scaleX(-1)", marginTop: "8px" });
  let stream = null;
  let frame = null;
  const show = () => {
    start.hidden = Boolean(stream);
    halt.hidden = keep.hidden = !stream;
    preview.hidden = !stream || !kernel;
  };
  const stop = () => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = video.srcObject = frame = null;
    show();
  };
  const follow = async (mine) => {
    const isOn = () => stream === mine;
    // Kept, since they are large: one is shown, one is in the network, one is being filled.
    const canvases = [1, 2, 3].map(() => element("canvas", { width, height }));
    const ask = (done) => video.requestVideoFrameCallback?.(done) ?? requestAnimationFrame(done);
    const next = () => new Promise(ask);
    let [fresh, before, turn] = [next(), null, 0];
    while (isOn()) {
      await fresh;
      fresh = next(); // which may come while this frame is worked on
      if (!isOn() || !video.videoWidth) continue;
      frame = cropped(video, width, height, { to: canvases[turn++ % 3], mirrored });
      if (kernel) {
        preview.getContext("2d").drawImage(frame, 0, 0);
        continue;
      }
      const shown = onFrame(frame, isOn).catch((error) => {
        stop();
        house.fail(error.message);
      });
      await before; // the network begins with this frame while the one before is drawn
      await new Promise((done) => { setTimeout(done); }); // else drawing it and the next frame are one long task
      before = shown;
    }
  };
  const open = async () => {
    house.fail("");
    try {
      const facingMode = mirrored || kernel ? "user" : "environment";
      const wanted = { video: { facingMode, width: { ideal: 640 }, height: { ideal: 480 } }, audio: false };
      const given = await navigator.mediaDevices.getUserMedia(wanted);
      if (!house.root.isConnected) return given.getTracks().forEach((track) => track.stop());
      stream = given;
      stream.getTracks()[0].addEventListener("ended", () => {
        stop();
        house.fail("The camera stopped: it was unplugged, or its permission was taken back. Press again to go on.");
      });
      video.srcObject = stream;
      await video.play();
    } catch (error) {
      stop();
      return house.fail(refusal(error));
    }
    show();
    halt.focus();
    house.say(kernel ? "The camera is on. Only the picture that you keep goes to your notebook's kernel."
      : "The camera is on. Its pictures stay in this page.");
    return follow(stream);
  };
  const start = button(kernel ? "Use the camera (the picture goes to your notebook's kernel)" : "Use the camera", open);
  const halt = button("Stop the camera", () => { stop(); start.focus(); });
  const keep = button("Keep this picture", () => {
    const kept = frame;
    stop();
    start.focus();
    if (kept) onStill(kept);
  });
  house.endings.push(stop);
  show();
  return { node: element("span", { class: "cw-control cw-wrap" }, start, halt, keep, preview), stop };
}

/** An upload and the camera; a file that cannot be taken gets its word. Returns `nodes`, and the camera's `stop()`. */
function bothButtons(house, onFile, camera) {
  const file = fileButton(async (chosen) => {
    house.fail("");
    camera.stop();
    try {
      await onFile(chosen);
    } catch (error) {
      house.fail(error.message);
    }
  });
  return { nodes: [file, camera.node], stop: camera.stop };
}

/**
 * An upload and the camera for pictures that stay in the page: `take(canvas, { label, code }, isOn)` is given each on a
 * canvas of `size` [columns, rows], `code` the lines that make `picture`, and of a frame also the camera's `isOn`.
 */
export function ownPictures(house, size, take) {
  const code = "# picture: (3, H, W) from 0 to 1, what your camera saw; it stayed in the page";
  const codeOf = (name) => [
    "from PIL import Image", "from torchvision.transforms.functional import pil_to_tensor", "",
    `picture = pil_to_tensor(Image.open(${JSON.stringify(name)}).convert("RGB")) / 255`,
  ].join("\n");
  const onFile = async (file) =>
    take(cropped(await openFile(file), ...size), { label: "your picture", code: codeOf(file.name) });
  return bothButtons(house, onFile, cameraButton(house, {
    size,
    onFrame: (canvas, isOn) => take(canvas, { label: "your camera", code }, isOn),
    onStill: (canvas) => take(canvas, { label: "your picture", code }),
  }));
}

/** The same for what is to be read, not mirrored: `onFile(file)` is given a file, `take(canvas, isOn)` the rest. */
export function readingPictures(house, size, onFile, take) {
  const onStill = (canvas) => take(canvas, () => false); // a still is never on
  return bothButtons(house, onFile, cameraButton(house, { size, mirrored: false, onFrame: take, onStill }));
}

/** The same for pictures that the kernel must see: `send(upload, name)` is given base64 text, of the camera no name. */
export function kernelPictures(house, send) {
  const onStill = (canvas) => send(canvas.toDataURL("image/png").split(",")[1], "");
  return bothButtons(house, async (file) => send(await sentFile(file), file.name),
    cameraButton(house, { size: [512, 512], kernel: true, onStill }));
}

/**
 * These pictures where each is sent as { upload, name }: the trait `picture` becomes the `uploaded` of the answer, and
 * the traits of `reset` what they hold. `refresh()` hides both buttons where there is no kernel.
 */
export function sentPictures(house, model, reset) {
  const ask = asker(model, house, ({ uploaded }) => store(model, { picture: uploaded, ...reset }));
  const send = (upload, name) => {
    ask({ upload, name });
    house.say("Your picture is on its way to the notebook; a large network takes a while to read it.");
  };
  const made = kernelPictures(house, send);
  const refresh = () => {
    for (const node of made.nodes) node.hidden = !model.widget_manager || !model.get("uploads");
  };
  return { ...made, refresh };
}
