// A model that `llasa export web` wrote, in the browser: text to codes to samples.

import * as ort from "./ort/ort.wasm.min.mjs";

const DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

export class Llasa {
  // `base`: address of the folder, with a slash at its end.
  static async load(base = "./", progress = () => {}) {
    ort.env.wasm.numThreads = 1; // more need headers that a static host does not send
    ort.env.wasm.wasmPaths = new URL("ort/", new URL(base, document.baseURI)).href;
    const model = await (await fetch(`${base}model.json`)).json();
    progress("Loading the language model ...");
    const lm = await ort.InferenceSession.create(`${base}lm.onnx`);
    progress("Loading the codec ...");
    return new Llasa(model, lm, await ort.InferenceSession.create(`${base}decoder.onnx`));
  }

  constructor(model, lm, decoder) {
    Object.assign(this, { model, lm, decoder });
  }

  // Speak a text: {codes, samples (Float32Array), rate, cut, unspoken}. `heard` is given the samples
  // of each part, `rule` what differs from the model's own sampling. `cut` are the parts that did not
  // end by themselves, `unspoken` the signs that the model does not know.
  async speak(text, { voice = this.model.default_voice, seed = 1, heard = () => {}, ...rule } = {}) {
    const { sampling, rate, voices } = this.model, codes = [], pieces = [], cut = [];
    if (!(voice in voices)) throw new Error(`There is no voice ${voice}: take ${Object.keys(voices).join(", ")}.`);
    for (const name in rule) if (!(name in sampling)) throw new Error(`There is no setting ${name}.`);
    const random = generator(seed);
    for (const part of parts(text, this.model)) {
      const own = await this.continued(part, voices[voice].after, { ...sampling, ...rule }, random);
      if (own.cut) cut.push(part);
      if (!own.codes.length) continue;
      const sound = await this.decoded(own.codes, voice);
      codes.push(...own.codes);
      pieces.push(sound, new Float32Array(Math.round(0.3 * rate)));
      heard(sound);
    }
    const unspoken = unknown(text, this.model);
    return { codes, samples: joined(pieces.slice(0, -1)), rate, cut, unspoken };
  }

  // Codes of a part, one after the other, without the phones that the model names between them.
  async continued(part, after, rule, random) {
    const m = this.model, tokens = [], first = m.speech_start;
    const names = Array.from({ length: m.layers }, (_, n) => [`${n}.key`, `${n}.value`]).flat();
    const none = new ort.Tensor("float32", new Float32Array(0), [1, m.heads, 0, m.head_size]);
    let made = Object.fromEntries(names.map(name => [`present.${name}`, none]));
    let ids = [...m.before, ...textIds(part, m), ...after];
    const all = [...ids], most = Math.min(m.context - ids.length, Math.round(slowest(part, m) * m.token_rate));
    let cut = true;
    while (tokens.length < most) {
      const feeds = { ids: whole(ids, [1, ids.length]), lengths: whole([all.length - ids.length], [1]) };
      for (const name of names) feeds[`past.${name}`] = made[`present.${name}`];
      made = await this.lm.run(feeds);
      const token = chosen(made.logits.data, m, rule, random, all);
      if (token === m.end) { cut = false; break; }
      tokens.push(token);
      all.push(token);
      ids = [token];
    }
    return { cut, codes: tokens.map(token => token - first).filter(code => code < m.codebook_size) };
  }

  // Samples of codes, in the voice of that name.
  async decoded(codes, voice) {
    const feeds = { codes: whole(codes, [1, codes.length]) };
    const values = Float32Array.from(this.model.voices[voice].embedding);
    feeds.embedding = new ort.Tensor("float32", values, [1, values.length]);
    if (this.model.harmonic) {
      for (const name of ["at", "stop", "frames"]) feeds[name] = whole([0], [1]);
      feeds.cycles = new ort.Tensor("float64", Float64Array.from([0]), [1]);
    }
    return (await this.decoder.run(feeds)).waveform.data;
  }
}

// The parts of a text that are spoken in one go, in the letters that the model knows.
export function parts(text, model) {
  const known = [...plain(text)].map(char => (char in model.letters ? char : bare(char, model))).join("");
  const tidy = known.replace(/\s+/g, " ").replace(/\s+([,.;:?!])/g, "$1")
    .replace(/[,.;:?!](?:\s*[,.;:?!])+/g, marks => [..."?!.:;,"].find(mark => marks.includes(mark)));
  return (tidy.match(/[^.?!]+[.?!]*/g) ?? []).flatMap(sentence => shortened(sentence.trim(), model.chunk_chars))
    .filter(part => /\p{L}/u.test(part)).map(part => finished(part.replace(/^[\s,.;:?!]+/, ""), model.ends));
}

