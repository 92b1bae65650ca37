// Numbers as text, and elements with text in them: never markup.

function time(us) {
  if (Number.isNaN(us)) return "–";
  const s = us / 1e6;
  if (us < 1e3) return `${Math.round(us)} µs`;
  if (us < 1e4) return `${(us / 1e3).toFixed(1)} ms`;
  if (us < 1e6) return `${Math.round(us / 1e3)} ms`;
  if (s < 60) return `${s.toFixed(2)} s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${Math.floor(s % 60)}s`;
  return `${Math.floor(s / 3600)}h ${Math.floor((s / 60) % 60)}m`;
}

// The same for places on an axis, whose marks are `step` apart.
function mark(us, step) {
  const s = us / 1e6;
  if (us === 0) return "0";
  const digits = (unit) => Math.max(0, -Math.floor(Math.log10(step / unit) + 1e-9));
  if (step < 1e3) return us < 1e6 ? `${(us / 1e3).toFixed(digits(1e3))} ms` : `${s.toFixed(digits(1e6))} s`;
  if (us < 1e6) return `${(us / 1e3).toFixed(0)} ms`;
  if (s < 60 || step < 1e6) return `${s.toFixed(digits(1e6))} s`;
  const part = s % 60 ? ` ${Math.round(s % 60)}s` : "";
  if (s < 3600) return `${Math.floor(s / 60)}m${part}`;
  const minutes = Math.floor((s / 60) % 60);
  return `${Math.floor(s / 3600)}h${minutes ? ` ${minutes}m` : ""}${part}`;
}

function memory(kib) {
  if (Number.isNaN(kib)) return "–";
  if (kib < 1024) return `${Math.round(kib)} KiB`;
  if (kib < 1 << 20) return `${(kib / 1024).toFixed(1)} MiB`;
  return `${(kib / (1 << 20)).toFixed(2)} GiB`;
}

function count(n) {
  return Math.round(n).toLocaleString("en-US");
}

function amount(n) {
  return n < 10 ? String(Math.round(n * 10) / 10) : count(n);
}

function kind(verdict) {
  switch (verdict) {
    case "ok": return "ok";
    case "timeout": case "output_limit": return "late";
    case "crashed": case "oom": case "quarantined": case "unkillable": return "dead";
    case "interrupted": case "cancelled": case "lost": return "gone";
    default: return "bad";
  }
}

// An element with attributes and children, which are text unless they are elements.
function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  element.append(...children);
  return element;
}

function shape(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  element.append(...children);
  return element;
}

function section(title, hint, ...children) {
  return make("section", {}, make("h2", {}, title, " ", make("span", { class: "quiet" }, hint)), ...children);
}

// A step of 1, 2 or 5 times a power of ten, or of minutes and hours, so that at most
// so many fit.
function step(range, most) {
  const least = range / Math.max(most, 1);
  const power = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  const tens = [1, 2, 5, 10].map((n) => n * power);
  const clock = [10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 36000, 86400].map((s) => s * 1e6);
  const steps = least > 5e6 && least <= 864e8 ? clock : tens;
  return steps.find((n) => n >= least) ?? tens[3];
}

// The colours of the page, as they are now: light or dark.
function colours() {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(`--${name}`).trim();
}

const tip = make("div", { class: "tip", role: "status" });

function showTip(event, lines) {
  tip.replaceChildren(...lines.map((line) => make("div", {}, line)));
  if (!tip.isConnected) document.body.append(tip);
  const { width, height } = tip.getBoundingClientRect();
  const x = Math.min(event.clientX + 14, innerWidth - width - 8);
  const y = event.clientY + 18 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 18;
  tip.style.left = `${Math.max(4, x)}px`;
  tip.style.top = `${Math.max(4, y)}px`;
}

function hideTip() {
  tip.remove();
}
