// What a recogniser heard, and what scores mean to people.

import { make } from "./common.js";

const plain = word => word.toLowerCase().replaceAll("’", "'").replace(/[^\p{L}\p{N}\p{M}']/gu, "").replace(/^'+|'+$/g, "");
const words = text => text.split(/[\s–—-]+/u).filter(word => plain(word));

// The way from one list of words to the other with the fewest changes: [kind, word], where kind is
// same, missing (said to be there, but not heard) or extra (heard in its place, or besides).
export function differences(text, heard) {
  const wanted = words(text), found = words(heard);
  const cost = Array.from({ length: wanted.length + 1 }, () => new Uint16Array(found.length + 1));
  for (let w = wanted.length; w >= 0; w--)
    for (let f = found.length; f >= 0; f--)
      if (w === wanted.length || f === found.length) cost[w][f] = wanted.length - w + found.length - f;
      else if (plain(wanted[w]) === plain(found[f])) cost[w][f] = cost[w + 1][f + 1];
      else cost[w][f] = 1 + Math.min(cost[w + 1][f], cost[w][f + 1]);
  const way = [];
  let w = 0, f = 0;
  while (w < wanted.length || f < found.length)
    if (w < wanted.length && f < found.length && plain(wanted[w]) === plain(found[f])) { way.push(["same", found[f++]]); w++; }
    else if (f === found.length || (w < wanted.length && cost[w + 1][f] <= cost[w][f + 1])) way.push(["missing", wanted[w++]]);
    else way.push(["extra", found[f++]]);
  return way;
}

// What was heard, with what differs marked, as nodes; nothing is marked where all is right.
export function marked(text, heard, right) {
  heard = heard.replace(/^["'“”‘’\s]+|["'“”‘’\s]+$/g, "");
  const way = right ? [["same", heard]] : differences(text, heard);
  const tags = { same: "span", missing: "del", extra: "ins" };
  const titles = { same: "", missing: "not heard", extra: "heard, but not written" };
  return way.flatMap(([kind, word], n) => [n ? " " : "", make(tags[kind], { textContent: word, title: titles[kind] })]);
}

// A sentence that was checked.
export function checked({ ok, text, tries, heard, missing, reason }) {
  const count = tries === 1 ? "1 try" : `${tries} tries`;
  const item = make("li", {}, make("span", { className: ok ? "good" : "poor", textContent: ok ? "✓ " : "✗ " }), `${text} (${
    ok ? "right" : reason ?? (missing.length ? `could not be said: ${missing.join(", ")}` : "more was heard")}, ${count})`);
  if (!ok && !reason) item.append(make("br"), make("span", { className: "note" }, "heard: ", ...marked(text, heard, false)));
  return item;
}

const percent = share => `${Math.round(100 * Math.max(0, Math.min(1, share)))} %`;
const LISTENERS = ["moonshine", "whisper", "content"];
const MEANINGS = [
  [LISTENERS, (score, right) => `words right ${percent(right ? 1 : 1 + score)}`],
  [["campplus", "ge2e", "speaker"], score => `voice alike ${percent(score)}`],
  [["distillmos", "dnsmos", "quality"], score => `sound ${score.toFixed(1)} of 5`],
];

// The scores that say something to a person. right: whether all words are, which a recogniser that
// was not quite sure scores a little lower.
export const meanings = (scores, right) => MEANINGS.flatMap(([names, word]) => {
  const name = names.find(one => typeof scores[one] === "number");
  return name ? [word(scores[name], right)] : [];
});

export function heardOf(text, { heard, scores }) {
  const name = LISTENERS.find(one => one in heard);
  if (!name) return null;
  const same = differences(text, heard[name]).every(([kind]) => kind === "same");
  return { words: heard[name], right: same || scores[name] > -0.005 };
}
