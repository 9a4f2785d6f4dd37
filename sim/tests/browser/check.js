// Uses the page of a failed run as a person does, and tells the page around its frame what is wrong.
HTMLElement.prototype.setPointerCapture = () => {};
const wrong = [];
addEventListener("error", (event) => wrong.push(`an error: ${event.message}`));
const check = (what, holds) => { if (!holds) wrong.push(what); };
const frames = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
const opened = () => new URLSearchParams(location.hash.slice(1)).get("request");
const range = () => document.querySelector("#tools .range").textContent;
const heading = () => document.querySelector("#story h2 code")?.textContent ?? null;

const press = async (target, key, more = {}) => {
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
  await frames();
};
const click = async (element) => { element.click(); await frames(); };
const pointer = (canvas, type, x, y) => {
  const box = canvas.getBoundingClientRect();
  canvas.dispatchEvent(new PointerEvent(type, { clientX: box.left + x, clientY: box.top + y, bubbles: true }));
};

const keyboard = async (canvas) => {
  canvas.focus();
  check("the timeline can have the focus", document.activeElement === canvas);
  const first = opened();
  check("the failure's request is open at first", first !== null && heading() === first);
  await press(canvas, "ArrowLeft");
  const before = opened();
  check("left opens another request", before !== first && heading() === before);
  await press(canvas, "ArrowRight");
  check("right goes back", opened() === first);
  const now = range();
  await press(canvas, "+");
  check("plus zooms", range() !== now);
  await press(canvas, "0");
  check("0 shows the whole run", range().startsWith("0.000 s"));
  await press(canvas, "+");
  const middle = range();
  await press(canvas, "ArrowLeft", { shiftKey: true });
  check("shift and left moves", range() !== middle);
  await press(canvas, "Escape");
  check("Escape closes the story", opened() === null && heading() === null);
  await press(canvas, "0");
};

const pointing = async (canvas) => {
  const tip = document.querySelector(".tip");
  let found = null;
  for (let y = 30; y < canvas.clientHeight && !found; y += 6) {
    for (let x = 90; x < canvas.clientWidth && !found; x += 4) {
      pointer(canvas, "pointermove", x, y);
      if (!tip.hidden && /web-\d+-\d+/.test(tip.textContent)) found = { x, y };
    }
  }
  check("a mark says what it is", found !== null);
  if (!found) return;
  const [tag] = /web-\d+-\d+/.exec(tip.textContent);
  pointer(canvas, "pointerdown", found.x, found.y);
  pointer(canvas, "pointerup", found.x, found.y);
  await frames();
  check(`a click on a mark opens ${tag}, not ${opened()}`, opened() === tag && heading() === tag);
};

const filters = async () => {
  const reason = document.querySelector("select[name=reason]");
  const all = document.querySelectorAll("#list tbody tr").length;
  reason.value = "cell_reset";
  reason.dispatchEvent(new Event("change"));
  await frames();
  const answers = [...document.querySelectorAll("#list tbody tr")];
  check("a filter leaves some requests", answers.length > 0 && answers.length < all);
  check("and only those", answers.every((row) => row.textContent.includes("cell_reset")));
  check("the address has it", location.hash.includes("reason=cell_reset"));
  await click([...document.querySelectorAll("#filters button")].find((it) => it.textContent === "clear"));
  check("clear shows all", document.querySelectorAll("#list tbody tr").length === all);
};

const causes = async () => {
  const at = range();
  await click(document.querySelector(".failure .fault .at .link"));
  check("a cause can be jumped to", range() !== at);
  await click(document.querySelector(".failure .request .what .link"));
  check("the failure's request can be opened", heading() !== null);
  await click([...document.querySelectorAll(".failure .link")].find((it) => /^line \d+$/.test(it.textContent)));
  const line = document.querySelector("#source .here");
  check("a line of the scenario is shown", line !== null && line.textContent.length > 0);
};

const whole = () => {
  check(`the page has ${window.name} pixels`, innerWidth === Number(window.name));
  check("nothing is wider than the window", document.documentElement.scrollWidth <= innerWidth);
  check("every picture has words", [...document.querySelectorAll("canvas")].every((it) => it.getAttribute("aria-label")));
  const nameless = [...document.querySelectorAll("button, select, input")].filter((it) =>
    !it.textContent && !it.getAttribute("aria-label") && !it.labels?.length);
  check(`every control has a name: ${nameless.map((it) => it.outerHTML)}`, nameless.length === 0);
  check("two runs are drawn", document.querySelectorAll("canvas").length === 2);
  check("the first difference is named", /First difference: .+ at /.test(document.querySelector("#difference").textContent));
};

(async () => {
  await frames();
  await frames();
  const canvas = document.querySelector("canvas");
  for (const part of [keyboard, pointing, filters, causes, whole]) {
    try {
      await part(canvas);
    } catch (error) {
      wrong.push(`${part.name}: ${error.message}`);
    }
  }
  parent.postMessage(wrong.join("; ") || "all as it should be", "*");
})();
