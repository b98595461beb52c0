// Lines of a log on the screen: only those in view exist as elements. Log lines are
// hostile: they are only ever text.

import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { mark, severity, type LogLine } from "../data/lines";
import { plain } from "../kube/format";

const height = 20;
const overscan = 20;

export interface Shown {
  time: boolean;
  source: boolean;
  wrap: boolean;
}

export function LogLines(p: { label: string; lines: LogLine[]; search: string; follow: boolean; onFollow(on: boolean): void; shown: Shown; onOpen?(line: LogLine): void; empty: string }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ first: 0, rows: 60 });
  const wrapLimit = 1000; // wrapped lines have no fixed height, so all are elements
  const lines = p.shown.wrap ? p.lines.slice(-wrapLimit) : p.lines;
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = () => {
      const next = { first: Math.floor(element.scrollTop / height), rows: Math.ceil(element.clientHeight / height) };
      setView((v) => (v.first === next.first && v.rows === next.rows ? v : next));
    };
    const wheel = (e: WheelEvent) => {
      if (e.deltaY < 0) p.onFollow(false);
    };
    const key = (e: KeyboardEvent) => {
      if (["ArrowUp", "PageUp", "Home"].includes(e.key)) p.onFollow(false);
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    element.addEventListener("scroll", measure, { passive: true });
    element.addEventListener("wheel", wheel, { passive: true });
    element.addEventListener("keydown", key);
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", measure);
      element.removeEventListener("wheel", wheel);
      element.removeEventListener("keydown", key);
    };
  }, []);
  useLayoutEffect(() => {
    if (p.follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [p.lines, p.follow, p.shown.wrap]);
  const first = p.shown.wrap ? 0 : Math.max(0, view.first - overscan);
  const visible = p.shown.wrap ? lines : lines.slice(first, view.first + view.rows + overscan);
  return (
    <div class={`log-lines${p.shown.wrap ? " wrap" : ""}`} role="log" aria-label={p.label} aria-live="off" tabIndex={0} ref={box}>
      <div class="log-space" style={{ height: p.shown.wrap ? "auto" : `${lines.length * height}px` }}>
        <div style={{ transform: `translateY(${first * height}px)` }}>
          {visible.map((line) => <Line key={line.id} line={line} search={p.search} shown={p.shown} onOpen={p.onOpen} />)}
        </div>
      </div>
      {lines.length === 0 && <p class="note">{p.empty}</p>}
    </div>
  );
}

function Line({ line, search, shown, onOpen }: { line: LogLine; search: string; shown: Shown; onOpen: ((line: LogLine) => void) | undefined }): JSX.Element {
  const text = plain(line.text);
  return (
    <div class={`log-line ${severity(text)}`}>
      {shown.time && line.time !== "" && (onOpen
        ? <button type="button" class="plain log-time" title="Show its fields" onClick={() => onOpen(line)}>{clock(line.time)}</button>
        : <time title={line.time}>{clock(line.time)}</time>)}
      {shown.source && <span class="source">{plain(line.source)}</span>}
      <span class="log-text">{mark(text, search).map((part, i) => (part.found ? <mark key={i}>{part.text}</mark> : part.text))}</span>
    </div>
  );
}

function clock(time: string): string {
  const d = new Date(time);
  return Number.isNaN(d.getTime()) ? time : d.toLocaleTimeString("en-GB") + "." + String(d.getMilliseconds()).padStart(3, "0");
}
