// What pages do beyond links and forms: copy, menus, confirmations, the search key, charts. Everything works without it.
(() => {
  "use strict";
  const on = (event, selector, act) =>
    document.addEventListener(event, (e) => {
      const found = e.target instanceof Element && e.target.closest(selector);
      if (found) act(found, e);
    });

  // ---- copy
  on("click", "[data-copy]", async (button) => {
    const source = document.getElementById(button.dataset.copy);
    const text = source instanceof HTMLInputElement ? source.value : source.textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const range = document.createRange(); // no clipboard without TLS: select it, the person presses Ctrl-C
      range.selectNodeContents(source);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      return;
    }
    toast(button.dataset.copied);
  });

  function toast(text) {
    const box = document.createElement("div");
    box.className = "toast-note";
    box.textContent = text;
    document.getElementById("toasts").append(box);
    setTimeout(() => box.remove(), 3000);
  }
  document.addEventListener("toast", (e) => toast(e.detail.value ?? e.detail));

  // ---- menus: one open at a time, Escape and a click elsewhere close
  const close = (menu) => {
    if (!menu.open) return;
    const inside = menu.contains(document.activeElement);
    menu.open = false;
    if (inside) menu.querySelector("summary").focus();
  };
  const menus = () => document.querySelectorAll("details[data-menu][open], details[data-confirm][open]");
  document.addEventListener("click", (e) => menus().forEach((menu) => menu.contains(e.target) || close(menu)));
  document.addEventListener("keydown", (e) => {
    if (e.key === "Escape") {
      menus().forEach(close);
      document.getElementById("found")?.replaceChildren();
    }
    if (e.key.toLowerCase() === "k" && (e.ctrlKey || e.metaKey)) {
      const field = document.querySelector("[data-search]");
      if (field) {
        e.preventDefault();
        field.focus();
        field.select();
      }
    }
  });
  on("click", "[data-closes]", (button) => close(button.closest("details")));
  on("click", "[data-toggles]", (button) => {
    const menu = document.getElementById(button.dataset.toggles);
    button.setAttribute("aria-expanded", String(menu.classList.toggle("is-open")));
  });
  // Arrow keys walk from the search field through what was found.
  document.addEventListener("keydown", (e) => {
    const box = e.target instanceof Element && e.target.closest(".top-search");
    if (!box || (e.key !== "ArrowDown" && e.key !== "ArrowUp")) return;
    const stops = [box.querySelector("[data-search]"), ...box.querySelectorAll("#found a")];
    const next = stops[stops.indexOf(document.activeElement) + (e.key === "ArrowDown" ? 1 : -1)];
    if (next) {
      e.preventDefault();
      next.focus();
    }
  });
  on("change", "[data-submits]", (field) => field.form.requestSubmit());
  on("change", "[data-selects-all]", (box) => {
    box.form.querySelectorAll(`input[name="${box.dataset.selectsAll}"]`).forEach((one) => (one.checked = box.checked));
  });

  // ---- charts: stacked bars by uPlot; the page holds the same figures in a table
  const language = document.documentElement.lang;
  const units = {
    eur: (v) => new Intl.NumberFormat(language, { style: "currency", currency: "EUR" }).format(v / 1e9),
    count: (v) => new Intl.NumberFormat(language, { notation: "compact" }).format(v),
    ms: (v) => `${new Intl.NumberFormat(language).format(Math.round(v))} ms`,
  };
  // Days as the reader writes them: uPlot's own are American.
  const dayOf = (zone) => {
    const format = new Intl.DateTimeFormat(language === "en" ? "en-GB" : language, { day: "numeric", month: "short", timeZone: zone });
    return (time) => format.format(new Date(time * 1e3));
  };
  const hourOf = (zone) => {
    const format = new Intl.DateTimeFormat(language === "en" ? "en-GB" : language, { hour: "2-digit", minute: "2-digit", timeZone: zone });
    return (time) => format.format(new Date(time * 1e3));
  };
  const HOUR = 3600, DAY = 86400;
  const colours = () =>
    ["--chart-1", "--chart-2", "--chart-3", "--chart-4", "--chart-5", "--chart-6"].map((name) =>
      getComputedStyle(document.documentElement).getPropertyValue(name).trim());

  function draw(box) {
    const given = JSON.parse(box.dataset.chart);
    if (!window.uPlot || !given.times.length) return;
    const style = getComputedStyle(document.documentElement);
    const axis = { stroke: style.getPropertyValue("--tblr-secondary").trim(), grid: { stroke: style.getPropertyValue("--tblr-border-color").trim(), width: 1 }, ticks: { show: false } };
    const show = units[given.unit] ?? units.count;
    const sums = given.times.map(() => 0);
    const stacked = given.series.map((one) => one.values.map((value, i) => (sums[i] += value)));
    const paint = colours();
    const isHourly = given.times.length > 1 && given.times[1] - given.times[0] < DAY;
    const name = (isHourly ? hourOf : dayOf)(given.zone);
    const steps = isHourly ? [1, 2, 3, 6, 12].map((hours) => hours * HOUR) : [1, 2, 4, 7, 14, 28, 56].map((days) => days * DAY);
    const half = given.times.length > 1 ? (given.times[1] - given.times[0]) / 2 : 43200; // whole bars at both ends
    const bars = uPlot.paths.bars({ size: [0.7, 40], radius: 0.1 });
    const options = {
      width: Math.max(box.clientWidth, 200),
      height: Number(box.dataset.height || 220),
      tzDate: given.zone ? (time) => uPlot.tzDate(new Date(time * 1e3), given.zone) : undefined,
      cursor: { drag: { x: false, y: false } },
      legend: { show: given.series.length > 1, live: false },
      scales: { x: { range: (_u, min, max) => [min - half, max + half] }, y: { range: (_u, _min, max) => [0, max > 0 ? max * 1.1 : 1] } },
      axes: [{ ...axis, space: 60, incrs: steps, values: (_u, ticks) => ticks.map(name) }, { ...axis, size: 70, values: (_u, ticks) => ticks.map(show) }],
      series: [{}, ...given.series.map((one, i) => ({ label: one.label, fill: paint[i % paint.length], stroke: paint[i % paint.length], width: 0, paths: bars, points: { show: false } })).reverse()],
    };
    box.replaceChildren();
    box.plot = new uPlot(options, [given.times, ...stacked.reverse()], box);
    if (!given.links) return;
    box.classList.add("chart-leads"); // to what a bar is made of; the table beside it has the same links
    box.plot.over.addEventListener("click", () => {
      const bar = box.plot.cursor.idx;
      if (bar != null && sums[bar]) location.assign(given.links[bar]);
    });
  }
  const drawAll = (within = document) => within.querySelectorAll("[data-chart]").forEach(draw);
  addEventListener("load", () => drawAll());
  document.addEventListener("htmx:afterSettle", (e) => drawAll(e.target));
  new MutationObserver(() => drawAll()).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
  let waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => document.querySelectorAll("[data-chart]").forEach((box) =>
      box.plot?.setSize({ width: Math.max(box.clientWidth, 200), height: box.plot.height })), 100);
  });
})();
