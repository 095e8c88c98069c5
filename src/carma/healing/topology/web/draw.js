// Drawing: one canvas, one column for each view that is shown, one camera for all of them.
const canvas = document.getElementById("map");
const pen = canvas.getContext("2d");
const now = {
  view: 0, side: false, links: true, threads: true, shown: [true, true, true, true], depth: deepest,
  chosen: -1, hover: -1, matches: new Set(), moving: false,
};
const camera = { x: 0, y: 0, scale: 1 };
let width = 1, height = 1, colours = {}, waiting = false, changed = true;
const MOST_THREADS = 2500, HEAVY = 8000, SLOW_MS = 40, WHOLE = 18;
const snapshot = { picture: document.createElement("canvas"), camera: null, shown: "" };
let spotsDrawn = 0, drawMs = 0, named = [];

function readColours() {
  const probe = document.createElement("span");
  document.body.append(probe);
  const names = ["ground", "ink", "soft", "rule", "disc", "rim", "link", "thread", "focus", ...STATES];
  for (const name of names) {
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
}

const columns = () => (now.side && views.length > 1 ? views.map((_, n) => n) : [now.view]);
const columnWidth = () => width / columns().length;
const visible = (view, n) => view.state[n] >= 0 && now.shown[view.state[n]] && view.level(n) <= now.depth;

// onlyHover: nothing has changed but what the mouse is over.
function redraw(onlyHover = false) {
  changed = changed || !onlyHover;
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
}

function draw() {
  if (changed) drawAll();
  else drawSnapshot();
  changed = !snapshot.camera || snapshot.shown !== sights(); // without a snapshot all is drawn every time
  drawHover();
}

// While the picture moves and there is much in it, the last one is shifted and scaled; it is drawn anew when it rests.
function drawAll() {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  if (now.moving && snapshot.camera && snapshot.shown === sights() && (spotsDrawn > HEAVY || drawMs > SLOW_MS)) return drawSnapshot();
  const begun = performance.now();
  spotsDrawn = 0;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const shown = columns(), wide = columnWidth();
  let hidden = 0;
  shown.forEach((number, column) => {
    pen.save();
    pen.beginPath();
    pen.rect(column * wide, 0, wide, height);
    pen.clip();
    pen.translate(column * wide + wide / 2, height / 2);
    hidden += drawView(views[number], wide);
    pen.restore();
    if (column) { pen.fillStyle = colours.rule; pen.fillRect(column * wide, 0, 1, height); }
    if (shown.length > 1) title(short(views[number].title, 30), column * wide + 12, 22);
  });
  const note = document.getElementById("note");
  note.hidden = !hidden;
  note.textContent = hidden ? `The ${MOST_THREADS.toLocaleString("en")} strongest threads in sight; zoom in for the others.` : "";
  drawMs = performance.now() - begun;
  if (spotsDrawn > HEAVY || drawMs > SLOW_MS) keepSnapshot();
  else snapshot.camera = null;
}

const sights = () => `${columns()} ${width} ${height}`;

function keepSnapshot() {
  snapshot.picture.width = canvas.width;
  snapshot.picture.height = canvas.height;
  snapshot.picture.getContext("2d").drawImage(canvas, 0, 0);
  snapshot.camera = { ...camera };
  snapshot.shown = sights();
}

function drawSnapshot() {
  const ratio = Math.min(window.devicePixelRatio || 1, 2), wide = columnWidth(), grown = camera.scale / snapshot.camera.scale;
  const dx = (snapshot.camera.x - camera.x) * camera.scale, dy = (snapshot.camera.y - camera.y) * camera.scale;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  columns().forEach((_, column) => {
    pen.save();
    pen.beginPath();
    pen.rect(column * wide, 0, wide, height);
    pen.clip();
    pen.translate(column * wide + wide / 2 + dx, height / 2 + dy);
    pen.drawImage(snapshot.picture, column * wide * ratio, 0, wide * ratio, height * ratio, (-wide / 2) * grown, (-height / 2) * grown, wide * grown, height * grown);
    pen.restore();
  });
}

function title(text, x, y) {
  pen.font = "600 14px system-ui, sans-serif";
  pen.textAlign = "left";
  pen.lineWidth = 4;
  pen.strokeStyle = colours.ground;
  pen.strokeText(text, x, y);
  pen.fillStyle = colours.ink;
  pen.fillText(text, x, y);
}

function drawHover() {
  const n = now.hover, wide = columnWidth(), s = camera.scale;
  if (n < 0) return;
  columns().forEach((number, column) => {
    const state = views[number].state[n], x = (xs[n] - camera.x) * s;
    if (state < 0 || Math.abs(x) > wide / 2) return;
    pen.save();
    pen.translate(column * wide + wide / 2, height / 2);
    rings([n], (v) => (v - camera.x) * s, (v) => (v - camera.y) * s, radius(state, s) + 3, colours.ink, 1.5);
    pen.restore();
  });
}

// Draws one view around (0, 0); returns how many threads were left out.
function drawView(view, wide) {
  const s = camera.scale, X = (x) => (x - camera.x) * s, Y = (y) => (y - camera.y) * s;
  const halfX = wide / 2 + 20, halfY = height / 2 + 20;
  const inside = (n) => Math.abs(X(xs[n])) < halfX && Math.abs(Y(ys[n])) < halfY;
  drawDiscs(view, X, Y, s, halfX, halfY);
  const groups = STATES.map(() => []);
  for (let n = 0; n < count; n++) if (visible(view, n) && inside(n)) groups[view.state[n]].push(n);
  if (now.links) drawLinks(view, X, Y, s, inside);
  const left = now.threads ? drawThreads(view, X, Y, inside) : 0;
  STATES.forEach((name, state) => drawSpots(name, state, groups[state], X, Y, s));
  if (now.matches.size) rings([...now.matches].filter((n) => visible(view, n) && inside(n)), X, Y, radius(0, s) + 4, colours.focus, 1.5);
  if (now.chosen >= 0 && view.state[now.chosen] >= 0) drawChosen(view, X, Y, s);
  drawNames(view, X, Y, s, wide, groups);
  return left;
}

function drawDiscs(view, X, Y, s, halfX, halfY) {
  pen.fillStyle = colours.disc;
  pen.strokeStyle = colours.rim;
  pen.lineWidth = 1;
  for (const { n, x, y, r } of discs) {
    const size = r * s;
    if (size < 9) break; // they come by size
    if (!(view.state[n] >= 0) || view.level(n) > now.depth || size > 6 * halfX) continue;
    if (Math.abs(X(x)) > halfX + size || Math.abs(Y(y)) > halfY + size) continue;
    pen.beginPath();
    pen.arc(X(x), Y(y), size, 0, 7);
    pen.fill();
    if (size > 16) pen.stroke();
  }
}

function drawLinks(view, X, Y, s, inside) {
  pen.beginPath();
  for (let n = 0; n < count; n++) {
    const parent = view.parent(n);
    if (typeof parent !== "number" || !visible(view, n) || !(view.state[parent] >= 0)) continue;
    if (!inside(n) && !inside(parent)) continue;
    const ax = X(xs[n]), ay = Y(ys[n]), bx = X(xs[parent]), by = Y(ys[parent]);
    if (Math.abs(ax - bx) + Math.abs(ay - by) < 3) continue; // shorter than a spot
    pen.moveTo(ax, ay);
    pen.lineTo(bx, by);
  }
  pen.strokeStyle = colours.link;
  pen.lineWidth = Math.min(1.4, Math.max(0.4, s * 0.09));
  pen.stroke();
}

function drawThreads(view, X, Y, inside) {
  let drawn = 0, left = 0;
  pen.beginPath();
  for (const [a, b] of view.threads) {
    if (!visible(view, a) || !visible(view, b) || !(inside(a) || inside(b))) continue;
    if (drawn >= MOST_THREADS) { left++; continue; }
    drawn++;
    bow(X(xs[a]), Y(ys[a]), X(xs[b]), Y(ys[b]));
  }
  pen.strokeStyle = colours.thread;
  pen.globalAlpha = Math.max(0.05, Math.min(0.5, 30 / (drawn + 1)));
  pen.lineWidth = 1;
  pen.stroke();
  pen.globalAlpha = 1;
  return left;
}

function bow(ax, ay, bx, by) {
  pen.moveTo(ax, ay);
  pen.quadraticCurveTo((ax + bx) / 2 - (by - ay) * 0.12, (ay + by) / 2 + (bx - ax) * 0.12, bx, by);
}

// Half the width of a spot: what is not intact is never too small to see.
const radius = (state, s) => Math.min(11, Math.max(state ? 1.7 + Math.min(1.3, s * 0.9) : 0.9, s * 0.3));

function drawSpots(name, state, group, X, Y, s) {
  const r = radius(state, s);
  spotsDrawn += group.length;
  if (!state && r < 1.6) {
    pen.fillStyle = colours[name];
    for (const n of group) pen.fillRect(X(xs[n]) - r, Y(ys[n]) - r, 2 * r, 2 * r);
    return;
  }
  pen.beginPath();
  for (const n of group) {
    const x = X(xs[n]), y = Y(ys[n]);
    if (state === 1) pen.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8);
    else if (state === 2) { pen.moveTo(x, y - r * 1.3); pen.lineTo(x + r * 1.3, y); pen.lineTo(x, y + r * 1.3); pen.lineTo(x - r * 1.3, y); pen.closePath(); }
    else { pen.moveTo(x + r, y); pen.arc(x, y, r, 0, 7); }
  }
  if (state === 3) {
    pen.fillStyle = colours.ground;
    pen.fill();
    pen.strokeStyle = colours[name];
    pen.lineWidth = Math.min(3, Math.max(1.2, r * 0.4));
    pen.stroke();
  } else {
    pen.fillStyle = colours[name];
    pen.fill();
  }
}

