// One question: what is asked, a form that fits, and what became of it.

import * as api from "./api.js";
import { el, freshId, say, show } from "./dom.js";
import { formFor } from "./fields.js";
import { answerText, clock, kindName, moment, plain, stateName } from "./format.js";

export class QuestionView {
  // `options`: mayCancel, onChange(question), onRefused(error)
  constructor(options) {
    this.options = options;
    this.question = null;
    this.node = el("article", { class: "question", "aria-labelledby": "asked" });
  }

  // Show a question. One that is open already stays as it is, with what was typed, unless it has changed.
  update(question) {
    const old = this.question;
    this.question = question;
    const isSame = old !== null && old.id === question.id && old.state === question.state
      && old.revision === question.revision && old.deadline === question.deadline
      && JSON.stringify(old.response) === JSON.stringify(question.response);
    if (isSame) return;
    const isShown = old !== null && old.id === question.id;
    this.render();
    if (isShown && old.revision !== question.revision) this.complain("The question has changed; please read it again.");
    else if (isShown && old.state !== question.state) say(this.outcome() || "The question is open again.");
  }

  focus() {
    this.node.querySelector("#asked")?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }

  render() {
    const { question } = this;
    const [firstLine, ...others] = question.prompt.trim().split("\n");
    const more = others.join("\n").trim();
    this.error = el("p", { class: "error", role: "alert", hidden: true });
    show(this.node,
      el("p", { class: "facts" },
        el("span", { class: `badge ${question.state}` }, stateName(question.state)),
        el("span", {}, kindName(question.type)),
        el("span", {}, "asked ", moment(question.created_at, "ago")),
        question.state === "pending" && question.deadline !== null
          ? el("span", { class: "deadline" }, moment(question.deadline, "until")) : null),
      el("h2", { id: "asked", class: "prompt said", tabindex: "-1", dir: "auto" }, firstLine),
      el("p", { class: "prompt-more said", dir: "auto", hidden: more === "" }, more),
      this.result(),
      this.error,
      this.form(),
      this.details(),
      this.withdrawal());
  }

  outcome() {
    const { question } = this;
    if (question.response !== null && question.state === "expired") return "Expired, and answered afterwards.";
    return question.state === "pending" ? "" : `${stateName(question.state)}.`;
  }

  result() {
    const { question } = this;
    const { response } = question;
    if (question.state === "pending") return null;
    const lines = [];
    if (response !== null) {
      lines.push(el("p", { class: "value said", dir: "auto" }, answerText(question)));
      const who = response.responded_by === null ? "" : ` by ${response.responded_by}`;
      const how = response.is_default ? "Nobody answered in time; this is the default" : `Answered${who}`;
      lines.push(el("p", { class: "hint said" }, `${how}, ${clock(response.responded_at)}`));
      if (response.reason) lines.push(el("p", { class: "reason said", dir: "auto" }, response.reason));
      if (question.state === "expired") {
        lines.push(el("p", {}, "It came after the deadline; the run finds it when it is resumed."));
      }
    } else if (question.state === "expired") {
      lines.push(el("p", {}, "The deadline has passed and the run does not wait any more. ",
        "An answer is kept, for the run to find when it is resumed."));
    } else if (question.state === "cancelled") {
      const when = question.settled_at === null ? "" : `, ${clock(question.settled_at)}`;
      lines.push(el("p", {}, `The question was withdrawn${when}. Nothing has to be done.`));
      if (question.reason) lines.push(el("p", { class: "reason said", dir: "auto" }, question.reason));
    }
    return el("section", { class: `result ${question.state}`, "aria-label": "What became of it" }, lines);
  }

  form() {
    const { question } = this;
    if (question.response !== null || !["pending", "expired"].includes(question.state)) return null;
    const made = formFor(question);
    const reasonId = freshId();
    const reason = el("textarea", { id: reasonId, rows: 2 });
    const buttons = made.buttons.map(({ label, look, choice }) => {
      const button = el("button", { type: choice === undefined ? "submit" : "button", class: look }, label);
      if (choice !== undefined) button.addEventListener("click", () => this.send(form, made, choice, reason.value));
      return button;
    });
    const form = el("form", { class: "answer", autocomplete: "off" },
      made.node,
      el("div", { class: "field" },
        el("label", { for: reasonId }, "Reason", el("span", { class: "optional" }, " (optional)")), reason),
      el("div", { class: "buttons" }, buttons));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (made.buttons[0].choice === undefined) this.send(form, made, undefined, reason.value);
    });
    return form;
  }

  async send(form, made, choice, reason) {
    const given = made.read(choice);
    if (given === null) {
      form.reportValidity();
      return;
    }
    await this.perform(form, () => api.answer(this.question, given[0], given[1], reason));
  }

  // Do something that changes the question, once at a time, and show what came of it.
  async perform(form, action) {
    if (form.getAttribute("aria-busy") === "true") return;
    const controls = [...form.querySelectorAll("button")];
    const busy = (is) => {
      form.setAttribute("aria-busy", String(is));
      for (const control of controls) control.disabled = is;
    };
    busy(true);
    this.complain("");
    try {
      const question = await action();
      this.options.onChange(question);
      this.focus();
    } catch (error) {
      busy(false);
      await this.explain(error);
    }
  }

  async explain(error) {
    if (!(error instanceof api.Refused)) {
      this.complain("Not sent: there is no connection. What you wrote is still here; try again.");
      return;
    }
    if (error.status === 401) {
      this.options.onRefused(error);
      return;
    }
    const asked = this.question;
    if (error.status === 409) {
      try {
        const question = await api.question(asked.id);
        if (this.question.id === asked.id) this.options.onChange(question);
      } catch {
        // What is said below holds anyway.
      }
      const isStale = error.error === "stale";
      this.complain(isStale ? "The question has changed; please read it again."
        : `Your answer came too late: the question is ${stateName(error.state).toLowerCase()} already.`);
      return;
    }
    this.complain(error.status === 404 ? "This question does not exist any more." : error.message);
  }

  complain(text) {
    this.error.textContent = text;
    this.error.hidden = text === "";
    if (text !== "") this.error.scrollIntoView({ block: "nearest" });
  }

  details() {
    const { question } = this;
    const facts = [
      ["Name", question.request_id], ["For", question.assignee], ["Workflow", question.workflow],
      ["Task", question.task_id], ["Run", question.run_id], ["Asked", clock(question.created_at)],
      ["Deadline", question.deadline === null ? null : clock(question.deadline)],
      ["Channel key", question.channel_key],
      ...Object.entries(question.metadata).map(([key, value]) => [key, plain(value)]),
    ].filter(([, value]) => value !== null && value !== "");
    return el("details", { class: "details", open: Object.keys(question.metadata).length > 0 },
      el("summary", {}, "Details"),
      el("dl", {}, facts.map(([key, value]) => [
        el("dt", { class: "said" }, key), el("dd", { class: "said", dir: "auto" }, value)])));
  }

  withdrawal() {
    if (!this.options.mayCancel || this.question.state !== "pending") return null;
    const id = freshId();
    const reason = el("textarea", { id, rows: 2 });
    const form = el("form", { class: "withdrawal" },
      el("p", {}, "The task that waits for the answer is told that nobody will give one."),
      el("div", { class: "field" },
        el("label", { for: id }, "Why", el("span", { class: "optional" }, " (optional)")), reason),
      el("div", { class: "buttons" }, el("button", { type: "submit", class: "danger" }, "Cancel the question")));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.perform(form, () => api.cancel(this.question, reason.value));
    });
    return el("details", { class: "details" }, el("summary", {}, "Cancel this question"), form);
  }
}
