// Figures of points (map, tree, price, efficiency): hover, arrow keys, clusters that hide.
const points = (figure) => {
  figure.querySelectorAll("svg.hfs:not(.key)").forEach((svg) => {
    const all = [...svg.querySelectorAll(".pt")].map((node) => {
      const box = node.getBBox();
      const title = node.querySelector("title");
      if (title) title.remove();
      const [name, ...rest] = node.getAttribute("aria-label").split(": ");
      return {
        node, x: box.x + box.width / 2, y: box.y + box.height / 2, name, words: rest.join(": "),
      };
    });
    if (!all.length) return;
    // Drawn for the other width: it has no boxes yet, and will be asked again once it is shown.
    let measured = svg.getBoundingClientRect().width > 0;
    const measure = () => {
      if (measured) return;
      measured = true;
      all.forEach((one) => {
        const box = one.node.getBBox();
        Object.assign(one, { x: box.x + box.width / 2, y: box.y + box.height / 2 });
      });
    };
    let now = null;
    const calm = () => {
      hush();
      if (now) now.node.classList.remove("hot");
      now = null;
    };
    const say = (one, aloud) => {
      if (now) now.node.classList.remove("hot");
      now = one;
      one.node.classList.add("hot");
      const where = onPage(svg, one.x, one.y);
      tell(where.x, where.y, one.name, one.words, "", aloud);
    };
    const shown = () => all.filter((one) => !one.node.classList.contains("off"));
    const find = (event) => {
      measure();
      const p = inFigure(svg, event);
      let best = null;
      for (const one of shown()) {
        const far = Math.hypot(one.x - p.x, one.y - p.y);
        if (far < 22 && (!best || far < best.far)) best = { far, one };
      }
      if (best) say(best.one);
      else calm();
    };
    svg.addEventListener("pointermove", find);
    svg.addEventListener("pointerdown", find);
    svg.addEventListener("pointerleave", calm);

    // One stop for the tab key; the arrows go on to the next point across, or up and down.
    svg.setAttribute("tabindex", "0");
    svg.addEventListener("focus", () => {
      measure();
      if (svg.matches(":focus-visible")) say(now || shown()[0] || all[0], true);
    });
    svg.addEventListener("blur", calm);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (event.key === "Escape") calm();
      if (!step) return;
      event.preventDefault();
      measure();
      const across = event.key === "ArrowLeft" || event.key === "ArrowRight";
      const inLine = shown().sort((a, b) => (across ? a.x - b.x || a.y - b.y : a.y - b.y || a.x - b.x));
      if (!inLine.length) return;
      const at = inLine.indexOf(now) + step;
      say(inLine[Math.min(inLine.length - 1, Math.max(0, at))], true);
    });
  });

  figure.querySelectorAll("button[data-kind]").forEach((button) => {
    const every = () => figure.querySelectorAll(`svg.hfs:not(.key) .${button.dataset.kind}`);
    button.addEventListener("click", () => {
      const off = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!off));
      every().forEach((node) => node.classList.toggle("off", off));
    });
  });
};
document.querySelectorAll("figure.points").forEach(points);
