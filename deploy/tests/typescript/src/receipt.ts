// How a tool server in TypeScript computes the hash of an action and verifies a receipt.
import { createHash, timingSafeEqual } from "node:crypto";
import canonicalize from "canonicalize";
import { createRemoteJWKSet, jwtVerify } from "jose";

export type Action = { instance: string; customer: string; skill: string; audience: string | null; arguments: Record<string, unknown> };

export function actionHash({ instance, customer, skill, audience, arguments: values }: Action): string {
  const text = canonicalize({ v: 1, instance, customer, skill, audience, arguments: values });
  return createHash("sha256").update(text!, "utf8").digest("hex");
}

type Approved = { instance: string; skill: string; action_hash: string };

/** Returns a function that verifies receipts of one issuer for one audience. Create it once: it keeps the public keys. */
export function receiptVerifier(issuer: string, audience: string) {
  // Five minutes is what the issuer's Cache-Control allows. So a receipt of a revoked key is refused after five minutes.
  const keys = createRemoteJWKSet(new URL(issuer + "/.well-known/countersign-receipts.json"), { cacheMaxAge: 300_000 });
  /** Returns the receipt's jti if the receipt proves the approval of exactly this action. Throws otherwise. */
  return async (receipt: string, want: Omit<Action, "audience">): Promise<string> => {
    const { payload } = await jwtVerify<{ cst: Approved }>(receipt, keys, {
      issuer, audience, algorithms: ["EdDSA"], typ: "countersign-receipt+jwt", clockTolerance: 10, requiredClaims: ["exp", "cst"],
    });
    const { cst, jti } = payload;
    if (!jti) throw new Error("the receipt has no id");
    if (payload.sub !== want.customer || cst.instance !== want.instance || lower(cst.skill) !== lower(want.skill)) {
      throw new Error("the receipt is about another customer, instance or skill");
    }
    // The hash contains the registered spelling of the skill, which the receipt has.
    const hash = actionHash({ ...want, skill: cst.skill, audience });
    if (cst.action_hash.length !== hash.length || !timingSafeEqual(Buffer.from(cst.action_hash), Buffer.from(hash))) {
      throw new Error("the receipt is about other arguments");
    }
    return jti;
  };
}

const lower = (skill: string) => skill.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
