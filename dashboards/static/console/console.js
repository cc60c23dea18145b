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

    // A menu closes when one clicks elsewhere.
    document.querySelectorAll('details[data-menu][open]').forEach(function (menu) {
      if (!menu.contains(event.target)) menu.open = false;
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

  // A form that is being sent is not sent twice by an impatient click.
  document.addEventListener('submit', function (event) {
    if (event.defaultPrevented || event.target.method !== 'post') return;
    var button = event.submitter;
    if (!button) return;
    button.setAttribute('aria-busy', 'true');
    window.setTimeout(function () { button.disabled = true; }, 0);
  });
  window.addEventListener('pageshow', function () {
    document.querySelectorAll('button[aria-busy=true]').forEach(function (button) {
      button.disabled = false;
      button.removeAttribute('aria-busy');
    });
  });

  markTheme();
})();
