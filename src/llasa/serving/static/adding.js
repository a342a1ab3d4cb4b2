// A voice of one's own: from a file, a file that was dropped, or the microphone.

import { $, ask, attempt, icon, say } from "./common.js";
import { Player, quiet } from "./player.js";
import { decoded, wav } from "./sound.js";
import { openAdding, showVoices } from "./voices.js";

const RECORDING = "record_status", ADDING = "add_status";
const LONGEST = 29; // seconds: servers take 30, and it stops a little late

let recorder = null, asking = false, sample = null;
const player = new Player("the recording");

// A recording is heard before it becomes a voice.
async function take(blob, name) {
  sample = blob;
  player.pause();
  try {
    const samples = await decoded(blob);
    if (name === undefined) sample = wav(samples); // what browsers record, servers may not read
    $("heard_back").replaceChildren(player.root);
    player.load(samples);
    say(`${name ?? "Recorded"}: ${player.seconds.toFixed(1)} s. Listen to it, then add the voice.`, false, RECORDING);
  } catch {
    if (name === undefined) throw Error("Nothing was recorded: try again.");
    $("heard_back").replaceChildren();
    say(`${name} cannot be played here; the server may read it all the same.`, false, RECORDING);
  }
}

// A file from elsewhere on the page.
export async function offer(file) {
  if (!openAdding()) throw Error("This model does not speak in voices of recordings.");
  $("sample").value = "";
  $("adding").scrollIntoView({ block: "center" });
  await take(file, file.name);
  $("name").focus({ preventScroll: true });
}

function button(text, pressed) {
  $("record").replaceChildren(icon(pressed ? "stop" : "mic"), text);
  $("record").setAttribute("aria-pressed", pressed);
}

async function record() {
  if (recorder) return recorder.stop();
  if (asking) return; // whether this page may: one microphone is enough
  if (!navigator.mediaDevices) throw Error("The browser lets only pages of https or localhost record: choose a file.");
  say("Waiting for the microphone...", false, RECORDING);
  asking = true;
  let microphone;
  try {
    microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    start(microphone);
  } catch (error) {
    if (microphone) letGo(microphone);
    throw Error({ NotAllowedError: "The browser was told not to let this page record.", NotFoundError: "No microphone was found." }[error.name]
      ?? `The microphone does not work: ${error.message}`);
  } finally {
    asking = false;
  }
}

const letGo = microphone => microphone.getTracks().forEach(track => track.stop());

function start(microphone) {
  const parts = [], made = new MediaRecorder(microphone);
  quiet(); // else it would be recorded, too
  made.ondataavailable = event => parts.push(event.data);
  made.start();
  const stopLevel = showLevel(microphone);
  made.onstop = () => attempt(async () => {
    recorder = null;
    stopLevel();
    letGo(microphone);
    button("Record again", false);
    $("sample").value = "";
    await take(new Blob(parts));
  }, RECORDING);
  recorder = made;
  button("Stop recording", true);
  say("Recording...", false, RECORDING);
}

// How loud it is and how long it has taken, beside the button.
function showLevel(microphone) {
  const context = new AudioContext(), analyser = context.createAnalyser(), began = performance.now();
  const wave = new Float32Array(analyser.fftSize);
  context.createMediaStreamSource(microphone).connect(analyser);
  $("level").hidden = false;
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(wave);
    $("level").value = Math.min(1, 3 * Math.max(...wave.map(Math.abs)));
    const seconds = (performance.now() - began) / 1000;
    $("recorded_for").textContent = `${seconds.toFixed(0)} s of at most ${LONGEST}`;
    if (seconds >= LONGEST) recorder?.stop();
  }, 100);
  return () => {
    clearInterval(timer);
    context.close();
    $("level").hidden = true;
    $("recorded_for").textContent = "";
  };
}

async function add() {
  if (!sample) throw Error("Choose a recording or make one first.");
  const form = new FormData();
  form.append("audio_sample", sample, sample.name ?? "recording.wav");
  for (const field of ["name", "transcript", "consent", "gender"]) if ($(field).value) form.append(field, $(field).value);
  say("The voice is being made...", false, ADDING);
  $("add").disabled = true;
  try {
    const voice = await (await ask("v1/audio/voices", { method: "POST", body: form })).json();
    $("clone").reset();
    sample = null;
    player.pause();
    $("heard_back").replaceChildren();
    say("", false, RECORDING);
    await showVoices(voice.id);
    say(`Voice ${voice.id} says: “${voice.transcript}”`, false, ADDING);
  } finally {
    $("add").disabled = false;
  }
}

export function beginAdding() {
  $("record").onclick = () => attempt(record, RECORDING);
  $("sample").onchange = () => {
    const [file] = $("sample").files;
    if (file) attempt(() => take(file, file.name), RECORDING);
  };
  $("clone").onsubmit = event => { event.preventDefault(); attempt(add, ADDING); };
}
