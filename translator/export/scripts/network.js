// The Transformer (translator/model/transformer.py) in typed arrays: one sentence at a time, rows of
// numbers one after the other. Letters: S source length, K hypotheses, D d_model, H heads.

function layerNorm(x, n, { weight, bias }) {
  const width = weight.length, y = new Float32Array(x.length);
  for (let r = 0; r < n; r++) {
    const start = r * width;
    let mean = 0, variance = 0;
    for (let i = 0; i < width; i++) mean += x[start + i];
    mean /= width;
    for (let i = 0; i < width; i++) variance += (x[start + i] - mean) ** 2;
    const scale = 1 / Math.sqrt(variance / width + 1e-5);
    for (let i = 0; i < width; i++) y[start + i] = (x[start + i] - mean) * scale * weight[i] + bias[i];
  }
  return y;
}

// Attention of one query (D) to `n` places; `at(i)` is the offset of the i-th in keys and values.
// What each place gets is added to `seen`, if it is given.
function attend(query, q, keys, values, at, n, heads, width, out, o, seen) {
  const size = width / heads, scale = 1 / Math.sqrt(size), weights = new Float32Array(n);
  for (let h = 0; h < heads; h++) {
    const start = h * size;
    let highest = -Infinity, sum = 0;
    for (let i = 0; i < n; i++) {
      const k = at(i) + start;
      let dot = 0;
      for (let j = 0; j < size; j++) dot += query[q + start + j] * keys[k + j];
      weights[i] = dot * scale;
      if (weights[i] > highest) highest = weights[i];
    }
    for (let i = 0; i < n; i++) sum += weights[i] = Math.exp(weights[i] - highest);
    for (let i = 0; i < n; i++) {
      const w = weights[i] / sum, v = at(i) + start;
      if (seen) seen[i] += w;
      for (let j = 0; j < size; j++) out[o + start + j] += w * values[v + j];
    }
  }
}

class Network {
  // `weights`: name -> {data, rows, columns} (matrices) or {data}, by our own names.
  constructor(config, weights, kernel) {
    this.config = config;
    this.linear = kernel.linear.bind(kernel);
    this.weights = weights;
    this.width = config.d_model;
    this.pre = config.norm === "pre";
    this.embedding = weights["embedding.weight"].data;
    const half = this.width / 2;
    this.frequencies = Float32Array.from({ length: half }, (_, i) =>
      Math.exp(-Math.log(10000) * (i / Math.max(half - 1, 1))));
    const layer = (name, cross) => {
      const module = (part) => this.module(`${name}.${part}`);
      const attention = (kind) => ({
        query: module(`${kind}_attention.query`),
        keyValue: module(`${kind}_attention.key_value`),
        output: module(`${kind}_attention.output`),
        norm: module(`${kind}_residual.norm`),
      });
      return {
        self: attention("self"),
        cross: cross ? attention("cross") : null,
        first: module("feed_forward.0"),
        second: module("feed_forward.2"),
        norm: module("feed_forward_residual.norm"),
      };
    };
    const stack = (side, n, cross) => Array.from({ length: n }, (_, i) => layer(`${side}.${i}`, cross));
    this.encoder = stack("encoder", config.n_encoder_layers, false);
    this.decoder = stack("decoder", config.n_decoder_layers, true);
    this.encoderNorm = this.pre ? this.module("encoder_norm") : null;
    this.decoderNorm = this.pre ? this.module("decoder_norm") : null;
    this.output = { weight: this.embedding, bias: null, rows: config.vocab_size, columns: this.width };
  }

  module(name) {
    const { data, rows, columns } = this.weights[`${name}.weight`];
    return { weight: data, bias: this.weights[`${name}.bias`].data, rows, columns };
  }

