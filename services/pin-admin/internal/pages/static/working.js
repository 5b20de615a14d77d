
let busy = false; // a request is running

// working marks the pressed button until its request ends. A second press does nothing meanwhile, and the fields keep their values.
async function working(button, work) {
  if (busy) return;
  const fields = document.querySelectorAll('input');
  const text = button.textContent;
  busy = true;
  fields.forEach(field => { field.readOnly = true; });
  button.setAttribute('aria-busy', 'true');
  button.textContent = 'One moment…';
  try {
    await work();
  } finally {
    busy = false;
    fields.forEach(field => { field.readOnly = false; });
    button.removeAttribute('aria-busy');
    button.textContent = text;
  }
}
