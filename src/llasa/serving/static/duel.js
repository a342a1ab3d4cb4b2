// Two voices say the text, and one votes without knowing which is which.

import { $, kept, make, say, speechOf } from "./common.js";
import { Booth } from "./booth.js";
import { settings } from "./settings.js";

const KEPT = "llasa-votes", PLACE = "blind_status";

// {pair: names, won: how often each}; what is damaged counts for nothing.
function votes() {
  try {
    return JSON.parse(kept.get(KEPT)).filter(({ pair, won }) => pair.length === 2 && won.length === 2);
  } catch {
    return [];
  }
}

function count(winner, loser) {
  const pair = [winner, loser].sort(), all = votes();
  let row = all.find(one => one.pair.join() === pair.join());
  if (!row) all.push(row = { pair, won: [0, 0] });
  row.won[pair.indexOf(winner)]++;
  kept.set(KEPT, JSON.stringify(all));
}

export function listVotes() {
  const all = votes();
  $("votes").hidden = all.length === 0;
  $("votes").replaceChildren(...all.map(({ pair, won }) =>
    make("li", { className: "chip", textContent: `${pair[0]} ${won[0]} : ${won[1]} ${pair[1]}` })));
}

let vote = null; // the last one

export async function duel() {
  const names = [$("left").value, $("right").value];
  if (names[0] === names[1]) throw Error("Choose two different voices.");
  if (!$("input").value.trim()) throw Error("Type a text first: it is what they say.");
  $("duel").disabled = true;
  vote?.end();
  $("booth").replaceChildren();
  say("Both are speaking where you do not hear it yet...", false, PLACE);
  try {
    const { best_of, verifiers, strategy, check, ...body } = settings();
    const seed = body.seed ?? Math.floor(Math.random() * 2 ** 31);
    const entries = [];
    for (const voice of names) {
      const answer = await speechOf({ ...body, voice, seed, response_format: "pcm" });
      entries.push({ name: voice, samples: new Int16Array(await answer.arrayBuffer()) });
    }
    say("Which sounds better?", false, PLACE);
    vote = new Booth(entries, (winner, loser) => {
      say("", false, PLACE);
      if (winner) count(winner.name, loser.name);
      listVotes();
      $("duel").focus();
    });
    $("booth").replaceChildren(vote.root);
    vote.focus();
  } finally {
    $("duel").disabled = false;
  }
}
