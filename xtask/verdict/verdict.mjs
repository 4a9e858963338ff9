// node verdict.mjs MODULE.wasm SESSION POLICY NOW_MS: prints the verdict of the
// module. It gets no import: a verdict needs no clock, no randomness, no I/O.
import { readFile } from "node:fs/promises";

const [module, session, policy, now] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(await readFile(module), {});
const { memory, room, verdict } = instance.exports;

const put = (bytes) => {
  const at = room(bytes.length);
  new Uint8Array(memory.buffer, at, bytes.length).set(bytes);
  return [at, bytes.length];
};
const places = [put(await readFile(session)), put(await readFile(policy))].flat();
const at = verdict(...places, BigInt(now));
const length = new DataView(memory.buffer).getUint32(at, true);
const text = new Uint8Array(memory.buffer, at + 4, length);
process.stdout.write(new TextDecoder().decode(text));
