// What the pages cannot do without a script. Everything else works without one.
"use strict";

// Times come in UTC; they are shown in the viewer's zone, or as how long ago. The UTC stays in the title.
const absolute = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const absoluteYear = new Intl.DateTimeFormat(undefined, { year: "numeric", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });

function ago(at) {
  const seconds = Math.round((at - Date.now()) / 1000);
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]])
    if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
  return Math.abs(seconds) < 5 ? "just now" : relative.format(seconds, "second");
}

function show(element) {
  const at = new Date(element.dateTime);
  let text;
  if (element.dataset.form === "ago") text = ago(at);
  else if (element.dataset.form === "due") text = at - Date.now() < 5000 ? "any moment" : ago(at);
  else if (element.dataset.form === "clock") text = clock.format(at);
  else text = (at.getFullYear() === new Date().getFullYear() ? absolute : absoluteYear).format(at);
  if (element.dateTime && element.textContent !== text) element.textContent = text;
}

function showAll(root) { for (const e of root.querySelectorAll("time[datetime]")) show(e); }

showAll(document);
setInterval(() => { for (const e of document.querySelectorAll("time[data-form=ago], time[data-form=due]")) show(e); }, 5000);
new MutationObserver((changes) => {
  for (const change of changes) {
    if (change.type === "attributes") { show(change.target); continue; }
    const at = change.target.nodeType === Node.ELEMENT_NODE ? change.target : change.target.parentElement;
    if (at && at.closest("time")) show(at.closest("time"));
    for (const node of change.addedNodes) if (node.nodeType === Node.ELEMENT_NODE) {
      if (node.matches("time[datetime]")) show(node);
      showAll(node);
    }
  }
}).observe(document.body, { childList: true, subtree: true, characterData: true, attributeFilter: ["datetime"] });

// Light or dark, kept in a cookie so that the next page is drawn right from the start.
document.addEventListener("click", (e) => {
  if (!e.target.closest("[data-theme-toggle]")) return;
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  document.cookie = "theme=" + root.dataset.theme + ";path=/;max-age=31536000;samesite=lax";
});

