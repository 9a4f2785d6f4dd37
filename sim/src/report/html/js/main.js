// Everything, in the order of the page.
makeHead();
makeFailures(runs[0]);
makeDifference();
makeFilters();
makeTimeline();
makeSource();
watch(drawStory);
watch(drawList);
watch(drawLog);
readHash();
addEventListener("hashchange", () => { readHash(); change({}); });
// At the first failure, if the address names no view.
if (!location.hash && runs[0].stories.length) {
  const { tag, at } = runs[0].stories[0];
  if (tag && runs[0].byTag.has(tag)) state.request = tag;
  Object.assign(state, clampRange(at - 6e6, at + 1e6));
}
change({});
// For tests: how far the page came, and what it shows.
requestAnimationFrame(() => requestAnimationFrame(() => { document.documentElement.dataset.ready = "yes"; }));
