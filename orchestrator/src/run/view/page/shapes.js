// Pictures of sizes: histograms, and grids of two sizes.

const HIGH = 190;

// Marks between two powers of ten, and what they are called: at powers of ten, of
// memory at powers of four.
function decades(from, to, show) {
  const all = [], apart = show === memory ? Math.log10(4) : 1;
  for (let i = Math.ceil(from / apart - 1e-9); i * apart <= to + 1e-9; i++) {
    const text = show === memory ? show(4 ** i).replace(/\.0+ /, " ") : show(10 ** i).replace(/\.0+ /, " ");
    all.push([i * apart, text]);
  }
  return all;
}

// Adds texts along an axis, as many as have room.
function along(svg, all, y, width) {
  let taken = -1e9;
  for (const [at, text] of all) {
    const half = text.length * 3.2;
    if (at - half < taken + 6 || at + half > width) continue;
    taken = at + half;
    svg.append(shape("text", { x: at, y, "text-anchor": "middle" }, text));
  }
}

function picture(width, height, label) {
  return shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
}

function said(element, text) {
  element.append(shape("title", {}, text));
  return element;
}

// How many things there are of each size.
function histogram(measured, width, show, label) {
  const { all, bad, first, per_decade: per } = measured;
  const svg = picture(width, HIGH, label);
  const bottom = HIGH - 20, top = 34;
  // Room for a few bins at least, so that one alone is no wall.
  const spare = Math.max(0, 8 - all.length) / 2;
  const from = first - Math.ceil(spare) - 1, n = all.length + 2 * Math.ceil(spare) + 2;
  const most = Math.max(...all, 1), each = width / n;
  const x = (value) => (Math.log10(Math.max(value, 1)) * per - from) * each;
  const marks = decades(from / per, (from + n) / per, show).map(([power, text]) => [(power * per - from) * each, text]);
  for (const [at] of marks) svg.append(shape("line", { class: "grid", x1: at, x2: at, y1: top - 6, y2: bottom }));
  along(svg, marks.filter(([at]) => at > 10), HIGH - 5, width);
  all.forEach((count_, i) => {
    if (!count_) return;
    const left = (first + i - from) * each, high = Math.max(1.5, count_ / most * (bottom - top));
    const range = `${show(10 ** ((first + i) / per))} to ${show(10 ** ((first + i + 1) / per))}`;
    const text = `${range}: ${count(count_)} jobs${bad[i] ? `, ${count(bad[i])} not ok` : ""}`;
    const bar = (kind_, y, h) => shape("rect", { class: kind_, x: left + 0.5, y, width: Math.max(each - 1, 1), height: h });
    const red = high * bad[i] / count_;
    const group = said(shape("g", { class: "bin" }), text);
    group.append(bar("tone2", bottom - high, high - red));
    if (red) group.append(bar("bad", bottom - red, red));
    svg.append(group);
  });
  svg.append(shape("line", { class: "grid", x1: 0, x2: width, y1: bottom, y2: bottom }));
  // Names beside their lines, in two rows where these are close.
  let taken = [-1e9, -1e9, -1e9];
  for (const name of ["p50", "p90", "p99"]) {
    const at = x(measured[name]), text = `${name} ${show(measured[name])}`;
    // As wide as letters are in the widest of the usual fonts.
    const wide = text.length * 7.6, turns = at + 4 + wide > width;
    const left = turns ? at - 4 - wide : at + 4;
    const rowAt = Math.max(0, taken.findIndex((end) => end < Math.min(left, at) - 4));
    taken[rowAt] = Math.max(left + wide, at);
    svg.append(shape("line", { class: "share", x1: at, x2: at, y1: rowAt * 12 + 2, y2: bottom }),
      shape("text", { class: "strong", x: turns ? at - 4 : left, y: rowAt * 12 + 10, "text-anchor": turns ? "end" : "start" }, text));
  }
  return svg;
}

