#!/usr/bin/env bash
# Tests docker-compose.yml on a Docker engine: secrets, start order, networks, images, crashes, an update, key rotation, and
# backup and restore. The test uses its own compose project and free ports. At the end it removes everything except the
# engine's build cache. Needs bash, docker and docker compose.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

project=countersign-test-$$
scratch=$(mktemp -d)
tree=$PWD # the folder from which the stack is built; the update is built from another folder

# Ignore the settings of another stack on this machine.
# shellcheck disable=SC2046
unset PUBLIC_URL APPROVAL_URL PUBLISH_ADDRESS ALLOWED_ORIGINS AUTH_PORT PIN_ADMIN_PORT MAIL_PORT COMPOSE_FILE COMPOSE_PROFILES COMPOSE_PROJECT_NAME \
  $(sed -nE 's/^ +([A-Z_]+):$/\1/p' docker-compose.yml)
free() { # prints a free port
  local port
  while port=$((20000 + RANDOM % 12000)); (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
  echo "$port"
}
AUTH_PORT=$(free) PIN_ADMIN_PORT=$(free)
export AUTH_PORT PIN_ADMIN_PORT

dc() { docker compose -p "$project" --project-directory "$tree" -f "$tree/docker-compose.yml" --env-file /dev/null "$@"; }
quietly() { "$@" >>"$scratch/log" 2>&1 || { tail -n 30 "$scratch/log"; fail "$*"; }; }
section() { printf '\n== %s\n' "$*"; }
ok() { printf 'ok  %s\n' "$*"; }
fail() { printf 'FAILED  %s\n' "$*" >&2; exit 1; }

cleanup() {
  local rc=$?
  if [ $rc -ne 0 ]; then
    echo; dc --profile '*' ps -a || true; dc --profile '*' logs --tail 15 2>/dev/null || true
  fi
  tree=$PWD
  dc --profile '*' down -v --remove-orphans --timeout 5 >/dev/null 2>&1 || true
  docker image ls -aq --filter "label=com.docker.compose.project=$project" | sort -u | xargs docker image rm -f >/dev/null 2>&1 || true
  docker network rm "$project-elsewhere" >/dev/null 2>&1 || true
  rm -rf "$scratch"
  exit $rc
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# run_once runs a command in a temporary container. The engine does not log its output.
run_once() { docker run --rm --log-driver none "$@"; }
stored_secrets() { run_once --network none --user 0 -v "${project}_secrets:/s:ro" --entrypoint cat redis:8 /s/secrets.json; }
ids() { dc ps -aq "$@"; }
field() { docker inspect -f "$2" "$1"; }
services() { echo postgres redis auth pin-admin pin-internal; }

# until_true SECONDS COMMAND... repeats the command until it succeeds; it fails after that many seconds.
until_true() {
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; sleep 0.5; done
}
is_healthy() { # succeeds if every container of these services is healthy
  local id
  for id in $(ids "$@"); do [ "$(field "$id" '{{.State.Health.Status}}')" = healthy ] || return 1; done
}
# shellcheck disable=SC2046
await_healthy() { until_true 120 is_healthy $(services) || fail "not healthy after $1"; }

# host METHOD PORT PATH [HEADER BODY] sends a request to a published port from this machine.
host() {
  local body=${5:-}
  exec 4<>"/dev/tcp/127.0.0.1/$2" || return 1
  printf '%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s' \
    "$1" "$3" "${4:+$4$'\r\n'}" "${#body}" "$body" >&4
  cat <&4
  exec 4>&-
}
# agent sends a request from the private network. Its arguments are those of curl.
agent() { dc run --rm -T --interactive=false agent "$@" 2>>"$scratch/log"; }
verify() {
  agent -sS -X POST -H "Authorization: Bearer $proxy_key" -H 'Content-Type: application/json' \
    -d "{\"pin\":\"$1\",\"customer_id\":\"$customer\"}" "http://pin-internal:8083/internal/v1/instances/$instance/pin/verify"
}
verifies() { # fails unless the PIN of set_pin is right; $1 is the time, for the message
  local got; got=$(verify 4378) || true
  case $got in *'"verified":true'*) ok "a PIN verifies $1" ;; *) fail "a PIN does not verify $1: $got" ;; esac
}
# set_pin sets the customer's PIN through the published port of pin-admin.
set_pin() {
  case $(host POST "$PIN_ADMIN_PORT" "/v1/customers/$customer/pin" "X-Api-Key: $api_key" '{"pin":"4378"}') in
  'HTTP/1.1 200 '*) ;; *) fail 'a PIN cannot be set' ;; esac
}
# doctor_from NETWORK [OPTION...] runs the doctor on a network, with options of docker run.
doctor_from() { local network=$1; shift; run_once --network "$network" "$@" "$project-operator" doctor; }
# psql runs a statement in the database as the superuser.
psql() { dc exec -T postgres psql -U postgres -d countersign -qtAc "$1"; }

