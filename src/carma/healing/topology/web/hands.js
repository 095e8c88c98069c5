// Mouse, fingers and keys; then the first picture.
const WIDE = window.matchMedia("(min-width: 1280px)");
const ROOMY = window.matchMedia("(min-width: 1600px)"); // side by side without being asked
const still = window.matchMedia("(prefers-reduced-motion: reduce)");
const pointers = new Map();
let travelled = 0, spread = 0, settle = 0;

function moved() {
  now.moving = true;
  clearTimeout(settle);
  settle = setTimeout(() => { now.moving = false; redraw(); }, 140);
  redraw();
}

// A place of the window as column and place in the plane.
function place(event) {
  const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  const wide = columnWidth(), column = Math.max(0, Math.min(columns().length - 1, Math.floor(x / wide)));
  const dx = x - column * wide - wide / 2, dy = y - height / 2;
  return { x, y, column, dx, dy, worldX: camera.x + dx / camera.scale, worldY: camera.y + dy / camera.scale };
}

function under(event, reach) {
  const here = place(event), view = views[columns()[here.column]];
  const within = Math.max(reach / camera.scale, Math.min(0.4, 14 / camera.scale));
  return { ...here, n: nearest(here.worldX, here.worldY, within, (n) => visible(view, n)) };
}

function zoom(by, dx = 0, dy = 0) {
  const scale = Math.max(0.02, Math.min(260, camera.scale * by));
  camera.x += dx / camera.scale - dx / scale;
  camera.y += dy / camera.scale - dy / scale;
  camera.scale = scale;
  tip(-1);
  moved();
}

function reveal(n) {
  const from = { ...camera }, to = Math.max(camera.scale, Math.min(40, 700 / Math.max(6, (discOf.get(n)?.r ?? 3) * 2)));
  const begun = performance.now(), lasts = still.matches ? 0 : 260;
  const step = (time) => {
    const part = lasts ? Math.min(1, Math.max(0, (time - begun) / lasts)) : 1, eased = part * (2 - part);
    camera.x = from.x + (xs[n] - from.x) * eased;
    camera.y = from.y + (ys[n] - from.y) * eased;
    camera.scale = from.scale * (to / from.scale) ** eased;
    moved();
    if (part < 1) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, event);
  if (pointers.size === 1) travelled = 0;
  spread = 0;
});
canvas.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (!before) {
    const { n, column, x, y } = under(event, 10);
    canvas.classList.toggle("over", n >= 0);
    if (n !== now.hover) { now.hover = n; redraw(true); }
    tip(n, column, x, y);
    return;
  }
  const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
  pointers.set(event.pointerId, event);
  travelled += Math.abs(dx) + Math.abs(dy);
  if (travelled < 4) return;
  canvas.classList.add("moving");
  tip(-1);
  camera.x -= dx / camera.scale / pointers.size;
  camera.y -= dy / camera.scale / pointers.size;
  if (pointers.size === 2) {
    const [a, b] = [...pointers.values()], apart = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    const middle = place({ clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2 });
    if (spread) zoom(apart / spread, middle.dx, middle.dy);
    spread = apart;
  }
  moved();
});
for (const name of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(name, (event) => {
    const clicked = name === "pointerup" && pointers.size === 1 && travelled < 4;
    pointers.delete(event.pointerId);
    spread = 0;
    canvas.classList.remove("moving");
    if (!clicked) return;
    const { n, column } = under(event, event.pointerType === "touch" ? 22 : 10);
    now.view = columns()[column];
    choose(n, false);
    showView(now.view);
  });
}
canvas.addEventListener("pointerleave", () => { now.hover = -1; tip(-1); redraw(true); });
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const { dx, dy } = place(event), lines = event.deltaMode === 1 ? 16 : 1;
  zoom(Math.exp(Math.max(-0.5, Math.min(0.5, -event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0018)))), dx, dy);
}, { passive: false });
canvas.addEventListener("dblclick", (event) => { const { dx, dy } = place(event); zoom(2, dx, dy); });

