/** Promises for the callbacks of the official clients. */

import assert from "node:assert/strict";

const LIMIT = 30_000;

/**
 * @param {import("phoenix").Push} push
 * @returns {Promise<any>} the response; rejects with `{response}` if refused
 */
export function ok(push) {
  return new Promise((resolve, reject) => {
    // a join forgets its own timeout when the connection fails
    const late = setTimeout(() => reject(new Error(`no answer in ${LIMIT} ms`)), LIMIT);
    const end = (how) => (response) => {
      clearTimeout(late);
      how(response);
    };
    push
      .receive("ok", end(resolve))
      .receive("error", end((response) => reject(Object.assign(new Error("refused"), { response }))))
      .receive("timeout", end(() => reject(new Error("no answer in time"))));
  });
}

/**
 * The client has no event for most of what happens inside it, so its state is looked at.
 *
 * @param {() => boolean | Promise<boolean>} condition
 * @param {string} what for the error's text
 */
export async function until(condition, what) {
  const end = performance.now() + LIMIT;
  while (!(await condition())) {
    if (performance.now() > end) assert.fail(`waited ${LIMIT} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