function rings(group, X, Y, r, colour, line) {
  pen.beginPath();
  for (const n of group) { pen.moveTo(X(xs[n]) + r, Y(ys[n])); pen.arc(X(xs[n]), Y(ys[n]), r, 0, 7); }
  pen.strokeStyle = colour;
  pen.lineWidth = line;
  pen.stroke();
}

function drawChosen(view, X, Y, s) {
  const n = now.chosen, parent = view.parent(n);
  const kin = childrenOf(view, n).concat(typeof parent === "number" ? [parent] : []).filter((k) => view.state[k] >= 0);
  pen.beginPath();
  for (const k of kin) { pen.moveTo(X(xs[n]), Y(ys[n])); pen.lineTo(X(xs[k]), Y(ys[k])); }
  pen.strokeStyle = colours.ink;
  pen.lineWidth = 1.2;
  pen.stroke();
  pen.beginPath();
  for (const [k] of threadsOf(view, n)) bow(X(xs[n]), Y(ys[n]), X(xs[k]), Y(ys[k]));
  pen.strokeStyle = colours.thread;
  pen.lineWidth = 1.8;
  pen.stroke();
  rings([n], X, Y, radius(view.state[n], s) + 5, colours.ink, 2.5);
}

// Where what has no parent lies, and nothing below it: together, outside of every disc. Null for fewer than two.
function loose(view) {
  if (view.loose !== undefined) return view.loose;
  const found = [];
  for (let n = 0; n < count; n++) {
    if (view.state[n] >= 0 && typeof view.parent(n) !== "number" && !discOf.has(n)) found.push(n);
  }
  if (found.length < 2) return (view.loose = null);
  const mean = (at) => found.reduce((sum, n) => sum + at[n], 0) / found.length;
  const x = mean(xs), y = mean(ys);
  return (view.loose = { x, y, r: Math.max(...found.map((n) => Math.hypot(xs[n] - x, ys[n] - y))) });
}

