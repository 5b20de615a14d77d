#!/bin/sh
# Fails when a page names something that does not exist: the target of a link, a file, a make target, a test, or a section of
# a page that a comment cites. Pages are the Markdown files in the root and in docs/.
set -eu
cd "$(dirname "$0")/../../.."

files=$(git ls-files --cached --others --exclude-standard)
targets=$(sed -n 's/^\([a-z-]*\):.*/\1/p' Makefile)
failed=0
missing() { echo "docs.sh: $1: $2" >&2; failed=1; }

# quoted prints what a page has in backticks, one on each line.
quoted() { grep -oE '`[^`]+`' "$1" | tr -d '`'; }

for page in *.md $(find docs -name '*.md'); do
	for link in $(grep -oE '\]\([^)]+\)' "$page" | sed 's/^](//; s/[#)].*//'); do
		case $link in *://*) continue ;; esac
		[ -e "$(dirname "$page")/$link" ] || missing "$page" "there is no file for the link $link"
	done
	for target in $( { quoted "$page"; sed -n '/^```/,/^```/p' "$page"; } | grep -oE '(^|[ ;&])make [a-z][a-z-]*' | sed 's/.*make //' | sort -u); do
		printf '%s\n' "$targets" | grep -qx -e "$target" || missing "$page" "make $target is not in the Makefile"
	done
	for path in $(quoted "$page" | grep -oE '^(pkg|services|deploy|docs|\.ci)/[A-Za-z0-9_./-]+$'); do
		[ -e "$path" ] || missing "$page" "there is no $path"
	done
	for name in $(quoted "$page" | grep -oE '^[A-Za-z0-9_][A-Za-z0-9_./-]*\.(go|lua|sql|sh|yaml|yml)$' | grep -v NNNN); do
		printf '%s\n' "$files" | grep -qE "(^|/)$name\$" || missing "$page" "there is no $name"
	done
	for test in $(quoted "$page" | grep -oE '^Test[A-Za-z0-9_]+' | sort -u); do
		grep -rq --include='*_test.go' "^func $test(" . || missing "$page" "there is no test $test"
	done
done

# In code: docs/architecture.md, section 5
cited=$(grep -rhoE --include='*.go' --include='*.sql' --include='*.lua' --include='*.sh' 'docs/[a-z0-9/-]+\.md(, section [0-9]+)?' pkg services deploy | sort -u)
while IFS= read -r citation; do
	[ -n "$citation" ] || continue
	page=${citation%%,*} section=${citation##*section }
	[ -e "$page" ] || { missing "a comment" "there is no $page"; continue; }
	[ "$section" = "$citation" ] || grep -q "^## $section\. " "$page" || missing "a comment" "$page has no section $section"
done <<EOF
$cited
EOF
exit $failed
