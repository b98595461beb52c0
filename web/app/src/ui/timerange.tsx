// The choice of how far back to look.

import type { JSX } from "preact";

/** TimeRange chooses one of several ranges, each a name with its seconds. */
export function TimeRange({ ranges, seconds, onChange }: { ranges: [string, number][]; seconds: number; onChange(seconds: number): void }): JSX.Element {
  return (
    <select aria-label="Time range" value={String(seconds)} onChange={(e) => onChange(Number(e.currentTarget.value))}>
      {ranges.map(([name, s]) => <option key={s} value={String(s)}>{name}</option>)}
    </select>
  );
}
