// What is worth knowing about objects of well-known kinds.

import type { JSX } from "preact";
import { bytes, quantity } from "../kube/format";
import { selectorText } from "../kube/relations";
import type { Ref } from "../kube/resource";
import type { KubeObject, Pod, ServicePort } from "../kube/types";
import { Fact, ObjectLink } from "../ui/basics";
import { ServiceAddresses } from "./addresses";

type Fields = Record<string, unknown>;

function text(v: unknown): string {
  return v === undefined || v === null ? "" : typeof v === "string" ? v : typeof v === "object" ? JSON.stringify(v) : String(v);
}

export function kindFacts(to: Ref, object: KubeObject): JSX.Element | null {
  const spec: Fields = object.spec ?? {};
  const status: Fields = object.status ?? {};
  switch (to.resource) {
    case "pods":
      return podFacts(object as Pod);
    case "deployments.apps":
    case "statefulsets.apps":
    case "daemonsets.apps":
    case "replicasets.apps":
      return workloadFacts(spec, status);
    case "services":
      return serviceFacts(to, spec);
    case "ingresses.networking.k8s.io":
    case "httproutes.gateway.networking.k8s.io":
      return <ServiceAddresses to={to} />;
    case "nodes":
      return nodeFacts(spec, status);
    case "persistentvolumeclaims":
    case "persistentvolumes":
      return (
        <>
          <Fact name="Capacity">{text((status["capacity"] as Fields)?.["storage"] ?? (spec["capacity"] as Fields)?.["storage"])}</Fact>
          <Fact name="Access">{(spec["accessModes"] as string[] | undefined)?.join(", ")}</Fact>
          <Fact name="Class">{text(spec["storageClassName"])}</Fact>
          <Fact name="Reclaim policy">{text(spec["persistentVolumeReclaimPolicy"])}</Fact>
        </>
      );
    case "jobs.batch":
      return (
        <>
          <Fact name="Completions">{`${text(status["succeeded"] ?? 0)} of ${text(spec["completions"] ?? 1)}`}</Fact>
          <Fact name="Failed pods">{text(status["failed"])}</Fact>
        </>
      );
    case "cronjobs.batch":
      return (
        <>
          <Fact name="Schedule"><code>{text(spec["schedule"])}</code></Fact>
          <Fact name="Suspended">{spec["suspend"] === true && "yes"}</Fact>
          <Fact name="Last run">{text(status["lastScheduleTime"])}</Fact>
        </>
      );
    case "secrets":
      return <Fact name="Type">{text(object["type"])}</Fact>;
  }
  return null;
}

function podFacts(pod: Pod): JSX.Element {
  return (
    <>
      <Fact name="Node">{pod.spec?.nodeName && <ObjectLink to={{ resource: "nodes", namespace: "", name: pod.spec.nodeName }} />}</Fact>
      <Fact name="Address"><code>{pod.status?.podIP ?? ""}</code></Fact>
      <Fact name="Quality of service">{pod.status?.qosClass}</Fact>
      <Fact name="Priority class">{text(pod.spec?.["priorityClassName"])}</Fact>
    </>
  );
}

interface PodTemplate {
  spec?: { containers?: { name: string; image?: string }[] };
}

function workloadFacts(spec: Fields, status: Fields): JSX.Element {
  const template = spec["template"] as PodTemplate | undefined;
  const strategy = (spec["strategy"] ?? spec["updateStrategy"]) as { type?: string } | undefined;
  return (
    <>
      <Fact name="Pods">{[["desired", spec["replicas"] ?? status["desiredNumberScheduled"]], ["updated", status["updatedReplicas"] ?? status["updatedNumberScheduled"]], ["ready", status["readyReplicas"] ?? status["numberReady"]], ["available", status["availableReplicas"] ?? status["numberAvailable"]]].filter(([, n]) => n !== undefined).map(([k, n]) => `${text(n)} ${text(k)}`).join(", ")}</Fact>
      <Fact name="Update">{strategy?.type}</Fact>
      <Fact name="Images">{[...new Set((template?.spec?.containers ?? []).map((c) => c.image))].map((i) => <div key={i}><code>{i}</code></div>)}</Fact>
      <Fact name="Selector"><code>{selectorText(spec["selector"])}</code></Fact>
    </>
  );
}

function serviceFacts(to: Ref, spec: Fields): JSX.Element {
  const ports = (spec["ports"] ?? []) as ServicePort[];
  return (
    <>
      <Fact name="Type">{text(spec["type"])}</Fact>
      <Fact name="Cluster address"><code>{(spec["clusterIPs"] as string[] | undefined)?.join(", ")}</code></Fact>
      <Fact name="Ports">
        {ports.length > 0 && ports.map((p) => (
          <div key={`${p.port}${p.protocol ?? ""}`}>
            <code>{p.port}/{p.protocol ?? "TCP"}</code>{p.name ? ` ${p.name}` : ""} → <code>{text(p.targetPort)}</code>{p.nodePort ? <span class="muted"> node port {p.nodePort}</span> : null}
          </div>
        ))}
      </Fact>
      <Fact name="Selector"><code>{selectorText(spec["selector"])}</code></Fact>
      <ServiceAddresses to={to} />
    </>
  );
}

function nodeFacts(spec: Fields, status: Fields): JSX.Element {
  const info = (status["nodeInfo"] ?? {}) as Record<string, string>;
  const addresses = (status["addresses"] ?? []) as { type: string; address: string }[];
  const capacity = (status["allocatable"] ?? {}) as Record<string, string>;
  const taints = (spec["taints"] ?? []) as { key: string; value?: string; effect: string }[];
  return (
    <>
      <Fact name="Addresses">{addresses.map((a) => <div key={a.type + a.address}><code>{a.address}</code> <span class="muted">{a.type}</span></div>)}</Fact>
      <Fact name="Allocatable">{`${capacity["cpu"] ?? "?"} CPUs, ${bytes(quantity(capacity["memory"]))}, ${capacity["pods"] ?? "?"} pods`}</Fact>
      <Fact name="Scheduling">{spec["unschedulable"] === true ? "takes no new pods" : "takes pods"}</Fact>
      <Fact name="Taints">{taints.length > 0 && taints.map((t) => <div key={t.key + t.effect}><code>{t.key}{t.value ? `=${t.value}` : ""}:{t.effect}</code></div>)}</Fact>
      <Fact name="Kubelet">{info["kubeletVersion"]}</Fact>
      <Fact name="Runtime">{info["containerRuntimeVersion"]}</Fact>
      <Fact name="System">{`${info["osImage"] ?? ""}, Linux ${info["kernelVersion"] ?? ""}, ${info["architecture"] ?? ""}`}</Fact>
    </>
  );
}
