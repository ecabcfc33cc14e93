// The API: where it is, which token it gets, and the stream of changes.

export const root = new URL("..", import.meta.url);

const SILENCE = 60_000; // milliseconds; the server says something every 15 seconds
const WAITS = [1000, 2000, 4000, 8000, 15_000];

export class Refused extends Error {
  constructor(status, body) {
    super(body.detail || `the server answered ${status}`);
    this.status = status;
    this.error = body.error || "";
    this.state = body.state;
  }
}

// A token stays with this tab; one that came in the link of a question is used for that page only.
let slot = `graflow:${root.pathname}`;

export function keepTokenFor(questionId) {
  slot = `graflow:${root.pathname}:${questionId}`;
}

export function setToken(token) {
  if (token) sessionStorage.setItem(slot, token);
  else sessionStorage.removeItem(slot);
}

function token() {
  return sessionStorage.getItem(slot) || sessionStorage.getItem(`graflow:${root.pathname}`);
}

export const hasToken = () => token() !== null;

function request(path, options = {}) {
  const headers = { ...options.headers };
  const given = token();
  if (given !== null) headers.Authorization = `Bearer ${given}`;
  return fetch(new URL(`api/${path}`, root), {
    ...options, headers, credentials: "omit", cache: "no-store", redirect: "error", referrerPolicy: "no-referrer",
  });
}

async function refusal(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // Something between here and the server has answered.
  }
  return new Refused(response.status, body);
}

export async function call(path, text) {
  const options = text === undefined ? {} : {
    method: "POST", body: text, headers: { "Content-Type": "application/json" },
  };
  const response = await request(path, options);
  if (!response.ok) throw await refusal(response);
  return response.status === 204 ? null : response.json();
}

export const question = (id) => call(`questions/${encodeURIComponent(id)}`);

// `value` is JSON text, so that no number loses digits on its way through this page.
export function answer(asked, name, value, reason) {
  const parts = [`${JSON.stringify(name)}:${value}`, `"revision":${JSON.stringify(asked.revision)}`];
  if (reason) parts.push(`"reason":${JSON.stringify(reason)}`);
  return call(`questions/${encodeURIComponent(asked.id)}/answer`, `{${parts.join(",")}}`);
}

export function cancel(asked, reason) {
  return call(`questions/${encodeURIComponent(asked.id)}/cancel`, JSON.stringify(reason ? { reason } : {}));
}

// Follow changes until `stop()` is called: onEvent(name, data), and onState("live" | "lost" | "refused", error).
export function follow(query, onEvent, onState) {
  let attempt = 0;
  let isStopped = false;
  let abort = null;
  let wake = null;

  async function once() {
    abort = new AbortController();
    let watchdog = setTimeout(() => abort.abort(), SILENCE);
    try {
      const response = await request(`events?${new URLSearchParams(query)}`, { signal: abort.signal });
      if (!response.ok) throw await refusal(response);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        clearTimeout(watchdog);
        if (done) return;
        watchdog = setTimeout(() => abort.abort(), SILENCE);
        rest += value;
        const blocks = rest.split("\n\n");
        rest = blocks.pop();
        for (const block of blocks) deliver(block);
      }
    } finally {
      clearTimeout(watchdog);
    }
  }

  function deliver(block) {
    const fields = Object.fromEntries(block.split("\n").filter((line) => /^\w+: /.test(line)).map(
      (line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)],
    ));
    if (fields.event === undefined || fields.data === undefined) return;
    if (fields.event === "snapshot") {
      attempt = 0;
      onState("live");
    }
    onEvent(fields.event, JSON.parse(fields.data));
  }

  async function run() {
    while (!isStopped) {
      let problem = null;
      try {
        await once();
      } catch (error) {
        problem = error;
      }
      if (isStopped) return;
      if (problem instanceof Refused && problem.status < 500 && problem.status !== 429) {
        onState("refused", problem);
        return;
      }
      // The server ends a stream now and then; that is no loss.
      if (problem !== null || attempt > 0) onState("lost", problem);
      const wait = WAITS[Math.min(attempt, WAITS.length - 1)];
      attempt += 1;
      await new Promise((resolve) => {
        wake = resolve;
        setTimeout(resolve, wait);
      });
    }
  }

  const again = () => wake?.();
  window.addEventListener("online", again);
  document.addEventListener("visibilitychange", again);
  run();
  return {
    again,
    stop() {
      isStopped = true;
      abort?.abort();
      again();
      window.removeEventListener("online", again);
      document.removeEventListener("visibilitychange", again);
    },
  };
}
