// Brings the live figures of a page to life. Each stands in the page as a still picture, with its
// Vega-Lite specification in a JSON script named for it. A figure's state is the value of its
// controls; it can be set by buttons in the text, and by the page's address: #name?control=value.

const here = document.currentScript.src;
const awake = new Map(); // figure name -> promise of the figure, alive

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
  const refit = () => fit(view, spec, figure.clientWidth);
  await refit();
  addEventListener("resize", refit);
  const say = (_, sentences) => (words.textContent = sentences.join(" "));
  view.addSignalListener("words", say);
  say("words", view.signal("words"));

  const binds = new Map(spec.params.filter((p) => p.bind).map((p) => [p.name, p.bind]));
  const names = [...binds.keys()];
  const first = names.map((control) => view.signal(control));
  const toAddress = () => {
    const changed = names.filter((n, i) => view.signal(n) !== first[i]);
    const query = changed.map((n) => `${n}=${encodeURIComponent(view.signal(n))}`).join("&");
    history.replaceState(null, "", `#${name}` + (query && `?${query}`));
  };
  names.forEach((control) => view.addSignalListener(control, toAddress));
  // Vega writes the value beside its slider with a hyphen; a minus sign is as wide as a plus.
  controls.querySelectorAll('[type="range"] + span').forEach((value) => {
    const sign = () => {
      if (value.textContent.startsWith("-")) value.textContent = `−${value.textContent.slice(1)}`;
    };
    new MutationObserver(sign).observe(value, { childList: true });
    sign();
  });
  // A finger on the dot drags it, and does not scroll the page. CSS cannot say so within an SVG.
  picture.addEventListener(
    "touchstart",
    (event) => event.target.closest("[class*=handle]") && event.preventDefault(),
    { passive: false },
  );
  if (spec.usermeta.run) controls.append(runner(view, binds, spec.usermeta.run, words));
  controls.setAttribute("aria-label", "Controls of the figure");
  figure.classList.add("live-awake");
  figure.prepend(live);
  figure.liveView = view; // for the tests, and the curious
  return { view, binds, toAddress };
}

// Buttons that set a control going, step by step to its end, and hold it. For a reader who asks for
// no motion it goes there at once.
function runner(view, binds, control, words) {
  const { min, max, step } = binds.get(control);
  const buttons = document.createElement("div");
  buttons.className = "live-run";
  buttons.innerHTML =
    '<button type="button">Run</button><button type="button">One step</button>';
  const [run, one] = buttons.children;
  const now = () => view.signal(control);
  const go = (value) => view.signal(control, value).runAsync();
  let clock, expected;
  const pause = () => {
    clearInterval(clock);
    clock = undefined;
    run.textContent = "Run";
    words.removeAttribute("aria-live"); // a status again, which is read out
  };
  const onward = () => go((expected = now() < max ? now() + step : min));
  run.addEventListener("click", () => {
    if (clock) return pause();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return go(max);
    if (now() >= max) go(min);
    run.textContent = "Pause";
    words.setAttribute("aria-live", "off");
    expected = now();
    clock = setInterval(() => {
      // Somebody else has moved it, or it is there.
      if (now() !== expected || now() >= max) return pause();
      onward();
    }, 250);
  });
  one.addEventListener("click", () => {
    pause();
    onward();
  });
  return buttons;
}

// Planes are as wide as the column allows; square ones stay square, and pictures keep their shape.
// What surrounds them depends on their width in turn: on a narrow page the letters are smaller.
async function fit(view, spec, available) {
  const plane = spec.vconcat?.[0] ?? spec;
  let width = plane.width;
  for (let pass = 0; pass < 3; pass += 1) {
    view.width(width);
    const height = (plane.height * width) / plane.width;
    if (plane.height === plane.width) view.height(height);
    if (plane.name === "picture") view.signal("picture_height", height);
    await view.runAsync();
    const excess = view.container().querySelector("svg").getAttribute("width") - available;
    width = Math.min(plane.width, width - excess);
  }
}

// The value nearest to a text that a control can take; undefined where there is none.
function allowed(bind, text) {
  if (bind?.options) return bind.options.find((option) => option === text);
  const value = parseFloat(text);
  if (!bind || !Number.isFinite(value)) return undefined;
  const { min, max, step } = bind;
  const slider = Object.assign(document.createElement("input"), { type: "range", min, max, step });
  slider.value = value;
  return Number(slider.value);
}

// state: "name?control=value&…"; controls that it does not name keep their value.
async function show(state, behavior, from) {
  const [name, query] = state.split("?");
  if (!specification(name)) return;
  const { view, binds, toAddress } = await wake(name);
  for (const [control, text] of new URLSearchParams(query)) {
    const value = allowed(binds.get(control), text);
    if (value !== undefined) view.signal(control, value);
  }
  await view.runAsync();
  toAddress();
  await window.MathJax?.startup?.promise; // which moves what is below
  const figure = document.getElementById(name);
  if (figure.contains(from)) return;
  const { top, bottom } = figure.getBoundingClientRect();
  if (top < 60 || bottom > innerHeight) {
    const block = bottom - top > innerHeight - 60 ? "start" : "nearest";
    figure.scrollIntoView({ block, behavior });
  }
}

document.documentElement.classList.add("live-scripts");
document.querySelectorAll("button[data-state]").forEach((button) =>
  button.addEventListener("click", () => {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    show(button.dataset.state, calm ? "instant" : "smooth", button);
  }),
);
const fromAddress = () => show(location.hash.slice(1), "instant");
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
