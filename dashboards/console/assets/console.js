"use strict";
// What is live: the server renders the parts again and sends those that have changed.
(function () {
  const from = document.body.dataset.events;
  const state = document.querySelector("[data-live-state]");
  if (!from || !state || !window.EventSource) return;
  const say = (text) => { state.hidden = false; state.textContent = "· " + text; };
  const source = new EventSource(from);
  source.onopen = () => say("Live.");
  source.onmessage = (e) => {
    say("Live.");
    for (const [name, html] of Object.entries(JSON.parse(e.data))) {
      const part = document.querySelector('[data-live="' + CSS.escape(name) + '"]');
      if (part && !part.contains(document.activeElement) && !part.querySelector("details[open]")) part.innerHTML = html; // else somebody reads it
    }
  };
  source.addEventListener("ended", () => { source.close(); say("The session has ended: reload the page."); });
  source.onerror = () => say(source.readyState === EventSource.CLOSED ? "Not live: reload the page." : "Not live: connecting again.");
  addEventListener("pagehide", () => source.close());
})();
// A long id is shown short, and copied whole.
document.addEventListener("copy", (e) => {
  const at = document.getSelection();
  const id = at && at.anchorNode && at.anchorNode.parentElement && at.anchorNode.parentElement.closest("[data-copy]");
  if (!id || !id.contains(at.focusNode) || !e.clipboardData) return;
  e.clipboardData.setData("text/plain", id.dataset.copy);
  e.preventDefault();
});
