// The speech as a file: WAV is written here, other formats by the server.

import { $, ask, attempt, kept, make, say } from "./common.js";
import { wav } from "./sound.js";

const KEPT = "llasa-format", PLACE = "saved", HEADLESS = "pcm";
const titled = format => ({ opus: "Opus" })[format] ?? format.toUpperCase();

let samples = null; // of the speech

// From now on this is what is saved.
export function offer(sound) {
  samples = sound;
  say("", false, PLACE);
}

export function beginSaving(formats) {
  const files = formats.filter(format => format !== HEADLESS), before = kept.get(KEPT);
  files.sort((one, other) => (other === "wav") - (one === "wav"));
  $("format").replaceChildren(...files.map(format => make("option", { value: format, textContent: titled(format) })));
  if (files.includes(before)) $("format").value = before;
  $("format").onchange = () => kept.set(KEPT, $("format").value);
  $("download").onclick = () => attempt(() => save($("format").value), PLACE);
}

// A button calls this and no link: "Save link as" would write one format under the names of all.
async function save(format) {
  const sound = wav(samples), file = format === "wav" ? sound : await converted(sound, format);
  const made = make("a", { href: URL.createObjectURL(file), download: `speech.${format}` });
  made.click();
  setTimeout(() => URL.revokeObjectURL(made.href), 60_000); // the browser reads it meanwhile
  say("", false, PLACE);
}

async function converted(sound, format) {
  say(`Writing ${titled(format)}...`, false, PLACE);
  const body = new FormData();
  body.append("file", sound, "speech.wav");
  body.append("response_format", format);
  return (await ask("v1/audio/convert", { method: "POST", body })).blob();
}
