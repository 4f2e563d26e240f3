// Brings the live figures of a page to life. Each stands in the page as a still picture, with its
// Vega-Lite specification in a JSON script named for it. A figure's state is the value of its
// controls; it can be set by buttons in the text, and by the page's address: #name?control=value.

const here = document.currentScript.src;
const awake = new Map(); // figure name -> promise of its Vega view

function specification(name) {
  return document.querySelector(`script[data-live="${CSS.escape(name)}"]`);
}

// The Vega scripts are loaded once, by the first figure that needs them.
let scripts;
function vegaScripts() {
  scripts ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("vega.js", here);
    script.onload = resolve;
    script.onerror = reject;
    document.head.append(script);
  });
  return scripts;
}

function wake(name) {
  if (!awake.has(name)) awake.set(name, build(name));
  return awake.get(name);
}

async function build(name) {
  await vegaScripts();
  const figure = document.getElementById(name);
  const spec = JSON.parse(specification(name).textContent);
  delete spec.title; // the words stand next to the figure instead
  fit(spec, figure.clientWidth);

  const live = document.createElement("div");
  live.className = "live";
  live.innerHTML =
    '<form class="live-controls"></form><p class="live-words" role="status"></p>' +
    '<div role="img"><div class="live-picture" aria-hidden="true"></div></div>';
  const [controls, words, described] = live.children;
  const picture = described.firstElementChild;
  controls.addEventListener("submit", (event) => event.preventDefault());
  described.setAttribute("aria-label", figure.querySelector("img").alt);

  const { view } = await vegaEmbed(picture, spec, {
    bind: controls,
    mode: "vega-lite",
    tooltip: false,
  });
  const say = (_, sentences) => (words.textContent = sentences.join(" "));
  view.addSignalListener("words", say);
  say("words", view.signal("words"));

  const names = spec.params.filter((p) => p.bind).map((p) => p.name);
  const first = names.map((control) => view.signal(control));
  names.forEach((control) =>
    view.addSignalListener(control, () => {
      const changed = names.filter((n, i) => view.signal(n) !== first[i]);
      const query = changed.map((n) => `${n}=${encodeURIComponent(view.signal(n))}`).join("&");
      history.replaceState(null, "", `#${name}` + (query && `?${query}`));
    }),
  );
  controls.setAttribute("aria-label", "Controls of the figure");
  figure.classList.add("live-awake");
  figure.prepend(live);
  figure.liveView = view; // for the tests, and the curious
  return view;
}

// Planes are as wide as the column allows: what surrounds them (axis, labels, padding) is fixed.
function fit(spec, available) {
  const widest = Math.max(220, available - 80);
  for (const part of [spec, ...(spec.vconcat ?? [])]) {
    if (part.width) part.width = Math.min(part.width, widest);
  }
}

// state: "name?control=value&…"; controls that it does not name keep their value.
async function show(state, scroll) {
  const [name, query] = state.split("?");
  if (!specification(name)) return;
  const view = await wake(name);
  for (const [control, text] of new URLSearchParams(query)) {
    const now = view.signal(control); // an unknown name is an error that the console shows
    view.signal(control, typeof now === "number" ? Number(text) : text);
  }
  await view.runAsync();
  const figure = document.getElementById(name);
  const { top, bottom } = figure.getBoundingClientRect();
  if (scroll && (top < 60 || bottom > innerHeight)) {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    figure.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
  }
}

document.documentElement.classList.add("live-scripts");
document.querySelectorAll("button[data-state]").forEach((button) =>
  button.addEventListener("click", () => show(button.dataset.state, true)),
);
const fromAddress = () => show(decodeURI(location.hash.slice(1)), true);
addEventListener("hashchange", fromAddress);
if (location.hash.includes("?")) fromAddress();

const near = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) {
        near.unobserve(target);
        wake(target.id);
      }
    }
  },
  { rootMargin: "600px" },
);
document.querySelectorAll("script[data-live]").forEach((script) =>
  near.observe(document.getElementById(script.dataset.live)),
);
