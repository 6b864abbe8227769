const MODEL = JSON.parse(document.getElementById("model").textContent);
const MOST_CLASSES = 5;
const [status, results, files, clear] = ["status", "results", "files", "clear"].map(id => document.getElementById(id));
const percent = probability => `${(100 * probability).toFixed(1)} %`;

function element(name, parent, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent?.append(made);
  return made;
}

async function unpack(id) {
  const packed = Uint8Array.from(atob(document.getElementById(id).textContent), letter => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function start() {
  const module = new Blob([await unpack("runtime-module")], { type: "text/javascript" });
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = (await unpack("runtime-wasm")).buffer;
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(module) };
  const session = await ort.InferenceSession.create(await unpack("network"), { executionProviders: ["wasm"] });
  status.textContent = "Ready.";
  return session;
}

async function predict(session, { width, height, pixels }) {
  const area = width * height, planes = new Uint8Array(CHANNELS * area);
  for (let place = 0; place < area; place++) for (let channel = 0; channel < CHANNELS; channel++) planes[channel * area + place] = pixels[place * CHANNELS + channel];
  const answer = await session.run({ [session.inputNames[0]]: new ort.Tensor("uint8", planes, [1, CHANNELS, height, width]) });
  return [...answer[session.outputNames[0]].data];
}

function showInput(panel, { width, height, pixels }, name) {
  const figure = element("figure", panel, "", { class: "picture" });
  const canvas = element("canvas", figure, "", { class: "input", role: "img", "aria-label": `Model input of ${name}` });
  Object.assign(canvas, { width, height });
  canvas.style.width = "100%";
  const colors = new ImageData(width, height);
  for (let place = 0; place < width * height; place++) colors.data.set([...pixels.subarray(place * CHANNELS, (place + 1) * CHANNELS), 255], 4 * place);
  canvas.getContext("2d").putImageData(colors, 0, 0);
  element("figcaption", figure, `Model input: ${width} × ${height} pixels`);
}

function describeClasses(probabilities, rule) {
  if (rule.thresholds) return joinNames(MODEL.classes, decideLabels(probabilities, rule.thresholds));
  const label = decide(probabilities, rule);
  return `${MODEL.classes[label]}, ${percent(probabilities[label])}`;
}

function showProbabilities(panel, probabilities) {
  const rule = MODEL.decision ?? {}, inside = makeSet(probabilities, rule);
  const words = element("div", panel, "", { class: "words" });
  const predicted = describeClasses(probabilities, rule);
  element("p", words, predicted, { class: "value" });
  if (inside) element("p", words, `Set: ${describeSet(MODEL.classes, inside)}`, { class: "set" });
  const list = element("ul", words, "", { class: "bars", "aria-label": "Predicted probabilities" });
  const ranked = MODEL.classes.map((name, place) => [name, probabilities[place]]).sort((a, b) => b[1] - a[1]);
  for (const [name, probability] of ranked.slice(0, MOST_CLASSES)) {
    const item = element("li", list, "", { "data-name": name, "data-probability": probability });
    element("span", item, name);
    element("span", item, percent(probability));
    element("div", element("div", item, "", { class: "bar", "aria-hidden": "true" })).style.width = `${100 * probability}%`;
  }
  const rest = ranked.length - MOST_CLASSES;
  if (rest > 0) element("p", words, `and ${rest} less probable ${rest === 1 ? "class" : "classes"}`, { class: "quiet" });
  return inside ? `${predicted}; set: ${describeSet(MODEL.classes, inside)}` : predicted;
}

async function classify(file) {
  const card = element("article", null, "", { class: "card result", "aria-busy": "true" });
  results.prepend(card);
  element("h2", card, file.name);
  try {
    const image = await decodeImage(file, MODEL.decode), probabilities = await predict(await session, image);
    const panel = element("section", element("div", card, "", { class: "predictions" }), "", { class: "prediction" });
    showInput(panel, image, file.name);
    return `${file.name}: ${showProbabilities(panel, probabilities)}`;
  } catch (error) {
    card.classList.add("bad");
    element("p", card, error.message);
    return `${file.name}: ${error.message}`;
  } finally {
    card.removeAttribute("aria-busy");
  }
}

let last = Promise.resolve();
function takeFiles(taken) {
  for (const file of [...taken]) last = last.then(async () => {
    status.textContent = await classify(file);
    clear.hidden = false;
  });
}

files.addEventListener("change", () => { takeFiles(files.files); files.value = ""; });
document.addEventListener("dragover", event => { event.preventDefault(); document.body.classList.add("over"); });
document.addEventListener("dragleave", event => { if (!event.relatedTarget) document.body.classList.remove("over"); });
document.addEventListener("drop", event => { event.preventDefault(); document.body.classList.remove("over"); takeFiles(event.dataTransfer.files); });
document.addEventListener("paste", event => { if (event.clipboardData.files.length) takeFiles(event.clipboardData.files); });
clear.addEventListener("click", () => { results.replaceChildren(); status.textContent = "Results cleared."; clear.hidden = true; files.focus(); });
const session = start();
session.catch(error => { status.textContent = `This browser cannot run the network: ${error.message}`; });
