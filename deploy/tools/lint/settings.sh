#!/bin/sh
# Fails if a setting is missing in .env.example, or if a setting of a service is missing in docker-compose.yml.
set -eu
cd "$(dirname "$0")/../../.."

settings() { grep -rhoE --include='*.go' --exclude='*_test.go' 'envconfig:"[A-Z_]+"' "$@" | cut -d'"' -f2 | sort -u; }
failed=0
for name in $(settings pkg services deploy/countersign) $(grep -oE '\$\{[A-Z_]+|^ +[A-Z_]+: *$' docker-compose.yml | tr -cd 'A-Z_\n'); do
	[ "$name" = COMPOSE_PROJECT_NAME ] || grep -qE "^#?$name=" .env.example || { echo "settings.sh: $name is not in .env.example" >&2; failed=1; }
done
for name in $(settings pkg services); do
	case $name in LISTEN_ADDR | OPS_LISTEN_ADDR) continue ;; esac # the images fix these
	grep -qE "^ +${name}(_FILE)?:" docker-compose.yml || { echo "settings.sh: $name is not in docker-compose.yml" >&2; failed=1; }
done
exit $failed
