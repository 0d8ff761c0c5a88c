// The checkpoints of this replica: a bar each for how long it took, and a table that says the same.

import { byId, h, s, text } from "./dom.js";
import { scale } from "./chart.js";
import { bytes, count, duration, plural, time, UNKNOWN } from "./format.js";
import { Table } from "./table.js";

/** In the order in which they happen. */
const PHASES = ["seal", "stage", "commit", "publish"];
const HEIGHT = 112;
const MARGIN = { top: 8, right: 4, bottom: 18, left: 58 };

const took = (one, name) => one.phases.find((phase) => phase.name === name)?.seconds ?? null;

const capital = (name) => name[0].toUpperCase() + name.slice(1);
const seconds = (value) =>
  value === null ? h("span", { class: "quiet" }, "–", h("span", { class: "hidden" }, UNKNOWN)) : duration(value);

const table = new Table(byId("checkpoints"), {
  caption: "Checkpoints of this replica, the newest first. The headings sort.",
  by: "n",
  empty: "This replica has made no checkpoint since it started.",
  columns: [
    { key: "n", label: "Checkpoint", numeric: true, sort: (row) => row.n, cell: (row) => count(row.n) },
    {
      key: "created",
      label: "When",
      numeric: true,
      sort: (row) => Date.parse(row.created),
      cell: (row) => time(new Date(row.created)),
    },
    {
      key: "took",
      label: "Took",
      numeric: true,
      sort: (row) => row.duration_seconds,
      cell: (row) => duration(row.duration_seconds),
    },
    ...PHASES.map((name) => ({
      key: name,
      label: capital(name),
      numeric: true,
      sort: (row) => took(row, name),
      cell: (row) => seconds(took(row, name)),
    })),
    { key: "rows", label: "Rows", numeric: true, sort: (row) => row.rows, cell: (row) => count(row.rows) },
    { key: "bytes", label: "Size", numeric: true, sort: (row) => row.bytes, cell: (row) => bytes(row.bytes) },
    { key: "files", label: "Files", numeric: true, sort: (row) => row.files, cell: (row) => count(row.files) },
    { key: "rejects", label: "Rejects", numeric: true, sort: (row) => row.rejects, cell: (row) => count(row.rejects) },
  ],
});

/** `checkpoints`: the newest first. */
export function showCheckpoints(checkpoints) {
  table.update(checkpoints);
  const times = checkpoints.map((one) => one.duration_seconds).sort((a, b) => a - b);
  const middle = times[Math.floor(times.length / 2)];
  text(
    byId("checkpoints-summary"),
    times.length
      ? `${plural(times.length, "checkpoint")} of this replica · half took at most ${duration(middle)}, the longest ${duration(times.at(-1))}`
      : "",
  );
  draw(byId("chart-checkpoints"), checkpoints);
}

let last = [];
new ResizeObserver(() => draw(byId("chart-checkpoints"), last)).observe(byId("chart-checkpoints"));

function draw(figure, checkpoints) {
  last = checkpoints;
  const width = Math.floor(figure.clientWidth);
  figure.hidden = checkpoints.length === 0;
  if (!width || !checkpoints.length) return;
  const total = (one) =>
    Math.max(
      one.duration_seconds,
      one.phases.reduce((sum, phase) => sum + phase.seconds, 0),
    );
  const { top, step } = scale(Math.max(...checkpoints.map(total)), 10);
  const inner = { width: width - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
  const y = (seconds) => MARGIN.top + (1 - seconds / top) * inner.height;
  const parts = [];
  for (let value = 0; value <= top * 1.001; value += step) {
    parts.push(
      s("path", { class: value === 0 ? "axis" : "gridline", d: `M${MARGIN.left} ${y(value)}H${width - MARGIN.right}` }),
    );
    parts.push(
      s("text", { class: "tick", x: MARGIN.left - 6, y: y(value) + 4, "text-anchor": "end" }, duration(value)),
    );
  }
  // Oldest on the left, the newest always at the right edge.
  const slot = Math.min(inner.width / checkpoints.length, 14);
  for (const [n, one] of checkpoints.entries()) {
    const x = width - MARGIN.right - (n + 1) * slot;
    const pieces = one.phases.length ? one.phases : [{ name: "commit", seconds: one.duration_seconds }];
    let from = 0;
    for (const { name, seconds } of pieces) {
      const bar = {
        x: x + slot * 0.15,
        y: y(from + seconds),
        width: slot * 0.7,
        height: Math.max(0.5, y(from) - y(from + seconds)),
      };
      parts.push(s("rect", { class: `phase-${PHASES.indexOf(name)}`, ...bar }));
      from += seconds;
    }
  }
  const label = "How long each checkpoint took, the newest on the right. The table below says the same.";
  const legend = h(
    "ul",
    { class: "legend" },
    PHASES.map((name, n) =>
      h(
        "li",
        {},
        s(
          "svg",
          { viewBox: "0 0 10 10", width: 10, height: 10, "aria-hidden": "true" },
          s("rect", { class: `phase-${n}`, width: 10, height: 10 }),
        ),
        name,
      ),
    ),
  );
  const measured = checkpoints.some((one) => one.phases.length);
  figure.replaceChildren(
    h(
      "figcaption",
      {},
      h("span", { class: "title" }, "Duration"),
      measured ? legend : h("span", { class: "note" }, "phases not known"),
    ),
    s(
      "svg",
      { class: "plot", viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label },
      parts,
      s("text", { class: "tick", x: width - MARGIN.right, y: HEIGHT - 3, "text-anchor": "end" }, "newest"),
    ),
  );
}
