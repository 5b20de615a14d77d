
const token = takeLink();
const pin = byID('pin');
const repeated = byID('repeated');

const newLink = 'Ask for a new link from the people who sent you this one.';
const outcomes = {
  done: { mood: 'good', image: 'check', heading: 'Your PIN is set', text: ['This browser is now known. From now on you can approve with your PIN.', 'You can close this page.'] },
  used: { mood: 'calm', image: 'check', heading: 'This link was used', text: ['A PIN was set with it. If you did not do that, tell the people who sent you the link at once.'] },
  expired: { mood: 'calm', image: 'clock', heading: 'This link has expired', text: [newLink] },
  unknown: { mood: 'calm', image: 'link', heading: 'This link is not known', text: ['It may be incomplete, or a newer link has replaced it.', newLink] },
  incomplete: { mood: 'calm', image: 'link', heading: 'The link is incomplete', text: ['Open it again from the message that you received.'] },
};

function finish(outcome) {
  pin.value = repeated.value = byID('phrase').value = '';
  showOutcome(outcome);
}

function problem(id, text) {
  byID(`${id}-problem`).textContent = text;
  byID(id === 'choose' ? 'pin' : 'repeated').setAttribute('aria-invalid', String(Boolean(text)));
}

// open asks for the present state of the link. It returns false, without changing the page, if there is no answer.
async function open(reportProblem) {
  const result = await post('/v1/enrolments/open', { token });
  if (result.status === 404 || result.status === 422) {
    finish(outcomes.unknown);
  } else if (result.status !== 200) {
    reportProblem(failure(result));
    return false;
  } else if (result.answer.status !== 'open') {
    finish(outcomes[result.answer.status]);
  } else {
    byID('greeting').replaceChildren(...(result.answer.customer_name ? ['For ', bdi(result.answer.customer_name, 'strong')] : []));
    byID('valid').textContent = `This link is valid until ${until(result.answer.expires_at)}, and once.`;
    return true;
  }
  setOpened();
  return false;
}

function begin() {
  return working(byID('begin'), async () => {
    byID('start-problem').textContent = '';
    if (await open(text => { byID('start-problem').textContent = text; })) {
      setOpened();
      showOnly('choose');
    }
  });
}

async function complete() {
  problem('repeat', '');
  const phrase = byID('phrase').value.trim();
  const result = await post('/v1/enrolments/complete', { token, pin: pin.value, ...(phrase ? { phrase } : {}) });
  switch (result.status) {
    case 200:
      return finish(outcomes.done);
    case 404:
      return finish(outcomes.unknown);
    case 409:
      return finish(outcomes[result.code === 'enrolment_expired' ? 'expired' : 'used']);
    case 422:
      if (result.answer.detail?.[0]?.loc?.[1] === 'phrase') {
        problem('repeat', `The phrase: ${result.issue}.`);
        return;
      }
      chooseAgain(result.issue ? `${result.issue}. Choose another PIN.` : 'This PIN cannot be used. Choose another PIN.');
      return;
  }
  // The PIN may be set although the answer was lost. The present state of the link says so.
  problem('repeat', `${failure(result)} What you typed is still here.`);
  if (result.status !== 0) return;
  await open(text => problem('repeat', `${text} What you typed is still here.`));
}

function chooseAgain(text) {
  pin.value = repeated.value = '';
  problem('repeat', '');
  showOnly('choose');
  problem('choose', text);
  if (text) refocus(pin);
}

fillKeypad(byID('choose-keypad'), pin);
fillKeypad(byID('repeat-keypad'), repeated);
byID('begin').addEventListener('click', begin);
byID('choose-form').addEventListener('submit', event => {
  event.preventDefault();
  if (!isPIN(pin.value)) {
    problem('choose', 'A PIN has 4 to 12 digits.');
    refocus(pin);
    return;
  }
  problem('choose', '');
  repeated.value = '';
  showOnly('repeat');
});
byID('repeat-form').addEventListener('submit', event => {
  event.preventDefault();
  if (busy) return;
  if (repeated.value !== pin.value) {
    repeated.value = '';
    problem('repeat', 'This is another PIN. Type the same PIN again, or choose another PIN.');
    refocus(repeated);
    return;
  }
  working(byID('set'), complete);
});
byID('back').addEventListener('click', () => { if (!busy) chooseAgain(''); });
addEventListener('pageshow', event => { if (event.persisted) location.reload(); });

if (!token) finish(outcomes.incomplete);
else if (wasOpened()) begin();
