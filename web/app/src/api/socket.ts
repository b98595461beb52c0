// Streams are WebSockets: a browser opens only six plain HTTP/1.1 connections to a
// server at once, which that many watches would use up.

import { kubernetes } from "./http";

export interface StreamHandler {
  open?(): void;
  message(text: string): void;
  /** Called once, when the stream has ended. opened reports whether it was ever accepted. */
  close(opened: boolean): void;
}

/** socketURL returns the address of a WebSocket to a path of the API server. */
export function socketURL(path: string): URL {
  const url = new URL(kubernetes + path, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}

/**
 * openStream reads a watch or log of the API server until the returned function is
 * called. A browser cannot set headers of a WebSocket, so the server takes the Accept
 * header from the parameter "accept".
 */
export function openStream(path: string, accept: string, handler: StreamHandler, protocols: string[] = []): () => void {
  const url = socketURL(path);
  if (accept !== "") {
    url.searchParams.set("accept", accept);
  }
  const socket = new WebSocket(url, protocols);
  socket.binaryType = "arraybuffer";
  const decoder = new TextDecoder();
  let opened = false;
  let ended = false;
  const end = () => {
    if (!ended) {
      ended = true;
      handler.close(opened);
    }
  };
  socket.onopen = () => {
    opened = true;
    handler.open?.();
  };
  socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
    if (!ended) {
      handler.message(typeof event.data === "string" ? event.data : decoder.decode(event.data, { stream: true }));
    }
  };
  socket.onclose = end;
  return () => {
    ended = true;
    socket.close();
  };
}
