// Small parts that all screens use.

import { Fragment, type ComponentChildren, type JSX } from "preact";
import { messageOf } from "../api/http";
import type { FeedState } from "../data/feed";
import { useNow } from "../data/use";
import { age, plain } from "../kube/format";
import type { Ref } from "../kube/resource";
import type { Health } from "../kube/status";
import { objectHref } from "./router";

const paths = {
  menu: "M2 4h12M2 8h12M2 12h12",
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10ZM10.6 10.6 14 14",
  plus: "M8 3v10M3 8h10",
  theme: "M8 2a6 6 0 1 0 0 12ZM8 2a6 6 0 0 1 0 12",
  help: "M6 6a2 2 0 1 1 2.6 1.9c-.4.2-.6.5-.6.9v.7M8 12v.2",
  close: "M4 4l8 8M12 4l-8 8",
  refresh: "M13 8a5 5 0 1 1-1.5-3.5M13 2v3h-3",
};

export function Icon({ name }: { name: keyof typeof paths }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}

export function Dot({ health }: { health: Health }): JSX.Element {
  return <span class={`dot ${health}`} aria-hidden="true" />;
}

/** A state with its colour; the text says the same without it. */
export function State({ health, children }: { health: Health; children: ComponentChildren }): JSX.Element {
  return (
    <span class={`state ${health}`}>
      <Dot health={health} />
      {children}
    </span>
  );
}

export function Age({ since }: { since: string | undefined }): JSX.Element {
  const now = useNow(10_000);
  return <time dateTime={since} title={since ? new Date(since).toLocaleString() : ""}>{age(since, now)}</time>;
}

export function ObjectLink({ to, children }: { to: Ref; children?: ComponentChildren }): JSX.Element {
  return <a href={objectHref(to)}>{children ?? to.name}</a>;
}

export function Card(props: { title?: ComponentChildren; aside?: ComponentChildren; class?: string; children: ComponentChildren }): JSX.Element {
  return (
    <section class={`card ${props.class ?? ""}`}>
      {props.title !== undefined && (
        <header>
          <h2>{props.title}</h2>
          {props.aside}
        </header>
      )}
      {props.children}
    </section>
  );
}

export function Note({ children, bad }: { children: ComponentChildren; bad?: boolean }): JSX.Element {
  return <p class={bad ? "note bad" : "note"} role={bad ? "alert" : undefined}>{children}</p>;
}

export function Failure({ error }: { error: unknown }): JSX.Element {
  return <Note bad>{messageOf(error)}</Note>;
}

/** What to say instead of a feed's rows; undefined if there are rows to show. */
export function feedNote(state: FeedState, what: string): string | undefined {
  if (state.rows.length > 0) return undefined;
  switch (state.status) {
    case "forbidden":
      return `You may not list ${what} here.`;
    case "failed":
      return state.error ? messageOf(state.error) : `${what} cannot be listed`;
    case "loading":
      return "Loading …";
    default:
      return `No ${what}.`;
  }
}

/** Names and values, two columns. */
export function Facts({ children }: { children: ComponentChildren }): JSX.Element {
  return <dl class="facts">{children}</dl>;
}

export function Fact({ name, children }: { name: string; children: ComponentChildren }): JSX.Element | null {
  if (children === undefined || children === null || children === "" || children === false) {
    return null;
  }
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

export function Labels({ labels }: { labels: Record<string, string> | undefined }): JSX.Element {
  return (
    <ul class="labels">
      {Object.entries(labels ?? {}).map(([k, v]) => (
        <li key={k} title={`${k}=${v}`}>
          <span>{k}</span>
          {v !== "" && <b>{v}</b>}
        </li>
      ))}
    </ul>
  );
}

/** Breakable is a name in camel case that wraps between its words. */
export function Breakable({ text }: { text: string }): JSX.Element {
  return <>{plain(text).split(/(?<=[a-z])(?=[A-Z])/).map((word, i) => (i === 0 ? word : <Fragment key={i}><wbr />{word}</Fragment>))}</>;
}
