// The stored logs of the cluster: containers, also those that are gone, programs of
// nodes, the kernel, audit, events.

import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { quote } from "../api/expression";
import { ApiError } from "../api/http";
import { countLogs, logsQL, searchLogs, type Hits, type LogFilter } from "../api/logstore";
import type { LogLine } from "../data/lines";
import { useScope } from "../data/scope";
import { useLoad } from "../data/use";
import { count, plain } from "../kube/format";
import { Failure, Note } from "../ui/basics";
import { Dialog } from "../ui/dialog";
import { useKeys } from "../ui/keys";
import { LogLines } from "../ui/loglines";
import { objectHref, route } from "../ui/router";
import { namespace } from "../ui/settings";
import { TimeRange } from "../ui/timerange";

const limit = 2000;
const ranges: [string, number][] = [["5 min", 300], ["15 min", 900], ["1 h", 3600], ["6 h", 21_600], ["24 h", 86_400], ["7 days", 604_800]];

export default function LogsScreen(): JSX.Element {
  const parameters = route.value.parameters;
  const [filter, setFilter] = useState<LogFilter>({ namespace: parameters.get("namespace") ?? "", pod: parameters.get("pod") ?? "", text: parameters.get("text") ?? "", expert: false, seconds: 3600 });
  const [draft, setDraft] = useState(filter.text);
  const [live, setLive] = useState(false);
  const [follow, setFollow] = useState(true);
  const [wrap, setWrap] = useState(false);
  const [open, setOpen] = useState<LogLine | undefined>();
  const scope = useScope();
  const input = useRef<HTMLInputElement>(null);
  useKeys([{ key: "/", label: "Search the logs", run: () => input.current?.focus() }], []);
  const asked = { ...filter, namespace: filter.namespace || namespace.value };
  const key = JSON.stringify(asked);
  const { value, error } = useLoad((signal) => searchLogs(asked, limit, signal), [key, live], live ? 3000 : 0);
  const hits = useLoad((signal) => countLogs(asked, 80, signal), [key, live], live ? 10_000 : 0).value;
  const add = (expression: string) => {
    const text = [filter.expert ? filter.text : filter.text === "" ? "" : logsQL({ ...filter, namespace: "", pod: "" }), expression].filter(Boolean).join(" ");
    setFilter({ ...filter, text, expert: true });
    setDraft(text);
    setOpen(undefined);
  };
  return (
    <div class="list-screen">
      <form
        class="bar" onSubmit={(e) => {
          e.preventDefault();
          setFilter({ ...filter, text: draft });
        }}
      >
        <h1>Logs</h1>
        <input class="filter wide-filter" type="search" ref={input} aria-label="Search the logs" placeholder={filter.expert ? "LogsQL" : "Words, !without   /"} value={draft} onInput={(e) => setDraft(e.currentTarget.value)} />
        <input class="filter" type="search" aria-label="Pod" placeholder="Pod" value={filter.pod} onChange={(e) => setFilter({ ...filter, pod: e.currentTarget.value.trim() })} />
        <TimeRange ranges={ranges} seconds={filter.seconds} onChange={(seconds) => setFilter({ ...filter, seconds })} />
        <button type="submit" class="primary">Search</button>
        <label class="check-label"><input type="checkbox" checked={filter.expert} onChange={(e) => setFilter({ ...filter, expert: e.currentTarget.checked, text: draft })} /> LogsQL</label>
        <label class="check-label"><input type="checkbox" checked={live} onChange={(e) => setLive(e.currentTarget.checked)} /> Refresh</label>
        <label class="check-label"><input type="checkbox" checked={wrap} onChange={(e) => setWrap(e.currentTarget.checked)} /> Wrap</label>
      </form>
      {(filter.namespace !== "" || namespace.value !== "") && (
        <p class="muted small">
          Namespace {asked.namespace}.{filter.namespace !== "" && <> <button type="button" class="plain" onClick={() => setFilter({ ...filter, namespace: "" })}>Search all that are selected above</button></>}
        </p>
      )}
      {scope && !scope.logs && scope.namespaces.length > 0 && <p class="muted small">You may read the logs of {scope.namespaces.slice(0, 10).join(", ")}{scope.namespaces.length > 10 ? ` and ${scope.namespaces.length - 10} more namespaces` : ""}.</p>}
      {error ? <Problem error={error} /> : (
        <>
          {hits && hits.counts.length > 0 && <Histogram hits={hits} />}
          <LogLines
            label="Stored log lines" lines={value ?? []} search={filter.expert ? "" : filter.text.split(/\s+/).find((w) => !w.startsWith("!")) ?? ""} follow={follow} onFollow={setFollow}
            shown={{ time: true, source: true, wrap }} onOpen={setOpen} empty={value ? "No matching lines in this time." : "Searching …"}
          />
          <p class="muted small">{count(value?.length ?? 0, "line")}{value?.length === limit ? ", the newest that match" : ""}. The time of a line shows its fields.</p>
        </>
      )}
      {open && <Fields line={open} onAdd={add} onClose={() => setOpen(undefined)} />}
    </div>
  );
}

function Problem({ error }: { error: unknown }): JSX.Element {
  if (error instanceof ApiError && error.status === 404) return <Note>Logs are not recorded for this cluster. The page of a pod has its live logs.</Note>;
  if (error instanceof ApiError && error.forbidden) return <Note>{error.message}. The page of a pod has its live logs.</Note>;
  return <Failure error={error} />;
}

function Histogram({ hits }: { hits: Hits }): JSX.Element {
  const most = Math.max(1, ...hits.counts);
  const width = 100 / hits.counts.length;
  const total = hits.counts.reduce((a, b) => a + b, 0);
  return (
    <svg class="histogram" viewBox="0 0 100 32" preserveAspectRatio="none" role="img" aria-label={`${total.toLocaleString("en")} lines over time`}>
      {hits.counts.map((n, i) => <rect key={hits.times[i]} x={i * width} width={width * 0.8} y={32 - (n / most) * 32} height={(n / most) * 32}><title>{`${hits.times[i] ?? ""}: ${n}`}</title></rect>)}
    </svg>
  );
}

function Fields({ line, onAdd, onClose }: { line: LogLine; onAdd(expression: string): void; onClose(): void }): JSX.Element {
  const fields = Object.entries(line.fields ?? {});
  const pod = line.fields?.["pod"];
  return (
    <Dialog title={line.time} onClose={onClose}>
      <pre class="wrap">{plain(line.text)}</pre>
      {pod && <p><a href={objectHref({ resource: "pods", namespace: line.fields?.["namespace"] ?? "", name: pod })} onClick={onClose}>Pod {pod}</a></p>}
      <dl class="facts">
        {fields.map(([name, value]) => (
          <div key={name} class="fact-row">
            <dt>{plain(name)}</dt>
            <dd><button type="button" class="plain wrap" title="Search for this value" onClick={() => onAdd(`${quote(name)}:=${quote(value)}`)}>{plain(value)}</button></dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
