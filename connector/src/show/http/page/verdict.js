// The one line that says whether all is well, and the figures beneath it.

import { byId, facts, h, text, whenChanged } from "./dom.js";
import { age, bytes, count, duration, rejectLimits, short, time, UNKNOWN } from "./format.js";

const WORDS = { ok: "All is well", wait: "Wait", warn: "Look at this", bad: "Act on this" };
/** An answer is due every 2 s. */
const STALE = 5;

let announced = null;

/** `moment` is by the process's clock; `answered` by the page's, of the last answer; `failure` says why the newest call failed. */
export function showVerdict(overview, { moment, answered, failure }) {
  const verdict = judge(overview, moment, answered, failure);
  const section = byId("verdict");
  if (section.dataset.level !== verdict.level) section.dataset.level = verdict.level;
  text(byId("verdict-word"), WORDS[verdict.level]);
  text(byId("verdict-line"), verdict.line);
  whenChanged(byId("problems"), verdict.problems, () =>
    verdict.problems.map(([what, remedy]) =>
      h("li", {}, what ? h("strong", {}, what) : null, what ? " " : null, remedy),
    ),
  );
  document.body.classList.toggle("stale", verdict.code === "silent");
  document.title = `${verdict.level === "ok" ? "" : `${WORDS[verdict.level]}: `}${overview?.job ?? "Tidegate"}`;
  // Spoken when it changes in kind, not with every second that passes.
  if (announced !== null && announced !== verdict.code)
    text(byId("announce"), `${WORDS[verdict.level]}: ${verdict.line}`);
  announced = verdict.code;
}

function judge(overview, moment, answered, failure) {
  if (failure?.status === 401) {
    return {
      level: "warn",
      code: "token",
      line: "This address asks for a token.",
      problems: [[null, "Reload the page to enter it. It is the http.token of the job file."]],
    };
  }
  const silent = answered === null ? Infinity : (Date.now() - answered) / 1000;
  if (failure && (overview === null || silent > STALE)) {
    const since =
      answered === null
        ? "It has not answered yet."
        : `Last answer ${time(new Date(answered))}, ${age(silent)} ago. What you see is from then.`;
    const remedy =
      failure.status === 0
        ? "See whether it runs, and its log. A restart goes on from the last checkpoint: nothing is lost."
        : "See the process's log.";
    return {
      level: "bad",
      code: "silent",
      line: failure.status === 0 ? "The process does not answer." : `The process refuses: ${failure.message}.`,
      problems: [[since, remedy]],
    };
  }
  if (overview === null)
    return { level: "wait", code: "first", line: "Waiting for the first answer of the process.", problems: [] };
  const { level, problems } = overview.verdict;
  const [first, ...others] = problems;
  const code = problems.map((problem) => problem.code).join() || overview.state;
  if (!first) return { level, code, line: calm(overview, moment), problems: [] };
  const rest = others.map((problem) => [problem.text, problem.remedy]);
  return { level, code, line: first.text, problems: [[null, first.remedy], ...rest] };
}

function calm(overview, moment) {
  const { checkpoint, lag, state } = overview;
  const last = checkpoint
    ? `Last checkpoint ${age(moment - Date.parse(checkpoint.created) / 1000)} ago`
    : "No checkpoint yet";
  const behind = lag.lso === null ? "lag not known yet" : `lag ${count(lag.lso)}`;
  return `${state[0].toUpperCase()}${state.slice(1)}. ${last}, ${behind}.`;
}

export function showFigures(overview, samples, now) {
  const { latest, checkpoint, lag, rejects } = overview;
  const rate = (value, unit) => (latest ? `${value}${unit}` : UNKNOWN);
  // Records become visible with each checkpoint, not with each sample.
  const recent = now - Math.max(60, 2 * (checkpoint?.interval_seconds ?? 0));
  const latency = samples.findLast((sample) => sample.latency && sample.t > recent)?.latency;
  facts(byId("figures"), [
    [
      "Reading",
      rate(short(latest?.records_per_second), "/s"),
      latest ? `records · ${bytes(latest.bytes_per_second)}/s` : "after the first 10 s",
    ],
    [
      "Lag",
      count(lag.lso),
      lag.hw === null ? "records to the last stable offset" : `${count(lag.hw)} to the high watermark`,
    ],
    [
      "Last checkpoint",
      checkpoint ? `${age(now - Date.parse(checkpoint.created) / 1000)} ago` : "none",
      checkpoint ? `number ${count(checkpoint.n)} · every ${duration(checkpoint.interval_seconds)}` : null,
    ],
    [
      "Latency, 99 %",
      latency ? duration(latency.p99_seconds) : UNKNOWN,
      latency ? `half within ${duration(latency.p50_seconds)}` : "nothing became visible lately",
    ],
    ["Rejects", count(rejects.total), rejectLimits(rejects)],
  ]);
}
