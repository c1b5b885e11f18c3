// Tables are sorted by their headings; without scripts they stay as they are.
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "descending" ||
        (!head.hasAttribute("aria-sort") && !head.classList.contains("number"));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "ascending" : "descending");
      const body = table.tBodies[0];
      const key = (row) => {
        const cell = row.cells[column];
        return "value" in cell.dataset ? parseFloat(cell.dataset.value) : cell.textContent;
      };
      const compare = (a, b) => typeof a === "string"
        ? a.localeCompare(b, undefined, { numeric: true })
        : a - b;
      const rows = [...body.rows].map((row) => [key(row), row]);
      const known = rows.filter(([value]) => value === value);
      known.sort(([a], [b]) => (down ? 1 : -1) * compare(a, b));
      const unknown = rows.filter(([value]) => value !== value);
      body.append(...[...known, ...unknown].map(([, row]) => row));
    });
  });
}
