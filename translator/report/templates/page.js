"use strict";
// The translator's page. It knows no server and no model: it talks to an *engine*, and the script
// behind this one makes an engine and calls `startPage(engine)`. translator_engine.js is the one
// that asks a server; an exported page brings its own, which works in a worker.
//
//   engine = {
//     directions: [["en", "de"], ["de", "en"]],  // [source, target]
//     features: {documents, terms, alternatives, detect, key},  // booleans; a missing one is false
//     accept: ".txt,.md",       // if `documents`: the endings of the files that it takes
//     maxCharacters: 10000,     // of a text; 0 = any number
//     async translate(text, {source, target, terms, signal, progress}) -> {
//       source: "en",           // the language: as asked for, or as detected for "auto"
//       target: "de",
//       segments: [segment],    // of the whole text, in order
//     },
//     async continuations(segment, prefix, {source, target, terms, signal}) -> [
//       {word, segment},        // likeliest first; `word` is what follows `prefix` in this one
//     ],                        // if `alternatives`
//     async translateFile(file, {source, target, terms, signal}) -> {name, blob},  // if `documents`
//     setKey(key),              // if `key`: for all requests from now on
//   }
//
//   segment = {
//     source, translation,      // the text of a sentence, without white space at its ends
//     before, after,            // what stands around the translation: white space, marks, numbers.
//                               // The translated text is all before + translation + after in a row.
//     confidence,               // from 0 to 1, or null where nothing is known
//     sourceWords: ["The", "dog"],              // the words of `source`
//     words: [{text: "Der", from: [0]}, ...],   // those of `translation` and whence they come
//   }
//
// `source` may be "auto" if the engine has the feature `detect`. `terms` is a list of pairs [source
// word, target word], maybe empty. `prefix` is the beginning of segment.translation up to a word,
// "" for the first. `progress(done, total)` may be called at any time. Once `signal` (an
// AbortSignal) is aborted, a promise is rejected with its reason and the work is dropped. Any other
// rejection is an Error whose message is shown to the person: one sentence.

const DELAY = 250; // ms from the last key to the translation

