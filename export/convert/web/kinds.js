// For each kind of output: what a model sees of an image, and what is shown of its
// answers. Each function takes a source that a canvas can draw, its width and height in
// pixels, what model.json says, and `ask`, from pixels to arrays by the outputs' names.
// It returns `rows`, [label, share or text, color], and for some kinds a drawn `canvas`.

const SHOWN = 5;
// The longer side over the shorter one, from where a whole image is made smaller.
const LONGEST = 4;

function surface(width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  return [canvas, context];
}

// Red, green and blue in 0..255 of a square, float32.
function pixelsIn(context, left, top, side) {
  const { data } = context.getImageData(left, top, side, side);
  return Float32Array.from({ length: 3 * side * side },
                           (_, at) => data[4 * Math.floor(at / 3) + at % 3]);
}

// The square in the middle that a classifier sees.
export function squareOf(source, width, height, about) {
  const { size_px: side, crop_fraction: fraction, crop_mode: mode } =
    about.preprocessing;
  const [, context] = surface(side, side);
  const shorter = fraction * Math.min(width, height);
  const [wide, high] = mode === "squash" ? [width, height] : [shorter, shorter];
  context.drawImage(source, (width - wide) / 2, (height - high) / 2, wide, high,
                    0, 0, side, side);
  return pixelsIn(context, 0, 0, side);
}

async function classes(source, width, height, about, ask) {
  let [found] = Object.values(await ask(squareOf(source, width, height, about)));
  if (about.labels.length === 2 && found.length === 1) found = [1 - found[0], found[0]];
  const order = Array.from(found, (share, number) => [share, number])
    .sort(([one], [other]) => other - one).slice(0, SHOWN);
  return { rows: order.map(([share, number]) => [nameOf(about, number), share]) };
}

async function number(source, width, height, about, ask) {
  const [[found]] = Object.values(await ask(squareOf(source, width, height, about)));
  return { rows: [[about.labels[0] ?? "", found.toPrecision(6)]] };
}

// The whole image, its shorter side as long as a tile's, tile by tile.
async function labelMap(source, width, height, about, ask) {
  const { size_px: side } = about.preprocessing;
  const ratio = Math.min(side / Math.min(width, height),
                         LONGEST * side / Math.max(width, height));
  const [wide, high] = [width, height].map((own) =>
    Math.max(1, Math.round(own * ratio)));
  const [across, down] = [Math.max(side, wide), Math.max(side, high)];
  const [canvas, context] = surface(across, down);
  // A long image is lower than a tile: its last row, or column, is repeated.
  const edge = wide < side ? [width - 1, 0, 1, height] : [0, height - 1, width, 1];
  context.drawImage(source, ...edge, 0, 0, across, down);
  context.drawImage(source, 0, 0, wide, high);
  const mask = new ImageData(across, down);
  const numbers = new Int32Array(across * down);
  for (const top of starts(down, side)) {
    for (const left of starts(across, side)) {
      const found = await ask(pixelsIn(context, left, top, side));
      for (let at = 0; at < side * side; at++) {
        const place = (top + Math.floor(at / side)) * across + left + at % side;
        numbers[place] = found.classes[at];
        mask.data.set([...colorOf(about, found.classes[at]), 128], 4 * place);
      }
    }
  }
  context.drawImage(await createImageBitmap(mask), 0, 0);
  const [shown, onto] = surface(wide, high);
  onto.drawImage(canvas, 0, 0);
  const counts = new Map();
  for (let y = 0; y < high; y++) {
    for (const label of numbers.subarray(y * across, y * across + wide)) {
      counts.set(label, (counts.get(label) ?? 0) + 1);
    }
  }
  const rows = [...counts].sort(([, one], [, other]) => other - one)
    .map(([label, count]) =>
      [nameOf(about, label), count / (wide * high), colorOf(about, label)]);
  return { canvas: shown, rows };
}

function starts(length, side) {
  const count = Math.ceil(length / side);
  return Array.from({ length: count },
                    (_, index) => Math.min(index * side, length - side));
}

// The whole image in the upper left of a square, which is filled up with the mean.
async function objects(source, width, height, about, ask) {
  const { size_px: side, mean } = about.preprocessing;
  const ratio = side / Math.max(width, height);
  const [wide, high] = [width, height].map((own) =>
    Math.max(1, Math.round(own * ratio)));
  const [, square] = surface(side, side);
  square.drawImage(source, 0, 0, wide, high);
  const pixels = pixelsIn(square, 0, 0, side).map((value, at) => {
    const [x, y] = [Math.floor(at / 3) % side, Math.floor(at / (3 * side))];
    return x < wide && y < high ? value : 255 * mean[at % 3];
  });
  const found = await ask(pixels);
  const [canvas, context] = surface(width, height);
  context.drawImage(source, 0, 0, width, height);
  context.lineWidth = Math.max(1, Math.max(width, height) / 200);
  const factors = [height / high, width / wide, height / high, width / wide];
  const rows = [];
  // The best comes last, on top.
  for (let index = found.count[0] - 1; index >= 0; index--) {
    const [top, left, bottom, right] =
      factors.map((factor, at) => factor * found.boxes[4 * index + at]);
    // What lies in the filled part alone is no object.
    if (left >= width || top >= height) continue;
    const color = colorOf(about, found.classes[index]);
    if (found.masks) {
      const cells = found.masks.length / found.scores.length;
      const mask = found.masks.slice(index * cells, (index + 1) * cells);
      const layer = await createImageBitmap(shapeOf(mask, color));
      context.drawImage(layer, left, top, right - left, bottom - top);
    }
    context.strokeStyle = `rgb(${color})`;
    context.strokeRect(left, top, right - left, bottom - top);
    rows.unshift([nameOf(about, found.classes[index]), found.scores[index], color]);
  }
  return { canvas, rows: rows.length ? rows : [["No object was found", ""]] };
}

function shapeOf(mask, color) {
  const side = Math.sqrt(mask.length);
  const shape = new ImageData(side, side);
  mask.forEach((value, cell) =>
    shape.data.set([...color, value >= .5 ? 128 : 0], 4 * cell));
  return shape;
}

const nameOf = (about, number) => about.labels[number] ?? "class " + number;
const colorOf = (about, number) => about.colors[number] ?? [128, 128, 128];

export const KINDS = { classes, number, label_map: labelMap, objects };
