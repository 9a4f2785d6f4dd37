// The canvases: one for each run, over the same range of time.
const views = runs.map((run) => ({ run, layout: layOut(run), marks: null, decisions: null, hits: [], key: null }));

const makeTools = () => {
  const button = (label, title, action) =>
    el("button", { type: "button", title, "aria-label": title, onclick: action }, label);
  const range = el("span", { className: "range num" });
  $("tools").append(
    button("−", "Zoom out (-)", () => zoom(2)),
    button("+", "Zoom in (+)", () => zoom(0.5)),
    button("‹", "Earlier (shift ←)", () => pan(-0.4)),
    button("›", "Later (shift →)", () => pan(0.4)),
    button("all", "The whole run (0)", () => change({ from: 0, to: end })),
    range,
  );
  watch(() => { range.textContent = `${seconds(state.from)} to ${seconds(state.to)}`; });
};

const makeCanvas = (view) => {
  const { run, layout } = view;
  const name = `${run.scenario}, seed ${run.seed}`;
  const help = `Timeline of ${name}: ${run.requests.length} requests in ${layout.lanes.length - 2} lanes. ` +
    "Left and right open the request before and after, plus and minus zoom, shift with left and right moves, " +
    "0 shows the whole run, Escape closes the story. The list below has the same requests.";
  view.canvas = el("canvas", { tabIndex: 0, role: "img", "aria-label": help });
  view.canvas.style.height = `${layout.height}px`;
  const title = runs.length > 1 ? el("h2", {}, `${run === runs[0] ? "first" : "second"}: ${run.path}, seed ${run.seed}`) : null;
  $("lanes").append(el("div", { className: "run" }, title, view.canvas));
  pointer(view);
  view.canvas.addEventListener("keydown", (event) => key(event, run));
};

const refresh = (view) => {
  const list = matching(view.run);
  if (view.key !== list) {
    view.key = list;
    view.marks = marksOf(view.run, view.layout);
    view.decisions = decisionsOf(view.run);
  }
  draw(view);
};

// What is at a point: the last thing drawn there that is close, else the nearest mark of the lane.
const hit = (view, px, py) => {
  const at = view.hits.filter(({ x, y, w, h }) => px >= x && px <= x + w && py >= y && py <= y + h);
  const small = at.findLast((it) => !it.lane);
  const lane = at.find((it) => it.lane);
  const mark = lane && nearest(view, lane, px, py);
  if (mark && (!small || Math.abs(view.x(mark.at) - px) < 5)) return { request: mark.request };
  return small ?? null;
};

const nearest = (view, { list, first, last, lane }, px, py) => {
  const time = state.from + ((px - view.plot.left) / view.plot.width) * (state.to - state.from);
  const dense = isDense(view, list, first, last);
  const upper = py < lane.top + (lane.role === "router" ? 15 : lane.height / 2);
  let best = null;
  const from = Math.max(first, firstFrom(list, time) - 40);
  for (let index = from; index < Math.min(last, from + 80); index++) {
    const away = Math.abs(view.x(list[index].at) - px) + (!dense && upper === (list[index].outcome === "ok") ? 3 : 0);
    if (away < 9 && (!best || away < best.away)) best = { ...list[index], away };
  }
  return best;
};

