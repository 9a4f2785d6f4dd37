// The filters, the list of requests, what changed, and the scenario.
const ROWS = 60;
let shown = ROWS;

const makeFilters = () => {
  const values = (field) => [...new Set(runs.flatMap((run) => run.requests.map((request) => request[field])))].filter((it) => it).sort();
  const answers = [...new Set([...values("reason"), ...values("answer")])].sort();
  const picker = (name, label, options) => {
    const select = el("select", { id: `filter-${name}`, name, onchange: (event) => change({ [name]: event.target.value }) },
      el("option", { value: "" }, "all"), options.map((value) => el("option", { value }, value)));
    watch(() => { select.value = state[name]; });
    return el("label", {}, label, select);
  };
  const find = el("input", { type: "search", name: "find", oninput: (event) => change({ find: event.target.value }) });
  watch(() => { if (find.value !== state.find) find.value = state.find; });
  const differs = el("input", { type: "checkbox", onchange: (event) => change({ differs: event.target.checked }) });
  watch(() => { differs.checked = state.differs; });
  const count = el("output", {});
  const clear = () => change({ ...Object.fromEntries(FILTERS.map((name) => [name, ""])), differs: false });
  const reset = el("button", { type: "button", onclick: clear }, "clear");
  watch(() => {
    const found = matching(runs[0]).length;
    const all = runs[0].requests.length;
    count.textContent = found === all ? `${number(all)} requests` : `${number(found)} of ${number(all)} requests`;
    reset.hidden = FILTERS.every((name) => !state[name]) && !state.differs;
  });
  $("filters").append(
    picker("tenant", "Tenant", values("tenant")), picker("router", "Router", values("router")),
    picker("reason", "Reason or answer", answers), picker("client", "Client", values("client")),
    el("label", {}, "Request", find));
  if (difference) $("filters").append(el("label", { className: "tick" }, differs, "only what differs"));
  $("filters").append(count, reset);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
};

const tableOf = (heads, rows, label) =>
  el("div", { className: "scroll" }, el("table", { "aria-label": label },
    el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col", className: head === "took" ? "num" : "" }, head)))),
    el("tbody", {}, rows)));

const inRange = (at) => at >= state.from && at <= state.to;

const more = (left, what) => left > 0 ?
  el("p", { className: "more" }, `${number(left)} more ${what} in this range. `, link("Show more", () => { shown += 4 * ROWS; change({}); })) : null;

const drawList = () => {
  const list = matching(runs[0]).filter((request) => inRange(request.sent));
  const rows = list.slice(0, shown).map((request) => {
    const took = request.answered === null ? "" : millis(request.answered - request.sent);
    return el("tr", { "aria-current": request.tag === state.request ? "true" : null },
      el("td", {}, timeOf(request.sent)),
      el("td", {}, shape(request.outcome), link(request.tag, () => openRequest(request.tag, false))),
      el("td", {}, request.tenant), el("td", {}, request.router),
      el("td", {}, request.reason ?? "not decided"), el("td", {}, request.cell ?? ""),
      el("td", {}, request.answer ?? "open"), el("td", { className: "num" }, took));
  });
  const heads = ["sent", "request", "tenant", "router", "decision", "reached", "answer", "took"];
  $("list").replaceChildren(el("h2", {}, `Requests in this range: ${number(list.length)}`),
    tableOf(heads, rows, "Requests"), more(list.length - shown, "requests") ?? "");
};

const drawLog = () => {
  const list = runs[0].changes.filter((it) => inRange(it.at) && (!state.router || it.host === state.router || it.kind === "published"));
  const faults = runs[0].faults.filter((fault) => inRange(fault.at))
    .map((fault) => ({ at: fault.at, host: "fault", sentence: fault.what, line: fault.line }));
  const all = [...faults, ...list].sort((a, b) => a.at - b.at);
  const rows = all.slice(0, shown).map(({ at, host, sentence, line }) => el("tr", {},
    el("td", {}, link(seconds(at), () => showTime(at))), el("td", {}, host),
    el("td", { className: "wide" }, sentence, line ? [" (", fileLine(line), ")"] : null)));
  $("log").replaceChildren(el("h2", {}, `Faults and changes in this range: ${number(all.length)}`),
    tableOf(["when", "host", "what"], rows, "Faults and changes"), more(all.length - shown, "changes") ?? "");
};

const makeSource = () => {
  const lines = runs[0].text.split("\n").map((line) => el("span", {}, line));
  $("source").append(el("details", {}, el("summary", {}, `Scenario ${runs[0].path}`), el("pre", { className: "text", tabIndex: 0 }, lines)));
};
