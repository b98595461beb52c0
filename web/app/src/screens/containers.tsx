// The containers of a pod: state, restarts, image, resources, ports.

import type { JSX } from "preact";
import { plain } from "../kube/format";
import { containerState } from "../kube/status";
import type { Container, ContainerStatus, Pod } from "../kube/types";
import { Card, State } from "../ui/basics";
import { ForwardButton } from "./forwards";

export function Containers({ pod }: { pod: Pod }): JSX.Element {
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  const row = (c: Container, init: boolean) => (
    <ContainerRow key={c.name} pod={pod} container={c} init={init} status={statuses.find((s) => s.name === c.name)} />
  );
  return (
    <Card title="Containers">
      <ul class="containers">
        {(pod.spec?.initContainers ?? []).map((c) => row(c, true))}
        {(pod.spec?.containers ?? []).map((c) => row(c, false))}
      </ul>
    </Card>
  );
}

function ContainerRow({ pod, container: c, init, status }: { pod: Pod; container: Container; init: boolean; status: ContainerStatus | undefined }): JSX.Element {
  const state = containerState(status);
  const last = status?.lastState?.terminated;
  const amounts = (["requests", "limits"] as const).flatMap((of) => {
    const all = Object.entries(c.resources?.[of] ?? {});
    return all.length > 0 ? [`${of} ${all.map(([k, v]) => `${k} ${v}`).join(", ")}`] : [];
  });
  const probes = [c.startupProbe && "startup", c.readinessProbe && "readiness", c.livenessProbe && "liveness"].filter(Boolean);
  return (
    <li>
      <div class="bar">
        <b>{c.name}</b>
        {init && <span class="tag">{c.restartPolicy === "Always" ? "sidecar" : "init"}</span>}
        <State health={state.health}>{state.text}</State>
        {(status?.restartCount ?? 0) > 0 && <span class="muted">{status?.restartCount} restarts{last ? `, last exit code ${last.exitCode ?? "?"}${last.reason ? ` (${last.reason})` : ""}` : ""}</span>}
      </div>
      <code class="wrap">{c.image}</code>
      {state.detail !== "" && <p class="note bad">{plain(state.detail)}</p>}
      <p class="muted small">{[...amounts, probes.length > 0 ? `${probes.join(", ")} probe` : ""].filter(Boolean).join(" · ")}</p>
      {(c.ports ?? []).length > 0 && (
        <div class="bar">
          {(c.ports ?? []).map((p) => (
            <ForwardButton key={p.containerPort} namespace={pod.metadata.namespace ?? ""} pod={pod.metadata.name} port={p.containerPort} label={`${p.containerPort}/${p.protocol ?? "TCP"}${p.name ? ` ${p.name}` : ""}`} udp={p.protocol === "UDP"} />
          ))}
        </div>
      )}
    </li>
  );
}
