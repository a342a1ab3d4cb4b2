// What was spoken, with its sound, in the browser's database; in memory where it has none.

const KEPT = 30, MOST_BYTES = 128 << 20, MOST_FREED = 3;
const LISTED = "speeches", SOUNDS = "sounds";

const done = request => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});
const finished = change => new Promise((resolve, reject) => {
  change.oncomplete = resolve;
  change.onabort = () => reject(change.error); // every error that nobody takes care of ends in it
});

let opening = null;

function open() {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("llasa", 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(LISTED, { keyPath: "id", autoIncrement: true });
      request.result.createObjectStore(SOUNDS);
    };
    request.onsuccess = () => {
      request.result.onclose = () => { opening = null; }; // the browser's data were cleared
      resolve(request.result);
    };
    request.onerror = () => reject(request.error);
  });
  return opening;
}

const inMemory = { entries: [], sounds: new Map(), next: 1 };

async function stored(work, instead) {
  let database;
  try {
    database = await open();
  } catch {
    return instead(); // the browser keeps nothing
  }
  return work(database);
}

// Newest first: {id, when, body, seed, seconds, words}.
export const entries = () => stored(
  async database => (await done(database.transaction(LISTED).objectStore(LISTED).getAll())).reverse(),
  () => [...inMemory.entries].reverse());

export const sound = id => stored(
  database => done(database.transaction(SOUNDS).objectStore(SOUNDS).get(id)),
  () => inMemory.sounds.get(id));

// Says whether it lasts longer than the page.
const put = (entry, samples) => stored(async database => {
  const change = database.transaction([LISTED, SOUNDS], "readwrite"), ended = finished(change);
  const adding = change.objectStore(LISTED).add(entry);
  adding.onsuccess = () => change.objectStore(SOUNDS).put(samples, adding.result);
  await ended;
  return true;
}, () => {
  const id = inMemory.next++;
  inMemory.entries.push({ ...entry, id });
  inMemory.sounds.set(id, samples);
  return false;
});

// The same, where there is no room in place of the oldest. Browsers are late in giving room back, so
// that more than one may have to go, but not more than some times what this one takes.
async function fit(entry, samples) {
  for (let freed = 0; ;) {
    try {
      return await put(entry, samples);
    } catch (error) {
      const full = error?.name === "QuotaExceededError", all = await entries();
      const gain = all.reduce((sum, { bytes }) => sum + bytes, freed);
      if (!full || gain < entry.bytes || freed >= MOST_FREED * entry.bytes || !all.length)
        throw Error(`This speech is not kept: ${full ? "the browser has no room for it." : error?.message}`);
      const oldest = all.at(-1);
      await drop(oldest.id);
      freed += oldest.bytes;
      await new Promise(done => setTimeout(done, 100));
    }
  }
}

export async function keep(entry, samples) {
  const lasts = await fit({ ...entry, bytes: samples.byteLength }, samples);
  let bytes = 0;
  for (const [number, old] of (await entries()).entries()) {
    bytes += old.bytes;
    if (number > 0 && (number >= KEPT || bytes > MOST_BYTES)) await drop(old.id);
  }
  return lasts;
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
