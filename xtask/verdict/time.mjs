// node time.mjs MODULE.wasm RUNS CASE...: what a verdict takes in WebAssembly, in
// milliseconds of the process's processor time; one JSON object a line.
import { readFile } from "node:fs/promises";
import { basename } from "node:path";

const [module, runs, ...cases] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(await readFile(module), {});
const { memory, room, case: read, judge_case: judge } = instance.exports;
const now = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

for (const file of cases) {
  const bytes = await readFile(file);
  const at = room(bytes.length);
  new Uint8Array(memory.buffer, at, bytes.length).set(bytes);
  const place = read(at, bytes.length);
  if (place === 0) throw new Error(`${file} is no case`);
  for (let i = 0; i < 5; i++) {
    if (judge(place) !== 1) throw new Error(`${file} does not verify`);
  }
  const times = [];
  for (let i = 0; i < Number(runs); i++) {
    const start = now();
    judge(place);
    times.push(now() - start);
  }
  times.sort((a, b) => a - b);
  const median_ms = times[Math.floor(times.length / 2)];
  console.log(JSON.stringify({ case: basename(file), median_ms }));
}