section 'start with one command, without preparation'
quietly dc --profile demo up --build -d
await_healthy up
until_true 60 test -n "$(dc --profile demo logs --no-log-prefix demo | grep 'Countersign runs')" || fail 'the tour is not in the log'
ok 'every container is healthy, and the tour is in the log'
demo=$(run_once --network none --user 0 -v "${project}_demo:/demo:ro" --entrypoint cat redis:8 /demo/demo.json)
of_demo() { sed -n "s/^ *\"$1\": \"\([^\"]*\)\".*/\1/p" <<<"$demo"; }
api_key=$(of_demo api_key) proxy_key=$(of_demo proxy_key) customer=$(of_demo customer_id) instance=$(of_demo instance_id)
set_pin
verifies 'end to end'
dc --profile demo logs --no-log-prefix demo | sed -n '/to paste line by line:/,/The console for admins:/p' | sed '1d;$d' >"$scratch/tour"
for shell in bash sh; do
  (cd "$tree" && $shell <"$scratch/tour") >"$scratch/toured" 2>>"$scratch/log" || fail "the tour in $shell"
  for want in '"session_active"' 'Send 25.00 EUR to Ada Lovelace' 'The request is approved.' '"receipt":"ey' '"approval_used"'; do
    grep -qF "$want" "$scratch/toured" || { cat "$scratch/toured"; fail "the tour in $shell shows no $want"; }
  done
  ok "the tour works in $shell"
done

section 'start order'
state() { field "$(ids "$1")" "{{.State.$2}}"; }
before() { # SERVICE FinishedAt|StartedAt OTHER: fails unless this time of SERVICE is before the start of OTHER
  [[ ! $(state "$1" "$2") > $(state "$3" StartedAt) ]] || fail "$3 did not wait for $1"
  ok "$1 before $3"
}
before secrets FinishedAt postgres
before secrets FinishedAt redis
before postgres StartedAt migrate
for s in auth pin-admin pin-internal; do before migrate FinishedAt $s; before redis StartedAt $s; done
for s in secrets migrate demo; do [ "$(field "$(dc --profile demo ps -aq $s)" '{{.State.ExitCode}}')" = 0 ] || fail "$s failed"; done

section 'secrets'
first=$(stored_secrets)
patterns=$scratch/secrets
remember() { stored_secrets | grep -oE '": "[^"]+"' | sed 's/^": "//; s/"$//' | tr ',' '\n' | sed 's/^[a-z0-9-]*://' >>"$patterns"; }
remember
[ "$(wc -l <"$patterns")" -ge 8 ] || fail 'the secrets cannot be read'
no_secret_in() { ! grep -qFf "$patterns" || fail "a secret is in $1"; ok "no secret in $1"; }
no_leak() { # fails if a secret is in a log, environment variable, command line or label
  { dc --profile '*' logs 2>&1; cat "$scratch/log"; } | no_secret_in 'any log'
  # shellcheck disable=SC2046
  docker inspect $(dc --profile '*' ps -aq) | no_secret_in "any container's settings"
}
no_leak
for image in operator auth pin-admin pin-internal; do docker history --no-trunc "$project-$image"; docker image inspect "$project-$image"; done | no_secret_in 'any image'
mounts_own_secrets() { # fails unless the container mounts only its own volume of secrets
  local got; got=$(field "$(ids "$1" | head -n 1)" '{{range .Mounts}}{{.Name}} {{.RW}},{{end}}')
  case $got in "${project}_secrets-$1 false,"*|*",${project}_secrets-$1 false,") ;; *) fail "$1 mounts $got" ;; esac
  [[ $got != *secrets*secrets* ]] || fail "$1 mounts $got"
  ok "$1 can read its own secrets only, and cannot change them"
}
for s in $(services); do mounts_own_secrets "$s"; done

