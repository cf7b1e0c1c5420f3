// Beam search over one sentence, by the rules of translator/search/beam.py (stopping "fast").

function divisor(length, search) {
  const base = search.length_rule === "gnmt" ? (5 + length) / 6 : length;
  return base ** search.length_penalty;
}

const normalised = (logProb, length, search) =>
  (logProb + search.length_reward * length) / divisor(length, search);

// log sum exp of a row of logits, without the pieces that no translation holds.
function logSum(logits, start, size) {
  for (const id of [PAD, UNK, BOS]) logits[start + id] = -Infinity;
  let highest = -Infinity, sum = 0;
  for (let i = start; i < start + size; i++) if (logits[i] > highest) highest = logits[i];
  for (let i = start; i < start + size; i++) sum += Math.exp(logits[i] - highest);
  return highest + Math.log(sum);
}

// The n best continuations [{logProb, parent, id}], best first.
function continuations(logits, beams, size, n, onlyEnd) {
  const best = [];
  let lowest = -Infinity;
  beams.forEach((beam, parent) => {
    const start = parent * size, base = beam.logProb - logSum(logits, start, size);
    const [first, last] = onlyEnd ? [EOS, EOS + 1] : [0, size];
    for (let id = first; id < last; id++) {
      const logProb = logits[start + id] + base;
      if (logProb <= lowest || logProb === -Infinity) continue;
      let place = best.length;
      while (place > 0 && best[place - 1].logProb < logProb) place--;
      best.splice(place, 0, { logProb, parent, id });
      if (best.length > n) best.pop();
      if (best.length === n) lowest = best[n - 1].logProb;
    }
  });
  return best;
}

// The best translation {ids, logProb, score} of source ids, which end with EOS. `pause` is awaited
// after each piece: it may throw, if the work is cancelled.
async function beamSearch(network, sourceIds, search, pause = async () => {}) {
  const source = network.encode(sourceIds), size = network.config.vocab_size, k = search.beam_size;
  const limit = Math.floor(sourceIds.length * search.max_ratio + search.max_extra);
  let beams = [{ ids: [], logProb: 0, cache: network.start() }];
  const finished = [];
  for (let length = 0; ; length++) {
    await pause();
    const last = beams.map((beam) => beam.ids.at(-1) ?? BOS);
    const logits = network.step(source, last, beams.map((beam) => beam.cache));
    const found = continuations(logits, beams, size, k === 1 ? 1 : 2 * k, length >= limit);
    found.slice(0, k).forEach(({ logProb, parent, id }) => {
      if (id !== EOS) return;
      const score = normalised(logProb, length + 1, search);
      finished.push({ ids: beams[parent].ids, logProb, score });
    });
    finished.sort((a, b) => b.score - a.score);
    finished.length = Math.min(finished.length, k);
    beams = found.filter(({ id }) => id !== EOS).slice(0, k).map(({ logProb, parent, id }) => {
      const { ids, cache } = beams[parent];
      return { ids: [...ids, id], logProb, cache: { length: cache.length, layers: [...cache.layers] } };
    });
    const bound = beams.length ? normalised(beams[0].logProb, length + 2, search) : -Infinity;
    const full = finished.length === k && finished[k - 1].score >= bound;
    if (!beams.length || length >= limit || full) return finished[0];
  }
}

// Where the pieces of a translation look: (T, S) rows, the mean of layers and heads.
function attention(network, sourceIds, ids) {
  const source = network.encode(sourceIds), cache = network.start();
  return [BOS, ...ids].map((id) => {
    const seen = new Float32Array(source.n);
    network.step(source, [id], [cache], seen);
    const sum = seen.reduce((a, b) => a + b, 0);
    return seen.map((value) => value / sum);
  });
}
