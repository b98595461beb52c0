// Keys of the keyboard. One listener; screens add theirs while they are shown.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

export interface Key {
  key: string; // as in KeyboardEvent.key; two characters for a sequence such as "g p"
  label: string;
  run(): void;
  /** Not shown in the list of keys. */
  hidden?: boolean;
}

export const keys = signal<Key[]>([]);
const sequenceLimit = 1200;
let prefix = "";
let prefixTimer = 0;

/** bind adds keys until the returned function is called. Later ones take precedence, except for global ones. */
export function bind(added: Key[], global = false): () => void {
  keys.value = global ? [...keys.peek(), ...added] : [...added, ...keys.peek()];
  return () => {
    keys.value = keys.peek().filter((k) => !added.includes(k));
  };
}

export function useKeys(added: Key[], dependencies: unknown[], global = false): void {
  useEffect(() => bind(added, global), dependencies);
}

/** typing reports whether a key belongs to what has the focus, such as an input. */
function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement
    && (target.isContentEditable || target.closest("input, textarea, select, [contenteditable], .terminal, .editor") !== null);
}

function onKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.altKey) return;
  const control = event.ctrlKey || event.metaKey;
  if (control ? event.key !== "k" : typing(event.target) || document.querySelector("dialog[open]")) return;
  if (event.key === "Enter" && event.target instanceof HTMLElement && event.target.closest("a, button, summary")) return;
  const pressed = control ? `ctrl+${event.key}` : event.key;
  const name = prefix === "" ? pressed : `${prefix} ${pressed}`;
  const known = keys.peek();
  const match = known.find((k) => k.key === name);
  clearTimeout(prefixTimer);
  prefix = "";
  if (match) {
    event.preventDefault();
    match.run();
  } else if (known.some((k) => k.key.startsWith(`${pressed} `))) {
    prefix = pressed;
    prefixTimer = window.setTimeout(() => {
      prefix = "";
    }, sequenceLimit);
  }
}

export function startKeys(): void {
  addEventListener("keydown", onKey);
}
