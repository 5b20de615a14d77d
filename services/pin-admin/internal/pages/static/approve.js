
const token = takeLink();
const countdown = new Countdown();
let view = null; // what the page shows
let unsure = false; // the answer to the last decision was lost
let unlock; // timer for the end of a lock

const pin = byID('pin');

function problem(text) {
  byID('problem').textContent = text;
  pin.setAttribute('aria-invalid', String(Boolean(text)));
  if (text) byID('problem').scrollIntoView({ block: 'nearest' });
}

function clearPIN() { pin.value = ''; }

const mayAskAgain = 'If you still want this, the agent can ask you again.';
const unknown = { mood: 'calm', image: 'link', heading: 'This link is not known', text: ['It may be old or incomplete. Open it again from the message that you received.', mayAskAgain] };
const incomplete = { mood: 'calm', image: 'link', heading: 'The link is incomplete', text: ['Open it again from the message that you received.'] };

// ended returns what the page says about an approval that is not pending.
function ended({ status, reason, session, instance_name, pin: { state, locked_until } }) {
  const name = bdi(instance_name, 'strong');
  switch (status) {
    case 'approved':
      return { mood: 'good', image: 'check', heading: 'Approved', text: [
        session ? [name, ` may now use the protected skills for ${plural(session.minutes, 'minute')}.`] : [name, ' may now do this once.'], 'You can close this page.'] };
    case 'used':
      return { mood: 'good', image: 'check', heading: 'Already used', text: [['You approved this, and ', name, ' has used your approval. The link cannot be used again.'], 'You can close this page.'] };
    case 'denied':
      return reason === 'wrong_pin'
        ? { mood: 'bad', image: 'cross', heading: 'Denied after two wrong PINs', text: ['Nothing was done, and this link is closed.',
          state === 'locked' && `Your PIN is locked until ${until(locked_until)}.`, mayAskAgain] }
        : { mood: 'bad', image: 'cross', heading: 'Denied', text: ['Nothing was done. For some time, the agent cannot ask you for the same again.', 'You can close this page.'] };
    case 'cancelled':
      return { mood: 'calm', image: 'cross', heading: 'No longer needed', text: ['The agent cancelled its request. Nothing was done.'] };
  }
  return { mood: 'calm', image: 'clock', heading: 'The time is over', text: [
    reason === 'pin_changed' ? 'Your PIN was changed or locked after you approved, so the approval is no longer valid. Nothing was done.' : 'Nothing was done.', mayAskAgain] };
}

// blocked returns why this person cannot approve now, or null.
function blocked({ pin: { state, locked_until }, known_browser, known_browser_required, tries_left, instance_name }) {
  const operator = bdi(instance_name, 'strong');
  if (state === 'not_set') {
    return { image: 'key', heading: 'You have no PIN yet', text: [['To approve, you need a PIN. Ask the people who run ', operator, ' for a link with which you choose your PIN, or choose it in your account there.'], 'Then come back to this page.'] };
  }
  if (state === 'locked') {
    return { image: 'lock', heading: 'Your PIN is locked', text: [`There were too many wrong PINs. It is locked until ${until(locked_until)}.`] };
  }
  if (state === 'inactive') {
    return { image: 'lock', heading: 'Your PIN is deactivated', text: [['There were too many wrong PINs. Ask the people who run ', operator, ' for a link with which you choose a new PIN.']] };
  }
  if (known_browser_required && !known_browser) {
    return { image: 'shield', heading: 'Use a browser that is known', text: ['You have not used your PIN in this browser. Open the link in the browser in which you chose your PIN or approved before.'] };
  }
  if (tries_left === 0) {
    return { image: 'clock', heading: 'A PIN is being checked', text: ['Two PINs were typed at this link. Wait a moment, then check again.'] };
  }
  return null;
}

function fillAnswer() {
  const why = blocked(view);
  byID('form').hidden = Boolean(why);
  byID('blocked').hidden = !why;
  clearTimeout(unlock);
  if (why) {
    clearPIN();
    byID('blocked-icon').replaceChildren(icon(why.image));
    byID('blocked-title').textContent = why.heading;
    byID('blocked-text').replaceChildren(...why.text.map(paragraph => el('p', {}, ...[paragraph].flat())));
    const { state, locked_for } = view.pin;
    if (state === 'locked' && locked_for < 3600) unlock = setTimeout(refresh, (locked_for + 1) * 1000);
  }
  const phrase = byID('phrase');
  phrase.hidden = Boolean(why);
  phrase.classList.toggle('absent', !view.known_browser);
  if (view.known_browser && view.phrase) {
    phrase.replaceChildren(el('p', { className: 'hint' }, 'Your phrase'), el('p', { className: 'phrase-text' }, bdi(view.phrase)),
      el('p', { className: 'hint' }, 'If this is not your phrase, the page is false. Do not type your PIN.'));
  } else if (view.known_browser) {
    phrase.hidden = true;
  } else {
    phrase.replaceChildren(el('p', {}, 'This browser cannot show your phrase.'), el('p', { className: 'hint' }, 'You have not used your PIN in it before. Check the address of this page before you type your PIN.'));
  }
}

