// The main table: sorted by any column, filtered, with the columns that the reader chooses and the runs behind a row.

const table = byId("main");
const sorting = { column: undefined, isDescending: false }; // null: by names; undefined: as the report has them
const shownColumns = new Set(page.columns.filter((column) => column.shown));
const withRuns = [...new Set(runLines.map((line) => line.row))];
const opened = new Set();
const tableRows = [];
const put = (set, value, isIn) => (isIn ? set.add(value) : set.delete(value));

function cellOf(column, place) {
  const isBest = column.values[place]?.[4] ?? false;
  const cell = element("td", { class: isBest ? "best" : null }, textIn(column, place));
  if (noteIn(column, place)) cell.append(element("small", {}, noteIn(column, place)));
  return cell;
}

function headOf(line, place) {
  if (line.run !== undefined) {
    const open = button(line.name, () => openDrawer(line.run), { "aria-label": `${line.name}, details` });
    return element("th", { scope: "row" }, open);
  }
  if (!withRuns.includes(place)) return element("th", { scope: "row" }, line.name);
  const toggle = () => {
    put(opened, place, !opened.has(place));
    arrange();
  };
  const told = { "aria-expanded": "false", "aria-label": `runs of ${line.name}` };
  return element("th", { scope: "row" }, button("▸", toggle, told), `\u00a0${line.name}`);
}

/** Sort by a column, or by names: the better end first, and the other one where it is asked for again. */
function sortBy(column) {
  sorting.isDescending = sorting.column === column ? !sorting.isDescending : column?.better === "high";
  sorting.column = column;
  [...table.tHead.rows[0].cells].forEach((head, place) => {
    if ((page.columns[place - 1] ?? null) !== column) head.removeAttribute("aria-sort");
    else head.setAttribute("aria-sort", sorting.isDescending ? "descending" : "ascending");
  });
  arrange();
}

function compareRows(one, other) {
  const { column, isDescending } = sorting;
  const sign = isDescending ? -1 : 1;
  const missing = (rows[one].kind === "missing") - (rows[other].kind === "missing");
  if (missing || column === undefined) return missing || one - other;
  if (column === null) return sign * rows[one].name.localeCompare(rows[other].name, "en");
  const [left, right] = [numberIn(column, one), numberIn(column, other)];
  if (left === null || right === null) return (left === null) - (right === null) || one - other;
  return sign * (left - right) || one - other;
}

/** Put the rows in order, each with its runs behind it, and hide what is not asked for. */
function arrange() {
  const [body, floor] = table.tBodies;
  for (const row of [...rows.keys()].sort(compareRows)) {
    const head = tableRows[row];
    head.hidden = found !== null && !found.has(row) && !baselines.includes(row);
    (baselines.includes(row) ? floor : body).append(head);
    const toggle = head.querySelector("[aria-expanded]");
    if (toggle) {
      toggle.setAttribute("aria-expanded", opened.has(row));
      toggle.textContent = opened.has(row) ? "▾" : "▸";
    }
    runLines.forEach((line, place) => {
      if (line.row !== row) return;
      const run = tableRows[rows.length + place];
      run.hidden = head.hidden || !opened.has(row);
      body.append(run);
    });
  }
}

function showColumns() {
  for (const line of [table.tHead.rows[0], ...tableRows])
    page.columns.forEach((column, place) => (line.cells[place + 1].hidden = !shownColumns.has(column)));
}

function filterRows(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const listed = [...rows.keys()].filter((row) => !baselines.includes(row));
  const matching = listed.filter((row) => words.every((word) => rows[row].name.toLowerCase().includes(word)));
  found = words.length ? new Set(matching) : null;
  byId("found").textContent = `${matching.length} of ${listed.length} rows`;
  arrange();
  repaint();
}

function columnChoice() {
  const choose = (column) => (isShown) => {
    put(shownColumns, column, isShown);
    showColumns();
  };
  const box = (column) => checkbox(column.title, column.shown, choose(column), { title: column.key });
  const fields = [...new Set(page.columns.map((column) => column.group))].map((group) => {
    const boxes = page.columns.filter((column) => column.group === group).map(box);
    return element("fieldset", {}, element("legend", {}, group), ...boxes);
  });
  return element("details", {}, element("summary", {}, "Columns"), element("div", { class: "columns" }, ...fields));
}

function startTable() {
  const heads = [null, ...page.columns].map((column) => {
    const sort = button(column?.title ?? "strategy", () => sortBy(column));
    return element("th", { scope: "col", title: column?.key ?? null }, sort);
  });
  page.lines.forEach((line, place) => {
    const kind = `${line.kind} ${line.run === undefined ? "" : "run"}`.trim();
    const cells = page.columns.map((column) => cellOf(column, place));
    tableRows.push(element("tr", { class: kind || null }, headOf(line, place), ...cells));
  });
  table.tHead.replaceChildren(element("tr", {}, ...heads));
  table.tBodies[0].replaceChildren();
  table.append(element("tbody"));
  const filter = element("input", { type: "search", id: "filter", placeholder: "rows and charts" });
  filter.addEventListener("input", () => filterRows(filter.value));
  const openAll = (isOpen) => {
    withRuns.forEach((row) => put(opened, row, isOpen));
    arrange();
  };
  byId("table-tools").append(
    element("label", {}, "Filter", filter),
    element("output", { id: "found", role: "status" }),
    checkbox("every run", false, openAll),
    checkbox("intervals", true, (isShown) => table.classList.toggle("plain", !isShown)),
    columnChoice(),
  );
  filterRows("");
  showColumns();
}
