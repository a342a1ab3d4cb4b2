// Voices: listed, listened to, deleted, and made from a recording.

import { $, ask, attempt, make, say } from "./common.js";
import { RATE, wav } from "./sound.js";

let recorder = null, recorded = null;
const preview = new Audio();

export async function voices(selected = $("voice").value) {
  const { data } = await (await ask("v1/audio/voices")).json();
  $("voice").replaceChildren(make("option", { value: "default", textContent: "default" }),
    ...[...data.map(voice => voice.id), "random"].map(name => make("option", { value: name, textContent: name })));
  $("voice").value = selected;
  if ($("voice").selectedIndex < 0) $("voice").value = "default";
  $("own").replaceChildren(...data.map(voice => make("li", {},
    `${voice.id}, ${voice.seconds} s: “${voice.transcript}” `,
    ...(voice.preview ? [make("button", { type: "button", textContent: "Listen", ariaLabel: `Listen to ${voice.id}`,
      onclick: () => attempt(async () => {
        const sound = await ask(`v1/audio/voices/${encodeURIComponent(voice.id)}/preview`);
        preview.pause();
        URL.revokeObjectURL(preview.src);
        preview.src = URL.createObjectURL(await sound.blob());
        await preview.play();
      }) })] : []),
    ...(voice.deletable ? [make("button", { type: "button", textContent: "Delete", ariaLabel: `Delete ${voice.id}`,
      onclick: () => attempt(async () => {
        await ask(`v1/audio/voices/${encodeURIComponent(voice.id)}`, { method: "DELETE" });
        await voices();
        say(`Voice ${voice.id} is deleted.`);
      }) })] : []))));
}

export async function record() {
  if (recorder) return recorder.stop();
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  const parts = [];
  recorder = new MediaRecorder(microphone);
  recorder.ondataavailable = event => parts.push(event.data);
  recorder.onstop = () => attempt(async () => {
    recorder = null;
    microphone.getTracks().forEach(track => track.stop());
    const context = new OfflineAudioContext(1, 1, RATE); // what browsers record, servers cannot read
    const sound = await context.decodeAudioData(await new Blob(parts).arrayBuffer());
    recorded = wav(Int16Array.from(sound.getChannelData(0), value => Math.max(-1, Math.min(1, value)) * 32767));
    $("record").textContent = "Record again";
    $("record").setAttribute("aria-pressed", "false");
    say(`Recorded ${sound.duration.toFixed(1)} s.`);
  });
  recorder.start();
  $("record").textContent = "Stop recording";
  $("record").setAttribute("aria-pressed", "true");
  say("Recording...");
}

export async function add() {
  const file = $("sample").files[0] ?? recorded;
  if (!file) throw Error("Choose a recording or make one first.");
  const form = new FormData();
  form.append("audio_sample", file, file.name ?? "recording.wav");
  for (const field of ["name", "transcript", "consent"]) form.append(field, $(field).value);
  say("The voice is being made...");
  const voice = await (await ask("v1/audio/voices", { method: "POST", body: form })).json();
  $("clone").reset();
  recorded = null;
  await voices(voice.id);
  say(`Voice ${voice.id} says: “${voice.transcript}”`);
}
