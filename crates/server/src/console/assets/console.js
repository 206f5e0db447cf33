// What pages do beside what htmx does. Without scripts all of it works, only less conveniently.
"use strict";

const root = document.documentElement;
const chosen = localStorage.getItem("theme");
if (chosen) root.dataset.theme = chosen;

addEventListener("click", async (event) => {
  const hit = (selector) => event.target.closest(selector);
  if (hit(".theme")) {
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
    dispatchEvent(new Event("theme"));
  }
  const menu = hit(".menu");
  if (menu) {
    const open = document.getElementById("nav").classList.toggle("open");
    menu.setAttribute("aria-expanded", String(open));
  }
  const copy = hit("[data-copies]");
  if (copy) {
    await navigator.clipboard.writeText(document.querySelector(copy.dataset.copies).textContent);
    copy.textContent = "Copied";
  }
  const all = hit("[data-ticks]");
  if (all) {
    for (const box of document.querySelectorAll(all.dataset.ticks)) box.checked = all.checked;
  }
  const reveals = hit("[data-reveals]");
  if (reveals) {
    document.querySelector(reveals.dataset.reveals).type = reveals.checked ? "text" : "password";
  }
  // One open menu at a time, and none when somebody clicks elsewhere.
  for (const open of document.querySelectorAll(".filters details[open]")) {
    if (!open.contains(event.target)) open.open = false;
  }
});

addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "/" && !typing) {
    const search = document.querySelector("input[type=search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  }
  if (event.key === "Escape") {
    const open = event.target.closest(".filters details[open]");
    if (open) {
      open.open = false;
      open.querySelector("summary").focus();
    }
  }
});

// What is put in the place of a line gets the focus that was there: the field, or the button to it.
addEventListener("htmx:load", (event) => {
  const line = event.detail.elt;
  if (!line.matches(".line")) return;
  const place = line.querySelector("form input:not([type=hidden]), form select, form textarea") || line.querySelector(".edit");
  if (place) place.focus();
});

// A page that the browser has kept may be another person's by now, or be out of date: ask again.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

// What is fetched again and again waits while nobody looks at the page, or somebody is in that part
// of it, and stays as it is when it cannot be had.
const isInUse = (part) =>
  part.contains(document.activeElement) ||
  part.querySelector("details[open]") ||
  !getSelection().isCollapsed;
addEventListener("htmx:beforeRequest", (event) => {
  const part = event.target;
  if (part.matches?.("[data-calm]") && (document.hidden || isInUse(part))) event.preventDefault();
});
addEventListener("htmx:beforeSwap", (event) => {
  if (event.target.matches?.("[data-calm]") && event.detail.xhr.status !== 200) {
    event.detail.shouldSwap = false;
  }
});

// A file goes as it is, once to be looked at and once to be taken in.
async function sendFile(form, query) {
  const file = form.querySelector("[type=file]").files[0];
  const kind = form.querySelector("[name=kind]").value;
  const answer = await fetch(`/tasks/import/${kind}?${new URLSearchParams({ name: file.name, ...query })}`, {
    method: "POST",
    headers: { "x-csrf-token": form.querySelector("[name=csrf]").value, "content-type": "text/csv" },
    body: file,
  });
  const next = answer.headers.get("hx-redirect");
  if (next) location.assign(next);
  else document.getElementById("import-preview").innerHTML = await answer.text();
}

addEventListener("submit", (event) => {
  if (!event.target.matches("[data-import]")) return;
  event.preventDefault();
  sendFile(event.target, {});
});
addEventListener("click", (event) => {
  if (event.target.closest("[data-begin]")) sendFile(document.querySelector("[data-import]"), { begin: "yes" });
});
