// Buttons that copy the text of what they name. Without scripts the text is selected as a whole by a click on it.
(function () {
  'use strict';

  document.addEventListener('click', function (event) {
    var button = event.target.closest('[data-copy]');
    if (!button) return;
    var source = document.getElementById(button.dataset.copy);
    var words = button.textContent;

    function said(text) {
      button.textContent = text;
      window.setTimeout(function () { button.textContent = words; }, 2000);
    }

    function select() {
      window.getSelection().selectAllChildren(source);
      said('Selected');
    }

    // Browsers lend the clipboard to pages that came by https or from this machine only.
    if (navigator.clipboard) navigator.clipboard.writeText(source.textContent).then(function () { said('Copied'); }, select);
    else select();
  });
})();
