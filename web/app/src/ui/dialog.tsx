// A modal dialog of the browser: it keeps the focus inside and closes with Escape.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { Icon } from "./basics";

export function Dialog(p: { title: string; onClose(): void; children: ComponentChildren; class?: string }): JSX.Element {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    element.current?.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus({ preventScroll: true });
    };
  }, []);
  return (
    <dialog
      ref={element} class={p.class ?? ""} aria-labelledby={id} onClose={p.onClose}
      onClick={(e) => {
        if (e.target === element.current) element.current?.close();
      }}
    >
      <div class="dialog-body">
        <div class="dialog-head">
          <h2 id={id}>{p.title}</h2>
          <button type="button" class="plain" aria-label="Close" onClick={() => element.current?.close()}><Icon name="close" /></button>
        </div>
        {p.children}
      </div>
    </dialog>
  );
}