// On a phone the menu is a strip: where one is stands in it.
document.querySelector(".side nav a[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// The menu of who is signed in closes when something else is used.
document.addEventListener("click", (e) => {
  for (const open of document.querySelectorAll("details.who[open]")) if (!open.contains(e.target)) open.open = false;
});
document.addEventListener("keydown", (e) => {
  if (e.key !== "Escape") return;
  for (const open of document.querySelectorAll("details.who[open]")) { open.open = false; open.querySelector("summary").focus(); }
});

// Copying.
document.addEventListener("click", async (e) => {
  const button = e.target.closest("[data-copy]");
  if (!button) return;
  const from = document.getElementById(button.dataset.copy);
  const said = button.textContent;
  try {
    await navigator.clipboard.writeText(from.value ?? from.textContent);
    button.textContent = "Copied";
  } catch {
    from.select?.();
    button.textContent = "Press Ctrl-C";
  }
  setTimeout(() => { button.textContent = said; }, 2000);
});

// A secret is shown once: to reload leads to the page that comes next, and to come back shows it no more.
for (const once of document.querySelectorAll("[data-shown-once]")) {
  history.replaceState(null, "", once.dataset.shownOnce);
  addEventListener("pagehide", () => once.replaceChildren("It was shown here, once."));
}

// Saving a file that is on the page and nowhere else.
document.addEventListener("click", (e) => {
  const button = e.target.closest("[data-save]");
  if (!button) return;
  const url = URL.createObjectURL(new Blob([document.getElementById(button.dataset.save).textContent], { type: "application/octet-stream" }));
  Object.assign(document.createElement("a"), { href: url, download: button.dataset.name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
});

// A form whose answer takes a while says so, and is not sent twice.
document.addEventListener("submit", (e) => {
  const text = e.target.dataset.busy, button = e.submitter ?? e.target.querySelector("button");
  if (!text || !button) return;
  if (button.getAttribute("aria-disabled") === "true") { e.preventDefault(); return; }
  button.setAttribute("aria-disabled", "true");
  button.dataset.idle ??= button.textContent;
  button.textContent = text;
});
// When the answer did not come, or one has come back from it, the form can be sent again.
const rested = () => {
  for (const button of document.querySelectorAll("[data-idle]")) { button.removeAttribute("aria-disabled"); button.textContent = button.dataset.idle; }
};
addEventListener("pageshow", (e) => { if (e.persisted) rested(); });
document.addEventListener("htmx:error", (e) => { if (e.target.closest?.("[data-busy]")) rested(); });

// Moments of the filter: typed in the viewer's zone, sent in UTC. What is empty is not sent.
for (const input of document.querySelectorAll("input[data-utc]")) {
  const hidden = input.form.querySelector(`[type=hidden][name=${input.dataset.utc}]`); // elements[…] finds the visible one as well, by its id
  if (hidden.value) {
    const at = new Date(hidden.value);
    input.value = new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, input.step ? 19 : 16);
  }
  input.form.addEventListener("submit", () => { hidden.value = input.value ? new Date(input.value).toISOString() : ""; });
}
// What has been typed, said once more with its zone and in UTC.
const instant = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short" });
const universal = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: "UTC" });
for (const line of document.querySelectorAll("[data-instant]")) {
  const input = document.getElementById(line.dataset.instant);
  const echo = () => { const at = new Date(input.value); line.textContent = input.value ? instant.format(at) + " (" + universal.format(at) + " UTC" + (at.getDate() === at.getUTCDate() ? ")" : ", another day)") : ""; };
  input.addEventListener("input", echo);
  echo();
}
for (const zone of document.querySelectorAll("[data-zone]")) zone.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone.replaceAll("_", " ");
// Nine to five, of today or of a day after it. That is also what a new form begins with.
function nineToFive(form, days) {
  for (const [id, hour] of [["start", 9], ["end", 17]]) {
    const at = new Date();
    at.setDate(at.getDate() + days);
    const input = form.querySelector("#" + id), two = (n) => String(n).padStart(2, "0");
    input.value = at.getFullYear() + "-" + two(at.getMonth() + 1) + "-" + two(at.getDate()) + "T" + two(hour) + ":00";
    input.dispatchEvent(new Event("input"));
  }
}
for (const button of document.querySelectorAll("[data-nine]")) {
  const form = button.form;
  button.addEventListener("click", () => { form.elements.forever.checked = false; nineToFive(form, Number(button.dataset.nine)); });
  const fresh = !form.querySelector("[name=start]").value && !form.querySelector("[name=end]").value && !form.elements.forever.checked && !form.querySelector("[aria-invalid]");
  if (fresh && Number(button.dataset.nine) === (new Date().getHours() < 16 ? 0 : 1)) button.click();
}
// Where there is room for it, the filter stands open.
const box = document.querySelector(".filter-box");
if (box && innerWidth > 830) box.open = true;
document.querySelector("form.filter")?.addEventListener("submit", (e) => {
  for (const input of e.target.elements) if (input.name && !input.value) input.disabled = true;
});
addEventListener("pageshow", () => { for (const input of document.querySelectorAll("form.filter [name]")) input.disabled = false; });

