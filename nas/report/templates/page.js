"use strict";
const root = document.documentElement;
const data = JSON.parse(document.getElementById("data").textContent);

// The theme: the system's until it is switched, then what was chosen last.
const theme = document.getElementById("theme");
const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const label = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
let kept = null;
try { kept = localStorage.getItem("theme"); } catch { /* a browser may keep nothing for files */ }
if (kept === "dark" || kept === "light") root.dataset.theme = kept;
theme.hidden = false;
label();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
theme.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  label();
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* as above */ }
});

// Tables: largest number or first letter first, then the other way round; what is no number stands last.
for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const place = [...head.parentElement.children].indexOf(head);
    const numeric = head.classList.contains("number");
    const before = head.getAttribute("aria-sort");
    const down = before === "none" ? numeric : before === "ascending";
    for (const other of head.parentElement.children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = head.closest("table").tBodies[0];
    const order = (a, b) => {
      const [x, y] = [a.cells[place], b.cells[place]];
      if (!numeric) return (down ? -1 : 1) * x.textContent.localeCompare(y.textContent, undefined, { numeric: true });
      const [known, other] = ["number" in x.dataset, "number" in y.dataset];
      if (!known || !other) return other - known;
      return (down ? -1 : 1) * (x.dataset.number - y.dataset.number);
    };
    body.append(...[...body.rows].sort(order));
  });
}

// Points: the nearest to the pointer, or one after the other by the arrow keys.
const tip = document.getElementById("tip");
const REACH = 20; // CSS pixels
const hide = () => {
  tip.hidden = true;
  document.querySelector(".found")?.remove();
};

function pointsOf(svg, [texts, notes]) {
  const points = [];
  for (const path of svg.querySelectorAll(".marks")) {
    const back = Number(path.dataset.back);
    const numbers = path.dataset.point.split(",").map(Number);
    const places = path.getAttribute("d").split("M").slice(1);
    places.forEach((place, index) => {
      const [x, y] = place.match(/-?[\d.]+/g).map(Number);
      const number = numbers[index];
      points.push({ x: x + back, y: y + back, text: [data.texts[texts[number]], notes[number]].filter(Boolean).join("\n") });
    });
  }
  return points.sort((a, b) => a.x - b.x || a.y - b.y);
}

function show(svg, point) {
  hide();
  const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  for (const [name, value] of Object.entries({ class: "found", cx: point.x, cy: point.y, r: 5 })) ring.setAttribute(name, value);
  svg.append(ring);
  const at = new DOMPoint(point.x, point.y).matrixTransform(svg.getScreenCTM());
  tip.textContent = point.text;
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const top = at.y + 14 + height < innerHeight ? at.y + 14 : Math.max(8, at.y - height - 14);
  tip.style.left = `${scrollX + Math.max(8, Math.min(at.x + 12, root.clientWidth - width - 8))}px`;
  tip.style.top = `${scrollY + top}px`;
}

for (const [name, columns] of Object.entries(data.points)) {
  const svg = document.querySelector(`#${name} svg`);
  let points = null;
  let current = -1;
  const known = () => (points ??= pointsOf(svg, columns));
  const point = (event) => {
    const matrix = svg.getScreenCTM();
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    const distance = (p) => Math.hypot(p.x - at.x, p.y - at.y);
    current = known().reduce((best, p, index) => (best < 0 || distance(p) < distance(points[best]) ? index : best), -1);
    if (current >= 0 && distance(points[current]) * matrix.a <= REACH) show(svg, points[current]);
    else hide();
  };
  svg.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") point(event); });
  svg.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") hide(); });
  svg.addEventListener("click", point);
  svg.addEventListener("blur", hide);
  svg.addEventListener("focus", () => {
    if (svg.matches(":focus-visible") && known().length) show(svg, points[(current = Math.max(0, current))]);
  });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") hide();
    if (!step || !known().length) return;
    event.preventDefault();
    current = Math.max(0, Math.min(current + step, points.length - 1));
    show(svg, points[current]);
  });
}
