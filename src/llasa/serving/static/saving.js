// The speech as a file: WAV as it lies here, other formats as the server writes them.

import { $, ask, attempt, kept, make, say } from "./common.js";
import { wav } from "./sound.js";

const KEPT = "llasa-format", PLACE = "saved", HEADLESS = "pcm";
const titled = format => ({ opus: "Opus" })[format] ?? format.toUpperCase();

let url = null, samples = null; // of the speech: its WAV file, and what is in it

// From now on this is what is saved.
export function offer(file, sound) {
  url = file;
  samples = sound;
  say("", false, PLACE);
  link();
}

// The link leads to the file where there is one already.
function link() {
  if (url === null) return;
  $("download").href = url;
  $("download").download = `speech.${$("format").value}`;
}

export function beginSaving(formats) {
  const files = formats.filter(format => format !== HEADLESS), before = kept.get(KEPT);
  files.sort((one, other) => (other === "wav") - (one === "wav"));
  $("format").replaceChildren(...files.map(format => make("option", { value: format, textContent: titled(format) })));
  if (files.includes(before)) $("format").value = before;
  $("format").onchange = () => { kept.set(KEPT, $("format").value); link(); };
  $("download").onclick = event => {
    const format = $("format").value;
    if (format === "wav") return;
    event.preventDefault();
    attempt(() => save(format), PLACE);
  };
  link();
}

async function save(format) {
  say(`Writing ${titled(format)}...`, false, PLACE);
  const body = new FormData();
  body.append("file", wav(samples), "speech.wav");
  body.append("response_format", format);
  const file = await (await ask("v1/audio/convert", { method: "POST", body })).blob();
  const made = make("a", { href: URL.createObjectURL(file), download: `speech.${format}` });
  made.click();
  setTimeout(() => URL.revokeObjectURL(made.href), 60_000); // the browser reads it meanwhile
  say("", false, PLACE);
}
