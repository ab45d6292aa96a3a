// Draws the charts from the JSON beside them, refreshes live pages, and redirects a signed-in
// visitor from the sign-in page. Without it pages show all values in tables.
"use strict";

(() => {
  const drawn = new Set();
  const BAND = 0.15; // of the height, for a share that is drawn beside other lines
  const seconds = { hour: 3600, day: 86400 };

  const colour = (tone) => getComputedStyle(document.documentElement).getPropertyValue(`--${tone}`).trim();

  const figure = (value) => {
    if (value == null) return "";
    const text = Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : String(+value.toPrecision(3));
    return text.replace("-", "−");
  };
  const percent = (value) => (value == null ? "" : `${+(100 * value).toPrecision(3)} %`);

  const clock = (hour) => `${String(hour).padStart(2, "0")}:00`;

  const moment = (kind) => (_, x) => {
    if (x == null) return "";
    if (kind === "step") return `step ${x}`;
    if (kind === "clock") return clock(x);
    if (kind === "value") return `from ${figure(x)}`;
    const text = new Date(1000 * x).toISOString();
    const time = text.slice(11, kind === "moment" && x % 60 ? 19 : 16);
    return kind === "day" ? text.slice(0, 10) : `${text.slice(0, 10)} ${time}`;
  };

  const lineOf = (chart) => (series) => {
    const stroke = colour(series.tone);
    const value = series.axis === "share" ? percent : figure;
    const line = {
      label: series.label,
      scale: series.axis,
      stroke,
      width: series.tone === "muted" ? 1.25 : 1.75,
      dash: series.shape === "dashed" ? [5, 4] : undefined,
      points: { show: chart.kind === "moment" && chart.x.length <= 60, size: 4 },
      value: (_, v) => value(v),
    };
    if (chart.is_stepped) line.paths = uPlot.paths.stepped({ align: 1 });
    if (series.shape === "area") Object.assign(line, { width: 0, fill: stroke });
    return line;
  };

  // Marks are drawn over the lines; their words stand at the top, in two rows, and where there is no room they are left out.
  const drawMarks = (marks) => (plot) => {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio;
    const ends = [];
    ctx.save();
    ctx.font = `${11 * ratio}px ${getComputedStyle(document.body).fontFamily}`;
    ctx.textBaseline = "top";
    ctx.textAlign = "left";
    ctx.lineWidth = ratio;
    ctx.setLineDash([2 * ratio, 3 * ratio]);
    for (const mark of marks) {
      const x = Math.round(plot.valToPos(mark.x, "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      const width = ctx.measureText(mark.label).width + 8 * ratio;
      const isLeft = x + width > bbox.left + bbox.width;
      const start = isLeft ? x - width : x;
      let row = 0;
      while (ends[row] > start) row += 1;
      const hasRoom = row < 2;
      const top = hasRoom ? bbox.top - (30 - 14 * row) * ratio : bbox.top;
      ctx.strokeStyle = ctx.fillStyle = colour(mark.tone);
      ctx.beginPath();
      ctx.moveTo(x, top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      if (!hasRoom) continue;
      ends[row] = start + width;
      ctx.fillText(mark.label, start + 4 * ratio, top);
    }
    ctx.restore();
  };

  // Raw numbers: as much room above as below, and some for a constant.
  const around = (low, high) => {
    if (low == null) return [0, 1];
    const room = 0.08 * (high - low) || 0.1 * Math.abs(high) || 1;
    return [low - room, high + room];
  };

  const axes = (chart) => {
    const stroke = colour("soft");
    const grid = { stroke: colour("line"), width: 1 };
    const font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const shared = { stroke, grid, font, ticks: { show: false } };
    const has = (axis) => chart.series.some((series) => series.axis === axis);
    const labels = (format) => (_, ticks) => ticks.map(format);
    const along = { ...shared, grid: { show: false }, space: 70, size: 26 };
    if (chart.kind === "step") along.values = labels((x) => (Number.isInteger(x) ? String(x) : ""));
    else if (chart.kind === "value") along.values = labels(figure);
    else if (chart.kind === "clock") Object.assign(along, { incrs: [3, 6], values: labels(clock), space: 40 });
    else if (chart.kind === "moment") along.values = (_, ticks, __, ___, step) => ticks.map((x) => {
      const text = new Date(1000 * x).toISOString();
      return step >= seconds.day || x % seconds.day === 0 ? text.slice(5, 10) : text.slice(11, step < 60 ? 19 : 16);
    });
    else {
      along.incrs = [6 * seconds.hour, seconds.day, 2 * seconds.day, 7 * seconds.day, 14 * seconds.day, 28 * seconds.day];
      if (chart.kind === "day") along.incrs.shift();
      along.values = (_, ticks, __, ___, step) => ticks.map((x) => {
        const text = new Date(1000 * x).toISOString();
        return step >= seconds.day ? text.slice(5, 10) : text.slice(11, 16) === "00:00" ? text.slice(5, 10) : text.slice(11, 16);
      });
    }
    const found = [along];
    if (has("y")) found.push({ ...shared, scale: "y", size: 48, values: labels((v) => figure(v) + (chart.unit && ` ${chart.unit}`)) });
    if (has("share")) {
      const alone = !has("y");
      const beside = { side: 1, grid: { show: false }, splits: () => [0, 1] };
      found.push({ ...shared, scale: "share", size: 52, values: labels(percent), ...(alone ? {} : beside) });
    }
    return found;
  };

  const draw = (figureElement) => {
    const chart = JSON.parse(document.getElementById(figureElement.dataset.chart).textContent);
    const canvas = figureElement.querySelector(".canvas");
    const isBeside = new Set(chart.series.map((series) => series.axis)).size > 1;
    const strokeAt = (_, i) => colour(chart.series[i - 1].tone);
    const dashAt = (_, i) => (chart.series[i - 1].shape === "dashed" ? "dashed" : "solid");
    const options = {
      width: canvas.clientWidth,
      height: Number(figureElement.dataset.height),
      tzDate: (ts) => uPlot.tzDate(new Date(1000 * ts), "Etc/UTC"),
      padding: [chart.marks.length ? 34 : 10, isBeside ? 0 : 20, 0, 0],
      cursor: { drag: { x: true, y: false }, points: { size: 7 }, y: false },
      legend: { live: true, markers: { width: 2, stroke: strokeAt, dash: dashAt, fill: "transparent" } },
      scales: {
        x: { time: !["step", "clock", "value"].includes(chart.kind) },
        y: { range: (_, low, high) => (!chart.from_zero || (chart.kind === "moment" && !chart.unit) ? around(low, high) : [0, (high || 1) * 1.08]) },
        share: { range: (_, low, high) => (isBeside ? [0, 1 / BAND] : [0, Math.max((high || 0) * 1.15, 0.001)]) },
      },
      series: [{ label: "", value: moment(chart.kind) }, ...chart.series.map(lineOf(chart))],
      axes: axes(chart),
      hooks: { draw: [drawMarks(chart.marks)] },
    };
    canvas.replaceChildren();
    drawn.add(new uPlot(options, [chart.x, ...chart.series.map((series) => series.values)], canvas));
  };

  const drawAll = () => {
    for (const plot of drawn) plot.destroy();
    drawn.clear();
    document.querySelectorAll("[data-chart]").forEach(draw);
  };

  // A live page is fetched again and its content exchanged, unless it is in use.
  const isBusy = (main) =>
    document.hidden || main.querySelector("details[open]") || [...main.querySelectorAll("input:not([type=hidden])")].some((field) => field.value || field === document.activeElement) || main.querySelector(".uplot:hover");

  const refresh = async (main) => {
    if (isBusy(main)) return;
    const answer = await fetch(location.href, { redirect: "manual" });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const place = document.activeElement?.getAttribute("href");
    main.replaceChildren(...fresh.querySelector("main").childNodes);
    document.querySelector("footer")?.replaceWith(fresh.querySelector("footer"));
    if (place) main.querySelector(`a[href="${CSS.escape(place)}"]`)?.focus({ preventScroll: true });
    drawAll();
  };

  const copying = (button) => {
    if (!navigator.clipboard) return button.remove();
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
  };

  const openIfSignedIn = async (dialog) => {
    const answer = await fetch("/session", { redirect: "manual" });
    if (answer.ok) location.replace(dialog.dataset.next);
  };

  drawAll();
  document.querySelectorAll("button.copy").forEach(copying);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) drawAll();
    width = innerWidth;
  });

  const main = document.querySelector("main");
  if (main.dataset.live) setInterval(() => refresh(main).catch(() => {}), 1000 * Number(main.dataset.live));
  const dialog = document.querySelector(".dialog[data-next]");
  if (dialog) openIfSignedIn(dialog).catch(() => {});
})();
