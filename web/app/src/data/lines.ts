// A bounded number of lines of a log: the oldest are dropped.

export interface LogLine {
  id: number;
  time: string;
  text: string;
  source: string; // container, or pod/container where several are shown
  fields?: Record<string, string>;
}

const longest = 16_384; // characters of a line that are kept

export class LineBuffer {
  private lines: LogLine[] = [];
  private rest = new Map<string, string>();
  private times = new Map<string, string>(); // of the last line of each source
  private known = new Map<string, string>(); // lines of a source up to this time are there
  private last = 0;
  dropped = 0;

  constructor(private readonly limit: number) {}

  /** add takes text of a source as it arrives; a line may come in several parts. */
  add(text: string, source: string): void {
    const parts = ((this.rest.get(source) ?? "") + text).split("\n");
    this.rest.set(source, (parts.pop() ?? "").slice(0, 2 * longest));
    for (const part of parts) {
      const line = splitTime(part.replace(/\r$/, ""));
      if (line.time !== "") {
        if (line.time <= (this.known.get(source) ?? "")) continue;
        this.times.set(source, line.time);
      }
      this.push(line, source);
    }
  }

  /**
   * resume returns the time since which a source must be read again, empty for the first
   * time. The server rounds it down to a second; add leaves out the lines that are known.
   */
  resume(source: string): string {
    const since = this.times.get(source) ?? "";
    this.known.set(source, since);
    this.rest.delete(source);
    return since;
  }

  push(line: { time: string; text: string; fields?: Record<string, string> }, source: string): void {
    this.lines.push({ id: ++this.last, source, ...line, text: line.text.slice(0, longest) });
    if (this.lines.length > this.limit + this.limit / 10) {
      const surplus = this.lines.length - this.limit;
      this.lines = this.lines.slice(surplus);
      this.dropped += surplus;
    }
  }

  snapshot(): LogLine[] {
    return this.lines.slice(-this.limit);
  }
}

/** splitTime separates the time stamp that the kubelet puts before a line. */
export function splitTime(line: string): { time: string; text: string } {
  const match = /^(\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:\d\d)) /.exec(line);
  return match ? { time: match[1] ?? "", text: line.slice(match[0].length) } : { time: "", text: line };
}

/** mark splits a text at what a search finds, for highlighting. */
export function mark(text: string, search: string): { text: string; found: boolean }[] {
  if (search === "") return [{ text, found: false }];
  const parts: { text: string; found: boolean }[] = [];
  const lower = text.toLowerCase();
  const wanted = search.toLowerCase();
  let from = 0;
  for (let at = lower.indexOf(wanted); at >= 0 && parts.length < 200; at = lower.indexOf(wanted, from)) {
    if (at > from) parts.push({ text: text.slice(from, at), found: false });
    parts.push({ text: text.slice(at, at + wanted.length), found: true });
    from = at + wanted.length;
  }
  if (from < text.length || parts.length === 0) parts.push({ text: text.slice(from), found: false });
  return parts;
}

/** severity returns the level that a line's text states. */
export function severity(text: string): "error" | "warning" | "" {
  const head = text.slice(0, 300);
  if (/\b(error|fatal|panic|critical|ERR|FATAL)\b|^E\d{4} |"level":"(error|fatal)"|level=(error|fatal)/i.test(head)) return "error";
  if (/\bwarn(ing)?\b|^W\d{4} /i.test(head)) return "warning";
  return "";
}
