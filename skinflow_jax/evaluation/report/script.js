"use strict";
// All content stands in the page without this: it chooses what is shown.

const root = document.documentElement;

function startTheme() {
  const button = document.getElementById("theme");
  const dark = () =>
    root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
  const name = () => {
    button.textContent = dark() ? "Light" : "Dark";
    button.setAttribute("aria-label", dark() ? "Light colours" : "Dark colours");
  };
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    name();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  button.hidden = false;
  name();
}

function startFilters(filters) {
  const list = document.querySelector(`[data-cards="${filters.dataset.for}"]`);
  const cards = [...list.children].map((element) => ({
    element,
    text: null,
    outcomes: element.dataset.outcomes.split(" "),
  }));
  const controls = [...filters.querySelectorAll("[data-filter]")];
  const value = (name) => controls.find((c) => c.dataset.filter === name)?.value ?? "";

  function holds(card, chosen) {
    const { text, outcome, run, skin } = chosen;
    if (skin && card.element.dataset.skin !== skin) return false;
    if (outcome || run) {
      const wanted = card.outcomes.filter((found) => !run || found.startsWith(run + ":"));
      if (!wanted.some((found) => !outcome || found.endsWith(":" + outcome))) return false;
    }
    if (!text) return true;
    card.text ??= card.element.textContent.toLowerCase();
    return text.split(/\s+/).every((word) => card.text.includes(word));
  }

  function show() {
    const chosen = {
      text: value("text").trim().toLowerCase(),
      outcome: value("outcome"),
      run: value("run"),
      skin: value("skin"),
    };
    let count = 0;
    for (const card of cards) {
      const kept = holds(card, chosen);
      card.element.hidden = !kept;
      count += kept;
    }
    filters.querySelector(".count").textContent = `${count} of ${cards.length} cases`;
  }

  function reset() {
    for (const control of controls) control.value = "";
    show();
  }

  for (const control of controls) control.addEventListener("input", show);
  filters.querySelector("[data-reset]")?.addEventListener("click", reset);
  filters.hidden = false;
  show();
  return reset;
}

// A link to a case that the filters hide shows it again.
function startLinks(reset) {
  const arrive = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (!target) return;
    if (target.hidden) reset();
    target.scrollIntoView();
    if (target.matches(".card")) target.focus({ preventScroll: true });
  };
  addEventListener("hashchange", arrive);
  arrive();
}

function startAttention() {
  const slider = document.getElementById("attention");
  slider?.addEventListener("input", () => {
    root.style.setProperty("--attention", String(slider.value / 100));
  });
}

// What is folded is printed too.
function startPrint() {
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const found of opened) found.open = true;
  });
  addEventListener("afterprint", () => {
    for (const found of opened) found.open = false;
  });
}

startTheme();
const resets = {};
for (const filters of document.querySelectorAll(".filters")) {
  resets[filters.dataset.for] = startFilters(filters);
}
startLinks(resets.cases);
startAttention();
startPrint();
