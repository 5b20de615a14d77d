
const byID = id => document.getElementById(id);
const base = location.href.replace(/[#?].*$/, '').replace(/[^/]+\/*$/, '');
const token = new URLSearchParams(location.hash.slice(1)).get('token');
history.replaceState(null, '', location.pathname); // keeps the token out of the browser's history
addEventListener('hashchange', () => location.reload()); // another link was opened in this tab

function showStatus(text, isError) {
  byID('status').textContent = text;
  byID('status').classList.toggle('error', Boolean(isError));
}

// send posts to the form's endpoint and returns the answer. Its message is the text to show.
async function send(form, body) {
  const button = form.querySelector('button');
  button.disabled = true;
  showStatus('One moment…');
  try {
    const response = await fetch(base + form.dataset.endpoint, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body), referrerPolicy: 'no-referrer',
    });
    const answer = await response.json();
    const issue = Array.isArray(answer.detail) ? answer.detail[0].msg.replace(/^Value error, /, '') : answer.detail;
    return { ...answer, ok: response.ok, status: response.status, message: answer.message ?? issue };
  } catch {
    return { ok: false, message: 'The service cannot be reached. Please try again.' };
  } finally {
    button.disabled = false;
  }
}

function showMailForm(email) {
  byID('action').hidden = true;
  if (!byID('new-mail')) return;
  byID('new-mail').hidden = false;
  if (email) byID('email').value = email;
}

byID('action').addEventListener('submit', async event => {
  event.preventDefault();
  const answer = await send(byID('action'), { token, password: byID('password')?.value || undefined, new_password: byID('fresh')?.value || undefined });
  showStatus(answer.message, !answer.ok);
  if (answer.ok) byID('action').hidden = true;
  if (answer.status === 401) showMailForm(answer.email);
  if (answer.status === 409 && byID('signups')) {
    byID('signups').hidden = false;
    byID('password').focus();
  }
  if (answer.redirect_url) {
    byID('sign-in').href = answer.redirect_url;
    byID('next').hidden = false;
  }
});

byID('new-mail')?.addEventListener('submit', async event => {
  event.preventDefault();
  const answer = await send(byID('new-mail'), { email: byID('email').value });
  showStatus(answer.message, !answer.ok);
  if (answer.ok) byID('new-mail').hidden = true;
});

if (token) {
  byID('action').hidden = false;
} else {
  showStatus(`The link is incomplete. Open it from the mail again${byID('new-mail') ? ', or request a new mail here' : ''}.`, true);
  showMailForm();
}
