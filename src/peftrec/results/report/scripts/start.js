// Bring the page to life, and keep its pictures as wide as there is room, on paper too.

const PAPER = 680; // pixels across A4 within its margins

startTpme();
startTable();
show("table-tools");
startPlot();
startCurves();
startSegments();
startBudget();
startDiff();
startDrawer();

let windowWidth = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === windowWidth) return; // a phone's address bar changes the height alone
  windowWidth = innerWidth;
  repaint();
});

addEventListener("beforeprint", () => {
  widthOnPaper = PAPER;
  repaint();
  for (const folded of document.querySelectorAll("details:not([open], .long)")) {
    folded.open = true;
    folded.classList.add("for-paper");
  }
});

addEventListener("afterprint", () => {
  widthOnPaper = null;
  repaint();
  for (const unfolded of document.querySelectorAll(".for-paper")) {
    unfolded.open = false;
    unfolded.classList.remove("for-paper");
  }
});
