// Asks the process every 2 s and shows what it says. Without an answer it says since when.

import { call, hasToken } from "./api.js";
import { GAP, LineChart, SAMPLE } from "./chart.js";
import { showCheckpoints } from "./checkpoints.js";
import { showControls, startControls } from "./controls.js";
import { byId, text } from "./dom.js";
import { age, bytes, duration, short, time } from "./format.js";
import { showLimits, showMasthead, showPartitions, showRejects, showReplicas, showTransactions } from "./sections.js";
import { showFigures, showVerdict } from "./verdict.js";

const EVERY = 2000;
const HOUR = 3600;

/** Short enough for an axis. */
const minutes = (seconds) =>
  seconds < 60
    ? duration(seconds)
    : seconds < HOUR
      ? `${Number((seconds / 60).toFixed(1))} min`
      : `${Number((seconds / HOUR).toFixed(1))} h`;

/** `answered` and `skew` are of the last answer: the page's clock then, and how far the process's is ahead of it. */
const seen = { overview: null, answered: null, skew: 0, failure: null, samples: [], checkpoints: [] };
const now = () => (Date.now() + seen.skew) / 1000;

const charts = [
  new LineChart(byId("chart-records"), {
    title: "Records per second",
    unit: (n) => short(n),
    empty: "No sample yet: one comes every 5 s",
    series: [
      { label: "read", value: (sample) => sample.records_per_second },
      { label: "written, mean of minutes", brief: "written", value: (sample) => sample.written },
    ],
  }),
  new LineChart(byId("chart-bytes"), {
    title: "Bytes per second",
    unit: bytes,
    empty: "No sample yet: one comes every 5 s",
    series: [
      { label: "read", value: (sample) => sample.bytes_per_second },
      { label: "this replica's limit", brief: "limit", value: (sample) => sample.limit_bytes_per_second },
    ],
  }),
  new LineChart(byId("chart-lag"), {
    title: "Lag in records",
    unit: (n) => short(n),
    whole: true,
    empty: "Not known until the ends of the partitions are",
    series: [
      { label: "to last stable offset", brief: "stable", value: (sample) => sample.lag_lso },
      { label: "to high watermark", brief: "end", value: (sample) => sample.lag_hw },
    ],
  }),
  new LineChart(byId("chart-latency"), {
    title: "Latency, record to visible",
    unit: duration,
    tick: minutes,
    base: 60,
    empty: "Not known: no record became visible in this hour",
    // Records become visible with each checkpoint, not with each sample.
    series: [
      { label: "half within", brief: "half", gap: 130, value: (sample) => sample.latency?.p50_seconds },
      { label: "99 % within", brief: "99 %", gap: 130, value: (sample) => sample.latency?.p99_seconds },
    ],
  }),
];

let polling = null;

/** One at a time: whoever asks meanwhile gets the same answer. */
const poll = (quiet) => (polling ??= ask(quiet).finally(() => (polling = null)));

async function ask(quiet) {
  try {
    const overview = await call("GET", "/overview", undefined, { quiet });
    // A process that was started anew begins a new history.
    if (seen.overview && overview.process !== seen.overview.process) seen.samples = [];
    const newest = seen.samples.at(-1);
    const history = await call(
      "GET",
      newest ? `/history?after=${encodeURIComponent(newest.time)}` : "/history",
      undefined,
      { quiet },
    );
    Object.assign(seen, {
      overview,
      answered: Date.now(),
      skew: Date.parse(overview.now) - Date.now(),
      failure: null,
      checkpoints: history.checkpoints.reverse(),
    });
    const samples = history.samples.map((sample) => ({ ...sample, t: Date.parse(sample.time) / 1000 }));
    seen.samples = [...seen.samples, ...samples].filter((sample) => sample.t > now() - HOUR);
    show();
  } catch (error) {
    seen.failure = error.status === undefined ? { status: -1, message: String(error) } : error;
  }
  tick();
}

/**
 * Rows are written in bursts, at each checkpoint. Beside what is read they mean something as the mean over two intervals, or
 * a minute. Unknown until that much has passed without a gap.
 */
function smoothed(samples, interval) {
  const window = Math.max(60, 2 * interval);
  let first = 0;
  let sum = 0;
  return samples.map((sample, n) => {
    sum += sample.rows_per_second;
    if (n > 0 && sample.t - samples[n - 1].t > GAP) [first, sum] = [n, sample.rows_per_second];
    while (samples[first].t <= sample.t - window) sum -= samples[first++].rows_per_second;
    const whole = sample.t - samples[first].t > window - 2 * SAMPLE;
    return { ...sample, written: whole ? Math.max(0, sum) / (n - first + 1) : null };
  });
}

/** What the charts are of: a process remembers nothing of the one before. */
function scope(overview) {
  const began = Date.parse(overview.process) / 1000;
  const parts = [
    overview.replicas.length > 1 ? "of this replica" : null,
    now() - began < HOUR ? `since it began ${time(new Date(overview.process))}` : null,
  ];
  return parts.filter(Boolean).join(", ");
}

function show() {
  const { overview, samples, checkpoints } = seen;
  showMasthead(overview);
  showControls(overview);
  for (const chart of charts) chart.update(smoothed(samples, overview.checkpoint?.interval_seconds ?? 0), now());
  text(byId("hour-scope"), scope(overview));
  showPartitions(overview);
  showCheckpoints(checkpoints);
  showRejects(overview, checkpoints);
  showLimits(overview);
}

/** What changes by itself as time passes. */
function tick() {
  const { overview, answered, failure } = seen;
  // Frozen while nothing comes: an age that counts up would look alive.
  const moment = failure && overview ? Date.parse(overview.now) / 1000 : now();
  showVerdict(overview, { moment, answered, failure });
  const needsToken = hasToken() || failure?.status === 401;
  byId("api-links").hidden = needsToken;
  byId("api-token").hidden = !needsToken;
  if (!overview) return;
  showFigures(overview, seen.samples, moment);
  showTransactions(overview, moment);
  showReplicas(overview, moment);
  text(
    byId("answered"),
    `Answered ${time(new Date(answered))}${seen.failure ? `, ${age((Date.now() - answered) / 1000)} ago` : ""}; asked every 2 s.`,
  );
}

let waiting = null;

async function loop() {
  // The token is asked for once; whoever dismisses the dialog may reload.
  if (!document.hidden) await poll(seen.failure?.status === 401);
  clearTimeout(waiting);
  waiting = setTimeout(loop, EVERY);
}

startControls(() => void poll(true));
setInterval(tick, 1000);
document.addEventListener("visibilitychange", () => !document.hidden && void loop());
void loop();
