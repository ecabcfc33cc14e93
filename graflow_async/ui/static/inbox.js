// The list of open questions, with a filter; it only shows, what is open is told to it.

import { el, freshId, show } from "./dom.js";
import { kindName, moment } from "./format.js";

const MOST_SHOWN = 300;

function words(question) {
  const { prompt, request_id: name, workflow, run_id: run, task_id: task, assignee } = question;
  return [prompt, name, workflow, run, task, assignee || ""].join("\n").toLowerCase();
}

export class InboxView {
  constructor() {
    this.questions = new Map();
    this.more = 0;
    this.selected = null;
    this.items = new Map();
    const id = freshId();
    this.filter = el("input", { id, type: "search", autocomplete: "off", oninput: () => this.render() });
    this.count = el("p", { class: "count", role: "status" });
    this.list = el("ul", { class: "list" });
    this.empty = el("p", { class: "empty" });
    this.node = el("section", { class: "inbox", "aria-label": "Open questions" },
      el("div", { class: "field filter" }, el("label", { for: id }, "Filter"), this.filter),
      this.count, this.list, this.empty);
  }

  reset(questions, more) {
    this.questions = new Map(questions.map((question) => [question.id, question]));
    this.items.clear();
    this.more = more;
    this.render();
  }

  // Take in one question as it is now; those that are not open leave the list.
  update(question) {
    this.items.delete(question.id);
    if (question.state === "pending") this.questions.set(question.id, question);
    else this.questions.delete(question.id);
    this.render();
  }

  select(id) {
    this.selected = id;
    for (const [key, item] of this.items) mark(item, key === id);
  }

  next() {
    return this.sorted()[0] || null;
  }

  sorted() {
    return [...this.questions.values()].sort((a, b) => a.created_at - b.created_at || (a.id < b.id ? -1 : 1));
  }

  item(question) {
    let item = this.items.get(question.id);
    if (item === undefined) {
      item = el("li", {}, el("a", { href: `#q=${question.id}`, class: "card" },
        el("span", { class: "card-prompt said", dir: "auto" }, question.prompt),
        el("span", { class: "facts" },
          el("span", {}, kindName(question.type)),
          question.workflow === "" ? null : el("span", { class: "said" }, question.workflow),
          question.assignee === null ? null : el("span", { class: "said" }, `for ${question.assignee}`),
          moment(question.created_at, "ago"),
          question.deadline === null ? null : el("span", { class: "deadline" }, moment(question.deadline, "until")))));
      mark(item, question.id === this.selected);
      this.items.set(question.id, item);
    }
    return item;
  }

  render() {
    const wanted = this.filter.value.trim().toLowerCase();
    const all = this.sorted();
    const found = wanted === "" ? all : all.filter((question) => words(question).includes(wanted));
    const focused = document.activeElement;
    const isInside = this.list.contains(focused);
    show(this.list, ...found.slice(0, MOST_SHOWN).map((question) => this.item(question)));
    if (isInside) focused.focus();
    const left = Math.max(0, found.length - MOST_SHOWN) + this.more;
    const open = `${all.length} open${left > 0 ? `, ${left} more not shown` : ""}`;
    this.count.textContent = wanted === "" ? open : `${found.length} of ${open}`;
    this.empty.textContent = all.length === 0 ? "Nobody is waiting for an answer." : "Nothing fits this filter.";
    this.empty.hidden = found.length > 0;
  }
}

function mark(item, isSelected) {
  if (isSelected) item.firstChild.setAttribute("aria-current", "true");
  else item.firstChild.removeAttribute("aria-current");
}
