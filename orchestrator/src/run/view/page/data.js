// The model's columns as arrays: see docs/report.md.

const VALUE = new Uint8Array(128);
[..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"].forEach((digit, i) => {
  VALUE[digit.charCodeAt(0)] = i;
});

// The numbers of a column; NaN where there is none. `near`: of differences.
function column(written, n, near) {
  const out = new Float64Array(n);
  if (written !== null && typeof written === "object") {
    out.fill(written.usual);
    const others = column(written.others, written.n, false);
    column(written.at, written.n, true).forEach((at, i) => { out[at] = others[i]; });
    return out;
  }
  if (typeof written !== "string") return out.fill(written ?? NaN);
  let at = 0, code = 0, scale = 1, last = 0;
  for (let i = 0; i < written.length; i++) {
    const digit = VALUE[written.charCodeAt(i)];
    code += (digit & 31) * scale;
    if (digit & 32) {
      scale *= 32;
      continue;
    }
    if (code === 0) {
      out[at++] = NaN;
    } else if (near) {
      code -= 1;
      last += code % 2 ? -(code + 1) / 2 : code / 2;
      out[at++] = last;
    } else {
      out[at++] = code - 1;
    }
    code = 0;
    scale = 1;
  }
  return out;
}

function names(text) {
  const all = text.split("\n");
  all.pop();
  let last = "";
  for (let i = 0; i < all.length; i++) {
    const [before, behind] = [0, 1].map((at) => VALUE[all[i].charCodeAt(at)]);
    last = last.slice(0, before) + all[i].slice(2) + last.slice(last.length - behind);
    all[i] = last;
  }
  return all;
}

// Columns that grow.
class Columns {
  constructor(fields) {
    this.n = 0;
    this.fields = fields;
    for (const name of fields) this[name] = new Float64Array(0);
  }

  // Makes room for so many more rows; gives the number of the first.
  grow(more) {
    const from = this.n;
    this.n += more;
    if (this.n > this[this.fields[0]].length) {
      for (const name of this.fields) {
        const larger = new Float64Array(Math.max(this.n, from * 2));
        larger.set(this[name].subarray(0, from));
        this[name] = larger;
      }
    }
    return from;
  }
}

const NEAR = { line: true, start: true, rss: true, at: true };

// A run: all jobs that are known, and the bars of its timeline. Grows by `append`.
class Run {
  constructor() {
    this.clear();
    this.messages = [];
    this.verdicts = [];
    this.hosts = [];
    this.rowOf = [];
    this.rowNames = [];
  }

  clear() {
    this.jobs = new Columns(["line", "verdict", "tries", "lane", "start", "dur", "wait", "cpu", "rss", "host", "message"]);
    this.labels = [];
    this.bars = new Columns(["lane", "start", "dur", "state", "count", "busy", "job"]);
    this.deaths = new Columns(["at", "lane"]);
    this.byLine = new Uint32Array(0);
  }

  // Takes all that a model says of the whole run.
  about(model) {
    this.model = model;
    this.total = Math.max(model.total_us, 1);
    this.lanes = model.lanes;
    this.verdicts = model.verdicts;
    this.messages = model.messages;
    this.kinds = model.verdicts.map(kind);
    this.hosts = model.hosts;
    this.place();
  }

  // The rows of the timeline: this machine's come first, then those of each host, by its name.
  place() {
    const { lanes, hosts } = this;
    const of = column(this.model.lane_hosts, lanes, false);
    const name = (lane) => (of[lane] > 0 ? hosts[of[lane]] : "");
    const order = Array.from({ length: lanes }, (_, lane) => lane);
    if (hosts.length > 0) order.sort((a, b) => (name(a) < name(b) ? -1 : name(a) > name(b) ? 1 : a - b));
    this.rowOf = new Uint32Array(lanes);
    this.rowNames = [];
    order.forEach((lane, row) => {
      this.rowOf[lane] = row;
      const host = hosts.length > 0 ? hosts[of[lane] || 0] : "";
      const last = this.rowNames[row - 1];
      this.rowNames.push({ host, number: last?.host === host ? last.number + 1 : 1 });
    });
  }

  // Where a job ran, when that may have been elsewhere.
  hostOf(job) {
    return this.hosts[this.jobs.host[job]] ?? "";
  }

  // Takes further rows of a model's columns.
  append(model) {
    this.take(this.deaths, model.deaths);
    const from = this.take(this.jobs, model.jobs);
    for (const name of names(model.jobs.label)) this.labels.push(name);
    // Rows come as their jobs ended; a table begins with the first line.
    const { line, n } = this.jobs;
    this.byLine = Uint32Array.from({ length: n }, (_, i) => i).sort((a, b) => line[a] - line[b] || a - b);
    const bars = this.bars;
    const first = this.take(bars, model.spans);
    bars.job.fill(NaN, first, bars.n);
    for (let i = first; i < bars.n; i++) {
      if (Number.isNaN(bars.busy[i])) bars.busy[i] = bars.dur[i];
    }
    if (model.draw_jobs) this.draw(from);
  }

  take(columns, written) {
    const from = columns.grow(written.n);
    for (const name of columns.fields) {
      if (name in written) columns[name].set(column(written[name], written.n, NEAR[name]), from);
    }
    return from;
  }

  // Bars for the jobs from this one on.
  draw(from) {
    const { jobs, bars } = this;
    for (let i = from; i < jobs.n; i++) {
      if (Number.isNaN(jobs.lane[i]) || Number.isNaN(jobs.start[i])) continue;
      const at = bars.grow(1);
      bars.lane[at] = jobs.lane[i];
      bars.start[at] = jobs.start[i];
      bars.dur[at] = bars.busy[at] = jobs.dur[i] || 0;
      bars.state[at] = jobs.verdict[i] * 2;
      bars.count[at] = 1;
      bars.job[at] = i;
    }
  }
}
