// node verdict.mjs MODULE.wasm FOLDER: judges every case that has a NAME.verdict
// beside it, and compares. The module gets no import: a verdict needs no clock,
// no randomness, no I/O.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

const [file, folder] = process.argv.slice(2);
const module = await WebAssembly.compile(await readFile(file));
const names = (await readdir(folder)).filter((name) => name.endsWith(".verdict")).sort();
let exports;
let accepted = 0;

for (const [at, name] of names.entries()) {
  // Memory that the module gave is never freed: a new one now and then.
  if (at % 50 === 0) exports = (await WebAssembly.instantiate(module, {})).exports;
  const { memory, room, case: read, verdict } = exports;
  const bytes = await readFile(join(folder, name.slice(0, -".verdict".length)));
  const place = room(bytes.length);
  new Uint8Array(memory.buffer, place, bytes.length).set(bytes);
  const one = read(place, bytes.length);
  if (one === 0) throw new Error(`${name}: no case`);
  const text = verdict(one);
  const length = new DataView(memory.buffer).getUint32(text, true);
  const said = new TextDecoder().decode(new Uint8Array(memory.buffer, text + 4, length));
  const native = await readFile(join(folder, name), "utf8");
  if (said !== native) {
    console.error(`the verdict on ${name} differs in WebAssembly:\n${native}\n${said}`);
    process.exit(1);
  }
  if (said.endsWith("accepted: true\n")) accepted += 1;
}
if (accepted === 0 || accepted === names.length) throw new Error("nothing is compared");
console.log(`${names.length} verdicts, ${accepted} of them accepting`);
