// Shows openapi.json: operations, and the schemas that they name.
"use strict";

function element(tag, words, ...inside) {
  const made = document.createElement(tag);
  if (words) made.textContent = words;
  made.append(...inside);
  return made;
}

function typeOf(schema) {
  if (!schema) return element("span", "");
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    const link = element("a", name);
    link.href = `#${name}`;
    return link;
  }
  if (schema.anyOf) {
    const made = element("span");
    schema.anyOf.forEach((one, i) => made.append(i ? " or " : "", typeOf(one)));
    return made;
  }
  if (schema.enum) return element("span", schema.enum.map((x) => JSON.stringify(x)).join(" or "));
  if (schema.prefixItems) {
    return element("span", `list of ${schema.prefixItems.length}`);
  }
  if (schema.type === "array") return element("span", "list of ", typeOf(schema.items));
  if (schema.type === "object" && schema.additionalProperties) {
    return element("span", "object of ", typeOf(schema.additionalProperties));
  }
  return element("span", schema.type || "anything");
}

function table(schema) {
  const made = element("table");
  const required = new Set(schema.required || []);
  for (const [name, one] of Object.entries(schema.properties || {})) {
    const optional = required.has(name) ? "" : " (optional)";
    made.append(
      element("tr", "", element("td", "", element("code", name), optional),
        element("td", "", typeOf(one)), element("td", one.description || "")));
  }
  return made;
}

function operation(method, path, one) {
  const made = element("details");
  made.append(element("summary", "", element("code", `${method.toUpperCase()} ${path}`), ` ${one.summary}`));
  for (const parameter of one.parameters || []) {
    made.append(element("p", `${parameter.in}: ${parameter.name} (${parameter.schema.type})`));
  }
  if (one.requestBody) {
    made.append(element("h3", "Takes"));
    for (const [kind, content] of Object.entries(one.requestBody.content)) {
      made.append(element("p", "", element("code", kind), " ", typeOf(content.schema),
        ` ${content.schema.description || ""}`));
    }
  }
  made.append(element("h3", "Answers"));
  const answers = element("table");
  for (const [status, answer] of Object.entries(one.responses)) {
    const schema = answer.content && answer.content["application/json"].schema;
    answers.append(element("tr", "", element("td", status), element("td", answer.description),
      element("td", "", typeOf(schema))));
  }
  made.append(answers);
  return made;
}

async function show() {
  const main = document.getElementById("main");
  const found = await (await fetch("openapi.json")).json();
  const made = [element("h2", "Addresses")];
  for (const [path, methods] of Object.entries(found.paths)) {
    for (const [method, one] of Object.entries(methods)) made.push(operation(method, path, one));
  }
  made.push(element("h2", "What requests and answers hold"));
  for (const [name, schema] of Object.entries(found.components.schemas)) {
    const section = element("section", "", element("h3", name), element("p", schema.description || ""),
      table(schema));
    section.id = name;
    made.push(section);
  }
  main.replaceChildren(...made);
}

show().catch((error) => {
  document.getElementById("state").textContent = `The interface could not be read: ${error}`;
});
