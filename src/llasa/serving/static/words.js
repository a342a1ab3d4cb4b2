// The text under the waveform, each word lit while it is heard; press one to hear it.

import { make } from "./common.js";

export class Words {
  // place: where they stand; onPress: gets the time of a word.
  constructor(place, onPress) {
    this.place = place;
    this.place.onclick = event => { if (event.target.dataset.start) onPress(Number(event.target.dataset.start)); };
    this.show("", []);
  }

  // words: {word, start, end, span}, seconds and the place in the text; none where the server gives no times.
  show(text, words) {
    this.words = words;
    const chars = [...text]; // places count characters, not halves of them
    let reached = 0;
    const nodes = words.flatMap(({ word, start, span: [first, stop] }) => {
      const between = chars.slice(reached, first).join("");
      reached = stop;
      const span = make("span", { textContent: chars.slice(first, stop).join("") || word });
      span.dataset.start = start;
      return [between, span];
    });
    this.place.replaceChildren(...nodes, chars.slice(reached).join(""));
    this.spans = nodes.filter(node => node instanceof Element);
    this.place.hidden = words.length === 0;
    this.lit = null;
  }

  at(seconds) {
    const now = seconds ? this.words.findIndex(({ start, end }) => start <= seconds && seconds < end) : -1;
    const span = this.spans[now] ?? null;
    if (span === this.lit) return;
    this.lit?.classList.remove("now");
    span?.classList.add("now");
    this.lit = span;
  }
}
