// One control opens or folds all code of a page; pressed again, it leaves the code as the book sets
// it. The choice holds for the whole book.
{
  const folds = [...document.querySelectorAll("details.fold")];
  const control = document.querySelector(".code-control");
  const asSet = folds.map((fold) => fold.open);

  function apply(choice) {
    document.documentElement.dataset.code = choice;
    folds.forEach((fold, i) => (fold.open = choice ? choice === "open" : asSet[i]));
    for (const button of control.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", button.value === choice);
    }
  }

  if (control) {
    control.hidden = false;
    apply(localStorage.code ?? "");
    control.addEventListener("click", ({ target: { value } }) => {
      if (value) apply((localStorage.code = value === localStorage.code ? "" : value));
    });
  }

  // On paper nothing can be opened.
  let before;
  addEventListener("beforeprint", () => {
    before = folds.map((fold) => fold.open);
    for (const fold of folds) fold.open = !fold.matches(".check");
  });
  addEventListener("afterprint", () => folds.forEach((fold, i) => (fold.open = before[i])));
}
