// TPME with the reader's own weights, by the formula of peftrec.results.tpme.

const NAMES = ["time", "parameters", "memory"];
const WHOLE = 100; // weights are hundredths, which always sum to one

/** Min-max each cost over the set, or within fixed ends; one that all share tells nothing apart and counts 0. */
function normalise(costs, within) {
  const endsOf = (values) => [Math.min(...values), Math.max(...values)];
  const ends = within ?? NAMES.map((_, part) => endsOf(costs.map((cost) => cost[part])));
  const scaled = (value, [low, high]) => (low === high ? 0 : (value - low) / (high - low));
  return costs.map((cost) => cost.map((value, part) => scaled(value, ends[part])));
}

function weigh(costs, within, weights) {
  const sum = (parts) => parts.reduce((total, part, place) => total + (weights[place] / WHOLE) * part, 0);
  return normalise(costs, within).map(sum);
}

/** Give one weight a value; the others share the rest in the proportion that they had. */
function withWeight(weights, changed, value) {
  const [first, second] = [0, 1, 2].filter((place) => place !== changed);
  const rest = WHOLE - value;
  const sum = weights[first] + weights[second];
  const after = [];
  after[changed] = value;
  after[first] = Math.round(sum ? (rest * weights[first]) / sum : rest / 2);
  after[second] = rest - after[first];
  return after;
}

/** A row's band, and where it is now. */
function rangeOf(ends, value) {
  const said = ends.map((end) => end.toFixed(3)).join(" to ");
  const percent = (number) => `${(100 * Math.min(1, Math.max(0, number))).toFixed(1)}%`;
  const [bar, here] = [element("i"), element("b")];
  bar.style.left = percent(ends[0]);
  bar.style.width = percent(ends[1] - ends[0]);
  here.style.left = percent(value);
  return element("span", { class: "range", role: "img", "aria-label": said, title: said }, bar, here);
}

function startTpme() {
  if (!page.tpme) return;
  const { rows: places, costs, amortised, band, within, weights: paper } = page.tpme;
  const start = paper.map((weight) => Math.round(weight * WHOLE));
  let weights = start;
  let before = null; // the weights when a hand took hold of a slider
  let withStore = false;
  const outputs = NAMES.map((name) => element("output", { for: `weight-${name}` }));
  const inputs = NAMES.map((name, place) => {
    const input = element("input", { type: "range", min: 0, max: WHOLE, id: `weight-${name}` });
    input.addEventListener("input", () => {
      before ??= weights;
      weighAnew(withWeight(before, place, Number(input.value)));
    });
    input.addEventListener("change", () => (before = null));
    return input;
  });
  const said = help("", { role: "status" });
  const heads = ["strategy", "rank", "TPME", "paper's rank", "paper's TPME", "band"];
  const ranking = tableOf("ranking", heads, []);

  function weighAnew(changed) {
    weights = changed;
    rank();
    repaint();
  }

  function rank() {
    const counted = costs.map(([seconds, ...others], place) => [
      withStore ? (amortised[place] ?? seconds) : seconds,
      ...others,
    ]);
    const [values, usual] = [weights, start].map((each) => weigh(counted, within, each));
    const rankIn = (figures, place) => String(1 + figures.filter((figure) => figure < figures[place]).length);
    inputs.forEach((input, place) => (input.value = weights[place]));
    outputs.forEach((output, place) => (output.textContent = (weights[place] / WHOLE).toFixed(2)));
    ownTpme.values = [];
    places.forEach((row, place) => (ownTpme.values[row] = [values[place].toFixed(4), values[place]]));
    const order = [...places.keys()].sort((one, other) => values[one] - values[other] || one - other);
    const lines = order.map((place) => {
      const figures = [values, usual].flatMap((each) => [rankIn(each, place), each[place].toFixed(4)]);
      const range = withStore || !band[place] ? "" : rangeOf(band[place], values[place]);
      const attributes = { "data-value": values[place] };
      return lineOf([rows[places[place]].name, ...figures, range], attributes);
    });
    ranking.querySelector("tbody").replaceChildren(...lines);
    said.textContent = `Lowest with these weights: ${rows[places[order[0]]].name}.`;
  }

  const count = (isCounted) => {
    withStore = isCounted;
    weighAnew(weights);
  };
  const store = checkbox("count building the store, over the epochs trained", false, count, { id: "with-store" });
  const hasStore = amortised.some((seconds) => seconds !== null);
  const reset = button("the paper's weights", () => weighAnew(start), { id: "reset-weights" });
  const labels = inputs.map((input, place) => element("label", {}, `${NAMES[place]} `, outputs[place], input));
  byId("tpme-host").append(
    element("div", { class: "weights" }, ...labels),
    element("div", { class: "tools" }, reset, hasStore ? store : ""),
    said,
    ranking,
  );
  show("tpme-host");
  rank();
}
