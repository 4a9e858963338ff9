// Verifies a proof with snarkjs, which is not this project's code; exit status
// 0 if it is valid, 1 if not, 2 if it could not be judged.
//
//   node verify.mjs --vkey FILE --proof FILE --public FILE [--meta FILE]
//
// With --meta (of make-input.mjs) the proof must also pass Semaphore's own
// verifier, under its own keys, for the root, message and scope named there.
import { verifyProof } from "@semaphore-protocol/core";
import { packGroth16Proof } from "@zk-kit/utils/proof-packing";
import { readFile } from "node:fs/promises";
import { groth16 } from "snarkjs";
import { args, run } from "./args.mjs";

run(async () => {
  const given = args({ vkey: undefined, proof: undefined, public: undefined, meta: "" });
  const read = async (path) => JSON.parse(await readFile(path, "utf8"));
  const proof = await read(given.proof);
  const signals = await read(given.public);

  const valid = await groth16.verify(await read(given.vkey), signals, proof);
  console.log(`snarkjs: ${valid ? "valid" : "INVALID"}`);
  if (!given.meta) return valid;

  const meta = await read(given.meta);
  const semaphore = await verifyProof({
    ...meta,
    nullifier: signals[1],
    points: packGroth16Proof(proof),
  });
  console.log(`@semaphore-protocol/core: ${semaphore ? "valid" : "INVALID"}`);
  return valid && semaphore;
});
