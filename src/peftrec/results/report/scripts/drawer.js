// Everything about one run, and the command that trains it again.

const factList = (pairs) =>
  element("dl", {}, ...pairs.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));

function copyButton(content) {
  const take = () => {
    getSelection().selectAllChildren(content); // where a browser lets no page copy, it is marked to be copied
    const copied = navigator.clipboard?.writeText(content.textContent) ?? Promise.reject();
    copied.then(() => tell("Copied"), () => tell(document.execCommand("copy") ? "Copied" : "Marked: press Ctrl+C"));
  };
  const copy = button("Copy", take, { id: "copy" });
  const tell = (words) => {
    copy.textContent = words;
    setTimeout(() => (copy.textContent = "Copy"), 2000);
  };
  return copy;
}

function stretchOf(stretch, _, { length }) {
  const { device, commit, versions, conditions } = page.details.surroundings[stretch.in];
  const listed = (values) => Object.entries(values).map(([name, value]) => `${name} ${value}`).join(", ");
  return factList([
    ...(length > 1 ? [["from epoch", String(stretch.from)]] : []),
    ["started", stretch.date],
    ["device", device],
    ["commit", commit],
    ["versions", listed(versions)],
    ["conditions", listed(conditions)],
  ]);
}

function openDrawer(place) {
  const run = page.details.runs[place];
  const settings = settingsOf(run);
  const drawer = byId("drawer");
  const close = button("Close", () => drawer.close());
  const command = element("pre", { id: "command", tabindex: 0 }, run.command);
  const needed = "With the code of its commit, and with data and towers where the places say.";
  const folder = " DIR is the folder of the parts that are not this package's; no record names it.";
  const keys = Object.keys(settings).sort();
  drawer.replaceChildren(
    element("header", {}, element("h2", { id: "drawer-title" }, run.name), close),
    factList([
      ["strategy", run.strategy],
      ["seed", String(run.seed)],
      ["status", run.status],
      ...(run.error ? [["error", run.error]] : []),
      ["chosen epoch", run.chosen === null ? `none of ${run.epochs}` : `${run.chosen} of ${run.epochs}`],
      ...Object.entries(page.details.facts[run.facts]),
    ]),
    element("h3", {}, "Trained with"),
    ...run.stretches.map(stretchOf),
    element("h3", {}, "To train it again ", copyButton(command)),
    command,
    help(needed + (run.needsFolder ? folder : "")),
    element("h3", {}, "Configuration"),
    tableOf("configuration", ["key", "value"], keys.map((key) => lineOf([key, settings[key]])), { class: "words" }),
    element("p", {}, element("a", { href: run.link }, "record.json")),
  );
  drawer.showModal();
  drawer.scrollTop = 0;
}

function startDrawer() {
  const list = byId("run-list");
  list.tHead.rows[0].append(element("th", { scope: "col", class: "screen" }, "details"));
  [...list.tBodies[0].rows].forEach((row, place) => {
    const told = { "aria-label": `Details of ${page.details.runs[place].name}` };
    row.append(element("td", { class: "screen" }, button("Details", () => openDrawer(place), told)));
  });
  byId("drawer").addEventListener("click", (event) => {
    if (event.target === byId("drawer")) byId("drawer").close(); // beside it
  });
}
