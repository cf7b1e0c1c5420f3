// Text -> segments, in the form that the page shows (translator/report/templates/page.js).

class Translator {
  constructor(data, weights, kernel) {
    this.data = data;
    this.tokenizer = new Tokenizer(data.tokenizer);
    this.codec = new Codec(this.tokenizer, data.codec);
    this.splitter = new Splitter(data.sentences);
    this.network = new Network(data.model, weights, kernel);
  }

  sourceIds(source) { return [...this.data.tag, ...source.ids, EOS]; }

  // The sentences of a text, each with what stands before and behind it.
  cut(text) {
    const found = [];
    let before = "";
    for (const line of text.split(/(\n)/)) {
      const body = strip(line);
      if (!body) { before += line; continue; }
      const head = line.slice(0, line.indexOf(body[0]));
      before += head;
      for (const [sentence, space] of this.splitter.split(body)) {
        for (const [part, gap] of this.splitter.splitLong(sentence, (t) => this.fits(t))) {
          const after = gap || space;
          const hasWords = [...part].filter((letter) => /\p{L}/u.test(letter)).length > 1
            || /^\P{L}*[IaA]\P{L}*$/u.test(part);
          if (!hasWords) before += part + after;
          else { found.push({ before, source: part, after }); before = ""; }
        }
      }
      const tail = line.slice(head.length + body.length);
      if (before || !found.length) before += tail;
      else found.at(-1).after += tail;
    }
    return [found, before];
  }

  fits(text) {
    const { ids, copies } = this.codec.encode(this.codec.normalise(text));
    return ids.length <= this.data.search.max_pieces && copies.length <= this.tokenizer.copies.length;
  }

  async translate(text, progress = () => {}, pause = async () => {}) {
    const [parts, rest] = this.cut(text);
    const segments = [];
    for (const { before, source, after } of parts) {
      progress(segments.length, parts.length);
      segments.push({ before, after, ...await this.sentence(source, pause) });
    }
    if (segments.length) segments.at(-1).after += rest;
    else segments.push({ ...this.empty(), before: rest });
    return segments;
  }

  empty() {
    return { source: "", translation: "", before: "", after: "", confidence: null, sourceWords: [], words: [] };
  }

  async sentence(text, pause) {
    const normal = this.codec.normalise(text), source = this.codec.encode(normal);
    const sourceIds = this.sourceIds(source);
    const { ids } = await beamSearch(this.network, sourceIds, this.data.search, pause);
    const rows = attention(this.network, sourceIds, ids).map((row) => row.subarray(this.data.tag.length));
    const complete = this.complete(source, ids, rows);
    const translation = strip(this.codec.decode(complete, source));
    const sourceWords = normal.split(" ");
    // Rows of pieces that the model did not write itself are missing: then there are no links.
    const words = translation.split(WHITE).filter(Boolean).map((word) => ({ text: word, from: [] }));
    if (complete.length === ids.length) this.link(source, normal, ids, rows, sourceWords, words);
    return { source: text, translation, confidence: null, sourceWords, words };
  }

  // Inserts the placeholders that the model skipped where it looked at them most.
  complete(source, ids, rows) {
    const places = [];
    this.tokenizer.copies.slice(0, source.copies.length).forEach((placeholder) => {
      if (ids.includes(placeholder)) return;
      const column = source.ids.indexOf(placeholder);
      let place = 0;
      ids.forEach((_, t) => { if (rows[t][column] > rows[place][column]) place = t; });
      place = ids.length ? place + 1 : 0;
      while (place < ids.length && !this.tokenizer.startsWord(ids[place])) place++;
      places.push([place, placeholder]);
    });
    const completed = [...ids];
    places.sort((a, b) => b[0] - a[0] || b[1] - a[1]);
    for (const [place, placeholder] of places) completed.splice(place, 0, placeholder);
    return completed;
  }

  // Links words that choose each other, see translator/translation/word_alignment.py.
  link(source, text, ids, rows, sourceWords, words) {
    const from = this.sourceWordOf(source, text), to = this.targetWordOf(source, ids);
    const scores = words.map(() => new Float32Array(sourceWords.length));
    const pieces = words.map((_, w) => to.filter((word) => word === w).length);
    ids.forEach((_, t) => {
      const row = scores[to[t]];
      if (row) from.forEach((word, s) => { row[word] += rows[t][s] / pieces[to[t]]; });
    });
    const sums = sourceWords.map((_, s) => scores.reduce((sum, row) => sum + row[s], 0.1));
    const shares = scores.map((row) => row.map((value, s) => value / sums[s]));
    const highest = (values) => values.indexOf(Math.max(...values));
    words.forEach((word, w) => {
      const s = highest([...shares[w]]);
      if (highest(shares.map((row) => row[s])) === w) word.from = [s];
    });
  }

  sourceWordOf(source, text) {
    let word = -1, glued = false, n = 0;
    return source.ids.map((id) => {
      const copy = this.tokenizer.copies.includes(id) ? source.copies[n++] : null;
      if (copy) {
        const at = text.slice(0, copy.start).split(" ").length - 1;
        word = at + copy.text.split(" ").length - 1;
        glued = copy.glued;
        return at;
      }
      if (this.tokenizer.startsWord(id) && !glued) word++;
      glued = false;
      return Math.max(word, 0);
    });
  }

  targetWordOf(source, ids) {
    return ids.map((_, t) =>
      strip(this.codec.decode(ids.slice(0, t + 1), source)).split(WHITE).length - 1);
  }
}

// The bytes of a file that export/page.py packed, from base64.
async function unpack(text) {
  const binary = atob(text), bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

// Bits of a number in fp16 -> the number.
function half(bits) {
  const exponent = (bits >> 10) & 31, fraction = bits & 1023;
  const size = exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24;
  return bits & 0x8000 ? -size : size;
}

// Weights by name: `codes` are int8 or fp16 matrices in the order of `shapes`, `numbers` the steps
// of the former, one a row, and all vectors. Matrices go to where the kernel reads them.
function readWeights(shapes, codes, numbers, kernel) {
  const floats = new Float32Array(numbers), weights = {};
  let code = 0, number = 0;
  for (const { name, rows, columns, kind } of shapes) {
    if (kind === "vector") {
      weights[name] = { data: floats.subarray(number, number + rows) };
      number += rows;
    } else if (kind === "float16") {
      const data = kernel.matrix(rows * columns), part = new Uint16Array(codes, code, data.length);
      for (let i = 0; i < data.length; i++) data[i] = half(part[i]);
      weights[name] = { data, rows, columns };
      code += 2 * data.length;
    } else {
      const data = kernel.matrix(rows * columns), part = new Int8Array(codes, code, data.length);
      for (let r = 0, i = 0; r < rows; r++) {
        const step = floats[number++];
        for (let c = 0; c < columns; c++, i++) data[i] = part[i] * step;
      }
      weights[name] = { data, rows, columns };
      code += data.length;
    }
  }
  return weights;
}

async function load(packed, useSimd = true) {
  const data = JSON.parse(new TextDecoder().decode(await unpack(packed.data)));
  const [codes, numbers] = [await unpack(packed.codes), await unpack(packed.numbers)];
  const sizes = data.shapes.filter(({ kind }) => kind !== "vector");
  const size = sizes.reduce((sum, { rows, columns }) => sum + rows * columns + 4, 0);
  const scratch = MOST * Math.max(...sizes.map(({ rows, columns }) => rows + columns));
  const kernel = new Kernel(size, scratch, useSimd);
  return new Translator(data, readWeights(data.shapes, codes, numbers, kernel), kernel);
}
