// Queries of the cluster's metrics store (the Prometheus HTTP API).

import { getJSON, query } from "./http";

export interface Series {
  labels: Record<string, string>;
  /** One value for each of Range.times; null where there is none. */
  values: (number | null)[];
}

export interface Range {
  times: number[]; // seconds since 1970
  series: Series[];
}

interface Answer {
  status: string;
  data?: { result?: { metric?: Record<string, string>; values?: [number, string][]; value?: [number, string] }[] };
}

/** queryRange returns the series of an expression over the last seconds. */
export async function queryRange(expression: string, seconds: number, signal?: AbortSignal, points = 120): Promise<Range> {
  const step = Math.max(5, Math.round(seconds / points));
  const end = Math.floor(Date.now() / 1000 / step) * step;
  const start = end - seconds;
  const answer = await getJSON<Answer>(query("/api/metrics/api/v1/query_range", { query: expression, start, end, step }), { signal });
  return alignSeries(answer, start, end, step);
}

/** alignSeries puts the samples of all series on one axis of times. */
export function alignSeries(answer: Answer, start: number, end: number, step: number): Range {
  const times: number[] = [];
  for (let t = start; t <= end; t += step) times.push(t);
  const series = (answer.data?.result ?? []).map((found) => {
    const values: (number | null)[] = new Array<number | null>(times.length).fill(null);
    for (const [time, value] of found.values ?? []) {
      const i = Math.round((time - start) / step);
      const n = Number(value);
      if (i >= 0 && i < values.length && Number.isFinite(n)) values[i] = n;
    }
    return { labels: found.metric ?? {}, values };
  });
  return { times, series };
}
