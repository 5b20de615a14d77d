// Reads a task as JSON from the standard input, and prints the hashes of its vectors and the results of its receipts.
import { readFileSync } from "node:fs";
import { actionHash, receiptVerifier, type Action } from "./receipt.js";

type Vector = Omit<Action, "arguments"> & { arguments?: string; arguments_repeat?: { before: string; text: string; times: number; after: string } };
type Task = { vectors: Vector[]; issuer: string; audience: string; receipts: { receipt: string; action: Omit<Action, "audience"> }[] };

function argumentsOf({ arguments: text, arguments_repeat: repeat }: Vector): Record<string, unknown> {
  if (repeat) return JSON.parse(repeat.before + repeat.text.repeat(repeat.times) + repeat.after);
  return text ? JSON.parse(text) : {};
}

const task: Task = JSON.parse(readFileSync(0, "utf8"));
const verify = receiptVerifier(task.issuer, task.audience);
const ids: { id?: string; error?: string }[] = [];
for (const { receipt, action } of task.receipts) {
  try {
    ids.push({ id: await verify(receipt, action) });
  } catch (error) {
    ids.push({ error: String(error) });
  }
}
const hashes = task.vectors.map((vector) => actionHash({ ...vector, arguments: argumentsOf(vector) }));
console.log(JSON.stringify({ hashes, receipts: ids }));
