"use strict";
const SETTINGS = JSON.parse(document.getElementById("settings").textContent);
const MOST_IMAGES = 50, MOST_CLASSES = 5, OPACITY = 70;
const [status, results, examples, clear] = ["status", "results", "examples", "clear"].map(id => document.getElementById(id));
const boxes = [...document.querySelectorAll("[name=run]")];
const percent = probability => `${(100 * probability).toFixed(1)} %`;

function element(name, parent, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent?.append(made);
  return made;
}

// Runs and their examples

const selected = () => boxes.filter(box => box.checked);

function limitRuns() {
  const full = selected().length >= SETTINGS.maxRuns;
  for (const box of boxes) if (!box.checked && !box.dataset.problem) box.disabled = full;
}

async function showExamples() {
  const source = selected()[0]?.value;
  if (source === examples.dataset.source) return;
  examples.dataset.source = source ?? "";
  examples.hidden = true;
  if (!source) return;
  const found = await fetch(`page/examples?run=${encodeURIComponent(source)}`).then(answer => answer.json()).catch(() => []);
  if (examples.dataset.source !== source) return; // another run was selected meanwhile
  const list = examples.querySelector("ul");
  list.replaceChildren();
  for (const [place, { name, label, thumbnail }] of found.entries()) {
    const button = element("button", element("li", list), "", { type: "button", title: name });
    element("img", button, "", { src: thumbnail, alt: "" });
    element("span", button, label);
    button.addEventListener("click", () => take([{ name: `${name} (true class: ${label})`, query: { source, example: place } }]));
  }
  examples.hidden = !found.length;
}

// Predictions

const says_class = ({ class: name, probability }) => probability === null ? name : `${name}, ${percent(probability)}`;
const says_set = outcome => `Set: ${outcome.set}`;

async function ask(run, image) {
  const query = new URLSearchParams({ run, ...image.query });
  const answer = await fetch(`page/predict?${query}`, { method: "POST", body: image.file }).catch(() => {
    throw new Error("no answer: does Copycat still run?");
  });
  const content = await answer.json().catch(() => ({ error: `failed: ${answer.statusText}` }));
  if (!answer.ok) throw new Error(content.error);
  return content;
}

function showPicture(panel, prediction, name) {
  const figure = element("figure", panel, "", { class: "picture" });
  element("img", figure, "", { src: prediction.image, alt: name });
  element("img", figure, "", { src: prediction.input, alt: `Model input of ${name}`, class: "input", hidden: "" });
  if (prediction.saliency) element("img", figure, "", { src: prediction.saliency, alt: "Saliency map", class: "overlay" });
  const note = prediction.saliency ? "" : "; no saliency: no pixel affects the prediction";
  element("figcaption", figure, `Model input: ${prediction.size} × ${prediction.size} pixels${note}`);
}

function showPrediction(predictions, box, outcome, name) {
  const panel = element("section", predictions, "", { class: "prediction" });
  if (boxes.length > 1) element("h3", panel, box.value);
  if (outcome.error) return element("p", panel, outcome.error);
  showPicture(panel, outcome, name);
  const words = element("div", panel, "", { class: "words" });
  element("p", words, says_class(outcome), { class: "value" });
  if (outcome.set) element("p", words, says_set(outcome), { class: "set" });
  const list = element("ul", words, "", { class: "bars", "aria-label": "Predicted probabilities" });
  for (const { name: label, probability } of outcome.probabilities.slice(0, MOST_CLASSES)) {
    const item = element("li", list);
    element("span", item, label);
    element("span", item, percent(probability));
    const bar = element("div", element("div", item, "", { class: "bar", "aria-hidden": "true" }));
    bar.style.width = `${100 * probability}%`; // an attribute would need 'unsafe-inline'
  }
  const rest = outcome.probabilities.length - MOST_CLASSES;
  if (outcome.calibration) element("p", words, outcome.calibration, { class: "quiet" });
  if (rest > 0) element("p", words, `and ${rest} less probable ${rest === 1 ? "class" : "classes"}`, { class: "quiet" });
}

