// The choice of a cluster. Each has a dashboard of its own, opened by a link that works
// once.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { getJSON, messageOf, sendJSON } from "../api/http";
import { session } from "../data/cluster";
import { Dialog } from "./dialog";
import { Failure, Note, State } from "./basics";
import { useLoad } from "../data/use";

interface Cluster {
  name: string;
  state: string;
  nodes: number;
  current: boolean;
}

export function ClusterButton(): JSX.Element {
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" class="plain cluster" aria-haspopup="dialog" title="Clusters on this host" onClick={() => setOpen(true)}>
        <span class="hidden">Cluster </span>{session.value?.cluster ?? "Skiff"} <span aria-hidden="true">▾</span>
      </button>
      {open && <Clusters onClose={() => setOpen(false)} />}
    </>
  );
}

function Clusters({ onClose }: { onClose(): void }): JSX.Element {
  const { value, error } = useLoad((signal) => getJSON<Cluster[]>("/api/clusters", { signal }), []);
  const [problem, setProblem] = useState("");
  const open = async (name: string) => {
    try {
      const { url } = await sendJSON<{ url: string }>("POST", `/api/clusters/${encodeURIComponent(name)}/open`, {});
      location.assign(url);
    } catch (err) {
      setProblem(messageOf(err));
    }
  };
  return (
    <Dialog title="Clusters on this host" onClose={onClose}>
      {error ? <Failure error={error} /> : null}
      {problem !== "" && <Note bad>{problem}</Note>}
      <ul class="clusters">
        {(value ?? []).map((c) => (
          <li key={c.name}>
            <b>{c.name}</b>
            <State health={c.state === "healthy" ? "good" : c.state === "degraded" ? "bad" : "none"}>{c.state}</State>
            <span class="muted">{c.nodes} {c.nodes === 1 ? "node" : "nodes"}</span>
            <span class="spring" />
            {c.current ? <span class="muted">shown</span> : <button type="button" disabled={c.state === "stopped"} onClick={() => void open(c.name)}>Open<span class="hidden"> {c.name}</span></button>}
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
