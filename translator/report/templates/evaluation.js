"use strict";
// What the page does beyond showing: attention under the pointer, and a table of all sentences.
// Texts come from the page's JSON and enter it as text nodes only.

document.documentElement.classList.add("with-script");
const splits = [...document.querySelectorAll("script.data")].map(e => JSON.parse(e.textContent));

// --- signatures ---

for (const code of document.querySelectorAll(".signatures code")) {
  const button = element("button", {type: "button", textContent: "copy"});
  button.addEventListener("click", async () => {
    getSelection().selectAllChildren(code);
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "copied";
    } catch {  // some browsers allow it only to pages from a server, or never
      button.textContent = "selected";
    }
  });
  code.after(" ", button);
}

// --- attention: where a piece looked, and what looked at it ---

function look(piece) {
  const card = piece.closest("article"), own = piece.closest(".pieces").dataset.side;
  const weights = splits[card.dataset.split].attention[card.dataset.line];
  const place = Number(piece.dataset.piece);
  const shares = own === "tgt" ? weights[place] : weights.map(row => row[place]);
  const most = Math.max(...shares);
  const names = new Map();
  forget(card);
  for (const other of card.querySelectorAll(".piece")) {
    const number = Number(other.dataset.piece);
    if (other.closest(".pieces").dataset.side === own) {
      other.classList.toggle("chosen", number === place);
    } else {
      other.style.setProperty("--weight", (shares[number] / (most || 1)).toFixed(2));
      other.classList.add("shaded");
      names.set(number, (names.get(number) ?? "") + other.textContent.trim());
    }
  }
  const first = [...names].sort((a, b) => shares[b[0]] - shares[a[0]]).slice(0, 4);
  card.querySelector(".looked").textContent = (own === "tgt" ? "looked at: " : "looked at by: ")
    + first.map(([number, name]) => `${name} ${shares[number].toFixed(2)}`).join(", ");
}

function forget(card) {
  for (const piece of card.querySelectorAll(".shaded, .chosen")) {
    piece.classList.remove("shaded", "chosen");
    piece.style.removeProperty("--weight");
  }
  card.querySelector(".looked").textContent = "";
}

for (const card of document.querySelectorAll("article[data-line]")) {
  card.addEventListener("pointerover", event => {
    const piece = event.target.closest(".piece");
    if (piece) look(piece);
  });
  card.addEventListener("pointerleave", () => {
    const focused = card.querySelector(".piece:focus");
    if (focused) look(focused); else forget(card);
  });
  card.addEventListener("focusin", event => look(event.target));
  card.addEventListener("focusout", () => forget(card));
  // One stop of the Tab key for each text; the arrows go from piece to piece.
  for (const side of card.querySelectorAll(".pieces")) {
    const pieces = [...side.querySelectorAll(".piece")];
    pieces.forEach((piece, n) => { piece.tabIndex = n ? -1 : 0; });
    side.addEventListener("keydown", event => {
      const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      const next = pieces[pieces.indexOf(event.target) + step];
      if (next) { event.preventDefault(); next.focus(); }
    });
  }
}

// --- the table of all sentences ---

function element(name, properties, ...content) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...content);
  return made;
}

// Parts of a text, those at odd places marked.
function marked(parts, mark) {
  return parts.map((part, n) => n % 2 ? element(mark, {}, part) : part);
}

const SOME = 40;  // rows are drawn so many at a time, when they are about to be seen
const table = document.getElementById("table");
if (table) {
  const form = table.querySelector("form"), body = table.querySelector("tbody");
  const buttons = [...table.querySelectorAll("th button")];
  const keys = buttons.map(button => button.dataset.key);
  const lines = splits.flatMap((split, number) => split.lines.map(line => ({...line, split, number})));
  const decimals = {chrf: 1, delta: 1, confidence: 2};
  let order = {key: "chrf", down: false}, chosen = [], drawn = 0;

  // What is searched: all texts of a line, put together when they are first wanted.
  const textOf = line => line.text ??= [line.source, ...[...line.references, ...line.hypotheses]
    .map(parts => parts.join(""))].join("\n").toLowerCase();

  function choose() {
    const want = Object.fromEntries(new FormData(form));
    const text = want.text.trim().toLowerCase();
    chosen = lines.filter(line =>
      (!want.split || line.number === Number(want.split))
      && (!want.seen || line.seen === want.seen)
      && (!want.fault || (want.fault === "any" ? line.faults.length : line.faults.includes(want.fault)))
      && line.chrf >= Number(want.low) && line.chrf <= (want.high === "" ? 100 : Number(want.high))
      && (!text || textOf(line).includes(text)));
    const sign = order.down ? -1 : 1;
    chosen.sort((a, b) => {
      const [x, y] = [a[order.key] ?? null, b[order.key] ?? null];
      if (x === null || y === null) return (x === null) - (y === null);  // unknown ones last
      return sign * (x - y) || a.number - b.number || a.n - b.n;
    });
    for (const button of buttons) {
      const sorted = button.dataset.key === order.key;
      button.parentNode.ariaSort = sorted ? (order.down ? "descending" : "ascending") : "none";
    }
    table.querySelector(".count").textContent =
      `${chosen.length.toLocaleString("en")} of ${lines.length.toLocaleString("en")} sentences`;
    body.replaceChildren();
    drawn = 0;
    draw();
  }

  function draw() {
    body.append(...chosen.slice(drawn, drawn + SOME).map(row));
    drawn = Math.min(drawn + SOME, chosen.length);
    // Seen again, the last row brings the next ones.
    watcher.disconnect();
    if (drawn < chosen.length) watcher.observe(body.lastElementChild);
  }

  const watcher = new IntersectionObserver(
    entries => { if (entries.some(entry => entry.isIntersecting)) draw(); }, {rootMargin: "800px"});

  function row(line) {
    const cells = keys.map(key => {
      const value = line[key];
      const text = value === null ? "–" : key in decimals ? value.toFixed(decimals[key]) : `${value}`;
      const cell = element("td", {className: "n"}, text.replace("-", "−"));
      cell.dataset.label = table.querySelector(`[data-key=${key}]`).textContent;
      return cell;
    });
    cells.splice(1, 0, element("td", {className: "sentence"}, texts(line)));
    return element("tr", {}, ...cells);
  }

  function texts(line) {
    const {src, tgt, name} = line.split, several = line.hypotheses.length > 1;
    const rows = line.source ? [["source", src, [line.source]]] : [];
    for (const parts of line.references) rows.push(["reference", tgt, marked(parts, "del")]);
    line.hypotheses.forEach((parts, n) => rows.push(
      [several ? "AB"[n] : "hypothesis", tgt, marked(parts, "ins")]));
    const list = element("dl", {className: "texts"});
    for (const [label, lang, content] of rows) {
      const key = element("dt", {}, several && label.length === 1
        ? element("span", {className: `key ${label.toLowerCase()}`}, label) : label);
      list.append(key, element("dd", {lang, dir: "auto"}, ...content));
    }
    const about = [...(splits.length > 1 ? [name] : []), ...line.faults.map(fault => `fault: ${fault}`)];
    if (about.length) list.append(element("dd", {className: "about"}, about.join(", ")));
    return list;
  }

  for (const button of buttons) {
    button.addEventListener("click", () => {
      const key = button.dataset.key;
      order = {key, down: order.key === key ? !order.down : false};
      choose();
    });
  }
  form.addEventListener("input", choose);
  form.addEventListener("submit", event => event.preventDefault());
  choose();
}
