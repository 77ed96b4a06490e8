// Quality by segment: a picture a family of segments, a line a strategy.

function startSegments() {
  const { families, names, values } = page.segments;
  const all = Object.keys(names);
  if (!all.length) return;
  let metric = page.quality[0];
  const hosts = families.map(() => element("figure"));
  const wordsOf = (segment) => names[segment].split(" (").map((word, part) => (part ? `(${word}` : word));
  const paintFamily = ({ title, segments }, place) => {
    const lines = strategies.filter(isDrawn).map((row) => ({
      row,
      title: rows[row].name,
      marked: () => true,
      points: segments.map((segment, x) => ({ x, y: values[metric][row][all.indexOf(segment)] })),
    }));
    chart(hosts[place], {
      label: `${metric} for ${title}`,
      height: 260,
      x: {
        label: "",
        linear: true,
        widest: 380,
        values: lines.length ? [-0.3, segments.length - 0.7] : [],
        names: segments.map((segment, x) => [x, wordsOf(segment)]),
      },
      y: { label: metric, linear: true, values: reachOf(lines).y },
      paint: (svg, across, up) => paintLines(svg, across, up, lines),
    });
  };
  const paint = () => families.forEach(paintFamily);
  const choose = (name) => {
    metric = name;
    paint();
  };
  byId("segments-tools").append(choice("figure", sameWords(page.quality), metric, choose));
  byId("segments-host").append(...hosts);
  byId("segments-host").after(legend());
  show("segments-tools", "segments-host");
  paints(paint);
}
