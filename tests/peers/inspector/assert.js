// As much of node:assert as steps.js uses, for the browser.

function same(a, b) {
  if (typeof a !== "object" || a === null || b === null) return Object.is(a, b);
  const keys = Object.keys(a);
  return typeof b === "object" && keys.length === Object.keys(b).length && keys.every((key) => same(a[key], b[key]));
}

function fail(message) {
  throw new Error(message);
}

export default {
  fail,
  ok: (value, message = "not true") => value || fail(message),
  equal: (a, b) => Object.is(a, b) || fail(`${a} is not ${b}`),
  deepEqual: (a, b) => same(a, b) || fail(`${JSON.stringify(a)} is not ${JSON.stringify(b)}`),
  match: (text, pattern) => pattern.test(text) || fail(`${text} does not match ${pattern}`),
  rejects: (promise) => promise.then(() => fail("it went well"), () => {}),
};
