// Any two columns against each other, with the Pareto front, intervals and baselines.

const axes = { x: "tpme", y: page.quality[0] };
const drawnColumns = [...page.columns.filter((column) => column.drawn), ...(page.tpme ? [ownTpme] : [])];
const columnOf = (key) => drawnColumns.find((column) => column.key === key);
const ROOM_FOR_NAMES = 80;

function axisOf(column, values) {
  const isBytes = column.key.endsWith("_bytes");
  return {
    values,
    unit: isBytes ? 2 ** 20 : 1,
    label: column.title + (isBytes ? " (MiB)" : ""),
    linear: column.group === ownTpme.group || column.better === "high",
  };
}

/** Points that no other one beats in both columns, from left to right. */
function frontOf(points, x, y) {
  const costs = (point) => [x.better === "low" ? point.x : -point.x, y.better === "low" ? point.y : -point.y];
  const beats = ([one, two], [three, four]) => one <= three && two <= four && (one < three || two < four);
  const front = points.filter((point) => !points.some((other) => beats(costs(other), costs(point))));
  return front.sort((one, other) => one.x - other.x || one.y - other.y);
}

/** The front as steps: between two points nothing better is known than the one that costs less. */
function frontPath(front, x, across, up) {
  const corners = front.flatMap((point, place) => {
    const before = front[place - 1];
    if (!before) return [point];
    return [x.better === "low" ? { x: point.x, y: before.y } : { x: before.x, y: point.y }, point];
  });
  return `M${corners.map((point) => `${across(point.x).toFixed(1)},${up(point.y).toFixed(1)}`).join("L")}`;
}

const meet = (one, other) =>
  one.left < other.right && one.right > other.left && one.top < other.bottom && one.bottom > other.top;

/** Write each name beside its point where it covers no other name or point; the list below names all. */
function writeNames(svg, points, across, up, end) {
  const around = (x, y) => ({ left: x - 6, right: x + 6, top: y - 6, bottom: y + 6 });
  const taken = points.map((point) => around(across(point.x), up(point.y)));
  for (const point of points) {
    const [x, y, name] = [across(point.x), up(point.y), rows[point.row].name];
    const width = name.length * 6.3;
    const places = [
      [x + 9, y + 4, "start", x + 8],
      [x - 9, y + 4, "end", x - 8 - width],
      [x, y - 10, "middle", x - width / 2],
      [x, y + 17, "middle", x - width / 2],
    ];
    for (const [left, low, anchor, start] of places) {
      const box = { left: start, right: start + width, top: low - 10, bottom: low + 2 };
      if (box.left < MARGIN.left || box.right > end || taken.some((other) => meet(box, other))) continue;
      taken.push(box);
      svg.append(write(left, low, anchor, name, { class: "name", "aria-hidden": "true" }));
      break;
    }
  }
}

function writeLevels(svg, levels, y, up, end) {
  let lowest = Infinity; // of the names so far, which must not cover each other
  for (const row of [...levels].sort((one, other) => numberIn(y, one) - numberIn(y, other))) {
    const height = up(numberIn(y, row));
    lowest = Math.min(height + 4, lowest - 12);
    svg.append(drawn("path", { class: "level", d: `M${MARGIN.left},${height}H${end}` }));
    svg.append(write(end + 4, lowest, "start", rows[row].name, { class: "soft" }));
  }
}

function dotOf(point, columns, across, up) {
  const told = columns.map((column) => {
    const note = noteIn(column, point.row);
    return `${column.title} ${textIn(column, point.row)}${note ? ` (${note})` : ""}`;
  });
  const said = `${rows[point.row].name}: ${told.join(", ")}`;
  const tell = () => (byId("plot-said").textContent = said);
  const events = { onfocus: tell, onmouseenter: tell, onclick: tell };
  const transform = `translate(${across(point.x)},${up(point.y)})`;
  const attributes = { class: `dot ${colour(point.row)}`, tabindex: 0, role: "img", "aria-label": said, transform };
  return drawn("g", { ...attributes, ...events }, drawn("title", {}, said), mark(point.row));
}

function paintPlot() {
  const [x, y] = [columnOf(axes.x), columnOf(axes.y)];
  const points = strategies
    .map((row) => ({ row, x: numberIn(x, row), y: numberIn(y, row) }))
    .filter((point) => isDrawn(point.row) && point.x !== null && point.y !== null);
  const levels = y.group === "quality" && points.length ? baselines.filter((row) => numberIn(y, row) !== null) : [];
  const reach = (column, key) => points.flatMap((point) => [point[key], ...intervalIn(column, point.row)]);
  chart(byId("plot-host"), {
    label: `${y.title} against ${x.title}`,
    height: 380,
    x: axisOf(x, reach(x, "x")),
    y: axisOf(y, [...reach(y, "y"), ...levels.map((row) => numberIn(y, row))]),
    right: levels.length ? ROOM_FOR_NAMES : MARGIN.right,
    paint(svg, across, up, end) {
      writeLevels(svg, levels, y, up, end);
      svg.append(drawn("path", { class: "front", d: frontPath(frontOf(points, x, y), x, across, up) }));
      for (const point of points) {
        const [left, right] = intervalIn(x, point.row).map(across);
        const [low, high] = intervalIn(y, point.row).map(up);
        const bars = [
          left !== undefined && `M${left},${up(point.y)}H${right}`,
          low !== undefined && `M${across(point.x)},${low}V${high}`,
        ];
        svg.append(...bars.filter(Boolean).map((d) => drawn("path", { class: "bar", d })));
      }
      writeNames(svg, points, across, up, end);
      svg.append(...points.map((point) => dotOf(point, [x, y], across, up)));
    },
  });
}

function startPlot() {
  if (!columnOf(axes.x)) axes.x = drawnColumns.find((column) => column.better === "low").key;
  const options = drawnColumns.map((column) => [column.key, column.title]);
  const choose = (axis) => (key) => {
    axes[axis] = key;
    paintPlot();
  };
  const said = "Grey steps: the Pareto front of the rows shown. Bars: 95 % interval. Dashed: baselines.";
  byId("plot-tools").append(
    choice("across", options, axes.x, choose("x")),
    choice("up", options, axes.y, choose("y")),
  );
  byId("plot-host").after(help(said, { id: "plot-said", role: "status" }), legend());
  show("plot-tools", "plot-host");
  paints(paintPlot);
}
