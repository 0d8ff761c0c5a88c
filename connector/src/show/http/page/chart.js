// A line chart of the last hour: axes with units, a readout under pointer or arrow keys, and a table that says the same.

import { h, s } from "./dom.js";
import { hhmm, time } from "./format.js";

const HOUR = 3600;
/** A young process is not drawn as a line at the right edge: at least so many seconds are shown, and no more than there are. */
const SHORTEST = 300;
/** Seconds between two samples; a silence of more than GAP is a gap, not a line. */
export const SAMPLE = 5;
export const GAP = 16;
const HEIGHT = 168;
const MARGIN = { top: 10, right: 4, bottom: 22, left: 58 };

const isKnown = (value) => value !== null && value !== undefined;

/** Three to five round steps from 0 to at least `max`. */
export function scale(max, base = 10) {
  if (!(max > 0)) return { top: 1, step: 1 };
  const rough = max / 4;
  const power = base ** Math.floor(Math.log(rough) / Math.log(base));
  const steps = base === 10 ? [1, 2, 2.5, 5, 10] : [1, 2, 5, 10, 30, 60];
  const step = steps.map((n) => n * power).find((n) => n >= rough) ?? rough;
  return { top: Math.ceil(max / step) * step, step };
}

/**
 * `series`: [{key, label, value: sample => number or null}]; `unit`: number -> text, `tick` the same for the axis; `base`: 60 for
 * seconds; `empty`: why there may be nothing to draw.
 */
