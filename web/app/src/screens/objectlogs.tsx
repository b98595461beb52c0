// Live logs of a pod, or of the pods of a workload.

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { useFeed } from "../data/use";
import { resources } from "../data/cluster";
import { selectorText } from "../kube/relations";
import type { Ref } from "../kube/resource";
import type { KubeObject, Pod } from "../kube/types";
import { Note } from "../ui/basics";
import { LiveLogs, type LogSource } from "../ui/livelogs";
import { href } from "../ui/router";

/** sourcesOf returns the containers that have a log: those that have started before. */
export function sourcesOf(pods: Pod[]): LogSource[] {
  return pods.flatMap((pod) => [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])]
    .filter((s) => s.state?.running || s.state?.terminated || s.lastState?.terminated)
    .map((s) => ({ namespace: pod.metadata.namespace ?? "", pod: pod.metadata.name, container: s.name })));
}

export function ObjectLogs({ to, object, compact }: { to: Ref; object: KubeObject; compact?: boolean }): JSX.Element {
  const podResource = resources.value.get("pods");
  const isPod = to.resource === "pods";
  const labels = isPod ? "" : selectorText(object.spec?.["selector"]);
  const state = useFeed(!isPod && labels !== "" && podResource ? { resource: podResource, namespace: to.namespace, labels, form: "object" } : undefined);
  const pods = isPod ? [object as Pod] : state.rows.map((row) => row.object as Pod);
  const found = sourcesOf(pods);
  const sources = useMemo(() => found, [JSON.stringify(found)]);
  if (!podResource || sources.length === 0) return <Note>{pods.length === 0 ? "No pods." : "No container has started yet."}</Note>;
  return (
    <>
      <LiveLogs pods={podResource} sources={sources} compact={compact ?? false} />
      {!compact && <p class="small"><a href={`${href("logs")}?${new URLSearchParams({ namespace: to.namespace, ...(isPod ? { pod: to.name } : {}) })}`}>Search stored logs</a>, also of containers that are gone</p>}
    </>
  );
}
