// Asks the signed-in user to prove the session again (step-up). Some acts need a sign-in or step-up of the last 5 minutes.

import { formDialog } from './dialog.js';
import { Problem } from './http.js';
import { prove, secondFactor } from './session.js';

// stepUp asks for the password, or for a code if the user has a second factor. It throws a Problem if the user cancels.
export async function stepUp() {
  const field = await secondFactor()
    ? { name: 'code', label: 'Code', hint: 'A code from your authenticator app, or a recovery code', attributes: { autocomplete: 'one-time-code' } }
    : { name: 'password', label: 'Your password', kind: 'password', attributes: { autocomplete: 'current-password' } };
  const proved = await formDialog({
    title: 'Confirm that it is you', submit: 'Confirm', fields: [field],
    text: 'Your last sign-in was more than 5 minutes ago. You stay signed in.',
    action: async (values) => {
      await prove(values);
      return true;
    },
  });
  if (!proved) throw new Problem(401, 'Nothing was changed, because you did not confirm that it is you.');
}
