// Makes inputs of the Semaphore v4 circuit: a fresh identity for each, the last
// member of a group, with a message and a scope of its own. The other members
// are those of members.txt, the commitments of identities made once: a group's
// members are public, and making a thousand takes a quarter of a minute.
//
//   node make-input.mjs --out DIR [--depth 20] [--members 1000] [--count 1]
//
// DIR/input-<i>.json   what @semaphore-protocol/proof 4.14 hands to
//                      snarkjs.groth16.fullProve, as JSON with decimal strings
// DIR/secret-<i>.txt   the identity's secret scalar, decimal (mode 0600), for
//                      tests that search for leaks
// DIR/meta-<i>.json    depth, root, message, scope: what the proof says
import { Group, Identity } from "@semaphore-protocol/core";
import { keccak256, toBeHex, encodeBytes32String } from "ethers";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { args, count, run } from "./args.mjs";

// As in @semaphore-protocol/proof: text is 32 bytes, right-padded; the hash
// loses its last byte so that it fits the scalar field.
const number = (text) => BigInt(encodeBytes32String(text));
const hash = (value) => (BigInt(keccak256(toBeHex(value, 32))) >> 8n).toString();

run(async () => {
  const given = args({ out: undefined, depth: "20", members: "1000", count: "1" });
  const depth = count("depth", given.depth, 1, 32);
  const members = count("members", given.members, 1, Math.min(2 ** depth, 1000));
  const inputs = count("count", given.count, 1, 1000);
  await mkdir(given.out, { recursive: true });

  const file = await readFile(new URL("members.txt", import.meta.url), "utf8");
  const group = new Group(file.split("\n").slice(0, members - 1).map(BigInt));
  const index = group.size;
  for (let i = 0; i < inputs; i += 1) {
    const identity = new Identity();
    if (i === 0) group.addMember(identity.commitment);
    else group.updateMember(index, identity.commitment);
    const { siblings, index: path, root } = group.generateMerkleProof(index);
    const length = siblings.length;
    const message = number(`message ${i}`);
    const scope = number(`scope ${i}`);
    const input = {
      secret: identity.secretScalar,
      merkleProofLength: length,
      merkleProofIndex: path,
      merkleProofSiblings: Array.from({ length: depth }, (_, at) => siblings[at] ?? 0n),
      scope: hash(scope),
      message: hash(message),
    };
    const meta = { merkleTreeDepth: depth, merkleTreeRoot: root, message, scope };
    await put(`input-${i}.json`, json(input));
    await put(`secret-${i}.txt`, identity.secretScalar.toString());
    await put(`meta-${i}.json`, json(meta));
  }
  return true;

  // Inputs hold the secret too: nobody else reads either.
  function put(name, text) {
    return writeFile(join(given.out, name), text, { mode: 0o600 });
  }
});

function json(value) {
  return JSON.stringify(value, (_, part) =>
    typeof part === "bigint" ? part.toString() : part,
  );
}
