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

export class Booth {
  // entries: {name, samples}. `onEnd` gets the winner and, if there was only one round, the loser;
  // nothing where no difference was heard in any round.
  constructor(entries, onEnd) {
    const [first, ...rest] = shuffled(entries);
    this.onEnd = onEnd;
    this.rounds = rest.length;
    this.players = [];
    this.root = make("div", { className: "booth", role: "group", ariaLabel: "Blind vote" });
    this.round(first, rest, 1, false);
  }

  focus() { this.root.querySelector("button").focus(); }

  // Silences it and gives its memory back.
  end() { this.players.forEach(player => player.end()); }

  round(champion, [challenger, ...rest], number, voted) {
    const pair = shuffled([champion, challenger]);
    this.players = pair.map((one, n) => {
      const player = new Player("AB"[n]);
      player.load(one.samples);
      return player;
    });
    const vote = winner => {
      this.end();
      const won = winner ?? champion, sure = voted || winner !== null;
      if (rest.length) {
        this.round(won, rest, number + 1, sure);
        this.focus();
        return;
      }
      this.root.replaceChildren(make("p", { role: "status", textContent: `A was ${pair[0].name}, B was ${pair[1].name}. ${
        sure ? `Your ear chose ${won.name}.` : "You heard no difference."}` }));
      this.onEnd(sure ? won : null, this.rounds === 1 && sure ? pair.find(one => one !== won) : null);
    };
    this.root.replaceChildren(
      ...(this.rounds > 1 ? [make("p", { className: "note", textContent: `Round ${number} of ${this.rounds}` })] : []),
      ...this.players.map((player, n) => make("div", { className: "card" }, make("h3", { textContent: "AB"[n] }), player.root,
        make("button", { type: "button", className: "strong", textContent: `${"AB"[n]} is better`, onclick: () => vote(pair[n]) }))),
      make("div", { className: "row" }, make("button", { type: "button", textContent: "No difference", onclick: () => vote(null) })));
  }
}
