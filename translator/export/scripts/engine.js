"use strict";
// The engine of a page that holds the whole translator: see page.js. The work is done in a worker,
// so the page answers meanwhile.

function offlineEngine(settings, script, packed) {
  const worker = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
  const jobs = new Map();
  let last = 0;
  worker.postMessage({ packed });
  worker.onmessage = ({ data }) => {
    const job = jobs.get(data.job);
    if (!job) return;
    if (data.total !== undefined) return void job.progress?.(data.done, data.total);
    jobs.delete(data.job);
    if (data.segments) job.resolve(data.segments);
    else job.reject(new Error(`The translator failed: ${data.error}.`));
  };
  worker.onerror = (event) => {
    for (const job of jobs.values()) job.reject(new Error(`The translator failed: ${event.message}.`));
    jobs.clear();
  };

  return {
    ...settings,

    translate(text, { source, target, signal, progress }) {
      return new Promise((resolve, reject) => {
        const job = ++last;
        if (signal?.aborted) { reject(signal.reason); return; }
        jobs.set(job, { resolve: (segments) => resolve({ source, target, segments }), reject, progress });
        signal?.addEventListener("abort", () => {
          if (!jobs.delete(job)) return;
          worker.postMessage({ cancel: job });
          reject(signal.reason);
        });
        worker.postMessage({ job, text });
      });
    },
  };
}

const content = (id) => document.getElementById(id).textContent;

startPage(offlineEngine(
  JSON.parse(content("settings")),
  content("worker"),
  { data: content("data"), codes: content("codes"), numbers: content("numbers") },
));
for (const id of ["data", "codes", "numbers", "worker"]) document.getElementById(id).remove();
