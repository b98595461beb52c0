// What a user has chosen, kept in the browser.

import { effect, signal, type Signal } from "@preact/signals";

function stored(key: string, initial: string): Signal<string> {
  let value = initial;
  try {
    value = localStorage.getItem(key) ?? initial;
  } catch {
    // storage may be disabled; the choice then lasts as long as the page
  }
  const s = signal(value);
  effect(() => {
    try {
      localStorage.setItem(key, s.value);
    } catch {
      // see above
    }
  });
  return s;
}

/** The selected namespace; empty for all. */
export const namespace = stored("skiff.namespace", "");

/** "light", "dark" or "auto", which follows the system. */
export const theme = stored("skiff.theme", "auto");

export const dark = signal(false);

const preference = matchMedia("(prefers-color-scheme: dark)");

function applyTheme(): void {
  const isDark = theme.value === "dark" || (theme.value === "auto" && preference.matches);
  dark.value = isDark;
  document.documentElement.dataset["theme"] = isDark ? "dark" : "light";
}

export function startTheme(): void {
  effect(applyTheme);
  preference.addEventListener("change", applyTheme);
}

export function nextTheme(): void {
  theme.value = theme.peek() === "auto" ? (dark.peek() ? "light" : "dark") : theme.peek() === "dark" ? "light" : "auto";
}
