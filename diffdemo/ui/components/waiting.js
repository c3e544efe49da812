// Who waits for the run of another looks at the stage. Gradio tells the place in the queue to the corner of a choice
// beside it, as "queue: 1/2 | 3.4/9.8s": `say` gets that in words, and "" as soon as the run begins.

const SOON_MS = 400; // every run is in the queue for a moment

function watchQueue(say) {
  let place = null;
  let since = null;
  let said = "";
  const look = () => {
    const text = place.querySelector("[data-testid=status-tracker] .progress-text")?.textContent ?? "";
    const [, before] = /queue: (\d+)/.exec(text) ?? [];
    const [, gone, all] = /([\d.]+)\/([\d.]+)s/.exec(text) ?? [];
    since = before ? (since ?? Date.now()) : null;
    const left = all - gone > 0 ? `, about ${Math.ceil(all - gone)} s` : "";
    const words = before && Date.now() - since > SOON_MS ? `Waiting, ${before} before you${left}` : "";
    if (words !== said) say((said = words));
  };
  // The settings come onto the page after the stage, and nobody waits before a click.
  document.addEventListener("click", () => {
    if (place?.isConnected) return;
    place = root.closest(".tab-body")?.querySelector(".settings .queue-place");
    if (place) new MutationObserver(look).observe(place, { subtree: true, childList: true, characterData: true });
  }, true);
}
