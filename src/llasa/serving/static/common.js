// What all of the page needs.

export const $ = id => document.getElementById(id);

export const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
export const say = (text, bad = false) => { $("status").textContent = text; $("status").classList.toggle("bad", bad); };

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
  if (answer.status === 401) { $("key").closest("details").open = true; $("key").focus(); message += " Type it under Advanced."; }
  throw failure({ ...error, message });
}

export const failure = error => Object.assign(Error(error.message), { code: error.code });

// Says what went wrong.
export const attempt = work => Promise.resolve().then(work).catch(error => say(error.message, true));
