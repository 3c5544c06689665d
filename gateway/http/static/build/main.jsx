// The page: GraphiQL on our endpoint, with the first query that the server put into the page.
import "@graphiql/react/style.css";
import "@graphiql/plugin-doc-explorer/style.css";
import "@graphiql/plugin-history/style.css";
import "graphiql/style.css";
import "./page.css";
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";

const { endpoint, query } = JSON.parse(document.getElementById("settings").textContent);
const fetcher = createGraphiQLFetcher({
  url: endpoint,
  subscriptionUrl: new URL(endpoint, location.href).href.replace(/^http/, "ws"), // the headers go with its connection_init
  headers: { accept: "application/graphql-response+json, application/json" },
});

createRoot(document.getElementById("graphiql")).render(
  <GraphiQL fetcher={fetcher} defaultQuery={query} defaultEditorToolsVisibility={false} />,
);
