// The settings of two rows beside each other, where they differ.

/** All settings of a run: what runs share, and its own. */
function settingsOf(run) {
  const every = { ...page.details.common, ...run.own };
  for (const key of run.without) delete every[key];
  return every;
}

/** What a key decides where that is not the result: `cost` or `place`. */
const roleOf = (key) =>
  Object.entries(page.details.roles).find(([group]) => key === group || key.startsWith(`${group}.`))?.[1];

function startDiff() {
  const first = new Map([...runLines].reverse().map((line) => [line.row, line.run]));
  const listed = [...first.keys()].sort((one, other) => one - other);
  if (listed.length < 2) return;
  const compared = [listed[0], listed[1]];
  const compare = () => {
    const [one, other] = compared.map((row) => settingsOf(page.details.runs[first.get(row)]));
    const keys = [...new Set([...Object.keys(one), ...Object.keys(other)])].sort();
    const told = keys.filter((key) => one[key] !== other[key] && !page.details.seedKeys.includes(key));
    const named = (key) => (roleOf(key) ? `${key} (${roleOf(key)})` : key);
    const lines = told.map((key) => lineOf([named(key), one[key] ?? "–", other[key] ?? "–"]));
    const heads = ["key", ...compared.map((row) => rows[row].name)];
    byId("diff-host").replaceChildren(
      help(`${told.length} ${told.length === 1 ? "key differs" : "keys differ"}, seeds aside.`, { role: "status" }),
      tableOf("diff", heads, lines, { class: "words" }),
    );
  };
  const options = listed.map((row) => [String(row), rows[row].name]);
  ["between", "and"].forEach((label, place) => {
    const choose = (row) => {
      compared[place] = Number(row);
      compare();
    };
    byId("diff-tools").append(choice(label, options, String(compared[place]), choose));
  });
  show("diff-tools", "diff-host");
  compare();
}
