// How times, states and answers read.

import { el } from "./dom.js";

const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const STATES = { pending: "Open", answered: "Answered", expired: "Expired", cancelled: "Cancelled" };
const KINDS = {
  approval: "Approval", text: "Text", selection: "Choice", multi_selection: "Several choices", custom: "Form",
};

export const stateName = (state) => STATES[state] || "Unknown";
export const kindName = (kind) => KINDS[kind] || "Question";

function span(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

export function ago(at) {
  const passed = Math.max(0, Date.now() / 1000 - at);
  return passed < 5 ? "just now" : `${span(passed)} ago`;
}

export function until(at) {
  const left = at - Date.now() / 1000;
  return left <= 0 ? "deadline has passed" : `${span(left)} left`;
}

const WORDS = { ago, until };

export function moment(at, words) {
  const date = new Date(at * 1000);
  const isReal = !Number.isNaN(date.getTime());
  return el("time", {
    datetime: isReal ? date.toISOString() : null,
    title: isReal ? full.format(date) : null,
    "data-at": at,
    "data-words": words,
  }, WORDS[words](at));
}

export const clock = (at) => full.format(new Date(at * 1000));

// Times that are on the page move on by themselves; a screen reader is not told.
setInterval(() => {
  for (const node of document.querySelectorAll("time[data-at]")) {
    const text = WORDS[node.dataset.words](Number(node.dataset.at));
    if (node.textContent !== text) node.textContent = text;
  }
}, 1000);

export function plain(value) {
  if (typeof value === "string") return value;
  if (value === null || value === undefined) return "nothing";
  if (typeof value !== "object") return String(value);
  return JSON.stringify(value, null, 2);
}

export function answerText(question) {
  const { value } = question.response;
  if (question.type === "approval") return value ? "Approved" : "Rejected";
  if (question.type === "multi_selection") return value.length === 0 ? "None of them" : value.join("\n");
  return plain(value);
}
