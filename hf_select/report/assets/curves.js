// Learning curves: hover, arrow keys along a line, a legend that hides lines.
const curves = (chart) => {
  const data = payload[chart.id];
  const every = (i) => chart.querySelectorAll(`[data-i="${i}"]`);
  const lines = [...chart.querySelectorAll(".series")].map((node) => {
    const path = node.querySelector(".curve").getAttribute("d");
    const points = path.slice(1).split("L").map((pair) => pair.split(" ").map(Number));
    const title = node.querySelector("title");
    if (title) title.remove();
    return { node, points, i: node.dataset.i, svg: node.ownerSVGElement, at: points.length - 1 };
  });

  const calm = () => {
    hush();
    chart.querySelectorAll(".busy").forEach((n) => n.classList.remove("busy"));
    chart.querySelectorAll(".hot").forEach((n) => n.classList.remove("hot"));
  };
  const heat = (i) => {
    calm();
    chart.querySelectorAll("svg.hfs").forEach((n) => n.classList.add("busy"));
    every(i).forEach((n) => n.classList.add("hot"));
  };
  const say = (one, at, aloud) => {
    heat(one.i);
    const facts = data[one.i];
    const [epochs, score, time] = facts.points[at];
    const where = onPage(one.svg, ...one.points[at]);
    const words = `${score} after ${epochs}${time ? ` (${time})` : ""}`;
    tell(where.x, where.y, facts.name, words, facts.end, aloud);
  };

  chart.querySelectorAll("svg.hfs").forEach((svg) => {
    const mine = lines.filter((one) => one.svg === svg);
    const find = (event) => {
      const p = inFigure(svg, event);
      let best = null;
      for (const one of mine) {
        if (one.node.classList.contains("off")) continue;
        one.points.forEach(([x, y], at) => {
          const far = Math.hypot(x - p.x, y - p.y);
          if (far < 32 && (!best || far < best.far)) best = { far, one, at };
        });
      }
      if (best) say(best.one, best.at);
      else calm();
    };
    svg.addEventListener("pointermove", find);
    svg.addEventListener("pointerdown", find);
    svg.addEventListener("pointerleave", calm);
  });

  lines.forEach((one) => {
    one.node.addEventListener("focus", () => {
      if (one.node.matches(":focus-visible")) say(one, one.at);
    });
    one.node.addEventListener("blur", calm);
    one.node.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") calm();
      if (!step) return;
      event.preventDefault();
      one.at = Math.min(one.points.length - 1, Math.max(0, one.at + step));
      say(one, one.at, true);
    });
  });

  chart.querySelectorAll(".legend button").forEach((button) => {
    const { i } = button.dataset;
    button.addEventListener("click", () => {
      const off = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!off));
      every(i).forEach((n) => n !== button && n.classList.toggle("off", off));
      if (off) calm();
      else heat(i);
    });
    const show = () => {
      if (button.getAttribute("aria-pressed") === "true") heat(i);
    };
    button.addEventListener("pointerenter", show);
    button.addEventListener("focus", show);
    button.addEventListener("pointerleave", calm);
    button.addEventListener("blur", calm);
  });
};
document.querySelectorAll("figure.chart").forEach(curves);
