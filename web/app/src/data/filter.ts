// Filters of tables: words that all must appear, "!word" that must not, label
// selectors such as app=web.

import type { Row } from "./collection";

/** contains returns a function that reports whether all words of the filter are in a text. */
export function contains(filter: string): (text: string) => boolean {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  return (text) => words.every((word) => text.toLowerCase().includes(word));
}

/** matcher returns a function that reports whether a row passes the filter. */
export function matcher(filter: string): (row: Row) => boolean {
  const terms = filter.toLowerCase().split(/\s+/).filter((t) => t !== "" && t !== "!");
  return (row) => {
    if (terms.length === 0) return true;
    const text = [row.meta.namespace ?? "", row.meta.name, ...row.cells.map(String)].join(" ").toLowerCase();
    return terms.every((term) => {
      const negated = term.startsWith("!");
      const wanted = negated ? term.slice(1) : term;
      return (text.includes(wanted) || hasLabel(row, wanted)) !== negated;
    });
  };
}

function hasLabel(row: Row, term: string): boolean {
  const sign = term.indexOf("=");
  if (sign <= 0) return false;
  const key = term.slice(0, sign);
  return Object.entries(row.meta.labels ?? {}).some(([k, v]) => k.toLowerCase() === key && v.toLowerCase() === term.slice(sign + 1));
}
