// Text within expressions of PromQL and LogsQL, which share their string literals.

/** quote returns a text as a string literal of both languages. */
export function quote(text: string): string {
  return JSON.stringify(text);
}

/** literal returns a regular expression that matches only the text. */
export function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
