// A report: its model stands in it, whole.

const model = JSON.parse(document.getElementById("model").textContent);
const page = new Page(document.getElementById("pictures"), document.getElementById("jobs"));
page.append(model);
page.refresh(model);
Object.assign(document.documentElement.dataset, { ready: "yes", bars: page.run.bars.n, rows: page.run.jobs.n });
