"use strict";
// Turn each figure.chart into interactive panels, drawn by uPlot from the data block inside it. The static image beside them is what
// is seen without scripts and on paper.
(() => {
  const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]], MAX_ROWS = 60, NEAR = 40;
  const token = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const isMissing = value => value === null || value === undefined;

  function format(value) {
    if (isMissing(value)) return "–";
    const size = Math.abs(value);
    if (Number.isInteger(value) && size < 1e9) return String(value);
    if (size >= 1e-3 && size < 1e6) return String(+value.toFixed(size < 0.1 ? 5 : 4));
    return value.toExponential(2).replace(/\.?0+e/, "e");
  }

  function make(name, parent, text = "", attributes = {}) {
    const element = document.createElement(name);
    element.textContent = text;
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    parent.append(element);
    return element;
  }

  // uPlot has one list of x for all series: where they differ, each point gets a row of its own
  function align(chart) {
    if (chart.x) return [chart.x, ...chart.series.map(series => series.y)];
    const points = chart.series.flatMap((series, place) => series.y.map((y, at) => ({ place, y, x: series.x[at], name: series.names?.[at] })));
    points.sort((a, b) => a.x - b.x);
    const columns = chart.series.map((_, place) => points.map(point => point.place === place ? point.y : null));
    return Object.assign([points.map(point => point.x), ...columns], { names: points.map(point => point.name) });
  }

  function addPanel(figure, chart, view) {
    const box = make("div", figure, "", { class: "panel" });
    make("p", box, chart.title, { class: "panel-title" });
    const controls = make("div", box, "", { class: "controls" });
    const area = make("div", box, "", { class: "plot", tabindex: "0", role: "slider", "aria-label": `Position in ${chart.title}; arrow keys move it, + and − zoom` });
    const legend = make("div", box, "", { class: "legend", role: "group", "aria-label": `Series of ${chart.title}` });
    const position = make("span", legend, "", { class: "quiet" });
    const { labels } = chart.x_axis, hidden = new Set(), entries = new Map(), data = align(chart), isScatter = chart.series.some(series => series.draw === "points");
    const hasLast = !isScatter && !labels && !chart.x_axis.range;  // what a curve ends at
    let isLog = chart.y_axis.log, plot, row = null, yView = null;

    const xText = x => labels ? labels[Math.round(x)] ?? "" : format(x);
    const stroke = series => token(series.style.color ? `--series-${series.style.color}` : "--series-rest");
    const pad = (low, high, share) => [low - share * (high - low || Math.abs(low) || 1), high + share * (high - low || Math.abs(high) || 1)];

    function xRange(low, high) {
      if (isMissing(low)) return [0, 1];
      if (data[0][0] === data[0].at(-1)) low = high = data[0][0];  // uPlot would show an only epoch at the edge of 0 to 100
      if (labels) return [-0.5, labels.length - 0.5];
      if (chart.x_axis.range) return chart.x_axis.range;
      if (chart.x_axis.log) return pad(Math.log10(low), Math.log10(high), 0.03).map(power => 10 ** power);
      return isScatter || low === high ? pad(low, high, 0.03) : [low, high];
    }
    function yRange(low, high) {
      if (isMissing(low)) return [isLog ? 0.1 : 0, 1];
      if (isLog) return uPlot.rangeLog(low, high, 10, false);
      return chart.y_axis.range ?? pad(low, high, 0.06);
    }

    // The nearest marker on the screen; of a line the nearest point to the left or right
    function nearest(u, place, at) {
      const ys = u.data[place];
      if (place === 0) return at;
      if (chart.series[place - 1].draw === "points") {
        let best = null, least = NEAR ** 2;
        ys.forEach((y, index) => {
          if (isMissing(y)) return;
          const far = (u.valToPos(u.data[0][index], "x") - u.cursor.left) ** 2 + (u.valToPos(y, "y") - u.cursor.top) ** 2;
          if (far < least) [best, least] = [index, far];
        });
        return best;
      }
      for (let far = 0; far < ys.length; far++) for (const index of [at - far, at + far]) if (!isMissing(ys[index])) return index;
      return null;
    }

    function showValues(u) {
      const at = u.cursor.idx, isOut = isMissing(at);
      position.textContent = isOut ? (hasLast ? `last ${chart.x_axis.label}` : "") : `${chart.x_axis.label} ${xText(u.data[0][at])}`;
      const spoken = [position.textContent];
      for (const [label, { value, places }] of entries) {
        if (places.length > 1) continue;
        const [place] = places, ys = u.data[place], isPoints = ["points", "bars"].includes(chart.series[place - 1].draw);
        const index = isOut ? (isPoints || !hasLast ? null : ys.findLastIndex(y => !isMissing(y))) : u.cursor.idxs[place];
        const name = isMissing(index) ? null : data.names?.[index];
        value.textContent = isMissing(index) || index < 0 ? "" : `${name ? `${name}: ` : ""}${format(ys[index])}`;
        if (value.textContent && !hidden.has(label)) spoken.push(`${label} ${value.textContent}`);
      }
      if (isOut) return;
      row = at;
      area.setAttribute("aria-valuenow", at);
      area.setAttribute("aria-valuetext", spoken.join(", "));
    }

    function drawIntervals(u) {
      chart.series.forEach((series, place) => {
        if (!series.low || hidden.has(series.label)) return;
        u.ctx.save();
        u.ctx.strokeStyle = stroke(series);
        u.ctx.lineWidth = 2 * devicePixelRatio;
        u.ctx.beginPath();
        (series.x ?? chart.x).forEach((x, at) => {
          const left = u.valToPos(x, "x", true);
          if (left < u.bbox.left || left > u.bbox.left + u.bbox.width) return;
          u.ctx.moveTo(left, u.valToPos(series.low[at], "y", true));
          u.ctx.lineTo(left, u.valToPos(series.high[at], "y", true));
        });
        u.ctx.stroke();
        u.ctx.restore();
      });
    }
    function drawMarks(u) {
      for (const mark of chart.marks ?? []) {
        const x = Math.round(u.valToPos(mark, "x", true)), { left, top, width, height } = u.bbox;
        if (x < left || x > left + width) continue;
        u.ctx.save();
        u.ctx.strokeStyle = token("--quiet");
        u.ctx.setLineDash([4, 4]);
        u.ctx.beginPath();
        u.ctx.moveTo(x, top);
        u.ctx.lineTo(x, top + height);
        u.ctx.stroke();
        u.ctx.restore();
      }
    }

    function zoomTo(x, y) {
      view.x = x;
      yView = y;
      for (const refresh of view.panels) refresh();
    }
    function zoomBy(factor) {
      const { min, max } = plot.scales.x, isLogX = chart.x_axis.log, [low, high] = isLogX ? [Math.log10(min), Math.log10(max)] : [min, max];
      const at = row === null ? null : plot.data[0][row], middle = at === null || at < min || at > max ? (low + high) / 2 : isLogX ? Math.log10(at) : at;
      const ends = [middle - (middle - low) * factor, middle + (high - middle) * factor];
      zoomTo(isLogX ? ends.map(power => 10 ** power) : ends, null);
    }
    function selected(u) {
      const { left, top, width, height } = u.select;
      if (!width && !height) return;
      const whole = u.over.clientHeight - height < 1;
      zoomTo(width ? [u.posToVal(left, "x"), u.posToVal(left + width, "x")] : view.x, whole ? null : [u.posToVal(top + height, "y"), u.posToVal(top, "y")]);
      u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    }

    function options() {
      const width = area.clientWidth || 320, grid = { stroke: token("--grid"), width: 1 };
      const axis = { stroke: token("--quiet"), grid, ticks: grid, labelSize: 24, font: "12px system-ui", labelFont: "12px system-ui" };
      const values = (_, at) => at.map(value => isMissing(value) ? "" : format(value)), isLong = labels && labels.join("").length > width / 9 && labels.some(label => label.length > 4);
      const every = labels ? Math.ceil(labels.length * 22 / width) : 1;
      const spread = (u, splits) => {  // uPlot's own labels of many powers of ten overlap, or are none
        const { min, max } = u.scales.x, inside = splits.filter(x => x >= min && x <= max);
        const powers = inside.filter(x => Number.isInteger(+Math.log10(x).toFixed(9))), shown = powers.length > 1 ? powers : inside;
        const space = 12 + 8 * Math.max(...shown.map(x => format(x).length));
        let last = -Infinity;
        return splits.map(x => shown.includes(x) && u.valToPos(x, "x") - last >= space ? (last = u.valToPos(x, "x"), x) : null);
      };
      const incrs = Array.from({ length: 24 }, (_, power) => [1, 2, 5][power % 3] * 10 ** Math.floor(power / 3));
      const wholes = counts => counts.every(count => isMissing(count) || Number.isInteger(count)) ? { incrs } : {};  // epochs and trials have no halves
      const categories = labels ? { splits: () => labels.flatMap((_, index) => index % every ? [] : [index]), values: (_, at) => at.map(xText), ...(isLong ? { rotate: -40, size: 90 } : {}) } : { values, ...(chart.x_axis.log ? { filter: spread } : wholes(data[0])) };
      return {
        width, height: Math.round(Math.max(210, Math.min(300, width * 0.55))), legend: { show: false },
        scales: {
          x: { time: false, distr: chart.x_axis.log ? 3 : 1, range: (_, low, high) => view.x ?? xRange(low, high) },
          y: { distr: isLog ? 3 : 1, range: (_, low, high) => yView ?? yRange(low, high) },
        },
        axes: [{ ...axis, ...(chart.x_axis.log ? { grid: { show: false } } : {}), label: chart.x_axis.label, size: 34, ...categories }, { ...axis, label: chart.y_axis.label, size: (_, texts) => Math.max(60, 18 + 8 * Math.max(...(texts ?? [""]).map(text => text.length))), values, ...(isLog ? {} : wholes(data.slice(1).flat())) }],
        series: [{}, ...chart.series.map(series => ({
          show: !hidden.has(series.label), spanGaps: true, stroke: stroke(series), dash: DASHES[series.style.dash], width: series.style.color ? 2 : 1,
          ...(series.draw.startsWith("step") ? { paths: uPlot.paths.stepped({ align: series.draw === "step" ? 1 : -1 }) } : {}),
          ...(series.draw === "bars" ? { paths: uPlot.paths.bars({ size: [0.8, 60] }), fill: stroke(series) } : {}),
          ...(series.draw === "points" ? { paths: () => null } : {}),
          points: series.draw === "points" ? { show: true, size: series.size, fill: series.hollow ? token("--surface") : stroke(series), width: 1.5 }
            : { show: series.draw === "line" && (series.markers || series.y.filter(y => !isMissing(y)).length < 2), size: 7 },
        }))],
        cursor: {
          dataIdx: nearest, drag: { setScale: false, x: true, y: true, uni: 24 }, bind: { dblclick: () => () => zoomTo(null, null) },
          points: { size: u => 9 }, ...(view.key ? { sync: { key: view.key, scales: ["x", null], filters: { pub: type => type === "mousemove" || type === "mouseleave" } } } : {}),
        },
        hooks: { setCursor: [showValues], setSelect: [selected], draw: [drawIntervals, drawMarks] },
      };
    }

    function draw() {
      plot?.destroy();
      const visible = isLog ? data.map((ys, place) => place ? ys.map(y => y > 0 ? y : null) : ys) : data;
      plot = new uPlot(options(), visible, area);
      plot.over.addEventListener("pointermove", event => {
        const { left, top } = plot.over.getBoundingClientRect();
        if (event.pointerType === "touch") plot.setCursor({ left: event.clientX - left, top: event.clientY - top });
      });
      area.setAttribute("aria-valuemin", "0");
      area.setAttribute("aria-valuemax", String(data[0].length - 1));
      area.setAttribute("aria-valuenow", String(row ?? 0));
      showValues(plot);
    }
    function moveTo(at) {
      const place = chart.series.findIndex((series, index) => !hidden.has(series.label) && !isMissing(plot.data[index + 1][at])) + 1;
      plot.setCursor({ left: plot.valToPos(data[0][at], "x"), top: plot.valToPos(plot.data[place || 1][at] ?? 0, "y") });
    }
    function onKey(event) {
      const last = data[0].length - 1, from = row ?? 0, step = event.shiftKey ? Math.ceil(last / 20) : 1;
      const target = { ArrowRight: from + step, ArrowUp: from + step, ArrowLeft: from - step, ArrowDown: from - step, Home: 0, End: last,
        PageUp: from + Math.ceil(last / 10), PageDown: from - Math.ceil(last / 10) }[event.key];
      if (target !== undefined) moveTo(Math.max(0, Math.min(last, target)));
      else if (event.key === "+" || event.key === "=") zoomBy(0.5);
      else if (event.key === "-") zoomBy(2);
      else if (event.key === "Escape" || event.key === "0") zoomTo(null, null);
      else return;
      event.preventDefault();
    }

    chart.series.forEach((series, place) => {
      const known = entries.get(series.label);
      if (known) return known.places.push(place + 1);
      const button = make("button", legend, "", { type: "button", "aria-pressed": "true" });
      const swatch = make("span", button, "", { class: `swatch ${series.draw} dash-${series.style.dash}` });
      swatch.style.color = `var(${series.style.color ? `--series-${series.style.color}` : "--series-rest"})`;
      make("span", button, series.label);
      const value = make("span", button, "", { class: "figure" });
      entries.set(series.label, { value, places: [place + 1] });
      button.addEventListener("click", () => {
        hidden.has(series.label) ? hidden.delete(series.label) : hidden.add(series.label);
        button.setAttribute("aria-pressed", String(!hidden.has(series.label)));
        for (const at of entries.get(series.label).places) plot.setSeries(at, { show: !hidden.has(series.label) });
      });
    });
    const addButton = (text, name, act) => make("button", controls, text, { type: "button", "aria-label": name, title: name }).addEventListener("click", act);
    if (data.slice(1).some(ys => ys.some(y => y > 0))) {
      const toggle = make("button", controls, "Log scale", { type: "button", "aria-pressed": String(isLog) });
      toggle.addEventListener("click", () => {
        [isLog, yView] = [!isLog, null];
        toggle.setAttribute("aria-pressed", String(isLog));
        draw();
      });
    }
    addButton("+", "Zoom in", () => zoomBy(0.5));
    addButton("−", "Zoom out", () => zoomBy(2));
    addButton("Reset", "Reset zoom", () => zoomTo(null, null));
    area.addEventListener("keydown", onKey);
    addTable(box, chart, data, xText);
    draw();
    view.panels.push(() => plot.setData(plot.data, true));
    new ResizeObserver(() => { if (area.clientWidth && area.clientWidth !== plot.width) draw(); }).observe(area);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  }

  function addTable(box, chart, data, xText) {
    const details = make("details", box, "", { class: "screen" });
    make("summary", details, "Values as a table");
    details.addEventListener("toggle", () => {
      if (details.childElementCount > 1) return;
      const whole = data[0].flatMap((_, at) => data.slice(1).some(ys => isMissing(ys[at])) ? [] : [at]);  // rows without an empty cell
      const rows = whole.length < 10 ? [...data[0].keys()] : whole, every = Math.ceil(rows.length / MAX_ROWS), scroll = make("div", details, "", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Values of ${chart.title}` });
      const table = make("table", scroll), head = make("tr", make("thead", table)), body = make("tbody", table);
      if (every > 1) make("caption", table, `One row in ${every}`);
      for (const title of [data.names ? "name" : "", chart.x_axis.label, ...chart.series.map(series => series.label)]) if (title) make("th", head, title, { scope: "col" });
      for (const at of rows.filter((_, place) => place % every === 0 || place === rows.length - 1)) {
        const line = make("tr", body);
        if (data.names) make("th", line, data.names[at] ?? "", { scope: "row" });
        make(data.names ? "td" : "th", line, xText(data[0][at]), data.names ? {} : { scope: "row" });
        for (const ys of data.slice(1)) make("td", line, isMissing(ys[at]) ? "" : format(ys[at]));
      }
    });
  }

  for (const [place, figure] of document.querySelectorAll("figure.chart").entries()) {
    const { charts, sync } = JSON.parse(figure.querySelector("script").textContent);
    const panels = document.createElement("div"), shared = { x: null, panels: [], key: sync ? `figure-${place}` : null };
    panels.className = "panels screen";
    figure.prepend(panels);
    figure.classList.add("live");
    for (const chart of charts) addPanel(panels, chart, sync ? shared : { x: null, panels: [], key: null });
  }
})();
