// Draws one run on its canvas. What can be clicked is kept in `hits`.
const PALETTES = {
  light: ["#4d7ea8", "#d0902b", "#8a4fb0", "#c2352b", "#3c8f6e", "#b0578c", "#7b6a4d", "#a3a7ae"],
  dark: ["#7fb0dc", "#e6b25c", "#c795ea", "#ff7a6e", "#6ccaa3", "#ec95c6", "#bda887", "#6d727b"],
};
const isDark = matchMedia("(prefers-color-scheme: dark)");
const reasonColor = (index) => PALETTES[isDark.matches ? "dark" : "light"][index];
const FONT = '11px system-ui, "Segoe UI", "Liberation Sans", sans-serif';

const colors = () => {
  const style = getComputedStyle(document.documentElement);
  const names = ["paper", "panel", "ink", "soft", "faint", "line", "hair", "focus", "fault", "bad", "mark", ...Object.keys(OUTCOMES)];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
};

const shapes = Object.fromEntries(Object.entries(SHAPES).map(([name, path]) => [name, new Path2D(path)]));

const draw = (view) => {
  const { canvas, run, layout } = view;
  const width = canvas.clientWidth;
  const scale = devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(layout.height * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const left = width < 560 ? 78 : 150;
  const plot = { left, right: width - 10, width: width - 10 - left };
  const x = (at) => plot.left + ((at - state.from) / (state.to - state.from)) * plot.width;
  Object.assign(view, { plot, x, hits: [], ink: colors() });
  pen.font = FONT;
  pen.textBaseline = "middle";
  grid(view, pen, width);
  pen.save();
  pen.beginPath();
  pen.rect(plot.left, 0, plot.width + 10, layout.height);
  pen.clip();
  bands(view, pen);
  for (const lane of layout.lanes) drawLane(view, pen, lane);
  moments(view, pen);
  way(view, pen);
  pen.restore();
  labels(view, pen);
};

// A round step with room for its label.
const stepFor = (span, room) => {
  const least = span / Math.max(2, room / 70);
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least);
};

const grid = (view, pen, width) => {
  const { plot, x, ink, layout } = view;
  const step = stepFor(state.to - state.from, plot.width);
  const digits = step >= 1e6 ? 0 : Math.min(3, Math.ceil(-Math.log10(step / 1e6)));
  pen.fillStyle = ink.soft;
  pen.textAlign = "center";
  for (let at = Math.ceil(state.from / step) * step; at <= state.to; at += step) {
    pen.fillStyle = ink.hair;
    pen.fillRect(Math.round(x(at)), 20, 1, layout.height);
    pen.fillStyle = ink.soft;
    if (x(at) < plot.right - 12) pen.fillText(`${(at / 1e6).toFixed(digits)} s`, Math.max(x(at), plot.left + 12), 11);
  }
  pen.textAlign = "left";
  pen.fillStyle = ink.hair;
  for (const lane of layout.lanes) pen.fillRect(0, lane.top, width, 1);
};

const labels = (view, pen) => {
  const { plot, layout, ink } = view;
  let role = null;
  for (const lane of layout.lanes) {
    // A stronger line where another kind of hosts begins.
    if (lane.role !== role) {
      pen.fillStyle = ink.line;
      pen.fillRect(0, lane.top, plot.right + 10, 1);
      role = lane.role;
    }
    const middle = lane.role === "router" ? lane.top + 16 : lane.top + Math.min(lane.height, 28) / 2;
    pen.fillStyle = lane.kind === "host" ? ink.ink : ink.soft;
    pen.fillText(fit(pen, lane.label, plot.left - 18), 12, middle);
    if (lane.most) {
      pen.fillStyle = ink.faint;
      pen.fillText(fit(pen, `up to ${lane.most} a bar`, plot.left - 18), 12, lane.top + 30);
    }
    if (lane.role === "router") {
      pen.fillStyle = ink.faint;
      pen.fillText(plot.left < 100 ? "registry" : "registry version", 12, lane.top + 38);
      pen.fillText("keys", 12, lane.top + 53);
    }
  }
  pen.fillStyle = ink.line;
  pen.fillRect(plot.left - 1, 20, 1, layout.height);
};

const fit = (pen, label, room) => {
  if (pen.measureText(label).width <= room) return label;
  let short = label;
  while (short.length > 1 && pen.measureText(`${short}…`).width > room) short = short.slice(0, -1);
  return `${short}…`;
};

