"use strict";
// Turn each figure.parallel into parallel coordinates that are brushed by a drag along an axis, or by the fields below it.
(() => {
  const NS = "http://www.w3.org/2000/svg", TOP = 44, HEIGHT = 260, UNSET = 26, MAX_ROWS = 20, SPACE = 96, MAX_LETTERS = 14;
  const make = (name, parent, attributes = {}, text = "", space = null) => {
    const element = space ? document.createElementNS(space, name) : document.createElement(name);
    element.textContent = text;
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    parent.append(element);
    return element;
  };
  const format = value => {
    const size = Math.abs(value);
    if (Number.isInteger(value) && size < 1e9) return String(value);
    return size >= 1e-3 && size < 1e6 ? String(+value.toPrecision(4)) : value.toExponential(2).replace(/\.?0+e/, "e");
  };
  const shorten = text => text.length > MAX_LETTERS ? `…${text.slice(1 - MAX_LETTERS)}` : text;

  function addPlot(figure, { names, axes }) {
    const ranges = axes.map(() => null);  // of each axis: what is selected, in the unit of its scale
    const scaled = (axis, value) => axis.scale === "log" ? Math.log10(value) : value;
    const plain = (axis, value) => axis.scale === "log" ? 10 ** value : value;
    const y = (axis, value) => value === null ? TOP + HEIGHT + UNSET : TOP + HEIGHT * (1 - (scaled(axis, value) - axis.limits[0]) / (axis.limits[1] - axis.limits[0]));
    const text = (axis, line) => axis.values[line] === null ? "not set" : axis.labels ? axis.labels[axis.values[line]] : format(axis.values[line]);
    const describe = line => `${names[line]}: ${axes.map(axis => `${axis.label} ${text(axis, line)}`).join(", ")}`;

    const box = document.createElement("div");
    box.className = "screen";
    figure.prepend(box);
    figure.classList.add("live");
    const scroll = make("div", box, { class: "scroll", tabindex: "0", role: "region", "aria-label": "Parallel coordinates" });
    const svg = make("svg", scroll, { class: "coordinates", role: "img", "aria-label": `${names.length} lines on ${axes.length} axes; the fields below select among them` }, "", NS);
    const lines = names.map((_, line) => {
      const path = make("path", svg, { class: `line rank-${line ? Math.min(4, Math.ceil(4 * (line + 1) / names.length)) : 0}` }, "", NS);
      path.addEventListener("pointerenter", () => { hovered.textContent = describe(line); });
      return path;
    });
    svg.prepend(...lines.toReversed());  // the best one is drawn last, on top
    const groups = axes.map((axis, index) => addAxis(axis, index));
    const hovered = make("p", box, { class: "quiet hovered" }, `${names[0]}, the best, is the thick line. Drag along an axis to select lines; point at one to read it.`);
    const controls = make("div", box, { class: "controls" });
    const fields = axes.map((axis, index) => addFields(axis, index));
    make("button", controls, { type: "button" }, "Clear selection").addEventListener("click", () => { ranges.fill(null); update(); });
    const count = make("output", controls);
    const table = make("table", make("div", box, { class: "scroll", tabindex: "0", role: "region", "aria-label": "Selected trials" }));

    function addAxis(axis, index) {
      const group = make("g", svg, {}, "", NS);
      make("line", group, { class: "axis", y1: TOP, y2: TOP + HEIGHT }, "", NS);
      const label = make("text", group, { y: index % 2 ? 14 : 30, class: "label" }, shorten(axis.label), NS);
      make("title", label, {}, axis.label, NS);
      for (const [value, words] of ticks(axis)) make("text", group, { x: 6, y: y(axis, value) + 4, class: "tick" }, shorten(words), NS);
      if (axis.values.includes(null)) make("text", group, { x: 6, y: TOP + HEIGHT + UNSET + 4, class: "tick" }, "not set", NS);
      const brush = make("rect", group, { class: "brush", x: -9, width: 18, height: 0 }, "", NS);
      const handle = make("rect", group, { class: "handle", x: -14, width: 28, y: TOP - 8, height: HEIGHT + 16 }, "", NS);
      let start = null;
      const at = event => axis.limits[0] + (axis.limits[1] - axis.limits[0]) * (1 - Math.max(0, Math.min(1, (event.clientY - svg.getBoundingClientRect().top - TOP) / HEIGHT)));
      handle.addEventListener("pointerdown", event => { start = at(event); handle.setPointerCapture(event.pointerId); event.preventDefault(); });
      handle.addEventListener("pointermove", event => {
        if (start === null) return;
        ranges[index] = [Math.min(start, at(event)), Math.max(start, at(event))];
        update();
      });
      handle.addEventListener("pointerup", event => {
        if (Math.abs(at(event) - start) < (axis.limits[1] - axis.limits[0]) / HEIGHT * 3) ranges[index] = null;  // a click
        start = null;
        update();
      });
      return { group, brush };
    }

    function ticks(axis) {
      if (axis.labels) return axis.labels.map((label, value) => [value, label]);
      const known = axis.values.filter(value => value !== null).map(value => scaled(axis, value));
      const low = Math.min(...known), high = Math.max(...known), shares = low < high ? [0, 0.25, 0.5, 0.75, 1] : [0];
      return shares.map(share => plain(axis, low + share * (high - low))).map(value => [value, format(value)]);
    }

    function addFields(axis, index) {
      const group = make("fieldset", controls);
      make("legend", group, {}, axis.label);
      if (axis.labels) {
        const select = make("select", group, { "aria-label": `${axis.label} is` });
        for (const name of ["all", ...axis.labels]) make("option", select, {}, name);
        select.addEventListener("change", () => { ranges[index] = select.selectedIndex ? [select.selectedIndex - 1.5, select.selectedIndex - 0.5] : null; update(); });
        return range => {
          const inside = range ? axis.labels.flatMap((_, value) => value >= range[0] && value <= range[1] ? [value] : []) : [];
          select.selectedIndex = inside.length === 1 ? inside[0] + 1 : 0;
        };
      }
      const [low, high] = ["min", "max"].map(end => make("input", group, { type: "text", inputmode: "decimal", placeholder: end, "aria-label": `${axis.label} ${end}`, size: "6" }));
      const read = (field, otherwise) => field.value.trim() && Number.isFinite(+field.value) && (axis.scale !== "log" || +field.value > 0) ? scaled(axis, +field.value) : otherwise;
      for (const field of [low, high]) field.addEventListener("change", () => {
        ranges[index] = low.value || high.value ? [read(low, -Infinity), read(high, Infinity)] : null;
        update();
      });
      return range => [low, high].forEach((field, end) => {
        if (document.activeElement !== field) field.value = range && Number.isFinite(range[end]) ? format(plain(axis, range[end])) : "";
      });
    }

    const isSelected = line => axes.every((axis, index) => {
      const value = axis.values[line], range = ranges[index], slack = 1e-9 * (axis.limits[1] - axis.limits[0]);
      return !range || (value !== null && scaled(axis, value) >= range[0] - slack && scaled(axis, value) <= range[1] + slack);
    });

    function update() {
      const chosen = names.flatMap((_, line) => isSelected(line) ? [line] : []), inside = new Set(chosen);
      lines.forEach((path, line) => path.classList.toggle("off", !inside.has(line)));
      axes.forEach((axis, index) => {
        const range = ranges[index], { brush } = groups[index];
        const [low, high] = range ? range.map(end => Math.max(axis.limits[0], Math.min(axis.limits[1], end))) : [0, 0];
        brush.setAttribute("y", y(axis, plain(axis, high)));
        brush.setAttribute("height", range ? Math.max(2, y(axis, plain(axis, low)) - y(axis, plain(axis, high))) : 0);
        fields[index](range);
      });
      count.textContent = `${chosen.length} of ${names.length} selected${chosen.length > MAX_ROWS ? `; the best ${MAX_ROWS} of them:` : ""}`;
      table.replaceChildren();
      const head = make("tr", make("thead", table)), body = make("tbody", table);
      for (const title of ["trial", ...axes.map(axis => axis.label)]) make("th", head, { scope: "col" }, title);
      for (const line of ranges.some(Boolean) ? chosen.slice(0, MAX_ROWS) : []) {
        const row = make("tr", body);
        make("th", row, { scope: "row" }, names[line]);
        for (const axis of axes) make("td", row, {}, text(axis, line));
      }
      table.parentElement.hidden = !ranges.some(Boolean);
    }

    function place() {
      const width = Math.max(scroll.clientWidth - 4, axes.length * SPACE), gap = (width - SPACE) / Math.max(1, axes.length - 1), x = index => 30 + index * gap;
      svg.setAttribute("width", width);
      svg.setAttribute("height", TOP + HEIGHT + UNSET + 14);
      groups.forEach(({ group }, index) => group.setAttribute("transform", `translate(${x(index)} 0)`));
      lines.forEach((path, line) => path.setAttribute("d", axes.map((axis, index) => `${index ? "L" : "M"}${x(index).toFixed(1)} ${y(axis, axis.values[line]).toFixed(1)}`).join("")));
    }

    place();
    update();
    new ResizeObserver(place).observe(box);
  }

  for (const figure of document.querySelectorAll("figure.parallel")) addPlot(figure, JSON.parse(figure.querySelector("script").textContent));
})();
