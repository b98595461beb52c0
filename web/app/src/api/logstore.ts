// Queries of the cluster's log store (VictoriaLogs' query API, in LogsQL).

import type { LogLine } from "../data/lines";
import { quote } from "./expression";
import { getJSON, lines, query, send } from "./http";

export interface LogFilter {
  namespace: string;
  pod: string;
  text: string; // words, or LogsQL if expert is set
  expert: boolean;
  seconds: number;
}

/**
 * spellings returns a word as it is written, in lower case, capitalized, and in capitals. A
 * regular expression that ignores case would take ten times as long (docs/decisions/0012).
 */
function spellings(word: string): string[] {
  const [first = "", ...rest] = word;
  return [...new Set([word, word.toLowerCase(), first.toUpperCase() + rest.join("").toLowerCase(), word.toUpperCase()])];
}

/** logsQL returns the expression of a filter. The words of its text must all appear. */
export function logsQL(f: LogFilter): string {
  const parts: string[] = [];
  if (f.namespace !== "") parts.push(`namespace:=${quote(f.namespace)}`);
  if (f.pod !== "") parts.push(`pod:${quote(f.pod)}*`);
  if (f.expert) {
    if (f.text.trim() !== "") parts.push(`(${f.text.trim()})`);
  } else {
    for (const word of f.text.split(/\s+/).filter(Boolean)) {
      const negated = word.startsWith("!") && word.length > 1;
      parts.push(`${negated ? "!" : ""}(${spellings(negated ? word.slice(1) : word).map((s) => `_msg:*${quote(s)}*`).join(" or ")})`);
    }
  }
  return parts.length > 0 ? parts.join(" ") : "*";
}

/** searchLogs returns the newest matching entries, the oldest of them first. */
export async function searchLogs(f: LogFilter, limit: number, signal?: AbortSignal): Promise<LogLine[]> {
  const end = Date.now() / 1000;
  const path = query("/api/logs/select/logsql/query", { query: logsQL(f), limit, start: (end - f.seconds).toFixed(3), end: end.toFixed(3) });
  const found: LogLine[] = [];
  await lines(await send(path, { signal, accept: "*/*" }), (text) => {
    const { _time, _msg, _stream, _stream_id, ...fields } = JSON.parse(text) as Record<string, string>;
    const source = fields["container"] ? `${fields["pod"] ?? ""}/${fields["container"]}` : [fields["node"], fields["program"] ?? fields["source"]].filter(Boolean).join("/");
    found.push({ id: found.length, time: _time ?? "", text: _msg ?? "", source, fields });
  });
  found.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  return found.map((line, id) => ({ ...line, id }));
}

export interface Hits {
  times: string[];
  counts: number[];
}

/** countLogs returns how many entries match over time. */
export async function countLogs(f: LogFilter, bars: number, signal?: AbortSignal): Promise<Hits> {
  const end = Math.floor(Date.now() / 1000);
  const step = Math.max(1, Math.round(f.seconds / bars));
  const answer = await getJSON<{ hits?: { timestamps?: string[]; values?: number[] }[] }>(
    query("/api/logs/select/logsql/hits", { query: logsQL(f), start: end - f.seconds, end, step: `${step}s` }), { signal },
  );
  const total = new Map<string, number>();
  for (const hit of answer.hits ?? []) {
    hit.timestamps?.forEach((time, i) => total.set(time, (total.get(time) ?? 0) + (hit.values?.[i] ?? 0)));
  }
  const times = [...total.keys()].sort();
  return { times, counts: times.map((t) => total.get(t) ?? 0) };
}
