#!/bin/sh
# Fails if a package imports a package that CONTRIBUTING.md does not allow: domain code imports neither echo nor
# pkg/web nor pkg/service, pkg/web imports only pkg/fault, no service imports another, and pkg/client, which other programs import,
# depends only on the standard library and two modules (its package mcpguard also on the MCP SDK). The gate may import only pkg/client
# of this repository, and no MCP SDK. Indirect imports count; imports of tests do not.
set -eu
cd "$(dirname "$0")/../../.."

edges=$(go list -f '{{$p := .ImportPath}}{{range .Deps}}{{$p}} {{.}}{{"\n"}}{{end}}' work)
printf '%s\n' "$edges" | awk '
	BEGIN { root = "github.com/countersign/countersign/" }
	function ours(p)       { return index(p, root) == 1 }
	function under(p, dir) { return p == root dir || index(p, root dir "/") == 1 }
	function web(p)        { return under(p, "pkg/web") || under(p, "pkg/testkit/webtest") }
	function http(p)       { return index(p, "github.com/labstack/echo") == 1 || web(p) }
	function process(p)    { return under(p, "pkg/service") }
	function service(p)    { return under(p, "services") ? substr(p, length(root "services/") + 1) : "" }
	function inside(p, parts) { return service(p) ~ "/(internal/|operator(/|$))" && service(p) !~ "/internal/(" parts ")(/|$)" }
	function standard(p)   { return p !~ "^[^/]*[.]" || p ~ "^vendor/" }
	function allowed(p)    { return under(p, "pkg/client") || p ~ "^github.com/(golang-jwt/jwt/v5|gowebpki/jcs)(/|$)" || standard(p) }
	function name(s)       { sub("/.*", "", s); return s }
	function broken(rule)  { print "imports.sh: " $1 " depends on " $2 ": " rule; failed = 1 }

	under($1, "pkg/fault") && ours($2) { broken("pkg/fault may import no package of this repository") }
	under($1, "pkg/web") && ours($2) && !under($2, "pkg/web") && !under($2, "pkg/fault") { broken("pkg/web may import only pkg/fault from this repository") }
	under($1, "pkg/client") && !under($1, "pkg/client/mcpguard") && !allowed($2) { broken("pkg/client may depend only on the standard library, golang-jwt and jcs") }
	under($1, "services/gate") && (ours($2) && !under($2, "pkg/client") && !under($2, "services/gate") || under($2, "pkg/client/mcpguard") || index($2, "github.com/modelcontextprotocol/") == 1) { broken("the gate may import only pkg/client, and no MCP SDK") }
	under($1, "pkg") && !web($1) && http($2) { broken("in pkg, only pkg/web and pkg/testkit/webtest may import echo") }
	under($1, "pkg") && !under($1, "pkg/testkit") && !process($1) && process($2) { broken("in pkg, only pkg/testkit may import pkg/service") }
	under($1, "pkg/caller") && index($2, "github.com/jmoiron/sqlx") == 1 { broken("pkg/caller may not read a database") }
	inside($1, "api|app") && http($2) { broken("in a service, only internal/api and internal/app may import echo") }
	inside($1, "app") && process($2) { broken("in a service, only internal/app and main may import pkg/service") }
	service($1) != "" && service($2) != "" && name(service($1)) != name(service($2)) { broken("a service may not import another service") }

	END { exit failed }'
