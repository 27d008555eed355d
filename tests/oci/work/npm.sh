#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# npm: a package with dependencies out of archives, its scripts, its tests, and an update.
set -eu
export npm_config_cache=/tmp/npm npm_config_offline=true npm_config_audit=false npm_config_fund=false \
	npm_config_update_notifier=false

# archive NAME VERSION FILES [DEPENDENCIES]
archive() {
	mkdir -p "package/lib/deep/er"
	printf '{"name": "%s", "version": "%s", "main": "lib/0.js", "bin": {"%s": "cli.js"}, "dependencies": {%s}}\n' \
		"$1" "$2" "$1" "${4:-}" >package/package.json
	printf '#!/usr/bin/env node\nconsole.log("%s %s")\n' "$1" "$2" >package/cli.js
	chmod 755 package/cli.js
	for i in $(seq 0 "$3"); do
		echo "module.exports = $i" >"package/lib/$i.js"
		echo "module.exports = '$1 $2 $i'" >"package/lib/deep/er/$i.js"
	done
	tar -czf "$1-$2.tgz" --mtime=@0 --owner=0 --group=0 --sort=name package
	rm -rf package
}

before() {
	archive inner 1.0.0 50
	archive outer 1.0.0 150 '"inner": "file:///work/inner-1.0.0.tgz"'
	archive outer 2.0.0 100 '"inner": "file:///work/inner-1.0.0.tgz"'
	mkdir app
	echo '{"name": "app", "version": "1.0.0", "scripts": {"postinstall": "outer > made", "test": "node test.js"}}' \
		>app/package.json
	echo 'if (require("outer") + require("inner/lib/7.js") !== 7) process.exit(1)' >app/test.js
}

work() {
	cd app
	npm install /work/outer-1.0.0.tgz /work/inner-1.0.0.tgz
	npm test
	npm install /work/outer-2.0.0.tgz
	npm test
	npm run postinstall
	cat made
	npm uninstall inner
}

"$1"
