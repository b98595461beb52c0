// Requests to the dashboard's server. Every failure is an ApiError with one line for
// the user.

import type { Status } from "../kube/types";

/** The path below which the API server answers. */
export const kubernetes = "/api/kubernetes";

export class ApiError extends Error {
  constructor(
    message: string,
    /** The HTTP status; 0 if there was no answer. */
    readonly status: number,
    readonly hint = "",
    readonly reason = "",
  ) {
    super(message);
    this.name = "ApiError";
  }

  /** True if the cluster or its daemon did not answer, so that a later attempt may succeed. */
  get unreachable(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 502 && this.status <= 504;
  }

  get forbidden(): boolean {
    return this.status === 403;
  }
}

let csrf = "";

/** setCSRF keeps the token that every request that changes something carries. */
export function setCSRF(token: string): void {
  csrf = token;
}

export interface Options {
  method?: string;
  accept?: string;
  type?: string;
  body?: string;
  signal?: AbortSignal | undefined;
}

/** send returns the response to a request, or throws an ApiError. */
export async function send(path: string, o: Options = {}): Promise<Response> {
  const method = o.method ?? "GET";
  const headers: Record<string, string> = { Accept: o.accept ?? "application/json" };
  if (o.body !== undefined) {
    headers["Content-Type"] = o.type ?? "application/json";
  }
  if (method !== "GET" && method !== "HEAD") {
    headers["X-Skiff-CSRF"] = csrf;
  }
  let response: Response;
  try {
    response = await fetch(path, { method, headers, body: o.body ?? null, signal: o.signal ?? null, cache: "no-store" });
  } catch (err) {
    if (o.signal?.aborted) {
      throw err;
    }
    throw new ApiError("the dashboard's server does not answer", 0, "check `skiff status`");
  }
  if (!response.ok) {
    throw failure(response.status, await response.text().catch(() => ""));
  }
  return response;
}

/** failure returns the error of a response: this server's JSON, a Kubernetes Status or text. */
export function failure(status: number, body: string): ApiError {
  try {
    const answer = JSON.parse(body) as { error?: unknown; hint?: unknown } & Status;
    if (typeof answer.error === "string") {
      return new ApiError(answer.error, status, typeof answer.hint === "string" ? answer.hint : "");
    }
    if (typeof answer.message === "string" && answer.message !== "") {
      return new ApiError(answer.message, status, "", answer.reason ?? "");
    }
  } catch {
    // not JSON: shown as text
  }
  const line = body.trim().split("\n")[0]?.slice(0, 300);
  return new ApiError(line || `the server answered with status ${status}`, status);
}

export async function getJSON<T>(path: string, o: Options = {}): Promise<T> {
  return (await (await send(path, o)).json()) as T;
}

export async function sendJSON<T>(method: string, path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  return (await (await send(path, { method, body: JSON.stringify(body), signal })).json()) as T;
}

/** lines calls each for every line of a streamed response. */
export async function lines(response: Response, each: (line: string) => void): Promise<void> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  while (reader) {
    const { done, value } = await reader.read();
    if (done) {
      break;
    }
    const parts = (rest + value).split("\n");
    rest = parts.pop() ?? "";
    parts.filter((line) => line !== "").forEach(each);
  }
  if (rest !== "") {
    each(rest);
  }
}

/** messageOf returns one line for the user about whatever was thrown. */
export function messageOf(err: unknown): string {
  if (err instanceof ApiError) {
    return err.hint === "" ? err.message : `${err.message} (${err.hint})`;
  }
  return err instanceof Error ? err.message : String(err);
}

export function query(path: string, parameters: Record<string, string | number | boolean | undefined>): string {
  const q = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== "") {
      q.set(key, String(value));
    }
  }
  const text = q.toString();
  return text === "" ? path : `${path}?${text}`;
}