const pointer = (view) => {
  const { canvas } = view;
  const tip = el("div", { className: "tip", hidden: true });
  canvas.after(tip);
  let start = null;
  canvas.addEventListener("pointerdown", (event) => {
    start = { x: event.offsetX, from: state.from, to: state.to, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!start) return showTip(view, tip, event);
    const by = event.offsetX - start.x;
    start.moved ||= Math.abs(by) > 4;
    if (start.moved) {
      tip.hidden = true;
      const micros = (by / view.plot.width) * (start.to - start.from);
      change(clampRange(start.from - micros, start.to - micros));
    }
  });
  canvas.addEventListener("pointerup", (event) => {
    if (start && !start.moved) choose(hit(view, event.offsetX, event.offsetY));
    start = null;
  });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  canvas.addEventListener("wheel", (event) => {
    const sideways = event.shiftKey ? event.deltaY : event.deltaX;
    if (event.ctrlKey || event.metaKey || document.activeElement === canvas) {
      event.preventDefault();
      if (Math.abs(sideways) > Math.abs(event.deltaY) || event.shiftKey) return pan(sideways / 800);
      const share = (event.offsetX - view.plot.left) / view.plot.width;
      zoom(Math.exp(event.deltaY / 400), state.from + share * (state.to - state.from));
    }
  }, { passive: false });
};

const choose = (found) => {
  if (!found) return;
  if (found.request) openRequest(found.request.tag, false);
  else if (found.fault) showLine(found.fault.line);
  else if (found.moment) showTime(found.moment.at);
  else if (found.note) showTime(found.note.at);
};

const describe = ({ request, fault, moment, note }) => {
  if (request) return `${seconds(request.sent)}  ${request.tag}: ${request.reason ?? "not decided"}, ${request.answer ?? "open"}`;
  if (fault) return `${seconds(fault.at)}  ${fault.what} (line ${fault.line})`;
  if (moment) return `${seconds(moment.at)}  ${moment.name}`;
  return `${seconds(note.at)}  ${note.sentence}`;
};

const showTip = (view, tip, event) => {
  const found = hit(view, event.offsetX, event.offsetY);
  tip.hidden = !found;
  view.canvas.style.cursor = found ? "pointer" : "crosshair";
  if (!found) return;
  tip.textContent = describe(found);
  const right = event.offsetX > view.canvas.clientWidth / 2;
  tip.style.left = right ? "" : `${event.offsetX + 12}px`;
  tip.style.right = right ? `${view.canvas.clientWidth - event.offsetX + 12}px` : "";
  tip.style.top = `${view.canvas.offsetTop + event.offsetY + 14}px`;
};

const key = (event, run) => {
  const actions = {
    "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => change({ from: 0, to: end }),
    ArrowLeft: () => (event.shiftKey ? pan(-0.25) : step(run, -1)),
    ArrowRight: () => (event.shiftKey ? pan(0.25) : step(run, 1)),
    Escape: () => change({ request: null }),
  };
  if (!(event.key in actions) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  actions[event.key]();
};

// Opens the request before or after the open one, or the first one in sight.
const step = (run, by) => {
  const list = matching(run);
  const now = list.findIndex((request) => request.tag === state.request);
  const next = now < 0 ? list.findIndex((request) => request.sent >= state.from) : now + by;
  if (list[next]) openRequest(list[next].tag);
};

const makeLegend = () => {
  for (const [outcome, words] of Object.entries(OUTCOMES)) {
    const used = runs.some((run) => run.requests.some((request) => request.outcome === outcome));
    if (used) $("legend").append(chip("outcome", outcome, shape(outcome), words));
  }
  for (const [reason, { count, color }] of [...reasons].slice(0, REASON_COLORS + 5)) {
    const swatch = el("span", { className: "swatch" });
    watch(() => { swatch.style.background = reasonColor(color); });
    $("legend").append(chip("reason", reason, swatch, `${reason} ${count}`));
  }
};

const chip = (filter, value, picture, words) => {
  const toggle = () => change({ [filter]: state[filter] === value ? "" : value });
  const button = el("button", { type: "button", className: "chip", onclick: toggle, title: `only ${words}` }, picture, words);
  watch(() => button.setAttribute("aria-pressed", state[filter] === value));
  return button;
};

const makeTimeline = () => {
  makeTools();
  for (const view of views) makeCanvas(view);
  makeLegend();
  watch(() => views.forEach(refresh));
  new ResizeObserver(() => views.forEach(refresh)).observe($("lanes"));
  isDark.addEventListener("change", () => change({}));
};