section 'networks'
published() { field "$(ids "$1" | head -n 1)" '{{range $port, $to := .HostConfig.PortBindings}}{{$port}}={{range $to}}{{.HostIp}}:{{.HostPort}}{{end}} {{end}}'; }
for s in postgres redis pin-internal; do [ -z "$(published $s)" ] || fail "$s publishes $(published $s)"; ok "$s publishes nothing"; done
[ "$(published auth)" = "8081/tcp=127.0.0.1:$AUTH_PORT " ] && [ "$(published pin-admin)" = "8082/tcp=127.0.0.1:$PIN_ADMIN_PORT " ] ||
  fail "published: $(published auth) $(published pin-admin)"
ok 'auth and pin-admin publish only their API, on 127.0.0.1'
for port in $AUTH_PORT $PIN_ADMIN_PORT; do [[ $(host GET "$port" /openapi.yaml) == *openapi* ]] || fail "$port does not answer"; done
ok 'both answer on the published ports'
address() { field "$(ids "$1" | head -n 1)" "{{(index .NetworkSettings.Networks \"${project}_private\").IPAddress}}"; }
[ "$(field "${project}_private" '{{.Internal}}')" = true ] || fail 'the private network is not internal'
for s in postgres redis pin-internal; do
  [ "$(field "$(ids $s | head -n 1)" '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}')" = "${project}_private " ] || fail "$s is on other networks"
done
ok 'Postgres, Redis and pin-internal are only on the private network'
quietly docker network create "$project-elsewhere"
for from in host "${project}_public" "$project-elsewhere"; do
  for at in "$(address pin-internal)" pin-internal; do quietly doctor_from "$from" -e "PIN_INTERNAL_URL=http://$at:8083"; done
  [[ $(run_once --network "$from" --entrypoint redis-cli redis:8 -h "$(address redis)" ping 2>&1 || true) != *@(PONG|NOAUTH)* ]] || fail "Redis is reachable from the network $from"
  ! run_once --network "$from" --entrypoint pg_isready postgres:17 -q -t 2 -h "$(address postgres)" || fail "Postgres is reachable from the network $from"
  ok "pin-internal, Postgres and Redis are unreachable from the network $from, by name and by address"
