// Text <-> ids: SentencePiece's unigram segmentation, and what surrounds it (text/codec.py).
//
// `data` is what export/page.py writes: the pieces with their scores, maps of letters, and the
// regular expressions of translator/text/, so that each rule has one home.

const PAD = 0, UNK = 1, BOS = 2, EOS = 3;
const SPACE_MARK = "\u2581", ESCAPE = "\u{10fffe}", STAND_IN = "\ue000";

class Tokenizer {
  constructor(data) {
    this.pieces = data.pieces;
    this.scores = Float32Array.from(data.scores);
    this.control = new Set(data.control);
    this.bytes = data.bytes; // the id of each byte
    this.byteOf = new Map(data.bytes.map((id, byte) => [id, byte]));
    this.copies = data.copies;
    this.ids = new Map(); // of the pieces that text is cut into
    this.longest = 0;
    let lowest = Infinity;
    data.pieces.forEach((piece, id) => {
      if (id === UNK || this.control.has(id) || this.byteOf.has(id)) return;
      this.ids.set(piece, id);
      this.longest = Math.max(this.longest, [...piece].length);
      lowest = Math.min(lowest, this.scores[id]);
    });
    this.unknown = Math.fround(lowest - 10); // the score of a character that no piece has
  }

  // The likeliest segmentation. Sums are rounded to 32 bits, as SentencePiece's are.
  encode(text) {
    if (!text) return [];
    const marked = SPACE_MARK + text.replaceAll(SPACE_MARK, ESCAPE).replaceAll(" ", SPACE_MARK);
    const letters = [...marked];
    const best = new Array(letters.length + 1).fill(null);
    best[0] = { score: 0, start: -1, id: -1 };
    for (let start = 0; start < letters.length; start++) {
      const { score } = best[start];
      const offer = (end, id, gain) => {
        const sum = Math.fround(gain + score);
        if (!best[end] || sum > best[end].score) best[end] = { score: sum, start, id };
      };
      let piece = "", single = false;
      for (let end = start + 1; end <= letters.length && end - start <= this.longest; end++) {
        piece += letters[end - 1];
        const id = this.ids.get(piece);
        if (id === undefined) continue;
        single ||= end === start + 1;
        offer(end, id, this.scores[id]);
      }
      if (!single) offer(start + 1, UNK, this.unknown);
    }
    const ids = [];
    for (let end = letters.length; end > 0; end = best[end].start) {
      const { id, start } = best[end];
      if (id !== UNK) ids.push(id);
      else {
        const bytes = new TextEncoder().encode(letters[start]);
        ids.push(...[...bytes].reverse().map((byte) => this.bytes[byte]));
      }
    }
    return ids.reverse();
  }

  decode(ids) {
    const parts = [];
    let bytes = [];
    const flush = () => {
      while (bytes.length) {
        const [letter, length] = firstLetter(bytes);
        parts.push(letter);
        bytes.splice(0, length);
      }
    };
    for (const id of ids) {
      if (this.control.has(id)) continue;
      if (this.byteOf.has(id)) bytes.push(this.byteOf.get(id));
      else { flush(); parts.push(id === UNK ? " \u2047 " : this.pieces[id]); }
    }
    flush();
    const text = parts.join("").replaceAll(SPACE_MARK, " ").replaceAll(ESCAPE, SPACE_MARK);
    return text.startsWith(" ") ? text.slice(1) : text;
  }

  startsWord(id) { return this.pieces[id].startsWith(SPACE_MARK); }
}

// The character that bytes begin with, and its length; a byte that none begins with stands alone.
function firstLetter(bytes) {
  const length = bytes[0] < 0x80 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
  try {
    const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return [strict.decode(Uint8Array.from(bytes.slice(0, length))), length];
  } catch {
    return ["\ufffd", 1];
  }
}

const WHITE = /[\s\x1c-\x1f\x85]+/u; // what separates words, in Python
const stripStart = (text) => text.replace(new RegExp(`^${WHITE.source}`, "u"), "");
const strip = (text) => stripStart(text).replace(new RegExp(`${WHITE.source}$`, "u"), "");
const isWord = (letter) => letter !== undefined && /[\p{L}\p{N}]/u.test(letter);