// Faults: a labelled bar at the top, and a tint over the lanes of the hosts that they touch.
const bands = (view, pen) => {
  const { layout, x, ink, plot } = view;
  const strip = layout.lanes[0];
  for (const fault of strip.placed) {
    const [from, until] = [x(fault.at), x(fault.until)];
    const lasts = fault.until > fault.at;
    if (until < plot.left || from > plot.right) continue;
    const touched = fault.hosts.length ? fault.hosts : view.run.hosts.map((host) => host.name);
    for (const lane of new Set(touched.map((host) => layout.byHost.get(host)))) {
      if (!lane) continue;
      pen.globalAlpha = lasts ? 0.11 : 0.55;
      pen.fillStyle = ink.fault;
      pen.fillRect(from, lane.top + 1, lasts ? Math.max(1, until - from) : 1, lane.height - 1);
      pen.globalAlpha = 1;
    }
    const top = strip.top + 4 + fault.row * FAULT_ROW;
    const start = Math.max(from, plot.left);
    pen.fillStyle = ink.fault;
    pen.globalAlpha = lasts ? 0.18 : 1;
    pen.fillRect(start, top, lasts ? Math.max(2, until - start) : 2, FAULT_ROW - 3);
    pen.globalAlpha = 1;
    if (lasts && from >= plot.left) pen.fillRect(from, top, 2, FAULT_ROW - 3);
    pen.fillStyle = ink.ink;
    const next = strip.placed.find((other) => other.row === fault.row && other.at > fault.at);
    const room = Math.max(lasts ? until - start : 0, (next ? x(next.at) : plot.right) - start) - 12;
    if (room > 14) pen.fillText(fit(pen, fault.what, room), start + 7, top + (FAULT_ROW - 3) / 2 + 0.5);
    const wide = Math.min(Math.max(until - start, 8), plot.right - start);
    view.hits.push({ x: start, y: top, w: wide, h: FAULT_ROW - 3, fault });
  }
};

const drawLane = (view, pen, lane) => {
  if (lane.kind === "decisions") return histogram(view, pen, lane);
  if (lane.kind !== "host") return;
  if (lane.role === "router") {
    strip(view, pen, lane, "applied", lane.top + 31, 14);
    strip(view, pen, lane, "keys", lane.top + 47, 12);
  }
  notes(view, pen, lane);
  marks(view, pen, lane);
};

// Steps of a value over time. Every second one is darker, so that a change shows.
const strip = (view, pen, lane, kind, top, height) => {
  const { x, ink, plot } = view;
  periods(lane.changes, kind, view.run.simulated).forEach((period, index) => {
    const [from, until] = [Math.max(x(period.at), plot.left), Math.min(x(period.until), plot.right)];
    if (until <= from) return;
    pen.fillStyle = kind === "keys" ? ink.router : ink.ok;
    pen.globalAlpha = index % 2 ? 0.34 : 0.17;
    pen.fillRect(from, top, until - from, height);
    pen.globalAlpha = 1;
    pen.fillRect(from, top, 1.5, height);
    const label = kind === "keys" ? `${period.of}: ${period.value}` : `${period.value}`;
    pen.fillStyle = ink.ink;
    if (until - from > 16) pen.fillText(fit(pen, label, until - from - 8), from + 5, top + height / 2 + 0.5);
    view.hits.push({ x: from, y: top, w: until - from, h: height, note: period });
  });
};

const NOTES = { published: "ok", error: "bad", crashed: "bad", endpoint: "router", started: "soft", trust: "router", noted: "faint" };

// What else changed at a host: a short stroke at the bottom of its lane.
const notes = (view, pen, lane) => {
  const bottom = lane.role === "router" ? lane.top + 30 : lane.top + lane.height;
  let taken = -Infinity;
  for (const note of lane.changes) {
    if (!(note.kind in NOTES) || note.at < state.from || note.at > state.to) continue;
    const at = view.x(note.at);
    pen.fillStyle = view.ink[NOTES[note.kind]];
    if (note.kind === "published") {
      pen.fillRect(at, lane.top + 5, 2, lane.height - 9);
      if (at > taken) {
        pen.fillText(`version ${note.value}`, at + 6, lane.top + lane.height / 2 + 0.5);
        taken = at + 74;
      }
    } else {
      pen.fillRect(at - 0.5, bottom - 7, note.kind === "noted" ? 1 : 2, 6);
    }
    view.hits.push({ x: at - 3, y: bottom - 9, w: 7, h: 9, note });
  }
};

// Too many marks to tell apart, in the part of the lane where they are.
const isDense = (view, list, first, last) =>
  last - first > 8 && last - first > (view.x(list[last - 1].at) - view.x(list[first].at)) / 3.5;

