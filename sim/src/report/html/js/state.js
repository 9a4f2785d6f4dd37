// What is shown: filters, the range of time, and the request whose story is open. It is in the address, so
// that a view can be sent to somebody.
const FILTERS = ["tenant", "router", "reason", "client", "outcome", "find"];
const state = { from: 0, to: end, request: null, differs: false };
for (const name of FILTERS) state[name] = "";

const watchers = [];
const watch = (action) => watchers.push(action);
let pending = false;

// Changes the state, and draws once per frame.
const change = (changes) => {
  Object.assign(state, changes);
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => {
    pending = false;
    writeHash();
    for (const action of watchers) action();
  });
};

const matches = (request) =>
  (!state.tenant || request.tenant === state.tenant) &&
  (!state.router || request.router === state.router) &&
  (!state.reason || request.reason === state.reason || request.answer === state.reason) &&
  (!state.client || request.client === state.client) &&
  (!state.outcome || request.outcome === state.outcome) &&
  (!state.find || request.tag.includes(state.find)) &&
  (!state.differs || different.has(request.tag));

// The requests of a run that the filters accept. Kept until a filter changes.
let kept = { key: null, lists: [] };
const matching = (run) => {
  const key = JSON.stringify([...FILTERS, "differs"].map((name) => state[name]));
  if (kept.key !== key) kept = { key, lists: runs.map((it) => it.requests.filter(matches)) };
  return kept.lists[runs.indexOf(run)];
};

const clampRange = (from, to) => {
  const width = Math.min(end, Math.max(2000, to - from));
  const start = Math.min(Math.max(0, from), end - width);
  return { from: start, to: start + width };
};
const zoom = (factor, around = (state.from + state.to) / 2) =>
  change(clampRange(around - (around - state.from) * factor, around + (state.to - around) * factor));
const pan = (share) => {
  const by = (state.to - state.from) * share;
  change(clampRange(state.from + by, state.to + by));
};
// Shows a time, with what is around it.
const showTime = (at, width = 4e6) => change(clampRange(at - width / 2, at + width / 2));

const openRequest = (tag, moves = true) => {
  const request = runs.map((run) => run.byTag.get(tag)).find((it) => it);
  if (!request) return;
  const last = request.answered ?? request.steps.at(-1)?.at ?? request.sent;
  const seen = request.sent >= state.from && last <= state.to;
  const width = Math.max(2e6, (last - request.sent) * 3);
  const range = moves && !(seen && state.to - state.from < 20 * width) ?
    clampRange(request.sent - width / 3, request.sent + (2 * width) / 3) : {};
  change({ request: tag, ...range });
};

const writeHash = () => {
  const parts = new URLSearchParams();
  for (const name of [...FILTERS, "request"]) if (state[name]) parts.set(name, state[name]);
  if (state.differs) parts.set("differs", "1");
  if (state.from > 0 || state.to < end) {
    parts.set("from", (state.from / 1e6).toFixed(3));
    parts.set("to", (state.to / 1e6).toFixed(3));
  }
  const hash = parts.toString();
  if (location.hash.slice(1) !== hash) history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
};

const readHash = () => {
  const parts = new URLSearchParams(location.hash.slice(1));
  for (const name of FILTERS) state[name] = parts.get(name) ?? "";
  state.request = parts.get("request");
  state.differs = parts.has("differs");
  const from = parts.has("from") ? Number(parts.get("from")) * 1e6 : 0;
  const to = parts.has("to") ? Number(parts.get("to")) * 1e6 : end;
  const valid = Number.isFinite(from) && Number.isFinite(to) && from < to;
  Object.assign(state, valid ? clampRange(from, to) : { from: 0, to: end });
};
