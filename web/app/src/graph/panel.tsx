// A graph of a range query, refreshed while it is shown. uPlot is loaded with the first
// one.

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type UPlot from "uplot";
import { queryRange, type Range } from "../api/metrics";
import { useLoad } from "../data/use";
import { dark } from "../ui/settings";

export interface Line {
  expression: string;
  /** The name of a series from its labels; a fixed name if it has one series. */
  name(labels: Record<string, string>): string;
}

interface Props {
  title: string;
  lines: Line[];
  seconds: number;
  format(value: number): string;
  /** Values are bytes, so the axis has powers of two. */
  binary?: boolean;
}

const height = 118;
const most = 12; // series in one graph

/** Panel shows nothing until values arrive, and reports an error to onProblem. */
export function Panel({ title, lines, seconds, format, binary, onProblem }: Props & { onProblem?(err: unknown): void }): JSX.Element {
  const key = JSON.stringify([lines.map((l) => l.expression), seconds]);
  const { value, error } = useLoad(
    (signal) => Promise.all(lines.map((l) => queryRange(l.expression, seconds, signal))),
    [key], 15_000, true,
  );
  useEffect(() => {
    if (error) onProblem?.(error);
  }, [error]);
  const merged = value && merge(value, lines);
  return (
    <figure class="graph">
      <figcaption>
        <b>{title}</b>
        {merged && merged.names.length > 0 && (
          <ul class="legend">
            {merged.names.map((name, i) => <li key={name + i}><i class={`series-${i % 6}`} aria-hidden="true" />{name} <b>{lastValue(merged.data[i], format)}</b></li>)}
          </ul>
        )}
      </figcaption>
      {merged && merged.names.length > 0
        ? <Plot binary={binary ?? false} times={merged.times} data={merged.data} names={merged.names} title={title} format={format} />
        : <p class="note">{error ? "No values." : value ? "No values yet." : "Loading …"}</p>}
    </figure>
  );
}

function merge(ranges: Range[], lines: Line[]): { times: number[]; names: string[]; data: (number | null)[][] } {
  const all = ranges.flatMap((range, i) => range.series.map((s) => ({ name: lines[i]?.name(s.labels) ?? "", values: s.values })));
  const peak = (values: (number | null)[]) => values.reduce<number>((a, b) => Math.max(a, b ?? 0), 0);
  const kept = all.length > most ? all.sort((a, b) => peak(b.values) - peak(a.values)).slice(0, most) : all;
  return { times: ranges[0]?.times ?? [], names: kept.map((s) => s.name), data: kept.map((s) => s.values) };
}

function lastValue(values: (number | null)[] | undefined, format: (v: number) => string): string {
  const last = values?.findLast((v) => v !== null);
  return last === undefined || last === null ? "" : format(last);
}

function Plot(p: { binary: boolean; times: number[]; data: (number | null)[][]; names: string[]; title: string; format(v: number): string }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot | undefined>(undefined);
  const [library, setLibrary] = useState<typeof UPlot | undefined>();
  const isDark = dark.value;
  useEffect(() => {
    void import("./uplot").then((m) => setLibrary(() => m.default));
  }, []);
  const shape = p.names.join("|");
  useEffect(() => {
    const element = box.current;
    if (!library || !element) return;
    const made = new library(options(p, element), [p.times, ...p.data], element);
    plot.current = made;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0) made.setSize({ width: element.clientWidth, height });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [library, shape, isDark]);
  useEffect(() => {
    plot.current?.setData([p.times, ...p.data]);
  }, [p.times, p.data]);
  return <div class="plot" ref={box} role="img" aria-label={`${p.title}: ${p.names.map((n, i) => `${n} ${lastValue(p.data[i], p.format)}`).join(", ")}`} />;
}

/** Steps of an axis of bytes: 1, 2, 4 … KiB, MiB and so on. */
const powers = Array.from({ length: 50 }, (_, i) => 2 ** i);

function options(p: { names: string[]; binary: boolean; format(v: number): string }, element: HTMLElement): UPlot.Options {
  const style = getComputedStyle(element);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  return {
    width: Math.max(element.clientWidth, 100),
    height,
    legend: { show: false },
    cursor: { y: false, points: { size: 6 } },
    scales: { y: { range: (_u, _min, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [
      { ...axis, size: 24, space: 60, values: (_u, ticks) => ticks.map((t) => new Date(t * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })) },
      { ...axis, size: 66, space: 28, values: (_u, ticks) => ticks.map(p.format), ...(p.binary ? { incrs: powers } : {}) },
    ],
    series: [
      {},
      ...p.names.map((name, i) => {
        const stroke = colour(`--series-${i % 6}`);
        return { label: name, stroke, width: 1.5, points: { show: false }, ...(p.names.length === 1 ? { fill: stroke + "22" } : {}) };
      }),
    ],
  };
}
