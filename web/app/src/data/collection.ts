// A collection is the known objects of one query: what lists and watch events add up
// to. It does no I/O.

import type { Cell, KubeObject, ObjectList, ObjectMeta, Table, TableColumn, TableRow } from "../kube/types";

/** A row is an object as the server's table shows it, or the object itself. */
export interface Row {
  key: string; // namespace/name
  meta: ObjectMeta;
  cells: Cell[];
  object?: KubeObject;
}

export type Page = Table | ObjectList;

export function rowKey(meta: { namespace?: string; name: string }): string {
  return `${meta.namespace ?? ""}/${meta.name}`;
}

/** slim keeps what screens use of an object's metadata, so that memory stays small. */
function slim(meta: ObjectMeta): ObjectMeta {
  const kept: ObjectMeta = { name: meta.name };
  if (meta.namespace) kept.namespace = meta.namespace;
  if (meta.uid) kept.uid = meta.uid;
  if (meta.resourceVersion) kept.resourceVersion = meta.resourceVersion;
  if (meta.creationTimestamp) kept.creationTimestamp = meta.creationTimestamp;
  if (meta.deletionTimestamp) kept.deletionTimestamp = meta.deletionTimestamp;
  if (meta.labels) kept.labels = meta.labels;
  if (meta.ownerReferences) kept.ownerReferences = meta.ownerReferences;
  return kept;
}

function ofTable(row: TableRow): Row | undefined {
  const meta = row.object?.metadata;
  return meta?.name ? { key: rowKey(meta), meta: slim(meta), cells: row.cells } : undefined;
}

function ofObject(object: KubeObject): Row | undefined {
  const meta = object.metadata;
  if (!meta?.name) {
    return undefined;
  }
  delete (meta as { managedFields?: unknown }).managedFields;
  return { key: rowKey(meta), meta, cells: [], object };
}

function isTable(page: object): page is Table {
  return (page as Table).kind === "Table";
}

/** rowsOf returns the rows of a page of a list. */
export function rowsOf(page: Page): Row[] {
  const rows = isTable(page)
    ? (page.rows ?? []).map(ofTable)
    : (page.items ?? []).map((item) => ofObject({ ...item, apiVersion: item.apiVersion ?? page.apiVersion ?? "", kind: item.kind ?? page.kind?.replace(/List$/, "") ?? "" }));
  return rows.filter((r) => r !== undefined);
}

export class Collection {
  columns: TableColumn[] = [];
  version = ""; // the resource version up to which rows are known
  private rows = new Map<string, Row>();
  private next: Map<string, Row> | undefined;

  get size(): number {
    return this.rows.size;
  }

  /** snapshot returns the rows in the order of their keys as the server lists them. */
  snapshot(): Row[] {
    return [...this.rows.values()];
  }

  get(key: string): Row | undefined {
    return this.rows.get(key);
  }

  /**
   * begin starts a list. Known rows are kept until the list is complete, except that
   * the first list shows its pages as they arrive.
   */
  begin(): void {
    this.next = this.rows.size === 0 ? this.rows : new Map();
  }

  /** add takes one page, and returns the token of the next one, empty after the last. */
  add(page: Page): string {
    if (isTable(page) && page.columnDefinitions && page.columnDefinitions.length > 0) {
      this.columns = page.columnDefinitions;
    }
    const target = this.next ?? this.rows;
    for (const row of rowsOf(page)) {
      target.set(row.key, row);
    }
    const token = page.metadata?.continue ?? "";
    if (token === "") {
      this.rows = target;
      this.next = undefined;
      this.version = page.metadata?.resourceVersion ?? "";
    }
    return token;
  }

  /** apply takes one watch event, and returns true if a row has changed. */
  apply(type: string, object: unknown): boolean {
    if (typeof object !== "object" || object === null) {
      return false;
    }
    const version = versionOf(object);
    if (version !== "") {
      this.version = version;
    }
    if (type === "BOOKMARK") {
      return false;
    }
    const rows = isTable(object) ? (object.rows ?? []).map(ofTable) : [ofObject(object as KubeObject)];
    let changed = false;
    for (const row of rows) {
      if (!row) {
        continue;
      }
      changed = true;
      if (type === "DELETED") {
        this.rows.delete(row.key);
      } else {
        this.rows.set(row.key, row);
      }
    }
    return changed;
  }

  /** reset forgets everything, for a query that is no longer allowed. */
  reset(): void {
    this.rows.clear();
    this.next = undefined;
    this.version = "";
  }
}

/** versionOf returns the resource version that an event's object carries. */
function versionOf(object: object): string {
  const meta = (object as { metadata?: ObjectMeta }).metadata;
  if (meta?.resourceVersion) {
    return meta.resourceVersion;
  }
  if (isTable(object)) {
    return object.rows?.[0]?.object?.metadata?.resourceVersion ?? "";
  }
  return "";
}