  embed(id, position, x, start) {
    const scale = Math.sqrt(this.width), half = this.width / 2;
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(position * this.frequencies[i]);
      x[start + i] = this.embedding[id * this.width + i] * scale + Math.sin(angle);
      x[start + half + i] = this.embedding[id * this.width + half + i] * scale + Math.cos(angle);
    }
  }

  enter(x, n, norm) { return this.pre ? layerNorm(x, n, norm) : x; }

  leave(x, n, update, norm) {
    const sum = new Float32Array(x.length);
    for (let i = 0; i < x.length; i++) sum[i] = x[i] + update[i];
    return this.pre ? sum : layerNorm(sum, n, norm);
  }

  feedForward(x, n, layer) {
    const inner = this.linear(this.enter(x, n, layer.norm), n, layer.first, true);
    return this.leave(x, n, this.linear(inner, n, layer.second), layer.norm);
  }

  // Ids -> the encoder's output (S, D) and, for each decoder layer, its keys and values (S, 2D).
  encode(ids) {
    const n = ids.length, width = this.width, heads = this.config.n_heads;
    let x = new Float32Array(n * width);
    ids.forEach((id, i) => this.embed(id, i, x, i * width));
    for (const layer of this.encoder) {
      const entered = this.enter(x, n, layer.self.norm);
      const query = this.linear(entered, n, layer.self.query);
      const both = this.linear(entered, n, layer.self.keyValue);
      const values = both.subarray(width), found = new Float32Array(n * width);
      for (let r = 0; r < n; r++) {
        attend(query, r * width, both, values, (i) => 2 * i * width, n, heads, width, found, r * width);
      }
      x = this.leave(x, n, this.linear(found, n, layer.self.output), layer.self.norm);
      x = this.feedForward(x, n, layer);
    }
    const memory = this.pre ? layerNorm(x, n, this.encoderNorm) : x;
    return { n, memory, cross: this.decoder.map((layer) => this.linear(memory, n, layer.cross.keyValue)) };
  }

  // A hypothesis' cache: for each layer the keys and values of its pieces, one array a piece,
  // shared with the hypotheses that begin alike.
  start() { return { length: 0, layers: this.decoder.map(() => []) }; }

  // Advances K hypotheses by a piece each -> logits (K, V). `seen` (S) gathers where the first looks.
  step(source, ids, caches, seen = null) {
    const n = ids.length, width = this.width, heads = this.config.n_heads;
    let x = new Float32Array(n * width);
    ids.forEach((id, k) => this.embed(id, caches[k].length, x, k * width));
    this.decoder.forEach((layer, l) => {
      const entered = this.enter(x, n, layer.self.norm);
      const query = this.linear(entered, n, layer.self.query);
      const both = this.linear(entered, n, layer.self.keyValue);
      let found = new Float32Array(n * width);
      for (let k = 0; k < n; k++) {
        const rows = [...caches[k].layers[l], both.slice(2 * k * width, 2 * (k + 1) * width)];
        caches[k].layers[l] = rows;
        this.attendRows(query, k * width, rows, found);
      }
      x = this.leave(x, n, this.linear(found, n, layer.self.output), layer.self.norm);
      const asked = this.linear(this.enter(x, n, layer.cross.norm), n, layer.cross.query);
      const cross = source.cross[l], values = cross.subarray(width);
      found = new Float32Array(n * width);
      for (let k = 0; k < n; k++) {
        attend(asked, k * width, cross, values, (i) => 2 * i * width, source.n, heads, width, found,
          k * width, k === 0 ? seen : null);
      }
      x = this.leave(x, n, this.linear(found, n, layer.cross.output), layer.cross.norm);
      x = this.feedForward(x, n, layer);
    });
    for (const cache of caches) cache.length++;
    return this.linear(this.pre ? layerNorm(x, n, this.decoderNorm) : x, n, this.output);
  }

  attendRows(query, q, rows, out) {
    const heads = this.config.n_heads, width = this.width, size = width / heads;
    const scale = 1 / Math.sqrt(size), weights = new Float32Array(rows.length);
    for (let h = 0; h < heads; h++) {
      const start = h * size;
      let highest = -Infinity, sum = 0;
      rows.forEach((row, i) => {
        let dot = 0;
        for (let j = 0; j < size; j++) dot += query[q + start + j] * row[start + j];
        weights[i] = dot * scale;
        highest = Math.max(highest, weights[i]);
      });
      for (let i = 0; i < rows.length; i++) sum += weights[i] = Math.exp(weights[i] - highest);
      rows.forEach((row, i) => {
        const w = weights[i] / sum;
        for (let j = 0; j < size; j++) out[q + start + j] += w * row[width + start + j];
      });
    }
  }
}
