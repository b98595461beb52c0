// Whether the cluster answers. Feeds report failures, one loop asks the server until
// it answers again, and then all feeds continue at once.

import { signal } from "@preact/signals";
import { ApiError, kubernetes, send } from "../api/http";

export interface Outage {
  since: number;
  message: string;
  /** The session has ended, so waiting does not help. */
  ended: boolean;
}

export const outage = signal<Outage | undefined>(undefined);

const interval = 1000;
const limit = 5000;
const heartbeat = 10_000;
let waiting: (() => void)[] = [];
let probing = false;

/** reportFailure starts an outage if the error means that the cluster does not answer. */
export function reportFailure(err: unknown): void {
  if (!(err instanceof ApiError)) {
    return;
  }
  if (err.status === 401) {
    outage.value = { since: Date.now(), message: "This session has ended: run `skiff dashboard` for a new link", ended: true };
    return;
  }
  if (!err.unreachable || err.status === 429) {
    return;
  }
  outage.value = { since: outage.peek()?.since ?? Date.now(), message: err.message, ended: false };
  void probe();
}

/** reachable returns once the cluster answers. */
export function reachable(): Promise<void> {
  if (!outage.peek()) {
    return Promise.resolve();
  }
  return new Promise((resolve) => waiting.push(resolve));
}

/** check asks the server, as after a stream that ended without a reason. */
export async function check(): Promise<void> {
  try {
    await send(`${kubernetes}/readyz`, { accept: "*/*", signal: AbortSignal.timeout(limit) });
  } catch (err) {
    if (err instanceof ApiError) {
      // A user may not be allowed to read /readyz, but the server answered.
      if (err.forbidden) {
        return;
      }
      throw err;
    }
    throw new ApiError("the API server does not answer", 0);
  }
}

/**
 * watchOver asks the server regularly while the page is visible. A server that hangs
 * leaves its watches open, so no feed notices that.
 */
export function watchOver(): void {
  window.setInterval(() => {
    if (!document.hidden && !outage.peek()) {
      check().catch(reportFailure);
    }
  }, heartbeat);
}

async function probe(): Promise<void> {
  if (probing) {
    return;
  }
  probing = true;
  while (outage.peek() && !outage.peek()?.ended) {
    await new Promise((resolve) => setTimeout(resolve, interval));
    try {
      await check();
      outage.value = undefined;
    } catch (err) {
      if (err instanceof ApiError && err.status === 401) {
        reportFailure(err);
      }
    }
  }
  probing = false;
  if (!outage.peek()) {
    const all = waiting;
    waiting = [];
    all.forEach((resume) => resume());
  }
}