export class LineChart {
  constructor(figure, { title, series, unit, tick = unit, base = 10, whole = false, empty }) {
    Object.assign(this, { figure, title, series, unit, tick, base, whole, empty, samples: [], cursor: null });
    // No live region: it changes with every sample, and only what the keys ask for is to be spoken.
    this.readout = h("p", { class: "readout" });
    this.svg = s("svg", { class: "plot", tabindex: "0", role: "application", "aria-roledescription": "line chart" });
    this.spoken = h("p", { class: "hidden", "aria-live": "polite" });
    this.details = h("details", { ontoggle: () => this.table() }, h("summary", {}, "As a table"));
    const legend = h(
      "ul",
      { class: "legend" },
      series.map((one, n) =>
        h(
          "li",
          {},
          s(
            "svg",
            { viewBox: "0 0 20 8", width: 20, height: 8, "aria-hidden": "true" },
            s("path", { class: `line line-${n}`, d: "M0 4H20" }),
          ),
          one.label,
        ),
      ),
    );
    figure.replaceChildren(
      h("figcaption", {}, h("span", { class: "title" }, title), legend),
      this.readout,
      this.svg,
      this.spoken,
      this.details,
    );
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.move(null));
    this.svg.addEventListener("blur", () => this.move(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(figure);
  }

  /** Seconds since the epoch are `sample.t`. */
  update(samples, now) {
    this.samples = samples;
    this.now = now;
    this.span = Math.min(HOUR, Math.max(SHORTEST, samples.length ? now - samples[0].t : 0));
    this.draw();
    if (this.details.open) this.table();
  }

  x(t) {
    return MARGIN.left + (1 - (this.now - t) / this.span) * (this.width - MARGIN.left - MARGIN.right);
  }

  y(value) {
    return MARGIN.top + (1 - value / this.top) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  }

  draw() {
    this.width = Math.floor(this.figure.clientWidth);
    if (!this.now || !this.width) return;
    const values = this.samples.flatMap((sample) => this.series.map((one) => one.value(sample)));
    const known = values.filter(isKnown);
    const { top, step } = scale(Math.max(0, ...known), this.base);
    this.top = this.whole && top < 4 ? 4 : top;
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    this.svg.setAttribute("aria-label", this.summary());
    this.svg.replaceChildren(
      ...this.grid(this.whole && top < 4 ? 1 : step),
      // The first one is what matters most, so it lies on top.
      ...this.series.map((one, n) => s("path", { class: `line line-${n}`, d: this.path(one) })).reverse(),
      ...(known.length
        ? []
        : [s("text", { class: "empty", x: this.width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, this.empty)]),
    );
    this.mark = s("g", { class: "mark" });
    this.svg.append(this.mark);
    this.move(this.cursor, true);
  }

  grid(step) {
    const parts = [];
    const right = this.width - MARGIN.right;
    for (let value = 0; value <= this.top * 1.001; value += step) {
      const y = this.y(value);
      parts.push(s("path", { class: value === 0 ? "axis" : "gridline", d: `M${MARGIN.left} ${y}H${right}` }));
      parts.push(s("text", { class: "tick", x: MARGIN.left - 6, y: y + 4, "text-anchor": "end" }, this.tick(value)));
    }
    const most = this.width < 420 ? 4 : 6;
    const every = [60, 120, 300, 600, 1200].find((seconds) => this.span / seconds <= most);
    for (let t = Math.ceil((this.now - this.span) / every) * every; t <= this.now; t += every) {
      const x = this.x(t);
      if (x < MARGIN.left + 12 || x > right - 14) continue;
      parts.push(s("path", { class: "axis", d: `M${x} ${HEIGHT - MARGIN.bottom}v4` }));
      parts.push(s("text", { class: "tick", x, y: HEIGHT - 4, "text-anchor": "middle" }, hhmm(new Date(t * 1000))));
    }
    return parts;
  }

  path(one) {
    let d = "";
    let before = null;
    for (const sample of this.samples) {
      const value = one.value(sample);
      if (!isKnown(value) || sample.t < this.now - this.span) continue;
      const gap = before === null || sample.t - before > (one.gap ?? GAP);
      d += `${gap ? "M" : "L"}${this.x(sample.t).toFixed(1)} ${this.y(value).toFixed(1)}${gap ? "h0.01" : ""}`;
      before = sample.t;
    }
    return d;
  }

  summary() {
    const parts = this.series.map((one) => {
      const values = this.samples.map(one.value).filter(isKnown);
      if (!values.length) return `${one.label}: not known`;
      return `${one.label}: now ${this.unit(values.at(-1))}, least ${this.unit(Math.min(...values))}, most ${this.unit(Math.max(...values))}`;
    });
    return `${this.title}, last hour. ${parts.join(". ")}. Arrow keys read single samples.`;
  }

  point(event) {
    const box = this.svg.getBoundingClientRect();
    const t =
      this.now - (1 - (event.clientX - box.left - MARGIN.left) / (this.width - MARGIN.left - MARGIN.right)) * this.span;
    let nearest = null;
    for (const [n, sample] of this.samples.entries()) {
      if (nearest === null || Math.abs(sample.t - t) < Math.abs(this.samples[nearest].t - t)) nearest = n;
    }
    this.move(nearest);
  }

  key(event) {
    const last = this.samples.length - 1;
    const from = this.cursor ?? last + 1;
    const to = {
      ArrowLeft: from - 1,
      ArrowRight: from + 1,
      PageUp: from - 12,
      PageDown: from + 12,
      Home: 0,
      End: last,
      Escape: null,
    }[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this.move(to === null ? null : Math.min(last, Math.max(0, to)));
    this.spoken.textContent = this.readout.textContent;
  }

  /** Shows the sample at the cursor, or the newest one. A cursor stays on its sample while new ones come. */
  move(cursor, redrawn = false) {
    if (redrawn && cursor !== null && this.held) cursor = this.samples.findIndex((sample) => sample.t === this.held);
    this.cursor = cursor === null || cursor < 0 ? null : cursor;
    const sample = this.samples[this.cursor ?? this.newest()];
    this.held = this.cursor === null ? null : sample?.t;
    this.readout.textContent = sample ? this.words(sample) : "";
    if (!this.mark) return;
    this.mark.replaceChildren();
    if (this.cursor === null || !sample) return;
    const x = this.x(sample.t);
    this.mark.append(s("path", { class: "cursor", d: `M${x} ${MARGIN.top}V${HEIGHT - MARGIN.bottom}` }));
    for (const [n, one] of this.series.entries()) {
      const value = one.value(sample);
      if (isKnown(value)) this.mark.append(s("circle", { class: `dot dot-${n}`, cx: x, cy: this.y(value), r: 3.5 }));
    }
  }

  /** The last sample that has anything to say: not each has a latency. */
  newest() {
    const known = this.samples.findLastIndex((sample) => this.series.some((one) => isKnown(one.value(sample))));
    return known < 0 ? this.samples.length - 1 : known;
  }

  words(sample) {
    const known = this.series.filter((one) => isKnown(one.value(sample)));
    const values = known.map((one) => `${one.brief ?? one.label} ${this.unit(one.value(sample))}`).join(" · ");
    const now = this.cursor === null && this.now - sample.t < GAP;
    return `${now ? "now" : time(new Date(sample.t * 1000))}  ${values || "not known"}`;
  }

  /** The newest sample of each minute. */
  table() {
    const minutes = new Map(this.samples.map((sample) => [Math.floor(sample.t / 60), sample]));
    const cell = (one, sample) => h("td", {}, isKnown(one.value(sample)) ? this.unit(one.value(sample)) : "not known");
    const rows = [...minutes.values()].reverse().map((sample) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, hhmm(new Date(sample.t * 1000))),
        this.series.map((one) => cell(one, sample)),
      ),
    );
    const head = h(
      "tr",
      {},
      h("th", { scope: "col" }, "Time"),
      this.series.map((one) => h("th", { scope: "col" }, one.label)),
    );
    const box = h(
      "div",
      { class: "box", role: "region", tabindex: "0", "aria-label": `${this.title} by minute` },
      h(
        "table",
        {},
        h("caption", { class: "hidden" }, `${this.title}: the last sample of each minute`),
        h("thead", {}, head),
        h("tbody", {}, rows),
      ),
    );
    this.details.querySelector(".box")?.remove();
    this.details.append(box);
  }
}
