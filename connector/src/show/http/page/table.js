// Sortable tables in boxes of their own. The head stays, so that focus on a sort button survives each update.

import { h } from "./dom.js";

/**
 * `columns`: [{key, label, cell: row => text or element, sort: row => number or text, numeric}]. `key` of a row names
 * it. Sorted by `by`, the largest first where `down`.
 */
export class Table {
  constructor(box, { caption, columns, by = null, down = true, empty }) {
    Object.assign(this, { box, columns, by, down, empty, rows: [], shown: null });
    this.body = h("tbody");
    this.heads = columns.map((column) => this.head(column));
    this.note = h("p", { class: "quiet" }, empty);
    this.table = h(
      "table",
      {},
      h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, this.heads)),
      this.body,
    );
    box.replaceChildren(this.note, this.table);
    this.mark();
    this.show();
  }

  head(column) {
    const attributes = { scope: "col", class: column.numeric ? "number" : null };
    if (!column.sort) return h("th", attributes, column.label);
    const press = () => {
      this.down = this.by === column.key ? !this.down : Boolean(column.numeric);
      this.by = column.key;
      this.mark();
      this.show();
    };
    return h("th", attributes, h("button", { type: "button", class: "sort", onclick: press }, column.label));
  }

  mark() {
    for (const [n, column] of this.columns.entries()) {
      if (!column.sort) continue;
      this.heads[n].setAttribute("aria-sort", this.by !== column.key ? "none" : this.down ? "descending" : "ascending");
    }
  }

  update(rows, empty = this.empty) {
    this.rows = rows;
    this.note.textContent = empty;
    this.show();
  }

  sorted() {
    const column = this.columns.find((one) => one.key === this.by);
    if (!column) return this.rows;
    const order = (a, b) => {
      const [x, y] = [column.sort(a), column.sort(b)];
      // What is not known comes last, whichever way.
      if (x === null || y === null) return (x === null) - (y === null);
      const compared = typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y;
      return this.down ? -compared : compared;
    };
    return [...this.rows].sort(order);
  }

  show() {
    this.note.hidden = this.rows.length > 0;
    this.table.hidden = this.rows.length === 0;
    const sorted = this.sorted();
    const key = JSON.stringify(sorted);
    if (key === this.shown) return;
    this.shown = key;
    this.body.replaceChildren(
      ...sorted.map((row) =>
        h(
          "tr",
          {},
          this.columns.map((column, n) =>
            h(
              n === 0 ? "th" : "td",
              { scope: n === 0 ? "row" : null, class: column.numeric ? "number" : null },
              column.cell(row),
            ),
          ),
        ),
      ),
    );
  }
}
