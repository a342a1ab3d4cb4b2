// What to ask for: from the fields, back into them, and as a link.

import { $ } from "./common.js";

const NUMBERS = ["best_of", "seed", "speed", "temperature", "top_k", "top_p", "max_seconds"];
const SWITCHES = ["normalize", "check", "force"];
const CHOICES = ["format_in", "language", "strategy"];
const SAID = {
  speed: value => `${Number(value).toFixed(2)}×`,
  best_of: value => value === "1" ? "1, at once" : `best of ${value}`,
};

const first = name => $(name).options[0].value;
const judges = () => [...document.querySelectorAll("#verifiers input")];

export function settings() {
  const body = { input: $("input").value, voice: $("voice").value };
  for (const name of NUMBERS) {
    const value = $(name).value;
    if (value !== "" && !(name in SAID && Number(value) === 1)) body[name] = Number(value);
  }
  for (const name of SWITCHES) if ($(name).checked !== $(name).defaultChecked) body[name] = $(name).checked;
  for (const name of ["format_in", "language"]) if ($(name).value !== first(name)) body[name] = $(name).value;
  const lexicon = lexiconOf($("lexicon").value);
  if (Object.keys(lexicon).length) body.lexicon = lexicon;
  if (body.check) delete body.best_of;
  if (body.best_of) {
    const chosen = judges().filter(box => box.checked).map(box => box.value);
    if (chosen.length) body.verifiers = chosen;
    if ($("strategy").value !== first("strategy")) body.strategy = $("strategy").value;
  }
  return body;
}

export function restore(body) {
  $("input").value = body.input;
  chooseVoice(body.voice);
  for (const name of NUMBERS) $(name).value = body[name] ?? $(name).defaultValue;
  for (const name of SWITCHES) $(name).checked = !$(name).disabled && (body[name] ?? $(name).defaultChecked);
  for (const name of CHOICES) {
    $(name).value = body[name] ?? first(name);
    if ($(name).selectedIndex < 0) $(name).value = first(name);
  }
  $("lexicon").value = Object.entries(body.lexicon ?? {}).map(pair => pair.join(" = ")).join("\n");
  $("recognised").textContent = "";
  if (body.verifiers) for (const box of judges()) box.checked = body.verifiers.includes(box.value);
  changed();
}

// One that the list lacks, such as a mixture, is put into it; the server knows whether it is one.
export function chooseVoice(name = "default") {
  const known = [...$("voice").options].some(option => option.value === name);
  if (!known) $("voice").append(new Option(name, name));
  $("voice").value = name;
  $("voice").dispatchEvent(new Event("change"));
}

// What depends on the fields: numbers beside sliders, the length, and that a check is a search of its own.
export function changed() {
  for (const [name, word] of Object.entries(SAID)) $(`${name}_out`).textContent = word($(name).value);
  for (const each of [$("best_of"), $("strategy"), $("judges")]) each.disabled = $("check").checked;
  const length = [...$("input").value].length, most = Number($("count").dataset.most);
  $("count").textContent = most ? `${length.toLocaleString("en")} / ${most.toLocaleString("en")}` : "";
  $("count").classList.toggle("bad", length > most);
}

export function lexiconOf(text) {
  const lines = text.split("\n").map(line => line.trim()).filter(Boolean);
  return Object.fromEntries(lines.map(line => {
    const [word, ...said] = line.split("=");
    if (!word.trim() || !said.join("=").trim())
      throw Error(`“${line}” under Pronunciation is not complete: write word = how it is said.`);
    return [word.trim(), said.join("=").trim()];
  }));
}

// -- as a link: what is in the address after # never reaches a server

export function linkTo({ input, lexicon, ...rest }) {
  const given = new URLSearchParams({ text: input, ...rest });
  if (lexicon) given.set("lexicon", Object.entries(lexicon).map(pair => pair.join(" = ")).join("\n"));
  return `${location.href.split("#")[0]}#${given}`;
}

export function fromLink(hash) {
  const given = new URLSearchParams(hash.slice(1));
  if (!given.has("text")) return null;
  const body = { input: given.get("text"), voice: given.get("voice") ?? "default" };
  for (const name of NUMBERS) if (given.has(name) && Number.isFinite(Number(given.get(name)))) body[name] = Number(given.get(name));
  for (const name of SWITCHES) if (given.has(name)) body[name] = given.get(name) === "true";
  for (const name of CHOICES) if (given.has(name)) body[name] = given.get(name);
  if (given.has("verifiers")) body.verifiers = given.get("verifiers").split(",");
  try {
    if (given.has("lexicon")) body.lexicon = lexiconOf(given.get("lexicon"));
  } catch { /* a link of somebody else's making: the rest of it still holds */ }
  return body;
}
