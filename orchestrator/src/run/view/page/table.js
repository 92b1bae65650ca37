// The table of all jobs: searched, sorted, and drawn only where it is looked at.

const ROW = 28;

const FIELDS = [
  { name: "line", title: "Line", n: true, show: (run, i) => count(run.jobs.line[i]) },
  { name: "label", title: "Job", show: (run, i) => run.labels[i] },
  { name: "verdict", title: "Verdict", show: (run, i) => run.verdicts[run.jobs.verdict[i]] },
  { name: "host", title: "Host", rare: true, show: (run, i) => run.hostOf(i) },
  { name: "dur", title: "Run time", n: true, show: (run, i) => time(run.jobs.dur[i]) },
  { name: "wait", title: "Waited", n: true, show: (run, i) => time(run.jobs.wait[i]) },
  { name: "cpu", title: "CPU", n: true, show: (run, i) => time(run.jobs.cpu[i]) },
  { name: "rss", title: "Memory", n: true, show: (run, i) => memory(run.jobs.rss[i]) },
  { name: "tries", title: "Tries", n: true, show: (run, i) => count(run.jobs.tries[i]) },
  { name: "start", title: "Began", n: true, show: (run, i) => time(run.jobs.start[i]) },
  { name: "message", title: "What it said", show: (run, i) => run.messages[run.jobs.message[i] - 1] ?? "" },
];

// What is there only in a run on several hosts is `rare`.
const classOf = (field) => (field.n ? "n" : field.rare ? "rare" : "");

class JobTable {
  constructor(run, root, timeline) {
    this.run = run;
    this.timeline = timeline;
    this.sorted = { name: "line", down: false };
    this.lower = [];
    this.search = make("input", { type: "search", id: "search", placeholder: "Search jobs, messages, hosts", "aria-label": "Search jobs" });
    this.verdict = make("select", { id: "verdict", "aria-label": "Verdict" });
    this.inView = make("input", { type: "checkbox", id: "in-view" });
    this.copy = make("button", { type: "button", id: "copy", title: "Their lines of the input, in the order of the table" }, "Copy as input lines");
    this.copied = make("span", { class: "quiet", id: "copied", role: "status" });
    this.found = make("span", { class: "quiet", id: "found", role: "status" });
    this.head = make("div", { class: "row head", role: "row" });
    this.rows = make("div", { class: "drawn", role: "rowgroup" });
    this.space = make("div", { class: "space" }, this.rows);
    this.box = make("div", { class: "table", tabindex: 0, role: "table", "aria-label": "Jobs" }, this.head, this.space);
    this.detail = make("div", { class: "detail", id: "detail", hidden: "" });
    this.note = make("p", { class: "quiet" });
    root.append(section("All jobs", "click a row for all of it",
      make("div", { class: "tools" }, this.search, this.verdict,
        make("label", {}, this.inView, " only in the time shown above"), this.found, this.copy, this.copied),
      this.box, this.detail, this.note));
    for (const field of FIELDS) {
      const head = make("button", { type: "button", role: "columnheader", class: classOf(field), "data-sort": field.name,
        "aria-sort": field.name === "line" ? "ascending" : "none" }, field.title);
      head.addEventListener("click", () => this.sort(field.name));
      this.head.append(head);
    }
    this.search.addEventListener("input", () => this.filter());
    this.verdict.addEventListener("change", () => this.filter());
    this.inView.addEventListener("change", () => this.filter());
    this.copy.addEventListener("click", () => this.copyLines());
    this.box.addEventListener("scroll", () => this.draw());
    this.rows.addEventListener("click", (event) => {
      const row = event.target.closest("[data-job]");
      if (row) this.pick(Number(row.dataset.job));
    });
  }

  refresh() {
    const { run } = this;
    const chosen = this.verdict.value;
    const option = (value, text) => make("option", { value }, text);
    this.verdict.replaceChildren(option("", "every verdict"), option("not ok", "all but ok"),
      ...run.verdicts.map((word) => option(word, word)));
    this.verdict.value = chosen;
    this.box.classList.toggle("everywhere", run.hosts.length > 0);
    const { every, cut } = run.model.jobs;
    const parts = [];
    if (every > 1) parts.push(`Of the jobs that succeeded, every ${count(every)}. is in this table; figures and pictures count all of them.`);
    if (cut) parts.push("Of the jobs that did not succeed, the first ones are.");
    const { jobs: known, ended, unfinished } = run.model.figures;
    if (known > unfinished.reduce((sum, [, jobs]) => sum + jobs, ended)) parts.push("Jobs without a result are not in it.");
    this.note.textContent = parts.join(" ");
    // Whoever reads it goes on where they were.
    const top = this.box.scrollTop;
    this.filter();
    this.box.scrollTop = top;
    this.draw();
  }

  forget() {
    this.lower = [];
    this.chosen = undefined;
    this.detail.hidden = true;
  }

  sort(name) {
    const down = this.sorted.name === name ? !this.sorted.down : FIELDS.find((field) => field.name === name).n && name !== "line";
    this.sorted = { name, down };
    for (const head of this.head.children) {
      const is = head.dataset.sort === name;
      head.setAttribute("aria-sort", is ? (down ? "descending" : "ascending") : "none");
    }
    this.filter();
  }

