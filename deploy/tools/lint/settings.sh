#!/bin/sh
# Fails if a setting of the operator's command or of docker-compose.yml is missing in .env.example. For the settings of the
# services, TestSettingsAreDocumented in services/*/internal/app checks this.
set -eu
cd "$(dirname "$0")/../../.."

failed=0
for name in $(grep -rhoE --include='*.go' --exclude='*_test.go' 'envconfig:"[A-Z_]+"' deploy/countersign | cut -d'"' -f2 | sort -u) \
	$(grep -oE '\$\{[A-Z_]+|^ +[A-Z_]+: *$' docker-compose.yml | tr -cd 'A-Z_\n'); do
	[ "$name" = COMPOSE_PROJECT_NAME ] || grep -qE "^#?$name=" .env.example || { echo "settings.sh: $name is not in .env.example" >&2; failed=1; }
done
exit $failed
