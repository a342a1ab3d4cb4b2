import { $, ask, attempt, failure, make, say } from "./common.js";
import { looksLikeMarkdown, MARKDOWN_FILE } from "./markdown.js";
import { draw, joined, Live, RATE, samplesOf, silence, wav } from "./sound.js";
import { add, record, voices } from "./voices.js";

const KEPT = 20, LONGEST_FILE = 500_000; // bytes
const NUMBERS = ["best_of", "seed", "speed", "temperature", "top_k", "top_p", "max_seconds"];
const SWITCHES = ["normalize", "check", "force"];
const CHOICES = ["format_in", "strategy"];
let model = "", job = null;

// -- what to ask for

function settings() {
  const body = { input: $("input").value, voice: $("voice").value };
  for (const name of NUMBERS) {
    const value = $(name).value;
    if (value !== "" && !(value === "1" && ["best_of", "speed"].includes(name))) body[name] = Number(value);
  }
  for (const name of SWITCHES) if ($(name).checked !== $(name).defaultChecked) body[name] = $(name).checked;
  if ($("format_in").value !== "text") body.format_in = $("format_in").value;
  if (body.check) delete body.best_of;
  if (body.best_of) {
    const chosen = [...document.querySelectorAll("#verifiers input:checked")].map(box => box.value);
    if (chosen.length) body.verifiers = chosen;
    if ($("strategy").value !== "best-of") body.strategy = $("strategy").value;
  }
  return body;
}

function restore(body) {
  $("input").value = body.input;
  $("voice").value = body.voice;
  if ($("voice").selectedIndex < 0) $("voice").value = "default";
  for (const name of NUMBERS) $(name).value = body[name] ?? $(name).defaultValue;
  for (const name of SWITCHES) $(name).checked = !$(name).disabled && (body[name] ?? $(name).defaultChecked);
  for (const name of CHOICES) $(name).value = body[name] ?? $(name).options[0].value;
  $("recognised").textContent = "";
  checking();
  if (body.verifiers)
    for (const box of document.querySelectorAll("#verifiers input")) box.checked = body.verifiers.includes(box.value);
  $("input").focus();
}

// A check is a search of its own.
const checking = () => { for (const each of [$("best_of"), $("strategy"), $("judges")]) each.disabled = $("check").checked; };

// How a text that was pasted or dropped is written; who knows better changes it.
function recognise(markdown) {
  if (markdown) $("format_in").value = "markdown";
  else if ($("recognised").textContent) $("format_in").value = "text";
  $("recognised").textContent = markdown ? "Recognised: its marks are not read out." : "";
}

async function read(file) {
  if (file.size > LONGEST_FILE) throw Error(`${file.name} is too long: drop a part of it.`);
  const text = new TextDecoder("utf-8", { fatal: true });
  try {
    $("input").value = text.decode(await file.arrayBuffer());
  } catch {
    throw Error(`${file.name} is not UTF-8 text: save it as UTF-8.`);
  }
  recognise(MARKDOWN_FILE.test(file.name) || looksLikeMarkdown($("input").value));
}

async function copy(text) {
  $("code").textContent = text;
  $("code").hidden = false;
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    say("The browser does not let this page copy: take it from the box.");
  }
}

// Under whatever path the page itself is: a proxy may have put it below one.
const api = () => new URL("v1", location.href).href;

function curl() {
  const json = JSON.stringify({ ...settings(), response_format: "wav" }).replaceAll("'", "'\\''");
  const key = $("key").value ? ' -H "authorization: Bearer $LLASA_API_KEY"' : "";
  return `curl ${api()}/audio/speech${key} -H 'content-type: application/json' -d '${json}' -o speech.wav`;
}

function python() {
  const { input, voice, ...extra } = settings();
  const literal = value => ({ true: "True", false: "False" })[value] ?? JSON.stringify(value);
  const given = Object.entries(extra).map(([name, value]) => `${JSON.stringify(name)}: ${literal(value)}`);
  const key = $("key").value ? 'os.environ["LLASA_API_KEY"]' : '"none"';
  return `${$("key").value ? "import os\n\n" : ""}from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(api())}, api_key=${key})
client.audio.speech.create(
    model=${JSON.stringify(model)},
    voice=${JSON.stringify(voice)},
    input=${JSON.stringify(input)},
    response_format="wav",
    extra_body={${given.join(", ")}},
).write_to_file("speech.wav")
`;
}

