// Shows the screen of the Cloud PC whose ticket is in this page's URL.
// `document.body.dataset.state` is "connecting", "connected" or "ended".
import RFB from "/desktop/novnc/core/rfb.js";

const state = document.getElementById("state");
const screen = document.getElementById("screen");
// The service drops input of view-only pages itself; this avoids sending it.
const viewOnly = "viewOnly" in screen.dataset;
const address = new URL(`${location.pathname}/screen`, location.href);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";

function show(name, text) {
  document.body.dataset.state = name;
  state.textContent = text;
}

show("connecting", "Connecting…");
let reason = "";
const socket = new WebSocket(address.href);
socket.addEventListener("close", (event) => {
  reason = event.reason;
});
const rfb = new RFB(screen, socket, { shared: true });
rfb.scaleViewport = true;
rfb.viewOnly = viewOnly;
rfb.addEventListener("connect", () => {
  show("connected", viewOnly ? "View only: keyboard, pointer and clipboard are not sent." : "");
  rfb.focus();
});
rfb.addEventListener("disconnect", () => {
  const because = reason ? `: ${reason}` : "";
  show("ended", `The connection has ended${because}. Request a new URL to connect again.`);
});
