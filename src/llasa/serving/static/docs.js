import { make } from "./common.js";

async function show() {
  const api = await (await fetch("openapi.json")).json();
  const look = schema => schema?.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema ?? {};
  const kind = schema => {
    const { anyOf, enum: values, const: only, type, items, title } = look(schema);
    if (anyOf) return [...new Set(anyOf.map(kind))].filter(name => name !== "null").join(" or ");
    if (values ?? only) return [values ?? only].flat().join(", ");
    return type === "array" ? `list of ${kind(items)}` : type === "object" ? title : type;
  };
  const bounds = schema => [schema, ...(schema.anyOf ?? [])].flatMap(one => [
    ["minimum", "from"], ["exclusiveMinimum", "above"], ["maximum", "to"], ["maxLength", "up to"], ["maxItems", "up to"],
  ].filter(([key]) => one[key] !== undefined).map(([key, word]) => `${word} ${one[key]}`)).join(" ");
  const row = (name, schema, required) => make("tr", {},
    make("th", { scope: "row", textContent: name }),
    make("td", { textContent: `${kind(schema)} ${bounds(look(schema))}` }),
    make("td", { textContent: [required ? "Required." : (schema.default ?? "") !== "" ? `Left out: ${schema.default}.` : "",
      schema.description ?? ""].join(" ") }));
  const fields = body => {
    const { properties = {}, required = [] } = look(Object.values(body?.content ?? {})[0]?.schema);
    return Object.entries(properties).map(([name, schema]) => row(name, schema, required.includes(name)));
  };
  const parts = Object.entries(api.paths).flatMap(([path, methods]) => Object.entries(methods).flatMap(([method, one]) => [
    make("h2", { textContent: `${method.toUpperCase()} ${path}` }),
    make("p", { textContent: one.description ?? one.summary }),
    make("table", {}, ...(one.parameters ?? []).map(each => row(each.name, each.schema, each.required)),
      ...fields(one.requestBody)),
  ]));
  document.getElementById("all").replaceChildren(...parts);
}

show().catch(error => { document.getElementById("all").textContent = `It cannot be shown: ${error.message}`; });
