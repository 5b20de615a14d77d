// One request and its answer, or the Problem that it met.

export class Problem extends Error {
  // issues are what a 422 names: {loc, msg}.
  // mfa is what a sign-in awaits beside the password.
  constructor(status, message, issues = [], mfa = null) {
    super(message);
    this.status = status;
    this.issues = issues;
    this.mfa = mfa;
  }
}

export async function ask(url, { method = 'GET', body, headers = {}, signal } = {}) {
  const options = { method, headers: { ...headers }, signal, credentials: 'omit', cache: 'no-store', referrerPolicy: 'no-referrer' };
  if (body !== undefined) {
    options.headers['Content-Type'] = 'application/json';
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem(0, `${new URL(url, location.href).origin} cannot be reached from this page.`);
  }
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  throw problemOf(response, answer);
}

function problemOf(response, answer) {
  const detail = answer?.detail ?? answer?.error;
  if (Array.isArray(detail)) {
    const issues = detail.map(({ loc, msg }) => ({ loc, msg: msg.replace(/^Value error, /, '') }));
    return new Problem(response.status, issues.map(({ loc, msg }) => `${loc.slice(1).join('.')}: ${msg}`).join('; '), issues);
  }
  const wait = response.headers.get('Retry-After');
  const text = typeof detail === 'string' ? detail : `The server answered ${response.status}.`;
  return new Problem(response.status, wait ? `${text} (wait ${wait} s)` : text, [], answer?.mfa);
}
