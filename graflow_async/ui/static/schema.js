// A form for a JSON schema whose properties are flat; null for any other, which is answered as JSON.

import { el, freshId } from "./dom.js";

const MOST_FIELDS = 40;
const SIMPLE = new Set(["string", "number", "integer", "boolean"]);
const INPUTS = { date: "date", "date-time": "text", email: "email", uri: "url", time: "text" };

// A property may be written as a reference, or as "this or null", as models of Python are.
function resolved(property, schema) {
  let found = property;
  const reference = typeof found?.$ref === "string" ? /^#\/(\$defs|definitions)\/([^/~%]+)$/.exec(found.$ref) : null;
  if (reference !== null) found = { ...schema[reference[1]]?.[reference[2]], ...found, $ref: undefined };
  if (Array.isArray(found?.anyOf) && found.anyOf.length === 2) {
    const others = found.anyOf.filter((one) => one?.type !== "null");
    if (others.length === 1) found = { ...resolved(others[0], schema), ...found, anyOf: undefined };
  }
  return found;
}

function isSimple(property) {
  if (property === null || typeof property !== "object") return false;
  if (["$ref", "anyOf", "oneOf", "allOf", "not", "if"].some((key) => property[key] !== undefined)) return false;
  if (Array.isArray(property.enum)) {
    return property.enum.length > 0 && property.enum.every((one) => one === null || typeof one !== "object");
  }
  return SIMPLE.has(property.type);
}

function enumField(property, common) {
  const options = property.enum.map((one, index) => el("option", { value: String(index) }, String(one)));
  const input = el("select", common, el("option", { value: "" }, common.required ? "Choose…" : "Nothing"), options);
  const given = property.enum.indexOf(property.default);
  if (given >= 0) input.value = String(given);
  return { input, read: () => (input.value === "" ? undefined : JSON.stringify(property.enum[Number(input.value)])) };
}

function numberField(property, common) {
  const isInteger = property.type === "integer";
  const input = el("input", { ...common, type: "number", inputmode: isInteger ? "numeric" : "decimal" });
  input.step = isInteger ? "1" : "any";
  if (Number.isFinite(property.minimum)) input.min = String(property.minimum);
  if (Number.isFinite(property.maximum)) input.max = String(property.maximum);
  if (Number.isFinite(property.default)) input.value = String(property.default);
  return { input, read: () => (input.value === "" ? undefined : asNumber(input.value)) };
}

// What a number field takes is not always how JSON writes it: ".5", "007".
function asNumber(text) {
  return /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text) ? text : JSON.stringify(Number(text));
}

function textField(property, common) {
  const input = el("input", { ...common, type: INPUTS[property.format] || "text" });
  if (typeof property.default === "string") input.value = property.default;
  return { input, read: () => (input.value === "" && !common.required ? undefined : JSON.stringify(input.value)) };
}

function field(key, property, isRequired) {
  const id = freshId();
  const hint = typeof property.description === "string" ? freshId() : null;
  const title = typeof property.title === "string" ? property.title : key;
  const common = { id, required: isRequired, "aria-describedby": hint, autocomplete: "off" };
  const note = hint === null ? null : el("p", { id: hint, class: "hint said" }, property.description);
  if (!Array.isArray(property.enum) && property.type === "boolean") {
    const input = el("input", { id, type: "checkbox", checked: property.default === true, "aria-describedby": hint });
    return {
      key, read: () => JSON.stringify(input.checked),
      node: el("div", { class: "field" },
        el("label", { class: "choice" }, input, el("span", { class: "said" }, title)), note),
    };
  }
  const make = Array.isArray(property.enum) ? enumField : property.type === "string" ? textField : numberField;
  const { input, read } = make(property, common);
  const mark = isRequired ? null : el("span", { class: "optional" }, " (optional)");
  const label = el("label", { for: id }, el("span", { class: "said" }, title), mark);
  return { key, read, node: el("div", { class: "field" }, label, input, note) };
}

export function schemaForm(schema) {
  const properties = schema?.properties;
  if (schema?.type !== "object" || properties === null || typeof properties !== "object") return null;
  if (["anyOf", "oneOf", "allOf", "not", "if", "$ref", "patternProperties"].some((key) => key in schema)) return null;
  const entries = Object.entries(properties).map(([key, property]) => [key, resolved(property, schema)]);
  const required = new Set(Array.isArray(schema.required) ? schema.required : []);
  const isFlat = entries.length > 0 && entries.length <= MOST_FIELDS
    && entries.every(([, property]) => isSimple(property))
    && [...required].every((key) => Object.hasOwn(properties, key));
  if (!isFlat) return null;
  const fields = entries.map(([key, property]) => field(key, property, required.has(key)));
  return {
    node: el("div", {}, fields.map(({ node }) => node)),
    read() {
      const parts = fields.map(({ key, read }) => [key, read()]).filter(([, value]) => value !== undefined);
      return ["value", `{${parts.map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(",")}}`];
    },
  };
}
