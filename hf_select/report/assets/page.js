"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const chart = document.querySelector(".chart");
  if (!chart) return;
  document.documentElement.classList.add("js");
  const tip = chart.querySelector(".tip");
  const every = (i) => chart.querySelectorAll(`[data-i="${i}"]`);
  const lines = [...chart.querySelectorAll(".series")].map((node) => {
    const path = node.querySelector(".curve").getAttribute("d");
    const points = path.slice(1).split("L").map((pair) => pair.split(" ").map(Number));
    const title = node.querySelector("title");
    if (title) title.remove();
    return { node, points, i: node.dataset.i, svg: node.ownerSVGElement, at: points.length - 1 };
  });

  const calm = () => {
    tip.hidden = true;
    chart.querySelectorAll(".busy").forEach((n) => n.classList.remove("busy"));
    chart.querySelectorAll(".hot").forEach((n) => n.classList.remove("hot"));
  };
  const heat = (i) => {
    calm();
    chart.querySelectorAll("svg.hfs").forEach((n) => n.classList.add("busy"));
    every(i).forEach((n) => n.classList.add("hot"));
  };
  const say = (line, at) => {
    heat(line.i);
    const facts = data[line.i];
    const [epochs, score, time] = facts.points[at];
    const row = (tag, text) => {
      const node = document.createElement(tag);
      node.textContent = text;
      return node;
    };
    tip.replaceChildren(
      row("b", facts.name),
      row("span", `${score} after ${epochs}${time ? ` (${time})` : ""}`),
      row("small", facts.end),
    );
    tip.hidden = false;
    const [x, y] = line.points[at];
    const where = new DOMPoint(x, y).matrixTransform(line.svg.getScreenCTM());
    const box = chart.getBoundingClientRect();
    const wide = tip.offsetWidth;
    const left = Math.min(Math.max(0, where.x - box.left - wide / 2), box.width - wide);
    const above = where.y - box.top - tip.offsetHeight - 14;
    tip.style.left = `${left}px`;
    tip.style.top = `${above < 0 ? where.y - box.top + 16 : above}px`;
  };

  chart.querySelectorAll("svg.hfs").forEach((svg) => {
    const mine = lines.filter((line) => line.svg === svg);
    const find = (event) => {
      const p = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      let best = null;
      for (const line of mine) {
        if (line.node.classList.contains("off")) continue;
        line.points.forEach(([x, y], at) => {
          const far = Math.hypot(x - p.x, y - p.y);
          if (far < 32 && (!best || far < best.far)) best = { far, line, at };
        });
      }
      if (best) say(best.line, best.at);
      else calm();
    };
    svg.addEventListener("pointermove", find);
    svg.addEventListener("pointerdown", find);
    svg.addEventListener("pointerleave", calm);
  });

  lines.forEach((line) => {
    line.node.addEventListener("focus", () => {
      if (line.node.matches(":focus-visible")) say(line, line.at);
    });
    line.node.addEventListener("blur", calm);
    line.node.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") calm();
      if (!step) return;
      event.preventDefault();
      line.at = Math.min(line.points.length - 1, Math.max(0, line.at + step));
      say(line, line.at);
    });
  });

  chart.querySelectorAll(".legend button").forEach((button) => {
    const i = button.dataset.i;
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
})();
