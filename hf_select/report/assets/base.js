const root = document.documentElement;
const payload = JSON.parse(document.getElementById("payload").textContent);
root.classList.add("js");

// One tooltip for the whole page, and one place that tells a screen reader the same words.
const tip = document.querySelector(".tip");
const said = document.querySelector(".said");

const line = (tag, text) => {
  const node = document.createElement(tag);
  node.textContent = text;
  return node;
};
const hush = () => {
  tip.hidden = true;
};
const tell = (x, y, title, words, more = "", aloud = false) => {
  tip.replaceChildren(line("b", title), line("span", words), ...(more ? [line("small", more)] : []));
  tip.hidden = false;
  const { offsetWidth: wide, offsetHeight: high } = tip;
  const left = Math.min(Math.max(8, x - wide / 2), root.clientWidth - wide - 8);
  const above = y - high - 14;
  tip.style.left = `${left + scrollX}px`;
  tip.style.top = `${(above < 4 ? y + 18 : above) + scrollY}px`;
  if (aloud) said.textContent = `${title}: ${words} ${more}`;
};
const onPage = (svg, x, y) => new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());
const inFigure = (svg, event) =>
  new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());

// Light or dark: as the system says, until the button is pressed.
const theme = document.querySelector(".theme");
const night = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : night.matches);
const nameTheme = () => {
  theme.textContent = isDark() ? "Light" : "Dark";
  theme.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
};
theme.hidden = false;
theme.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  nameTheme();
});
night.addEventListener("change", nameTheme);
nameTheme();

// On paper nothing can be unfolded any more.
let folded = [];
addEventListener("beforeprint", () => {
  hush();
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((node) => (node.open = true));
});
addEventListener("afterprint", () => folded.forEach((node) => (node.open = false)));
addEventListener("keydown", (event) => event.key === "Escape" && hush());
