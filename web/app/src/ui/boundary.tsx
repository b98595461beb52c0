// Replaces a screen that throws an error, so that the rest of the page stays usable.

import { Component, type ComponentChildren } from "preact";
import { messageOf } from "../api/http";

interface Props {
  /** When it changes, such as to the path of another screen, the children are shown again. */
  of: string;
  children: ComponentChildren;
}

export class Boundary extends Component<Props, { error?: unknown; failed: boolean }> {
  override state = { failed: false };

  static override getDerivedStateFromError(error: unknown): { error: unknown; failed: boolean } {
    return { error, failed: true };
  }

  override componentDidCatch(error: unknown): void {
    console.error(error);
  }

  override componentDidUpdate(before: Props): void {
    if (this.state.failed && before.of !== this.props.of) {
      this.setState({ error: undefined, failed: false });
    }
  }

  override render() {
    if (!this.state.failed) return this.props.children;
    const { error } = this.state as { error?: unknown };
    return (
      <div class="broken" role="alert">
        <h1>This page does not work</h1>
        <p class="note bad">{messageOf(error)}</p>
        <p>The other pages do. If it happens again, report it with the message above.</p>
        <button type="button" class="primary" onClick={() => location.reload()}>Reload</button>
      </div>
    );
  }
}
