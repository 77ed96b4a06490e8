// The page's data, and elements made of it. Text is always text: nothing from the data is read as markup.

const page = JSON.parse(document.getElementById("page-data").textContent);
const byId = (id) => document.getElementById(id);

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

const element = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);

const drawn = (name, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

const button = (text, onclick, attributes = {}) => element("button", { type: "button", onclick, ...attributes }, text);

const help = (text, attributes = {}) => element("p", { class: "help", ...attributes }, text);

/** A choice among [value, text] pairs. */
function choice(label, options, chosen, onchange) {
  const made = options.map(([value, text]) => element("option", { value, selected: value === chosen }, text));
  const select = element("select", { onchange: () => onchange(select.value) }, ...made);
  return element("label", {}, label, select);
}

const sameWords = (names) => names.map((name) => [name, name]);

function checkbox(label, checked, onchange, attributes = {}) {
  const input = element("input", { type: "checkbox", checked, onchange: () => onchange(input.checked) });
  return element("label", attributes, input, label);
}

/** A table that scrolls by itself where it is too wide; its first column heads the rows. */
function tableOf(id, heads, lines, attributes = {}) {
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
  const parts = [element("thead", {}, head), element("tbody", {}, ...lines)];
  return element("div", { class: "scroll" }, element("table", { id, ...attributes }, ...parts));
}

function lineOf([name, ...cells], attributes = {}) {
  const made = cells.map((cell) => element("td", {}, cell));
  return element("tr", attributes, element("th", { scope: "row" }, name), ...made);
}

function show(...ids) {
  for (const id of ids) byId(id).hidden = false;
}
