// The data of the page, from the rows of its JSON to objects.
const raw = JSON.parse(document.getElementById("data").textContent);
const text = (index) => (index === null ? null : raw.texts[index]);

const readStep = ([at, host, label, sentence, kind, reason]) => ({
  at, host: text(host), label: text(label), sentence: text(sentence), kind, reason: text(reason ?? null),
});

const readRequest = (row, index) => {
  const [tag, client, tenant, router, sent, answered, sentence, outcome, answer, said, reason, cell, issuer, steps] = row;
  return {
    index, tag, client: text(client), tenant: text(tenant), router: text(router), sent, answered,
    sentence: text(sentence), outcome, answer: text(answer), said: text(said), reason: text(reason),
    cell: text(cell), issuer: text(issuer), steps: steps.map(readStep),
  };
};

const readRun = (run) => {
  const requests = run.requests.map(readRequest);
  const changes = run.changes.map(([at, host, sentence, kind, value, of]) => ({
    at, host: text(host), sentence: text(sentence), kind, value, of: text(of),
  }));
  const faults = run.faults.map(([at, until, what, line, hosts], index) => ({ index, at, until, what, line, hosts }));
  const nameless = run.nameless.map(readStep);
  const byTag = new Map(requests.map((request) => [request.tag, request]));
  return { ...run, requests, changes, faults, nameless, byTag };
};

const runs = raw.runs.map(readRun);
const difference = raw.difference;
const different = new Set(difference ? difference.tags : []);
// A little longer than the longest run, so that its last moment can be seen.
const end = Math.max(1000, ...runs.map((run) => run.simulated)) * 1.02;

// When a request was decided, or else sent.
const decidedAt = (request) => {
  const step = request.steps.findLast((it) => it.kind === "allowed" || it.kind === "denied");
  return step ? step.at : request.sent;
};

// The last change before a time that `find` accepts.
const lastChange = (run, at, find) => run.changes.findLast((change) => change.at <= at && find(change));

const OUTCOMES = {
  ok: "answered well", router: "router's error", cell: "cell's error", lost: "no answer", open: "open at the end",
};
