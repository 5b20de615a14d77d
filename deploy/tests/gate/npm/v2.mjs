// A client made with version 2 of the TypeScript SDK (MCP 2026-07-28, and 2025-11-25). `node v2.mjs CONFIGURATION` connects. Then it calls a
// tool for each line of its input, cancels the last call if the line is "cancel", and writes one JSON object for each thing that happens.
import { createInterface } from "node:readline";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const { url, command, args, env, elicitation, action, progress, modern } = JSON.parse(process.argv[2]);
const write = (event) => process.stdout.write(JSON.stringify(event) + "\n");

const client = new Client(
  { name: "v2", version: "1" },
  { capabilities: elicitation ? { elicitation } : {}, versionNegotiation: { mode: modern ? { pin: "2026-07-28" } : "legacy" } },
);
if (elicitation) {
  client.setRequestHandler("elicitation/create", (request) => {
    write({ elicitation: request.params });
    return request.params.mode === "url" ? { action } : { action: "accept", content: { size: "large" } };
  });
  if (!modern) {
    client.setNotificationHandler("notifications/elicitation/complete", (notification) => write({ complete: notification.params.elicitationId }));
  }
}
await client.connect(url ? new StreamableHTTPClientTransport(new URL(url)) : new StdioClientTransport({ command, args, env }));
write({ connected: client.getNegotiatedProtocolVersion() });

let abort;
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "cancel") {
    abort.abort();
    continue;
  }
  abort = new AbortController();
  const options = { signal: abort.signal, onprogress: progress ? (message) => write({ progress: message }) : undefined };
  client.callTool(JSON.parse(line), options).then(
    (result) => write({ result }),
    (error) => write({ error: { code: error.code, message: error.message } }),
  );
}
await client.close();