// How many things there are of two sizes.
function grid(cells, width, show, label, across) {
  const svg = picture(width, HIGH, label);
  const left = 62, bottom = HIGH - 20;
  const { cells: all, x_per_decade: xPer, y_per_decade: yPer } = cells;
  let [x0, x1, y0, y1, most] = [Infinity, 0, Infinity, 0, 1];
  for (let i = 0; i < all.length; i += 4) {
    [x0, x1] = [Math.min(x0, all[i]), Math.max(x1, all[i])];
    [y0, y1] = [Math.min(y0, all[i + 1]), Math.max(y1, all[i + 1])];
    most = Math.max(most, all[i + 2]);
  }
  if (!xPer) [x0, x1] = [0, 95];
  y0 -= 2;
  y1 += 2;
  if (xPer) [x0, x1] = [Math.max(0, x0 - 1), x1 + 1];
  const wide = (width - left) / (x1 - x0 + 1), high = (bottom - 4) / (y1 - y0 + 1);
  const y = (bin) => bottom - (bin - y0) * high;
  for (const [power, text] of decades(y0 / yPer, (y1 + 1) / yPer, show)) {
    const at = y(power * yPer);
    svg.append(shape("line", { class: "grid", x1: left, x2: width, y1: at, y2: at }),
      shape("text", { x: left - 6, y: at + 4, "text-anchor": "end" }, text));
  }
  const marks = across(x0, x1, xPer).map(([text, at]) => [left + at * (width - left), text]);
  for (const [px] of marks) svg.append(shape("line", { class: "grid", x1: px, x2: px, y1: 4, y2: bottom }));
  along(svg, marks, HIGH - 5, width);
  for (let i = 0; i < all.length; i += 4) {
    const [bx, by, n, bad] = all.slice(i, i + 4);
    const cell = shape("rect", { class: bad * 2 > n ? "bad" : "tone2", x: left + (bx - x0) * wide, y: y(by + 1),
      width: wide + 0.3, height: high + 0.3, "fill-opacity": 0.18 + 0.82 * Math.log1p(n) / Math.log1p(most) });
    svg.append(said(cell, `${show(10 ** (by / yPer))} to ${show(10 ** ((by + 1) / yPer))}: ${count(n)} jobs${bad ? `, ${count(bad)} not ok` : ""}`));
  }
  svg.append(shape("line", { class: "grid", x1: left, x2: width, y1: bottom, y2: bottom }));
  return svg;
}

class Shapes {
  constructor(run, root) {
    this.run = run;
    this.root = make("div", { class: "two" });
    root.append(this.root);
  }

  draw() {
    const { figures, wait_run: waitRun, memory: grown } = this.run.model;
    const one = (this.root.clientWidth || 400) < 760;
    const width = Math.floor(one ? this.root.clientWidth : (this.root.clientWidth - 24) / 2) - 26;
    const all = [];
    const add = (id, title, hint, svg) => all.push(make("figure", { class: "card", id },
      make("figcaption", {}, make("b", {}, title), " ", make("span", { class: "quiet" }, hint)), svg));
    if (this.run.model.draw_jobs || this.run.bars.n) {
      if (figures.run.count) add("run-time", "Run time", "jobs by how long they ran", histogram(figures.run, width, time, "Run time"));
      if (figures.wait.count) add("queue-wait", "Queue wait", "from reading its line to its first try", histogram(figures.wait, width, time, "Queue wait"));
      if (waitRun.cells.length) {
        add("wait-run", "Wait against run time", "across: waited; up: ran; darker: more jobs", grid(waitRun, width, time, "Queue wait against run time",
          (x0, x1, per) => decades(x0 / per, (x1 + 1) / per, time).map(([power, text]) => [text, (power * per - x0) / (x1 - x0 + 1)])));
      }
      if (grown.cells.length) {
        const apart = step(this.run.total, width / 90);
        const marks = [];
        for (let at = 0; at <= this.run.total; at += apart) marks.push([mark(at, apart), at / this.run.total]);
        add("memory", "Memory over time", "each job’s peak, when it ended", grid(grown, width, memory, "Memory of jobs over time", () => marks));
      }
    }
    this.root.replaceChildren(...all);
  }
}
