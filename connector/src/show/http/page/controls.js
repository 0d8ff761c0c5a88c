// Buttons: what they ask of the job, and what came of it in words.

import { call } from "./api.js";
import { ask, byId, text } from "./dom.js";
import { bytes, duration } from "./format.js";

/** How long a savepoint is followed, in seconds. */
const PATIENCE = 300;

/** Replicas look for what they are asked now and then. */
const soon = (answer) => `within ${duration(answer.poll_seconds)}`;

let paused = false;
let refresh = () => {};

function say(message, bad = false) {
  const result = byId("result");
  result.classList.toggle("bad", bad);
  text(result, message);
}

/** Disables `button` while `work` runs, and says its result or its refusal. */
async function during(button, doing, work) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  say(doing);
  try {
    say(await work());
  } catch (error) {
    say(`Not done: ${error.message}.`.replace("..", "."), true);
  } finally {
    button.removeAttribute("aria-disabled");
    refresh();
  }
}

function confirm(heading, words, go) {
  text(byId("confirm-heading"), heading);
  text(byId("confirm-text"), words);
  text(byId("confirm-go"), go);
  return ask(byId("confirm-dialog"));
}

async function savepoint(to, stop) {
  const { id, uri } = await call("POST", "/savepoints", to ? { to, stop } : { stop });
  for (let waited = 0; waited < PATIENCE; waited += 1) {
    say(`Savepoint ${id} is being made…`);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const answer = await call("GET", `/savepoints/${encodeURIComponent(id)}`);
    if (answer.state === "completed") return `Savepoint made: ${answer.uri ?? uri}`;
    if (answer.state === "failed") throw new Error(answer.reason ?? "the savepoint failed");
  }
  return `Savepoint ${id} is still being made; it will be at ${uri}.`;
}

function wire() {
  byId("do-checkpoint").addEventListener("click", (event) =>
    during(event.currentTarget, "Asking for a checkpoint…", async () => {
      return `A checkpoint comes ${soon(await call("POST", "/checkpoints"))}, and then stands in the list below.`;
    }),
  );
  byId("do-savepoint").addEventListener("click", async (event) => {
    const button = event.currentTarget;
    byId("savepoint-stop").checked = false;
    if (!(await ask(byId("savepoint-dialog")))) return;
    await during(button, "Asking for a savepoint…", () =>
      savepoint(byId("savepoint-to").value.trim(), byId("savepoint-stop").checked),
    );
  });
  byId("do-pause").addEventListener("click", async (event) => {
    const button = event.currentTarget;
    const [path, done] = paused ? ["/resume", "All replicas go on"] : ["/pause", "All replicas stop reading"];
    const words =
      "All replicas checkpoint and stop reading. Lag grows until somebody resumes the job; Kafka's retention goes on.";
    if (!paused && !(await confirm("Pause the job?", words, "Pause"))) return;
    await during(button, paused ? "Resuming…" : "Pausing…", async () => `${done} ${soon(await call("POST", path))}.`);
  });
  byId("do-stop").addEventListener("click", async (event) => {
    const button = event.currentTarget;
    const words =
      "All replicas make a last checkpoint and stop reading; nothing is lost. Where they run with --on-stop hold, as the Helm chart does, they wait until somebody resumes the job. Elsewhere they end, and this page with them, and the next start goes on.";
    if (!(await confirm("Stop the job?", words, "Stop"))) return;
    await during(
      button,
      "Stopping…",
      async () => `The replicas make a last checkpoint ${soon(await call("POST", "/stop"))}, and stop.`,
    );
  });
  byId("speed-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const limit = Math.round(byId("speed-value").valueAsNumber * Number(byId("speed-unit").value));
    const words = limit === 0 ? "No limit" : `Limit ${bytes(limit)}/s for all replicas together`;
    void setSpeed(event.currentTarget.querySelector("button"), limit, words);
  });
  byId("speed-reset").addEventListener("click", (event) =>
    setSpeed(event.currentTarget, null, "The limit of the job file"),
  );
}

/** `limit` in bytes per second; 0: none, null: the job file's. */
const setSpeed = (button, limit, words) =>
  during(button, "Setting the limit…", async () => {
    return `${words}, ${soon(await call("PUT", "/speed", { bytes_per_second: limit }))}.`;
  });

export function startControls(afterwards) {
  refresh = afterwards;
  wire();
}

/** Brings the buttons in line with the job's state. */
export function showControls(overview) {
  paused = overview.paused;
  text(byId("do-pause"), paused ? "Resume" : "Pause…");
  const { bytes_per_second: limit } = overview.limits;
  text(byId("speed-now"), limit ? `now ${bytes(limit)}/s; 0 for none` : "now without limit");
}
