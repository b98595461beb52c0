// Machines: what the daemon knows about the nodes of the cluster.

import type { JSX } from "preact";
import { machineState, type Machine } from "../data/machines";
import { bytes, plain } from "../kube/format";
import { wordHealth } from "../kube/status";
import { ObjectLink, State } from "../ui/basics";

export function machineHealth(m: Machine) {
  const state = machineState(m);
  return state === "Ready" ? "good" : state === "booting" || state === "paused" ? "busy" : wordHealth(state) === "none" ? "bad" : wordHealth(state);
}

export function Machines({ machines }: { machines: Machine[] }): JSX.Element {
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="Machines">
      <table class="small-table">
        <thead><tr><th>Machine</th><th>State</th><th class="right">CPUs</th><th class="right wrap">Memory on the host</th><th class="right">Disk</th></tr></thead>
        <tbody>
          {machines.map((m) => (
            <tr key={m.name}>
              <td><ObjectLink to={{ resource: "nodes", namespace: "", name: m.name }} /><div class="muted">{m.role}</div></td>
              <td><State health={machineHealth(m)}>{machineState(m)}</State>{m.faults ? <div class="wrap">{m.faults.join(", ")}</div> : null}{m.outdated ? <div class="wrap">older node image {m.kubernetes}</div> : null}{m.machineMessage || m.reason ? <div class="muted wrap">{plain(m.machineMessage || m.reason || "")}</div> : null}</td>
              <td class="right">{m.cpus || "–"}</td>
              <td class="right">{m.hostMemoryMiB > 0 ? `${bytes(m.hostMemoryMiB * 2 ** 20)}${m.memoryMiB > 0 ? ` of ${bytes(m.memoryMiB * 2 ** 20)}` : ""}` : "–"}</td>
              <td class="right">{bytes(m.diskUsedBytes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
