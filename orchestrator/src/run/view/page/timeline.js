// The timeline and what stands under it on the same time: all of them zoom together.

// What is too short to be told apart is drawn as one: for each row and pixel, how much
// of it was filled, and by what.
class Fine {
  constructor(lanes, width) {
    this.width = width;
    this.filled = new Float32Array(lanes * width);
    this.bad = new Uint8Array(lanes * width);
  }

  add(lane, x, wide, bad) {
    const last = Math.min(this.width - 1, Math.floor(x + wide));
    for (let px = Math.max(0, Math.floor(x)); px <= last; px++) {
      const part = Math.min(px + 1, x + wide) - Math.max(px, x);
      const at = lane * this.width + px;
      this.filled[at] += Math.max(part, 0.02);
      if (bad > this.bad[at]) this.bad[at] = bad;
    }
  }
}

const KINDS = ["ok", "gone", "late", "bad", "dead"];

class Timeline {
  constructor(run, root) {
    this.run = run;
    this.from = 0;
    this.to = 1;
    this.whole = true;
    this.picked = NaN;
    this.onZoom = () => {};
    this.onPick = () => {};
    this.shown = make("span", { class: "quiet", id: "range" });
    const button = (text, label, act) => {
      const element = make("button", { type: "button", "aria-label": label, title: label }, text);
      element.addEventListener("click", act);
      return element;
    };
    const tools = make("div", { class: "tools" },
      this.legend = make("ul", { class: "legend" }),
      this.shown,
      button("−", "Zoom out", () => this.scale(2)),
      button("+", "Zoom in", () => this.scale(0.5)),
      button("Reset", "Show all of the time", () => this.zoom(0, this.run.total)));
    this.parts = {};
    const part = (name, label) => {
      const canvas = make("canvas", { tabindex: 0, role: "img", id: name, "aria-label": label });
      this.parts[name] = canvas;
      this.listen(canvas);
      return canvas;
    };
    this.titles = {};
    const small = (name, label) => make("figure", { class: "strip" },
      this.titles[name] = make("figcaption", {}), part(name, label));
    this.heading = make("h2", {});
    root.append(make("section", { id: "time" }, this.heading, tools,
      make("div", { class: "rows" }, part("gantt", "What ran when")),
      small("ended", "Jobs ended per second"), small("busy", "How many ran at once"),
      this.waitingStrip = small("waiting", "How many jobs waited")));
    this.parts.gantt.parentElement.after(this.chosenJob = make("p", { class: "chosen-job", id: "chosen", hidden: "" }));
  }

  // Reads what is known of the run anew.
  refresh() {
    const { run } = this;
    const { run: measured } = run.model.figures;
    this.tones = [measured.p50, measured.p90, measured.p99];
    this.heading.replaceChildren(run.model.lanes_are_workers ? (run.hosts.length > 0 ? "Hosts over time " : "Workers over time ") : "Jobs over time ",
      make("span", { class: "quiet" }, "drag to zoom, double-click to reset, click for the job"));
    const entry = (name, text) => make("li", {}, make("span", { class: `dot ${name}` }), text);
    this.legend.replaceChildren(
      ...[`up to ${time(measured.p50)} (p50)`, `to ${time(measured.p90)} (p90)`, `to ${time(measured.p99)} (p99)`, "longer"]
        .map((text, i) => entry(`tone${i}`, text)),
      ...["bad", "late", "dead", "gone"].filter((name) => run.kinds.includes(name)).map((name) =>
        entry(name, run.verdicts.filter((_, i) => run.kinds[i] === name).join(", "))));
    if (run.deaths.n) this.legend.append(make("li", {}, make("span", { class: "death" }, "▼"), "worker died"));
    if (run.model.figures.retries) this.legend.append(make("li", {}, make("span", { class: "dot half" }), "tried again"));
    this.waitingStrip.hidden = run.model.waiting.length === 0;
    if (this.whole) [this.from, this.to] = [0, run.total];
    this.draw();
  }

  forget() {
    this.picked = NaN;
    this.chosenJob.hidden = true;
  }

  // ---- Zoom

  zoom(from, to) {
    const least = Math.min(20, this.run.total);
    const length = Math.min(Math.max(to - from, least), this.run.total);
    this.from = Math.min(Math.max(from, 0), this.run.total - length);
    this.to = this.from + length;
    this.whole = length === this.run.total;
    this.draw();
    this.onZoom();
  }