const whole = () => { fit(); redraw(); };
const step = (x, y) => { camera.x += (x * width) / 8 / camera.scale; camera.y += (y * width) / 8 / camera.scale; moved(); };
const KEYS = {
  ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0), ArrowUp: () => step(0, -1), ArrowDown: () => step(0, 1),
  "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4), 0: whole, n: () => nextDamaged(1), p: () => nextDamaged(-1),
  Escape: () => { choose(-1); now.matches = new Set(); $("query").value = ""; $("found").textContent = ""; redraw(); },
  "/": () => $("query").focus(),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target instanceof HTMLInputElement;
  if (typing && event.key !== "Escape") return;
  if (event.key === "Enter" && event.target === canvas) {
    const view = views[now.view];
    choose(nearest(camera.x, camera.y, columnWidth() / camera.scale, (n) => visible(view, n)), false);
  } else if (KEYS[event.key]) {
    KEYS[event.key]();
    if (event.key === "Escape") canvas.focus();
  } else if (/^[1-9]$/.test(event.key) && views[Number(event.key) - 1]) showView(Number(event.key) - 1);
  else return;
  event.preventDefault();
});

document.querySelectorAll(".view").forEach((button, n) => button.addEventListener("click", () => { if (now.side) { now.side = false; $("side").checked = false; whole(); } showView(n); search($("query").value); }));
document.querySelectorAll("[data-state]").forEach((box, n) => box.addEventListener("change", () => { now.shown[n] = box.checked; redraw(); }));
$("side").addEventListener("change", (event) => { showSide(event.target.checked); whole(); });
$("links").addEventListener("change", (event) => { now.links = event.target.checked; redraw(); });
$("threads").addEventListener("change", (event) => { now.threads = event.target.checked; redraw(); });
$("depth").addEventListener("input", (event) => { now.depth = Number(event.target.value); $("depth-value").textContent = event.target.value; redraw(); });
$("query").addEventListener("input", (event) => search(event.target.value));
$("find").addEventListener("submit", (event) => { event.preventDefault(); nextFound(1); });
$("previous").addEventListener("click", () => nextFound(-1));
$("in").addEventListener("click", () => zoom(1.5));
$("out").addEventListener("click", () => zoom(1 / 1.5));
$("fit").addEventListener("click", whole);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); redraw(); });
const offerSide = () => { $("side-label").hidden = !(WIDE.matches && views.length > 1); showSide(ROOMY.matches && views.length > 1); };
WIDE.addEventListener("change", () => { resize(); offerSide(); whole(); });
let sized = false;
new ResizeObserver(() => { resize(); if (!sized) fit(); sized = true; changed = true; draw(); }).observe(canvas);

$("threads").parentElement.hidden = views.every((view) => !view.threads.length);
$("depth").max = String(deepest);
$("depth").value = String(deepest);
$("depth-value").textContent = String(deepest);
$("depth-label").hidden = deepest === 0;
readColours();
resize();
offerSide();
showView(views.length - 1);
fit();

// Whoever shows this page in a frame of the same server says what the states are now, one digit for each fragment.
window.addEventListener("message", (event) => {
  const states = event.data?.states, view = views.at(-1);
  if (window.parent === window || event.source !== window.parent || event.origin !== location.origin) return;
  if (typeof states !== "string" || !/^[0-3]*$/.test(states) || states.length !== count) return;
  for (let n = 0; n < count; n++) view.state[n] = Number(states[n]);
  STATES.forEach((state, number) => {
    const cells = document.querySelectorAll(`#legend td[data-count="${state}"]`);
    cells[views.length - 1].textContent = view.state.reduce((sum, each) => sum + (each === number), 0).toLocaleString("en");
  });
  showChosen();
  redraw();
});