done
! doctor_from "${project}_private" -e PIN_INTERNAL_URL=http://pin-internal:8083 >/dev/null || fail 'the doctor does not report that it can reach pin-internal on the private network'
[[ $(agent http://pin-internal:8083/openapi.yaml) == *openapi* ]] || fail 'pin-internal does not answer on the private network'
ok 'pin-internal answers on the private network'

section 'images and privileges of the containers'
for image in auth pin-admin pin-internal operator; do
  size=$(docker image inspect -f '{{.Size}}' "$project-$image")
  [ "$size" -lt 40000000 ] || fail "$image has $size bytes"
  [ "$(docker image inspect -f '{{.Config.User}}' "$project-$image")" = 65532:65532 ] || fail "$image does not run as nonroot"
  ok "$image: $((size / 1000000)) MB, nonroot"
done
for id in $(dc --profile demo ps -aq); do
  got=$(field "$id" '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}} {{.HostConfig.Privileged}}')
  [ "$got" = 'true [ALL] [no-new-privileges:true] false' ] || fail "$(field "$id" '{{.Name}}'): $got"
  for limit in Memory PidsLimit; do [[ $(field "$id" "{{.HostConfig.$limit}}") == [1-9]* ]] || fail "$(field "$id" '{{.Name}}') has no $limit"; done
done
ok 'every container is read-only, without capabilities and new privileges, and has limits for memory and processes'
for s in $(services); do
  status=$(run_once --network none --pid "container:$(ids "$s")" --entrypoint cat redis:8 /proc/1/status)
  uid=$(awk '/^Uid:/ {print $2}' <<<"$status") caps=$(awk '/^CapEff:/ {print $2}' <<<"$status") nnp=$(awk '/^NoNewPrivs:/ {print $2}' <<<"$status")
  [ "$uid" != 0 ] && [ "$caps" = 0000000000000000 ] && [ "$nnp" = 1 ] || fail "$s runs as $uid with the capabilities $caps, no_new_privs $nnp"
  ok "$s runs as user $uid without capabilities"
  [ "$(field "$(ids "$s")" '{{.Config.StopTimeout}}')" != '<nil>' ] || [ "$s" = redis ] || fail "$s has no stop_grace_period"
done

section 'doctor'
quietly dc run --rm -T operator doctor
ok 'the doctor finds no problem'
dc exec -T redis sh -c 'REDISCLI_AUTH=$(cat /secrets/password) redis-cli config set maxmemory-policy allkeys-lru' >/dev/null
! dc run --rm -T operator doctor >"$scratch/doctor" 2>>"$scratch/log" || fail 'the doctor accepts a Redis that evicts keys'
grep -q 'noeviction' "$scratch/doctor" || fail 'the doctor does not say how to correct it'
ok 'the doctor reports a Redis that evicts keys'
quietly dc restart redis

section 'restart, down and up'
await_healthy 'a restart of Redis'
quietly dc restart
await_healthy restart
verifies 'after restart'
quietly dc --profile demo down
[ -z "$(ids)" ] || fail 'a container is left after down'
quietly dc up -d
await_healthy 'down and up'
verifies 'after down and up'
[ "$(stored_secrets)" = "$first" ] || fail 'the secrets have changed'
ok 'the secrets are the same'

section 'crashes in any order'
# Docker does not restart a container after docker kill. So crash kills the process itself.
crash() {
  local pid; pid=$(field "$(ids "$1" | head -n 1)" '{{.State.Pid}}')
  run_once --network none --pid host --user 0 --cap-drop ALL --cap-add KILL --entrypoint sh redis:8 -c "kill -9 $pid"
}
for order in 'postgres redis auth pin-admin pin-internal' 'pin-internal pin-admin auth redis postgres' 'redis pin-internal postgres auth pin-admin'; do
  for s in $order; do crash "$s"; done
  sleep 1
  await_healthy "crashes of $order"
  verifies "after crashes of $order"
done
for s in $(services); do
  crash "$s"; sleep 1
  await_healthy "a crash of $s"
  verifies "after a crash of $s alone"
done
for s in $(services); do
  quietly dc kill "$s"
  quietly dc up -d
  await_healthy "docker kill $s"
done
verifies 'after docker kill of each service, and up'

section 'stores that start late'
quietly dc stop postgres redis
quietly dc restart --no-deps auth pin-admin pin-internal
sleep 3
for s in auth pin-admin pin-internal; do [ "$(field "$(ids $s)" '{{.State.Running}} {{.RestartCount}}')" = 'true 0' ] || fail "$s does not wait for the stores"; done
[[ $(verify 4378) != *'"verified"'* ]] || fail 'a verification succeeds without Postgres'
ok 'without stores the services run, and no verification succeeds'
quietly dc start postgres
until_true 60 is_healthy pin-internal || fail 'Postgres has started, but pin-internal is not ready'
[[ $(verify 4378) == *'"session_token":null'*'"verified":true'* ]] || fail 'without Redis, the PIN does not verify, or there is a session'
ok 'Postgres started late: PINs verify, without a session'
quietly dc start redis
await_healthy 'a late Redis'
gives_session() { [[ $(verify 4378) == *'"session_token":"cst_'* ]]; }
until_true 20 gives_session || fail 'Redis has started, but there is no session'
ok 'Redis started late: there are sessions again'
quietly dc stop postgres
dc run --rm -T --no-deps migrate >"$scratch/migrate" 2>&1 & migration=$!
sleep 3
quietly dc start postgres
wait $migration || { cat "$scratch/migrate"; fail 'a migration does not wait for Postgres'; }
ok 'a migration waits for Postgres'
await_healthy 'a late Postgres'

section 'three replicas of pin-internal'
quietly dc up -d --scale pin-internal=3
await_healthy scaling
[ "$(ids pin-internal | wc -l)" -eq 3 ] || fail 'there are not three replicas'
verifies 'with three replicas'
wrong=0 locked=0
for _ in 1 2 3 4 5 6 7 8; do
  case $(verify 9517) in *'"error":"invalid_pin"'*) wrong=$((wrong + 1)) ;; *'"error":"pin_locked"'*) locked=$((locked + 1)) ;; esac
done
[ "$wrong $locked" = '5 3' ] || fail "of eight wrong guesses over three replicas $wrong were compared and $locked refused"
ok 'eight wrong guesses over three replicas: five compared, then locked'
set_pin
crash pin-internal
sleep 1
await_healthy 'a crash of one of three replicas'
verifies 'after a crash of one of three replicas'

section 'an update with a new migration'
mkdir "$scratch/update"
cp -R go.work go.work.sum pkg services deploy docker-compose.yml .dockerignore "$scratch/update/"
cat >"$scratch/update/pkg/schema/9000_update.sql" <<'SQL'
-- An example of an update.
-- +goose Up
create table update_test (x integer);
SQL
for s in auth pin-admin pin-internal; do echo '# update' >>"$scratch/update/services/$s/openapi.yaml"; done
old=$(field "$project-pin-internal" '{{.Id}}')
tree=$scratch/update
quietly dc up --build -d --scale pin-internal=3
await_healthy 'the update'
[ "$(psql "select to_regclass('update_test') is not null")" = t ] || fail 'the migration was not applied'
[ "$(field "$(ids pin-internal | head -n 1)" '{{.Image}}')" != "$old" ] || fail 'pin-internal still runs the old image'
verifies 'after the update'
[ "$(stored_secrets)" = "$first" ] || fail 'the update has changed the secrets'
tree=$PWD

section 'key rotation'
keys_in_use() { dc run --rm -T operator keys 2>>"$scratch/log" | awk -v ring="$1" '$1 == ring {print $2}' | sort -u; }
before_rotation=$(keys_in_use PIN_KEYS)
for ring in PIN_KEYS AUTH_KEYS; do
  for step in append promote; do
    quietly dc run --rm -T operator secrets $step $ring
    quietly dc restart auth pin-admin pin-internal
    await_healthy "$step $ring"
  done
done
remember
quietly dc run --rm -T operator keys renew
verifies 'after promoting'
[ "$(keys_in_use PIN_KEYS)" != "$before_rotation" ] && [ "$(keys_in_use PIN_KEYS | wc -w)" -eq 1 ] || fail "a right PIN was not renewed: $(keys_in_use PIN_KEYS)"
for ring in PIN_KEYS AUTH_KEYS; do quietly dc run --rm -T operator secrets retire $ring; done
quietly dc restart auth pin-admin pin-internal
await_healthy 'retiring'
verifies 'after retiring'
quietly dc run --rm -T operator doctor
[ "$(stored_secrets | grep -c ',')" -gt 0 ] && ! stored_secrets | grep -q '_keys": "[^"]*,' || fail 'an old key is still there'
ok 'after append, promote and retire, no data uses an old key'

section 'backup, and restore into an empty server'
dc exec -T postgres pg_dump -U postgres -Fc countersign >"$scratch/backup"
stored_secrets >"$scratch/backup.json"
attempts=$(psql 'select count(*) from attempts')
quietly dc --profile demo down -v
quietly dc run --rm -T secrets secrets import <"$scratch/backup.json"
quietly dc up -d --wait postgres
quietly dc run --rm -T migrate
dc exec -T postgres sh -ec 'dropdb -U postgres countersign; createdb -U postgres -O countersign_owner countersign
  pg_restore -U postgres --exit-on-error -d countersign' <"$scratch/backup" >>"$scratch/log" 2>&1 || { tail "$scratch/log"; fail 'the restore failed'; }
quietly dc up -d
await_healthy 'restoring'
verifies 'after restoring'
[ "$(psql 'select count(*) from attempts')" -gt "$attempts" ] || fail 'attempts were lost'
quietly dc run --rm -T operator doctor
ok 'the doctor finds no problem in the restored stack'

section 'stop'
for s in auth pin-admin pin-internal; do
  quietly dc stop $s
  [ "$(field "$(ids $s)" '{{.State.ExitCode}}')" = 0 ] || fail "$s ended with exit code $(field "$(ids $s)" '{{.State.ExitCode}}')"
done
ok 'the services stop with exit code 0'
no_leak
printf '\nAll tests passed in %d s.\n' $SECONDS
