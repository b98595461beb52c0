// Addresses of this host at which a service, an Ingress or an HTTPRoute answers.

import type { JSX } from "preact";
import { useAddresses, type Addresses } from "../data/machines";
import type { Ref } from "../kube/resource";
import { Fact } from "../ui/basics";

interface Address {
  text: string;
  /** Empty where a browser cannot open it. */
  url: string;
  problem: string;
}

/** addressesOf returns the addresses of one object. */
export function addressesOf(to: Ref, all: Addresses | undefined): { addresses: Address[]; message: string } {
  const same = (o: { namespace: string; name: string }) => o.namespace === to.namespace && o.name === to.name;
  if (to.resource !== "services") {
    const entry = (to.resource.startsWith("ingresses") ? all?.ingresses : all?.httpRoutes)?.find(same);
    return { addresses: (entry?.urls ?? []).map((url) => ({ text: url, url: safe(url), problem: "" })), message: entry?.message ?? "" };
  }
  const names = (all?.names ?? []).filter(same).map((n) => ({ text: n.url, url: safe(n.url), problem: "" }));
  const service = (all?.services ?? []).find(same);
  const ports = (service?.ports ?? []).flatMap((p) => (p.host ?? []).map((host) => ({
    text: p.protocol === "TCP" ? host : `${host}/${p.protocol}`,
    url: p.protocol === "TCP" ? safe(`${p.port === 443 || p.name === "https" ? "https" : "http"}://${host}/`) : "",
    problem: p.problem ?? "",
  })));
  return { addresses: [...names, ...ports], message: service?.message ?? "" };
}

/** safe returns a URL if a link may lead there: http and https only, without wildcards. */
export function safe(url: string): string {
  try {
    const u = new URL(url);
    return (u.protocol === "http:" || u.protocol === "https:") && !u.hostname.includes("*") ? u.href : "";
  } catch {
    return "";
  }
}

export function ServiceAddresses({ to }: { to: Ref }): JSX.Element | null {
  const { addresses, message } = addressesOf(to, useAddresses());
  if (addresses.length === 0 && message === "") return null;
  return (
    <Fact name="On this host">
      {addresses.map((a) => (
        <div key={a.text}>
          {a.url ? <a href={a.url} target="_blank" rel="noopener noreferrer">{a.text}</a> : <code>{a.text}</code>}
          {a.problem && <span class="muted"> {a.problem}</span>}
        </div>
      ))}
      {message && <div class="muted">{message}</div>}
    </Fact>
  );
}
