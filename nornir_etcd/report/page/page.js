"use strict";
{
  const root = document.documentElement;

  // The theme: the system's until the button is used; kept where the browser keeps anything for this page.
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const kept = (value) => {
    try {
      if (value !== undefined) localStorage.setItem("nornir-etcd-theme", value);
      return localStorage.getItem("nornir-etcd-theme");
    } catch {
      return null; // no storage for files, or switched off
    }
  };
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const show = () => {
    button.textContent = dark() ? "light theme" : "dark theme";
  };
  if (["light", "dark"].includes(kept())) root.dataset.theme = kept();
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    kept(root.dataset.theme);
    show();
  });
  system.addEventListener("change", show);
  button.hidden = false;
  show();

  // Sorting: each heading gets a button, so that it can be reached and pressed with the keyboard.
  const words = new Intl.Collator(undefined, { numeric: true });
  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      const kind = heading.dataset.sort;
      if (!kind) return;
      const press = document.createElement("button");
      press.type = "button";
      heading.dataset.label = heading.textContent.trim(); // for paper
      press.append(...heading.childNodes);
      heading.append(press);
      press.addEventListener("click", () => {
        const down = heading.getAttribute("aria-sort") === "ascending";
        for (const other of headings) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = (row) => {
          const cell = row.cells[column];
          const text = cell.dataset.key ?? cell.textContent.trim();
          return kind === "number" ? Number(text) : text;
        };
        const keyed = [...table.tBodies[0].rows].map((row) => [key(row), row]);
        keyed.sort(([a], [b]) => (kind === "number" ? a - b : words.compare(a, b)) * (down ? -1 : 1));
        table.tBodies[0].append(...keyed.map(([, row]) => row));
      });
    });
  }

  // Filtering the findings.
  const form = document.querySelector("form.filters");
  if (form) {
    const rows = [...document.querySelectorAll("table.findings tbody tr")];
    const texts = new Map(rows.map((row) => [row, row.textContent.replace(/\s+/g, " ").toLowerCase()]));
    const filter = () => {
      const said = new FormData(form);
      const severities = new Set(said.getAll("severity"));
      const text = said.get("text").trim().replace(/\s+/g, " ").toLowerCase();
      let shown = 0;
      for (const row of rows) {
        const fits =
          severities.has(row.dataset.severity) &&
          ["cluster", "code", "subject"].every((name) => !said.get(name) || said.get(name) === row.dataset[name]) &&
          texts.get(row).includes(text);
        row.hidden = !fits;
        shown += fits;
      }
      form.querySelector("output").textContent = `${shown} of ${rows.length} shown`;
    };
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.hidden = false;
    filter();
  }

  // A cluster that is folded is opened by a link to it.
  const unfold = () => {
    const place = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    const folded = place && place.querySelector(":scope > details");
    if (folded) folded.open = true;
  };
  addEventListener("hashchange", unfold);
  unfold();

  // Paper cannot be unfolded. What was to hold before and after a step that is done is not needed there.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open], .why), details.why:not([open]):has(pre)")];
    for (const one of opened) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
  });
}
