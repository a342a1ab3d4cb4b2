// Light, dark, or as the system is.

import { $, kept } from "./common.js";

const KEPT = "llasa-theme", THEMES = { auto: "light dark", light: "light", dark: "dark" };

function apply(theme) {
  document.documentElement.style.colorScheme = THEMES[theme];
  $("theme").ariaLabel = $("theme").title = `Colours: ${theme === "auto" ? "as the system" : theme}`;
  for (const canvas of document.querySelectorAll("canvas")) canvas.dispatchEvent(new Event("redraw"));
}

export function beginTheme() {
  let theme = kept.get(KEPT);
  if (!(theme in THEMES)) theme = "auto";
  $("theme").onclick = () => {
    const names = Object.keys(THEMES);
    theme = names[(names.indexOf(theme) + 1) % names.length];
    kept.set(KEPT, theme);
    apply(theme);
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => apply(theme));
  apply(theme);
}
