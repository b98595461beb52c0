// Routes live in the fragment of the address: #/list/pods, #/object/pods/shop/web-1?tab=logs.

import { computed, signal } from "@preact/signals";
import type { Ref } from "../kube/resource";

export interface Route {
  path: string[];
  parameters: URLSearchParams;
}

export function parseRoute(fragment: string): Route {
  const text = fragment.replace(/^#\/?/, "");
  const mark = text.indexOf("?");
  const path = (mark < 0 ? text : text.slice(0, mark)).split("/").filter((p) => p !== "").map(decode);
  return { path: path.length > 0 ? path : ["overview"], parameters: new URLSearchParams(mark < 0 ? "" : text.slice(mark + 1)) };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const fragment = signal(location.hash);
addEventListener("hashchange", () => {
  fragment.value = location.hash;
});

export const route = computed(() => parseRoute(fragment.value));

export function go(href: string): void {
  location.hash = href.replace(/^#/, "");
}

export function href(...path: string[]): string {
  return "#/" + path.map(encodeURIComponent).join("/");
}

export function listHref(resource: string): string {
  return href("list", resource);
}

/** objectHref is the address of an object's page. "_" stands for no namespace. */
export function objectHref(ref: Ref, tab = ""): string {
  return href("object", ref.resource, ref.namespace || "_", ref.name) + (tab === "" ? "" : `?tab=${tab}`);
}

/** setParameter changes one parameter of the current route without a new history entry. */
export function setParameter(name: string, value: string): void {
  const { path, parameters } = route.peek();
  const next = new URLSearchParams(parameters);
  if (value === "") {
    next.delete(name);
  } else {
    next.set(name, value);
  }
  const rest = next.toString();
  history.replaceState(null, "", href(...path) + (rest === "" ? "" : `?${rest}`));
  fragment.value = location.hash;
}
