// The scripts' command lines: `--name value`, each name known, each value given.
import { parseArgs } from "node:util";

export function args(spec) {
  const options = Object.fromEntries(
    Object.keys(spec).map((name) => [name, { type: "string" }]),
  );
  const { values } = parseArgs({ options });
  for (const [name, fallback] of Object.entries(spec)) {
    values[name] ??= fallback;
    if (values[name] === undefined) throw new Error(`--${name} is missing`);
  }
  return values;
}

export function count(name, text, least, most) {
  const number = Number(text);
  if (!Number.isInteger(number) || number < least || number > most) {
    throw new Error(`--${name} must be a whole number from ${least} to ${most}`);
  }
  return number;
}

// Runs `main` and ends the process: snarkjs leaves worker threads behind.
export function run(main) {
  main().then(
    (ok) => process.exit(ok ? 0 : 1),
    (error) => {
      console.error(error.message);
      process.exit(2);
    },
  );
}
