// The head of the page, what failed and why, and the story of the open request.
const makeHead = () => {
  const run = runs[0];
  const failed = run.stories.length > 0;
  const verdict = failed ? `failed at ${seconds(run.stories[0].at)}: ${run.stories[0].name}` : "passed";
  const copied = el("button", { type: "button", onclick: () => copy(run.replay, copied) }, "copy");
  $("head").append(
    el("div", { className: "line" },
      el("h1", {}, run.scenario),
      el("span", { className: "soft" }, `seed ${run.seed}`),
      el("span", { className: failed ? "verdict failed" : "verdict" }, verdict),
      el("span", { className: "soft num" },
        `${number(run.requests.length)} requests in ${seconds(run.simulated, 1)}, ${number(run.facts)} facts checked`)),
    run.about ? el("p", { className: "about" }, run.about) : null,
    el("div", { className: "command" }, el("code", {}, run.replay), copied),
  );
};

const showLine = (line) => {
  const details = $("source").querySelector("details");
  details.open = true;
  for (const span of details.querySelectorAll(".here")) span.className = "";
  const span = details.querySelectorAll("pre span")[line - 1];
  if (!span) return;
  span.className = "here";
  span.scrollIntoView({ block: "center" });
};

const fileLine = (line) => link(`line ${line}`, () => showLine(line), `${runs[0].path}:${line}`);

// Which of two runs it is.
const nameOf = (run) => (runs.length < 2 ? "" : run === runs[0] ? "first run: " : "second run: ");

const makeFailures = (run) => {
  if (!run.stories.length) return;
  $("failure").hidden = false;
  const told = new Set();
  for (const story of run.stories) {
    // What stories about one request share stands in the first.
    const isTold = story.tag !== null && told.has(story.tag);
    told.add(story.tag);
    const own = story.rows.filter(([label]) => !isTold || ["should", "rule", "expected"].includes(label));
    const rows = own.map(([label, words, at, host, line], index) => {
      const about = label === "request" && story.tag;
      const what = about ? link(words, () => openRequest(story.tag), "Open the story of this request") : words;
      return el("div", { className: label },
        el("dt", {}, own[index - 1]?.[0] === label ? "" : label),
        el("dd", { className: "at" }, at === null ? "" : link(seconds(at), () => showTime(at), `Show ${host ?? "the world"} at this time`)),
        el("dd", { className: "what" }, what, line === null ? null : [" (", fileLine(line), ")"]));
    });
    $("failure").append(el("article", { className: "failure" },
      el("h2", {}, `${nameOf(run)}${story.name} at ${seconds(story.at)}`),
      el("p", {}, story.found),
      el("dl", { className: "rows" }, rows)));
  }
};

const makeDifference = () => {
  if (runs.length < 2) return;
  $("difference").hidden = false;
  if (!difference) {
    $("difference").append(el("p", {}, "No request and no change differs between the two runs."));
    return;
  }
  const { at, tag, here, there, tags } = difference;
  const where = tag ? link(`${tag} at ${seconds(at)}`, () => openRequest(tag)) : link(seconds(at), () => showTime(at));
  $("difference").append(
    el("h2", {}, "First difference: ", where),
    el("dl", {},
      el("dt", {}, `${runs[0].path}, seed ${runs[0].seed}`), el("dd", {}, here),
      el("dt", {}, `${runs[1].path}, seed ${runs[1].seed}`), el("dd", {}, there)),
    el("p", { className: "soft" }, `${number(tags.length)} of ${number(runs[0].requests.length)} requests went otherwise.`));
};

