"use strict";
// The engine of a page that a server sends: see page.js. All requests go to that server.

function serverEngine(settings) {
  let key = "";

  async function ask(path, body, signal) {
    const form = body instanceof FormData;
    if (key && form) body.append("api_key", key);
    const response = await fetch(path, {
      method: "POST",
      headers: form ? {} : { "Content-Type": "application/json" },
      body: form ? body : JSON.stringify(key ? { ...body, api_key: key } : body),
      signal,
    }).catch((error) => {
      throw signal.aborted ? error : new Error("The server does not answer: is it running?");
    });
    if (response.ok) return response;
    const said = await response.json().catch(() => ({}));
    throw new Error(said.error ?? `The server answered ${response.status}.`);
  }

  return {
    ...settings,

    setKey(value) { key = value; },

    async translate(text, { source, target, terms, signal }) {
      const body = { q: text, source, target: target || "auto", segments: true };
      if (terms.length) body.terms = terms;
      return (await (await ask("translate", body, signal)).json()).result;
    },

    async continuations(segment, prefix, { source, target, terms, signal }) {
      const body = { q: segment.source, prefix, source, target };
      if (terms.length) body.terms = terms;
      return (await ask("continuations", body, signal)).json();
    },

    async translateFile(file, { source, target, terms, signal }) {
      const body = new FormData();
      body.append("source", source);
      body.append("target", target || "auto");
      if (terms.length) body.append("terms", JSON.stringify(terms));
      body.append("file", file);
      const answer = await (await ask("translate_file", body, signal)).json();
      const address = answer.translatedFileUrl.split("/").slice(-2).join("/");
      const result = await fetch(address, { signal }); // from here, whatever a proxy calls it
      if (!result.ok) throw new Error("The translated document is gone: translate it again.");
      const dot = file.name.lastIndexOf(".");
      const name = `${file.name.slice(0, dot)}.${answer.target}${file.name.slice(dot)}`;
      return { name, blob: await result.blob() };
    },
  };
}

startPage(serverEngine(JSON.parse(document.getElementById("settings").textContent)));
