"use strict";
// Filter the images of a gallery by true class, predicted class and error.
for (const controls of document.querySelectorAll(".gallery-filter")) {
  const [label, predicted, kind] = controls.querySelectorAll("select"), items = [...controls.nextElementSibling.children];
  const filter = () => {
    for (const item of items) {
      const isWrong = item.dataset.true !== item.dataset.predicted;
      item.hidden = (label.value && item.dataset.true !== label.value) || (predicted.value && item.dataset.predicted !== predicted.value)
        || (kind.value && isWrong !== (kind.value === "wrong"));
    }
    controls.querySelector("output").textContent = `${items.filter(item => !item.hidden).length} of ${items.length} images`;
  };
  controls.hidden = false;
  controls.addEventListener("change", filter);
  filter();
}