function finish(text) {
  countdown.stop();
  byID('left').hidden = true;
  clearPIN();
  byID('recap').hidden = !view || text === unknown;
  if (view) {
    byID('recap-title').replaceChildren(bdi(view.title));
    byID('recap-summary').replaceChildren(...summaryOf(view));
  }
  showOutcome(text);
}

// show shows the present state. What the person reads and types stays, unless it changed.
function show(answer) {
  const before = view;
  view = answer;
  if (view.status !== 'pending') {
    finish(ended(view));
    return;
  }
  const changed = before && before.view_hash !== view.view_hash;
  if (changed || !before) {
    fillView(view);
    clearPIN();
  }
  byID('changed').hidden = !changed;
  byID('changed').textContent = changed ? 'The request has changed. Please read it again.' : '';
  fillAnswer();
  byID('left').hidden = false;
  countdown.start(view.expires_in, seconds => { byID('left').replaceChildren(icon('clock'), timeLeft(seconds)); }, timeOver);
  if (changed || byID('asked').hidden) showOnly('asked');
}

async function timeOver() {
  if (await refresh()) finish(ended({ ...view, status: 'expired', reason: null }));
}

// refresh asks for the present state and shows it. Without an answer it changes nothing, and returns the problem.
async function refresh() {
  const result = await post('/v1/approvals/open', { token });
  if (result.status === 200) {
    show(result.answer);
  } else if (result.status === 404 || result.status === 422) {
    finish(unknown);
  } else {
    return failure(result);
  }
  return '';
}

function showAsked() {
  return working(byID('show'), async () => {
    byID('start-problem').textContent = '';
    const trouble = await refresh();
    if (trouble) byID('start-problem').textContent = trouble;
    else setOpened();
  });
}

const triesLeft = n => (n === 1 ? '1 try is left at this link' : `${n} tries are left at this link`);

const stillHere = trouble => (pin.value ? `${trouble} Your PIN is still here.` : trouble);

// stillOpen asks whether the decision arrived whose answer was lost. Sending the same PIN twice could cost two tries.
async function stillOpen(decision) {
  const { tries_left, view_hash } = view;
  const trouble = await refresh();
  if (trouble) {
    problem(stillHere(trouble));
    return false;
  }
  unsure = false;
  if (view.status !== 'pending' || view.view_hash !== view_hash) return false;
  if (view.tries_left < tries_left && decision === 'approve') {
    clearPIN();
    problem(`Your last PIN arrived, and it did not approve. Type your PIN again: ${triesLeft(view.tries_left)}.`);
    return false;
  }
  return true;
}

async function decide(decision) {
  problem('');
  if (unsure && !(await stillOpen(decision))) return;
  const body = { token, view_hash: view.view_hash, decision };
  if (decision === 'approve') body.pin = pin.value;
  const result = await post('/v1/approvals/decide', body);
  switch (result.status) {
    case 200:
      return decided(result.answer);
    case 404:
      return finish(unknown);
    case 409: // decided in another tab, expired, or changed: the present state says which
      problem(await refresh());
      return;
    case 422:
      problem(result.issue || 'This could not be sent. Check your PIN.');
      return;
  }
  unsure = true;
  problem(stillHere(failure(result)));
}

async function decided(answer) {
  if (answer.status !== 'pending') {
    show({ ...view, status: answer.status, reason: answer.reason, pin: { ...view.pin, ...(answer.locked_until ? { state: 'locked', locked_until: answer.locked_until } : {}) } });
    return;
  }
  clearPIN();
  if (answer.error !== 'invalid_pin' || answer.locked_until || answer.remaining_attempts === 0) { // the page shows the lock
    problem(await refresh());
    if (!byID('blocked').hidden) byID('blocked-title').focus();
    return;
  }
  view.tries_left = answer.remaining_tries;
  const attempts = answer.remaining_attempts === 1 ? 'After 1 more wrong PIN your PIN is locked.' : `After ${answer.remaining_attempts} more wrong PINs your PIN is locked.`;
  problem(`This PIN is wrong: ${triesLeft(answer.remaining_tries)}. ${attempts}`);
  refocus(pin);
}

fillKeypad(byID('keypad'), pin);
byID('show').addEventListener('click', showAsked);
byID('form').addEventListener('submit', event => {
  event.preventDefault();
  if (busy) return;
  if (isPIN(pin.value)) {
    working(byID('approve'), () => decide('approve'));
  } else {
    problem('Type your PIN: 4 to 12 digits.');
    refocus(pin);
  }
});
byID('deny').addEventListener('click', () => working(byID('deny'), () => decide('deny')));
byID('again').addEventListener('click', () => working(byID('again'), async () => {
  const trouble = await refresh();
  if (trouble) byID('blocked-text').replaceChildren(el('p', { role: 'alert' }, trouble));
}));

// A page that comes back from the browser's cache or from the background shows the present state.
const comeBack = () => { if (view?.status === 'pending' && !busy) refresh(); };
addEventListener('pageshow', event => { if (event.persisted) comeBack(); });
document.addEventListener('visibilitychange', () => { if (!document.hidden) comeBack(); });

if (!token) finish(incomplete);
else if (wasOpened()) showAsked();