// The ids of a part: words (as GPT-2 finds them) letter by letter, but for neighbours that are one token.
export function textIds(part, { letters, joined }) {
  const words = part.match(/'(?:[stmd]|re|ve|ll)|\p{L}+|\P{L}/gu) ?? [];
  return words.flatMap(word => {
    const pieces = [...word], ids = pieces.map(char => letters[char]);
    for (const [one, other, id] of joined)
      for (let n = 0; n + 1 < pieces.length; n++)
        if (pieces[n] === one && pieces[n + 1] === other) {
          pieces.splice(n, 2, one + other);
          ids.splice(n, 2, [id]);
        }
    return ids.flat();
  });
}

// Small letters, straight marks and digits in words.
function plain(text) {
  return text.normalize("NFKC").replace(/[’‘´`]/g, "'").replace(/\s*(?:[–—()\[\]]|\s-\s)\s*/g, ", ")
    .replace(/\d/g, digit => ` ${DIGITS[digit]} `).toLowerCase();
}

// Letters and signs of a text that nothing is said for, each once; marks are silent anyhow.
function unknown(text, model) {
  const lost = [...plain(text)].filter(char => !(char in model.letters) && bare(char, model) === " ");
  return [...new Set(lost)].filter(char => /[\p{L}\p{N}\p{S}@&%#*/\\]/u.test(char));
}

// Seconds within which a part must end: a slow reading, in which lone letters are said by their names.
function slowest(part, { pace, seconds }) {
  const count = pattern => part.match(pattern)?.length ?? 0;
  const alone = count(/(?<![\w'])[b-hj-z](?![\w'])/gi), letters = count(/\p{L}/gu);
  return pace * (seconds.pause + seconds.letter * (letters - alone) + seconds.name * alone) + seconds.grace;
}

// A letter without its accent, or a space.
function bare(char, model) {
  const letter = char.normalize("NFD")[0];
  return letter in model.letters ? letter : " ";
}

// A sentence in pieces of so many characters, cut after a comma where there is one.
function shortened(sentence, most) {
  if (sentence.length <= most) return [sentence];
  const head = sentence.slice(0, most), comma = head.lastIndexOf(", ");
  const place = comma > most / 3 ? comma + 1 : head.lastIndexOf(" ");
  const cut = place > 0 ? place : most;
  return [sentence.slice(0, cut), ...shortened(sentence.slice(cut).trim(), most)];
}

function finished(part, ends) {
  const text = part.trim(), last = text.at(-1);
  return text[0].toUpperCase() + (ends.includes(last) || last === "," ? text.slice(1) : text.slice(1) + ends[0]);
}

// The next token, of those that speech is made of: codes, phones and the end. `before`: all so far.
function chosen(logits, model, rule, random, before) {
  const count = model.codebook_size + model.phones, last = model.speech_start + count;
  let columns = Array.from({ length: count }, (_, n) => model.speech_start + n).concat(model.end);
  if (rule.repetition_penalty !== 1) {
    logits = logits.slice();
    const recent = new Set(before.slice(-rule.repetition_window).filter(id => id >= model.speech_start && id < last));
    for (const id of recent) logits[id] *= logits[id] > 0 ? 1 / rule.repetition_penalty : rule.repetition_penalty;
  }
  if (rule.temperature === 0) return columns.reduce((one, other) => (logits[other] > logits[one] ? other : one));
  columns.sort((one, other) => logits[other] - logits[one]);
  if (rule.top_k) columns = columns.slice(0, rule.top_k);
  const weights = columns.map(column => Math.exp((logits[column] - logits[columns[0]]) / rule.temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let mass = weights[0], kept = 1; // the likeliest always stays
  while (kept < weights.length && mass < rule.top_p * total && weights[kept] >= rule.min_p) mass += weights[kept++];
  let left = random() * mass;
  const place = weights.slice(0, kept).findIndex(weight => (left -= weight) < 0);
  return columns[place < 0 ? 0 : place];
}

// Random numbers below 1 that a seed repeats (mulberry32).
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function whole(values, shape) {
  return new ort.Tensor("int64", BigInt64Array.from(values, BigInt), shape);
}

function joined(pieces) {
  const all = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  pieces.reduce((place, piece) => (all.set(piece, place), place + piece.length), 0);
  return all;
}

// A WAV file of mono samples.
export function wav(samples, rate) {
  const data = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const words = (place, text) => [...text].forEach((char, n) => data.setUint8(place + n, char.charCodeAt(0)));
  words(0, "RIFF");
  data.setUint32(4, 36 + 2 * samples.length, true);
  words(8, "WAVEfmt ");
  [[16, 16], [24, rate], [28, 2 * rate], [40, 2 * samples.length]].forEach(([place, value]) => data.setUint32(place, value, true));
  [[20, 1], [22, 1], [32, 2], [34, 16]].forEach(([place, value]) => data.setUint16(place, value, true));
  words(36, "data");
  samples.forEach((value, n) => data.setInt16(44 + 2 * n, Math.max(-1, Math.min(1, value)) * 32767, true));
  return new Blob([data], { type: "audio/wav" });
}
