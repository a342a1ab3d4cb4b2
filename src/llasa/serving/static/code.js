// The request as a command, as a program, and as a link.

import { $, say } from "./common.js";
import { linkTo, settings } from "./settings.js";

// Under whatever path the page itself is: a proxy may have put it below one.
const api = () => new URL("v1", location.href).href;

const quoted = text => `'${text.replaceAll("'", "'\\''")}'`; // for a shell

function curl() {
  const json = JSON.stringify({ ...settings(), response_format: "wav" });
  const key = $("key").value ? ' -H "authorization: Bearer $LLASA_API_KEY"' : "";
  return `curl ${quoted(`${api()}/audio/speech`)}${key} -H 'content-type: application/json' -d ${quoted(json)} -o speech.wav`;
}

const literal = value => ({ true: "True", false: "False" })[value] ?? JSON.stringify(value);

function python(model) {
  const { input, voice, ...extra } = settings();
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

async function copy(text) {
  $("code").textContent = text;
  $("code").hidden = false;
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.", false, "copied");
  } catch {
    say("The browser does not let this page copy: take it from the box.", false, "copied");
  }
}

export const copyCurl = () => copy(curl());
export const copyPython = model => copy(python(model));

// With the seed of what was heard, so that others hear the same.
export async function share(seed) {
  const link = linkTo({ ...(seed === null ? {} : { seed }), ...settings() });
  history.replaceState(null, "", link);
  if (navigator.share && matchMedia("(pointer: coarse)").matches) return navigator.share({ url: link }).catch(() => {});
  return copy(link);
}
