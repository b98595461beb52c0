// Text for people: ages, sizes, quantities. Pure functions of their arguments.

/** age returns a duration as kubectl prints it: "5s", "3m20s", "4h", "3d2h". */
export function age(since: string | undefined, now: number): string {
  const begun = since ? Date.parse(since) : NaN;
  return Number.isNaN(begun) ? "" : duration((now - begun) / 1000);
}

export function duration(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  const m = Math.floor(s / 60);
  const h = Math.floor(m / 60);
  const d = Math.floor(h / 24);
  if (s < 120) return `${s}s`;
  if (m < 10) return s % 60 === 0 ? `${m}m` : `${m}m${s % 60}s`;
  if (m < 180) return `${m}m`;
  if (h < 8) return m % 60 === 0 ? `${h}h` : `${h}h${m % 60}m`;
  if (h < 48) return `${h}h`;
  if (d < 8) return h % 24 === 0 ? `${d}d` : `${d}d${h % 24}h`;
  if (d < 730) return `${d}d`;
  return `${Math.floor(d / 365)}y`;
}

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function bytes(n: number): string {
  let unit = 0;
  let value = n;
  while (Math.abs(value) >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${round(value)} ${units[unit] ?? ""}`;
}

export function round(n: number): string {
  if (!Number.isFinite(n)) return "–";
  const abs = Math.abs(n);
  return abs >= 100 ? n.toFixed(0) : abs >= 10 ? trim(n.toFixed(1)) : trim(n.toFixed(2));
}

function trim(text: string): string {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** cores returns CPU usage in cores: "250m" below one core, "1.5" above. */
export function cores(n: number): string {
  return n < 1 ? `${Math.round(n * 1000)}m` : round(n);
}

const suffixes: Record<string, number> = {
  n: 1e-9, u: 1e-6, m: 1e-3, "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18,
  Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60,
};

/** quantity returns the number of a Kubernetes quantity such as "250m" or "1Gi"; NaN if it is invalid. */
export function quantity(text: string | undefined): number {
  const match = /^([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([a-zA-Z]*)$/.exec(text ?? "");
  const factor = match ? suffixes[match[2] ?? ""] : undefined;
  return match && factor !== undefined ? Number(match[1]) * factor : NaN;
}

/** plain replaces control characters and removes the escape sequences of terminals. */
export function plain(text: string): string {
  return text.replace(/\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g, "")
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, "�");
}

export function count(n: number, noun: string, many = noun + "s"): string {
  return `${n.toLocaleString("en")} ${n === 1 ? noun : many}`;
}
