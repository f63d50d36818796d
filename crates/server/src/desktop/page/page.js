// Shows the screen of the Cloud PC whose ticket is in this page's address. `document.body.dataset.state` is "connecting", "connected" or "ended".
import RFB from "/desktop/novnc/core/rfb.js";

const state = document.getElementById("state");
const address = new URL(`${location.pathname}/screen`, location.href);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";

function show(name, text) {
  document.body.dataset.state = name;
  state.textContent = text;
}

show("connecting", "Connecting…");
const rfb = new RFB(document.getElementById("screen"), address.href, { shared: true });
rfb.scaleViewport = true;
rfb.addEventListener("connect", () => {
  show("connected", "");
  rfb.focus();
});
rfb.addEventListener("disconnect", () => {
  show("ended", "The connection has ended. Ask for a new address to connect again.");
});
