// From the button to the sound.

import { $, attempt, failure, make, say, speechOf } from "./common.js";
import { clear, compare } from "./candidates.js";
import { checked } from "./heard.js";
import { remember } from "./past.js";
import { Player } from "./player.js";
import { offer } from "./saving.js";
import { restore, settings } from "./settings.js";
import { Growing, Live, RATE, samplesOf } from "./sound.js";
import { Words } from "./words.js";

const words = new Words($("words"), seconds => stage.seek(seconds, true));
const stage = new Player("the speech", time => words.at(time));
stage.audio.id = "player";
$("stage").append(stage.root);

const TIMED = { timestamp_granularities: ["word"] };
let job = null, seed = null;
let ended = Promise.resolve(); // once nothing is being spoken

export const cancel = () => job?.abort();
export const lastSeed = () => seed;

async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader(); // Safari has no other way to read
  for (let waiting = "", part; !(part = await reader.read()).done;) {
    const lines = (waiting + part.value).split("\n\n");
    waiting = lines.pop();
    for (const line of lines) yield JSON.parse(line.slice(6));
  }
}

function appear() {
  if (!$("result").hidden) return;
  $("result").hidden = false;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  $("result").scrollIntoView({ block: "nearest", behavior: still ? "auto" : "smooth" });
}

const reset = () => {
  stage.pause();
  stage.unfollow();
  seed = null;
  $("result").hidden = $("again").hidden = true;
  clear($("candidates"));
  words.show("", []);
  tell([]);
};

// The sound that is played, downloaded and scrubbed.
function show(samples, about) {
  stage.load(samples);
  offer(samples);
  $("about").textContent = about;
  appear();
}

async function listen(body, signal) {
  const live = new Live(), sound = new Growing(), spoken = [];
  let done = null;
  try {
    const answer = await speechOf({ ...body, ...TIMED, response_format: "pcm", stream_format: "sse" }, signal);
    for await (const event of events(answer)) {
      if (event.type === "error") throw failure(event.error);
      if (event.type === "speech.audio.done") { done = event; break; }
      if (event.type === "speech.audio.timestamps") {
        spoken.push(...event.words);
        words.show(body.input, spoken);
      }
      if (event.type !== "speech.audio.delta") continue;
      const piece = samplesOf(event.audio);
      live.play(piece);
      if (sound.length === 0) {
        appear();
        stage.follow(live);
        say("Speaking...");
      }
      sound.push(piece);
      stage.grow(sound.samples);
    }
    if (!done) throw Error("The connection broke off.");
  } catch (error) {
    stage.unfollow();
    live.stop();
    if (sound.length) show(sound.samples.slice(), "cut off"); // else what came before would sound under the new words
    throw error;
  }
  stage.complete = true;
  return { samples: sound.samples.slice(), spoken, done };
}

async function choose(body, signal) {
  say(`${body.best_of} candidates are spoken and judged...`);
  const done = await (await speechOf({ ...body, ...TIMED, response_format: "pcm", return_candidates: true }, signal)).json();
  compare($("candidates"), done.search, (picked, numbers) => {
    words.show("", []);
    show(picked, `candidate ${numbers.join(", ")}`);
    stage.play();
  });
  return { samples: samplesOf(done.audio), spoken: done.words ?? [], done };
}

// Where one waits for the sound.
function tell(warnings, checks = []) {
  $("warnings").replaceChildren(...warnings.map(text => make("li", { textContent: text })));
  $("warnings").hidden = warnings.length === 0;
  const right = checks.filter(check => check.ok).length;
  $("checks").hidden = checks.length === 0;
  $("checks").querySelector("summary").textContent = `Heard right: ${right} of ${checks.length}`;
  $("checks").querySelector("ul").replaceChildren(...checks.map(checked));
}

function busy(on) {
  $("speak").disabled = on;
  $("cancel").disabled = $("cancel").hidden = $("progress").hidden = !on;
}

export function speak(event) {
  event?.preventDefault();
  if (job || !$("form").reportValidity()) return;
  let body;
  try {
    body = settings();
  } catch (error) {
    say(error.message, true);
    return;
  }
  job = new AbortController();
  $("refused").hidden = true;
  busy(true);
  reset();
  say("Asking...");
  ended = work(body, job.signal);
}

async function work(body, signal) {
  const began = performance.now();
  try {
    const { samples, spoken, done } = await (body.best_of ? choose : listen)(body, signal);
    finish(body, samples, spoken, done, (performance.now() - began) / 1000);
  } catch (error) {
    if (error.name === "AbortError") say("Cancelled.");
    else say(error.message, true);
    $("refused").hidden = error.code !== "unknown_language";
  } finally {
    job = null;
    busy(false);
  }
}

function finish(body, samples, spoken, done, took) {
  const seconds = samples.length / RATE;
  seed = done.seed;
  $("again").hidden = false;
  words.show(body.input, spoken);
  show(samples, `seed ${seed}${done.finish_reason === "length" ? ", cut off" : ""}`);
  if (body.best_of) stage.play();
  say(`Done: ${seconds.toFixed(1)} s of speech in ${took.toFixed(1)} s.`);
  tell(done.warnings, done.checks);
  attempt(() => remember({ body, seed, seconds, words: spoken }, samples), "past_status");
}

// Something of the history: as it was asked for, and as it sounded.
export async function reopen(entry, samples) {
  cancel();
  await ended;
  reset();
  restore(entry.body);
  seed = entry.seed;
  words.show(entry.body.input, entry.words);
  $("again").hidden = false;
  show(samples, `seed ${entry.seed}`);
  say("Opened from the history.");
  $("input").focus();
}

export function keepSeed() {
  $("seed").value = seed;
  say(`Seed ${seed} is kept: the same settings give the same speech.`);
}
