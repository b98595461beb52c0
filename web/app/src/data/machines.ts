// What the daemon knows about the cluster: machines, problems, and addresses of this
// host.

import { signal, useSignal, type Signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { getJSON } from "../api/http";
import type { Repair, ScaledGroup, Scaling } from "../kube/changes";

export interface Machine {
  name: string;
  role: string;
  address: string;
  machine: string; // absent, stopped, running or paused
  machineMessage?: string;
  faults?: string[]; // active ones that `skiff chaos` began
  agent: boolean;
  ready: string;
  reason?: string;
  cpus: number;
  memoryMiB: number;
  hostMemoryMiB: number;
  hostCPUSeconds: number;
  diskUsedBytes: number;
  started?: string;
  kubernetes?: string; // the release of its kubelet
  outdated?: boolean; // the host has another node image
}

export interface ClusterStatus {
  name: string;
  phase: string;
  driver: string;
  accelerator: string;
  server: string;
  web?: string;
  webTLS?: string;
  apiReady: boolean;
  kubernetes: string;
  nodes: Machine[] | null;
  faults?: Fault[];
  repairs?: Repair[];
  scaled?: ScaledGroup[];
  scalings?: Scaling[];
  snapshots?: number;
  problems?: string[];
  notes?: string[];
}

/** A fault that a user began with `skiff chaos`. */
export interface Fault {
  id: string;
  nodes: string[];
  until: string;
}

/** faultLine describes a fault in one line. */
export function faultLine(f: Fault): string {
  return `Fault ${f.id} on ${f.nodes.join(", ")} until ${new Date(f.until).toLocaleTimeString()}.`;
}

export interface ServiceAddress {
  namespace: string;
  name: string;
  type: string;
  external?: string[];
  ready: boolean;
  ports: { name?: string; protocol: string; port: number; nodePort?: number; host?: string[]; problem?: string }[] | null;
  message?: string;
}

export interface IngressAddress {
  namespace: string;
  name: string;
  urls: string[] | null;
  message?: string;
}

export interface Addresses {
  services: ServiceAddress[] | null;
  names?: { namespace: string; name: string; url: string }[];
  ingresses?: IngressAddress[];
  httpRoutes?: IngressAddress[];
}

/** A value that is read again every so often while a component uses it. */
class Poll<T> {
  readonly value: Signal<T | undefined> = signal(undefined);
  private users = 0;
  private timer = 0;

  constructor(private readonly path: string, private readonly every: number) {}

  use(): () => void {
    if (++this.users === 1) void this.run();
    return () => {
      if (--this.users === 0) clearTimeout(this.timer);
    };
  }

  private async run(): Promise<void> {
    try {
      this.value.value = await getJSON<T>(this.path);
    } catch {
      // The last value stays. An outage is reported by the feeds.
    }
    clearTimeout(this.timer);
    if (this.users > 0) this.timer = window.setTimeout(() => void this.run(), this.every);
  }
}

const status = new Poll<ClusterStatus>("/api/status", 3000);
const addresses = new Poll<Addresses>("/api/services", 3000);

function usePoll<T>(poll: Poll<T>, enabled = true): T | undefined {
  const value = useSignal<T | undefined>(poll.value.peek());
  useEffect(() => {
    if (!enabled) return;
    const release = poll.use();
    const unsubscribe = poll.value.subscribe((v) => {
      value.value = v;
    });
    return () => {
      unsubscribe();
      release();
    };
  }, [enabled]);
  return value.value;
}

export function useStatus(): ClusterStatus | undefined {
  return usePoll(status);
}

export function useAddresses(enabled = true): Addresses | undefined {
  return usePoll(addresses, enabled);
}

/** machineState describes a machine in a word or two, as `skiff status` does. */
export function machineState(m: Machine): string {
  if (m.machine !== "running") return m.machine;
  if (!m.agent) return "booting";
  if (m.ready === "True") return "Ready";
  return m.ready === "" ? "not registered" : m.ready === "Unknown" ? "Unknown" : "NotReady";
}
