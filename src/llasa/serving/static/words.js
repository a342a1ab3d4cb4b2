// The text under the waveform, each word lit while it is heard; press one to hear it. For keys, the words are one
// stop of Tab: arrows go from word to word.

import { make } from "./common.js";

export class Words {
  // place: where they stand; onPress: gets the time of a word.
  constructor(place, onPress) {
    this.place = place;
    this.spans = [];
    this.place.onclick = event => { if (event.target.dataset.start) onPress(Number(event.target.dataset.start)); };
    this.place.onkeydown = event => this.key(event);
    this.place.addEventListener("focusin", event => this.stopAt(event.target));
    this.show("", []);
  }

  // words: {word, start, end, span}, seconds and the place in the text; none where the server gives no times.
  show(text, words) {
    this.words = words;
    const held = this.spans.indexOf(document.activeElement);
    const chars = [...text]; // places count characters, not halves of them
    let reached = 0;
    const nodes = words.flatMap(({ word, start, span: [first, stop] }) => {
      const between = chars.slice(reached, first).join("");
      reached = stop;
      const span = make("span", { textContent: chars.slice(first, stop).join("") || word, role: "button", tabIndex: -1 });
      span.dataset.start = start;
      return [between, span];
    });
    this.place.replaceChildren(...nodes, chars.slice(reached).join(""));
    this.spans = nodes.filter(node => node instanceof Element);
    this.place.hidden = words.length === 0;
    this.lit = null;
    this.stopAt(this.spans[held] ?? this.spans[0]);
    this.spans[held]?.focus({ preventScroll: true }); // more words have come
  }

  key(event) {
    const from = this.spans.indexOf(event.target), last = this.spans.length - 1;
    if (from < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    const to = { ArrowLeft: from - 1, ArrowUp: from - 1, ArrowRight: from + 1, ArrowDown: from + 1, Home: 0, End: last }[event.key];
    if (to !== undefined) this.spans[Math.max(0, Math.min(last, to))].focus();
    else if (!["Enter", " "].includes(event.key)) return;
    else if (!event.repeat) event.target.click();
    event.preventDefault();
  }

  // Tab leads to the word that had the focus last.
  stopAt(word) {
    for (const span of this.spans) span.tabIndex = span === word ? 0 : -1;
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
