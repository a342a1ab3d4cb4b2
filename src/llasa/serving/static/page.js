// The page: its parts are put together here.

import { $, ask, attempt, keptByTab, make, say } from "./common.js";
import { beginAdding } from "./adding.js";
import { copyCurl, copyPython, share } from "./code.js";
import { beginComposer } from "./composer.js";
import { duel, listVotes } from "./duel.js";
import { beginPast } from "./past.js";
import { beginSaving } from "./saving.js";
import { changed, fromLink, restore } from "./settings.js";
import { cancel, keepSeed, lastSeed, reopen, speak } from "./speaking.js";
import { beginTheme } from "./theme.js";
import { beginVoices, markVoice, showVoices } from "./voices.js";

let model = "", begun = false;

async function begin() {
  const { data: [served] } = await (await ask("v1/models")).json();
  model = $("model").textContent = served.id;
  $("model").hidden = false;
  $("best_of").max = served.limits.candidates;
  $("count").dataset.most = served.limits.chars;
  $("check").disabled = !("content" in served.verifiers);
  $("lacks").textContent = $("check").disabled ? "(the server needs the extra search)" : "";
  $("verifiers").replaceChildren(...Object.entries(served.verifiers).map(([name, about]) => make("label", { className: "check", title: about },
    make("input", { type: "checkbox", value: name, checked: name === "content" }), ` ${name}: ${about}`)));
  beginSaving(served.response_formats);
  beginVoices(served);
  await showVoices();
  introduce(served);
  if (!begun) follow(); // once: who types a key later has set other fields, too
  begun = true;
  changed();
  say("Ready.");
}

function introduce({ id, capabilities: { languages } }) {
  const english = new Intl.DisplayNames(["en"], { type: "language" }), voices = $("left").options.length;
  const speaks = languages.length ? ` ${new Intl.ListFormat("en").format(languages.map(code => english.of(code)))}` : "";
  $("lead").textContent = `${id} speaks${speaks}${voices > 1 ? ` in ${voices} voices` : ""}. What you type goes to this server and nowhere else.`;
}

// A link that somebody shared fills the fields; it does not speak by itself.
function follow() {
  const body = fromLink(location.hash);
  if (body) restore(body);
  changed();
}

$("form").onsubmit = speak;
document.addEventListener("input", changed);
document.addEventListener("change", changed);
for (const field of document.querySelectorAll("#settings input")) field.setAttribute("form", "form"); // checked with the text
$("anyway").onclick = () => { $("force").checked = true; speak(); };
$("voice").addEventListener("change", markVoice);
$("cancel").onclick = cancel;
$("again").onclick = keepSeed;
$("share").onclick = () => attempt(() => share(lastSeed()), "copied");
$("curl").onclick = () => attempt(copyCurl, "copied");
$("python").onclick = () => attempt(() => copyPython(model), "copied");
$("duel").onclick = () => attempt(duel, "blind_status");
$("key").onchange = () => { keptByTab.set("llasa-key", $("key").value); attempt(begin); };
$("key").value = keptByTab.get("llasa-key") ?? "";
window.addEventListener("hashchange", follow);
document.addEventListener("keydown", event => {
  if (event.key === "Escape") cancel();
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) speak();
});

// Beside the text where there is room, else below it and closed.
const wide = matchMedia("(min-width: 62rem)");
const fold = () => { $("settings").open = wide.matches; };
wide.addEventListener("change", fold);
fold();

attempt(begin); // whatever else fails, there is speech
beginTheme();
beginComposer();
beginAdding();
beginPast(reopen);
listVotes();
changed();
