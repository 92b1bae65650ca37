// A page that goes with its run: it begins with what was known when it was asked for, and is
// told the rest as it happens. It stays as it was when there is nobody left to tell it more.

const page = new Page(document.getElementById("pictures"), document.getElementById("jobs"));
page.refresh(JSON.parse(document.getElementById("model").textContent));
const root = document.documentElement;
const state = make("p", { class: "live", id: "live", role: "status" }, "The run goes on: this page follows it.");
document.querySelector("main").prepend(state);

// What was unfolded or folded by hand stays so.
const folded = new Map();
const nameOf = (details) => details.querySelector("summary").textContent.replace(/^[\d,]+ /, "");
root.addEventListener("toggle", ({ target }) => {
  if (target.matches?.("[data-part] details")) folded.set(nameOf(target), target.open);
}, true);

// The words of the page. They come as the server would have written them into it, with all that
// is foreign escaped there; nothing in them is run.
const shown = new Map();
function show(parts) {
  for (const [name, html] of Object.entries(parts)) {
    const part = document.querySelector(`[data-part="${name}"]`);
    const selection = getSelection();
    const read = !selection.isCollapsed && part.contains(selection.anchorNode);
    if (shown.get(name) === html || read) continue;
    shown.set(name, html);
    part.innerHTML = html;
    for (const details of part.querySelectorAll("details")) {
      const open = folded.get(nameOf(details));
      if (open !== undefined) details.open = open;
    }
  }
}

let run = null;
const events = new EventSource("/events");
events.onmessage = ({ data }) => {
  const told = JSON.parse(data);
  if (run !== null && run !== told.run) {
    // Another one has its address now.
    location.reload();
    return;
  }
  run = told.run;
  document.title = told.title;
  show(told.parts);
  if (told.rows.reset) page.reset();
  page.append(told.rows);
  page.refresh(told.model);
  state.className = told.ended ? "live ended" : "live";
  state.textContent = told.ended ? "The run has ended. This page stays, and is not updated any more."
    : "The run goes on: this page follows it.";
  Object.assign(root.dataset, { bars: page.run.bars.n, rows: page.run.jobs.n, ended: told.ended && !told.rows.more ? "yes" : "no" });
  if (told.ended && !told.rows.more) events.close();
};
events.onerror = () => {
  state.className = "live lost";
  state.textContent = `The run cannot be reached since ${new Date().toLocaleTimeString()}: it was killed, or its machine went down. This is how it stood.`;
  root.dataset.ended = "lost";
};
root.dataset.ready = "yes";
