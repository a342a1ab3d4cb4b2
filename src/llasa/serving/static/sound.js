// Sound: everything is 16-bit samples in an Int16Array.

export const RATE = 24000;

export function joined(pieces) {
  const all = new Int16Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let place = 0;
  for (const piece of pieces) { all.set(piece, place); place += piece.length; }
  return all;
}

// Samples that arrive piece by piece; room is made by doubling it, so that none is copied often.
export class Growing {
  constructor() {
    this.room = new Int16Array(8 * RATE);
    this.length = 0;
  }

  // A view of all so far; more that comes does not change it.
  get samples() { return this.room.subarray(0, this.length); }

  push(piece) {
    const length = this.length + piece.length;
    if (length > this.room.length) {
      const room = new Int16Array(2 * length);
      room.set(this.samples);
      this.room = room;
    }
    this.room.set(piece, this.length);
    this.length = length;
  }
}

export const silence = seconds => new Int16Array(Math.round(seconds * RATE));

export const samplesOf = base64 => new Int16Array(Uint8Array.from(atob(base64), char => char.charCodeAt(0)).buffer);

export function wav(samples, rate = RATE) {
  const head = new DataView(new ArrayBuffer(44));
  const text = (place, word) => [...word].forEach((char, n) => head.setUint8(place + n, char.charCodeAt(0)));
  text(0, "RIFF"); head.setUint32(4, 36 + samples.byteLength, true); text(8, "WAVEfmt ");
  head.setUint32(16, 16, true); head.setUint16(20, 1, true); head.setUint16(22, 1, true);
  head.setUint32(24, rate, true); head.setUint32(28, 2 * rate, true); head.setUint16(32, 2, true);
  head.setUint16(34, 16, true); text(36, "data"); head.setUint32(40, samples.byteLength, true);
  return new Blob([head, samples], { type: "audio/wav" });
}

// What the browser can read of a recording, as samples of one channel.
export async function decoded(blob) {
  const context = new OfflineAudioContext(1, 1, RATE);
  const sound = await context.decodeAudioData(await blob.arrayBuffer());
  const mix = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel++)
    sound.getChannelData(channel).forEach((value, n) => { mix[n] += value / sound.numberOfChannels; });
  return Int16Array.from(mix, value => Math.max(-1, Math.min(1, value)) * 32767);
}

// Plays pieces one after the other as they arrive.
export class Live {
  constructor() {
    this.context = new AudioContext({ sampleRate: RATE });
    this.next = 0;
    this.queued = 0; // seconds that were given
    this.begins = []; // when each piece is heard, and its place in the speech
  }

  play(samples) {
    const buffer = this.context.createBuffer(1, samples.length, RATE);
    buffer.getChannelData(0).set(Float32Array.from(samples, value => value / 32768));
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.context.destination);
    this.next = Math.max(this.next, this.context.currentTime + 0.05);
    source.start(this.next);
    this.begins.push({ when: this.next, place: this.queued, length: buffer.duration });
    this.next += buffer.duration;
    this.queued += buffer.duration;
  }

  // How much has been heard.
  get time() {
    const now = this.context.currentTime, piece = this.begins.findLast(({ when }) => when <= now);
    return piece ? piece.place + Math.min(now - piece.when, piece.length) : 0;
  }

  get over() { return this.context.currentTime >= this.next; }
  get paused() { return this.context.state === "suspended"; }
  pause() { return this.context.suspend(); }
  resume() { return this.context.resume(); }
  stop() { if (this.context.state !== "closed") this.context.close(); }
}
