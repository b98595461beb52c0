// Short messages about what was done, announced to screen readers.

import { signal } from "@preact/signals";
import type { JSX } from "preact";

interface Toast {
  id: number;
  text: string;
  bad: boolean;
}

const toasts = signal<Toast[]>([]);
let last = 0;

export function toast(text: string, bad = false): void {
  const id = ++last;
  toasts.value = [...toasts.value.slice(-3), { id, text, bad }];
  setTimeout(() => {
    toasts.value = toasts.value.filter((t) => t.id !== id);
  }, bad ? 12_000 : 5000);
}

export function Toasts(): JSX.Element {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((t) => <p key={t.id} class={t.bad ? "toast bad" : "toast"}>{t.text}</p>)}
    </div>
  );
}