function startPage(engine) {
  const features = engine.features;
  const history = historyList((text, direction) => {
    setDirection(...direction);
    $("text").value = text;
    translateNow();
    $("text").focus();
  });
  let result = null; // of the last translation
  let chosen = null; // {segment: index, word: index}
  const running = {}; // the AbortControllers of what is going on: of text, word and file
  let quiet = ""; // what is said where nothing else is: that a document is under way
  let timer = 0;

  // Directions ---------------------------------------------------------------------------------

  function fillSources() {
    const sources = [...new Set(engine.directions.map(([source]) => source))];
    for (const code of [...(features.detect ? ["auto"] : []), ...sources]) {
      $("source").append(make("option", { value: code }, NAMES[code] ?? code));
    }
  }

  function fillTargets(wanted) {
    const source = $("source").value;
    const targets = engine.directions.filter(([from]) => source === "auto" || from === source);
    const codes = [...new Set(targets.map(([, target]) => target))];
    if (source === "auto") codes.unshift("");
    $("target").replaceChildren(
      ...codes.map((code) => make("option", { value: code }, NAMES[code] ?? "the other one")),
    );
    $("target").value = codes.includes(wanted) ? wanted : codes[0];
  }

  function setDirection(source, target) {
    $("source").value = source;
    if (!$("source").value) $("source").selectedIndex = 0;
    fillTargets(target);
    const known = NAMES[$("source").value] && $("source").value !== "auto";
    $("text").lang = known ? $("source").value : "";
    store.write("direction", [$("source").value, $("target").value]);
  }

  function swap() {
    const [source, target] = result
      ? [result.source, result.target]
      : [$("source").value, $("target").value];
    const to = source === "auto" ? "" : source;
    const text = result ? fullText(result.segments) : "";
    const exists = engine.directions.some(([from, into]) => from === target && into === to);
    if (exists) setDirection(target, to);
    if (exists && text) $("text").value = text;
    translateNow();
  }

  // Translating --------------------------------------------------------------------------------

  function say(text, isError = false) {
    $("status").textContent = text || quiet;
    $("status").classList.toggle("error", isError);
  }

  function ended(kind) {
    delete running[kind];
    $("translation").classList.toggle("waiting", Boolean(running.text));
    if (!Object.keys(running).length) $("cancel").hidden = true;
  }

  // Without a word; who cancels is told so.
  function stop(kind) {
    running[kind]?.abort();
    ended(kind);
  }

  async function run(kind, work) {
    stop(kind);
    const mine = new AbortController();
    running[kind] = mine;
    const patience = setTimeout(() => { if (running[kind] === mine) $("cancel").hidden = false; }, 1000);
    $("translation").classList.toggle("waiting", Boolean(running.text));
    try {
      await work(mine.signal);
    } catch (error) {
      const { aborted } = mine.signal;
      if (running[kind] === mine) say(aborted ? "Cancelled." : error.message, !aborted);
    } finally {
      clearTimeout(patience);
      if (running[kind] === mine) ended(kind);
    }
  }

  function options(signal) {
    const terms = features.terms ? parseTerms($("terms").value) : [];
    const [source, target] = [$("source").value, $("target").value];
    const progress = (done, total) => signal.aborted || say(`${done} of ${total} sentences …`);
    return { source, target, terms, signal, progress };
  }

  // Of the languages that were found, for what follows a translation.
  const settled = (signal) => ({ ...options(signal), source: result.source, target: result.target });

  function translateSoon() {
    clearTimeout(timer);
    count();
    timer = setTimeout(translateNow, DELAY);
  }

  function translateNow() {
    clearTimeout(timer);
    const text = $("text").value;
    count();
    if (!text.trim()) {
      stop("text");
      say("");
      show(null);
      return undefined;
    }
    if (engine.maxCharacters && text.length > engine.maxCharacters) {
      stop("text");
      say(`At most ${engine.maxCharacters} characters at once: shorten the text.`, true);
      return undefined;
    }
    return run("text", async (signal) => {
      say("Translating …");
      const found = await engine.translate(text, options(signal));
      if (signal.aborted) return;
      say("");
      show(found);
      history.add(text, [$("source").value, $("target").value]);
    });
  }

  function count() {
    const n = $("text").value.length;
    $("count").textContent = n ? `${n}${engine.maxCharacters ? ` of ${engine.maxCharacters}` : ""} characters` : "";
  }

  // The translation and its words --------------------------------------------------------------

  function show(found) {
    result = found;
    unchoose();
    $("copy").disabled = !found;
    const detected = found && $("source").value === "auto";
    $("detected").textContent = detected ? `${NAMES[found.source] ?? found.source} detected` : "";
    $("translation").lang = found ? found.target : "";
    $("translation").replaceChildren(...(found?.segments ?? []).flatMap(segmentNodes));
    const first = $("translation").querySelector(".word");
    if (first) first.tabIndex = 0;
    $("legend").hidden = !found?.segments.some((segment) => level(segment.confidence));
  }

  function segmentNodes(segment, index) {
    const span = make("span", { class: `segment ${level(segment.confidence)}` });
    let position = 0;
    segment.words.forEach((word, n) => {
      const start = segment.translation.indexOf(word.text, position);
      if (start < 0) return;
      span.append(segment.translation.slice(position, start));
      span.append(make(
        "span",
        { class: "word", role: "button", tabindex: "-1", "data-segment": index, "data-word": n, "aria-pressed": "false" },
        word.text,
      ));
      position = start + word.text.length;
    });
    span.append(segment.translation.slice(position));
    return [segment.before, span, segment.after];
  }

  const place = (node) => ({ segment: Number(node.dataset.segment), word: Number(node.dataset.word) });

  function nodeAt({ segment, word }) {
    return $("translation").querySelector(`[data-segment="${segment}"][data-word="${word}"]`);
  }

  // Marks the words of the source; `alternatives` are asked for only when a word is chosen.
  function look(node) {
    const at = place(node);
    const segment = result.segments[at.segment];
    const from = new Set(segment.words[at.word].from);
    $("sentence").lang = result.source;
    const words = segment.sourceWords.flatMap((word, n) => [
      from.has(n) ? make("mark", {}, word) : word, " ",
    ]);
    $("sentence").replaceChildren(`${segment.words[at.word].text} ← `, ...words);
    $("trust").textContent = trustSentence(segment.confidence);
    if (!chosen || chosen.segment !== at.segment || chosen.word !== at.word) {
      $("others").replaceChildren();
    }
    $("word").hidden = false;
  }

  function mark(node) {
    for (const other of $("translation").querySelectorAll(".word")) {
      other.tabIndex = other === node ? 0 : -1;
      other.classList.toggle("chosen", other === node);
      other.setAttribute("aria-pressed", String(Boolean(chosen) && other === node));
    }
  }

  function unchoose() {
    chosen = null;
    stop("word");
    $("translation").querySelector('[aria-pressed="true"]')?.setAttribute("aria-pressed", "false");
    $("word").hidden = true;
  }

  function choose(node) {
    chosen = place(node);
    mark(node);
    look(node);
    if (!features.alternatives) return undefined;
    const at = chosen;
    const segment = result.segments[at.segment];
    const before = segment.words.slice(0, at.word).reduce(
      (end, word) => segment.translation.indexOf(word.text, end) + word.text.length, 0,
    );
    const prefix = segment.translation.slice(0, before);
    $("others").replaceChildren("…");
    return run("word", async (signal) => {
      const found = await engine.continuations(segment, prefix, settled(signal)).catch((error) => {
        if (chosen === at) $("others").replaceChildren();
        throw error;
      });
      if (signal.aborted || chosen !== at) return;
      const other = found.filter(({ segment: s }) => s.translation !== segment.translation);
      $("others").replaceChildren(
        ...other.map((choice) => alternative(at, segment, choice)),
        ...(other.length ? [] : ["Nothing else is likely here."]),
      );
    });
  }

  function alternative(at, segment, choice) {
    const button = make("button", { type: "button", title: choice.segment.translation }, choice.word);
    button.addEventListener("click", () => {
      const { before, after } = segment;
      const segments = [...result.segments];
      segments[at.segment] = { ...choice.segment, before, after };
      show({ ...result, segments });
      const node = nodeAt(at) ?? nodeAt({ ...at, word: 0 });
      node?.focus();
      if (node) choose(node);
      say("The rest of the sentence follows your choice.");
    });
    return button;
  }

  function walk(event) {
    const words = [...$("translation").querySelectorAll(".word")];
    const at = words.indexOf(event.target);
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    let next = null;
    if (event.key in steps) next = words[at + steps[event.key]];
    else if (event.key === "Home") [next] = words;
    else if (event.key === "End") next = words.at(-1);
    else if (event.key === "Enter" || event.key === " ") choose(event.target);
    else if (event.key === "Escape") unchoose();
    else return;
    event.preventDefault();
    if (next) {
      unchoose();
      mark(next);
      next.focus();
    }
  }

  function onWord(kind, action) {
    $("translation").addEventListener(kind, (event) => {
      if (event.target.classList?.contains("word")) action(event.target, event);
    });
  }

  // Documents ----------------------------------------------------------------------------------

  function translateFile(file) {
    if (!file || !features.documents) return undefined;
    $("result").hidden = true;
    return run("file", async (signal) => {
      quiet = `Translating ${file.name} …`;
      say("");
      const { name, blob } = await engine.translateFile(file, options(signal)).finally(() => {
        if (running.file?.signal === signal) quiet = "";
      });
      if (signal.aborted) return;
      URL.revokeObjectURL($("download").href);
      $("download").href = URL.createObjectURL(blob);
      $("download").download = name;
      $("download").textContent = `Save ${name}`;
      $("result").hidden = false;
      if (document.activeElement !== $("text")) $("download").focus();
      say(`${file.name} is translated.`);
    });
  }

  function listenForFiles() {
    $("upload").hidden = false;
    $("file").accept = engine.accept ?? "";
    $("file").addEventListener("change", () => {
      translateFile($("file").files[0]);
      $("file").value = "";
    });
    onDrop(translateFile);
  }

  async function copy() {
    const text = fullText(result.segments);
    try {
      await navigator.clipboard.writeText(text);
      say("Copied.");
    } catch { // not allowed, as on a page from a file: it is selected instead
      getSelection().selectAllChildren($("translation"));
      say("Selected: press Ctrl-C to copy.");
    }
  }

  // --------------------------------------------------------------------------------------------

  fillSources();
  setDirection(...store.read("direction", [features.detect ? "auto" : engine.directions[0][0], ""]));
  $("terms-box").hidden = !features.terms;
  $("key-box").hidden = !features.key;
  if (!features.alternatives) {
    $("help").textContent = "Choose a word of the translation to see what it came from.";
  }
  if (features.documents) listenForFiles();
  if (features.key) {
    const apply = () => { engine.setKey($("key").value); store.write("key", $("key").value); };
    $("key").value = store.read("key", "");
    $("key-box").open = !$("key").value;
    apply();
    $("key").addEventListener("input", () => { apply(); translateSoon(); });
  }
  $("source").addEventListener("change", () => {
    setDirection($("source").value, $("target").value);
    translateNow();
  });
  $("target").addEventListener("change", () => {
    setDirection($("source").value, $("target").value);
    translateNow();
  });
  $("text").addEventListener("input", translateSoon);
  $("terms").addEventListener("input", translateSoon);
  $("swap").addEventListener("click", swap);
  $("copy").addEventListener("click", copy);
  $("cancel").addEventListener("click", () => Object.values(running).forEach((each) => each.abort()));
  $("clear").addEventListener("click", () => {
    $("text").value = "";
    translateNow();
    $("text").focus();
  });
  onWord("click", choose);
  onWord("mouseover", (node) => { if (!chosen) look(node); }); // its alternatives stay in reach
  onWord("focusin", look);
  onWord("keydown", (_, event) => walk(event));
  // #text=... fills the page, so that a bookmark or another program can.
  const given = new URLSearchParams(location.hash.slice(1)).get("text");
  if (given) $("text").value = given;
  translateNow();
}
