// What stands in which lane of a run, apart from how it is drawn.
const FAULT_ROW = 19;
const HEIGHTS = { control_plane: 26, provider: 24, proxy: 22, router: 62, endpoint: 22, client: 24 };
// With more endpoints than this, those of a cell share a lane.
const ENDPOINTS_MAX = 14;

// The hosts that share a lane: clients of one entry, and endpoints of a cell if there are many.
const laneKey = (host, shares) =>
  host.role === "client" || (host.role === "endpoint" && shares) ? `${host.role} ${host.of}` : `${host.role} ${host.name}`;

const layFaults = (run) => {
  const rows = [];
  const placed = run.faults.map((fault) => {
    // A label needs room: as if each fault lasted for a part of the run.
    const until = Math.max(fault.until, fault.at + end / 6);
    let row = rows.findIndex((free) => free <= fault.at);
    if (row < 0) row = rows.push(0) - 1;
    rows[row] = until;
    return { ...fault, row };
  });
  return { kind: "faults", label: "faults", placed, height: Math.max(1, rows.length) * FAULT_ROW + 8 };
};

const layOut = (run) => {
  const shares = run.hosts.filter((host) => host.role === "endpoint").length > ENDPOINTS_MAX;
  const byKey = new Map();
  for (const host of run.hosts) {
    const key = laneKey(host, shares);
    const lane = byKey.get(key) ?? { kind: "host", role: host.role, hosts: [], height: HEIGHTS[host.role] };
    lane.hosts.push(host.name);
    lane.label = lane.hosts.length > 1 ? `${host.of} ×${lane.hosts.length}` : host.name;
    byKey.set(key, lane);
  }
  const lanes = [layFaults(run), { kind: "decisions", label: "decisions", height: 54 }, ...byKey.values()];
  let top = 22;
  const byHost = new Map();
  for (const lane of lanes) {
    lane.top = top;
    top += lane.height;
    for (const host of lane.hosts ?? []) byHost.set(host, lane);
    lane.changes = run.changes.filter((change) => lane.hosts?.includes(change.host));
  }
  return { lanes, byHost, height: top + 4 };
};

// The marks of each lane, for the requests that the filters accept, by time.
const marksOf = (run, layout) => {
  const marks = new Map(layout.lanes.map((lane) => [lane, []]));
  const add = (host, at, request) => marks.get(layout.byHost.get(host))?.push({ at, request, outcome: request.outcome });
  for (const request of matching(run)) {
    add(request.client, request.sent, request);
    add(request.router, decidedAt(request), request);
    for (const step of request.steps) if (step.kind === "arrived") add(step.host, step.at, request);
  }
  for (const list of marks.values()) list.sort((a, b) => a.at - b.at);
  return marks;
};

// Decisions by reason: of the requests that the filters accept, and those that only a router could name.
const decisionsOf = (run) => {
  const list = [];
  for (const request of matching(run)) {
    for (const step of request.steps) if (step.reason) list.push({ at: step.at, reason: step.reason });
  }
  const all = FILTERS.every((name) => !state[name]) && !state.differs;
  if (all) for (const step of run.nameless) if (step.reason) list.push({ at: step.at, reason: step.reason });
  return list.sort((a, b) => a.at - b.at);
};

// The reasons of all runs, the most frequent first, each with its color. Those beyond the colors share one.
const REASON_COLORS = 7;
const reasons = (() => {
  const counts = new Map();
  for (const run of runs) {
    const steps = [...run.requests.flatMap((request) => request.steps), ...run.nameless];
    for (const { reason } of steps) if (reason) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  const sorted = [...counts].sort((a, b) => b[1] - a[1]);
  return new Map(sorted.map(([reason, count], index) => [reason, { count, color: Math.min(index, REASON_COLORS) }]));
})();

// The periods of a value in a lane: a registry version, or a key set.
const periods = (changes, kind, runEnd) => {
  const list = changes.filter((change) => change.kind === kind);
  return list.map((change, index) => ({ ...change, until: list[index + 1]?.at ?? runEnd }));
};

// The first index whose time is at least `at`, in a list by time.
const firstFrom = (list, at) => {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].at < at) low = middle + 1;
    else high = middle;
  }
  return low;
};
