// An object that is being edited, and how others have changed it since.

import { sendJSON } from "../api/http";
import { getObject } from "../data/cluster";
import type { Ref } from "../kube/resource";
import type { KubeObject } from "../kube/types";
import { editable } from "./manifest";

export interface Version {
  uid: string;
  resourceVersion: string;
}

export interface Edited {
  to: Ref;
  original: string; // the manifest before the edit
  version: Version;
}

/** What others have done to an object while it was edited. */
export interface Since {
  current: string;
  version: Version;
  merged: string; // the current object with the user's changes
  diff: string; // what others have changed; empty if it is only the status
  replaced: boolean; // the object was deleted and created again
}

export function versionOf(object: KubeObject): Version {
  return { uid: object.metadata.uid ?? "", resourceVersion: object.metadata.resourceVersion ?? "" };
}

export async function compare(edited: Edited, yaml: string): Promise<Since> {
  const object = await getObject(edited.to);
  const current = editable(object);
  const { yaml: merged, diff } = await sendJSON<{ yaml: string; diff: string }>("POST", "/api/actions/merge", { original: edited.original, yaml, current });
  const version = versionOf(object);
  return { current, version, merged, diff, replaced: version.uid !== edited.version.uid };
}
