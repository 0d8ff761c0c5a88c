// Numbers, sizes and times as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minutes = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** What stands where nothing is known. */
export const UNKNOWN = "not known";

/** 12345 -> "12,345". */
export const count = (n) => (n === null || n === undefined ? UNKNOWN : whole.format(n));

/** Counts that must fit: 12345 -> "12.3 k". */
export const short = (n) => scaled(n, 1000, ["", " k", " M", " G", " T"]);

/** Bytes with decimal units, as the job file's MB. */
export const bytes = (n) => scaled(n, 1000, [" B", " kB", " MB", " GB", " TB", " PB"]);

/** Bytes with binary units, as the job file's MiB. */
export const binary = (n) => scaled(n, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]);

function scaled(n, base, units) {
  if (n === null || n === undefined) return UNKNOWN;
  let unit = 0;
  let value = n;
  while (Math.abs(value) >= base && unit < units.length - 1) {
    value /= base;
    unit += 1;
  }
  const digits = unit === 0 || Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  // A rate below ten is not a whole number of anything.
  const small = unit === 0 && !Number.isInteger(value) && Math.abs(value) < 10 ? 1 : digits;
  return `${Number(value.toFixed(small))}${units[unit]}`;
}

/** Seconds -> "12 s", "3 min 5 s", "2 h 4 min", "3 d 1 h"; below ten seconds with fractions. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return UNKNOWN;
  if (seconds < 0.001) return "0 s";
  if (seconds < 1) return `${Number((seconds * 1000).toPrecision(3))} ms`;
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  return age(seconds);
}

/** Whole seconds and above: for what counts up while one looks. */
export function age(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return join(Math.floor(s / 60), "min", s % 60, "s");
  if (s < 86400) return join(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "min");
  return join(Math.floor(s / 86400), "d", Math.floor((s % 86400) / 3600), "h");
}

const join = (a, unitA, b, unitB) => (b ? `${a} ${unitA} ${b} ${unitB}` : `${a} ${unitA}`);

/** Local time of day; with the date when it is not today's. */
export function time(date) {
  const today = new Date().toDateString() === date.toDateString();
  return today ? clock.format(date) : `${day.format(date)} ${clock.format(date)}`;
}

/** Local hours and minutes. */
export const hhmm = (date) => minutes.format(date);

/** The limits of rejects in words: by count, by ratio, or both. */
export function rejectLimits({ limit, ratio }) {
  const parts = [];
  if (limit !== null) parts.push(count(limit));
  if (ratio !== null) {
    const window = ratio.window_seconds === null ? "" : ` in ${duration(ratio.window_seconds)}`;
    parts.push(`${Number((100 * ratio.most).toPrecision(6))} %${window}`);
  }
  return `limit ${parts.join(" and ")}`;
}

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
