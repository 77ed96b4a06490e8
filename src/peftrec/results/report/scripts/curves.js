// Figures over epochs or training time, and over the budget of a tuning.

const SECONDS = "seconds of training";
const reachOf = (lines) => {
  const points = lines.flatMap((line) => line.points).filter((point) => point.y !== null);
  const ends = (point) => [point.y, point.low, point.high].filter((value) => value != null);
  return { x: points.map((point) => point.x), y: points.flatMap(ends) };
};

/** One line a row: the mean over its runs at each epoch that all of them have, with the least and the most. */
function meansOf(lines) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  return [...new Set(lines.map((line) => line.row))].map((row) => {
    const every = lines.filter((line) => line.row === row).map((line) => line.points);
    const length = Math.min(...every.map((points) => points.length));
    const points = Array.from({ length }, (_, epoch) => {
      const here = every.map((each) => each[epoch]);
      const values = here.map((point) => point.y);
      if (values.includes(null)) return { x: null, y: null };
      const ends = { low: Math.min(...values), high: Math.max(...values) };
      return { x: mean(here.map((point) => point.x)), y: mean(values), ...ends, isLast: epoch === length - 1 };
    });
    return { row, title: `${rows[row].name}, mean of ${every.length}`, points, marked: (point) => point.isLast };
  });
}

function startCurves() {
  const { names, runs } = page.curves;
  if (!runs.length) return;
  const seeds = "mean of the seeds";
  const chosen = { figure: names[0], across: "epoch", lines: seeds };
  const lineOfRun = (run) => {
    let seconds = 0;
    const points = run.values[chosen.figure].map((y, epoch) => {
      seconds += run.seconds[epoch];
      return { epoch, y, x: chosen.across === SECONDS ? seconds : epoch + 1 };
    });
    const title = `${rows[run.row].name}, seed ${run.seed}`;
    return { row: run.row, title, points, marked: (point) => point.epoch === run.chosen };
  };
  const paint = () => {
    const every = runs.filter((run) => isDrawn(run.row)).map(lineOfRun);
    const lines = chosen.lines === seeds ? meansOf(every) : every;
    const reach = reachOf(lines);
    chart(byId("curves-host"), {
      label: `${chosen.figure} by ${chosen.across}`,
      x: { label: chosen.across, values: reach.x, linear: chosen.across !== SECONDS, whole: chosen.across !== SECONDS },
      y: { label: chosen.figure, values: reach.y, linear: true },
      paint: (svg, across, up) => paintLines(svg, across, up, lines),
    });
  };
  const choices = { figure: names, across: ["epoch", SECONDS], lines: [seeds, "every run"] };
  for (const [key, options] of Object.entries(choices)) {
    const choose = (value) => {
      chosen[key] = value;
      paint();
    };
    byId("curves-tools").append(choice(key, sameWords(options), chosen[key], choose));
  }
  const said =
    "Mean of the seeds: as far as all of them trained, with an area from the least to the most. " +
    "Every run: its mark is the chosen epoch.";
  byId("curves-host").after(help(said), legend());
  show("curves-tools", "curves-host");
  paints(paint);
}

function startBudget() {
  if (!page.budget) return;
  const { monitor, curves } = page.budget;
  const [trials, label] = ["random trials", `expected best validation ${monitor}`];
  let axis = trials;
  const lineOfCurve = (curve) => ({
    row: curve.row,
    title: curve.name,
    dashed: curve.row === null || baselines.includes(curve.row),
    marked: () => true,
    points: curve.value.map((y, place) => ({
      y,
      x: (axis === trials ? curve.trials : curve.seconds)[place],
      low: curve.low[place],
      high: curve.high[place],
    })),
  });
  const paint = () => {
    const lines = curves.filter((curve) => curve.row === null || isDrawn(curve.row)).map(lineOfCurve);
    const reach = reachOf(lines);
    chart(byId("budget-host"), {
      label: `${label} by ${axis}`,
      x: { label: axis, values: reach.x, linear: axis === trials, whole: axis === trials },
      y: { label, values: reach.y, linear: true },
      paint: (svg, across, up) => paintLines(svg, across, up, lines),
    });
  };
  const choose = (value) => {
    axis = value;
    paint();
  };
  const listed = curves.map((curve) => curve.row).filter((row) => row !== null);
  byId("budget-tools").append(choice("across", sameWords([trials, SECONDS]), axis, choose));
  byId("budget-host").after(help("Areas: 95 % interval. Dashed: what trains nothing."), legend(listed));
  show("budget-tools", "budget-host");
  paints(paint);
}
