// Port-forwards of this session.

import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { getJSON, messageOf, send, sendJSON } from "../api/http";
import { objectHref } from "../ui/router";
import { Note } from "../ui/basics";
import { toast } from "../ui/toast";

interface Forward {
  id: string;
  address: string;
  kind: string;
  namespace: string;
  name: string;
  port: string;
  state: string;
  problem?: string;
}

const forwards = signal<Forward[]>([]);

async function refresh(): Promise<void> {
  forwards.value = await getJSON<Forward[]>("/api/forwards");
}

export function ForwardButton(p: { namespace: string; pod: string; port: number; label: string; udp: boolean }): JSX.Element {
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    void refresh().catch(() => undefined);
  }, []);
  const open = forwards.value.find((f) => f.namespace === p.namespace && f.name === p.pod && f.port === String(p.port));
  if (p.udp) return <code class="tag">{p.label}</code>;
  if (open) {
    return <a class="tag" href={`http://${open.address}/`} target="_blank" rel="noopener noreferrer">{p.label} at {open.address}</a>;
  }
  const start = async () => {
    setBusy(true);
    try {
      const made = await sendJSON<Forward>("POST", "/api/forwards", { namespace: p.namespace, pod: p.pod, port: p.port });
      toast(`Port ${p.port} of ${p.pod} answers at ${made.address}`);
      await refresh();
    } catch (err) {
      toast(messageOf(err), true);
    }
    setBusy(false);
  };
  return <button type="button" disabled={busy} onClick={() => void start()}>Forward {p.label}</button>;
}

export function ForwardsScreen(): JSX.Element {
  const [problem, setProblem] = useState("");
  useEffect(() => {
    const read = () => refresh().then(() => setProblem(""), (err: unknown) => setProblem(messageOf(err)));
    void read();
    const timer = setInterval(() => void read(), 3000);
    return () => clearInterval(timer);
  }, []);
  const stop = async (f: Forward) => {
    try {
      await send(`/api/forwards/${encodeURIComponent(f.id)}`, { method: "DELETE" });
      await refresh();
    } catch (err) {
      toast(messageOf(err), true);
    }
  };
  return (
    <div class="stack page">
      <h1>Port-forwards</h1>
      {problem !== "" && <Note bad>{problem}</Note>}
      {forwards.value.length === 0
        ? <Note>No port-forwards. Start one on the page of a pod. All end with this session.</Note>
        : (
          <div class="scroll-x" tabIndex={0} role="region" aria-label="Port-forwards">
            <table class="small-table">
              <thead><tr><th>Address</th><th>Target</th><th>Port</th><th>State</th><th><span class="hidden">Actions</span></th></tr></thead>
              <tbody>
                {forwards.value.map((f) => (
                  <tr key={f.id}>
                    <td><a href={`http://${f.address}/`} target="_blank" rel="noopener noreferrer">{f.address}</a></td>
                    <td><a href={objectHref({ resource: f.kind, namespace: f.namespace, name: f.name })}>{f.namespace}/{f.name}</a></td>
                    <td>{f.port}</td>
                    <td>{f.state}{f.problem ? ` – ${f.problem}` : ""}</td>
                    <td><button type="button" onClick={() => void stop(f)}>Stop<span class="hidden"> {f.address}</span></button></td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
    </div>
  );
}