  filter() {
    const { run } = this, { jobs } = run;
    for (let i = this.lower.length; i < jobs.n; i++) this.lower.push(run.labels[i].toLowerCase());
    const wanted = this.search.value.toLowerCase().trim();
    const saying = run.messages.map((message) => message.toLowerCase().includes(wanted));
    const places = run.hosts.map((host) => host.toLowerCase().includes(wanted));
    const word = this.verdict.value, inView = this.inView.checked;
    const right = run.verdicts.map((verdict) => word === "" || (word === "not ok" ? verdict !== "ok" : verdict === word));
    const { from, to } = this.timeline;
    const found = new Uint32Array(jobs.n);
    let n = 0;
    for (const i of run.byLine) {
      if (!right[jobs.verdict[i]]) continue;
      if (wanted && !this.lower[i].includes(wanted) && !saying[jobs.message[i] - 1] && !places[jobs.host[i]]) continue;
      if (inView && !(jobs.start[i] <= to && jobs.start[i] + (jobs.dur[i] || 0) >= from)) continue;
      found[n++] = i;
    }
    this.order = found.subarray(0, n);
    this.arrange();
    this.found.textContent = n === jobs.n ? `${count(n)} jobs` : `${count(n)} of ${count(jobs.n)} jobs`;
    this.space.style.height = `${n * ROW}px`;
    this.box.scrollTop = 0;
    this.draw();
  }

  arrange() {
    const { name, down } = this.sorted, { run } = this;
    if (name === "line" && !down) return;
    const sign = down ? -1 : 1;
    if (name === "host") {
      const at = run.jobs.host, places = run.hosts;
      this.order.sort((a, b) => sign * (places[at[a]] < places[at[b]] ? -1 : places[at[a]] > places[at[b]] ? 1 : 0) || a - b);
      return;
    }
    if (name === "label") {
      this.order.sort((a, b) => sign * (this.lower[a] < this.lower[b] ? -1 : this.lower[a] > this.lower[b] ? 1 : 0) || a - b);
      return;
    }
    // What is not known comes last.
    const keys = run.jobs[name], key = (i) => (Number.isNaN(keys[i]) ? -Infinity * sign * -1 : keys[i]);
    this.order.sort((a, b) => {
      const x = key(a), y = key(b);
      return x === y ? a - b : x < y ? -sign : sign;
    });
  }

  // Puts the lines of the jobs that are found where they can be pasted. A name that is not its
  // line, or not all of it, is left out, and told.
  copyLines() {
    const { run } = this;
    const exact = (name) => !/[\\…]/.test(name);
    const names = Array.from(this.order, (i) => run.labels[i]);
    const lines = run.model.labels_are_lines ? names.filter(exact) : [];
    const area = make("textarea", { class: "aside", "aria-hidden": "true" });
    area.value = lines.map((line) => `${line}\n`).join("");
    document.body.append(area);
    area.select();
    const done = lines.length > 0 && document.execCommand("copy");
    area.remove();
    const left = names.length - lines.length;
    this.copied.textContent = (done ? `${count(lines.length)} copied` : "nothing copied")
      + (left > 0 ? `; of ${count(left)}, the page has no exact line: orchestrator results` : "");
  }

  draw() {
    const { run, order } = this;
    if (!order) return;
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - 5);
    const last = Math.min(order.length, first + Math.ceil(this.box.clientHeight / ROW) + 10);
    const rows = [];
    for (let at = first; at < last; at++) {
      const i = order[at];
      const row = make("div", { class: i === this.chosen ? "row chosen" : "row", role: "row", "data-job": i });
      for (const field of FIELDS) {
        const text = field.show(run, i);
        const cell = make("span", { role: "cell", class: classOf(field) });
        if (field.name === "verdict") cell.append(make("span", { class: `word ${run.kinds[run.jobs.verdict[i]]}` }, text));
        else cell.textContent = text;
        row.append(cell);
      }
      rows.push(row);
    }
    this.rows.style.transform = `translateY(${first * ROW}px)`;
    this.rows.replaceChildren(...rows);
  }

  // Shows all that is known of a job.
  pick(i) {
    this.chosen = i;
    const { run } = this, { jobs } = run;
    const list = make("dl", {});
    for (const field of FIELDS) {
      const text = field.show(run, i);
      if (text !== "" && text !== "–") list.append(make("dt", {}, field.title), make("dd", {}, text));
    }
    const lane = jobs.lane[i];
    if (!Number.isNaN(lane)) list.append(make("dt", {}, run.model.lanes_are_workers && run.hosts.length === 0 ? "Worker" : "Row"), make("dd", {}, String(run.rowOf[lane] + 1)));
    this.detail.replaceChildren(list);
    if (!Number.isNaN(lane) && !Number.isNaN(jobs.start[i])) {
      const button = make("button", { type: "button", id: "locate" }, "Show on the timeline");
      button.addEventListener("click", () => {
        this.timeline.show(jobs.start[i], jobs.dur[i] || 0, i);
        document.getElementById("time").scrollIntoView({ block: "start" });
      });
      this.detail.append(button);
    }
    this.detail.hidden = false;
    this.draw();
  }

  // The same for a job that was chosen elsewhere, with the table at its row.
  reveal(i) {
    let at = this.order.indexOf(i);
    if (at < 0) {
      this.search.value = this.verdict.value = "";
      this.inView.checked = false;
      this.filter();
      at = this.order.indexOf(i);
    }
    this.box.scrollTop = Math.max(0, (at - 3) * ROW);
    this.pick(i);
  }
}
