// A feed keeps the objects of one query up to date: a list in pages, then a watch that
// continues where it was interrupted.

import { signal, type Signal } from "@preact/signals";
import { ApiError, getJSON, kubernetes, query } from "../api/http";
import { openStream } from "../api/socket";
import type { Status, TableColumn, WatchEvent } from "../kube/types";
import { can, resourceID, resourcePath, type Resource } from "../kube/resource";
import { Collection, type Page, type Row } from "./collection";
import { check, outage, reachable, reportFailure } from "./connection";

export interface Query {
  resource: Resource;
  namespace?: string; // empty for all
  labels?: string;
  fields?: string;
  /** The server's table, or whole objects. */
  form: "table" | "object";
}

export type FeedStatus = "loading" | "live" | "stale" | "forbidden" | "failed";

export interface FeedState {
  status: FeedStatus;
  columns: TableColumn[];
  rows: Row[];
  error?: ApiError;
}

const acceptTable = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const firstPage = 100;
const nextPage = 1000;
const publishEvery = 100; // milliseconds
const linger = 30_000; // how long an unused feed stays live
const minBackoff = 250;
const maxBackoff = 8000;

export class Feed {
  readonly state: Signal<FeedState> = signal({ status: "loading", columns: [], rows: [] });
  private readonly collection = new Collection();
  private status: FeedStatus = "loading";
  private error: ApiError | undefined;
  private users = 0;
  private abort: AbortController | undefined;
  private stopTimer = 0;
  private publishTimer = 0;

  constructor(private readonly q: Query) {}

  /** use keeps the feed live until the returned function is called. */
  use(): () => void {
    this.users++;
    clearTimeout(this.stopTimer);
    if (!this.abort) {
      this.abort = new AbortController();
      void this.run(this.abort.signal);
    }
    let used = true;
    return () => {
      if (!used) {
        return;
      }
      used = false;
      if (--this.users === 0) {
        this.stopTimer = window.setTimeout(() => this.stop(), linger);
      }
    };
  }

  private stop(): void {
    this.abort?.abort();
    this.abort = undefined;
    feeds.delete(queryKey(this.q));
  }

  private async run(stop: AbortSignal): Promise<void> {
    let backoff = minBackoff;
    while (!stop.aborted) {
      try {
        if (this.collection.version === "") {
          await this.list(stop);
        }
        this.set("live");
        if (!can(this.q.resource, "watch")) {
          await pause(10_000, stop);
          this.collection.version = "";
          continue;
        }
        const lived = await this.watch(stop);
        backoff = lived > 5000 ? minBackoff : backoff;
        if (lived <= 5000) {
          await pause(backoff, stop);
          backoff = Math.min(2 * backoff, maxBackoff);
        }
      } catch (err) {
        if (stop.aborted) {
          return;
        }
        await this.failed(err, backoff, stop);
        backoff = Math.min(2 * backoff, maxBackoff);
      }
    }
  }

  private async failed(err: unknown, backoff: number, stop: AbortSignal): Promise<void> {
    const error = err instanceof ApiError ? err : new ApiError(String(err), 500);
    this.error = error;
    if (error.status === 410) {
      return;
    }
    if (error.unreachable || error.status === 401) {
      this.set(this.collection.size > 0 ? "stale" : "loading");
      reportFailure(error);
      await Promise.race([reachable(), aborted(stop)]);
      return;
    }
    if (error.forbidden || error.status === 404) {
      this.collection.reset();
    }
    this.set(error.forbidden ? "forbidden" : "failed");
    await pause((error.forbidden ? 30_000 : Math.max(backoff, 5000)) * (0.5 + Math.random()), stop);
  }

  private path(): string {
    return resourcePath(this.q.resource, this.q.namespace);
  }

  private get accept(): string {
    return this.q.form === "table" ? acceptTable : "application/json";
  }

  private parameters(): Record<string, string | undefined> {
    return {
      labelSelector: this.q.labels,
      fieldSelector: this.q.fields,
      includeObject: this.q.form === "table" ? "Metadata" : undefined,
    };
  }

  private async list(stop: AbortSignal): Promise<void> {
    this.collection.begin();
    let token = "";
    let size = firstPage;
    do {
      const path = query(kubernetes + this.path(), { ...this.parameters(), limit: size, continue: token });
      const page = await getJSON<Page>(path, { accept: this.accept, signal: stop });
      token = this.collection.add(page);
      if (size === firstPage) {
        this.publish();
      } else {
        this.publishSoon();
      }
      size = nextPage;
    } while (token !== "" && !stop.aborted);
  }

  /** watch follows changes until the stream ends, and returns how long it lived. */
  private watch(stop: AbortSignal): Promise<number> {
    const path = query(this.path(), {
      ...this.parameters(),
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion: this.collection.version,
    });
    const begun = Date.now();
    return new Promise((resolve, reject) => {
      let failure: ApiError | undefined;
      const close = openStream(path, this.accept, {
        message: (text) => {
          failure = this.take(text) ?? failure;
          if (failure) {
            close();
            finish();
            reject(failure);
          }
        },
        close: (opened) => {
          finish();
          // The browser does not report why, so ask the server.
          check().then(() => {
            if (!opened) {
              this.collection.version = "";
            }
            resolve(Date.now() - begun);
          }, reject);
        },
      });
      const onAbort = () => {
        close();
        finish();
        resolve(0);
      };
      const finish = () => stop.removeEventListener("abort", onAbort);
      stop.addEventListener("abort", onAbort);
    });
  }

  /** take applies the events of a message, and returns the error that one reports. */
  private take(text: string): ApiError | undefined {
    for (const line of text.split("\n")) {
      if (line.trim() === "") {
        continue;
      }
      const event = JSON.parse(line) as WatchEvent;
      if (event.type === "ERROR") {
        const status = event.object as Status;
        this.collection.version = ""; // a new list is right after any error
        return new ApiError(status.message ?? "the watch failed", status.code ?? 500);
      }
      if (this.collection.apply(event.type, event.object)) {
        this.publishSoon();
      }
    }
    return undefined;
  }

  private set(status: FeedStatus): void {
    this.status = status;
    if (status === "live") {
      this.error = undefined;
      if (outage.peek() && !outage.peek()?.ended) {
        outage.value = undefined;
      }
    }
    this.publish();
  }

  private publishSoon(): void {
    if (this.publishTimer === 0) {
      this.publishTimer = window.setTimeout(() => this.publish(), publishEvery);
    }
  }

  private publish(): void {
    clearTimeout(this.publishTimer);
    this.publishTimer = 0;
    this.state.value = {
      status: this.status,
      columns: this.collection.columns,
      rows: this.collection.snapshot(),
      ...(this.error ? { error: this.error } : {}),
    };
  }
}

const feeds = new Map<string, Feed>();

/** queryKey returns a text that is equal for equal queries. */
export function queryKey(q: Query): string {
  return [resourceID(q.resource), q.resource.version, q.namespace, q.labels, q.fields, q.form].join("|");
}

/** feedOf returns the feed of a query, which is shared by all who ask for it. */
export function feedOf(q: Query): Feed {
  const key = queryKey(q);
  let feed = feeds.get(key);
  if (!feed) {
    feed = new Feed(q);
    feeds.set(key, feed);
  }
  return feed;
}

function pause(milliseconds: number, stop: AbortSignal): Promise<void> {
  return Promise.race([new Promise<void>((resolve) => setTimeout(resolve, milliseconds)), aborted(stop)]);
}

function aborted(stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (stop.aborted) {
      resolve();
    }
    stop.addEventListener("abort", () => resolve(), { once: true });
  });
}
