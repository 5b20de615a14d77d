// Sends one HTTP request. A refused or failed request throws a Problem.

export class Problem extends Error {
  // status is the HTTP status, or 0 when the server is unreachable.
  // issues are the errors that a 422 answer lists, each as {loc, msg}.
  // mfa is the challenge of a sign-in that needs a second factor, otherwise null.
  // code is the server's name of the error, or '' if the error is the page's own.
  constructor(status, message, issues = [], mfa = null, code = '') {
    super(message);
    this.status = status;
    this.issues = issues;
    this.mfa = mfa;
    this.code = code;
  }

  // stale reports whether the last sign-in or step-up was too long ago for this request.
  get stale() {
    return this.code === 'insufficient_user_authentication';
  }
}

// request returns the decoded JSON answer, or null for an empty answer. A body that is a text is sent as it is, and must be JSON.
export async function request(url, { method = 'GET', body, headers = {}, signal } = {}) {
  const options = { method, headers: { ...headers }, signal, credentials: 'omit', cache: 'no-store', referrerPolicy: 'no-referrer' };
  if (body !== undefined) {
    options.headers['Content-Type'] = 'application/json';
    options.body = typeof body === 'string' ? body : JSON.stringify(body);
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
  const code = response.headers.get('X-Error-Code') ?? '';
  if (Array.isArray(detail)) {
    const issues = detail.map(({ loc, msg }) => ({ loc, msg: msg.replace(/^Value error, /, '') }));
    return new Problem(response.status, issues.map(({ loc, msg }) => `${loc.slice(1).join('.')}: ${msg}`).join('; '), issues, null, code);
  }
  const seconds = response.headers.get('Retry-After');
  const text = typeof detail === 'string' ? detail : `The server answered with status ${response.status}.`;
  return new Problem(response.status, seconds ? `${text} (wait ${seconds} s)` : text, [], answer?.mfa, code);
}
