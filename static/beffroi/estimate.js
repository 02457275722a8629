// A pasted prompt is counted here and goes nowhere: its field has no name, so that no form sends it.
(() => {
  const CHARACTERS_A_TOKEN = 4;
  document.querySelectorAll("[data-counts-tokens]").forEach((box) => {
    const field = document.getElementById(box.dataset.countsTokens);
    box.querySelector("textarea").addEventListener("input", (event) => {
      event.stopPropagation();
      field.value = Math.ceil([...event.target.value].length / CHARACTERS_A_TOKEN);
      field.dispatchEvent(new Event("input", { bubbles: true }));
    });
  });
})();
