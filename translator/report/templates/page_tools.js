"use strict";
// What page.js is made of: elements, what the browser keeps, words about trust.

const NAMES = { auto: "Detect language", en: "English", de: "German" };
const REMEMBERED = 20; // texts in the history

const $ = (id) => document.getElementById(id);

function make(name, attributes, text = "") {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

// What is kept in this browser, if it keeps anything.
const store = {
  read(key, otherwise) {
    try { return JSON.parse(localStorage.getItem(`translator.${key}`)) ?? otherwise; }
    catch { return otherwise; }
  },
  write(key, value) {
    try { localStorage.setItem(`translator.${key}`, JSON.stringify(value)); } catch { /* none */ }
  },
};

function level(confidence) {
  if (confidence === null || confidence === undefined) return "";
  return confidence >= 0.7 ? "high" : confidence >= 0.4 ? "medium" : "low";
}

function trustSentence(confidence) {
  if (!level(confidence)) return "";
  const share = Math.round(confidence * 10);
  const advice = { high: "", medium: " Worth a second look.", low: " Do not rely on it unread." };
  return `Of ten translations like this one, about ${share} are good.${advice[level(confidence)]}`;
}

function parseTerms(text) {
  return text.split("\n").map((line) => line.split(/\s*[=\t]\s*/, 2).map((part) => part.trim()))
    .filter((pair) => pair.length === 2 && pair[0] && pair[1]);
}

const fullText = (segments) => segments.map((s) => s.before + s.translation + s.after).join("");

// The history as a list; `open(text, direction)` puts an entry back. What was typed on the way to a
// longer text is not worth an entry of its own.
function historyList(open) {
  function show() {
    $("history").replaceChildren(...store.read("history", []).map(({ text, direction }) => {
      const item = make("li", {});
      const short = text.length > 90 ? `${text.slice(0, 90)}…` : text;
      const button = make("button", { type: "button" }, short);
      button.addEventListener("click", () => open(text, direction));
      item.append(button);
      return item;
    }));
  }

  $("forget").addEventListener("click", () => {
    store.write("history", []);
    show();
  });
  show();
  return {
    add(text, direction) {
      const older = store.read("history", []).filter((entry) => !text.startsWith(entry.text));
      store.write("history", [{ text, direction }, ...older].slice(0, REMEMBERED));
      show();
    },
  };
}

// Calls `action` with a file that is dropped on the page.
function onDrop(action) {
  const holds = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!holds(event)) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
  document.addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!holds(event)) return;
    event.preventDefault();
    action(event.dataTransfer.files[0]);
  });
}
