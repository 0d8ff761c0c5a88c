// Everything below the figures, each section from the newest overview.

import { byId, facts, h, s, text, whenChanged } from "./dom.js";
import { age, binary, bytes, count, duration, hhmm, plural, rejectLimits, short, time, UNKNOWN } from "./format.js";
import { Table } from "./table.js";

const MANY = 12;
/** Seconds. A replica reports within a minute at the latest; after this it is called silent. */
const SILENT = 90;

const number = (key, label, read = (row) => row[key]) => ({
  key,
  label,
  numeric: true,
  sort: read,
  cell: (row) => known(read(row)),
});
const known = (value) =>
  value === null ? h("span", { class: "quiet" }, "–", h("span", { class: "hidden" }, UNKNOWN)) : count(value);

const partitions = new Table(byId("partitions"), {
  caption: "Partitions with their lag. The headings sort.",
  by: "lag",
  empty: "No partition is known yet.",
  columns: [
    { key: "partition", label: "Partition", sort: (row) => row.name, cell: (row) => row.name },
    { key: "lag", label: "Lag", numeric: true, sort: (row) => row.lag_lso, cell: lagCell },
    number("lag_hw", "To the end"),
    number("next", "Next offset"),
    number("last_stable_offset", "Last stable"),
    number("high_watermark", "High watermark"),
    { key: "reader", label: "Read by", sort: (row) => row.reader, cell: (row) => row.reader },
  ],
});

