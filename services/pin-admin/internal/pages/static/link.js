
// The token moves from the URL's fragment into the state of this history entry. So reload and the back button still work, but the
// token is not in the address bar, in screenshots of it, or in a list of visited pages that another person or device can see. With
// the token, anybody can read what is asked and deny it.
function takeLink() {
  const token = location.hash.slice(1);
  if (token) history.replaceState({ token, opened: false }, '', location.pathname);
  return history.state?.token;
}

// wasOpened reports whether the person pressed the button before a reload. Then the page shows the present state at once.
const wasOpened = () => Boolean(history.state?.opened);
const setOpened = () => history.replaceState({ ...history.state, opened: true }, '');

addEventListener('hashchange', () => location.reload()); // another link was opened in this tab
