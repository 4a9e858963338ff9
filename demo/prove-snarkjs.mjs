// Proves with snarkjs in this process: a peer for `cargo xtask bench`, and a
// reference in tests.
//
//   node prove-snarkjs.mjs --wasm FILE --zkey FILE --vkey FILE --input FILE
//                          [--runs 1] [--out DIR]
//
// Prints one line of JSON: {"runs":[{witness_ms,prove_ms,verify_ms,total_ms}…]}.
// With --out, DIR/{proof,public}.json and witness.wtns are those of the last run.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { groth16, wtns } from "snarkjs";
import { args, count, run } from "./args.mjs";

run(async () => {
  const given = args({
    wasm: undefined, zkey: undefined, vkey: undefined, input: undefined,
    runs: "1", out: "",
  });
  const wasm = await readFile(given.wasm);
  const zkey = await readFile(given.zkey);
  const vkey = JSON.parse(await readFile(given.vkey, "utf8"));
  const input = JSON.parse(await readFile(given.input, "utf8"));

  const runs = [];
  let last;
  for (let i = count("runs", given.runs, 1, 1000); i > 0; i -= 1) {
    const witness = { type: "mem" };
    const t0 = performance.now();
    await wtns.calculate(input, wasm, witness);
    const t1 = performance.now();
    const { proof, publicSignals } = await groth16.prove(zkey, witness);
    const t2 = performance.now();
    if (!(await groth16.verify(vkey, publicSignals, proof))) return false;
    const t3 = performance.now();
    runs.push({
      witness_ms: t1 - t0, prove_ms: t2 - t1, verify_ms: t3 - t2, total_ms: t3 - t0,
    });
    last = { proof, publicSignals, witness: witness.data };
  }
  if (given.out) {
    await mkdir(given.out, { recursive: true });
    await writeFile(join(given.out, "proof.json"), JSON.stringify(last.proof));
    await writeFile(join(given.out, "public.json"), JSON.stringify(last.publicSignals));
    await writeFile(join(given.out, "witness.wtns"), last.witness, { mode: 0o600 });
  }
  console.log(JSON.stringify({ runs }));
  return true;
});
