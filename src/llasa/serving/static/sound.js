// Sound: everything is 16-bit samples in an Int16Array.

export const RATE = 24000;

export function joined(pieces) {
  const all = new Int16Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let place = 0;
  for (const piece of pieces) { all.set(piece, place); place += piece.length; }
  return all;
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

export function draw(canvas, samples) {
  const pen = canvas.getContext("2d"), { width, height } = canvas, step = samples.length / width;
  const peaks = Array.from({ length: width }, (_, x) => {
    let peak = 0;
    for (let n = Math.floor(x * step); n < (x + 1) * step; n++) peak = Math.max(peak, Math.abs(samples[n] ?? 0));
    return peak;
  });
  const top = Math.max(1, ...peaks);
  pen.clearRect(0, 0, width, height);
  pen.fillStyle = getComputedStyle(canvas).color;
  peaks.forEach((peak, x) => {
    const tall = Math.max(1, peak / top * height);
    pen.fillRect(x, (height - tall) / 2, 1, tall);
  });
}

export class Live {
  constructor() { this.context = new AudioContext({ sampleRate: RATE }); this.next = 0; }
  play(samples) {
    const buffer = this.context.createBuffer(1, samples.length, RATE);
    buffer.getChannelData(0).set(Float32Array.from(samples, value => value / 32768));
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.context.destination);
    this.next = Math.max(this.next, this.context.currentTime + 0.05);
    source.start(this.next);
    this.next += buffer.duration;
  }
  end(now) {
    const left = now ? 0 : Math.max(0, this.next - this.context.currentTime);
    setTimeout(() => this.context.close(), 1000 * left + 200);
  }
}
