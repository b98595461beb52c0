// Logs of running containers, as the kubelet streams them.

import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { query } from "../api/http";
import { openStream } from "../api/socket";
import { LineBuffer, type LogLine } from "../data/lines";
import { resourcePath, type Resource } from "../kube/resource";
import { count } from "../kube/format";
import { LogLines } from "./loglines";

export interface LogSource {
  namespace: string;
  pod: string;
  container: string;
}

const limit = 20_000;
const tail = 500;
const mostStreams = 30;

/** useLiveLogs follows containers and returns their lines, at most ten times a second. */
function useLiveLogs(pods: Resource, sources: LogSource[], previous: boolean): { lines: LogLine[]; dropped: number } {
  const [state, setState] = useState<{ lines: LogLine[]; dropped: number }>({ lines: [], dropped: 0 });
  const key = JSON.stringify([sources, previous]);
  useEffect(() => {
    const buffer = new LineBuffer(limit);
    const names = new Set(sources.map((s) => s.pod));
    const closers = new Set<() => void>();
    let timer = 0;
    let stopped = false;
    const publish = () => {
      timer = 0;
      setState({ lines: buffer.snapshot(), dropped: buffer.dropped });
    };
    const soon = () => {
      timer ||= window.setTimeout(publish, 100);
    };
    const follow = (s: LogSource) => {
      const label = names.size > 1 ? `${s.pod}/${s.container}` : s.container;
      const since = buffer.resume(label);
      const path = query(resourcePath(pods, s.namespace, s.pod, "log"), {
        container: s.container, timestamps: true, follow: !previous, previous: previous || undefined,
        tailLines: since === "" ? tail : undefined, sinceTime: since || undefined,
      });
      const close = openStream(path, "", {
        message: (text) => {
          buffer.add(text, label);
          soon();
        },
        close: () => {
          closers.delete(close);
          if (!stopped && !previous) window.setTimeout(() => !stopped && follow(s), 3000);
        },
      }, ["binary.k8s.io"]);
      closers.add(close);
    };
    setState({ lines: [], dropped: 0 });
    sources.slice(0, mostStreams).forEach(follow);
    return () => {
      stopped = true;
      clearTimeout(timer);
      closers.forEach((close) => close());
    };
  }, [key]);
  return state;
}

export function LiveLogs({ pods, sources, compact }: { pods: Resource; sources: LogSource[]; compact?: boolean }): JSX.Element {
  const containers = useMemo(() => [...new Set(sources.map((s) => s.container))], [sources]);
  const [container, setContainer] = useState("");
  const [search, setSearch] = useState("");
  const [matching, setMatching] = useState(false);
  const [previous, setPrevious] = useState(false);
  const [follow, setFollow] = useState(true);
  const [shown, setShown] = useState({ time: !compact, wrap: false });
  const input = useRef<HTMLInputElement>(null);
  const chosen = sources.filter((s) => container === "" || s.container === container);
  const { lines, dropped } = useLiveLogs(pods, chosen, previous);
  const visible = useMemo(
    () => (matching && search !== "" ? lines.filter((l) => l.text.toLowerCase().includes(search.toLowerCase())) : lines),
    [lines, search, matching],
  );
  const found = useMemo(() => (search === "" ? 0 : lines.filter((l) => l.text.toLowerCase().includes(search.toLowerCase())).length), [lines, search]);
  return (
    <div class="logs">
      <div class="bar">
        {containers.length > 1 && (
          <select aria-label="Container" value={container} onChange={(e) => setContainer(e.currentTarget.value)}>
            <option value="">All containers</option>
            {containers.map((c) => <option key={c} value={c}>{c}</option>)}
          </select>
        )}
        <input class="filter" type="search" aria-label="Search these lines" placeholder="Search" value={search} ref={input} onInput={(e) => setSearch(e.currentTarget.value)} />
        {search !== "" && <label class="check-label"><input type="checkbox" checked={matching} onChange={(e) => setMatching(e.currentTarget.checked)} /> Only matches ({found})</label>}
        <span class="spring" />
        <label class="check-label"><input type="checkbox" checked={follow} onChange={(e) => setFollow(e.currentTarget.checked)} /> Follow</label>
        <label class="check-label"><input type="checkbox" checked={shown.time} onChange={(e) => setShown({ ...shown, time: e.currentTarget.checked })} /> Times</label>
        <label class="check-label"><input type="checkbox" checked={shown.wrap} onChange={(e) => setShown({ ...shown, wrap: e.currentTarget.checked })} /> Wrap</label>
        <label class="check-label"><input type="checkbox" checked={previous} onChange={(e) => setPrevious(e.currentTarget.checked)} /> Previous</label>
      </div>
      {chosen.length > mostStreams && <p class="note">Showing the first {mostStreams} of {chosen.length} containers.</p>}
      <LogLines
        label="Log lines" lines={visible} search={search} follow={follow} onFollow={setFollow}
        shown={{ ...shown, source: chosen.length > 1 }} empty={previous ? "No previous container." : "No lines yet."}
      />
      <p class="muted small">{count(lines.length, "line")}{dropped > 0 ? `, ${dropped.toLocaleString("en")} older ones dropped` : ""}</p>
    </div>
  );
}
