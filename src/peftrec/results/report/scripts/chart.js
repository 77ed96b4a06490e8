// Axes and a place to paint on: what every picture of the page has.

const MARGIN = { left: 54, right: 14, top: 10, bottom: 40 };
const MANY_TIMES = 10; // from there on an axis is logarithmic
const WIDEST = 900;
let widthOnPaper = null;

/** From values to pixels, with a few round values as ticks. */
function scaleOf(values, start, end, { linear = false, whole = false } = {}) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const log = !linear && low > 0 && high / low >= MANY_TIMES;
  const air = log ? 0 : 0.06 * (high - low || Math.abs(high) || 1);
  const [from, to] = log ? [Math.log10(low / 1.2), Math.log10(high * 1.2)] : [low - air, high + air];
  const at = (value) => start + ((end - start) * ((log ? Math.log10(value) : value) - from)) / (to - from);
  const ticks = log ? powers(from, to) : steps(from, to);
  return { at, log, ticks: whole ? ticks.filter(Number.isInteger) : ticks };
}

function steps(from, to) {
  const rough = (to - from) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= rough);
  const first = Math.ceil(from / step);
  const places = Array.from({ length: Math.floor(to / step) - first + 1 }, (_, place) => first + place);
  return places.map((place) => Number((place * step).toPrecision(12)));
}

function powers(from, to) {
  const within = to - from > 2.5 ? [1] : [1, 2, 5];
  const every = [];
  for (let power = Math.floor(from); power <= Math.ceil(to); power += 1)
    every.push(...within.map((each) => each * 10 ** power));
  return every.filter((value) => Math.log10(value) >= from && Math.log10(value) <= to);
}

const LETTERS = [[1e12, "T", 1e12], [1e9, "G", 1e9], [1e6, "M", 1e6], [1e4, "k", 1e3]];

/** Few characters for a number on an axis: 0.05, 12k, 3.5M. */
function short(value) {
  const [, letter, unit] = LETTERS.find(([size]) => Math.abs(value) >= size) ?? [0, "", 1];
  return Number((value / unit).toPrecision(letter ? 3 : 4)) + letter;
}

const write = (x, y, anchor, content, attributes = {}) =>
  drawn("text", { x, y, "text-anchor": anchor, ...attributes }, content);

/** Draw axes into a host; `paint` gets the svg, a scale each for x and y, and where they end. An axis has `values` and
 * a `label`; it may be `linear` in any case, count in `whole` numbers, have a `unit`; x may have `names` for its
 * ticks. */
function chart(host, { label, x, y, paint, height = 330, right = MARGIN.right }) {
  if (!x.values.length || !y.values.length) {
    host.replaceChildren(help("No row that is shown has these figures."));
    return;
  }
  const width = Math.min(widthOnPaper ?? (host.clientWidth || 640), x.widest ?? WIDEST);
  const [end, floor] = [width - right, height - MARGIN.bottom];
  const across = scaleOf(x.values, MARGIN.left, end, x);
  const up = scaleOf(y.values, floor, MARGIN.top, y);
  const size = { width, height, viewBox: `0 0 ${width} ${height}` };
  const svg = drawn("svg", { class: "chart", role: "group", "aria-label": label, ...size });
  for (const tick of up.ticks) {
    svg.append(drawn("path", { class: "grid", d: `M${MARGIN.left},${up.at(tick)}H${end}` }));
    svg.append(write(MARGIN.left - 6, up.at(tick) + 4, "end", short(tick / (y.unit ?? 1))));
  }
  for (const [tick, words] of x.names ?? across.ticks.map((tick) => [tick, [short(tick / (x.unit ?? 1))]]))
    words.forEach((word, line) => svg.append(write(across.at(tick), floor + 14 + 12 * line, "middle", word)));
  svg.append(drawn("path", { class: "axis", d: `M${MARGIN.left},${MARGIN.top}V${floor}H${end}` }));
  const titled = (axis, scale) => axis.label + (scale.log ? " (logarithmic)" : "");
  const middle = (MARGIN.top + floor) / 2;
  if (x.label) svg.append(write((MARGIN.left + end) / 2, height - 6, "middle", titled(x, across)));
  svg.append(write(12, middle, "middle", titled(y, up), { transform: `rotate(-90 12 ${middle})` }));
  paint(svg, across.at, up.at, end);
  host.replaceChildren(svg);
}

/** Lines of points {x, y, low?, high?}, each of a row, with its interval as an area and a mark where `marked` says. */
function paintLines(svg, across, up, lines) {
  for (const { row, title, points, marked, dashed } of lines) {
    const known = points.filter((point) => point.x !== null && point.y !== null);
    if (!known.length) continue;
    const path = (key) => known.map((point) => `${across(point.x).toFixed(1)},${up(point[key]).toFixed(1)}`);
    const group = drawn("g", { class: row === null ? "curve" : `curve ${colour(row)}` }, drawn("title", {}, title));
    if (known.every((point) => point.low != null && point.high != null)) {
      const around = [...path("high"), ...path("low").reverse()];
      group.append(drawn("path", { class: "area", d: `M${around.join("L")}Z` }));
    }
    const dashes = dashed ? "2 3" : row >= page.numColours ? "8 3" : null;
    group.append(drawn("path", { class: "line", d: `M${path("y").join("L")}`, "stroke-dasharray": dashes }));
    for (const point of known)
      if (row !== null && marked(point))
        group.append(mark(row, { transform: `translate(${across(point.x)},${up(point.y)})` }));
    svg.append(group);
  }
}
