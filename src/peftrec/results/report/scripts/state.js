// What all parts share: the rows, which of them are drawn, and who draws them.

const rows = page.lines.filter((line) => line.run === undefined);
const runLines = page.lines.slice(rows.length);
const strategies = [...rows.keys()].filter((row) => rows[row].kind === "");
const baselines = [...rows.keys()].filter((row) => rows[row].kind === "baseline");

const textIn = (column, place) => column.values[place]?.[0] ?? "";
const numberIn = (column, place) => column.values[place]?.[1] ?? null;
const intervalIn = (column, place) => column.values[place]?.[2] ?? [];
const noteIn = (column, place) => column.values[place]?.[3] ?? "";

/** TPME with the weights that the reader chose: a column for the plot alone. */
const ownTpme = {
  key: "own_tpme",
  title: "TPME with the weights below",
  group: "all costs in one figure",
  better: "low",
  drawn: true,
  values: [],
};

const switchedOff = new Set();
let found = null; // rows that the filter finds; null where there is no filter
const isDrawn = (row) => !switchedOff.has(row) && (found === null || found.has(row));

const painters = [];
const repaint = () => painters.forEach((paint) => paint());

/** Paint now, and whenever rows, sizes or weights change. */
function paints(paint) {
  painters.push(paint);
  paint();
}

const colour = (row) => `c${row % page.numColours}`;
const mark = (row, attributes = {}) =>
  drawn("path", { class: "mark", d: page.shapes[row % page.shapes.length], ...attributes });

/** A list of strategies that switches them on and off, in all charts at once. */
function legend(listed = strategies) {
  const size = { width: 14, height: 14, viewBox: "-7 -7 14 14" };
  const press = (row) => () => {
    if (!switchedOff.delete(row)) switchedOff.add(row);
    repaint();
  };
  const buttons = listed.map((row) => {
    const made = button("", press(row));
    made.append(drawn("svg", { class: colour(row), "aria-hidden": "true", ...size }, mark(row)), rows[row].name);
    return made;
  });
  paints(() => buttons.forEach((made, place) => made.setAttribute("aria-pressed", isDrawn(listed[place]))));
  const items = buttons.map((made) => element("li", {}, made));
  return element("ul", { class: "legend", "aria-label": "Strategies in the charts" }, ...items);
}
