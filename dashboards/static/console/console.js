// Behaviour of the shell. Pages that only show something work without it.
(function () {
  'use strict';

  function markTheme() {
    var chosen = window.tollkeeperTheme.choice();
    document.querySelectorAll('[data-theme-choice]').forEach(function (button) {
      button.setAttribute('aria-pressed', String(button.dataset.themeChoice === chosen));
    });
  }

  document.addEventListener('click', function (event) {
    var button = event.target.closest('[data-theme-choice]');
    if (button) {
      window.tollkeeperTheme.choose(button.dataset.themeChoice);
      markTheme();
    }

    var dismiss = event.target.closest('[data-dismiss]');
    if (dismiss) dismiss.closest('[role=status], [role=alert]').remove();

    // A menu closes when one clicks elsewhere, or has chosen: what is taken as a file leaves the page as it is.
    document.querySelectorAll('details[data-menu][open]').forEach(function (menu) {
      if (!menu.contains(event.target)) menu.open = false;
      else if (event.target.closest('a')) {
        menu.open = false;
        menu.querySelector('summary').focus();
      }
    });
  });

  document.addEventListener('keydown', function (event) {
    if (event.key !== 'Escape') return;
    document.querySelectorAll('details[data-menu][open]').forEach(function (menu) {
      var inside = menu.contains(document.activeElement);
      menu.open = false;
      if (inside) menu.querySelector('summary').focus();
    });
  });

  // A group of the menu that somebody folds, or unfolds, is so on the next page; the one that holds it is always open.
  // What is kept are the names of those that are other than they come.
  var TURNED = 'tollkeeper-menu';

  function turned() {
    try {
      return (window.localStorage.getItem(TURNED) || '').split(' ').filter(Boolean);
    } catch (error) {
      return []; // storage is switched off
    }
  }

  document.querySelectorAll('.tk-sidebar [data-group]').forEach(function (group) {
    var name = group.dataset.group;
    var usual = !group.hasAttribute('data-folded');
    if (!group.querySelector('[aria-current]')) group.open = turned().indexOf(name) >= 0 ? !usual : usual;
    group.querySelector('summary').addEventListener('click', function () {
      var names = turned().filter(function (one) { return one !== name; });
      if (group.open === usual) names.push(name); // it turns with this click
      try {
        window.localStorage.setItem(TURNED, names.join(' '));
      } catch (error) { /* holds for this page alone then */ }
    });
  });
  // The page that is shown is in sight, however long the menu.
  var here = document.querySelector('.tk-sidebar [aria-current]');
  if (here && here.offsetParent) here.scrollIntoView({ block: 'nearest' });

  // What takes longer than an eye waits for is told by a thin line on top; what is quick shows nothing.
  var PATIENCE = 200; // ms
  var FORGET = 20000; // ms: a file that is saved leaves the page where it is, and nobody says when it came
  var FILE = /\.(csv|xlsx|json|zip|png|svg|pdf)$/;
  var line = document.querySelector('[data-progress]');
  var waiting = 0;
  var soon = null;

  function progress(more) {
    if (!line) return;
    waiting = Math.max(0, waiting + more);
    window.clearTimeout(soon);
    if (waiting) soon = window.setTimeout(function () { line.hidden = false; }, PATIENCE);
    else line.hidden = true;
  }

  function leaving() {
    progress(1);
    window.setTimeout(function () { progress(-1); }, FORGET);
  }

  document.addEventListener('click', function (event) {
    var link = event.target.closest('a[href]');
    if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (link.target || link.hasAttribute('download') || link.origin !== window.location.origin) return;
    if (link.hasAttribute('hx-get') || link.hasAttribute('data-file') || FILE.test(link.pathname)) return;
    if (link.hash && link.pathname === window.location.pathname && link.search === window.location.search) return;
    leaving();
  });

  // Parts of a page that are fetched: those that renew themselves do so in silence.
  function silent(event) {
    var element = event.detail.elt;
    return /every/.test(element.getAttribute('hx-trigger') || '');
  }
  document.addEventListener('htmx:beforeRequest', function (event) {
    if (silent(event)) return;
    progress(1);
    if (event.detail.target) event.detail.target.setAttribute('aria-busy', 'true');
  });
  document.addEventListener('htmx:afterRequest', function (event) {
    if (event.detail.successful) told('');
    if (silent(event)) return;
    progress(-1);
    if (event.detail.target) event.detail.target.removeAttribute('aria-busy');
  });

  // What could not be fetched is said, with a way to try again; the next thing that works takes it away.
  var box = document.querySelector('[data-told]');

  function told(words, again) {
    if (!box) return;
    box.replaceChildren();
    if (!words) return;
    var message = document.createElement('div');
    message.className = 'tk-message tk-message--error';
    var text = document.createElement('p');
    text.textContent = words;
    var button = document.createElement('button');
    button.type = 'button';
    button.className = 'btn btn-sm';
    button.textContent = again ? 'Try again' : 'Reload the page';
    button.addEventListener('click', function () {
      told('');
      if (again) again();
      else window.location.reload();
    });
    message.append(text, button);
    box.append(message);
  }

  // The same request once more, from where it came; a form that changes something is sent by hand, never by itself.
  function again(detail) {
    var config = detail.requestConfig;
    if (!config || config.verb !== 'get') return null;
    return function () {
      window.htmx.ajax('get', config.path, { source: detail.elt, target: detail.target, event: config.triggeringEvent });
    };
  }

  function words(status, id) {
    var named = id ? ' Request ' + id + '.' : '';
    if (status === 403) return 'You may not see or do this. Nothing was changed.';
    if (status === 404) return 'This is not there any more. Reload the page to see what is.';
    if (status === 429) return 'Too many requests at once. Wait a moment, then try again.';
    if (status >= 500) return 'This did not work. The fault is ours and has been logged.' + named;
    return 'This could not be done (' + status + ').' + named;
  }

  var OFFLINE = 'No answer. Check whether you are connected; what is shown may be out of date.';
  document.addEventListener('htmx:responseError', function (event) {
    var answer = event.detail.xhr;
    if (answer.getResponseHeader('HX-Redirect')) return;
    told(words(answer.status, answer.getResponseHeader('X-Request-ID')), again(event.detail));
  });
  ['htmx:sendError', 'htmx:timeout'].forEach(function (name) {
    document.addEventListener(name, function (event) {
      if (!silent(event) || !navigator.onLine) told(OFFLINE, again(event.detail));
    });
  });
  window.addEventListener('offline', function () { told(OFFLINE); });
  window.addEventListener('online', function () { told(''); });

  // Paper says where it comes from.
  window.addEventListener('beforeprint', function () {
    document.querySelectorAll('[data-printed-address]').forEach(function (place) {
      place.textContent = ' · ' + window.location.href;
    });
  });

  // A form that is being sent is not sent twice by an impatient click.
  document.addEventListener('submit', function (event) {
    if (event.defaultPrevented || event.target.method !== 'post') return;
    var button = event.submitter;
    if (!button) return;
    button.setAttribute('aria-busy', 'true');
    leaving();
    window.setTimeout(function () { button.disabled = true; }, 0);
  });
  window.addEventListener('pageshow', function () {
    waiting = 0;
    progress(0);
    document.querySelectorAll('button[aria-busy=true]').forEach(function (button) {
      button.disabled = false;
      button.removeAttribute('aria-busy');
    });
  });

  markTheme();
})();
