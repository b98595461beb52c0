// What is known about the cluster before any screen: the session and the resources
// that the API server serves.

import { signal } from "@preact/signals";
import { getJSON, kubernetes, setCSRF } from "../api/http";
import { discoveryAccept, parseDiscovery, type GroupDiscoveryList } from "../kube/discovery";
import { resourcePath, type Ref, type Resource } from "../kube/resource";
import type { KubeObject } from "../kube/types";
import { reachable, reportFailure } from "./connection";

export interface Session {
  cluster: string;
  user: string;
  groups?: string[];
  csrf: string;
  version: string;
  expires: string;
}

export const session = signal<Session | undefined>(undefined);
export const resources = signal<Map<string, Resource>>(new Map());

/** start reads the session and discovers resources, and repeats that until it succeeds. */
export async function start(): Promise<void> {
  const s = await getJSON<Session>("/api/session");
  setCSRF(s.csrf);
  session.value = s;
  for (;;) {
    try {
      await discover();
      return;
    } catch (err) {
      reportFailure(err);
      await reachable();
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

/** discover reads which resources the API server serves, e.g. after a definition has changed. */
export async function discover(): Promise<void> {
  const read = (path: string) => getJSON<GroupDiscoveryList>(kubernetes + path, { accept: discoveryAccept });
  resources.value = parseDiscovery(await Promise.all([read("/api"), read("/apis")]));
}

export function resource(id: string): Resource | undefined {
  return resources.value.get(id);
}

/** objectPath returns the path of an object for requests to the dashboard's server. */
export function objectPath(ref: Ref, subresource = ""): string {
  const r = resources.peek().get(ref.resource);
  if (!r) {
    throw new Error(`the server has no resource ${ref.resource}`);
  }
  return kubernetes + resourcePath(r, ref.namespace, ref.name, subresource);
}

export function getObject(ref: Ref, signal?: AbortSignal): Promise<KubeObject> {
  return getJSON<KubeObject>(objectPath(ref), { signal });
}
