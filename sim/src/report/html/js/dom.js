// Elements. Text is only ever set as text, so nothing in a run can become markup.
const $ = (id) => document.getElementById(id);

const el = (name, options = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (value === null) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
};

const seconds = (micros, digits = 3) => `${(micros / 1e6).toFixed(digits)} s`;
const number = (value) => value.toLocaleString("en");
const timeOf = (micros) => el("time", {}, seconds(micros));
const millis = (micros) => `${(micros / 1000).toFixed(micros < 10000 ? 1 : 0)} ms`;
const link = (label, action, title = null) => el("button", { type: "button", className: "link", title, onclick: action }, label);

// The shape of each outcome, as a path around 0,0: colors alone don't tell them apart.
const SHAPES = {
  ok: "M-3,0a3,3 0 1,0 6,0a3,3 0 1,0 -6,0",
  router: "M0,-4.2L4.2,0L0,4.2L-4.2,0Z",
  cell: "M0,-4L4,3.2L-4,3.2Z",
  lost: "M-3.6,-2.4L-2.4,-3.6L0,-1.2L2.4,-3.6L3.6,-2.4L1.2,0L3.6,2.4L2.4,3.6L0,1.2L-2.4,3.6L-3.6,2.4L-1.2,0Z",
  open: "M-3,0a3,3 0 1,0 6,0a3,3 0 1,0 -6,0M-1.6,0a1.6,1.6 0 1,1 3.2,0a1.6,1.6 0 1,1 -3.2,0",
};

const shape = (outcome) => {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "-5 -5 10 10");
  svg.setAttribute("width", "11");
  svg.setAttribute("height", "11");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", SHAPES[outcome]);
  path.setAttribute("fill", `var(--${outcome})`);
  path.setAttribute("fill-rule", "evenodd");
  svg.append(path);
  return svg;
};

const copy = async (value, button) => {
  try {
    await navigator.clipboard.writeText(value);
    button.textContent = "copied";
  } catch {
    getSelection().selectAllChildren(button.previousElementSibling);
    button.textContent = "selected";
  }
  setTimeout(() => { button.textContent = "copy"; }, 1500);
};
