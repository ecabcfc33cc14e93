// The page: which view is shown, where the token comes from, and what the stream of changes does to the views.

import * as api from "./api.js";
import { el, freshId, say, show } from "./dom.js";
import { InboxView } from "./inbox.js";
import { QuestionView } from "./question.js";

const main = document.getElementById("main");
const banner = document.getElementById("banner");
const connection = document.getElementById("connection");
const title = document.title;
const inPath = /\/q\/([^/]+)\/?$/.exec(location.pathname.slice(api.root.pathname.length - 1));
const onlyQuestion = inPath === null ? null : decodeURIComponent(inPath[1]);

let stream = null;

// A token in the fragment was never sent to a server; it leaves the address bar, too.
function takeToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("token");
  if (onlyQuestion !== null) api.keepTokenFor(onlyQuestion);
  if (token === null) return;
  api.setToken(token.trim());
  fragment.delete("token");
  const rest = fragment.toString();
  history.replaceState(null, "", location.pathname + location.search + (rest === "" ? "" : `#${rest}`));
}

function selectedId() {
  const id = new URLSearchParams(location.hash.slice(1)).get("q");
  return id !== null && /^[0-9a-f]{32}$/.test(id) ? id : null;
}

function onState(state, error) {
  connection.className = `connection ${state}`;
  connection.textContent = state === "live" ? "Live" : state === "lost" ? "Reconnecting…" : "";
  if (state === "lost") {
    show(banner, el("span", {}, "The connection is lost; what you see may be out of date. "),
      el("button", { type: "button", onclick: () => stream?.again() }, "Try again now"));
  }
  banner.hidden = state !== "lost";
  if (state === "refused") onRefused(error);
}

function onRefused(error) {
  stream?.stop();
  stream = null;
  if (error.status === 401) askForToken(error);
  else if (error.status === 403 && onlyQuestion === null) askForToken(error);
  else showMessage(error.status === 404 ? "This question does not exist any more." : error.message);
}

function showMessage(text) {
  show(main, el("p", { class: "empty", role: "alert" }, text));
}

function askForToken(error) {
  const id = freshId();
  const input = el("input", { id, type: "password", autocomplete: "off", required: true, spellcheck: "false" });
  const form = el("form", { class: "sign-in" },
    el("h2", {}, "A token is needed"),
    el("p", { class: "hint" }, "It stays in this tab and is forgotten when you close it."),
    el("p", { class: "error", role: "alert", hidden: !api.hasToken() }, `This one was refused: ${error.message}.`),
    el("div", { class: "field" }, el("label", { for: id }, "Token"), input),
    el("div", { class: "buttons" }, el("button", { type: "submit", class: "primary" }, "Open")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    api.setToken(input.value.trim());
    start();
  });
  api.setToken(null);
  connection.textContent = "";
  delete document.body.dataset.view;
  show(main, form);
  input.focus();
}

function startQuestion(id) {
  const view = new QuestionView({ mayCancel: false, onChange: (question) => view.update(question), onRefused });
  show(main, view.node);
  document.body.dataset.view = "single";
  stream = api.follow({ question_id: id }, (name, data) => {
    for (const question of name === "snapshot" ? data.questions : name === "question" ? [data] : []) {
      view.update(question);
    }
  }, onState);
}

class Inbox {
  constructor() {
    this.list = new InboxView();
    this.detail = new QuestionView({
      mayCancel: true, onChange: (question) => this.changed(question), onRefused,
    });
    this.back = el("a", { href: "#", class: "back" }, "All questions");
    this.forward = el("p", { class: "forward" });
    this.side = el("section", { class: "side", "aria-label": "Question" });
    show(main, this.list.node, this.side);
    this.go(false);
  }

  // Show the question that the address names, or none.
  async go(isWanted = true) {
    const id = selectedId();
    this.list.select(id);
    document.body.dataset.view = id === null ? "list" : "detail";
    if (id === null) {
      show(this.side, el("p", { class: "empty" }, "Choose a question to answer it."));
      return;
    }
    if (this.detail.question?.id === id && this.side.contains(this.detail.node)) return;
    const known = this.list.questions.get(id);
    try {
      const question = known || await api.question(id);
      if (selectedId() !== id) return;
      show(this.side, this.back, this.detail.node, this.forward);
      this.detail.update(question);
      this.lead();
      if (isWanted) this.detail.focus();
    } catch (error) {
      if (error.status === 401) onRefused(error);
      else if (selectedId() === id) {
        const text = error.status === 404 ? "There is no such question." : "The question could not be loaded.";
        show(this.side, this.back, el("p", { class: "empty", role: "alert" }, text));
      }
    }
  }

  changed(question) {
    this.list.update(question);
    if (this.detail.question?.id === question.id) this.detail.update(question);
    this.lead();
    this.count();
  }

  // Offer the next open question when the one that is shown is settled.
  lead() {
    const next = this.list.next();
    const isOver = this.detail.question?.state !== "pending";
    show(this.forward, next !== null && isOver ? el("a", { href: `#q=${next.id}` }, "Next open question") : null);
  }

  count() {
    const open = this.list.questions.size;
    document.title = open === 0 ? title : `(${open}) ${title}`;
  }

  onEvent(name, data) {
    if (name === "snapshot") {
      const before = this.list.questions;
      this.list.reset(data.questions, data.more);
      this.count();
      const shown = this.detail.question;
      if (shown === null || !this.side.contains(this.detail.node)) this.go(false);
      else if (this.list.questions.has(shown.id)) this.detail.update(this.list.questions.get(shown.id));
      else if (shown.state === "pending" || before.has(shown.id)) this.refresh(shown.id);
      this.lead();
    } else if (name === "question") {
      const isNew = data.state === "pending" && !this.list.questions.has(data.id);
      this.changed(data);
      if (isNew) say(`A new question: ${data.prompt.slice(0, 200)}`);
    }
  }

  // What was settled while there was no connection is not in the list; ask for it.
  async refresh(id) {
    try {
      const question = await api.question(id);
      if (this.detail.question?.id === id) this.changed(question);
    } catch {
      if (this.detail.question?.id === id) this.detail.complain("This question cannot be reached any more.");
    }
  }
}

let inbox = null;

function start() {
  stream?.stop();
  banner.hidden = true;
  if (onlyQuestion !== null) {
    if (/^[0-9a-f]{32}$/.test(onlyQuestion)) startQuestion(onlyQuestion);
    else showMessage("There is no such question.");
    return;
  }
  inbox = new Inbox();
  stream = api.follow({}, (name, data) => inbox.onEvent(name, data), onState);
}

window.addEventListener("hashchange", () => {
  if (new URLSearchParams(location.hash.slice(1)).has("token")) {
    takeToken();
    start();
  } else if (stream !== null) inbox?.go();
});

takeToken();
start();
