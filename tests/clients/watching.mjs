// A client that watches: `node watching.mjs CLIENT PORT`, CLIENT one of ws, sse, sse-single. Each line of its output is a JSON value.
// It asks a query, breaks a rule, follows events until there are two, and goes on after the second from another connection.
import { createClient as createSse } from "graphql-sse";
import { createClient as createWs } from "graphql-ws";
import WebSocket from "ws";

const [kind, port] = process.argv.slice(2);
const say = (...value) => console.log(JSON.stringify(value));

function connect() {
  if (kind === "ws")
    return createWs({
      url: `ws://127.0.0.1:${port}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { Authorization: "me" },
      retryAttempts: 0,
      on: { closed: (event) => event.code !== 1000 && say("closed", event.code, event.reason) },
    });
  return createSse({
    url: `http://127.0.0.1:${port}/graphql`,
    singleConnection: kind === "sse-single",
    lazy: kind !== "sse-single", // else the stream ends with each operation
    onNonLazyError: () => {},
    headers: { Authorization: "me" },
    retryAttempts: 0,
  });
}

// Give the results of an operation to `take`, until it says that it has enough or there are no more.
function run(client, request, take) {
  return new Promise((resolve) => {
    let hasEnough = false;
    const stop = client.subscribe(request, {
      next: (result) => {
        if (hasEnough || !take(result)) return;
        hasEnough = true;
        stop();
        resolve();
      },
      error: (error) => {
        if (hasEnough) return; // that it was stopped
        say("error", Array.isArray(error) ? error.map((e) => e.extensions?.code ?? e.message) : (error.message ?? String(error)));
        resolve();
      },
      complete: () => resolve(),
    });
  });
}

const told = (result) => {
  if (result.errors) say("errors", result.errors.map((error) => error.extensions.code));
  else say("next", result.data);
};

const EVENTS = "subscription { eventRecorded { id } }";
const first = connect();
await run(first, { query: "{ user(id: 6) { name } }" }, told);
await run(first, { query: "{ nothing }" }, told);
let cursor;
let count = 0;
say("following");
await run(first, { query: EVENTS }, (result) => {
  told(result);
  cursor = result.extensions.cursor;
  return ++count === 2;
});
await first.dispose();

const second = connect();
say("resuming");
await run(second, { query: EVENTS, extensions: { cursor } }, (result) => {
  told(result);
  return ++count === 4;
});
say("staying");
await run(second, { query: EVENTS }, told); // until the server ends
say("over");
await second.dispose();
