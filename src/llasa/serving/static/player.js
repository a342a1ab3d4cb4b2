// A button, a waveform to scrub and a clock. One plays at a time.

import { attempt, icon, make } from "./common.js";
import { RATE, wav } from "./sound.js";
import { addBlocks, barsOf, drawBars, peaksOf } from "./wave.js";

const minutes = seconds => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
const clock = (time, all) => all < 60 ? `${time.toFixed(1)} / ${all.toFixed(1)} s` : `${minutes(time)} / ${minutes(all)}`;

// Nothing is wrong where a browser wants a press of the button first, or where another sound was chosen meanwhile.
const begun = play => play.then(() => true, error => {
  if (["AbortError", "NotAllowedError"].includes(error.name)) return false;
  throw Error("The browser cannot play this sound.");
});

let playing = null; // whatever is heard now; it has a pause()

export function quiet(next = null) {
  if (playing && playing !== next) playing.pause();
  playing = next;
}

export class Player {
  // name: of what is played, for screen readers; onTime: told where it is.
  constructor(name, onTime = () => {}) {
    this.name = name;
    this.onTime = onTime;
    this.samples = new Int16Array();
    this.blocks = []; // of its loudness
    this.stale = false; // whether the bars are those of fewer samples
    this.live = null;
    this.audio = make("audio", { preload: "auto" });
    this.button = make("button", { type: "button", className: "round", onclick: () => this.toggle() });
    this.canvas = make("canvas", { ariaHidden: "true" });
    this.scrub = make("div", { className: "scrub", tabIndex: 0, role: "slider", ariaLabel: `Position in ${name}`, ariaValueMin: "0" }, this.canvas);
    this.clock = make("span", { className: "clock", ariaHidden: "true" });
    this.root = make("div", { className: "player" }, this.button, this.scrub, this.clock, this.audio);
    this.scrub.onpointerdown = event => { this.scrub.setPointerCapture(event.pointerId); this.drag(event); };
    this.scrub.onpointermove = event => { if (event.buttons) this.drag(event); };
    this.scrub.onkeydown = event => this.key(event);
    for (const name of ["play", "pause", "ended", "seeked", "loadedmetadata"]) this.audio.addEventListener(name, () => this.update());
    new ResizeObserver(() => { this.stale = true; this.draw(); }).observe(this.canvas);
    this.canvas.addEventListener("redraw", () => this.draw());
    this.update();
  }

  get seconds() { return this.samples.length / RATE; }
  get time() { return this.live ? this.live.time : this.audio.currentTime; }
  get running() { return this.live ? !this.live.paused && !this.live.over : !this.audio.paused; }

  // All of a sound; what is being heard live goes on.
  load(samples) {
    URL.revokeObjectURL(this.audio.src);
    this.audio.src = URL.createObjectURL(wav(samples));
    this.blocks = [];
    this.grow(samples);
    this.update();
  }

  // More of a sound that is being heard live, drawn with its next frame.
  grow(samples) {
    this.samples = samples;
    addBlocks(this.blocks, samples);
    this.stale = true;
  }

  // Hear it through a `Live` until that ends or one goes elsewhere.
  follow(live) {
    this.unfollow();
    quiet(this);
    this.live = live;
    this.complete = false;
    this.blocks = [];
    this.grow(new Int16Array());
    this.run();
  }

  unfollow(where = null) {
    this.live?.stop();
    this.live = null;
    if (where !== null) this.audio.currentTime = where;
  }

  // Gives its memory back.
  end() {
    this.audio.pause();
    this.unfollow();
    URL.revokeObjectURL(this.audio.src);
  }

  toggle() { return this.running ? this.pause() : this.play(); }

  // Says itself what goes wrong: most who call it are buttons.
  play() {
    return attempt(async () => {
      quiet(this);
      if (this.live && !this.live.over) await this.live.resume();
      else {
        this.unfollow();
        await begun(this.audio.play());
      }
      this.run();
    });
  }

  pause() {
    if (this.live) this.live.pause().then(() => this.update());
    else this.audio.pause();
  }

  // Go there; it is heard from there if it was heard before, or if it shall be.
  seek(seconds, play = this.running) {
    if (this.live && !this.complete) return; // there is nothing to go to yet
    const to = Math.max(0, Math.min(this.seconds, seconds));
    this.unfollow(to);
    this.audio.currentTime = to;
    if (play) this.play();
    this.update();
  }

  drag(event) {
    const box = this.scrub.getBoundingClientRect();
    this.seek((event.clientX - box.left) / box.width * this.seconds);
  }

  key(event) {
    const step = Math.max(0.25, this.seconds / 20);
    const to = { ArrowLeft: this.time - step, ArrowDown: this.time - step, ArrowRight: this.time + step, ArrowUp: this.time + step,
      Home: 0, End: this.seconds }[event.key];
    if (to !== undefined) this.seek(to);
    else if (event.key === " ") this.toggle();
    else return;
    event.preventDefault();
  }

  // Redraws while it is heard.
  run() {
    cancelAnimationFrame(this.frame);
    const step = () => {
      if (this.live?.over && this.complete) this.unfollow(0);
      this.update();
      if (this.running || (this.live && !this.complete)) this.frame = requestAnimationFrame(step);
    };
    step();
  }

  draw() {
    const width = this.canvas.clientWidth;
    if (!width) return;
    if (this.stale) this.peaks = peaksOf(this.blocks, barsOf(width));
    this.stale = false;
    if (this.peaks) drawBars(this.canvas, this.peaks, this.seconds ? this.time / this.seconds : 0);
  }

  update() {
    const { time, running } = this, shown = running ? "pause" : "play";
    if (this.shown !== shown) this.button.replaceChildren(icon(this.shown = shown));
    this.button.ariaLabel = `${running ? "Pause" : "Play"} ${this.name}`;
    this.clock.textContent = clock(time, this.seconds);
    this.scrub.ariaValueMax = this.seconds.toFixed(1);
    this.scrub.ariaValueNow = time.toFixed(1);
    this.scrub.ariaValueText = `${time.toFixed(1)} of ${this.seconds.toFixed(1)} seconds`;
    this.draw();
    this.onTime(time, running);
  }
}

// A button alone, for sounds that are fetched when they are wanted: press to hear, press to stop.
const short = new Audio();
let pressed = null;

short.onended = () => rest();

function rest() {
  pressed?.replaceChildren(icon("play"));
  pressed?.setAttribute("aria-pressed", "false");
  pressed = null;
}

export async function hear(button, fetchBlob) {
  const again = button === pressed, mine = { pause() { short.pause(); rest(); } };
  quiet(again ? null : mine);
  if (again) return;
  button.disabled = true;
  try {
    const blob = await fetchBlob();
    if (playing !== mine) return; // something else was chosen meanwhile
    URL.revokeObjectURL(short.src);
    short.src = URL.createObjectURL(blob);
    if (!await begun(short.play()) || playing !== mine) return;
  } finally {
    button.disabled = false;
  }
  pressed = button;
  button.replaceChildren(icon("pause"));
  button.setAttribute("aria-pressed", "true");
}
