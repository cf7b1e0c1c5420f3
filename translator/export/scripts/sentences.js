// Where one sentence ends and the next begins: the rules of translator/text/sentences.py, which are
// told there, with its words and regular expressions.

class Splitter {
  constructor(data) {
    this.rules = { ...data.rules };
    for (const name of ["never_last", "seldom_last", "before_number", "starters"]) {
      this.rules[name] = new Set(data.rules[name]);
    }
    this.months = new Set(data.months);
    this.window = data.window;
    this.patterns = {};
    for (const [name, pattern] of Object.entries(data.patterns)) {
      this.patterns[name] = new RegExp(pattern, "u");
    }
    this.cuts = data.cuts.map((pattern) => new RegExp(pattern, "gud"));
  }

  whole(name, text) {
    const match = this.patterns[name].exec(text);
    return match !== null && match.index === 0 && match[0].length === text.length;
  }

  // A text without white space at its ends -> [[sentence, the white space behind it]].
  split(text) {
    const words = [...text.matchAll(/[^\s\x1c-\x1f\x85]+/gu)];
    if (!words.length) return [];
    const parts = [];
    let first = 0, last = 0;
    for (let i = 1; i < words.length; i++) {
      if (this.whole("tail", words[i][0])) continue;
      const end = words[i - 1].index + words[i - 1][0].length;
      const space = text.slice(end, words[i].index);
      if (space !== "\u00a0" && space !== "\u202f" && this.isBoundary(words, first, last, i)) {
        parts.push([text.slice(words[first].index, end), space]);
        first = i;
      }
      last = i;
    }
    return [...parts, [text.slice(words[first].index), ""]];
  }

  isBoundary(matches, first, last, after) {
    const { rules } = this, words = matches.map((match) => match[0]);
    const letters = (word) => [...word];
    const ending = letters(words[last]).slice(-this.window).join("");
    const end = this.patterns.end.exec(ending);
    if (!end) return false;
    const next = words.slice(after, after + 2).map((w) => letters(w).slice(0, this.window).join(""));
    const opening = this.patterns.opening.exec(next.join(" "));
    if (!opening || opening.index !== 0) return false;
    const begin = letters(opening[1])[0];
    if (/\p{Ll}/u.test(begin)) return false;
    if (/[)\]]/.test(end[2]) && !"([".includes(words[first][0])) return false;
    if (end[1] !== ".") return !(".…".includes(end[1][0]) && opening[1] === "I");
    let stem = this.patterns.stem.exec(ending.slice(0, end.index))?.[0] ?? "";
    stem = stem.replace(/^['’.]+/, "");
    let start = last;
    for (let i = last - 1; i >= Math.max(first, last - 4); i--) {
      const letter = words[i].replace(/^[("'“”„‚‘«»]+|[("'“”„‚‘«»]+$/g, "");
      if (letters(letter).length !== 2 || !letter.endsWith(".") || !this.whole("initials", stem)) break;
      stem = letter + stem;
      start--;
    }
    if (start === first) {
      if (this.whole("listMark", stem)) return false;
      const small = stem.slice(0, 1).toLowerCase() + stem.slice(1);
      if (rules.never_last.has(small)) stem = small;
    }
    if (rules.never_last.has(stem)) return false;
    if (rules.before_number.has(stem)) return !this.whole("number", opening[1]);
    const mayGoOn = rules.seldom_last.has(stem) || this.whole("initials", stem)
      || this.whole("clipped", stem)
      || (rules.ordinals && this.isOrdinal(
        stem, words.slice(Math.max(last - 1, first), last + 1), opening[1]));
    return !mayGoOn || rules.starters.has(opening[1]);
  }

  isOrdinal(stem, words, after) {
    if (!this.whole("ordinal", stem)) return false;
    const [before, number] = words.length === 2 ? words : ["", words[0]];
    const bare = before.replace(/\.+$/, "");
    const named = /^\p{N}/u.test(number) && /^\p{L}+$/u.test(bare) && /^\p{Lu}/u.test(before);
    return !named || this.rules.starters.has(before) || this.months.has(after);
  }

  // Cuts a text until every part fits, at the best place near the middle.
  splitLong(text, fits) {
    if (text.length < 2 || fits(text)) return [[text, ""]];
    const middle = text.length >> 1, quarter = text.length >> 2;
    const kinds = this.cuts.map((cut) => [...text.matchAll(cut)].map((m) => m.indices[1]));
    const central = kinds.map((k) => k.filter(([s]) => quarter <= s && s <= text.length - quarter));
    const spaces = [...central, kinds.at(-1)].find((k) => k.length) ?? [[middle, middle]];
    const far = ([s]) => Math.abs(s - middle);
    const [start, end] = spaces.reduce((a, b) => (far(b) < far(a) ? b : a));
    const head = this.splitLong(text.slice(0, start), fits);
    head.at(-1)[1] = text.slice(start, end);
    return [...head, ...this.splitLong(text.slice(end), fits)];
  }
}