  scale(factor, around = (this.from + this.to) / 2) {
    this.zoom(around - (around - this.from) * factor, around + (this.to - around) * factor);
  }

  // Marks a job, and says what it is.
  pick(job) {
    const { jobs, labels, verdicts, messages } = this.run;
    this.picked = job;
    const more = make("button", { type: "button" }, "In the table");
    more.addEventListener("click", () => document.getElementById("jobs").scrollIntoView());
    this.chosenJob.replaceChildren(make("b", {}, labels[job]),
      ` ${messages[jobs.message[job] - 1] ?? verdicts[jobs.verdict[job]]}, ran ${time(jobs.dur[job])} `, more);
    this.chosenJob.hidden = false;
    this.draw();
    this.onPick(job);
  }

  // Shows a bar of the time, and marks its job.
  show(start, dur, job) {
    this.picked = job;
    const room = Math.max(dur * 2, this.run.total / 5000, 100);
    this.zoom(start - room, start + dur + room);
  }

  listen(canvas) {
    let began = null;
    const at = (event) => this.timeAt(event.clientX - canvas.getBoundingClientRect().left);
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      began = event.clientX;
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (began !== null && Math.abs(event.clientX - began) > 3) {
        const left = canvas.getBoundingClientRect().left;
        this.chosen = [began - left, event.clientX - left];
        hideTip();
        this.later();
      } else if (began === null) {
        this.hover(canvas, event);
      }
    });
    canvas.addEventListener("pointerup", (event) => {
      const chosen = this.chosen;
      this.chosen = null;
      if (chosen) {
        const [a, b] = chosen.map((x) => this.timeAt(x)).sort((a, b) => a - b);
        this.zoom(a, b);
      } else if (began !== null && canvas.id === "gantt") {
        const bar = this.barAt(canvas, event);
        if (bar >= 0 && !Number.isNaN(this.run.bars.job[bar])) this.pick(this.run.bars.job[bar]);
      }
      began = null;
    });
    canvas.addEventListener("pointercancel", () => {
      began = this.chosen = null;
      this.later();
    });
    canvas.addEventListener("pointerleave", hideTip);
    canvas.addEventListener("dblclick", () => this.zoom(0, this.run.total));
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.scale(event.deltaY > 0 ? 1.25 : 0.8, at(event));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const length = this.to - this.from;
      const act = {
        "+": () => this.scale(0.5), "=": () => this.scale(0.5), "-": () => this.scale(2),
        ArrowLeft: () => this.zoom(this.from - length / 4, this.to - length / 4),
        ArrowRight: () => this.zoom(this.from + length / 4, this.to + length / 4),
        0: () => this.zoom(0, this.run.total), Escape: () => this.zoom(0, this.run.total),
      }[event.key];
      if (act && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        act();
      }
    });
  }

  timeAt(x) {
    const share = (x - this.gutter) / (this.width - this.gutter);
    return this.from + Math.min(Math.max(share, 0), 1) * (this.to - this.from);
  }

  x(at) {
    return this.gutter + (at - this.from) / (this.to - this.from) * (this.width - this.gutter);
  }

  // The bar under the pointer, the nearest where none is.
  barAt(canvas, event) {
    const box = canvas.getBoundingClientRect();
    const lane = Math.floor((event.clientY - box.top) / this.row);
    const at = this.timeAt(event.clientX - box.left);
    const near = 4 * (this.to - this.from) / (this.width - this.gutter);
    const { bars, rowOf } = this.run;
    let best = -1, distance = near;
    for (let i = 0; i < bars.n; i++) {
      if (rowOf[bars.lane[i]] !== lane) continue;
      const off = Math.max(bars.start[i] - at, at - bars.start[i] - bars.dur[i], 0);
      if (off < distance || (off === 0 && best < 0)) [best, distance] = [i, off];
    }
    return best;
  }

  hover(canvas, event) {
    const at = this.timeAt(event.clientX - canvas.getBoundingClientRect().left);
    if (canvas.id !== "gantt") {
      const { flow } = this;
      const bin = Math.min(flow.n - 1, Math.floor((at - this.from) / (this.to - this.from) * flow.n));
      const { waiting } = this.run.model;
      const waits = waiting[Math.min(waiting.length - 1, Math.floor(at / this.run.total * waiting.length))];
      showTip(event, [`at ${time(at)}`, `${amount(flow.ended[bin])} jobs ended per second`,
        `${amount(flow.busy[bin])} ran at once`, ...(waiting.length ? [`${count(waits)} waited`] : [])]);
      return;
    }
    const i = this.barAt(canvas, event);
    if (i < 0) {
      hideTip();
      return;
    }
    const { bars, labels, verdicts, jobs, messages } = this.run;
    const job = bars.job[i], verdict = verdicts[bars.state[i] >> 1];
    const lines = [];
    if (bars.count[i] > 1) lines.push(`${count(bars.count[i])} jobs: ${verdict}`);
    else if (Number.isNaN(job)) lines.push(bars.state[i] & 1 ? `${verdict}, tried again` : verdict);
    else lines.push(labels[job], messages[jobs.message[job] - 1] ?? verdict);
    lines.push(`${time(bars.busy[i])}, from ${time(bars.start[i])} on`);
    if (!Number.isNaN(job) && this.run.hostOf(job)) lines.push(`on ${this.run.hostOf(job)}`);
    if (!Number.isNaN(job) && !Number.isNaN(jobs.wait[job])) lines.push(`had waited ${time(jobs.wait[job])}`);
    showTip(event, lines);
  }

  // ---- Pictures

  later() {
    if (this.due) return;
    this.due = requestAnimationFrame(() => {
      this.due = 0;
      this.draw();
    });
  }

  draw() {
    const { gantt } = this.parts;
    this.colour = colours();
    this.width = Math.max(200, Math.floor(gantt.parentElement.clientWidth));
    const lanes = Math.max(1, this.run.lanes);
    this.row = Math.min(18, Math.max(3, Math.floor(440 / lanes)));
    this.gutter = this.width < 560 ? 34 : this.run.hosts.length > 0 ? 110 : 64;
    this.drawGantt();
    this.flow = this.counted();
    this.drawStrip("ended", this.flow.ended, this.flow.bad, "ended per second", "tone2");
    this.drawStrip("busy", this.flow.busy, null, `ran at once, of ${count(this.run.model.figures.workers)}`, "tone1");
    if (this.run.model.waiting.length) this.drawWaiting();
    this.shown.textContent = this.whole ? `all ${time(this.run.total)}`
      : `${time(this.from)} to ${time(this.to)}: ${time(this.to - this.from)}`;
    Object.assign(document.documentElement.dataset, { from: this.from, to: this.to });
  }

  // A canvas of this height, ready to be drawn on.
  pen(name, height) {
    const canvas = this.parts[name];
    const dots = devicePixelRatio || 1;
    canvas.width = this.width * dots;
    canvas.height = height * dots;
    canvas.style.width = `${this.width}px`;
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d");
    pen.scale(dots, dots);
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    return pen;
  }

  // The marks of the time, with their text below where there is room for it.
  axis(pen, height, text) {
    const { colour } = this;
    const apart = step(this.to - this.from, (this.width - this.gutter) / 84);
    pen.fillStyle = colour("line");
    for (let at = Math.ceil(this.from / apart) * apart; at <= this.to; at += apart) {
      pen.fillRect(Math.round(this.x(at)), 0, 1, height);
      if (!text) continue;
      pen.fillStyle = colour("quiet");
      const shown = mark(at, apart);
      const wide = pen.measureText(shown).width;
      pen.fillText(shown, Math.min(this.x(at) + 3, this.width - wide), height + 9);
      pen.fillStyle = colour("line");
    }
    for (const at of this.run.model.marks) {
      pen.fillStyle = colour("late");
      if (at >= this.from && at <= this.to) pen.fillRect(Math.round(this.x(at)), 0, 2, height);
    }
    if (this.chosen) {
      const [a, b] = this.chosen;
      pen.fillStyle = colour("choose");
      pen.fillRect(Math.min(a, b), 0, Math.abs(b - a), height);
    }
  }

  drawGantt() {
    const { run, row, gutter, width, colour } = this;
    const lanes = Math.max(1, run.lanes), height = lanes * row;
    const pen = this.pen("gantt", height + 18);
    pen.fillStyle = colour("idle");
    for (let lane = 0; lane < lanes; lane++) pen.fillRect(gutter, lane * row, width - gutter, row > 5 ? row - 1 : row);
    this.axis(pen, height, true);
    this.drawBars(pen);
    const { deaths } = run;
    pen.fillStyle = colour("dead");
    let seen = 0;
    for (let i = 0; i < deaths.n; i++) if (deaths.at[i] >= this.from && deaths.at[i] <= this.to) seen++;
    // More would hide the rows.
    for (let i = 0; i < deaths.n && seen < 300; i++) {
      const x = this.x(deaths.at[i]), y = run.rowOf[deaths.lane[i]] * row, wide = Math.min(row / 2, 5);
      if (x < gutter || x > width) continue;
      pen.beginPath();
      pen.moveTo(x - wide, y);
      pen.lineTo(x + wide, y);
      pen.lineTo(x, y + wide * 1.8);
      pen.fill();
    }
    if (run.hosts.length > 0) {
      this.nameHosts(pen, height);
      return;
    }
    const every = Math.ceil(14 / row);
    pen.fillStyle = colour("quiet");
    pen.textAlign = "right";
    const word = gutter > 40 && run.model.lanes_are_workers && every === 1 ? "worker " : "";
    for (let lane = 0; lane < lanes; lane += every) pen.fillText(`${word}${lane + 1}`, gutter - 6, lane * row + row / 2);
    pen.textAlign = "left";
  }

  // Each host by its name, beside its first row, and a line above it.
  nameHosts(pen, height) {
    const { run, row, gutter, width, colour } = this;
    pen.textAlign = "right";
    let below = 0;
    run.rowNames.forEach(({ host, number }, at) => {
      const y = at * row, first = number === 1;
      if (first && at > 0) {
        pen.fillStyle = colour("quiet");
        pen.fillRect(0, y - 1, width, 1);
      }
      if ((!first && row < 14) || y + 1 < below) return;
      pen.fillStyle = colour(first ? "text" : "quiet");
      pen.fillText(first ? host : String(number), gutter - 6, Math.min(y + Math.max(row / 2, 6), height - 6), gutter - 8);
      below = y + 13;
    });
    pen.textAlign = "left";
  }

  drawBars(pen) {
    const { run, row, gutter, width, colour, tones } = this;
    const { bars, kinds, rowOf } = run;
    const fine = new Fine(Math.max(1, run.lanes), width - gutter);
    const wide = new Map();
    const scale = (width - gutter) / (this.to - this.from);
    for (let i = 0; i < bars.n; i++) {
      const start = bars.start[i], dur = bars.dur[i];
      if (start > this.to || start + dur < this.from) continue;
      const x = (start - this.from) * scale, long = dur * scale, state = bars.state[i];
      const name = kinds[state >> 1] ?? "bad";
      if (long < 2 || bars.count[i] > 1) {
        // Joined ones fill their place as far as they were busy.
        const filled = bars.count[i] > 1 && long >= 1 ? bars.busy[i] / dur : 1;
        fine.add(rowOf[bars.lane[i]], x, Math.max(long * filled, 0.02), KINDS.indexOf(name));
        continue;
      }
      const tone = name === "ok" ? `tone${tones.filter((limit) => dur > limit).length}` : name;
      const key = state & 1 ? `${tone}/` : tone;
      if (!wide.has(key)) wide.set(key, []);
      wide.get(key).push(i);
    }
    const high = row > 5 ? row - 1 : row;
    for (const [key, list] of wide) {
      const half = key.endsWith("/");
      pen.fillStyle = colour(half ? key.slice(0, -1) : key);
      for (const i of list) {
        const x = (bars.start[i] - this.from) * scale, right = Math.min(x + bars.dur[i] * scale, width - gutter);
        const left = Math.max(x, 0), gap = right - left > 4 ? 1 : 0;
        // Half as high: another try followed.
        const y = rowOf[bars.lane[i]] * row + (half ? high / 2 : 0);
        pen.fillRect(gutter + left, y, Math.max(right - left - gap, 1), half ? high / 2 : high);
      }
    }
    this.drawFine(pen, fine, high);
    this.drawPicked(pen, scale, high);
  }

  drawFine(pen, fine, high) {
    const { row, gutter, colour } = this;
    const fill = ["tone1", ...KINDS.slice(1)].map(colour);
    for (let at = 0; at < fine.filled.length; at++) {
      const filled = fine.filled[at];
      if (filled === 0) continue;
      const px = at % fine.width, y = (at - px) / fine.width * row;
      pen.globalAlpha = Math.min(1, 0.25 + filled * 0.75);
      pen.fillStyle = fill[0];
      pen.fillRect(gutter + px, y, 1, high);
      if (fine.bad[at]) {
        pen.globalAlpha = 1;
        pen.fillStyle = fill[fine.bad[at]];
        pen.fillRect(gutter + px, y, 2, high);
      }
    }
    pen.globalAlpha = 1;
  }

  drawPicked(pen, scale, high) {
    const { jobs } = this.run;
    if (Number.isNaN(this.picked) || Number.isNaN(jobs.lane[this.picked])) return;
    const x = this.x(jobs.start[this.picked]), wide = Math.max((jobs.dur[this.picked] || 0) * scale, 2);
    pen.strokeStyle = this.colour("text");
    pen.lineWidth = 2;
    pen.strokeRect(x - 1, this.run.rowOf[jobs.lane[this.picked]] * this.row, wide + 1, high);
  }

  // What ended and ran in each part of the time that is shown.
  counted() {
    const { bars, kinds } = this.run;
    const n = Math.max(10, Math.floor((this.width - this.gutter) / 3));
    const each = (this.to - this.from) / n;
    const ended = new Float64Array(n), bad = new Float64Array(n), busy = new Float64Array(n), more = new Float64Array(n + 1);
    for (let i = 0; i < bars.n; i++) {
      const start = bars.start[i], end = start + bars.dur[i];
      if (end < this.from || start > this.to) continue;
      const a = (start - this.from) / each, b = (end - this.from) / each;
      if ((bars.state[i] & 1) === 0) {
        const last = Math.min(n - 1, Math.floor(b));
        if (bars.count[i] === 1) {
          if (b <= n + 1e-9) {
            ended[last] += 1;
            if (kinds[bars.state[i] >> 1] !== "ok") bad[last] += 1;
          }
        } else {
          const first = Math.max(0, Math.floor(a)), share = bars.count[i] / (Math.floor(b) - Math.floor(a) + 1);
          for (let bin = first; bin <= last; bin++) ended[bin] += share;
          if (kinds[bars.state[i] >> 1] !== "ok") for (let bin = first; bin <= last; bin++) bad[bin] += share;
        }
      }
      const weight = bars.dur[i] ? bars.busy[i] / bars.dur[i] : 0;
      const left = Math.max(a, 0), right = Math.min(b, n), l = Math.floor(left), r = Math.min(Math.floor(right), n - 1);
      if (l >= n) continue;
      if (l === r) {
        busy[l] += (right - left) * weight;
      } else {
        busy[l] += (l + 1 - left) * weight;
        busy[r] += (right - r) * weight;
        more[l + 1] += weight;
        more[r] -= weight;
      }
    }
    for (let bin = 0, sum = 0; bin < n; bin++) {
      sum += more[bin];
      busy[bin] += sum;
      ended[bin] *= 1e6 / each;
      bad[bin] *= 1e6 / each;
    }
    return { n, ended, bad, busy };
  }

  drawStrip(name, values, bad, unit, tone) {
    const height = 64, pen = this.pen(name, height);
    const top = Math.max(...values, 1e-9);
    const left = this.gutter, each = (this.width - left) / values.length;
    this.axis(pen, height, false);
    const bars = (list, fill) => {
      pen.fillStyle = this.colour(fill);
      list.forEach((value, i) => {
        const high = value / top * (height - 6);
        if (high > 0) pen.fillRect(left + i * each, height - high, each + 0.4, high);
      });
    };
    bars(values, tone);
    if (bad) bars(bad, "bad");
    this.base(pen, height);
    this.titles[name].replaceChildren(make("b", {}, `${amount(top)}`), ` ${unit}`);
  }

  base(pen, height) {
    pen.fillStyle = this.colour("line");
    pen.fillRect(this.gutter, height - 1, this.width - this.gutter, 1);
  }

  drawWaiting() {
    const height = 64, pen = this.pen("waiting", height + 18);
    const { waiting } = this.run.model, total = this.run.total;
    const inside = waiting.filter((_, i) => {
      const at = (i + 0.5) / waiting.length * total;
      return at >= this.from && at <= this.to;
    });
    const top = Math.max(...inside, 1);
    this.axis(pen, height, true);
    pen.save();
    pen.beginPath();
    pen.rect(this.gutter, 0, this.width - this.gutter, height);
    pen.clip();
    pen.fillStyle = this.colour("tone0");
    waiting.forEach((value, i) => {
      const x = this.x(i / waiting.length * total), next = this.x((i + 1) / waiting.length * total);
      const high = value / top * (height - 6);
      if (next > this.gutter && x < this.width) pen.fillRect(x, height - high, next - x + 0.4, high);
    });
    pen.restore();
    this.base(pen, height);
    this.titles.waiting.replaceChildren(make("b", {}, count(top)), " waited at most");
  }
}
