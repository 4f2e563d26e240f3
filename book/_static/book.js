// What scrolls inside itself can be reached by keyboard, and so be scrolled; it fades where it goes on.
const wide = "mjx-container[display=true], .cell_output pre, div.highlight pre, .pst-scrollable-table-container, .bd-article table";
function fade(part) {
  part.classList.toggle("goes-on", part.scrollLeft + part.clientWidth < part.scrollWidth - 1);
}
const sizes = new ResizeObserver((changes) => {
  for (const { target } of changes) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
    fade(target);
  }
});
addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  document.querySelectorAll(wide).forEach((part) => sizes.observe(part));
});
addEventListener("scroll", ({ target }) => target.matches?.(wide) && fade(target), { capture: true, passive: true });

// The definition of a glossary term stays on the screen, and goes on Escape.
for (const term of document.querySelectorAll(".explained")) {
  const note = term.querySelector("[role=tooltip]");
  const place = () => {
    term.classList.remove("put-away");
    note.style.translate = "";
    const { left, right, top, bottom, height } = note.getBoundingClientRect();
    const room = document.documentElement.clientWidth - 8;
    const shift = Math.max(Math.min(0, room - right), 8 - left);
    const above = term.getBoundingClientRect().top - height; // where there is no place below
    const lift = bottom > innerHeight && above > 0 ? above - top : 0;
    note.style.translate = `${shift}px ${lift}px`;
  };
  term.addEventListener("mouseenter", place);
  term.addEventListener("focusin", place);
}
addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    document.querySelectorAll(".explained").forEach((term) => term.classList.add("put-away"));
  }
});

// Paper is white, whatever the screen.
let theme;
addEventListener("beforeprint", () => {
  theme = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
});
addEventListener("afterprint", () => (document.documentElement.dataset.theme = theme));
