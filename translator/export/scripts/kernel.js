// Matrix products, which take nearly all the time: in WebAssembly with SIMD, else in JavaScript.
//
// The module is assembled here, one function for each number of rows n of x up to MOST:
//
//   for each row of W:                          // y (rows, n) = W (rows, columns) x^T
//     sums[0..n) = 0
//     for each four columns: sums[r] += W[four] * x[four][r]     // x lies as (columns / 4, n, 4)
//     y[r] = the four parts of sums[r] in all

const MOST = 6; // more rows would need more registers than there are
const PAGE = 65536;

function assemble() {
  const unsigned = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...unsigned(n >>> 7)]);
  const section = (id, body) => [id, ...unsigned(body.length), ...body];
  const list = (items) => [...unsigned(items.length), ...items.flat()];
  const name = (text) => list([...text].map((c) => [c.charCodeAt(0)]));
  const [I32, V128] = [0x7f, 0x7b];
  const [W, X, Y, ROWS, END, AT, FOUR, SUMS] = [0, 1, 2, 3, 4, 5, 6, 7]; // locals
  const get = (local) => [0x20, local], set = (local) => [0x21, local];
  const number = (n) => [0x41, ...(n < 64 ? [n] : [(n & 127) | 128, n >>> 7])]; // below 8192
  const simd = (code, ...rest) => [0xfd, ...unsigned(code), ...rest];
  const load = (offset) => simd(0, 4, ...unsigned(offset));
  const [zero, add, multiply] = [simd(12, ...new Array(16).fill(0)), simd(228), simd(230)];
  const lane = (i) => simd(31, i);
  const step = (local, by) => [...get(local), ...number(by), 0x6a, ...set(local)];
  const loop = (body, again) => [0x03, 0x40, ...body, ...again, 0x0d, 0, 0x0b];
  const kernel = (n) => {
    const rows = Array.from({ length: n }, (_, r) => r);
    const inner = loop([
      ...get(W), ...load(0), ...set(FOUR),
      ...rows.flatMap((r) => [
        ...get(SUMS + r), ...get(FOUR), ...get(AT), ...load(16 * r), ...multiply, ...add, ...set(SUMS + r),
      ]),
      ...step(W, 16), ...step(AT, 16 * n),
    ], [...get(AT), ...get(END), 0x49]); // at < end
    const whole = (r) => [
      ...get(SUMS + r), ...lane(0), ...get(SUMS + r), ...lane(1), 0x92,
      ...get(SUMS + r), ...lane(2), 0x92, ...get(SUMS + r), ...lane(3), 0x92,
    ];
    const outer = loop([
      ...rows.flatMap((r) => [...zero, ...set(SUMS + r)]),
      ...get(X), ...set(AT), ...inner,
      ...rows.flatMap((r) => [...get(Y), ...whole(r), 0x38, 2, ...unsigned(4 * r)]),
      ...step(Y, 4 * n), ...get(ROWS), ...number(1), 0x6b, ...set(ROWS),
    ], get(ROWS));
    const body = [...list([[1, I32], [1 + n, V128]]), ...outer, 0x0b];
    return [...unsigned(body.length), ...body];
  };
  const all = Array.from({ length: MOST }, (_, i) => i + 1);
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, list([[0x60, ...list([[I32], [I32], [I32], [I32], [I32]]), 0]])),
    ...section(2, list([[...name("m"), ...name("m"), 2, 0, 1]])), // the memory
    ...section(3, list(all.map(() => [0]))),
    ...section(7, list(all.map((n) => [...name(`k${n}`), 0, n - 1]))),
    ...section(10, list(all.map(kernel))),
  ]);
}

class Kernel {
  // `size`: numbers of all matrices; `scratch`: of the largest product's x and y.
  constructor(size, scratch, useSimd = true) {
    const bytes = useSimd ? assemble() : null;
    this.fast = useSimd && typeof WebAssembly === "object" && WebAssembly.validate(bytes);
    const initial = Math.ceil((4 * (size + scratch) + 64) / PAGE);
    const buffer = this.fast
      ? (this.memory = new WebAssembly.Memory({ initial })).buffer
      : new ArrayBuffer(initial * PAGE);
    this.numbers = new Float32Array(buffer);
    this.scratch = 0; // where x and y lie
    this.next = 4 * Math.ceil((scratch + 4) / 4);
    if (this.fast) {
      const module = new WebAssembly.Module(bytes);
      this.run = new WebAssembly.Instance(module, { m: { m: this.memory } }).exports;
    }
  }

  // Room for a matrix.
  matrix(n) {
    const found = this.numbers.subarray(this.next, this.next + n);
    this.next += 4 * Math.ceil(n / 4);
    return found;
  }

  // y (n, rows) = x (n, columns) W^T + b
  linear(x, n, module, relu = false) {
    const { bias, rows, columns } = module, y = new Float32Array(n * rows);
    const fast = this.fast && columns % 4 === 0;
    for (let start = 0; start < n; start += MOST) {
      const some = Math.min(MOST, n - start);
      if (fast) this.product(x, y, start, some, module);
      else plainProduct(x, y, start, some, module);
    }
    if (!bias) return y;
    for (let k = 0, o = 0; k < y.length; k++) {
      const v = y[k] + bias[o];
      y[k] = relu && v < 0 ? 0 : v;
      if (++o === rows) o = 0;
    }
    return y;
  }

  product(x, y, start, n, { weight, rows, columns }) {
    const { numbers } = this, result = n * columns;
    for (let r = 0; r < n; r++) {
      for (let i = 0, from = (start + r) * columns; i < columns; i += 4, from += 4) {
        const to = i * n + 4 * r;
        numbers[to] = x[from]; numbers[to + 1] = x[from + 1];
        numbers[to + 2] = x[from + 2]; numbers[to + 3] = x[from + 3];
      }
    }
    this.run[`k${n}`](weight.byteOffset, 0, 4 * result, rows, 4 * result);
    for (let o = 0, from = result; o < rows; o++) {
      for (let r = 0; r < n; r++) y[(start + r) * rows + o] = numbers[from++];
    }
  }
}

function plainProduct(x, y, start, n, { weight, rows, columns }) {
  for (let r = start; r < start + n; r++) {
    for (let o = 0, w = 0; o < rows; o++) {
      let sum = 0;
      for (let i = 0, at = r * columns; i < columns; i++) sum += weight[w++] * x[at++];
      y[r * rows + o] = sum;
    }
  }
}
