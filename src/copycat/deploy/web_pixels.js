// Makes of an image what decode.py makes of it: turned upright, on white, square, and resampled as Pillow does it.
// Source: Pillow's Resample.c and Reduce.c (bicubic, antialiased, in fixed point), and Image.resize with reducing_gap=3.
"use strict";
const CHANNELS = 3, BITS = 22, GAP = 3, SUPPORT = 2;

// An image of this page is {width, height, pixels}, with three bytes for each pixel.

function bicubic(x) {
  x = Math.abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
}

function weights(from, start, end, size) {
  const scale = Math.fround(end - start) / size, wide = Math.max(scale, 1), support = SUPPORT * wide;
  return Array.from({ length: size }, (_, place) => {
    const center = start + (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5)), last = Math.min(from, Math.trunc(center + support + 0.5));
    const found = Array.from({ length: last - first }, (_, x) => bicubic((x + first - center + 0.5) / wide));
    const sum = found.reduce((a, b) => a + b, 0);
    return { first, fixed: found.map(value => value / (sum || 1)).map(value => Math.trunc(value * 2 ** BITS + (value < 0 ? -0.5 : 0.5))) };
  });
}

const clip = sum => Math.min(255, Math.max(0, sum >> BITS));

function resampleRows(image, start, end, width) {
  const pixels = new Uint8Array(width * image.height * CHANNELS), places = weights(image.width, start, end, width);
  for (let y = 0; y < image.height; y++)
    for (let x = 0; x < width; x++)
      for (let channel = 0, { first, fixed } = places[x]; channel < CHANNELS; channel++) {
        let sum = 2 ** (BITS - 1), at = (y * image.width + first) * CHANNELS + channel;
        for (const weight of fixed) { sum += image.pixels[at] * weight; at += CHANNELS; }
        pixels[(y * width + x) * CHANNELS + channel] = clip(sum);
      }
  return { width, height: image.height, pixels };
}

function resampleColumns(image, start, end, height) {
  const pixels = new Uint8Array(image.width * height * CHANNELS), row = image.width * CHANNELS;
  weights(image.height, start, end, height).forEach(({ first, fixed }, y) => {
    for (let x = 0; x < row; x++) {
      let sum = 2 ** (BITS - 1), at = first * row + x;
      for (const weight of fixed) { sum += image.pixels[at] * weight; at += row; }
      pixels[y * row + x] = clip(sum);
    }
  });
  return { width: image.width, height, pixels };
}

// The mean of blocks of pixels, within a box; those at the right and at the bottom may be smaller.
function reduce(image, across, down, [left, top, right, bottom]) {
  const width = Math.ceil((right - left) / across), height = Math.ceil((bottom - top) / down);
  const pixels = new Uint8Array(width * height * CHANNELS);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const fromX = left + x * across, fromY = top + y * down;
      const toX = Math.min(fromX + across, right), toY = Math.min(fromY + down, bottom);
      const count = (toX - fromX) * (toY - fromY), multiplier = Math.trunc(2 ** 24 / count);
      for (let channel = 0; channel < CHANNELS; channel++) {
        let sum = Math.trunc(count / 2);
        for (let row = fromY; row < toY; row++)
          for (let column = fromX; column < toX; column++) sum += image.pixels[(row * image.width + column) * CHANNELS + channel];
        pixels[(y * width + x) * CHANNELS + channel] = Math.trunc(sum * multiplier / 2 ** 24);
      }
    }
  return { width, height, pixels };
}

function resize(image, width, height, box = [0, 0, image.width, image.height]) {
  let [left, top, right, bottom] = box;
  if (width === image.width && height === image.height && !left && !top && right === width && bottom === height) return image;
  const scales = [(right - left) / width, (bottom - top) / height];
  const [across, down] = scales.map(scale => Math.trunc(scale / GAP) || 1);
  if (across > 1 || down > 1) {
    const [wide, high] = scales.map(scale => (SUPPORT - 0.5) * scale);
    const safe = [Math.max(0, Math.trunc(left - wide)), Math.max(0, Math.trunc(top - high)),
      Math.min(image.width, Math.ceil(right + wide)), Math.min(image.height, Math.ceil(bottom + high))];
    image = reduce(image, across, down, safe);
    [left, right] = [left, right].map(x => (x - safe[0]) / across);
    [top, bottom] = [top, bottom].map(y => (y - safe[1]) / down);
  }
  [left, top, right, bottom] = [left, top, right, bottom].map(Math.fround);
  const isTall = image.height > height && image.height - height > 2 * (image.width - width);
  if (MODEL.columns_first && isTall) return resampleRows(resampleColumns(image, top, bottom, height), left, right, width);
  return resampleColumns(resampleRows(image, left, right, width), top, bottom, height);
}

