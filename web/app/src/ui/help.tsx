// The list of keys.

import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { Dialog } from "./dialog";
import { keys } from "./keys";

export const helpOpen = signal(false);

export function Help(): JSX.Element | null {
  if (!helpOpen.value) return null;
  const seen = new Set<string>();
  const shown = keys.value.filter((k) => {
    if (k.hidden || seen.has(k.key)) return false;
    seen.add(k.key);
    return true;
  });
  return (
    <Dialog title="Keys" class="help" onClose={() => { helpOpen.value = false; }}>
      <dl class="keys">
        {shown.map((k) => (
          <div key={k.key}>
            <dt>{k.key.split(" ").map((part) => <kbd key={part}>{names[part] ?? part}</kbd>)}</dt>
            <dd>{k.label}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}

const names: Record<string, string> = { Escape: "esc", Enter: "⏎" };
