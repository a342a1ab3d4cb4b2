// The text: typed, pasted, or from a file.

import { $, attempt, say } from "./common.js";
import { looksLikeMarkdown, MARKDOWN_FILE } from "./markdown.js";
import { changed } from "./settings.js";
import { offer } from "./adding.js";

const LONGEST_FILE = 500_000; // bytes
const SOUND_FILE = /\.(wav|flac|mp3|ogg|opus|oga|m4a|aac|webm)$/i;

// How a text is written, seen from the text; who knows better changes it, and is believed from then on.
let believed = false;

function recognise(markdown) {
  if (markdown) $("format_in").value = "markdown";
  else if ($("recognised").textContent) $("format_in").value = "text";
  $("recognised").textContent = markdown ? "Recognised: its marks are not read out." : "";
}

async function read(file) {
  if (file.size > LONGEST_FILE) throw Error(`${file.name} is too long: drop a part of it.`);
  const utf8 = new TextDecoder("utf-8", { fatal: true });
  let text;
  try {
    text = utf8.decode(await file.arrayBuffer());
  } catch {
    throw Error(`${file.name} is not UTF-8 text: save it as UTF-8.`);
  }
  if (text.includes("\0")) throw Error(`${file.name} is no text: save it as UTF-8 text.`);
  believed = false;
  $("input").value = text;
  recognise(MARKDOWN_FILE.test(file.name) || looksLikeMarkdown(text));
  changed();
  say(`${file.name} is open.`);
}

const take = file => file.type.startsWith("audio/") || SOUND_FILE.test(file.name)
  ? attempt(() => offer(file)) : attempt(() => read(file));

export function beginComposer() {
  const input = $("input");
  input.addEventListener("input", event => {
    if (input.value === "" || /^insertFrom(Paste|Drop)/.test(event.inputType)) believed = false;
    if (!believed) recognise(looksLikeMarkdown(input.value));
  });
  $("format_in").addEventListener("change", () => { believed = true; $("recognised").textContent = ""; });
  $("document").onchange = () => {
    const [file] = $("document").files;
    if (file) take(file);
    $("document").value = ""; // so that the same file can be opened again
  };
  const files = event => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", event => {
    if (!files(event)) return;
    event.preventDefault();
    $("drop").hidden = false;
  });
  document.addEventListener("dragleave", event => { if (!event.relatedTarget) $("drop").hidden = true; });
  document.addEventListener("drop", event => {
    $("drop").hidden = true;
    if (!files(event)) return;
    event.preventDefault();
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
}