class Codec {
  constructor(tokenizer, data) {
    this.tokenizer = tokenizer;
    this.known = new Set(data.known);
    this.plain = data.plain;
    const regex = (name, flags = "gu") => new RegExp(data.patterns[name], flags);
    this.protected = regex("protected");
    this.mayHold = regex("mayHold", "u");
    this.run = regex("run");
    this.invisible = regex("invisible");
    this.idleJoiner = regex("idleJoiner");
    this.tail = data.tail;
    const standIn = tokenizer.encode(STAND_IN);
    this.standIn = standIn.slice(-3);
    this.space = standIn.slice(0, -3);
  }

  normalise(text) {
    const visible = text.replace(this.invisible, "").replace(this.idleJoiner, "");
    return visible.normalize("NFC").split(WHITE).filter(Boolean).join(" ");
  }

  protectedSpans(text) {
    if (!this.mayHold.test(text)) return [];
    return [...text.matchAll(this.protected)].map((m) => [m.index, m.index + m[0].length]);
  }

  // Words with, and signs that are, characters which the vocabulary cannot spell.
  unknownSpans(text, known) {
    const found = [];
    const covered = (i) => known.some(([start, end]) => start <= i && i < end);
    for (const match of text.matchAll(this.run)) {
      const unknown = [];
      let at = match.index;
      for (const letter of match[0]) {
        if (!this.known.has(letter) && !covered(at)) unknown.push([at, at + letter.length]);
        at += letter.length;
      }
      if (!unknown.length) continue;
      if (isWord(match[0]) || match[0][0] === "_") found.push([match.index, at]);
      else found.push(...unknown);
    }
    return found;
  }

  merge(spans, text) {
    const merged = [];
    for (let [start, end] of spans) {
      for (;;) {
        const next = end < text.length ? String.fromCodePoint(text.codePointAt(end)) : "";
        if (!next || !(this.tail.includes(next) || /\p{M}/u.test(next))) break;
        end += next.length;
      }
      const last = merged.at(-1);
      if (last && !strip(text.slice(last[1], start))) last[1] = Math.max(end, last[1]);
      else merged.push([start, end]);
    }
    return merged;
  }

  // A normalised text -> {ids, copies}: placeholder i stands for copies[i].
  encode(text) {
    const spans = this.protectedSpans(text);
    const all = [...spans, ...this.unknownSpans(text, spans)].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    const copies = [];
    let masked = "", position = 0;
    for (const [start, end] of this.merge(all, text)) {
      const after = end < text.length ? String.fromCodePoint(text.codePointAt(end)) : undefined;
      const glued = isWord(after);
      const spaced = start === 0 || WHITE.test(text[start - 1]);
      copies.push({ text: text.slice(start, end), spaced, glued, start });
      masked += text.slice(position, start) + STAND_IN + (glued ? " " : "");
      position = end;
    }
    masked += text.slice(position);
    masked = [...masked].map((letter) => this.plain[letter] ?? letter).join("");
    const ids = [];
    let n = 0;
    const ends = (part) => part.every((id, i) => ids[ids.length - part.length + i] === id);
    for (const id of this.tokenizer.encode(masked)) {
      ids.push(id);
      if (ids.length < 3 || !ends(this.standIn)) continue;
      ids.length -= 3;
      if (this.space.length && ids.at(-1) === this.space[0]) ids.pop();
      ids.push(this.tokenizer.copies[n++ % this.tokenizer.copies.length]);
    }
    return { ids, copies };
  }

  // Ids -> text, each placeholder of the source once.
  decode(ids, source) {
    const { copies } = this.tokenizer;
    const left = new Map(source.copies.slice(0, copies.length).map((span, i) => [copies[i], span]));
    let text = "", glued = false, group = [];
    const flush = () => {
      if (!group.length) return;
      let part = this.tokenizer.decode(group).replaceAll("\n", " ");
      if (text && this.tokenizer.startsWord(group[0])) part = ` ${part}`;
      text += glued ? stripStart(part) : part;
      glued = false;
      group = [];
    };
    for (const id of ids) {
      if (!copies.includes(id)) { group.push(id); continue; }
      flush();
      const span = left.get(id);
      if (!span) continue;
      left.delete(id);
      if (span.spaced && text && !WHITE.test(text.at(-1))) text += " ";
      text += span.text;
      glued = span.glued;
    }
    flush();
    return text;
  }
}
