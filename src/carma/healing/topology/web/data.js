// What the page holds: fragments by number, and each view's states, names and neighbours.
const data = JSON.parse(document.getElementById("data").textContent);
const count = data.ids.length;
const STATES = data.states;
const xs = new Float32Array(count), ys = new Float32Array(count);
for (let n = 0; n < count; n++) { xs[n] = data.at[2 * n]; ys[n] = data.at[2 * n + 1]; }
const discs = Object.entries(data.discs).map(([n, [x, y, r]]) => ({ n: Number(n), x, y, r })).sort((a, b) => b.r - a.r);
const discOf = new Map(discs.map((disc) => [disc.n, disc]));
const deepest = data.level.reduce((a, b) => Math.max(a, b), 0);

const views = data.views.map((given) => {
  const state = new Int8Array(count);
  for (let n = 0; n < count; n++) state[n] = given.states[n] === "-" ? -1 : Number(given.states[n]);
  const threads = given.threads.filter((t) => typeof t[0] === "number" && typeof t[1] === "number").sort((a, b) => b[2] - a[2]);
  const said = (n, name, column) => {
    const changed = given.changes[n];
    return changed && name in changed ? changed[name] : column[n];
  };
  return {
    title: given.title, state, threads, byThread: null, byParent: null,
    label: (n) => said(n, "label", data.labels),
    kind: (n) => given.changes[n]?.kind ?? data.kinds[data.kind[n]],
    level: (n) => said(n, "level", data.level),
    parent: (n) => said(n, "parent", data.parent),
    confidence: (n) => given.confidence[n],
  };
});

// Threads and children of a fragment; gathered at the first question.
function threadsOf(view, n) {
  if (!view.byThread) {
    view.byThread = new Map();
    for (const [a, b, weight] of view.threads) {
      for (const [one, other] of [[a, b], [b, a]]) {
        if (!view.byThread.has(one)) view.byThread.set(one, []);
        view.byThread.get(one).push([other, weight]);
      }
    }
  }
  return view.byThread.get(n) ?? [];
}

function childrenOf(view, n) {
  if (!view.byParent) {
    view.byParent = new Map();
    for (let child = 0; child < count; child++) {
      const parent = view.parent(child);
      if (view.state[child] < 0 || typeof parent !== "number") continue;
      if (!view.byParent.has(parent)) view.byParent.set(parent, []);
      view.byParent.get(parent).push(child);
    }
  }
  return view.byParent.get(n) ?? [];
}

// Text as it may be shown: control and direction-changing characters cannot steer the page.
const clean = (text) => text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]+/g, " ").trim();
const short = (text, most) => {
  const letters = Array.from(clean(text));
  return letters.length <= most ? letters.join("") : letters.slice(0, most - 1).join("") + "…";
};
const nameOf = (view, n) => clean(view.label(n)) || (view.state[n] === 3 ? "(blank)" : "(no text)");

// Fragments by square of the plane: what is near a place, and what lies in a window.
const CELL = 4;
const cells = new Map();
const cellKey = (cx, cy) => cx * 1048576 + cy;
for (let n = 0; n < count; n++) {
  const key = cellKey(Math.floor(xs[n] / CELL), Math.floor(ys[n] / CELL));
  if (!cells.has(key)) cells.set(key, []);
  cells.get(key).push(n);
}

function nearest(x, y, within, accept) {
  let best = -1, least = within * within;
  const reach = Math.ceil(within / CELL);
  if (reach > 60) {
    for (let n = 0; n < count; n++) look(n);
    return best;
  }
  const cx = Math.floor(x / CELL), cy = Math.floor(y / CELL);
  for (let i = cx - reach; i <= cx + reach; i++) {
    for (let j = cy - reach; j <= cy + reach; j++) for (const n of cells.get(cellKey(i, j)) ?? []) look(n);
  }
  return best;
  function look(n) {
    const far = (xs[n] - x) ** 2 + (ys[n] - y) ** 2;
    if (far < least && accept(n)) { least = far; best = n; }
  }
}

const bounds = { left: 0, right: 0, top: 0, bottom: 0 };
for (let n = 0; n < count; n++) {
  bounds.left = Math.min(bounds.left, xs[n]); bounds.right = Math.max(bounds.right, xs[n]);
  bounds.top = Math.min(bounds.top, ys[n]); bounds.bottom = Math.max(bounds.bottom, ys[n]);
}
for (const { x, y, r } of discs) {
  bounds.left = Math.min(bounds.left, x - r); bounds.right = Math.max(bounds.right, x + r);
  bounds.top = Math.min(bounds.top, y - r); bounds.bottom = Math.max(bounds.bottom, y + r);
}
