// Tells parts of the page that something is new: a [data-live] element has the address of a socket, and htmx attributes with
// the trigger "live" that fetch what is new. Without a socket they ask every 15 seconds while somebody looks.
(() => {
  "use strict";
  const POLL_MS = 15_000;
  const AT_MOST_EVERY_MS = 1_000;
  const RETRY_MS = [1_000, 5_000, 15_000, 60_000];
  let socket, address, failures = 0, timer, told = 0, waiting;

  const parts = () => document.querySelectorAll("[data-live]");
  const isSeen = () => document.visibilityState === "visible";

  function tell() {
    if (!isSeen()) return void (waiting ??= 0);
    const wait = told + AT_MOST_EVERY_MS - Date.now();
    if (waiting) return;
    waiting = setTimeout(() => {
      waiting = undefined;
      told = Date.now();
      parts().forEach((part) => htmx.trigger(part, "live"));
    }, Math.max(wait, 0));
  }

  function show(isOpen) {
    parts().forEach((part) => part.toggleAttribute("data-open", isOpen));
  }

  function open() {
    address = parts()[0]?.dataset.live;
    if (!address || !isSeen() || (socket && socket.readyState <= WebSocket.OPEN)) return;
    socket = new WebSocket(new URL(address, location.href.replace(/^http/, "ws")));
    socket.onopen = () => {
      failures = 0;
      show(true);
    };
    socket.onmessage = tell;
    socket.onclose = (e) => {
      show(false);
      // 4401: signed out; 4404: no member any more; 4429: too many windows. Asking again would change nothing.
      if (e.code >= 4400 && e.code < 4500) return;
      clearTimeout(timer);
      timer = setTimeout(open, RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
    };
  }

  document.addEventListener("visibilitychange", () => {
    if (!isSeen()) return;
    if (waiting === 0) {
      waiting = undefined;
      tell();
    }
    open();
  });
  setInterval(() => isSeen() && socket?.readyState !== WebSocket.OPEN && tell(), POLL_MS);
  addEventListener("pagehide", () => socket?.close());
  addEventListener("pageshow", (e) => e.persisted && open());
  document.addEventListener("htmx:afterSettle", () => show(socket?.readyState === WebSocket.OPEN));
  open();
})();
