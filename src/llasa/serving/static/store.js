// What was spoken, with its sound, in the browser's database; in memory where it has none.

const KEPT = 30, MOST_BYTES = 128 << 20;
const LISTED = "speeches", SOUNDS = "sounds";

const done = request => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});
const finished = change => new Promise((resolve, reject) => {
  change.oncomplete = resolve;
  change.onerror = change.onabort = () => reject(change.error);
});

let opening = null;

function open() {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("llasa", 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(LISTED, { keyPath: "id", autoIncrement: true });
      request.result.createObjectStore(SOUNDS);
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opening;
}

const inMemory = { entries: [], sounds: new Map(), next: 1 };
let lost = false; // whether the browser keeps nothing

async function stored(work, instead) {
  if (!lost) {
    try {
      return await work(await open());
    } catch {
      lost = true;
    }
  }
  return instead();
}

// Newest first: {id, when, body, seed, seconds, words}.
export const entries = () => stored(
  async database => (await done(database.transaction(LISTED).objectStore(LISTED).getAll())).reverse(),
  () => [...inMemory.entries].reverse());

export const sound = id => stored(
  database => done(database.transaction(SOUNDS).objectStore(SOUNDS).get(id)),
  () => inMemory.sounds.get(id));

export async function keep(entry, samples) {
  await stored(async database => {
    const change = database.transaction([LISTED, SOUNDS], "readwrite"), ended = finished(change);
    const id = await done(change.objectStore(LISTED).add({ ...entry, bytes: samples.byteLength }));
    change.objectStore(SOUNDS).put(samples, id);
    await ended;
  }, () => {
    const id = inMemory.next++;
    inMemory.entries.push({ ...entry, id, bytes: samples.byteLength });
    inMemory.sounds.set(id, samples);
  });
  let bytes = 0;
  for (const [number, old] of (await entries()).entries()) {
    bytes += old.bytes;
    if (number > 0 && (number >= KEPT || bytes > MOST_BYTES)) await drop(old.id);
  }
  return !lost;
}

export const drop = id => stored(async database => {
  const change = database.transaction([LISTED, SOUNDS], "readwrite"), ended = finished(change);
  change.objectStore(LISTED).delete(id);
  change.objectStore(SOUNDS).delete(id);
  await ended;
}, () => {
  inMemory.entries = inMemory.entries.filter(one => one.id !== id);
  inMemory.sounds.delete(id);
});

export async function clear() {
  for (const { id } of await entries()) await drop(id);
}