// -- speaking

function show(samples, about) {
  URL.revokeObjectURL($("player").src);
  $("player").src = $("download").href = URL.createObjectURL(wav(samples));
  draw($("wave"), samples);
  $("about").textContent = about;
  $("result").hidden = false;
}

const post = (body, signal) => ask("v1/audio/speech", {
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal,
});

async function* events(answer) {
  let waiting = "";
  for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
    const lines = (waiting + text).split("\n\n");
    waiting = lines.pop();
    for (const line of lines) yield JSON.parse(line.slice(6));
  }
}

async function listen(body, signal) {
  const live = new Live(), pieces = [], began = performance.now();
  let done = null;
  try {
    const answer = await post({ ...body, response_format: "pcm", stream_format: "sse" }, signal);
    $("candidates").replaceChildren();
    for await (const event of events(answer)) {
      if (event.type === "error") throw failure(event.error);
      if (event.type === "speech.audio.done") { done = event; break; }
      pieces.push(samplesOf(event.audio));
      live.play(pieces.at(-1));
      const all = joined(pieces);
      $("result").hidden = false;
      draw($("wave"), all);
      say(`Speaking: ${(all.length / RATE).toFixed(1)} s after ${((performance.now() - began) / 1000).toFixed(1)} s`);
    }
    if (!done) throw Error("The connection broke off.");
  } catch (error) {
    live.end(true);
    throw error;
  }
  live.end(false);
  finish(joined(pieces), done, began);
}

// Right below the status line, where one waits for the sound.
function tell(warnings, checks = []) {
  const items = texts => texts.map(text => make("li", { textContent: text }));
  $("warnings").replaceChildren(...items(warnings));
  $("warnings").hidden = warnings.length === 0;
  const right = checks.filter(check => check.ok).length;
  $("checks").hidden = checks.length === 0;
  $("checks").querySelector("summary").textContent = `Heard right: ${right} of ${checks.length}`;
  $("checks").querySelector("ul").replaceChildren(...items(checks.map(heard)));
}

function heard({ ok, text, tries, heard, missing, reason }) {
  const lost = missing.length ? `could not be said: ${missing.join(", ")}; ` : "";
  const result = ok ? "right" : reason ?? `${lost}heard: “${heard}”`;
  return `${ok ? "✓" : "✗"} ${text} (${result}, ${tries === 1 ? "1 try" : `${tries} tries`})`;
}

function finish(samples, done, began) {
  const cut = done.finish_reason === "length" ? ", cut off" : "";
  show(samples, `seed ${done.seed}${cut}`);
  say(`Done: ${(samples.length / RATE).toFixed(1)} s of speech in ${((performance.now() - began) / 1000).toFixed(1)} s.`);
  tell(done.warnings, done.checks);
}

async function choose(body, signal) {
  const began = performance.now();
  const clock = setInterval(() => say(`${body.best_of} candidates are spoken and judged: ${
    ((performance.now() - began) / 1000).toFixed(0)} s`), 500);
  let answer;
  try {
    answer = await (await post({ ...body, response_format: "pcm", return_candidates: true }, signal)).json();
  } finally {
    clearInterval(clock);
  }
  const best = answer.search.map(() => 0);
  const sounds = answer.search.map(part => part.candidates.map(one => samplesOf(one.audio)));
  $("candidates").replaceChildren(...answer.search.flatMap((part, p) => [
    make("h3", { textContent: part.text }),
    make("div", { className: "grid wide" }, ...part.candidates.map((one, c) => card(one, c, sounds[p][c], button => {
      best[p] = c;
      for (const other of button.closest(".grid").children) mark(other, other === button.closest(".card"));
      const picked = joined(answer.search.flatMap(({ silence_before, silence_after }, n) =>
        [silence(silence_before), sounds[n][best[n]], silence(silence_after)]));
      show(picked, `candidate ${best.map(number => number + 1).join(", ")}`);
    }))),
  ]));
  finish(samplesOf(answer.audio), answer, began);
}

function mark(card, picked) {
  card.classList.toggle("picked", picked);
  card.querySelector("button").setAttribute("aria-pressed", picked);
}

