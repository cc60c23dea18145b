// Runs before the first paint, so that the chosen theme never flashes. Small and blocking on purpose.
(function () {
  'use strict';

  var KEY = 'tollkeeper-theme';
  var root = document.documentElement;
  var dark = window.matchMedia('(prefers-color-scheme: dark)');

  function choice() {
    try {
      var stored = window.localStorage.getItem(KEY);
      return stored === 'light' || stored === 'dark' ? stored : 'system';
    } catch (error) {
      return 'system'; // storage is switched off
    }
  }

  function apply() {
    var chosen = choice();
    var theme = chosen === 'system' ? (dark.matches ? 'dark' : 'light') : chosen;
    if (root.getAttribute('data-bs-theme') === theme) return;
    root.setAttribute('data-bs-theme', theme);
    document.dispatchEvent(new CustomEvent('tollkeeper:theme', { detail: { theme: theme } }));
  }

  root.classList.add('js');
  apply();
  dark.addEventListener('change', apply);
  window.addEventListener('storage', function (event) {
    if (event.key === KEY || event.key === null) apply();
  });

  // The numbers of a chart come open, for whoever runs no script; whoever does sees the drawing first.
  function fold() {
    document.querySelectorAll('details[data-numbers]').forEach(function (numbers) {
      numbers.open = false;
      numbers.removeAttribute('data-numbers');
    });
  }
  document.addEventListener('DOMContentLoaded', fold);
  document.addEventListener('htmx:load', fold);

  window.tollkeeperTheme = {
    choice: choice,
    choose: function (chosen) {
      try {
        if (chosen === 'system') window.localStorage.removeItem(KEY);
        else window.localStorage.setItem(KEY, chosen);
      } catch (error) {
        root.setAttribute('data-bs-theme', chosen === 'system' ? (dark.matches ? 'dark' : 'light') : chosen);
        return;
      }
      apply();
    },
  };
})();
