// Clicks through a report's page as a reader does, and returns what is then seen. The body of a function.

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const one = (selector, within = document) => all(selector, within)[0];
const seen = (elements) => elements.filter((each) => !each.hidden);
const texts = (elements) => elements.map((each) => each.textContent.replace("▸", "").replace("▾", "").trim());
const names = (selector) => texts(seen(all(selector)).map((row) => row.cells[0]));
const change = (control, value, ...events) => {
  if (control.type === "checkbox") return control.click();
  control.value = value;
  for (const event of events) control.dispatchEvent(new Event(event, { bubbles: true }));
};
const labelled = (host, text) => all("label", one(host)).find((label) => label.textContent.startsWith(text)).querySelector("input, select");
const head = (title) => all("#main thead th").find((each) => each.textContent === title);
const strategies = "#main tbody:first-of-type tr:not(.run)";
const dots = () => all("#plot-host .dot").map((dot) => dot.getAttribute("aria-label").split(":")[0]);
const said = {};

said.look = {
  background: getComputedStyle(document.body).backgroundColor,
  width: innerWidth,
  wide: document.documentElement.scrollWidth,
  charts: all("svg.chart").map((chart) => chart.getBoundingClientRect().width),
  images: document.images.length,
};
said.first = { rows: names(strategies), baselines: names("#main tbody:last-of-type tr"), heads: texts(seen(all("#main thead th"))), found: one("#found").textContent };
said.cells = Object.fromEntries(seen(all(strategies)).map((row) => [texts([row.cells[0]])[0], texts(seen([...row.cells]))]));

said.sorted = ["seconds an epoch", "seconds an epoch", "hr@10", "strategy", "strategy"].map((title) => {
  one("button", head(title)).click();
  return { rows: names(strategies), sorts: all("#main thead [aria-sort]").map((each) => [each.textContent, each.getAttribute("aria-sort")]), baselines: names("#main tbody:last-of-type tr") };
});

change(one("#filter"), "A D", "input");
said.filtered = { rows: names(strategies), baselines: names("#main tbody:last-of-type tr"), found: one("#found").textContent, dots: dots() };
change(one("#filter"), "nothing is called so", "input");
said.nothing = { rows: names(strategies), found: one("#found").textContent, plot: one("#plot-host").textContent };
change(one("#filter"), "", "input");

const wanted = labelled("#table-tools", "validation hr@10");
wanted.click();
labelled("#table-tools", "peak memory").click();
said.columns = texts(seen(all("#main thead th")));
wanted.click();
labelled("#table-tools", "peak memory").click();

const toggle = all("#main [aria-expanded]").find((each) => each.getAttribute("aria-label") === "runs of lora");
toggle.click();
said.opened = { rows: names("#main tbody:first-of-type tr"), expanded: toggle.getAttribute("aria-expanded") };
one("#main tr.run:not([hidden]) button").click();
said.drawer = {
  isOpen: one("#drawer").open,
  title: one("#drawer-title").textContent,
  command: one("#command").textContent,
  facts: texts(all("#drawer dd")),
  settings: texts(all("#configuration tbody tr")),
};
one("#copy").click();
said.drawer.marked = getSelection().toString();
one("#drawer header button").click();
said.drawer.isClosed = !one("#drawer").open;
toggle.click();
said.closed = names("#main tbody:first-of-type tr");
one("#run-list tbody tr:last-child button").click();
said.lastRun = { title: one("#drawer-title").textContent, facts: texts(all("#drawer dd")) };
one("#drawer").close();

const weights = () => texts(all("#tpme-host output")).map(Number);
const ranking = () => ({ weights: weights(), rows: all("#ranking tbody tr").map((row) => [texts([row.cells[0]])[0], Number(row.dataset.value), Number(row.cells[1].textContent)]) });
said.tpme = [ranking()];
for (const [name, value] of [["time", 80], ["memory", 100], ["parameters", 30], ["time", 0], ["memory", 33]]) {
  change(one(`#weight-${name}`), value, "input", "change");
  said.tpme.push(ranking());
}
change(one("#weight-time"), 100, "input"); // one hand, there and back
change(one("#weight-time"), 20, "input", "change");
said.there = weights();
one("#reset-weights").click();
said.reset = ranking();
one("#with-store input").click();
said.withStore = ranking();

change(labelled("#plot-tools", "across"), "seconds_per_epoch", "change");
said.plot = { dots: dots(), text: one("#plot-host").textContent, levels: all("#plot-host .level").length, bars: all("#plot-host .bar").length, front: one("#plot-host .front").getAttribute("d").split("L").length };
change(labelled("#plot-tools", "across"), "own_tpme", "change");
one(".dot").dispatchEvent(new Event("focus"));
said.plot.said = one("#plot-said").textContent;
const pressed = all("#plot ~ .legend button, section[aria-labelledby=plot] .legend button")[0];
pressed.click();
said.switchedOff = { dots: dots(), pressed: all(".legend button").filter((each) => each.textContent === pressed.textContent).map((each) => each.getAttribute("aria-pressed")) };
pressed.click();

said.curves = { means: all("#curves-host .line").length };
change(labelled("#curves-tools", "lines"), "every run", "change");
said.curves.runs = all("#curves-host .line").length;
change(labelled("#curves-tools", "figure"), "training loss", "change");
said.curves.text = one("#curves-host").textContent;
said.segments = all("#segments-host svg").map((chart) => chart.getAttribute("aria-label"));
said.budget = { lines: all("#budget-host .line").length, text: one("#budget-host").textContent };
change(labelled("#budget-tools", "across"), "seconds of training", "change");
said.budget.after = one("#budget-host").textContent;

const rowOf = (name) => [...labelled("#diff-tools", "and").options].find((option) => option.textContent === name).value;
change(labelled("#diff-tools", "between"), rowOf("iisan"), "change");
change(labelled("#diff-tools", "and"), rowOf("lora"), "change");
said.diff = all("#diff tr").map((row) => texts([...row.cells]));

all("details").forEach((each) => (each.open = true));
said.look.wideUnfolded = document.documentElement.scrollWidth;
return said;
