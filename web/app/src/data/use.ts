// Hooks by which components read feeds.

import { useSignal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { feedOf, queryKey, type FeedState, type Query } from "./feed";

const idle: FeedState = { status: "loading", columns: [], rows: [] };

/** useFeed returns the state of a query's feed; without a query, one that is loading. */
export function useFeed(q: Query | undefined): FeedState {
  const state = useSignal<FeedState>(idle);
  const key = q && queryKey(q);
  useEffect(() => {
    if (!q) {
      state.value = idle;
      return;
    }
    const feed = feedOf(q);
    const release = feed.use();
    const unsubscribe = feed.state.subscribe((s) => {
      state.value = s;
    });
    return () => {
      unsubscribe();
      release();
    };
  }, [key]);
  return state.value;
}

export interface Loaded<T> {
  value?: T;
  error?: unknown;
}

/**
 * useLoad runs a request again whenever its dependencies change, or every so often.
 * keep leaves the last value until the next one arrives.
 */
export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, dependencies: unknown[], every = 0, keep = false): Loaded<T> {
  const [loaded, setLoaded] = useState<Loaded<T>>({});
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    if (!keep) setLoaded({});
    const run = async () => {
      try {
        const value = await load(stop.signal);
        if (!stop.signal.aborted) setLoaded({ value });
      } catch (error) {
        if (!stop.signal.aborted) setLoaded((last) => ({ ...last, error }));
      }
      if (every > 0 && !stop.signal.aborted) {
        timer = window.setTimeout(run, every);
      }
    };
    void run();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, dependencies);
  return loaded;
}

/** useNow returns the time, and draws the component again every so often. */
export function useNow(every: number): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}