function lagCell(row) {
  if (row.lag_lso === null) return known(null);
  const bar = s(
    "svg",
    { class: "bar", viewBox: "0 0 100 6", width: 72, height: 6, preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect", { width: 100, height: 6, class: "trough" }),
    s("rect", { width: row.share, height: 6, class: "fill" }),
  );
  return h("span", { class: "with-bar" }, bar, count(row.lag_lso));
}

let lastPartitions = [];

export function showPartitions(overview) {
  const worst = Math.max(1, ...overview.partitions.map((one) => one.lag_lso ?? 0));
  lastPartitions = overview.partitions.map((one) => ({
    ...one,
    name: `${one.topic}-${one.partition}`,
    share: Math.ceil((100 * (one.lag_lso ?? 0)) / worst),
    reader: one.here ? "this replica" : (one.replica ?? "another replica"),
  }));
  const behind = lastPartitions.filter((one) => one.lag_lso > 0).length;
  const elsewhere = lastPartitions.filter((one) => !one.here).length;
  const unknown = lastPartitions.some((one) => one.here && one.lag_lso === null);
  const none = unknown ? "lag not known yet" : "none behind";
  const parts = [plural(lastPartitions.length, "partition"), behind ? `${count(behind)} behind` : none];
  if (elsewhere) parts.push(`${count(elsewhere)} read elsewhere, their lag is known there`);
  const leftOut = overview.left_out.map(({ topic, problem }) => `${topic} is left out: its table's name ${problem}`);
  text(byId("partitions-summary"), [...(lastPartitions.length ? parts : []), ...leftOut].join(" · "));
  byId("partitions-filter").hidden = lastPartitions.length <= MANY;
  filter();
}

function filter() {
  const wanted = byId("filter").value.trim().toLowerCase();
  const rows = lastPartitions.filter((row) => row.name.toLowerCase().includes(wanted));
  partitions.update(rows, wanted ? `No partition has “${wanted}” in its name.` : undefined);
}
byId("filter").addEventListener("input", filter);

export function showTransactions(overview, now) {
  const held = overview.held_back;
  const reading = overview.partitions.some((one) => one.here);
  // The commands stay as they are while the numbers change, so that they can be read and selected.
  const lasting = held.map(({ topic, partition, offset }) => [topic, partition, offset]);
  whenChanged(byId("transactions"), [lasting, reading], () => {
    if (held.length) return held.map(transaction);
    return h(
      "p",
      { class: "quiet" },
      reading ? "None holds a last stable offset back." : "Not known: this replica reads no partition.",
    );
  });
  for (const [n, line] of byId("transactions").querySelectorAll(".since").entries()) {
    const { since, records } = held[n];
    const waiting = `${plural(records, "record")} from there on wait until the transaction that begins there ends.`;
    text(line, ` since ${hhmm(new Date(since))}, ${age(now - Date.parse(since) / 1000)}: ${waiting}`);
  }
}

function transaction(one) {
  const name = `${one.topic}-${one.partition}`;
  return h(
    "article",
    { class: "card", "aria-label": `Open transaction in ${name}` },
    h("p", {}, h("strong", {}, name), ` stands at offset ${count(one.offset)}`, h("span", { class: "since" })),
    command("Who holds it open", one.show),
    command("End it, if its producer is gone for good", one.abort),
  );
}

function command(label, line) {
  const code = h("code", {}, line);
  const copy = async (event) => {
    try {
      await navigator.clipboard.writeText(line);
      event.target.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
    }
  };
  return h(
    "div",
    { class: "command" },
    h("p", { class: "note" }, label),
    h("pre", { tabindex: "0", role: "group", "aria-label": label }, code),
    h("button", { type: "button", class: "small", "aria-label": `Copy: ${label}`, onclick: copy }, "Copy"),
  );
}

export function showRejects(overview, checkpoints) {
  const { total, ratio, place } = overview.rejects;
  const rejected = checkpoints.reduce((sum, one) => sum + one.rejects, 0);
  const all = checkpoints.reduce((sum, one) => sum + one.rows, rejected);
  facts(byId("rejects"), [
    [
      "Since the job began, not replayed",
      count(total),
      `${rejectLimits(overview.rejects)}; past it the job stops before its checkpoint, and nothing is lost`,
    ],
    ...(ratio === null
      ? []
      : [["Counted for the ratio", `${count(ratio.rejects)} of ${plural(ratio.records, "record")}`, null]]),
    [
      "Lately",
      all ? `${count(rejected)} of ${plural(all, "record")}` : UNKNOWN,
      all ? `${percent(rejected / all)} in the checkpoints above` : "no checkpoint of this replica yet",
    ],
    ["Where they are", place],
    ...overview.unmatched.map(({ table, members, keys, rows }) => [
      `No column asks for, in table ${table}`,
      [members ? plural(members, "member") : null, rows ? `all of ${plural(rows, "record")}` : null].filter(Boolean).join(", "),
      keys.length ? `among them ${keys.join(", ")}` : null,
    ]),
  ]);
}

const percent = (ratio) =>
  ratio === 0 ? "none" : ratio < 0.0001 ? "less than 0.01 %" : `${Number((ratio * 100).toPrecision(2))} %`;

export function showLimits(overview) {
  const {
    bytes_per_second: asked,
    share_bytes_per_second: share,
    memory_limit: most,
    memory_used: used,
  } = overview.limits;
  facts(byId("limits"), [
    [
      "Bytes from Kafka",
      asked ? `${bytes(asked)}/s` : "no limit",
      asked ? `all replicas together; this one's share is ${share === null ? UNKNOWN : `${bytes(share)}/s`}` : null,
    ],
    [
      "Memory",
      used === null ? UNKNOWN : binary(used),
      `of ${binary(most)} for fetched records, batches and open files`,
    ],
    [
      "A checkpoint",
      `at most ${duration(overview.limits.checkpoint_timeout_seconds)}`,
      "then its work is dropped and read again",
    ],
  ]);
}

/** ["t-0", "t-1", "t-2", "t-7"] -> "t 0–2, 7". */
export function ranges(partitions) {
  const topics = new Map();
  for (const { topic, partition } of partitions) topics.set(topic, [...(topics.get(topic) ?? []), partition]);
  return [...topics]
    .map(([topic, numbers]) => {
      const runs = [];
      for (const n of numbers.sort((a, b) => a - b)) {
        if (runs.length && runs.at(-1)[1] === n - 1) runs.at(-1)[1] = n;
        else runs.push([n, n]);
      }
      return `${topic} ${runs.map(([from, to]) => (from === to ? from : `${from}–${to}`)).join(", ")}`;
    })
    .join("; ");
}

/** Addresses that lead to the machine of whoever follows them, or nowhere. */
const NOT_REACHED = /^(127\.|localhost:|0\.0\.0\.0:|\[::1?\]:)/;

/** A replica's id, which leads to its own page where that can be reached. */
function name(one) {
  if (!one.address || one.here) return one.id;
  if (NOT_REACHED.test(one.address)) return `${one.id} (${one.address})`;
  return h("a", { href: `${location.protocol}//${one.address}/` }, one.id);
}

export function showReplicas(overview, now) {
  const { replicas, replicas_reason: reason } = overview;
  whenChanged(byId("replicas"), [replicas, reason, Math.floor(now / 5)], () => {
    if (!replicas.length) return h("p", { class: "quiet" }, reason ?? "No replica has reported yet.");
    return h(
      "ul",
      { class: "replicas" },
      replicas.map((one) => {
        const silent = now - Date.parse(one.updated) / 1000;
        return h(
          "li",
          { class: "card" },
          h(
            "p",
            { class: "who" },
            h("strong", {}, name(one)),
            one.here ? " (this page)" : null,
            h("span", { class: "tag" }, silent > SILENT ? `silent for ${age(silent)}` : one.state),
          ),
          h("p", {}, one.partitions.length ? ranges(one.partitions) : "holds no partition"),
          h(
            "p",
            { class: "note" },
            `${short(one.records_per_second)} records/s · ${bytes(one.bytes_per_second)}/s · heard of ${time(new Date(one.updated))}`,
          ),
        );
      }),
    );
  });
}

export function showMasthead(overview) {
  text(byId("job"), overview.job);
  text(byId("about"), `${overview.state} · version ${overview.version} · ${overview.sink}`);
}
