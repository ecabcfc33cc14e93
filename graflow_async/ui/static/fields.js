// A form for each type of question. A form has `node`, `read()` -> [name, JSON text], and `buttons` that send it.

import { el, freshId } from "./dom.js";
import { schemaForm } from "./schema.js";

function sendButton() {
  return [{ label: "Send answer", look: "primary" }];
}

function approval() {
  return {
    node: null,
    read: (choice) => ["approved", JSON.stringify(choice)],
    buttons: [
      { label: "Approve", look: "primary", choice: true },
      { label: "Reject", look: "danger", choice: false },
    ],
  };
}

function text() {
  const id = freshId();
  const area = el("textarea", { id, rows: 5, required: true });
  return {
    node: el("div", { class: "field" }, el("label", { for: id }, "Your answer"), area),
    read: () => ["text", JSON.stringify(area.value)],
    buttons: sendButton(),
  };
}

function choices(question, isSeveral) {
  const name = freshId();
  const inputs = (question.options || []).map((option, index) => {
    const input = el("input", {
      type: isSeveral ? "checkbox" : "radio", name, value: String(index), required: !isSeveral,
    });
    return { option, input, node: el("label", { class: "choice" }, input, el("span", { class: "said" }, option)) };
  });
  const chosen = () => inputs.filter(({ input }) => input.checked).map(({ option }) => option);
  return {
    node: el("fieldset", { class: "choices" },
      el("legend", {}, isSeveral ? "Choose any number" : "Choose one"),
      inputs.map(({ node }) => node)),
    read: () => ["selected", JSON.stringify(isSeveral ? chosen() : chosen()[0])],
    buttons: sendButton(),
  };
}

function json(question) {
  const id = freshId();
  const hint = freshId();
  const area = el("textarea", {
    id, rows: 8, required: true, class: "code", spellcheck: "false", autocapitalize: "off", "aria-describedby": hint,
  });
  area.addEventListener("input", () => area.setCustomValidity(""));
  return {
    node: el("div", { class: "field" },
      el("label", { for: id }, "Your answer, as JSON"),
      area,
      el("p", { id: hint, class: "hint" }, 'A text needs quotation marks: "like this".'),
      question.schema === null ? null : el("details", {},
        el("summary", {}, "What is asked for (JSON schema)"),
        el("pre", {}, JSON.stringify(question.schema, null, 2)))),
    read() {
      try {
        JSON.parse(area.value);
      } catch (error) {
        area.setCustomValidity(`This is not JSON: ${error.message}`);
        return null;
      }
      return ["value", area.value];
    },
    buttons: sendButton(),
  };
}

export function formFor(question) {
  switch (question.type) {
    case "approval": return approval();
    case "text": return text();
    case "selection": return choices(question, false);
    case "multi_selection": return choices(question, true);
    default: {
      const made = schemaForm(question.schema);
      return made === null ? json(question) : { ...made, buttons: sendButton() };
    }
  }
}
