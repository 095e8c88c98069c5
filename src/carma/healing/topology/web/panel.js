// The side panel: legend, switches, search, and what is selected. Stored text enters the page as text only.
const $ = (id) => document.getElementById(id);
const MOST_LISTED = 30;

function make(tag, text, kind) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

function mark(state) {
  return document.querySelector(`#legend .mark.${STATES[state]}`).cloneNode(true);
}

function percent(value) {
  return `${(100 * value).toFixed(0)} %`;
}

function showView(number) {
  now.view = number;
  document.querySelectorAll(".view").forEach((button, n) => button.setAttribute("aria-pressed", String(now.side || n === number)));
  document.querySelectorAll("#legend tr").forEach((row) => row.querySelectorAll("td[data-count]").forEach((cell, n) => cell.classList.toggle("now", !now.side && views.length > 1 && n === number)));
  $("thread-count").textContent = `(${views[number].threads.length.toLocaleString("en")})`;
  showChosen();
  redraw();
}

function showSide(on) {
  now.side = on;
  $("side").checked = on;
  showView(now.view);
}

function choose(n, go) {
  now.chosen = n;
  if (go && n >= 0) reveal(n);
  showChosen();
  redraw();
}

function entry(view, n, weight) {
  const item = make("li"), button = make("button");
  button.type = "button";
  const what = make("span", short(nameOf(view, n), 80), "what");
  what.dir = "auto";
  button.append(mark(view.state[n]), what);
  if (weight !== undefined) button.append(make("span", weight.toFixed(2), "weight"));
  button.addEventListener("click", () => choose(n, true));
  item.append(button);
  return item;
}

function listed(heading, view, entries, total) {
  if (!total) return [];
  const list = make("ul");
  list.append(...entries.map(([n, weight]) => entry(view, n, weight)));
  if (total > entries.length) list.append(make("li", `and ${(total - entries.length).toLocaleString("en")} more`));
  return [make("h2", `${heading} (${total.toLocaleString("en")})`), list];
}

function showChosen() {
  const box = $("chosen"), view = views[now.view], n = now.chosen;
  box.replaceChildren();
  if (n < 0) return;
  if (view.state[n] < 0) { box.append(make("p", `Not there in “${clean(view.title)}”.`)); return; }
  const text = make("p", nameOf(view, n), "text");
  text.dir = "auto";
  const facts = make("dl");
  const fact = (name, ...parts) => { const value = make("dd"); value.append(...parts); facts.append(make("dt", name), value); };
  fact("state", STATES[view.state[n]]);
  if (view.confidence(n) !== undefined) fact("confidence", percent(view.confidence(n)));
  fact("kind", clean(view.kind(n)));
  fact("depth", String(view.level(n)));
  fact("id", make("code", clean(data.ids[n])));
  if (views.length > 1) fact("over time", views.map((each) => `${clean(each.title)}: ${each.state[n] < 0 ? "not there" : STATES[each.state[n]]}`).join(", "));
  const parent = view.parent(n), seen = (k) => view.state[k] >= 0;
  if (typeof parent === "string") fact("parent", make("code", clean(parent)), " (not shown)");
  const above = typeof parent === "number" && seen(parent) ? [[parent]] : [];
  const below = childrenOf(view, n), near = threadsOf(view, n).filter(([k]) => seen(k));
  box.append(
    make("h2", "Selected"), text, facts, ...listed("Parent", view, above, above.length),
    ...listed("Children", view, below.slice(0, MOST_LISTED).map((k) => [k]), below.length),
    ...listed("Threads", view, near.slice(0, MOST_LISTED), near.length),
  );
}

let found = [], at = -1;
function search(text) {
  const wanted = text.trim().toLowerCase(), view = views[now.view];
  found = [];
  at = -1;
  if (wanted) {
    for (let n = 0; n < count; n++) {
      if (view.state[n] < 0) continue;
      if (view.label(n).toLowerCase().includes(wanted) || data.ids[n].toLowerCase().includes(wanted)) found.push(n);
    }
  }
  now.matches = new Set(found);
  $("found").textContent = !wanted ? "" : found.length ? `${found.length.toLocaleString("en")} found; Enter goes to the next` : "Nothing found";
  redraw();
}

function nextFound(step) {
  if (!found.length) return;
  at = (at + step + found.length) % found.length;
  $("found").textContent = `${(at + 1).toLocaleString("en")} of ${found.length.toLocaleString("en")}`;
  choose(found[at], true);
}

function nextDamaged(step) {
  const view = views[now.view];
  for (let tried = 1, n = now.chosen < 0 && step < 0 ? 0 : now.chosen; tried <= count; tried++) {
    n = (n + step + count) % count;
    if (view.state[n] > 0 && visible(view, n)) { choose(n, true); return; }
  }
}

function tip(n, column, x, y) {
  const box = $("tip");
  box.hidden = n < 0;
  if (n < 0) return;
  const view = views[columns()[column]], parent = view.parent(n);
  const label = make("div", short(nameOf(view, n), 160));
  label.dir = "auto";
  const facts = [clean(view.kind(n)), STATES[view.state[n]]];
  if (view.confidence(n) !== undefined) facts.push(`confidence ${percent(view.confidence(n))}`);
  const lines = [label, make("div", facts.join(" · "), "facts")];
  if (typeof parent === "number" && view.state[parent] >= 0) {
    const above = make("div", `in: ${short(nameOf(view, parent), 60)}`, "facts");
    above.dir = "auto";
    lines.push(above);
  }
  box.replaceChildren(...lines);
  const wide = box.offsetWidth, high = box.offsetHeight;
  box.style.left = `${Math.max(4, Math.min(width - wide - 4, x + 14))}px`;
  box.style.top = `${y + 18 + high > height ? Math.max(4, y - high - 10) : y + 18}px`;
}
