// The protocol of exec and attach, v5.channel.k8s.io: the first byte of each message is
// its channel (https://github.com/kubernetes/kubernetes, staging/src/k8s.io/apimachinery/pkg/util/remotecommand).

import { socketURL } from "../api/socket";
import type { Status } from "../kube/types";

const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;

export interface Session {
  write(data: string): void;
  resize(columns: number, rows: number): void;
  close(): void;
}

export interface SessionHandler {
  open(): void;
  output(data: Uint8Array): void;
  /** Called once, with one line about why the session has ended. */
  end(message: string): void;
}

/** connect opens a session at the path of exec or attach with its parameters. */
export function connect(path: string, handler: SessionHandler): Session {
  const socket = new WebSocket(socketURL(path), ["v5.channel.k8s.io", "v4.channel.k8s.io"]);
  socket.binaryType = "arraybuffer";
  const encoder = new TextEncoder();
  let message = "";
  let opened = false;
  let ended = false;
  const send = (channel: number, data: Uint8Array) => {
    if (socket.readyState !== WebSocket.OPEN) return;
    const frame = new Uint8Array(data.length + 1);
    frame[0] = channel;
    frame.set(data, 1);
    socket.send(frame);
  };
  socket.onopen = () => {
    opened = true;
    handler.open();
  };
  socket.onmessage = (event: MessageEvent<ArrayBuffer>) => {
    const data = new Uint8Array(event.data);
    const rest = data.subarray(1);
    if (data[0] === channels.stdout || data[0] === channels.stderr) handler.output(rest);
    else if (data[0] === channels.error) message = reason(new TextDecoder().decode(rest));
  };
  socket.onclose = () => {
    if (ended) return;
    ended = true;
    handler.end(message || (opened ? "The session has ended." : "The session was refused: the container may not run, or you may not do this."));
  };
  return {
    write: (data) => send(channels.stdin, encoder.encode(data)),
    resize: (Width, Height) => send(channels.resize, encoder.encode(JSON.stringify({ Width, Height }))),
    close: () => {
      ended = true;
      socket.close();
    },
  };
}

/** reason returns one line about the status with which a session ends. */
export function reason(text: string): string {
  try {
    const status = JSON.parse(text) as Status & { status?: string };
    return status.status === "Success" ? "The session has ended." : status.message ?? text;
  } catch {
    return text;
  }
}
