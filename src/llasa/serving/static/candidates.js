// Candidates side by side, part by part, and which is played of each.

import { icon, make } from "./common.js";
import { Booth } from "./booth.js";
import { heardOf, marked, meanings } from "./heard.js";
import { Player } from "./player.js";
import { joined, RATE, samplesOf, silence } from "./sound.js";

const COLUMNS = [1, 2, 3, 2, 3, 3, 4, 4]; // by how many there are, so that no row has an orphan where that can be

let shown = []; // players and votes, each with an end()

export function clear(place) {
  shown.forEach(one => one.end());
  shown = [];
  place.replaceChildren();
}

// Shows them in `place`; `onPick` gets the whole sound and which candidates it is made of.
export function compare(place, parts, onPick) {
  clear(place);
  const sounds = parts.map(part => part.candidates.map(one => samplesOf(one.audio)));
  const best = parts.map(() => 0);
  const rows = parts.map((part, p) => new Row(part, sounds[p], number => {
    best[p] = number;
    const whole = joined(parts.flatMap(({ silence_before, silence_after }, n) =>
      [silence(silence_before), sounds[n][best[n]], silence(silence_after)]));
    onPick(whole, best.map(one => one + 1));
  }));
  place.replaceChildren(...rows.map(row => row.root));
}

class Row {
  constructor(part, sounds, onPick) {
    this.onPick = onPick;
    this.cards = part.candidates.map((one, number) => this.card(part.text, one, number, sounds[number]));
    this.grid = make("div", { className: "takes" }, ...this.cards);
    this.grid.style.setProperty("--columns", COLUMNS[this.cards.length - 1] ?? 4);
    const spoken = sounds.map((samples, number) => ({ name: `candidate ${number + 1}`, samples, number })).filter(one => one.samples.length);
    const ear = make("button", { type: "button", textContent: "Choose by ear", hidden: spoken.length < 2, onclick: () => this.choose(spoken, ear) });
    this.root = make("section", { className: "part", ariaLabel: part.text },
      make("div", { className: "row" }, make("h3", { textContent: part.text }), ear), this.grid);
    this.mark(0);
  }

  pick(number) {
    this.mark(number);
    this.onPick(number);
  }

  mark(picked) {
    this.cards.forEach((card, number) => {
      card.classList.toggle("picked", number === picked);
      const button = card.querySelector(".pick");
      button.setAttribute("aria-pressed", number === picked);
      button.replaceChildren(...(number === picked ? [icon("check"), "Picked"] : ["Pick"]));
    });
  }

  // Scores would tell: they are out of sight until one has voted.
  choose(spoken, button) {
    this.grid.hidden = button.hidden = true;
    const vote = new Booth(spoken, winner => {
      this.grid.hidden = button.hidden = false;
      if (winner) this.pick(winner.number);
    });
    shown.push(vote);
    this.root.append(vote.root);
    vote.focus();
  }

  card(text, one, number, samples) {
    const name = `Candidate ${number + 1}`, player = new Player(name);
    player.load(samples);
    shown.push(player);
    const heard = heardOf(text, one), told = meanings(one.scores, heard?.right);
    const card = make("article", { className: "card take", ariaLabel: name },
      make("header", {}, make("strong", { textContent: String(number + 1) }),
        ...(number === 0 ? [make("span", { className: "chip", textContent: "best" })] : []),
        make("span", { className: "note", textContent: `${(samples.length / RATE).toFixed(1)} s${one.finish_reason === "length" ? ", cut off" : ""}` })),
      player.root,
      ...told.map(word => make("span", { className: heard?.right ? "good" : "", textContent: word })),
      ...(heard ? [make("p", {}, "“", ...marked(text, heard.words, heard.right), "”")] : []),
      make("footer", { className: "row" },
        make("button", { type: "button", className: "pick", ariaLabel: `Pick candidate ${number + 1}`, onclick: () => this.pick(number) }),
        make("details", {}, make("summary", { textContent: "Scores" }), scores(one))));
    return card;
  }
}

const scores = one => make("table", {}, ...[["total", one.total], ...Object.entries(one.scores)].map(([name, value]) => make("tr", {},
  make("th", { scope: "row", textContent: name }),
  make("td", { textContent: value?.toFixed(3) ?? (one.unscored[name] ? `unscored: ${one.unscored[name]}` : "unscored") }))));
