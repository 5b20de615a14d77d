
const find = id => document.getElementById(id);
const base = location.href.replace(/[#?].*$/, '').replace(/[^/]+\/*$/, '');
const token = new URLSearchParams(location.hash.slice(1)).get('token');
history.replaceState(null, '', location.pathname); // the token is not to stay in the history
addEventListener('hashchange', () => location.reload()); // another link, opened in this very tab

function say(text, bad) {
  find('status').textContent = text;
  find('status').classList.toggle('bad', Boolean(bad));
}

// ask posts and returns what was answered, with the text that people are to read as message.
async function ask(form, body) {
  const button = form.querySelector('button');
  button.disabled = true;
  say('One moment…');
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

function offerAgain(email) {
  find('act').hidden = true;
  find('again').hidden = false;
  if (email) find('email').value = email;
}

find('act').addEventListener('submit', async event => {
  event.preventDefault();
  const answer = await ask(find('act'), { token, password: find('password')?.value });
  say(answer.message, !answer.ok);
  if (answer.ok) find('act').hidden = true;
  if (answer.status === 401) offerAgain(answer.email);
  if (answer.redirect_url) {
    find('sign-in').href = answer.redirect_url;
    find('next').hidden = false;
  }
});

find('again').addEventListener('submit', async event => {
  event.preventDefault();
  const answer = await ask(find('again'), { email: find('email').value });
  say(answer.message, !answer.ok);
  if (answer.ok) find('again').hidden = true;
});

if (token) {
  find('act').hidden = false;
} else {
  say('The link is not whole: open it once more from the mail, or ask for another one.', true);
  offerAgain();
}
