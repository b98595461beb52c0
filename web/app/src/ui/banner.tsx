// One banner while the cluster does not answer.

import type { JSX } from "preact";
import { outage } from "../data/connection";
import { useNow } from "../data/use";
import { duration } from "../kube/format";

export function Banner(): JSX.Element | null {
  const o = outage.value;
  return (
    <div role="alert" class={o ? "banner" : ""}>
      {o && (o.ended ? o.message : <>The cluster has not answered for <Elapsed since={o.since} />. What you see is from before; it updates as soon as the cluster answers again. <span class="small">{o.message}</span></>)}
    </div>
  );
}

function Elapsed({ since }: { since: number }): JSX.Element {
  return <span aria-hidden="true">{duration((useNow(1000) - since) / 1000)}</span>;
}
