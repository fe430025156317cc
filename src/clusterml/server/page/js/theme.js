// Light or dark, before anything is drawn: the reader's choice, else that of the system.
(() => {
  const chosen = localStorage.getItem("clusterml-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
