// The heat map: search, sort, arrow keys, and as many rows as are asked for.
const heatMap = (box) => {
  const data = payload[box.id];
  const [body, headRow] = [box.querySelector("tbody"), box.querySelector("thead tr")];
  const heads = [...headRow.querySelectorAll("th")];
  const buttons = [...headRow.querySelectorAll("button")];
  const fixed = heads.length - data.datasets.length;
  const [findModels, findSets] = [box.querySelector(".find-models"), box.querySelector(".find-datasets")];
  const [found, more] = [box.querySelector(".found"), box.querySelector(".more button")];
  const table = box.querySelector("table");
  table.setAttribute("role", "grid");
  let shown = data.shown;
  let sorted = { by: "cluster", down: false };
  let at = [0, 0];

  const points = (value) => (value === null ? "–" : String(Math.round(value / 10) || 0).replace("-", "−"));
  const level = (value) => Math.min(8, Math.max(0, Math.floor((value / 1000) * 9)));
  const value = (row, by) => {
    if (by === "cluster") return row;
    if (by === "mean") return data.means[row];
    return data.skill[row][by];
  };
  const order = (a, b) => {
    const turn = sorted.down ? -1 : 1;
    if (sorted.by === "model") return turn * data.models[a].localeCompare(data.models[b]) || a - b;
    const [x, y] = [value(a, sorted.by), value(b, sorted.by)];
    if (x === null || y === null) return (x === null) - (y === null) || a - b;
    return turn * (x - y) || a - b;
  };
  const hits = (names, words) => {
    const parts = words.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (name) => parts.every((part) => name.toLowerCase().includes(part));
    return names.map((name, i) => [name, i]).filter(([name]) => fits(name)).map(([, i]) => i);
  };
  const cell = (row, column) => {
    const skill = data.skill[row][column];
    const node = line("td", points(skill));
    node.className = skill === null ? "none" : `h${level(skill)}`;
    Object.assign(node, { tabIndex: -1 });
    Object.assign(node.dataset, { row, column });
    return node;
  };
  const tableRow = (row, columns) => {
    const node = document.createElement("tr");
    node.className = ["", "taken", "winner"][data.marks[row]];
    const head = document.createElement("th");
    head.scope = "row";
    const name = line("bdi", data.models[row]);
    const inner = document.createElement("span");
    inner.append(name);
    head.append(inner);
    head.title = data.models[row];
    const cluster = line("td", data.clusters[row]);
    cluster.className = "group";
    const mean = line("td", points(data.means[row]));
    mean.className = "mean";
    node.append(head, cluster, mean, ...columns.map((column) => cell(row, column)));
    return node;
  };

  const draw = () => {
    const rows = hits(data.models, findModels.value).sort(order);
    const columns = hits(data.datasets, findSets.value);
    const wanted = new Set(columns);
    heads.slice(fixed).forEach((head, i) => (head.hidden = !wanted.has(i)));
    body.replaceChildren(...rows.slice(0, shown).map((row) => tableRow(row, columns)));
    const few = Math.min(shown, rows.length);
    found.textContent =
      few < rows.length
        ? `${few.toLocaleString("en")} of ${rows.length.toLocaleString("en")} models shown`
        : `${rows.length.toLocaleString("en")} ${rows.length === 1 ? "model" : "models"}`;
    more.hidden = few === rows.length;
    heads.forEach((head, i) => {
      const by = i < fixed ? buttons[i].dataset.column : i - fixed;
      const mine = String(by) === String(sorted.by);
      if (mine) head.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    at = [0, 0];
    const first = body.querySelector("td[data-row]");
    if (first) first.tabIndex = 0;
  };

  buttons.forEach((button) => {
    button.addEventListener("click", () => {
      const named = button.dataset.column;
      const by = /^\d+$/.test(named) ? Number(named) : named;
      const again = sorted.by === by;
      const down = again ? !sorted.down : typeof by === "number" || by === "mean";
      sorted = { by, down };
      draw();
    });
  });
  [findModels, findSets].forEach((field) =>
    field.addEventListener("input", () => {
      shown = data.shown;
      draw();
    }),
  );
  more.addEventListener("click", () => {
    shown += 4 * data.shown;
    draw();
  });

  const say = (node, aloud) => {
    const [row, column] = [Number(node.dataset.row), Number(node.dataset.column)];
    const skill = data.skill[row][column];
    const [metric, trivial, perfect] = data.metrics[column];
    let words = "not measured";
    if (skill !== null) {
      words = `skill ${(skill / 1000).toFixed(3)}`;
      if (trivial !== null) {
        const raw = trivial + (skill / 1000) * (perfect - trivial);
        words = `${raw.toPrecision(3)} ${metric}, ${words}`;
      }
    }
    const place = node.getBoundingClientRect();
    tell(place.x + place.width / 2, place.y, data.models[row], words, `on ${data.datasets[column]}`, aloud);
  };
  const cellOf = (event) => event.target.closest?.("td[data-row]");
  body.addEventListener("pointerover", (event) => {
    const node = cellOf(event);
    if (node) say(node);
    else hush();
  });
  body.addEventListener("pointerleave", hush);
  body.addEventListener("focusin", (event) => {
    const node = cellOf(event);
    if (node && node.matches(":focus-visible")) say(node, true);
  });
  body.addEventListener("focusout", hush);
  body.addEventListener("keydown", (event) => {
    const step = {
      ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
      Home: [0, -Infinity], End: [0, Infinity],
    }[event.key];
    const from = cellOf(event);
    if (!step || !from) return;
    event.preventDefault();
    const rows = [...body.rows];
    at = [rows.indexOf(from.parentNode), [...from.parentNode.querySelectorAll("td[data-row]")].indexOf(from)];
    const row = Math.min(rows.length - 1, Math.max(0, at[0] + step[0]));
    const cells = rows[row].querySelectorAll("td[data-row]");
    const to = cells[Math.min(cells.length - 1, Math.max(0, at[1] + step[1]))];
    from.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
    say(to, true);
  });
  draw();
};
document.querySelectorAll(".heat").forEach(heatMap);
