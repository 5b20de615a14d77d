
const timeout = 20_000; // milliseconds

// post sends one request and never throws. The status is 0 if there was no answer. The request may have arrived nevertheless.
async function post(path, body) {
  try {
    const response = await fetch(path, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
      credentials: 'same-origin', redirect: 'error', referrerPolicy: 'no-referrer', signal: AbortSignal.timeout(timeout),
    });
    const answer = await response.json().catch(() => ({})); // a proxy may answer without JSON
    return {
      status: response.status, answer, code: response.headers.get('X-Error-Code') ?? '', wait: Number(response.headers.get('Retry-After')) || 0,
      issue: Array.isArray(answer.detail) ? answer.detail[0].msg.replace(/^Value error, /, '') : '',
    };
  } catch {
    return { status: 0, answer: {}, code: '', wait: 0, issue: '' };
  }
}

// failure says in plain words why there is no answer, and what to do.
function failure({ status, wait }) {
  if (status === 0) return 'There is no connection. Check that you are online, then try again.';
  const later = wait > 1 ? `in ${wait} seconds` : 'in a moment';
  if (status === 429) return `Too many requests came from your network. Try again ${later}.`;
  if (status === 503) return `The service is busy. Try again ${later}.`;
  return 'The service could not answer. Try again in a moment.';
}
