// Relay as an application has it: `node relay.mjs PORT`. It watches a user in its store, and says what the store has after each mutation.
// Each line of its output is a JSON value. Artifacts are those of relay-compiler, in ./generated.
import runtime from "relay-runtime";
import deletion from "./generated/relayDeleteMutation.graphql.js";
import posting from "./generated/relayPostMutation.graphql.js";
import renaming from "./generated/relayRenameMutation.graphql.js";
import query from "./generated/relayUserQuery.graphql.js";

const { ConnectionHandler, Environment, Network, RecordSource, Store, commitMutation, createOperationDescriptor, fetchQuery } = runtime;
const [port] = process.argv.slice(2);
const say = (...value) => console.log(JSON.stringify(value));

let key; // of the next mutation
async function fetched(params, variables) {
  const headers = { "content-type": "application/json", accept: "application/graphql-response+json" };
  if (params.operationKind === "mutation") headers["idempotency-key"] = key;
  const body = JSON.stringify({ query: params.text, operationName: params.name, variables });
  const response = await fetch(`http://127.0.0.1:${port}/graphql`, { method: "POST", headers, body });
  return response.json();
}

const environment = new Environment({ network: Network.create(fetched), store: new Store(new RecordSource()) });
const variables = { id: "User:6" };
const operation = createOperationDescriptor(query, variables);
environment.retain(operation);
await fetchQuery(environment, query, variables).toPromise();

const shown = ({ user }) => ({
  name: user.name,
  version: user.version,
  posts: user.posts.edges.map(({ node }) => node && `${node.id} ${node.title}`),
});
const snapshot = environment.lookup(operation.fragment);
say("store", shown(snapshot.data));
environment.subscribe(snapshot, ({ data }) => say("changed", shown(data)));

function mutated(mutation, input, itsKey) {
  key = itsKey;
  return new Promise((resolve) => {
    commitMutation(environment, {
      mutation,
      variables: input,
      onCompleted: (_, errors) => resolve(errors ? say("errors", errors.map((error) => error.extensions.code)) : undefined),
      onError: (error) => resolve(say("error", error.source?.errors?.map((each) => each.extensions.code) ?? error.message)),
    });
  });
}

await mutated(renaming, { ...variables, input: { name: "Ada", expectedVersion: 0 } }, "rename");
await mutated(renaming, { ...variables, input: { name: "Eve", expectedVersion: 0 } }, "stale"); // a CONFLICT changes nothing
const connections = [ConnectionHandler.getConnectionID(variables.id, "relay_posts")];
const post = { id: "Post:new", authorId: variables.id, title: "New" };
await mutated(posting, { input: post, connections }, "post");
await mutated(posting, { input: post, connections }, "post"); // sent again: the same post, which the connection has already
await mutated(deletion, { id: post.id }, "delete");
say("over", shown(environment.lookup(operation.fragment).data));
