// Loaded into Node by NODE_OPTIONS. Neither `fetch` of Node 20 nor its `https` reads HTTPS_PROXY, so
// TLS connections to the hosts that cloudpc stands in for are made to the service itself. A
// connection that already goes through the proxy is left alone.
"use strict";
const tls = require("node:tls");

const hosts = new Set(process.env.CLOUDPC_EXEC_HOSTS.split(","));
const [, host, port] = process.env.CLOUDPC_EXEC_SERVICE.match(/^\[?(.*?)\]?:(\d+)$/);
const connect = tls.connect;

tls.connect = function (options, ...rest) {
  if (typeof options !== "object" || options.socket || Number(options.port) !== 443) {
    return connect.call(this, options, ...rest);
  }
  const name = String(options.host ?? options.servername).toLowerCase();
  if (!hosts.has(name)) return connect.call(this, options, ...rest);
  return connect.call(this, { ...options, servername: name, host, port: Number(port), path: undefined }, ...rest);
};
