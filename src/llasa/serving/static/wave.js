// A waveform as a row of bars; what has been heard is in full colour.

const BAR = 3, GAP = 2; // pixels

export const barsOf = width => Math.max(1, Math.floor((width + GAP) / (BAR + GAP)));

const BLOCK = 64; // samples

// The loudest sample of each block, added to those that are known of the beginning.
export function addBlocks(blocks, samples) {
  blocks.pop(); // it may have grown
  for (let first = blocks.length * BLOCK; first < samples.length; first += BLOCK) {
    let top = 0;
    for (let n = first; n < Math.min(first + BLOCK, samples.length); n++) top = Math.max(top, Math.abs(samples[n]));
    blocks.push(top);
  }
}

// The loudest block in each of `count` equal stretches, of the loudest one of all.
export function peaksOf(blocks, count) {
  const step = blocks.length / count, peaks = new Float32Array(count);
  for (let bar = 0; bar < count; bar++)
    for (let n = Math.floor(bar * step); n < (bar + 1) * step; n++)
      peaks[bar] = Math.max(peaks[bar], blocks[n] ?? 0);
  const top = Math.max(1, ...peaks);
  return peaks.map(peak => peak / top);
}

export function drawBars(canvas, peaks, share) {
  const scale = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
  if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.fillStyle = getComputedStyle(canvas).color;
  const step = (width + GAP) / peaks.length;
  peaks.forEach((peak, bar) => {
    const tall = Math.max(BAR, peak * height);
    pen.globalAlpha = (bar + 0.5) / peaks.length <= share ? 1 : 0.32;
    pen.beginPath();
    pen.roundRect(bar * step, (height - tall) / 2, BAR, tall, BAR / 2);
    pen.fill();
  });
}
