// The history: heard again, opened again, forgotten.

import { $, attempt, icon, make, say } from "./common.js";
import { hear } from "./player.js";
import { wav } from "./sound.js";
import { clear, drop, entries, keep, sound } from "./store.js";

const PLACE = "past_status";
const spans = [[60, "second"], [3600, "minute", 60], [86_400, "hour", 3600], [Infinity, "day", 86_400]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

function ago(when) {
  const seconds = Math.max(0, (Date.now() - when) / 1000), [, unit, size = 1] = spans.find(([most]) => seconds < most);
  return unit === "second" ? "just now" : relative.format(-Math.floor(seconds / size), unit);
}

let open = () => {};

// onOpen: gets an entry and its samples.
export function beginPast(onOpen) {
  open = onOpen;
  $("forget").onclick = () => attempt(async () => { await clear(); await list(); }, PLACE);
  return attempt(list, PLACE);
}

export async function remember(entry, samples) {
  try {
    const lasts = await keep({ ...entry, when: Date.now() }, samples);
    if (!lasts) say("The browser keeps nothing of this page: the history ends with this tab.", false, PLACE);
  } finally {
    await list();
  }
}

async function list() {
  const all = await entries();
  $("nothing").hidden = all.length > 0;
  $("forget").hidden = all.length === 0;
  $("history").replaceChildren(...all.map(row));
}

function row(entry) {
  const text = entry.body.input;
  const listen = make("button", { type: "button", className: "round", ariaLabel: `Hear again: ${text.slice(0, 60)}` }, icon("play"));
  listen.onclick = () => attempt(() => hear(listen, async () => wav(await sound(entry.id))), PLACE);
  const about = [entry.body.voice, `${entry.seconds.toFixed(1)} s`, `seed ${entry.seed}`, ago(entry.when)].join(" · ");
  return make("li", { className: "card" }, listen,
    make("button", { type: "button", className: "open", onclick: () => attempt(async () => open(entry, await sound(entry.id)), PLACE) },
      make("strong", { textContent: text }), make("span", { className: "note", textContent: about })),
    make("button", { type: "button", className: "icon", ariaLabel: `Forget: ${text.slice(0, 60)}`,
      onclick: () => attempt(async () => { await drop(entry.id); await list(); }, PLACE) }, icon("trash")));
}