function roundHalfEven(x) {
  const rounded = Math.round(x);
  return rounded - x === 0.5 && rounded % 2 ? rounded - 1 : rounded;
}

function makeSquare(image, size, fit) {
  const { width, height } = image;
  if (fit === "squash") return resize(image, size, size);
  if (fit === "crop") {
    const side = Math.min(width, height), left = (width - side) / 2, top = (height - side) / 2;
    return resize(image, size, size, [left, top, left + side, top + side]);
  }
  const scale = size / Math.max(width, height);
  const inner = resize(image, ...[width, height].map(length => Math.max(1, roundHalfEven(length * scale))));
  const pixels = new Uint8Array(size * size * CHANNELS).fill(255);
  const left = Math.floor((size - inner.width) / 2), top = Math.floor((size - inner.height) / 2);
  for (let y = 0; y < inner.height; y++)
    pixels.set(inner.pixels.subarray(y * inner.width * CHANNELS, (y + 1) * inner.width * CHANNELS), ((top + y) * size + left) * CHANNELS);
  return { width: size, height: size, pixels };
}

// Pillow decodes a large JPEG straight to a half, quarter or eighth of its size: to the means of blocks, which begin at
// the corner that the file begins with, and which its encoder filled up with the last row and column.
function draft(image, size, [fromRight, fromBottom]) {
  const most = Math.min(Math.trunc(image.width / (2 * size)), Math.trunc(image.height / (2 * size)));
  const scale = [8, 4, 2].find(scale => most >= scale);
  if (!scale) return image;
  const width = Math.ceil(image.width / scale), height = Math.ceil(image.height / scale);
  const padX = fromRight ? width * scale - image.width : 0, padY = fromBottom ? height * scale - image.height : 0;
  const pixels = new Uint8Array(width * height * CHANNELS);
  const inside = (place, length) => Math.min(length - 1, Math.max(0, place));
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let channel = 0; channel < CHANNELS; channel++) {
        let sum = 0;
        for (let row = y * scale - padY, end = row + scale; row < end; row++)
          for (let column = x * scale - padX, last = column + scale; column < last; column++)
            sum += image.pixels[(inside(row, image.height) * image.width + inside(column, image.width)) * CHANNELS + channel];
        pixels[(y * width + x) * CHANNELS + channel] = Math.round(sum / scale ** 2);
      }
  return { width, height, pixels };
}

// Whether the first pixel of a JPEG file is at the right and at the bottom, by its EXIF orientation.
const CORNERS = { 2: [true, false], 3: [true, true], 4: [false, true], 6: [true, false], 7: [true, true], 8: [false, true] };

function firstCorner(bytes) {
  const view = new DataView(bytes.buffer);
  try {
    for (let at = 2; view.getUint8(at) === 0xff && view.getUint8(at + 1) !== 0xda; at += 2 + view.getUint16(at + 2)) {
      if (view.getUint16(at) !== 0xffe1 || view.getUint32(at + 4) !== 0x45786966) continue; // Exif
      const tiff = at + 10, little = view.getUint16(tiff) === 0x4949, table = tiff + view.getUint32(tiff + 4, little);
      for (let entry = 0; entry < view.getUint16(table, little); entry++) {
        const field = table + 2 + 12 * entry;
        if (view.getUint16(field, little) === 0x0112) return CORNERS[view.getUint16(field + 8, little)] ?? [false, false];
      }
    }
  } catch { /* damaged EXIF data alone must not make an image unreadable */ }
  return [false, false];
}

async function decodeImage(file, { size, fit, max_pixels: maxPixels }) {
  const start = new Uint8Array(await file.slice(0, 2 ** 17).arrayBuffer());
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" }).catch(() => {
    throw new Error("not an image that this browser reads");
  });
  const { width, height } = bitmap;
  const limit = maxPixels ?? 89478485; // Pillow's
  if (width * height > limit) throw new Error(`${width} x ${height} pixels, above the limit of ${limit}`);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const colors = context.getImageData(0, 0, width, height).data, pixels = new Uint8Array(width * height * CHANNELS);
  for (let from = 0, to = 0; from < colors.length; from += 4) for (let channel = 0; channel < CHANNELS; channel++) pixels[to++] = colors[from + channel];
  const image = { width, height, pixels };
  return makeSquare(start[0] === 0xff && start[1] === 0xd8 ? draft(image, size, firstCorner(start)) : image, size, fit);
}
