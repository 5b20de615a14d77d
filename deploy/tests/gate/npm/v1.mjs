// A client made with version 1 of the TypeScript SDK (MCP 2025-11-25). `node v1.mjs CONFIGURATION` connects. Then it calls a tool for each
// line of its input, cancels the last call if the line is "cancel", and writes one JSON object for each thing that happens.
import { createInterface } from "node:readline";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema, ElicitationCompleteNotificationSchema } from "@modelcontextprotocol/sdk/types.js";

const { url, command, args, env, elicitation, action, progress } = JSON.parse(process.argv[2]);
const write = (event) => process.stdout.write(JSON.stringify(event) + "\n");

const client = new Client({ name: "v1", version: "1" }, { capabilities: elicitation ? { elicitation } : {} });
if (elicitation) {
  client.setRequestHandler(ElicitRequestSchema, (request) => {
    write({ elicitation: request.params });
    return request.params.mode === "url" ? { action } : { action: "accept", content: { size: "large" } };
  });
  client.setNotificationHandler(ElicitationCompleteNotificationSchema, (notification) => write({ complete: notification.params.elicitationId }));
}
await client.connect(url ? new StreamableHTTPClientTransport(new URL(url)) : new StdioClientTransport({ command, args, env }));
write({ connected: client.getServerVersion().name });

let abort;
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "cancel") {
    abort.abort();
    continue;
  }
  abort = new AbortController();
  const options = { signal: abort.signal, onprogress: progress ? (message) => write({ progress: message }) : undefined };
  client.callTool(JSON.parse(line), undefined, options).then(
    (result) => write({ result }),
    (error) => write({ error: { code: error.code, message: error.message } }),
  );
}
await client.close();
