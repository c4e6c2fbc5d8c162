// Pictures that a learner gives, as a file or by the camera. They stay in the page, unless a view sends them to the kernel.
//
//   const own = ownPictures(house, [512, 512], async (canvas, { label }, isOn) => { ... });
//   house.controls.append(...own.nodes);

import { asker, button, store } from "./bind.js";
import { element } from "./elements.js";

const MOST_BYTES = 20_000_000;
const MOST_PIXELS = 40_000_000;
const MOST_SENT = 7_000_000; // a notebook's connection carries 10 MiB a message, and base64 adds a third

/** The middle of a bitmap or of a video's frame, as a new canvas of this size on white, or mirrored on the canvas `to`. */
export function cropped(source, columns, rows, to = null) {
  const [width, height] = [source.videoWidth || source.width, source.videoHeight || source.height];
  const scale = Math.min(width / columns, height / rows);
  const [wide, tall] = [columns * scale, rows * scale];
  const canvas = to ?? element("canvas", { width: columns, height: rows });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, columns, rows);
  if (to) context.setTransform(-1, 0, 0, 1, columns, 0);
  else context.imageSmoothingQuality = "high"; // which takes ten times as long where it enlarges
  context.drawImage(source, (width - wide) / 2, (height - tall) / 2, wide, tall, 0, 0, columns, rows);
  return canvas;
}

/** Means of two by two pixels of a square canvas as (3, side / 2, side / 2) from 0 to 1: what the segmenter is given. */
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
export function fileButton(onFile) {
  const input = element("input", {
    type: "file", accept: "image/*", hidden: true, "aria-label": "Upload a picture",
    onchange() {
      const [file] = input.files;
      input.value = "";
      if (file) onFile(file);
    },
  });
  const press = button("Upload a picture", () => input.click());
  return { node: element("span", {}, press, input), press };
}

/** The bitmap of a picture file; an error says in words why there is none. */
export async function openFile(file) {
  const size = (what) => `${file.name} has ${what}; make it smaller, 1000 pixels a side are plenty.`;
  if (file.size > MOST_BYTES) throw new Error(size(`${(file.size / 1e6).toFixed(1)} MB, more than ${MOST_BYTES / 1e6}`));
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name} is not a picture that this browser can read; save it as PNG or JPEG, and choose that.`);
  }
  if (bitmap.width * bitmap.height > MOST_PIXELS) throw new Error(size(`${bitmap.width} × ${bitmap.height} pixels`));
  return bitmap;
}

/** The bytes of a picture file as base64 text, for the kernel; an error says in words why there are none. */
export async function sentFile(file) {
  if (file.size > MOST_SENT) {
    throw new Error(`${file.name} has ${(file.size / 1e6).toFixed(1)} MB, at most ${MOST_SENT / 1e6} MB can be sent to the `
      + "notebook; make it smaller, 1000 pixels a side are plenty.");
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
    return `Browsers open the camera only on pages that come by https or from this computer; this page does not. ${instead}`;
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
 * `onFrame(canvas, isOn)` is given one mirrored frame of `size` [columns, rows] after the other, the next but one when the
 * promise that it returns is fulfilled; its canvas is reused three frames later; `isOn()` says whether the camera
 * runs. `onStill(canvas)` is given the one that is kept. With `kernel` in the place of `onFrame` nothing leaves the page but
 * what is kept, not mirrored, and the button says where it goes. Returns `node` and `stop()`.
 */
export function cameraButton(house, { size, onFrame = null, onStill, kernel = false }) {
  const video = element("video", { muted: true, playsInline: true });
  const preview = element("canvas", { role: "img", "aria-label": "What the camera sees, mirrored", hidden: true });
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
    const canvases = Array.from({ length: kernel ? 0 : 3 }, () => element("canvas", { width: size[0], height: size[1] }));
    const next = () => new Promise((done) => { video.requestVideoFrameCallback?.(done) ?? requestAnimationFrame(done); });
    let [fresh, before, turn] = [next(), null, 0];
    while (isOn()) {
      await fresh;
      fresh = next(); // which may come while this frame is worked on
      if (!isOn() || !video.videoWidth) continue;
      frame = cropped(video, ...size, canvases[turn++ % 3]);
      if (kernel) {
        [preview.width, preview.height] = size;
        preview.getContext("2d").drawImage(frame, 0, 0);
        continue;
      }
      const shown = onFrame(frame, isOn).catch((error) => {
        stop();
        house.fail(error.message);
      });
      await before; // the network begins with this frame while the one before is drawn
      before = shown;
    }
  };
  const open = async () => {
    house.fail("");
    try {
      const wanted = { video: { facingMode: "user", width: { ideal: 640 }, height: { ideal: 480 } }, audio: false };
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

/** An upload and the camera; a file that cannot be taken gets its word. Returns `nodes`, and `stop()` for the camera. */
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
  return { nodes: [file.node, camera.node], stop: camera.stop };
}

/**
 * An upload and the camera for pictures that stay in the page: `take(canvas, { label, name }, isOn)` is given each on a
 * canvas of `size` [columns, rows], with the file's name where there is one, of a frame also the camera's `isOn`.
 */
export function ownPictures(house, size, take) {
  const kept = { label: "your picture" };
  return bothButtons(house, async (file) => take(cropped(await openFile(file), ...size), { ...kept, name: file.name }),
    cameraButton(house, {
      size,
      onFrame: (canvas, isOn) => take(canvas, { label: "your camera" }, isOn),
      onStill: (canvas) => take(canvas, kept),
    }));
}

/**
 * The same for pictures that the kernel must see: each is sent as { upload, name }, the name empty of one that the camera
 * took; the trait `picture` becomes the `uploaded` of the answer, and the traits of `reset` what they hold. `refresh()`
 * hides both where there is no kernel.
 */
export function sentPictures(house, model, reset) {
  const ask = asker(model, house, ({ uploaded }) => store(model, { picture: uploaded, ...reset }));
  const send = (upload, name) => {
    ask({ upload, name });
    house.say("Your picture is on its way to the notebook; a large network takes a while to read it.");
  };
  const still = (canvas) => send(canvas.toDataURL("image/png").split(",")[1], "");
  const made = bothButtons(house, async (file) => send(await sentFile(file), file.name),
    cameraButton(house, { size: [512, 512], kernel: true, onStill: still }));
  const refresh = () => { for (const node of made.nodes) node.hidden = !model.widget_manager || !model.get("uploads"); };
  return { ...made, refresh };
}