// What the router of a decision knew then.
const knewAt = (run, request, step) => {
  const own = (kind) => lastChange(run, step.at, (it) => it.kind === kind && it.host === step.host);
  const version = own("applied");
  const parts = [version ? `registry version ${version.value} since ${seconds(version.at)}` : "no registry"];
  if (request.issuer) {
    const keys = lastChange(run, step.at, (it) => it.kind === "keys" && it.host === step.host && it.of === request.issuer);
    parts.push(keys ? `the keys of ${request.issuer} (${keys.value}) since ${seconds(keys.at)}` : `no keys of ${request.issuer}`);
  }
  const newest = lastChange(run, step.at, (it) => it.kind === "published");
  if (newest && newest.value !== version?.value) parts.push(`not version ${newest.value}, published at ${seconds(newest.at)}`);
  return `${step.host} had ${parts.join(", ")}`;
};

const stepItem = (request, { at, sentence, kind }) =>
  el("li", { className: kind === "allowed" ? "decided" : kind },
    link(seconds(at), () => showTime(at, 2e5), "Show this time"), " ", sentence,
    at > request.sent ? el("span", { className: "after num" }, ` +${millis(at - request.sent)}`) : null);

const storyOf = (run, request) => {
  const items = [stepItem(request, { at: request.sent, sentence: request.sentence, kind: "sent" })];
  for (const step of request.steps) {
    items.push(stepItem(request, step));
    if (step.kind === "allowed" || step.kind === "denied") {
      items.push(el("li", { className: "knew" }, knewAt(run, request, step)));
    }
  }
  items.push(request.answered === null ?
    el("li", {}, "The run ended before the answer.") :
    stepItem(request, { at: request.answered, sentence: `${request.client} gets ${request.said}`, kind: "" }));
  const last = request.answered ?? run.simulated;
  const faults = run.faults.filter((fault) => fault.at <= last && fault.until >= request.sent);
  return [
    el("ol", { className: "steps" }, items),
    faults.length ? el("p", { className: "soft" }, "Faults meanwhile: ",
      faults.flatMap((fault, index) => [index ? "; " : "", fault.what, " (", fileLine(fault.line), ")"])) : null,
  ];
};

// How often each client got each answer, of the requests that the filters accept.
const answersTable = () => {
  const counts = new Map();
  for (const { client, answer } of matching(runs[0])) {
    const key = JSON.stringify([client, answer ?? "open"]);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const rows = [...counts].sort().slice(0, 40).map(([key, count]) => {
    const [client, answer] = JSON.parse(key);
    const only = () => change({ client, reason: answer === "open" ? "" : answer });
    return el("tr", {}, el("td", {}, link(client, () => change({ client }))), el("td", {}, link(answer, only)),
      el("td", { className: "num" }, number(count)));
  });
  return el("table", { className: "answers", "aria-label": "Answers by client" }, el("tbody", {}, rows));
};

const drawStory = () => {
  const panel = $("story");
  const tag = state.request;
  const any = runs.map((run) => run.byTag.get(tag)).find((it) => it);
  if (!any) {
    panel.replaceChildren(
      el("p", { className: "soft" }, tag ? `No run has the request ${tag}.` :
        "Click a mark or a request in the list for its story: what was sent, what was decided on which registry and " +
        "keys, which cell received it, what came back. On the timeline, the arrow keys go from request to request."),
      answersTable());
    return;
  }
  const parts = runs.map((run) => {
    const request = run.byTag.get(tag);
    const name = runs.length > 1 ? el("h3", {}, `${run === runs[0] ? "first" : "second"} run, seed ${run.seed}`) : null;
    return el("div", {}, name, request ? storyOf(run, request) : el("p", { className: "soft" }, "This run has no such request."));
  });
  const nav = el("div", { className: "nav" },
    el("button", { type: "button", onclick: () => step(runs[0], -1) }, "‹ before"),
    el("button", { type: "button", onclick: () => step(runs[0], 1) }, "after ›"),
    el("button", { type: "button", onclick: () => openRequest(tag) }, "show in timeline"),
    el("button", { type: "button", onclick: () => change({ request: null }) }, "close"));
  panel.replaceChildren(
    el("h2", {}, shape(any.outcome), el("code", {}, tag), el("span", { className: "soft" }, OUTCOMES[any.outcome])),
    el("div", { className: "pair" }, parts), nav);
};
