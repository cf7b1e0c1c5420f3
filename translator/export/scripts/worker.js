// Messages of the page -> work: {packed} once, then {job, text} and {cancel: job}.

const BREATH = 50; // ms of work before messages are looked at
let loading = null;
const cancelled = new Set();

async function work({ job, text }) {
  let last = performance.now();
  const pause = async () => {
    if (performance.now() - last > BREATH) {
      await new Promise((resolve) => setTimeout(resolve));
      last = performance.now();
    }
    if (cancelled.delete(job)) throw new Error("cancelled");
  };
  try {
    const translator = await loading;
    await pause();
    const segments = await translator.translate(
      text, (done, total) => postMessage({ job, done, total }), pause);
    postMessage({ job, segments });
  } catch (error) {
    postMessage({ job, error: error.message });
  }
}

let queue = Promise.resolve();
onmessage = ({ data }) => {
  if (data.packed) loading = load(data.packed);
  else if (data.cancel !== undefined) cancelled.add(data.cancel);
  else queue = queue.then(() => work(data)); // one after the other
};
