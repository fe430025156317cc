"use strict";
// Tables of class "sortable": a click on a heading sorts by it, another one the other way; empty cells stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const value = (row, at) => row.cells[at].dataset.v ?? row.cells[at].textContent.trim();
  const order = (a, b) => {
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  };
  const sort = (at) => {
    const down = headings[at].getAttribute("aria-sort") === "ascending";
    headings.forEach((heading) => heading.removeAttribute("aria-sort"));
    headings[at].setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...body.rows].sort((r, s) => {
      const a = value(r, at), b = value(s, at);
      if (a === "" || b === "") return (a === "") - (b === "");
      return down ? order(b, a) : order(a, b);
    });
    body.append(...rows);
  };
  headings.forEach((heading, at) => {
    heading.tabIndex = 0;
    heading.addEventListener("click", () => sort(at));
    heading.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();  // the page does not scroll
      sort(at);
    });
  });
}
