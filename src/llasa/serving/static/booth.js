// A blind vote: two at a time, in an order that nobody knows; the winner meets the next.

import { make } from "./common.js";
import { Player } from "./player.js";

function shuffled(all) {
  const mixed = [...all];
  for (let n = mixed.length - 1; n > 0; n--) {
    const other = Math.floor(Math.random() * (n + 1));
    [mixed[n], mixed[other]] = [mixed[other], mixed[n]];
  }
  return mixed;
}

// entries: {name, samples}. `onEnd` gets the winner and, if there was only one round, the loser;
// nothing where no difference was heard in any round.
export function booth(entries, onEnd) {
  const [first, ...rest] = shuffled(entries);
  const root = make("div", { className: "booth", role: "group", ariaLabel: "Blind vote" });
  round(root, first, rest, 1, rest.length, false, onEnd);
  return root;
}

function round(root, champion, [challenger, ...rest], number, rounds, voted, onEnd) {
  const pair = shuffled([champion, challenger]);
  const players = pair.map((one, n) => {
    const player = new Player("AB"[n]);
    player.load(one.samples);
    return player;
  });
  const vote = winner => {
    players.forEach(player => player.end());
    const won = winner ?? champion, sure = voted || winner !== null;
    if (rest.length) {
      round(root, won, rest, number + 1, rounds, sure, onEnd);
      root.querySelector("button").focus();
      return;
    }
    root.replaceChildren(make("p", { role: "status", textContent: `A was ${pair[0].name}, B was ${pair[1].name}. ${
      sure ? `Your ear chose ${won.name}.` : "You heard no difference."}` }));
    onEnd(sure ? won : null, rounds === 1 && sure ? pair.find(one => one !== won) : null);
  };
  root.replaceChildren(
    ...(rounds > 1 ? [make("p", { className: "note", textContent: `Round ${number} of ${rounds}` })] : []),
    ...players.map((player, n) => make("div", { className: "card" }, make("h3", { textContent: "AB"[n] }), player.root,
      make("button", { type: "button", className: "strong", textContent: `${"AB"[n]} is better`, onclick: () => vote(pair[n]) }))),
    make("div", { className: "row" }, make("button", { type: "button", textContent: "No difference", onclick: () => vote(null) })));
}