function showControls(card) {
  const controls = document.createElement("div");
  controls.className = "controls screen";
  const slider = element("input", element("label", controls, "Saliency "), "", { type: "range", min: 0, max: 100, value: OPACITY });
  const fade = () => card.querySelectorAll(".overlay").forEach(image => { image.style.opacity = slider.value / 100; });
  slider.addEventListener("input", fade);
  const sharp = element("label", controls);
  const box = element("input", sharp, "", { type: "checkbox" });
  sharp.append(" Model input");
  box.addEventListener("change", () => card.querySelectorAll(".input").forEach(image => { image.hidden = !box.checked; }));
  card.querySelector("h2").after(controls);
  slider.parentElement.hidden = !card.querySelector(".overlay");
  fade();
}

async function classify(image) {
  const card = element("article", null, "", { class: "card result", "aria-busy": "true" });
  element("h2", card, image.name);
  const waiting = element("p", card, "Classifying…", { class: "quiet" });
  results.prepend(card);
  const runs = selected();
  let outcomes = [];
  if (!runs.length) outcomes = [{ error: "select a run first" }];
  else if (image.file?.size > SETTINGS.maxBytes) outcomes = [{ error: `more than ${SETTINGS.maxBytes / 1048576} MB: send a smaller image` }];
  else outcomes = await Promise.all(runs.map(box => ask(box.value, image).catch(error => ({ error: error.message }))));
  waiting.remove();
  card.removeAttribute("aria-busy");
  const errors = new Set(outcomes.map(outcome => outcome.error));
  if (errors.size === 1 && outcomes[0].error) { // of the image, not of a run
    card.classList.add("bad");
    element("p", card, outcomes[0].error);
    return `${image.name}: ${outcomes[0].error}`;
  }
  const predictions = element("div", card, "", { class: "predictions" });
  outcomes.forEach((outcome, place) => showPrediction(predictions, runs[place], outcome, image.name));
  showControls(card);
  const says = outcome => outcome.error ?? [says_class(outcome), ...(outcome.set ? [says_set(outcome)] : [])].join("; ");
  return `${image.name}: ${outcomes.map((outcome, place) => runs.length > 1 ? `${runs[place].value}: ${says(outcome)}` : says(outcome)).join("; ")}`;
}

let queue = Promise.resolve();
function take(images) {
  const some = images.slice(0, MOST_IMAGES), more = images.length - some.length;
  for (const [place, image] of some.entries()) {
    queue = queue.then(async () => {
      const line = await classify(image);
      const place_text = some.length > 1 ? `${place + 1} of ${some.length}: ` : "";
      status.textContent = `${place_text}${line}.${more && place + 1 === some.length ? ` The last ${more} were left out: at most ${MOST_IMAGES} at once.` : ""}`;
      clear.hidden = false;
    });
  }
}
const takeFiles = list => take([...list].map(file => ({ name: file.name, file })));

// Choose, take a photo, drop, paste

for (const id of ["files", "camera"]) {
  const input = document.getElementById(id);
  input.addEventListener("change", () => { takeFiles(input.files); input.value = ""; });
}
document.querySelector(".camera").hidden = !navigator.maxTouchPoints;
for (const kind of ["dragover", "dragenter"]) document.addEventListener(kind, event => { event.preventDefault(); document.body.classList.add("over"); });
document.addEventListener("dragleave", event => { if (!event.relatedTarget) document.body.classList.remove("over"); });
document.addEventListener("drop", event => { event.preventDefault(); document.body.classList.remove("over"); takeFiles(event.dataTransfer.files); });
document.addEventListener("paste", event => { if (event.clipboardData.files.length) takeFiles(event.clipboardData.files); });
clear.addEventListener("click", () => { results.replaceChildren(); status.textContent = "Results cleared."; clear.hidden = true; document.getElementById("files").focus(); });
for (const box of boxes) {
  if (box.disabled) box.dataset.problem = "true";
  box.addEventListener("change", () => { limitRuns(); showExamples(); });
}
limitRuns();
showExamples();