// The live tail of messages.
const mostRows = 500;
for (const tail of document.querySelectorAll("[data-live]")) {
  const state = tail.querySelector(".live-state"), button = tail.querySelector("[data-pause]"), rows = document.getElementById("rows");
  let source, again, last = "", missed = 0;
  const say = (tone, text) => { state.replaceChildren(Object.assign(document.createElement("span"), { className: "dot " + tone }), text); };
  const connect = () => {
    const url = new URL(tail.dataset.live, location.href);
    if (last) url.searchParams.set("after", last);
    source = new EventSource(url);
    source.onopen = () => { missed = 0; say("good", "Live"); };
    source.onerror = async () => {
      if (source.readyState !== EventSource.CLOSED) {
        if (++missed > 2) say("warn", "Reconnecting …");
        return;
      }
      // It was answered with an error, after which the browser does not try again: the session has ended, or the gateway
      // is being started anew behind a proxy.
      const mine = source, answer = await fetch(url).catch(() => null);
      answer?.body?.cancel();
      if (source !== mine) return; // paused meanwhile
      if (answer && [401, 403, 404].includes(answer.status)) { say("bad", "Ended: reload the page"); return; }
      say("warn", "Reconnecting …");
      again = setTimeout(connect, 5000);
    };
    source.addEventListener("message", (e) => {
      last = e.lastEventId;
      const made = document.createElement("template");
      made.innerHTML = e.data;
      for (const row of made.content.querySelectorAll("tr")) {
        if (document.getElementById(row.id)) continue;
        row.classList.add("fresh");
        rows.prepend(row);
      }
      const nothing = rows.querySelector(".empty");
      if (nothing) nothing.closest("tr").remove();
      const all = rows.querySelectorAll("tr[id]");
      for (let i = mostRows; i < all.length; i++) all[i].remove();
    });
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    if (source) { source.close(); source = null; clearTimeout(again); say("idle", "Paused"); button.textContent = "Go on"; }
    else { connect(); button.textContent = "Pause"; }
  });
  addEventListener("pagehide", () => { source?.close(); clearTimeout(again); });
  addEventListener("pageshow", (e) => { if (e.persisted && source) connect(); }); // it was not paused: it goes on where it was
  connect();
}

// A piece of a page that is asked for again and again stays as it was while that fails; the page says so until it is over.
const polls = (e) => (e.detail?.ctx?.sourceElement ?? e.target).getAttribute?.("hx-trigger")?.startsWith("every");
const stale = (why) => {
  const said = document.getElementById("stale");
  if (!why) { said?.remove(); return; }
  if (said) { if (said.textContent !== why) said.textContent = why; return; }
  const note = Object.assign(document.createElement("p"), { id: "stale", className: "said warn", textContent: why });
  note.setAttribute("role", "status");
  document.getElementById("main").prepend(note);
};
// Each failure doubles the time until it is asked for again, up to ten seconds. A page that nobody sees asks for nothing.
let patience = 0, askAgain = 0;
const answered = (status) => {
  patience = status < 400 ? 0 : Math.min(patience * 2 || 1000, 10000);
  askAgain = Date.now() + patience;
  stale(patience && (status === 401 ? "You are signed out. Reload the page to sign in again." : "This page is not up to date: the gateway does not answer as it should. It is asked again and again."));
};
document.addEventListener("htmx:before:request", (e) => { if (polls(e) && (document.hidden || Date.now() < askAgain)) e.preventDefault(); });
document.addEventListener("htmx:after:request", (e) => { if (polls(e)) answered(e.detail.ctx.response.status); });
document.addEventListener("htmx:error", (e) => { if (polls(e)) answered(503); });

// A verification of the audit log runs for as long as its page is open. What breaks off proves nothing, and is not begun again by itself.
for (const box of document.querySelectorAll("[data-verify]")) {
  const source = new EventSource(box.dataset.verify), said = box.querySelector("[data-said]"), bar = box.querySelector("progress");
  const end = (html) => { source.close(); box.innerHTML = html; };
  source.onmessage = (e) => {
    const now = JSON.parse(e.data);
    if (now.result) { end(now.result); return; }
    if (now.of) { bar.max = now.of; bar.value = now.done; said.textContent = now.done.toLocaleString() + " of about " + now.of.toLocaleString() + " entries"; }
  };
  const brokenOff = () => end('<p class="said warn" role="status">It was broken off, or another verification is under way: nothing is proven. <a href="/audit/verify">Try again</a></p>');
  source.onerror = brokenOff;
  addEventListener("pagehide", () => { if (source.readyState !== EventSource.CLOSED) brokenOff(); }); // for whoever comes back to it
}
