"use strict";
// Keys of the dashboard: a letter goes to its page, / to the search, ? lists the keys, Escape closes what is open.
globalThis.carmaScheme = (scheme) => {
  document.documentElement.style.colorScheme = scheme;
  document.getElementById("picture")?.contentWindow.location.reload();
};

// A page whose visit has ended leads to the door: its socket is refused, and asking for the page itself is too.
(() => {
  let leaving = false;
  document.addEventListener("submit", () => { leaving = true; });
  const ask = async () => {
    if (leaving) return;
    const answer = await fetch(location.pathname, { method: "HEAD" }).catch(() => undefined);
    if (!leaving && answer?.status === 401) location.replace(`/sign-in?to=${encodeURIComponent(location.pathname)}`);
  };
  const listen = () => {
    if (!window.socket) { setTimeout(listen, 50); return; }
    for (const event of ["disconnect", "connect_error"]) window.socket.on(event, ask);
  };
  listen();
})();

(() => {
  const WRITING = "input:not([type=checkbox]), textarea, select, [contenteditable]";
  const shortcuts = () => document.getElementById("shortcuts");

  const menu = (open) => {
    const button = document.getElementById("menu");
    if (!button) return;
    const now = open ?? button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(now));
    document.body.classList.toggle("menu-open", now);
  };

  const press = (key) => {
    if (key === "?") { shortcuts()?.showModal(); return true; }
    if (key === "/") {
      const field = document.getElementById("query");
      if (field) { field.focus(); field.select(); } else location.assign("/search");
      return true;
    }
    const link = [...document.querySelectorAll("#navigation a")].find((each) => each.querySelector("kbd")?.textContent === key);
    if (link) location.assign(link.href);
    return Boolean(link);
  };

  document.addEventListener("click", (event) => {
    const on = (what) => event.target.closest?.(what);
    if (on("#menu")) { menu(); return; }
    if (!on("#navigation")) menu(false);
    if (on("#show-shortcuts")) { menu(false); shortcuts()?.showModal(); }
    if (on("#close-shortcuts") || event.target === shortcuts()) shortcuts()?.close();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.repeat) return;
    if (event.key === "Escape") { menu(false); return; }
    if (event.target.closest?.(`${WRITING}, dialog[open], [role=dialog], [role=alertdialog]`)) return;
    if (press(event.key)) event.preventDefault();
  });
})();
