// What all of the page needs.

export const $ = id => document.getElementById(id);

export const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

// What the browser keeps for the page, as texts; where it keeps nothing, for as long as the page is open.
function keeping(storage) {
  const held = new Map();
  return {
    get(name) {
      try {
        return held.get(name) ?? window[storage].getItem(name);
      } catch {
        return null;
      }
    },
    set(name, text) {
      try {
        window[storage].setItem(name, text);
        held.delete(name);
      } catch {
        held.set(name, text);
      }
    },
  };
}

export const kept = keeping("localStorage"), keptByTab = keeping("sessionStorage");

const SVG = "http://www.w3.org/2000/svg";

// A picture from the symbols at the end of the page.
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg"), use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

// Messages stand where one is looking: each part of the page has a line for them.
export function say(text, bad = false, place = "status") {
  $(place).textContent = text;
  $(place).classList.toggle("bad", bad);
  if (bad) $(place).scrollIntoView({ block: "nearest" });
}

// Does a piece of work and says what goes wrong with it.
export const attempt = (work, place = "status") => Promise.resolve().then(work).catch(error => say(error.message, true, place));

export const failure = error => Object.assign(Error(error.message), { code: error.code });

export async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if ($("key").value) headers.authorization = `Bearer ${$("key").value}`;
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw Error("The server does not answer: is it still running?");
  }
  if (answer.ok) return answer;
  const error = (await answer.json().catch(() => null))?.error;
  let message = error?.message ?? `The server answered ${answer.status}.`;
  const wait = answer.headers.get("retry-after");
  if (wait) message += ` Try again in ${wait} s.`;
  if (answer.status === 401) {
    for (let box = $("key").closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
    $("key").focus();
    message += " Type it under Connection.";
  }
  throw failure({ ...error, message });
}

export const speechOf = (body, signal) => ask("v1/audio/speech", {
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal,
});
