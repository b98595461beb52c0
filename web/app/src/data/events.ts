// Events as screens show them: newest first, with their count and the object they are
// about.

import type { KubeEvent } from "../kube/types";
import type { Row } from "./collection";

export interface EventLine {
  key: string;
  warning: boolean;
  time: string; // when it last happened
  count: number;
  reason: string;
  message: string;
  source: string;
  about: NonNullable<KubeEvent["involvedObject"]>;
}

export function eventLine(row: Row): EventLine {
  const e = (row.object ?? { metadata: row.meta }) as KubeEvent;
  return {
    key: row.key,
    warning: e.type === "Warning",
    time: e.series?.lastObservedTime ?? e.lastTimestamp ?? e.eventTime ?? e.metadata.creationTimestamp ?? "",
    count: e.series?.count ?? e.count ?? 1,
    reason: e.reason ?? "",
    message: e.message ?? e.note ?? "",
    source: e.reportingComponent || e.source?.component || "",
    about: e.involvedObject ?? {},
  };
}

/** eventLines returns the events of a feed's rows, the newest first. */
export function eventLines(rows: Row[], warningsOnly = false): EventLine[] {
  return rows.map(eventLine).filter((e) => !warningsOnly || e.warning).sort((a, b) => (a.time < b.time ? 1 : a.time > b.time ? -1 : 0));
}
