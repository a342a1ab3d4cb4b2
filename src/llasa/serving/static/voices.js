// Voices as cards: choose, listen, delete.

import { $, ask, attempt, icon, make, say, speechOf } from "./common.js";
import { hear } from "./player.js";
import { chooseVoice } from "./settings.js";

const PLACE = "voice_status";
const GENDERS = { female: "Woman", male: "Man" };
const english = new Intl.DisplayNames(["en"], { type: "language" });
let served = { capabilities: { languages: [] } };

export const beginVoices = model => { served = model; };

const nameOf = voice => voice === served.default_voice ? `${voice} (default)` : voice;

// selected: who speaks from now on; left out: who is chosen when the list has come.
export async function showVoices(selected) {
  const { data } = await (await ask("v1/audio/voices")).json();
  selected ??= $("voice").value || "default";
  const known = data.some(voice => voice.id === served.default_voice);
  const names = data.map(voice => voice.id);
  if (selected === "default" && known) selected = served.default_voice;
  const options = () => [...(known ? [] : [new Option("default", "default")]), ...names.map(name => new Option(nameOf(name), name))];
  $("voice").replaceChildren(...options(), new Option("random", "random"));
  for (const [place, number] of [["left", 0], ["right", 1]]) {
    const before = $(place).value;
    $(place).replaceChildren(...options());
    $(place).selectedIndex = Math.min(number, $(place).options.length - 1);
    if (names.includes(before)) $(place).value = before;
  }
  $("blind").hidden = $("left").options.length < 2;
  $("own").replaceChildren(...data.map(card), ...(served.capabilities.cloning === false ? [] : [newCard()]));
  // One that was deleted is none any more; a mixture is in no list.
  chooseVoice(names.includes(selected) || selected.includes("+") || selected === "random" ? selected : known ? served.default_voice : "default");
}

// Which card is that of the chosen voice.
export function markVoice() {
  for (const button of document.querySelectorAll("#own .face")) button.setAttribute("aria-pressed", button.dataset.voice === $("voice").value);
}

function about(voice) {
  const languages = served.capabilities.languages, shown = languages.slice(0, 2).map(code => english.of(code)).join(", ");
  const rest = languages.length > 2 ? ` and ${languages.length - 2} more` : "";
  return [GENDERS[voice.gender], shown + rest, voice.deletable ? `yours, ${voice.seconds} s` : ""].filter(Boolean).join(" · ");
}

function card(voice) {
  const face = make("button", { type: "button", className: "face", textContent: voice.id, onclick: () => {
    chooseVoice(voice.id);
    say(`${voice.id} speaks from now on.`, false, PLACE);
  } });
  face.dataset.voice = voice.id;
  if (voice.id === served.default_voice) face.append(make("span", { className: "chip", textContent: "default" }));
  const listen = make("button", { type: "button", className: "round", ariaLabel: `Listen to ${voice.id}` }, icon("play"));
  listen.onclick = () => attempt(() => hear(listen, () => soundOf(voice)), PLACE);
  return make("li", { className: "card voice" }, listen,
    make("div", { className: "name" }, face, make("span", { className: "note", textContent: about(voice) }),
      ...(voice.deletable && voice.transcript ? [make("span", { className: "note words", title: voice.transcript, textContent: `“${voice.transcript}”` })] : [])),
    ...(voice.deletable ? [make("button", { type: "button", className: "icon", ariaLabel: `Delete ${voice.id}`,
      onclick: () => attempt(() => remove(voice), PLACE) }, icon("trash"))] : []));
}

const newCard = () => {
  const open = make("button", { type: "button", id: "new_voice", onclick: () => openAdding($("adding").hidden) }, icon("mic"), "Add a voice");
  open.setAttribute("aria-expanded", !$("adding").hidden);
  open.setAttribute("aria-controls", "adding");
  return make("li", { className: "card new" }, open);
};

// Shows the form, where the model can clone; says whether it can.
export function openAdding(on = true) {
  if (!$("new_voice")) return false;
  $("adding").hidden = !on;
  $("new_voice").setAttribute("aria-expanded", on);
  return true;
}

// A voice that came without a preview introduces itself.
async function soundOf(voice) {
  const path = `v1/audio/voices/${encodeURIComponent(voice.id)}/preview`;
  if (voice.preview) return (await ask(path)).blob();
  return (await speechOf({ input: "Hello! This is how I sound.", voice: voice.id, response_format: "wav", seed: 1, force: true })).blob();
}

async function remove(voice) {
  if (!confirm(`Delete the voice ${voice.id}? Its file is removed.`)) return;
  await ask(`v1/audio/voices/${encodeURIComponent(voice.id)}`, { method: "DELETE" });
  await showVoices();
  say(`Voice ${voice.id} is deleted.`, false, PLACE);
}
