// A table of any number of rows, of which only those in view exist as elements.

import type { ComponentChildren, JSX } from "preact";
import { memo } from "preact/compat";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { useKeys } from "./keys";
import { go } from "./router";

export interface Column<T> {
  id: string;
  title: string;
  text(row: T): string;
  render?(row: T): ComponentChildren;
  /** What to sort by instead of the text. */
  value?(row: T): number | string;
  /** Columns with less weight are dropped first if the table is too narrow. */
  weight: number;
  right?: boolean;
  grow?: boolean;
  /** Room in pixels that the content needs beside its text, as for a dot. */
  extra?: number;
}

export interface Sort {
  column: string;
  descending: boolean;
}

interface Props<T> {
  label: string;
  rows: T[];
  columns: Column<T>[];
  keyOf(row: T): string;
  hrefOf?(row: T): string;
  sort?: Sort | undefined;
  onSort?(sort: Sort): void;
  selected?: Set<string>;
  onSelect?(key: string, on: boolean): void;
  empty?: string | undefined;
}

export const rowHeight = 32;
const overscan = 8;
const charWidth = 7.5;

/** sortRows returns rows in the order of a column. Equal rows keep their order. */
export function sortRows<T>(rows: T[], columns: Column<T>[], sort: Sort | undefined): T[] {
  const column = columns.find((c) => c.id === sort?.column);
  if (!column || !sort) return rows;
  const keyed = rows.map((row) => ({ row, value: column.value ? column.value(row) : column.text(row) }));
  const sign = sort.descending ? -1 : 1;
  keyed.sort((a, b) => (a.value < b.value ? -sign : a.value > b.value ? sign : 0));
  return keyed.map((k) => k.row);
}

/** layout chooses the columns that fit and their widths in pixels. */
export function layout<T>(columns: Column<T>[], sample: T[], width: number): { columns: Column<T>[]; template: string } {
  const wanted = columns.map((c) => {
    const longest = sample.reduce((most, row) => Math.max(most, c.text(row).length), 0);
    return { column: c, width: Math.min(Math.max(longest * charWidth + (c.extra ?? 0), c.title.length * charWidth, 44) + 22, c.grow ? 460 : 300), empty: longest === 0 };
  });
  let kept = sample.length === 0 ? wanted : wanted.filter((w) => !w.empty || w.column.weight >= 50);
  const total = () => kept.reduce((sum, w) => sum + Math.min(w.width, w.column.grow ? Math.max(180, Math.min(w.width, width * 0.34)) : 300), 0);
  while (kept.length > 2 && total() > width) {
    const least = kept.reduce((a, b) => (b.column.weight <= a.column.weight ? b : a));
    kept = kept.filter((w) => w !== least);
  }
  const last = kept[kept.length - 1];
  const template = kept
    .map((w) => (w.column.grow ? `minmax(${Math.round(Math.min(w.width, Math.max(150, width * 0.34)))}px, ${w === last ? "1fr" : `${Math.round(w.width)}px`})` : `minmax(44px, ${Math.round(w.width)}px)`))
    .join(" ");
  return { columns: kept.map((w) => w.column), template };
}

export function DataTable<T>(p: Props<T>): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ first: 0, rows: 40, width: 0 });
  const [cursor, setCursor] = useState("");
  const rows = useMemo(() => sortRows(p.rows, p.columns, p.sort), [p.rows, p.columns, p.sort]);
  const shape = useMemo(
    () => layout(p.columns, rows.slice(0, 200), (view.width || 1200) - (p.onSelect ? 34 : 0)),
    [p.columns, view.width, Math.min(rows.length, 200)],
  );
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = () => setView((v) => {
      const next = { first: Math.floor(element.scrollTop / rowHeight), rows: Math.ceil(element.clientHeight / rowHeight), width: element.clientWidth };
      return next.first === v.first && next.rows === v.rows && next.width === v.width ? v : next;
    });
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    element.addEventListener("scroll", measure, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", measure);
    };
  }, [p.columns.length > 0]);
  const index = cursor === "" ? -1 : rows.findIndex((r) => p.keyOf(r) === cursor);
  const moveTo = (to: number) => {
    const row = rows[Math.max(0, Math.min(rows.length - 1, to))];
    const element = box.current;
    if (!row || !element) return;
    setCursor(p.keyOf(row));
    const top = Math.max(0, Math.min(rows.length - 1, to)) * rowHeight;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + 2 * rowHeight > element.scrollTop + element.clientHeight) element.scrollTop = top + 2 * rowHeight - element.clientHeight;
    element.focus({ preventScroll: true });
  };
  const open = () => {
    const row = rows[index];
    const to = row && p.hrefOf?.(row);
    if (to) go(to);
  };
  const move = { index, moveTo, open, page: view.rows - 2, length: rows.length, toggle: () => cursor !== "" && p.onSelect?.(cursor, !p.selected?.has(cursor)) };
  useTableKeys(move);
  useEffect(() => {
    if (box.current) box.current.scrollTop = 0;
  }, [p.label]);

  if (p.columns.length === 0) {
    // Nothing is known, as while loading or without the right to list.
    return <div class="table-frame"><p class="card" role="status">{p.empty}</p></div>;
  }
  const first = Math.max(0, view.first - overscan);
  const shown = rows.slice(first, view.first + view.rows + overscan);
  const template = (p.onSelect ? "34px " : "") + shape.template;
  return (
    <div class="table-frame">
      <div
        class="table" role="grid" aria-label={p.label} aria-rowcount={rows.length + 1} tabIndex={0} ref={box}
        aria-activedescendant={index >= 0 ? `row-${index}` : undefined}
      >
        <div role="rowgroup" class="table-head">
          <div role="row" aria-rowindex={1} class="tr" style={{ gridTemplateColumns: template }}>
            {p.onSelect && <div role="columnheader" class="td"><span class="hidden">Selected</span></div>}
            {shape.columns.map((c) => <Header key={c.id} column={c} sort={p.sort} onSort={p.onSort} />)}
          </div>
        </div>
        <div role="rowgroup" class="table-body" style={{ height: `${rows.length * rowHeight}px` }}>
          {shown.map((row, i) => {
            const key = p.keyOf(row);
            return (
              <MemoRow
                key={key} id={`row-${first + i}`} row={row} index={first + i} columns={shape.columns as Column<unknown>[]} template={template}
                href={p.hrefOf?.(row)} current={key === cursor} selectable={p.onSelect !== undefined} selected={p.selected?.has(key) ?? false}
                name={key} onSelect={p.onSelect}
              />
            );
          })}
        </div>
      </div>
      {rows.length === 0 && p.empty && <p class="note empty" role="status">{p.empty}</p>}
    </div>
  );
}