const marks = (view, pen, lane) => {
  const list = view.marks.get(lane);
  const [first, last] = [firstFrom(list, state.from), firstFrom(list, state.to + 1)];
  const height = lane.role === "router" ? 30 : lane.height;
  const middle = lane.top + height / 2;
  view.hits.push({ x: view.plot.left, y: lane.top, w: view.plot.width, h: height, lane, list, first, last });
  if (isDense(view, list, first, last)) return density(view, pen, lane, list, first, last, height);
  for (let index = first; index < last; index++) {
    const mark = list[index];
    const y = middle + (mark.outcome === "ok" ? 4 : -4);
    pen.save();
    pen.translate(view.x(mark.at), y);
    pen.fillStyle = view.ink[mark.outcome];
    pen.globalAlpha = mark.outcome === "ok" ? 0.75 : 1;
    pen.fill(shapes[mark.outcome], "evenodd");
    pen.restore();
  }
};

// A bar for each moment. What isn't well is never too small to see.
const density = (view, pen, lane, list, first, last, height) => {
  const BIN = 3;
  const bins = Array.from({ length: Math.ceil(view.plot.width / BIN) + 1 }, () => ({}));
  let most = 1;
  for (let index = first; index < last; index++) {
    const bin = bins[Math.floor((view.x(list[index].at) - view.plot.left) / BIN)];
    if (!bin) continue;
    bin[list[index].outcome] = (bin[list[index].outcome] ?? 0) + 1;
    bin.all = (bin.all ?? 0) + 1;
    most = Math.max(most, bin.all);
  }
  const room = height - 7;
  bins.forEach((bin, index) => {
    let bottom = lane.top + height - 3;
    for (const outcome of Object.keys(OUTCOMES)) {
      if (!bin[outcome]) continue;
      const tall = Math.max(outcome === "ok" ? 1 : 2.5, (bin[outcome] / most) * room);
      pen.fillStyle = view.ink[outcome];
      pen.globalAlpha = outcome === "ok" ? 0.65 : 1;
      pen.fillRect(view.plot.left + index * BIN, bottom - tall, BIN - 0.6, tall);
      bottom -= tall;
    }
  });
  pen.globalAlpha = 1;
};

const histogram = (view, pen, lane) => {
  const BIN = Math.max(6, view.plot.width / 120);
  const bins = Array.from({ length: Math.ceil(view.plot.width / BIN) + 1 }, () => new Map());
  const list = view.decisions;
  let most = 1;
  for (let index = firstFrom(list, state.from); index < list.length && list[index].at <= state.to; index++) {
    const { at, reason } = list[index];
    const bin = bins[Math.floor((view.x(at) - view.plot.left) / BIN)];
    const { color } = reasons.get(reason);
    bin.set(color, (bin.get(color) ?? 0) + 1);
    bin.all = (bin.all ?? 0) + 1;
    most = Math.max(most, bin.all);
  }
  bins.forEach((bin, index) => {
    let bottom = lane.top + lane.height - 3;
    for (const [color, count] of [...bin].sort((a, b) => a[0] - b[0])) {
      const tall = (count / most) * (lane.height - 10);
      pen.fillStyle = reasonColor(color);
      pen.fillRect(view.plot.left + index * BIN, bottom - tall, BIN - 1.5, tall);
      bottom -= tall;
    }
  });
  lane.most = most;
};

// Failures and the first difference: a line through all lanes.
const moments = (view, pen) => {
  const list = view.run.stories.map((story) => ({ at: story.at, color: view.ink.bad, name: story.name }));
  if (difference) list.push({ at: difference.at, color: view.ink.focus, name: "first difference" });
  for (const { at, color, name } of list) {
    if (at < state.from || at > state.to) continue;
    pen.fillStyle = color;
    pen.fillRect(view.x(at) - 0.75, 20, 1.5, view.layout.height);
    pen.beginPath();
    pen.moveTo(view.x(at) - 5, 20);
    pen.lineTo(view.x(at) + 5, 20);
    pen.lineTo(view.x(at), 27);
    pen.fill();
    view.hits.push({ x: view.x(at) - 6, y: 18, w: 12, h: 11, moment: { at, name } });
  }
};

// The way of the open request through the lanes.
const way = (view, pen) => {
  const request = view.run.byTag.get(state.request);
  if (!request) return;
  const points = [{ at: request.sent, host: request.client }, ...request.steps];
  if (request.answered !== null) points.push({ at: request.answered, host: request.client });
  const placed = points.flatMap(({ at, host }) => {
    const lane = view.layout.byHost.get(host);
    return lane ? [[view.x(at), lane.top + (lane.role === "router" ? 15 : lane.height / 2)]] : [];
  });
  pen.strokeStyle = view.ink.ink;
  pen.lineWidth = 1.4;
  pen.lineJoin = "round";
  pen.beginPath();
  placed.forEach(([x, y], index) => (index ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.stroke();
  for (const [x, y] of placed) {
    pen.beginPath();
    pen.arc(x, y, 3.4, 0, 7);
    pen.fillStyle = view.ink.panel;
    pen.fill();
    pen.stroke();
  }
};
