// The field that filters a table, with its key.

import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { useKeys } from "./keys";

export function Filter({ of, value, onChange, title }: { of: string; value: string; onChange(value: string): void; title?: string }): JSX.Element {
  const input = useRef<HTMLInputElement>(null);
  useKeys([{ key: "/", label: "Filter the table", run: () => input.current?.focus() }], []);
  return (
    <input
      class="filter" type="search" placeholder="Filter   /" aria-label={`Filter ${of}`} value={value} ref={input} title={title}
      onInput={(e) => onChange(e.currentTarget.value)}
      onKeyDown={(e) => {
        if (e.key === "Escape" || e.key === "Enter") e.currentTarget.blur();
        if (e.key === "Escape") onChange("");
      }}
    />
  );
}