function card(one, number, samples, pick) {
  const rows = [["total", one.total], ...Object.entries(one.scores), ["seconds", samples.length / RATE]];
  const canvas = make("canvas", { width: 400, height: 96, ariaHidden: "true" });
  draw(canvas, samples);
  const made = make("article", { className: "card", ariaLabel: `Candidate ${number + 1}` },
    make("strong", { textContent: `${number + 1}${one.finish_reason === "length" ? " (cut off)" : ""}` }),
    canvas,
    make("audio", { controls: true, src: URL.createObjectURL(wav(samples)), ariaLabel: `Candidate ${number + 1}` }),
    make("table", {}, ...rows.map(([name, value]) => make("tr", {},
      make("th", { scope: "row", textContent: name, style: "text-align: left; padding-right: 1rem" }),
      make("td", { textContent: value?.toFixed(3) ?? (one.unscored[name] ? `unscored: ${one.unscored[name]}` : "unscored") })))),
    make("button", { type: "button", textContent: "Pick", ariaLabel: `Pick candidate ${number + 1}`,
      onclick: event => pick(event.target) }));
  mark(made, number === 0);
  return made;
}

async function speak(event) {
  event?.preventDefault();
  if (job || !$("form").reportValidity()) return;
  job = new AbortController();
  $("speak").disabled = true;
  $("cancel").disabled = false;
  $("progress").removeAttribute("value");
  $("refused").hidden = true;
  tell([]);
  say("Asking...");
  const body = settings();
  remember(body);
  try {
    await (body.best_of ? choose : listen)(body, job.signal);
    $("progress").value = 1;
  } catch (error) {
    $("progress").value = 0;
    if (error.name === "AbortError") say("Cancelled.");
    else say(error.message, true);
    $("refused").hidden = error.code !== "unknown_language";
  } finally {
    job = null;
    $("speak").disabled = false;
    $("cancel").disabled = true;
  }
}

// -- history

const past = () => JSON.parse(localStorage.getItem("llasa") ?? "[]");

function remember(body) {
  const same = JSON.stringify(body);
  const all = [body, ...past().filter(other => JSON.stringify(other) !== same)].slice(0, KEPT);
  localStorage.setItem("llasa", JSON.stringify(all));
  list();
}

function list() {
  const all = past();
  $("history").replaceChildren(...all.map(body => make("button",
    { type: "button", textContent: body.input, onclick: () => restore(body) })));
  $("nothing").hidden = all.length > 0;
  $("forget").hidden = all.length === 0;
}

// -- begin

async function begin() {
  const { data: [served] } = await (await ask("v1/models")).json();
  model = $("model").textContent = served.id;
  $("best_of").max = served.limits.candidates;
  $("adding").hidden = served.capabilities.cloning === false;
  $("check").disabled = !("content" in served.verifiers);
  $("lacks").textContent = $("check").disabled ? "(the server needs the extra search)" : "";
  $("verifiers").replaceChildren(...Object.entries(served.verifiers).map(([name, about]) => make("label",
    { className: "check", title: about },
    make("input", { type: "checkbox", value: name, checked: name === "content" }), ` ${name}: ${about}`)));
  await voices();
  say("Ready.");
}

$("form").onsubmit = speak;
$("anyway").onclick = () => { $("force").checked = true; speak(); };
$("check").onchange = checking;
$("format_in").onchange = () => { $("recognised").textContent = ""; };
$("input").oninput = event => {
  if (/^insertFrom(Paste|Drop)/.test(event.inputType)) recognise(looksLikeMarkdown($("input").value));
};
$("input").ondragover = event => { if (event.dataTransfer.types.includes("Files")) event.preventDefault(); };
$("input").ondrop = event => {
  const [file] = event.dataTransfer.files;
  if (!file) return;
  event.preventDefault();
  attempt(() => read(file));
};
$("cancel").onclick = () => job?.abort();
$("curl").onclick = () => copy(curl());
$("python").onclick = () => copy(python());
$("record").onclick = () => attempt(record);
$("clone").onsubmit = event => { event.preventDefault(); attempt(add); };
$("forget").onclick = () => { localStorage.removeItem("llasa"); list(); };
$("key").onchange = () => { sessionStorage.setItem("llasa-key", $("key").value); attempt(begin); };
document.onkeydown = event => {
  if (event.key === "Escape") job?.abort();
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) speak();
};
$("key").value = sessionStorage.getItem("llasa-key") ?? "";
list();
attempt(begin);