// Names of the subtrees that are large on screen, then of single fragments when there is room for them.
function drawNames(view, X, Y, s, wide, groups) {
  pen.textAlign = "center";
  pen.lineJoin = "round";
  const taken = [];
  named = [];
  const free = (x, y, w) => !taken.some((t) => Math.abs(t.x - x) < (t.w + w) / 2 + 8 && Math.abs(t.y - y) < 17);
  const put = (text, x, y, font, colour) => {
    pen.font = font;
    const w = pen.measureText(text).width;
    if (Math.abs(x) + w / 2 > wide / 2 - 4) x = Math.sign(x) * (wide / 2 - 4 - w / 2);
    if (Math.abs(y) > height / 2 - 8 || !free(x, y, w)) return false;
    taken.push({ x, y, w });
    named.push(text);
    pen.lineWidth = 3.5;
    pen.strokeStyle = colours.ground;
    pen.strokeText(text, x, y);
    pen.fillStyle = colour;
    pen.fillText(text, x, y);
    return true;
  };
  if (columns().length > 1) taken.push({ x: -wide / 2 + 60, y: -height / 2 + 18, w: 120 });
  const most = wide < 500 ? 22 : 40;
  for (const { n, x, y, r } of discs) {
    const size = r * s;
    if (size < 34 || taken.length > most) break;
    if (size > wide * 0.8 || !visible(view, n)) continue;
    if (Math.abs(X(x)) > wide / 2 || Math.abs(Y(y)) > height / 2 + size) continue;
    // A usual name is shown whole where there is room for it; a long one as far as its disc reaches.
    const reach = Math.min(34, Math.max(9, Math.round(size / 4)));
    for (const letters of new Set([Math.max(WHOLE, reach), reach])) {
      if (put(short(nameOf(view, n), letters), X(x), Y(y) - size + 14, "600 12px system-ui, sans-serif", colours.ink)) break;
    }
  }
  const heap = discs.length ? loose(view) : null;
  if (heap) {
    const name = "without a parent", at = [X(heap.x), Y(heap.y)], reach = heap.r * s, font = "600 12px system-ui, sans-serif";
    // Below it, or beside it where the picture ends.
    put(name, at[0], at[1] + reach + 16, font, colours.soft) || put(name, at[0] + reach + 62, at[1] + 4, font, colours.soft);
  }
  if (s < 60) return;
  for (const group of [groups[3], groups[2], groups[1], groups[0]]) {
    for (const n of group) {
      if (taken.length > 160) return;
      put(short(nameOf(view, n), Math.max(10, Math.round(s / 5))), X(xs[n]), Y(ys[n]) + radius(view.state[n], s) + 14, "11px system-ui, sans-serif", colours.soft);
    }
  }
}

function resize() {
  const box = canvas.getBoundingClientRect(), ratio = Math.min(window.devicePixelRatio || 1, 2);
  width = Math.max(1, box.width);
  height = Math.max(1, box.height);
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
}

function fit() {
  const wide = bounds.right - bounds.left + 3, high = bounds.bottom - bounds.top + 3;
  camera.x = (bounds.left + bounds.right) / 2;
  camera.y = (bounds.top + bounds.bottom) / 2;
  camera.scale = Math.min(90, (columnWidth() - 24) / wide, (height - (columns().length > 1 ? 76 : 36)) / high);
}
