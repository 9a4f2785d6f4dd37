// Everything, in the order of the page.
makeHead();
runs.forEach(makeFailures);
makeDifference();
makeFilters();
makeTimeline();
makeSource();
watch(drawStory);
watch(drawList);
watch(drawLog);
readHash();
addEventListener("hashchange", () => { readHash(); change({}); });
// At the first failure or difference, if the address names no view.
const news = runs[0].stories[0] ?? difference ?? runs.at(-1).stories[0];
if (!location.hash && news) {
  if (runs.some((run) => run.byTag.has(news.tag))) state.request = news.tag;
  Object.assign(state, clampRange(news.at - 2e6, news.at + (runs.length > 1 ? 1e6 : 2e5)));
}
change({});
// For tests: how far the page came, and what it shows.
requestAnimationFrame(() => requestAnimationFrame(() => { document.documentElement.dataset.ready = "yes"; }));