function useTableKeys(m: { index: number; moveTo(i: number): void; open(): void; toggle(): void; page: number; length: number }): void {
  const latest = useRef(m);
  latest.current = m;
  useKeys(
    [
      { key: "j", label: "Next row", run: () => latest.current.moveTo(latest.current.index + 1) },
      { key: "k", label: "Previous row", run: () => latest.current.moveTo(latest.current.index - 1) },
      { key: "ArrowDown", label: "Next row", hidden: true, run: () => latest.current.moveTo(latest.current.index + 1) },
      { key: "ArrowUp", label: "Previous row", hidden: true, run: () => latest.current.moveTo(latest.current.index - 1) },
      { key: "PageDown", label: "Next page", hidden: true, run: () => latest.current.moveTo(latest.current.index + latest.current.page) },
      { key: "PageUp", label: "Previous page", hidden: true, run: () => latest.current.moveTo(latest.current.index - latest.current.page) },
      { key: "Home", label: "First row", run: () => latest.current.moveTo(0) },
      { key: "End", label: "Last row", run: () => latest.current.moveTo(latest.current.length - 1) },
      { key: "Enter", label: "Open the row", run: () => latest.current.open() },
      { key: "x", label: "Select the row", run: () => latest.current.toggle() },
    ],
    [],
  );
}

function Header<T>({ column, sort, onSort }: { column: Column<T>; sort: Sort | undefined; onSort: ((s: Sort) => void) | undefined }): JSX.Element {
  const active = sort?.column === column.id;
  const direction = active ? (sort.descending ? "descending" : "ascending") : "none";
  return (
    <div role="columnheader" class={column.right ? "td right" : "td"} aria-sort={direction}>
      <button type="button" class="plain" tabIndex={-1} onClick={() => onSort?.({ column: column.id, descending: active && !sort.descending })}>
        {column.title}
        <span class="arrow" aria-hidden="true">{active ? (sort.descending ? "↓" : "↑") : ""}</span>
      </button>
    </div>
  );
}

interface RowProps {
  id: string;
  row: unknown;
  index: number;
  columns: Column<unknown>[];
  template: string;
  href: string | undefined;
  current: boolean;
  selectable: boolean;
  selected: boolean;
  name: string;
  onSelect: ((key: string, on: boolean) => void) | undefined;
}

const MemoRow = memo(function TableRow(p: RowProps): JSX.Element {
  const click = (event: MouseEvent) => {
    const inside = (event.target as HTMLElement).closest("a, button, input");
    if (p.href && !inside && !getSelection()?.toString()) go(p.href);
  };
  return (
    <div
      role="row" id={p.id} aria-rowindex={p.index + 2} aria-selected={p.selectable ? p.selected : undefined} onClick={click}
      class={`tr${p.current ? " current" : ""}${p.href ? " opens" : ""}`}
      style={{ gridTemplateColumns: p.template, transform: `translateY(${p.index * rowHeight}px)` }}
    >
      {p.selectable && (
        <div role="gridcell" class="td check">
          <input
            type="checkbox" tabIndex={-1} aria-label={`Select ${p.name}`} checked={p.selected}
            onChange={(e) => p.onSelect?.(p.name, e.currentTarget.checked)}
          />
        </div>
      )}
      {p.columns.map((c, i) => {
        const text = c.text(p.row);
        const content = c.render ? c.render(p.row) : text;
        return (
          <div key={c.id} role="gridcell" class={`td${c.right ? " right" : ""}`} title={text.length > 24 ? text : undefined}>
            {p.href && (c.id === "name" || (i === 0 && !p.columns.some((o) => o.id === "name"))) ? <a href={p.href} tabIndex={-1}>{content}</a> : content}
          </div>
        );
      })}
    </div>
  );
});
